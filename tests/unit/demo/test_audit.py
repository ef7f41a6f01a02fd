"""The demonstration's audit: finds nothing wrong in what the core decides, and every promise broken on purpose.

The topics are those an offline run of the same core would write; nothing here needs a broker.
"""

import json
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from contactgate.codec.origins import ORIGIN
from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.core import chain
from contactgate.core.world import World
from contactgate.demo.audit import Finding, judge, malformed
from contactgate.demo.evidence import gather
from contactgate.demo.population import REQUESTERS, Population
from contactgate.demo.times import millis, stamp
from contactgate.gate import Gate, WorldFeed
from contactgate.model.log import Position, Record
from contactgate.offline import MemoryStates
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read

POLICY = (Path(__file__).parents[3] / "src" / "contactgate" / "demo" / "policy.yaml").read_text(encoding="utf-8")
START_MS = 1_790_000_000_000
KINDS = {"consent": "consent-events", "request": "contact-requests", "outcome": "contact-outcomes"}


class Row(NamedTuple):
    """One record as kafka-python gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class Topics:
    """One partition of every topic, filled by running the gate over a population."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        tokens, world, population = Tokens(b"k" * 32), World(), Population(1, 300, START_MS)
        world.activate(load_policy(POLICY))
        feed = WorldFeed(tokens, world, source="/t", sealer=Sealer(b"s" * 32), open_list=None, keyed=False)
        for offset, routed in enumerate(population.world()):
            feed.control(Record("control", 0, offset, START_MS, routed.key, routed.value))
        assert not feed.out
        self._gate = Gate(tokens, world, partition=0, seq=0, prev=chain.GENESIS, source="/t", sealer=Sealer(b"s" * 32))
        self._states = MemoryStates()
        now_ms = START_MS
        for routed in population.history():
            self.feed("consent", routed.key, routed.value, now_ms)
        for number, step in enumerate(population.stream(2_500, 50.0)):
            now_ms = START_MS + number * 20
            made = self.feed(step.routed.kind, step.routed.key, step.routed.value, now_ms)
            approval = next((value for value in made if b"contact.approved" in value), None)
            if step.request_id and approval is not None and number % 3 == 0:
                self.outcome(json.loads(approval), now_ms, "not_attempted" if number % 2 else "delivered")

    def outcome(self, approval: dict[str, Any], now_ms: int, outcome: str) -> None:
        """A dialer reports at once."""
        message = {
            "type": "contact.outcome", "event_id": f"o-{approval['request_id']}", "time": stamp(now_ms),
            "approval_id": approval["approval_id"], "outcome": outcome,
        }  # fmt: skip
        self.feed("outcome", None, json.dumps(message).encode(), now_ms)

    def feed(self, kind: str, key: bytes | None, value: bytes, now_ms: int) -> list[bytes]:
        """Append an input record and what comes of it."""
        offset = self.append(KINDS[kind], key, value, now_ms)
        record, gate = Record(kind, 0, offset, now_ms, key, value), self._gate
        if kind == "request":
            ends = [len(self.rows.get(KINDS[other], ())) for other in ("consent", "outcome")]
            gate.request(record, self._states, now_ms, Position(0, offset, *ends, 0, 0))
        else:
            getattr(gate, kind)(record, self._states)
        names = {"decision": "contact-decisions", "dead": "dead-letters"}
        made = []
        for out in gate.out:
            self.append(names.get(out.kind, f"approvals.{out.requester}"), out.key, out.value, now_ms)
            made.append(out.value)
        gate.out.clear()
        return made

    def append(self, topic: str, key: bytes | None, value: bytes, now_ms: int) -> int:
        """Append to one topic; the offset."""
        rows = self.rows.setdefault(topic, [])
        rows.append(Row(topic, 0, len(rows), now_ms, key, value, []))
        return len(rows) - 1

    def judge(self) -> dict[str, Finding]:
        """The findings by a word of their promise."""
        found = gather(lambda names: [row for name in names for row in self.rows.get(name, ())], "", REQUESTERS)
        words = ("one", "opt-out", "caps", "approval", "refusal", "recall", "carried", "chain", "clear")
        return dict(zip(words, judge(found, read(POLICY, "policy")), strict=True))


@pytest.fixture(scope="module")
def whole() -> Topics:
    """A run in which every promise held; not to be changed."""
    return Topics()


@pytest.fixture
def topics(whole: Topics) -> Topics:
    """A copy of it to break."""
    broken = copy(whole)
    broken.rows = {topic: list(rows) for topic, rows in whole.rows.items()}
    return broken


def broken(topics: Topics) -> set[str]:
    """The promises that the audit finds broken."""
    return {word for word, finding in topics.judge().items() if not finding.held}


def test_a_run_of_the_core_keeps_every_promise_and_shows_them_at_work(topics):
    """Nothing is broken, and what the findings count is not nothing."""
    findings = topics.judge()
    assert not [finding for finding in findings.values() if not finding.held]
    assert not findings["recall"].detail.startswith("0 ")
    assert "reached 0 times" not in findings["caps"].detail
    assert " 0 dead letters" not in findings["one"].detail


def test_a_missing_decision_is_found(topics):
    """A request without an answer breaks exactly-one, and the chain shows the gap."""
    del topics.rows["contact-decisions"][100]
    assert {"one", "chain"} <= broken(topics)


def test_a_second_decision_is_found(topics):
    """A decision written twice breaks exactly-one."""
    row = topics.rows["contact-decisions"][-1]
    topics.append("contact-decisions", row.key, row.value, row.timestamp)
    assert "one" in broken(topics)


def test_an_edited_decision_is_found(topics):
    """One changed letter breaks the chain."""
    rows = topics.rows["contact-decisions"]
    rows[5] = rows[5]._replace(value=rows[5].value.replace(b"request", b"reqvest", 1))
    assert "chain" in broken(topics)


def passes(topics: Topics) -> list[tuple[int, dict[str, Any]]]:
    """Every pass with its place."""
    decisions = [json.loads(row.value) for row in topics.rows["contact-decisions"]]
    return [(place, decision) for place, decision in enumerate(decisions) if decision["verdict"] == "pass"]


def test_a_pass_after_an_opt_out_is_found(topics):
    """An opt-out of everything that was appended before a request which passed breaks the promise."""
    _, decision = next((p, d) for p, d in passes(topics) if d["requester"] == "insurer" and not d["duplicate"])
    asked = topics.rows["contact-requests"][decision["position"]["request"]]
    opt_out = {
        "type": "consent.withdrawn", "event_id": "x", "subject_id": decision["subject_id"],
        "time": stamp(START_MS + 3_600_000),
    }  # fmt: skip
    topics.append("consent-events", b"x", json.dumps(opt_out).encode(), asked.timestamp - 1)
    assert "opt-out" in broken(topics)


def test_an_opt_out_that_recalls_nothing_is_found(topics):
    """An unused approval that stays open after an opt-out breaks the promise of recall."""
    answered = {json.loads(row.value)["event_id"][2:] for row in topics.rows["contact-outcomes"]}
    decision = next(d for _, d in reversed(passes(topics)) if d["request_id"] not in answered and not d["duplicate"])
    at_ms = millis(decision["decided_at"]) + 1
    opt_out = {
        "type": "consent.withdrawn", "event_id": "x", "subject_id": decision["subject_id"], "time": stamp(at_ms + 500),
    }  # fmt: skip
    topics.append("consent-events", b"x", json.dumps(opt_out).encode(), at_ms)
    request = json.loads(topics.rows["contact-requests"][decision["position"]["request"]].value)
    expected = {"recall"} if request["purpose"] != "collection" else set()
    assert broken(topics) == expected


def test_a_cap_that_is_exceeded_is_found(topics):
    """Four passes where three are allowed break the promise, although the gate said pass."""
    _, decision = next((p, d) for p, d in passes(topics) if d["channel"] != "voice" and not d["duplicate"])
    asked = topics.rows["contact-requests"][decision["position"]["request"]]
    for number in range(6):
        place = topics.append("contact-requests", asked.key, asked.value, asked.timestamp)
        more = {**decision, "approval_ref": f"ar-{number}", "position": {**decision["position"], "request": place}}
        topics.append("contact-decisions", b"k", json.dumps(more).encode(), asked.timestamp)
    assert "caps" in broken(topics)


def test_approvals_that_are_missing_doubled_or_misdirected_are_found(topics):
    """Each pass has one approval, on the topic of its own requester."""
    rows = topics.rows["approvals.insurer"]
    gone = rows.pop(next(n for n, row in enumerate(rows) if b'"contact.approved"' in row.value))
    assert broken(topics) >= {"approval"}
    topics.append("approvals.mailhouse-2", gone.key, gone.value, gone.timestamp)
    assert broken(topics) >= {"approval"}


def test_a_block_that_is_not_told_is_found(topics):
    """A refusal that is missing, goes to another requester, or tells an instant with a word that has none."""
    rows = topics.rows["approvals.insurer"]
    place = next(n for n, row in enumerate(rows) if b'"reason":"not_permitted"' in row.value)
    gone = rows.pop(place)
    assert broken(topics) == {"refusal"}
    topics.append("approvals.mailhouse-2", gone.key, gone.value, gone.timestamp)
    assert broken(topics) == {"refusal"}
    told = gone.value[:-1] + b',"retry_at":"2026-03-02T13:15:00.000Z"}'
    topics.append("approvals.insurer", gone.key, told, gone.timestamp)
    assert "tells about the person" in topics.judge()["refusal"].detail


@pytest.mark.parametrize("topic", ["subjects-changelog", "ops-metrics", "ops-alerts"])
@pytest.mark.parametrize("part", ["phone", "email", "postal"])
def test_a_clear_address_in_any_output_is_found_and_not_repeated(topics, topic, part):
    """A number, an e-mail address or a street that went in and came out is found; the finding does not print it."""
    person = next(
        person
        for person in Population(1, 300, START_MS).people
        if any(getattr(person, part).encode() in row.value for row in topics.rows["contact-requests"])
    )
    address = getattr(person, part)
    topics.append(topic, b"\x01\x02", b"\x00\x07" + address.encode() + b"\x00", START_MS)
    finding = topics.judge()["clear"]
    assert not finding.held
    assert address not in finding.detail


def test_dead_letters_that_should_not_be_are_found(topics):
    """More or fewer dead letters than malformed requests, or any of a good consent, break the promise."""
    found = gather(lambda names: [row for name in names for row in topics.rows.get(name, ())], "", REQUESTERS)
    sent = sum(found.dead.values())
    assert sent == 10
    assert malformed(found, sent).held
    assert not malformed(found, sent + 1).held
    assert "json.duplicate_key 1" in malformed(found, sent).detail
    found.dead_consents = 3
    assert "3 good consent events" in malformed(found, sent).detail


def test_an_opt_out_in_a_wrong_partition_counts_where_it_was_carried_to(whole: Topics) -> None:
    """Its copy is what is in force; a copy in the same partition, or a second one of another origin, is found."""
    value = json.dumps({
        "type": "consent.withdrawn", "event_id": "w-astray", "subject_id": "p-nobody", "time": stamp(START_MS),
    }).encode()  # fmt: skip

    def judged(*copies: tuple[int, bytes]) -> Finding:
        topics = copy(whole)
        lies = Row("consent-events", 1, 0, START_MS, b"p-nobody", value, [])
        rows = [Row("consent-events", at, 9, START_MS, b"p-nobody", value, [(ORIGIN, seal)]) for at, seal in copies]
        topics.rows = {**whole.rows, "consent-events": [*whole.rows["consent-events"], lies, *rows]}
        return topics.judge()["carried"]

    assert judged((2, b"x")) == Finding(judged((2, b"x")).promise, True, "1 consent events lay there")
    assert judged((2, b"x"), (2, b"x")).held, "appended twice, applied once"
    assert not judged((1, b"x")).held
    assert not judged((2, b"x"), (2, b"y")).held

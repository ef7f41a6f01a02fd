"""The upgrade from 0.2.0: its topics, recorded, under a worker of today (tools/record_installation.py made them).

Open approvals of before are recalled under the ids their dialers know; dialers that report by subject and request go on
under `outcomes_by: both`; nothing that restricted is forgotten; the proof tells old decisions from different ones.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from tests.kit.fleet import WorkerProcess, wait_until
from tests.kit.wire import Record, Wire
from tools.record_installation import KEYS, PARTITIONS, POLICY, call, outcome
from typer.testing import CliRunner

from contactgate.broker import Bootstrap
from contactgate.cli.main import app
from contactgate.demo.times import stamp
from contactgate.topics import Layout, TopicAdmin, topic_specs

RECORDED = Path(__file__).parents[1] / "data" / "upgrade-0.2.0.jsonl"
LINES = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
ENDED_MS = max(line["time_ms"] for line in LINES)
MINUTE_MS = 60_000
Message = dict[str, Any]


def recorded(topic: str) -> list[Message]:
    """The messages of a topic as 0.2.0 left it."""
    return [json.loads(line["value"]) for line in LINES if line["topic"] == topic]


def _raw(content: str | dict[str, str] | None) -> bytes | None:
    if isinstance(content, dict):
        return base64.b64decode(content["base64"])
    return None if content is None else content.encode()


class Upgraded:
    """The recorded topics on a broker, with their times, and a worker of today."""

    def __init__(self, address: str, prefix: str, wire: Wire, directory: Path) -> None:
        self.address, self.prefix, self.wire = address, prefix, wire
        self.worker = WorkerProcess(directory)
        self.worker.secrets = KEYS
        self._sent = 0
        with TopicAdmin(address) as admin:
            layout = Layout(prefix, partitions=PARTITIONS, requesters=("callcentre", "mailhouse"), event_time=True)
            admin.create(topic_specs(layout))
        producer = KafkaProducer(bootstrap_servers=address, acks="all")
        for line in LINES:
            sent = producer.send(
                prefix + line["topic"],
                key=_raw(line["key"]),
                value=_raw(line["value"]),
                headers=[(name, content.encode()) for name, content in line["headers"]],
                partition=line["partition"],
                timestamp_ms=line["time_ms"],
            ).get(60)
            if line["topic"].endswith(("-events", "-requests", "-outcomes", "-suppressions")):
                assert sent.offset == line["offset"], "positions in states and decisions mean the same records"
        producer.close()

    def start(self) -> None:
        """The worker of today on topics of before."""
        self.worker.start("--bootstrap", self.address, "--prefix", self.prefix, "--event-time")
        wait_until(lambda: self.worker.running() == set(range(PARTITIONS)), lambda: f"it decides: {self.worker}")

    def send(self, topic: str, key: str, message: Message) -> None:
        """One record, minutes after the older release ended."""
        self._sent += 1
        at_ms = ENDED_MS + self._sent * MINUTE_MS
        value = json.dumps({**message, "time": stamp(at_ms)}).encode()
        self.wire.produce(self.prefix + topic, [(key.encode(), value)], timestamp_ms=at_ms)

    def after(self, topic: str, until: Callable[[list[Message]], bool] | None = None) -> list[Message]:
        """What the release of today has added to a topic, once it holds, or by now."""
        old = len(recorded(topic))

        def messages(records: list[Record]) -> list[Message]:
            ordered = sorted(records, key=lambda record: record.timestamp_ms)
            return [json.loads(record.value or b"") for record in ordered][old:]

        waited = None if until is None else lambda found: until(messages(found))
        return messages(self.wire.consume(self.prefix + topic, until=waited))

    def asks(self, subject: str, which: int) -> tuple[str, ...]:
        """The reasons for which a further call is blocked."""
        topic, key, message = call(subject, which)
        assert isinstance(message, dict)
        self.send(topic, key, message)
        request_id = message["request_id"]
        made = self.after("contact-decisions", lambda found: any(d["request_id"] == request_id for d in found))
        (decision,) = [each for each in made if each["request_id"] == request_id]
        return tuple(reason["rule"] for reason in decision["reasons"])

    def run(self, *arguments: str) -> Any:
        """A command of today."""
        return CliRunner().invoke(app, [*arguments, "--bootstrap", self.address, "--prefix", self.prefix], env=KEYS)


@pytest.fixture
def house(kafka: Bootstrap, topic_prefix: str, wire: Wire, tmp_path: Path) -> Any:
    """The installation; its worker does not outlive the test."""
    place = Upgraded(kafka.address, topic_prefix, wire, tmp_path)
    yield place
    place.worker.kill()


def test_what_was_recorded_is_what_the_story_needs() -> None:
    """Open approvals with ids of before, outcomes by subject and request, states of the second layout."""
    approvals = recorded("approvals.callcentre")
    assert all(re.fullmatch(r"ap-[0-9a-f]{32}", message["approval_id"]) for message in approvals)
    assert {"r1-s~open-1", "r1-s~open-2", "r1-s~open-3"} <= {message["request_id"] for message in approvals}
    assert all({"subject_id", "request_id"} <= message.keys() for message in recorded("contact-outcomes"))
    assert all("controller" not in decision for decision in recorded("contact-decisions"))
    states = [_raw(line["value"]) for line in LINES if line["topic"] == "subjects-changelog" and "~" in line["key"]]
    assert {state[0] for state in states if state} == {2}


def test_open_approvals_of_before_are_recalled_and_old_restrictions_still_bind(house: Upgraded) -> None:
    """Under the approval's old id; opt-outs, flags, erasure, suppression, cool-off and caps are as they were."""
    house.start()
    opt_out = {"type": "consent.withdrawn", "event_id": "late", "subject_id": "s~open-1"}
    house.send("consent-events", "s~open-1", opt_out)
    recalls = house.after(
        "approvals.callcentre", lambda found: any(message["type"] == "contact.recalled" for message in found)
    )
    told = [(each["request_id"], each["approval_id"]) for each in recalls if each["type"] == "contact.recalled"]
    known = {each["request_id"]: each["approval_id"] for each in recorded("approvals.callcentre")}
    assert told == [("r1-s~open-1", known["r1-s~open-1"])]
    assert house.asks("s~out", 8) == ("consent.withdrawn",)
    assert house.asks("s~minor", 8) == ("subject.minor",)
    assert house.asks("s~never", 8) == ("consent.missing",)
    assert set(house.asks("s~erased", 8)) == {"subject.erased", "consent.missing"}
    assert house.asks("s~suppressed", 8) == ("address.suppressed",)
    assert house.asks("s~unsubscribed", 8) == ("consent.withdrawn",)
    assert house.asks("s~refused", 8) == ("cooloff.refusal",)
    assert house.asks("s~full", 8) == ("cap.day",)
    assert house.asks("s~open-3", 8) == ()


def test_dialers_of_before_go_on_under_both(house: Upgraded) -> None:
    """By default a report by subject and request is a dead letter; with the switch it counts for the old approval."""
    house.start()
    assert house.asks("s~open-2", 8) == ("cap.day",), "the call and the letter of before have their places"
    topic, key, message = outcome("s~open-2", "not_attempted")
    assert isinstance(message, dict)
    house.send(topic, key, message)
    letters = house.after("dead-letters", lambda found: len(found) >= 1)
    assert [letter["reason"] for letter in letters] == ["outcome.unproven"]
    assert house.asks("s~open-2", 9) == ("cap.day",)
    activated = {"type": "policy.activated", "event_id": "both", "document": {**POLICY, "outcomes_by": "both"}}
    house.send("control-events", "policy:active", activated)
    assert house.asks("s~open-4", 8) == ()
    assert house.asks("s~open-4", 9) == ("cap.day",)
    topic, key, message = outcome("s~open-4", "not_attempted")
    assert isinstance(message, dict)
    house.send(topic, key, message)
    assert house.asks("s~open-4", 10) == (), "the place of before is free again"
    assert house.asks("s~open-4", 11) == ("cap.day",)
    assert len(house.after("dead-letters")) == 1


def test_the_proof_reads_on_and_tells_old_decisions_apart(house: Upgraded) -> None:
    """One chain over both releases; what 0.2.0 decided is counted apart, what today decided is derived again."""
    house.start()
    asked = ("s~open-3", "s~answered", "s~out", "s~refused", "s~given-back", "s~unsubscribed")
    for subject in asked:
        house.asks(subject, 8)
    whole = house.run("verify")
    assert whole.exit_code == 0, whole.output
    assert f"whole: {len(recorded('contact-decisions')) + len(asked)} decisions" in whole.output
    again = house.run("verify", "--rederive")
    assert again.exit_code == 0, again.output
    old = re.findall(r"([\d,]+) were decided by version 1 of the semantics", again.output)
    assert sum(map(int, old)) == len(recorded("contact-decisions")), again.output
    assert "otherwise" not in again.output
    new = re.findall(r"([\d,]+) decisions derived again and equal", again.output)
    assert sum(map(int, new)) == len(asked)

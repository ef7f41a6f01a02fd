"""A dialer that knows only its own topic of approvals: what it can say, and what nobody can say without its handles.

The dialers here hold a consumer of `approvals.<requester>` and a producer for `contact-outcomes`, and nothing else.
"""

from __future__ import annotations

import base64
import collections
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from tests.kit.fleet import wait_until
from tests.kit.wire import Wire
from typer.testing import CliRunner

from contactgate.broker import Bootstrap
from contactgate.cli.main import app
from contactgate.codec.handles import Handle, Handles
from contactgate.codec.tokens import Tokens
from contactgate.demo.times import millis
from contactgate.demo.workers import Workers
from contactgate.model.log import murmur2
from contactgate.topics import Layout, TopicAdmin, topic_specs

PARTITIONS = 2
POLICY = {
    "policy": "loop", "require": {"campaign": False, "party": False, "notice": False},
    "approval_ttl": "2h", "dedup_horizon": "1d", "unreported": "count",
    "purposes": {"marketing": {"consent": "opt_out"}},
    "caps": [{
        "name": "day", "limit": 1, "window": {"sliding": "1d"}, "scope": ["subject", "purpose"], "counts": "attempted",
    }],
    "cooloffs": [{"name": "refusal", "outcomes": ["refused"], "for": "30d", "scope": ["subject"]}],
}  # fmt: skip
Message = dict[str, Any]


def now() -> str:
    """This instant."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Dialer:
    """What a vendor has: its topic to read, the outcomes to write."""

    def __init__(self, address: str, prefix: str, requester: str) -> None:
        self.requester = requester
        self.heard: list[Message] = []
        self._topic = f"{prefix}contact-outcomes"
        self._producer = KafkaProducer(bootstrap_servers=address, acks="all")
        self._consumer = KafkaConsumer(
            bootstrap_servers=address, isolation_level="read_committed", enable_auto_commit=False
        )
        places = [TopicPartition(f"{prefix}approvals.{requester}", number) for number in range(PARTITIONS)]
        self._consumer.assign(places)
        self._consumer.seek_to_beginning(*places)

    def hear(self, done: Callable[[], bool], what: str) -> None:
        """Read on until it holds."""

        def more() -> bool:
            for records in self._consumer.poll(timeout_ms=200).values():
                self.heard += [json.loads(record.value) for record in records]
            return done()

        wait_until(more, lambda: f"{self.requester} hears {what}: {self.heard}")

    def told(self, kind: str, request_id: str) -> Message | None:
        """What was said last of a request."""
        found = [m for m in self.heard if m["type"] == kind and m["request_id"] == request_id]
        return found[-1] if found else None

    def gone(self) -> list[Message]:
        """What it heard of permissions that were taken back."""
        return [message for message in self.heard if message["type"] == "permission.withdrawn"]

    def approval(self, request_id: str) -> Message:
        """The approval of a request, waited for."""
        self.hear(lambda: self.told("contact.approved", request_id) is not None, f"the approval of {request_id}")
        approval = self.told("contact.approved", request_id)
        assert approval is not None
        return approval

    def report(self, outcome: str, partition: int | None = None, **fields: Any) -> None:
        """One outcome, acknowledged."""
        message = {
            "type": "contact.outcome", "event_id": secrets.token_hex(6), "time": now(), "outcome": outcome, **fields,
        }  # fmt: skip
        self._producer.send(self._topic, value=json.dumps(message).encode(), partition=partition).get(60)

    def close(self) -> None:
        """Let go of the connections."""
        self._producer.close()
        self._consumer.close()


class House:
    """The house: its campaigns, its workers, and what only it may read."""

    def __init__(self, address: str, prefix: str, wire: Wire, directory: Path) -> None:
        self.address, self.prefix, self.wire = address, prefix, wire
        self.workers = Workers(address, prefix, directory)
        self.dialer, self.other = (Dialer(address, prefix, each) for each in ("dialer", "other"))

    def __enter__(self) -> Self:
        self.workers.start(1)
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.stop()
        self.dialer.close()
        self.other.close()

    def ask(self, request_id: str, subject: str, requester: str = "dialer", purpose: str = "marketing") -> None:
        """A campaign asks."""
        message = {
            "type": "contact.requested", "request_id": request_id, "subject_id": subject, "time": now(),
            "requester": requester, "controller": "bank", "purpose": purpose, "channel": "email",
            "address": f"{subject}@mail.example",
        }  # fmt: skip
        self.wire.produce(self.prefix + "contact-requests", [(subject.encode(), json.dumps(message).encode())])

    def decided(self, request_id: str) -> tuple[str, ...]:
        """The rules that blocked it; none: it passed."""

        def there(records: list[Any]) -> bool:
            return any(json.loads(record.value)["request_id"] == request_id for record in records)

        for record in self.wire.consume(self.prefix + "contact-decisions", until=there):
            decision = json.loads(record.value or b"")
            if decision["request_id"] == request_id:
                return tuple(reason["rule"] for reason in decision["reasons"])
        raise AssertionError(request_id)

    def letters(self) -> collections.Counter[str]:
        """Dead letters by reason."""
        made = [json.loads(record.value or b"") for record in self.wire.consume(self.prefix + "dead-letters")]
        return collections.Counter(letter["reason"] for letter in made)

    def verified(self) -> None:
        """What was decided is derived again from the log."""
        keys = {f"CONTACTGATE_{name.upper()}_KEY_FILE": str(self.workers.key(name)) for name in ("token", "seal")}
        options = ["verify", "--rederive", "--bootstrap", self.address, "--prefix", self.prefix]
        done = CliRunner().invoke(app, options, env=keys)
        assert done.exit_code == 0, done.output


@pytest.fixture
def house(kafka: Bootstrap, topic_prefix: str, wire: Wire, tmp_path: Path) -> Iterator[House]:
    """Two dialers and one worker."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(topic_prefix, partitions=PARTITIONS, requesters=("dialer", "other"))))
    event = {"type": "policy.activated", "event_id": "p", "time": now(), "document": POLICY}
    wire.produce(topic_prefix + "control-events", [(b"policy:active", json.dumps(event).encode())])
    with House(kafka.address, topic_prefix, wire, tmp_path) as place:
        yield place


def test_a_dialer_closes_the_loop_with_its_approvals_alone(house: House) -> None:
    """Answers, refusals, places given back, opt-outs in its own words; sent rightly, and to a wrong partition."""
    dialer = house.dialer
    for name in ("answered", "given-back", "refused", "astray", "out"):
        house.ask(f"{name}-1", f"s~{name}")
    house.ask("out-2", "s~out", purpose="marketing.savings")
    approvals = {name: dialer.approval(f"{name}-1") for name in ("answered", "given-back", "refused", "astray", "out")}
    dialer.approval("out-2")
    assert not any("s~" in json.dumps(message) for message in dialer.heard), "it knows nobody"
    for name, word in (("answered", "ANSWERED"), ("given-back", "not_attempted"), ("refused", "refused")):
        approval = approvals[name]
        dialer.report(word, approval["partition"], approval_id=approval["approval_id"])
    astray = approvals["astray"]
    dialer.report("not_attempted", 1 - astray["partition"], approval_id=astray["approval_id"])
    dialer.report("DNC", approvals["out"]["partition"], approval_id=approvals["out"]["approval_id"])
    dialer.hear(lambda: dialer.told("contact.recalled", "out-2") is not None, "that the other approval is recalled")

    def given_back() -> bool:
        house.ask(attempt := secrets.token_hex(4), "s~astray", purpose="marketing")
        return house.decided(attempt) == ()

    wait_until(given_back, lambda: "what lay in the wrong partition gives the place back")
    for name in ("answered", "given-back", "refused", "out"):
        house.ask(f"{name}-3", f"s~{name}")
    assert house.decided("answered-3") == ("cap.day",)
    assert house.decided("given-back-3") == ()
    assert house.decided("refused-3") == ("cap.day", "cooloff.refusal")
    # The opt-out closes the address as well, through the relay: some moments later.
    assert set(house.decided("out-3")) - {"address.suppressed"} == {"consent.withdrawn", "cap.day"}
    assert house.letters() == {}
    house.workers.check()
    house.verified()


def test_a_dialer_hears_that_a_permission_is_gone(house: House) -> None:
    """Whoever had an approval is told under its own token for the person, cut to what the approval covered."""
    dialer, other = house.dialer, house.other
    house.ask("mine", "s~gone")
    house.ask("theirs", "s~gone", "other", "marketing.savings")
    house.ask("bystander", "s~stays", "other")
    approvals = {each: each.approval(name) for each, name in ((dialer, "mine"), (other, "theirs"))}
    other.approval("bystander")
    for each, approval in approvals.items():
        each.report("answered", approval["partition"], approval_id=approval["approval_id"])
    house.ask("after", "s~gone")
    assert house.decided("after") == ("cap.day",), "the approvals are used: there is nothing to recall"
    opt_out = {"type": "consent.withdrawn", "event_id": "w", "subject_id": "s~gone", "time": now()}
    house.wire.produce(house.prefix + "consent-events", [(b"s~gone", json.dumps(opt_out).encode())])
    for each, approval in approvals.items():
        each.hear(lambda each=each: bool(each.gone()), "that the permission is gone")  # type: ignore[misc]
        (told,) = each.gone()
        assert told["subject_token"] == approval["subject_token"]
        assert told["controller"] == "bank"
        assert told["channels"] == ["email"]
        assert "s~" not in json.dumps(told)
    assert dialer.gone()[0]["purposes"] == ["marketing"]
    assert other.gone()[0]["purposes"] == ["marketing.savings"]
    assert dialer.gone()[0]["subject_token"] != other.gone()[0]["subject_token"]
    house.verified()


def test_nobody_reports_on_an_approval_without_its_handle(house: House) -> None:
    """Made up, changed by a bit, of another installation, by subject and request: dead letters that change nothing."""
    thief, other = house.dialer, house.other
    house.ask("victim", "s~victim", "other")
    house.ask("mine", "s~mine")
    victim, mine = other.approval("victim"), thief.approval("mine")
    partition = murmur2(b"s~victim") % PARTITIONS
    assert victim["partition"] == partition
    decisions = [json.loads(record.value or b"") for record in house.wire.consume(house.prefix + "contact-decisions")]
    (decision,) = (each for each in decisions if each["request_id"] == "victim")
    handle = Handle("s~victim", "victim", "other", partition, millis(decision["decided_at"]))
    own = Handles(Tokens(house.workers.key("token").read_bytes().strip()))
    assert own.seal(handle) == victim["approval_id"], "only the key is missing to a forger"
    forged = {
        "made up": "ap." + base64.urlsafe_b64encode(secrets.token_bytes(64)).decode().rstrip("="),
        "of another installation": Handles(Tokens(b"k" * 32)).seal(handle),
        "the reference": victim["approval_ref"],
        "empty": "ap.",
        "half of one": mine["approval_id"][: len(mine["approval_id"]) // 2],
    }
    for place in [*range(3, len(mine["approval_id"]), 7), len(mine["approval_id"]) - 1]:
        forged[f"bit of character {place}"] = _flipped(mine["approval_id"], place)
    for word in ("not_attempted", "unsubscribed"):
        for approval_id in forged.values():
            thief.report(word, partition, approval_id=approval_id)
    thief.report("not_attempted", partition, subject_id="s~victim", request_id="victim")
    thief.report("not_attempted", partition, subject_id="s~victim", request_id="victim", approval_id="ap-" + "0" * 32)
    wanted = 2 * len(forged) + 2
    wait_until(lambda: house.letters().total() >= wanted, lambda: f"dead letters: {house.letters()}")
    house.ask("again", "s~victim", "other")
    assert house.decided("again") == ("cap.day",), "its place is kept"
    house.ask("again-mine", "s~mine")
    assert house.decided("again-mine") == ("cap.day",)
    house.ask("beside", "s~victim", "other", "marketing.savings")
    assert house.decided("beside") == (), "and nobody opted out"
    assert house.letters().total() == wanted
    other.approval("beside")
    assert not [message for message in other.heard + thief.heard if message["type"] == "contact.recalled"]
    house.verified()


def test_a_stolen_handle_reports_for_its_own_approval_and_nothing_else(house: House) -> None:
    """Whoever has it can give that place back; what else the message names does not matter."""
    thief, other = house.dialer, house.other
    house.ask("victim-1", "s~victim", "other")
    house.ask("victim-2", "s~victim", "other", "marketing.savings")
    house.ask("third", "s~third", "other")
    stolen = other.approval("victim-1")
    other.approval("victim-2")
    other.approval("third")
    thief.report(
        "not_attempted", stolen["partition"], approval_id=stolen["approval_id"], subject_id="s~third",
        request_id="third",
    )  # fmt: skip

    def given_back() -> bool:
        house.ask(attempt := secrets.token_hex(4), "s~victim", "other")
        return house.decided(attempt) == ()

    wait_until(given_back, lambda: f"the place of the stolen approval is free: {house.letters()}")
    house.ask("savings", "s~victim", "other", "marketing.savings")
    house.ask("third-2", "s~third", "other")
    assert house.decided("savings") == ("cap.day",)
    assert house.decided("third-2") == ("cap.day",)
    house.verified()


def _flipped(text: str, place: int) -> str:
    """The handle with one bit of what it holds changed."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:place] + alphabet[alphabet.index(text[place]) ^ 1] + text[place + 1 :]

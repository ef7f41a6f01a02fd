"""Records an installation of an older release: every topic, as tests/data/upgrade-VERSION.jsonl holds it.

    git worktree add --detach /tmp/old 5613a27
    .venv/bin/python tools/record_installation.py /tmp/old/src tests/data/upgrade-0.2.0.jsonl

Starts a broker and one worker of that release, tells it the story below, and writes what its topics hold, one record a
line with its place and time. Talks to the older code by its command line alone. The keys are KEYS, known to everybody.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from contactgate.broker import bootstrap_or_start

PREFIX: Final = "recorded-"
PARTITIONS: Final = 2
KEYS: Final = {
    "CONTACTGATE_TOKEN_KEY": "recorded-token-key-" + "t" * 20,
    "CONTACTGATE_SEAL_KEY": "recorded-seal-key-" + "s" * 14,
}
TOPICS: Final = (
    "control-events", "address-suppressions", "consent-events", "contact-requests", "contact-outcomes",
    "contact-decisions", "approvals.callcentre", "approvals.mailhouse", "subjects-changelog", "dead-letters",
)  # fmt: skip
POLICY: Final = {
    "policy": "recorded", "approval_ttl": "12h", "dedup_horizon": "7d", "unreported": "count",
    "require": {"campaign": True, "party": True, "notice": True},
    "purposes": {"marketing": {"consent": "opt_in"}, "service": {"consent": "opt_out"}},
    "caps": [{"name": "day", "limit": 2, "window": {"sliding": "1d"}, "scope": ["subject"], "counts": "attempted"}],
    "cooloffs": [{"name": "refusal", "outcomes": ["refused"], "for": "30d", "scope": ["subject", "controller"]}],
}  # fmt: skip
Sent = tuple[str, str, dict[str, Any] | bytes]


def stamp(ahead_s: float = 0.0) -> str:
    """This instant, or one that is `ahead_s` seconds ahead."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + ahead_s))


def world() -> Iterator[Sent]:
    """Policy, notice, parties, campaigns, a list, a pause that was lifted and one that is in force."""
    long_ago, late = stamp(-86_400 * 300), stamp(86_400 * 3_000)

    def event(key: str, kind: str, *, ago_s: float = 3_600, **fields: Any) -> Sent:
        return "control-events", key, {"type": kind, "event_id": key, "time": stamp(-ago_s), **fields}

    yield event("policy:active", "policy.activated", document=POLICY)
    yield event(
        "notice:n", "notice.published", notice_id="n", version=1, controller="bank", purposes=["marketing"],
        recipients=["bank", "callcentre", "mailhouse"], data_categories=["basic"], effective_at=long_ago,
        text_sha256="0" * 64,
    )  # fmt: skip
    for party, channels in (("callcentre", ["voice"]), ("mailhouse", ["email"])):
        agreement = {
            "controller": "bank", "purposes": ["marketing", "service"], "channels": channels,
            "data_categories": ["basic"], "valid_from": long_ago, "valid_until": late,
        }  # fmt: skip
        yield event(f"party:{party}", "party.updated", party_id=party, status="active", agreements=[agreement])
    for campaign, requester, purpose in (("calls", "callcentre", "marketing"), ("letters", "mailhouse", "service")):
        yield event(
            f"campaign:{campaign}", "campaign.updated", campaign_id=campaign, status="approved", controller="bank",
            requesters=[requester], purposes=[purpose], channels=["voice" if requester == "callcentre" else "email"],
            created_by="ann", approved_by="bob", valid_from=long_ago, valid_until=late,
        )  # fmt: skip
    yield event("pause:old", "pause.set", pause_id="old", reason="a test", scope={})
    yield event("pause:old", "pause.lifted", ago_s=1_800, pause_id="old", by="ann")
    yield event("pause:sms", "pause.set", pause_id="sms", reason="no gateway", scope={"channels": ["sms"]})
    suppressed = {"type": "address.suppressed", "event_id": "a", "time": stamp(-60), "reason": "stop_reply"}
    yield "address-suppressions", "", {**suppressed, "address": number("s~suppressed")}


def number(subject: str) -> str:
    """The telephone number of somebody, from the range for fiction."""
    return f"+1212555{100 + SUBJECTS.index(subject):04d}"


def people() -> Iterator[Sent]:
    """Everybody agreed but one; one has opted out since, and one is a minor."""
    for subject in SUBJECTS:
        grant = {
            "type": "consent.granted", "event_id": f"g-{subject}", "subject_id": subject, "time": stamp(-7_200),
            "controller": "bank", "purposes": ["marketing"], "channels": ["voice"],
            "recipients": ["bank", "callcentre"], "data_categories": ["basic"], "notice_id": "n",
            "evidence": {"method": "written"},
        }  # fmt: skip
        profile = {
            "type": "subject.updated", "event_id": f"u-{subject}", "subject_id": subject, "time": stamp(-7_300),
            "timezone": "Europe/Berlin", "flags": ["minor"] if subject == "s~minor" else [],
        }  # fmt: skip
        yield "consent-events", subject, profile
        if subject != "s~never":
            yield "consent-events", subject, grant
    out = {"type": "consent.withdrawn", "event_id": "w-out", "subject_id": "s~out", "time": stamp(-30)}
    yield "consent-events", "s~out", {**out, "controller": "bank", "channels": ["voice"]}
    yield "consent-events", "s~erased", {
        "type": "subject.erased", "event_id": "x-erased", "subject_id": "s~erased", "time": stamp(-30),
    }  # fmt: skip


SUBJECTS: Final = tuple(
    f"s~{name}"
    for name in (
        "never", "out", "erased", "minor", "suppressed", "open-1", "open-2", "open-3", "open-4", "answered", "refused",
        "unsubscribed", "given-back", "full",
    )
)  # fmt: skip
"""Who is in the story; the name says what has become of them when the older release ends."""


def call(subject: str, which: int = 1) -> Sent:
    """A request of the call centre."""
    return "contact-requests", subject, {
        "type": "contact.requested", "request_id": f"r{which}-{subject}", "subject_id": subject, "time": stamp(),
        "requester": "callcentre", "controller": "bank", "campaign_id": "calls", "purpose": "marketing",
        "channel": "voice", "address": number(subject), "data_categories": ["basic"],
    }  # fmt: skip


def letter(subject: str) -> Sent:
    """A request of the mail house."""
    return "contact-requests", subject, {
        "type": "contact.requested", "request_id": f"m-{subject}", "subject_id": subject, "time": stamp(),
        "requester": "mailhouse", "controller": "bank", "campaign_id": "letters", "purpose": "service",
        "channel": "email", "address": f"{subject[2:]}@mail.example", "data_categories": ["basic"],
    }  # fmt: skip


def outcome(subject: str, word: str) -> Sent:
    """What became of the first call, as dialers of that release say it."""
    return "contact-outcomes", subject, {
        "type": "contact.outcome", "event_id": f"o-{subject}", "request_id": f"r1-{subject}", "subject_id": subject,
        "time": stamp(), "outcome": word,
    }  # fmt: skip


class Installation:
    """Topics and a worker of the older release."""

    def __init__(self, source: Path, address: str, directory: Path) -> None:
        self._address = address
        self._environment = {**os.environ, **KEYS, "PYTHONPATH": str(source)}
        self._directory = directory
        self._producer = KafkaProducer(bootstrap_servers=address, acks="all")

    def command(self, *arguments: str) -> list[str]:
        """A command of the older release."""
        options = ["--bootstrap", self._address, "--prefix", PREFIX]
        return [sys.executable, "-c", "from contactgate.cli.main import app; app()", *arguments, *options]

    def run(self, *arguments: str, stdin: str | None = None) -> None:
        """Run one to its end; its failure ends the recording."""
        subprocess.run(self.command(*arguments), env=self._environment, input=stdin, text=True, check=True)

    def worker(self) -> subprocess.Popen[bytes]:
        """Start its worker."""
        command = self.command("worker", "--state-dir", str(self._directory / "state"), "--pages-port", "0")
        return subprocess.Popen(command, env=self._environment)

    def send(self, records: Iterator[Sent] | list[Sent]) -> None:
        """Publish these, acknowledged; suppressions by `publish`, which makes their keys."""
        for topic, key, message in records:
            value = message if isinstance(message, bytes) else json.dumps(message).encode()
            if topic == "address-suppressions":
                self.run("publish", "-", stdin=value.decode() + "\n")
            else:
                self._producer.send(PREFIX + topic, key=key.encode(), value=value).get(60)

    def close(self) -> None:
        """Let go of the connection."""
        self._producer.close()

    def records(self) -> list[dict[str, Any]]:
        """All topics, from the beginning, committed."""
        consumer = KafkaConsumer(
            bootstrap_servers=self._address, isolation_level="read_committed", enable_auto_commit=False
        )
        names = [PREFIX + topic for topic in TOPICS]
        places = [TopicPartition(name, part) for name in names for part in sorted(consumer.partitions_for_topic(name))]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        found = []
        while any(consumer.position(place) < ends[place] for place in places):
            for batch in consumer.poll(timeout_ms=200).values():
                found += [_line(record) for record in batch]
        consumer.close()
        order = {topic: number for number, topic in enumerate(TOPICS)}
        return sorted(found, key=lambda line: (order[line["topic"]], line["partition"], line["offset"]))

    def wait(self, topic: str, done: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Until a topic holds what is waited for."""
        limit = time.monotonic() + 120
        while not done([line for line in self.records() if line["topic"] == topic]):
            if time.monotonic() > limit:
                raise TimeoutError(topic)
            time.sleep(0.5)


def _line(record: Any) -> dict[str, Any]:
    return {
        "topic": record.topic.removeprefix(PREFIX),
        "partition": record.partition,
        "offset": record.offset,
        "time_ms": record.timestamp,
        "key": _text(record.key),
        "value": _text(record.value),
        "headers": [[name, content.decode()] for name, content in record.headers or ()],
    }


def _text(raw: bytes | None) -> str | dict[str, str] | None:
    """Text as it is, everything else in base64."""
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}


def story(house: Installation) -> None:
    """What is told to the older release."""
    house.send(world())
    house.send(people())
    worker = house.worker()
    try:
        # A dialer of its own time waits until its approvals are there.
        house.send([call(subject) for subject in SUBJECTS])
        house.send([call("s~full", 2), call("s~full", 3), call("s~open-1"), letter("s~open-2"), letter("s~full")])
        house.send([("contact-requests", "s~open-1", b'{"type":"contact.requested","request_id":"broken"')])
        house.wait("contact-decisions", lambda found: len(found) >= len(SUBJECTS) + 5)
        words = {"answered": "answered", "refused": "refused", "unsubscribed": "unsubscribed"}
        words |= {"given-back": "not_attempted"}
        house.send([outcome(f"s~{name}", word) for name, word in words.items()])
        house.send([call(f"s~{name}", 2) for name in words])
        house.wait("contact-decisions", lambda found: len(found) >= len(SUBJECTS) + 5 + len(words))
    finally:
        worker.terminate()
        worker.wait(60)


def main() -> int:
    """Record it."""
    source, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as directory, bootstrap_or_start() as broker:
        house = Installation(source, broker.address, Path(directory))
        parties = ("--requester", "callcentre", "--requester", "mailhouse")
        house.run("topics", "create", "--partitions", str(PARTITIONS), *parties)
        story(house)
        records = house.records()
        house.close()
    target.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in records), encoding="utf-8")
    print(f"{len(records)} records in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

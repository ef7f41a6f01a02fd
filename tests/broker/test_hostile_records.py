"""Hostile inputs that only a broker shows: batches, headers, timestamps, sizes, bombs, floods, and HTTP.

One live worker of the real gate meets all of them. Each test sends its own, and ends by asking whether somebody else is
still decided: a record that stops its partition would stop everything after it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import os
import random
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError
from tests.kit.fleet import SECRETS, WorkerProcess
from tests.kit.wire import Record, Wire

from contactgate.broker import Bootstrap
from contactgate.codec.seal import Sealer
from contactgate.model.log import murmur2
from contactgate.settings import Settings
from contactgate.topics import Layout, TopicAdmin, topic_specs

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.slow,
    # kafka-python leaves a socket open that was still connecting when its client was closed; these tests open many.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PARTITIONS = 2
PATIENCE_S = 200.0  # for a machine that is busy with other work
NUMBER = "+12125550199"
POLICY = {
    "policy": "hostile", "packs": [], "approval_ttl": "15m", "dedup_horizon": "7d", "unreported": "count",
    "require": {"campaign": False, "party": False, "notice": False},
    "purposes": {"marketing": {"consent": "opt_in"}, "service": {"consent": "opt_out"}},
}  # fmt: skip


def at(seconds_ago: float = 0.0) -> str:
    """An instant of just now, as messages write it."""
    moment = time.gmtime(time.time() - seconds_ago)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)


class Place:
    """An installation with one worker, and what a publisher and a verifier do with it."""

    def __init__(self, address: str, prefix: str, worker: WorkerProcess, wire: Wire) -> None:
        self.address, self.prefix, self.worker, self.wire = address, prefix, worker, wire
        self._asked = 0

    def send(self, topic: str, value: bytes | None, key: bytes | None, **options: Any) -> tuple[int, int]:
        """One record, acknowledged; its partition and offset. `producer`: options of its producer."""
        producer = KafkaProducer(
            bootstrap_servers=self.address, max_request_size=400 << 20,
            request_timeout_ms=60_000, max_block_ms=60_000, **options.pop("producer", {}),
        )  # fmt: skip
        try:
            told = producer.send(self.prefix + topic, key=key, value=value, **options).get(timeout=90)
        finally:
            producer.close(timeout=10)
        return told.partition, told.offset

    def request(self, subject: str, **changed: Any) -> dict[str, Any]:
        """A service call, which passes unless something forbids it."""
        self._asked += 1
        return {
            "type": "contact.requested", "request_id": f"r-{self._asked}", "subject_id": subject, "time": at(),
            "requester": "dialer", "controller": "bank", "purpose": "service", "channel": "voice",
            "address": NUMBER, **changed,
        }  # fmt: skip

    def verdicts(self, *requests: dict[str, Any]) -> list[str]:
        """What was decided about each, in this order."""
        wanted = [request["request_id"] for request in requests]
        self.wire.produce(
            self.prefix + "contact-requests",
            [(request["subject_id"].encode(), json.dumps(request).encode()) for request in requests],
        )
        return [found[each] for each in wanted] if (found := self.decided(set(wanted))) else []

    def decided(self, wanted: set[str]) -> dict[str, str]:
        """The verdicts on requests, once these are decided."""

        def done(records: list[Record]) -> bool:
            return wanted <= _verdicts(records).keys()

        return _verdicts(self.wire.consume(self.prefix + "contact-decisions", until=done, timeout_s=PATIENCE_S))

    def still_decides(self) -> None:
        """Somebody else on every partition is decided, by the same worker process."""
        subjects = [f"n-{number}" for number in range(40)]
        asked = [self.request(subject) for subject in subjects]
        assert {murmur2(subject.encode()) % PARTITIONS for subject in subjects} == set(range(PARTITIONS))
        assert self.verdicts(*asked) == ["pass"] * len(asked)
        assert self.worker.process is not None
        assert self.worker.process.poll() is None, "the worker lives"

    def letters(self, kind: str, places: set[tuple[int, int]]) -> dict[tuple[int, int], dict[str, Any]]:
        """The dead letters of these records (partition, offset), once all are there."""

        def found(records: list[Record]) -> dict[tuple[int, int], dict[str, Any]]:
            told = (json.loads(record.value or b"{}") for record in records)
            return {
                place: letter
                for letter in told
                if letter["topic"] == kind and (place := (letter["partition"], letter["offset"])) in places
            }

        records = self.wire.consume(
            self.prefix + "dead-letters", until=lambda records: len(found(records)) == len(places), timeout_s=PATIENCE_S
        )
        return found(records)


def _verdicts(records: list[Record]) -> dict[str, str]:
    made = (json.loads(record.value or b"{}") for record in records)
    return {each["request_id"]: each["verdict"] for each in made}


@pytest.fixture(scope="module")
def place(kafka: Bootstrap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One worker for all of them, with a policy."""
    prefix = f"hostile-{secrets.token_hex(4)}-"
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(prefix, partitions=PARTITIONS, requesters=("dialer",))))
    event = {"type": "policy.activated", "event_id": "p", "time": at(60), "document": POLICY}
    worker = WorkerProcess(tmp_path_factory.mktemp("hostile"))
    with Wire(kafka.address) as wire:
        wire.produce(prefix + "control-events", [(b"policy:active", json.dumps(event).encode())])
        worker.start("--bootstrap", kafka.address, "--prefix", prefix)
        try:
            yield Place(kafka.address, prefix, worker, wire)
        finally:
            worker.kill()


def withdrawn(subject: str, **changed: Any) -> bytes:
    """An opt-out of everything."""
    event = {"type": "consent.withdrawn", "event_id": f"w-{subject}", "subject_id": subject, "time": at(), **changed}
    return json.dumps(event).encode()


def sealer() -> Sealer:
    """Opens what the worker sealed."""
    return Sealer(Settings(seal_key=SECRETS["CONTACTGATE_SEAL_KEY"]).sealing_key())  # type: ignore[arg-type]


def test_records_too_large_for_the_topic_are_refused_by_kafka(place: Place) -> None:
    """Rows 23 and 31: what is larger than a topic's record never becomes one; the gate never hears of it."""
    for size in (10 << 20, (1 << 20) + 1):
        with pytest.raises(KafkaError):
            place.send("consent-events", random.Random(size).randbytes(size), b"big")
    place.still_decides()


def test_the_largest_record_there_can_be_becomes_a_letter_that_holds_it(place: Place) -> None:
    """Rows 31 and 32: 1 MiB of noise, sealed and twice in base64, fits into the dead letters' topic."""
    sizes = ((1 << 20) - 200, 655_360, 65_537)
    sent = {place.send("consent-events", raw, b"big"): raw for raw in map(os.urandom, sizes)}
    letters = place.letters("consent", set(sent))
    for where, raw in sent.items():
        letter = letters[where]
        assert letter["reason"] == "message.too_large"
        opened = sealer().open(f"consent/{where[0]}/{where[1]}", letter["sealed"])
        assert (opened.key, opened.value) == (b"big", raw)
    place.still_decides()


async def _compressed(place: Place, codec: str, value: bytes, key: bytes) -> tuple[int, int]:
    """One record in a compressed batch, by the client that has all four compressions."""
    producer = AIOKafkaProducer(
        bootstrap_servers=place.address, compression_type=codec, max_request_size=400 << 20, max_batch_size=400 << 20,
        request_timeout_ms=60_000,
    )  # fmt: skip
    await producer.start()
    try:
        told = await producer.send_and_wait(place.prefix + "consent-events", value, key=key)
    finally:
        await producer.stop()
    return told.partition, told.offset


CODECS = ("gzip", "zstd", "lz4", "snappy")


@pytest.mark.parametrize("codec", CODECS)
def test_a_compression_bomb_is_refused_by_kafka(place: Place, codec: str) -> None:
    """Row 33: what a producer compressed is unpacked before it is measured, to the byte; a record that fits is kept
    whole in its letter, however little it takes compressed."""
    for size in ((1 << 20) + 1, (20 << 20) if codec in {"lz4", "snappy"} else (60 << 20)):
        with pytest.raises(MessageSizeTooLargeError):
            asyncio.run(_compressed(place, codec, b"0" * size, b"bomb"))
    largest = b"0" * ((1 << 20) - 200)
    where = asyncio.run(_compressed(place, codec, largest, b"bomb"))
    (letter,) = place.letters("consent", {where}).values()
    assert sealer().open(f"consent/{where[0]}/{where[1]}", letter["sealed"]).value == largest
    place.still_decides()


@pytest.fixture
def unmeasured(place: Place) -> Iterator[None]:
    """Somebody takes the setting away that makes Kafka measure what is compressed."""
    admin = KafkaAdminClient(bootstrap_servers=[place.address])
    topic = place.prefix + "consent-events"
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"compression.type": "producer"})])
        yield
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"compression.type": "uncompressed"})])
    finally:
        admin.close()


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("codec", CODECS)
def test_a_compression_bomb_that_a_topic_let_in_is_a_letter_and_stops_nobody(place: Place, codec: str) -> None:
    """Row 33: what is too large for a letter is told by its SHA-256, and binds if it is an opt-out."""
    size = (20 << 20) if codec in {"lz4", "snappy"} else (60 << 20)
    subject = f"bomb-{codec}"
    bomb = withdrawn(subject)[:-1] + b',"said":"' + b"0" * size + b'"}'
    where = asyncio.run(_compressed(place, codec, bomb, subject.encode()))
    (letter,) = place.letters("consent", {where}).values()
    assert letter["reason"] == "message.too_large"
    assert "sealed" not in letter
    assert letter["sha256"] == hashlib.sha256(bomb).hexdigest()
    assert place.verdicts(place.request(subject)) == ["block"], "it was an opt-out"
    place.still_decides()


class _Bytes(str):
    """A header's name that is no text."""

    __slots__ = ()

    def encode(self, *_: Any, **__: Any) -> bytes:
        return b"\xff\xfe"


def test_headers_of_any_kind_are_never_followed(place: Place) -> None:
    """Row 35: many, large, doubled, forged and unreadable ones: the message alone is judged."""
    many = [(f"h{number}", b"x") for number in range(10_000)]
    large = [("h", b"x" * 900_000)]
    forged = [
        ("x-source-offset", b"0"),
        ("x-deadletter-reason", b"none"),
        ("ce_type", b"consent.granted"),
        ("hx", b"1"),
    ]
    for number, headers in enumerate(
        (many, large, [*forged, *forged], [("traceparent", b"\xff")], [(_Bytes("x"), b"1")])
    ):
        subject = f"headers-{number}"
        place.send("consent-events", withdrawn(subject), subject.encode(), headers=headers)
        ask = place.request(subject)
        place.send("contact-requests", json.dumps(ask).encode(), subject.encode(), headers=headers)
        assert place.decided({ask["request_id"]})[ask["request_id"]] == "block"
    place.still_decides()


def test_timestamps_of_the_sender_count_for_nothing(place: Place) -> None:
    """Row 36: our inputs keep Kafka's own clock, so nobody can date an opt-out away."""
    now_ms = int(time.time() * 1000)
    for number, stamp in enumerate((0, 1, now_ms + 3_540_000, now_ms + 31_536_000_000, 2**63 - 1)):
        subject = f"stamp-{number}"
        place.send("consent-events", withdrawn(subject), subject.encode(), timestamp_ms=stamp)
        assert place.verdicts(place.request(subject)) == ["block"]
    place.still_decides()


def test_records_on_a_wrong_partition_are_carried_to_their_own(place: Place) -> None:
    """Row 39: a request there is decided where its subject belongs, and so is one after an opt-out that lay there."""
    subject = "astray"
    own = murmur2(subject.encode()) % PARTITIONS
    ask = place.request(subject)
    place.send("contact-requests", json.dumps(ask).encode(), subject.encode(), partition=1 - own)
    assert place.decided({ask["request_id"]})[ask["request_id"]] == "pass"
    place.send("consent-events", withdrawn(subject), subject.encode(), partition=1 - own)
    # The promise counts from the relay's append, which nobody acknowledges to the producer: ask until it binds.
    deadline = time.monotonic() + PATIENCE_S
    while place.verdicts(place.request(subject)) != ["block"]:
        assert time.monotonic() < deadline, "the opt-out was not carried to the partition of its subject"
    place.still_decides()


def test_topics_that_look_alike_are_not_ours(place: Place) -> None:
    """Row 43: only exact names are read."""
    (spec,) = [s for s in topic_specs(Layout(place.prefix, partitions=PARTITIONS)) if s.name.endswith("consent-events")]
    names = [place.prefix + name for name in ("consent-events2", "Consent-events", "x-consent-events")]
    with TopicAdmin(place.address) as admin:
        admin.create([dataclasses.replace(spec, name=name) for name in names])
    for name in names:
        place.send(name.removeprefix(place.prefix), withdrawn("alike"), b"alike")
    assert place.verdicts(place.request("alike")) == ["pass"]


async def _one_batch(place: Place, count: int) -> None:
    """Empty records, as many as there shall be, in one batch."""
    producer = AIOKafkaProducer(bootstrap_servers=place.address, request_timeout_ms=60_000, max_batch_size=1_000_000)
    await producer.start()
    try:
        batch = producer.create_batch()
        for _ in range(count):
            assert batch.append(key=None, value=b"", timestamp=None) is not None
        await (await producer.send_batch(batch, place.prefix + "consent-events", partition=0))
    finally:
        await producer.stop()


def test_a_flood_of_poison_is_all_letters_and_stops_nobody(place: Place) -> None:
    """Rows 34 and 44: a batch of 20,000 (long: 100,000) empty records and 10,000 broken ones are a dead letter each."""
    empty = 100_000 if os.environ.get("CONTACTGATE_LONG") == "1" else 20_000
    before = len(place.wire.consume(place.prefix + "dead-letters", timeout_s=PATIENCE_S))
    asyncio.run(_one_batch(place, empty))
    poison = [(b"flood", b'{"type":"consent.granted"')] * 10_000
    place.wire.produce(place.prefix + "consent-events", poison, partition=0)
    place.still_decides()

    def done(records: list[Record]) -> bool:
        return len(records) >= before + empty + len(poison)

    letters = place.wire.consume(place.prefix + "dead-letters", until=done, timeout_s=PATIENCE_S)
    assert len(letters) == before + empty + len(poison)
    named = {
        (each["topic"], each["partition"], each["offset"]) for r in letters if (each := json.loads(r.value or b""))
    }
    assert len(named) == len(letters), "each record has one letter"


def test_one_subject_with_half_of_the_traffic_holds_up_nobody(place: Place) -> None:
    """Row 45: 200 requests of one subject among 200 of others; each is decided."""
    asked = [place.request("hot" if number % 2 else f"cold-{number}") for number in range(400)]
    verdicts = place.verdicts(*asked)
    assert verdicts == ["pass"] * len(asked)

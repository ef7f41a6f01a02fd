"""The relay on a real broker: records in a wrong partition, pumps that fail, stop or are killed at the worst moment."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from kafka import KafkaProducer
from tests.kit.enginelab import Bench, settings_for, until
from tests.kit.fleet import SECRETS, Fleet, wait_until
from tests.kit.wire import Wire

from contactgate.broker import Bootstrap
from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.engine.compose import Secrets, build_worker
from contactgate.engine.relay import Relay
from contactgate.engine.worker import Worker
from contactgate.errors import BrokerUnavailable
from contactgate.model.log import murmur2
from contactgate.policy.load import load_policy
from contactgate.topics import Layout, TopicAdmin, topic_specs

PARTITIONS = 2
POLICY = {
    "policy": "relay", "require": {"campaign": False, "party": False, "notice": False},
    "approval_ttl": "2h", "dedup_horizon": "1d", "unreported": "count", "purposes": {"service": {"consent": "opt_out"}},
}  # fmt: skip


def now() -> str:
    """This instant."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def ask(request_id: str, subject: str) -> dict[str, Any]:
    """A request that passes unless the subject opted out."""
    return {
        "type": "contact.requested", "request_id": request_id, "subject_id": subject, "time": now(),
        "requester": "dialer", "controller": "bank", "purpose": "service", "channel": "email",
        "address": f"{subject}@mail.example",
    }  # fmt: skip


def withdraw(subject: str) -> dict[str, Any]:
    """An opt-out of everything."""
    return {"type": "consent.withdrawn", "event_id": f"w-{subject}", "subject_id": subject, "time": now()}


def wrong(subject: str) -> int:
    """The partition that does not own the subject."""
    return 1 - murmur2(subject.encode()) % PARTITIONS


class StoresNothing(Relay):
    """Killed before each commit of its place."""

    async def _store(self, reader: AIOKafkaConsumer) -> None:
        """The append was acknowledged, and nobody will know."""


class FailsAfterAppends(Relay):
    """Its first appends are done and their answers are lost."""

    left = 3

    async def _append(self, records: list[tuple[Any, int]]) -> None:
        """As it is, and then no answer."""
        await super()._append(records)
        if self.left:
            self.left -= 1
            raise BrokerUnavailable("the answer was lost")


class Stuck(Relay):
    """Appends nothing."""

    async def _append(self, records: list[tuple[Any, int]]) -> None:
        """No leader, for ever."""
        raise BrokerUnavailable("no leader")


@contextlib.asynccontextmanager
async def working(kafka: Bootstrap, prefix: str, state: Path, relay: type[Relay] = Relay) -> AsyncIterator[Worker[Any]]:
    """A worker of the real gate that runs both partitions."""
    settings = settings_for(kafka.address, prefix, state, PARTITIONS)
    secrets = Secrets(Tokens(SECRETS["CONTACTGATE_TOKEN_KEY"].encode()), Sealer(b"s" * 32))
    worker = build_worker(settings, secrets, policy=load_policy(POLICY))
    worker.relay = worker.shared.relay = relay(settings, worker.alert)
    await worker.start()
    try:
        worker.converge(frozenset(range(PARTITIONS)), frozenset())
        await until(lambda: worker.ready, "the worker is ready")
        yield worker
    finally:
        await worker.stop()


async def _requests(bench: Bench, count: int) -> dict[str, str]:
    """Requests of many subjects in the wrong partition, after an opt-out of every third there; id and verdict."""
    wanted = {}
    for number in range(count):
        subject = f"s~{number}"
        if number % 3 == 0:
            await bench.send("consent-events", subject, withdraw(subject), wrong(subject))
    for number in range(count):
        subject = f"s~{number}"
        await bench.send("contact-requests", subject, ask(f"q{number}", subject), wrong(subject))
        wanted[f"q{number}"] = subject
    return wanted


async def _decided_once(bench: Bench, wanted: dict[str, str]) -> None:
    """Each request has one decision, in the partition of its subject, and one approval if it passed."""
    records = await bench.read("contact-decisions", len(wanted))
    made = [(record, json.loads(record.value)) for record in records]
    assert collections.Counter(d["request_id"] for _, d in made) == dict.fromkeys(wanted, 1)
    assert all(record.partition == 1 - wrong(decision["subject_id"]) for record, decision in made)
    assert not any(decision["duplicate"] for _, decision in made)
    passed = {d["request_id"] for _, d in made if d["verdict"] == "pass"}
    told = {json.loads(record.value)["request_id"] for record in await bench.read("approvals.dialer")}
    assert passed <= told
    assert await bench.read("dead-letters") == []


async def test_a_place_that_was_not_stored_repeats_and_nothing_is_applied_twice(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """Everything is appended, the worker dies before it says so; its successor appends all of it again."""
    async with working(kafka, topic_prefix, tmp_path / "a", StoresNothing):
        wanted = await _requests(bench, 30)
        await _decided_once(bench, wanted)
    async with working(kafka, topic_prefix, tmp_path / "b") as worker:
        await until(lambda: worker.relay.appended == 40, "all of it is appended once more")
        await bench.send("contact-requests", "last", ask("last", "last"))
        await bench.send("contact-requests", "s~1", ask("after", "s~1"))
        await _decided_once(bench, {**wanted, "last": "last", "after": "s~1"})
    assert len(await bench.read("contact-requests")) == 3 * 30 + 2
    async with working(kafka, topic_prefix, tmp_path / "c") as worker:
        await asyncio.sleep(1.5)
        assert worker.relay.appended == 0


async def test_lost_answers_and_a_late_start_change_nothing(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """The pump starts again by itself, whatever was done of what it asked for."""
    async with working(kafka, topic_prefix, tmp_path, FailsAfterAppends) as worker:
        wanted = await _requests(bench, 12)
        await _decided_once(bench, wanted)
        await until(lambda: not any(worker.relay.lag(partition) for partition in range(PARTITIONS)), "nothing is left")
        assert worker.meter.alerts["input.misrouted"] == 1
    assert len(await bench.read("contact-requests")) >= 2 * 12


async def test_a_relay_that_cannot_append_holds_up_nobody_and_says_so(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are decided, the worker is unready and raises an alert, and it ends as quickly as ever."""
    monkeypatch.setattr("contactgate.engine.relay.BEHIND_S", 1.0)
    monkeypatch.setattr("contactgate.engine.worker.BEHIND_S", 1.0)
    async with working(kafka, topic_prefix, tmp_path, Stuck) as worker:
        await bench.send("contact-requests", "astray", ask("q-astray", "astray"), wrong("astray"))
        await bench.send("contact-requests", "other", ask("q-other", "other"))
        assert [d["request_id"] for d in await bench.decisions(1)] == ["q-other"]
        await until(lambda: worker.meter.alerts["relay.behind"] == 1, "the alert is raised")
        assert not worker.ready
        assert sum(worker.relay.lag(partition) for partition in range(PARTITIONS)) >= 1
        began = time.monotonic()
    assert time.monotonic() - began < 15
    async with working(kafka, topic_prefix, tmp_path):
        assert {d["request_id"] for d in await bench.decisions(2)} == {"q-other", "q-astray"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_workers_lose_and_repeat_nothing_of_what_lay_wrongly(
    kafka: Bootstrap, topic_prefix: str, wire: Wire, tmp_path: Path
) -> None:
    """Eight SIGKILLs while everything comes in the wrong partition: one decision a request, after its opt-out."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(topic_prefix, partitions=PARTITIONS, requesters=("dialer",))))
    event = {"type": "policy.activated", "event_id": "p", "time": now(), "document": POLICY}
    wire.produce(topic_prefix + "control-events", [(b"policy:active", json.dumps(event).encode())])
    moments = random.Random(3)
    producer = KafkaProducer(bootstrap_servers=kafka.address, acks="all", linger_ms=5)

    def send(topic: str, subject: str, message: dict[str, Any]) -> None:
        value = json.dumps(message).encode()
        producer.send(topic_prefix + topic, key=subject.encode(), value=value, partition=wrong(subject))

    options = ("--bootstrap", kafka.address, "--prefix", topic_prefix)
    count = 0
    with Fleet(tmp_path, ("w1", "w2"), *options) as fleet:
        fleet.start()
        wait_until(lambda: all(worker.running() for worker in fleet.values()), lambda: f"both decide: {fleet}")
        for _ in range(8):
            for _ in range(150):
                subject = f"s~{count}"
                if count % 2:
                    send("consent-events", subject, withdraw(subject))
                send("contact-requests", subject, ask(f"q{count}", subject))
                count += 1
            producer.flush()
            time.sleep(moments.uniform(0.2, 2.0))
            name = moments.choice(sorted(fleet))
            fleet[name].kill()
            fleet.start(name)
            wait_until(lambda: any(worker.running() for worker in fleet.values()), lambda: f"a worker decides: {fleet}")
        producer.close(timeout=10)
        name = topic_prefix + "contact-decisions"
        decisions = wire.consume(name, until=lambda r: len(r) >= count, timeout_s=240)
        opted_out = [f"s~{number}" for number in range(1, count, 2)]
        late = [(each.encode(), json.dumps(ask(f"late-{each}", each)).encode()) for each in opted_out]
        wire.produce(topic_prefix + "contact-requests", late)
        after = wire.consume(name, until=lambda r: len(r) >= count + len(late), timeout_s=240)
        fleet.stop()
    made = [json.loads(record.value or b"") for record in decisions]
    assert collections.Counter(d["request_id"] for d in made) == {f"q{number}": 1 for number in range(count)}
    assert wire.consume(topic_prefix + "dead-letters") == []
    verdicts = {d["request_id"]: d["verdict"] for d in (json.loads(record.value or b"") for record in after)}
    assert {verdicts[f"late-{each}"] for each in opted_out} == {"block"}
    assert {verdicts[f"q{number}"] for number in range(0, count, 2)} == {"pass"}

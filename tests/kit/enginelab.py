"""Makes topics and in-process workers for the engine's tests, and reads what they committed."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from tests.kit.countgate import REQUESTER, CountCodec, CountGate, CountWorld, check_chain
from tests.kit.fleet import PATIENCE_S

from contactgate.engine.driver import Driver
from contactgate.engine.intake import Intake
from contactgate.engine.kafka.clients import INPUT_MAX_BYTES
from contactgate.engine.kafka.transactor import Transactor
from contactgate.engine.settings import EngineSettings
from contactgate.engine.worker import Worker
from contactgate.names import TOPICS
from contactgate.ops.metrics import PartitionMeter
from contactgate.partition import effects as fx
from contactgate.partition.task import Limits, PartitionTask
from contactgate.topics import Layout, TopicAdmin, topic_specs


def make_topics(address: str, prefix: str, partitions: int = 2, *, event_time: bool = False) -> None:
    """All topics of an installation with one requester."""
    with TopicAdmin(address) as admin:
        admin.create(topic_specs(Layout(prefix, partitions=partitions, requesters=(REQUESTER,), event_time=event_time)))


def settings_for(address: str, prefix: str, state: Path, partitions: int = 2, **changes: Any) -> EngineSettings:
    """Settings with short periods."""
    limits = changes.pop("limits", Limits(backoff_s=0.1))
    settings = EngineSettings(
        address, state, prefix=prefix, partitions=partitions, limits=limits, pages_port=0, request_timeout_ms=10_000
    )
    return dataclasses.replace(settings, **changes)


class LabDriver(Driver):
    """A driver whose every step a test may see, hold up or fail."""

    hook: Callable[[fx.Effect], Awaitable[None] | None] | None = None

    async def carry_out(self, effect: fx.Effect) -> Any:
        """The hook first."""
        if self.hook is not None and (waiting := self.hook(effect)) is not None:
            await waiting
        return await super().carry_out(effect)


class NoBarrierDriver(LabDriver):
    """Decides with whatever was read so far: what the barrier prevents."""

    async def _barrier(self, effect: fx.Barrier) -> fx.Passed:
        return await super()._barrier(dataclasses.replace(effect, hold=False))


class LabIntake(Intake):
    """A reader with a brake."""

    slow_s = 0.0

    async def _poll(self, *arguments: Any) -> None:
        await asyncio.sleep(self.slow_s)
        await super()._poll(*arguments)


class LabWorker(Worker):
    """A worker whose parts are those above."""

    driver_class: type[LabDriver] = LabDriver
    on_driver: Callable[[LabDriver], None] | None = None

    def make_driver(self, task: PartitionTask, meter: PartitionMeter) -> LabDriver:
        """Told to the test as it is made."""
        driver = self.driver_class(task, self.shared, meter)
        if self.on_driver is not None:
            self.on_driver(driver)
        return driver

    def make_intake(self, name: str) -> LabIntake:
        """With its brake off."""
        kind_of = {self.settings.topic(kind): kind for kind in TOPICS}
        return LabIntake(self.settings, kind_of, name, INPUT_MAX_BYTES)


class FirstVersion(Transactor):
    """Speaks the first version of the transaction protocol to a broker that knows the second."""

    def _speaks_v2(self, features: Mapping[str, int]) -> bool:
        return False


TRANSACTORS = {1: FirstVersion, 2: Transactor}
"""By the newest version of the transaction protocol that they speak."""


def count_worker(settings: EngineSettings) -> LabWorker:
    """A worker of the counting gate."""
    world = CountWorld()
    return LabWorker(settings, lambda p, seq, prev: CountGate(world, p, seq, prev), world, CountCodec())


@contextlib.asynccontextmanager
async def running(
    settings: EngineSettings,
    active: set[int] | None = None,
    standby: set[int] | None = None,
    on_driver: Callable[[LabDriver], None] | None = None,
    *,
    wait: bool = True,
    driver_class: type[LabDriver] = LabDriver,
) -> AsyncIterator[LabWorker]:
    """A started worker with a fixed assignment, stopped at the end."""
    worker = count_worker(settings)
    worker.on_driver, worker.driver_class = on_driver, driver_class
    await worker.start()
    try:
        worker.converge(
            frozenset(range(settings.partitions) if active is None else active), frozenset(standby or set())
        )
        if wait:
            await until(lambda: worker.ready, "the worker is ready")
        yield worker
    finally:
        await worker.stop()


async def until(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a condition."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.02)


class Bench:
    """Produces inputs and reads committed outputs of one installation."""

    def __init__(self, address: str, prefix: str, partitions: int) -> None:
        self.prefix = prefix
        self.partitions = partitions
        self.address = address
        self._producer: AIOKafkaProducer | None = None
        self._made = 0

    async def __aenter__(self) -> Bench:
        self._producer = AIOKafkaProducer(bootstrap_servers=self.address, acks="all", linger_ms=2)
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._producer is not None
        await self._producer.stop()

    async def send(self, topic: str, key: str, value: Any, partition: int | None = None) -> Any:
        """One acknowledged record; keys choose the partition unless one is given."""
        assert self._producer is not None
        data = value if isinstance(value, bytes) or value is None else msgspec.json.encode(value)
        return await self._producer.send_and_wait(self.prefix + topic, data, key=key.encode(), partition=partition)

    async def requests(self, count: int, subjects: int = 10, **fields: Any) -> list[str]:
        """Send requests to many subjects, all acknowledged; their ids."""
        assert self._producer is not None
        ids, futures = [], []
        for _ in range(count):
            self._made += 1
            ids.append(f"q{self._made}")
            value = msgspec.json.encode({"id": ids[-1], **fields})
            key = b"s%d" % (self._made % subjects)
            futures.append(await self._producer.send(self.prefix + "contact-requests", value, key=key))
        await asyncio.gather(*futures)
        return ids

    async def read(
        self, topic: str, count: int | None = None, *, committed: bool = True, timeout_s: float = PATIENCE_S
    ) -> list[Any]:
        """Records of a topic from the beginning: at least `count`, or up to the end as of now."""
        level = "read_committed" if committed else "read_uncommitted"
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.address, isolation_level=level, auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        await consumer.start()
        try:
            name = self.prefix + topic
            assert self._producer is not None
            tps = [TopicPartition(name, p) for p in sorted(await self._producer.partitions_for(name))]
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            ends = await consumer.end_offsets(tps)
            found: list[Any] = []
            deadline = asyncio.get_running_loop().time() + timeout_s
            while True:
                for records in (await consumer.getmany(*tps, timeout_ms=100)).values():
                    found.extend(records)
                if count is None:
                    if all([await consumer.position(tp) >= ends[tp] for tp in tps]):
                        break
                elif len(found) >= count:
                    break
                assert asyncio.get_running_loop().time() < deadline, f"{len(found)} of {count} records in {topic}"
            return sorted(found, key=lambda record: (record.partition, record.offset))
        finally:
            await consumer.stop()

    async def decisions(self, count: int, timeout_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """Committed decisions, decoded."""
        return [msgspec.json.decode(r.value) for r in await self.read("contact-decisions", count, timeout_s=timeout_s)]

    async def decided(self, count: int, subjects: int = 10) -> list[str]:
        """Send requests, and wait until these and all before them are decided; their ids."""
        ids = await self.requests(count, subjects)
        await self.decisions(self._made)
        return ids

    async def exactly_once(self, ids: list[str]) -> list[dict[str, Any]]:
        """The decisions: one for each of these requests, every subject counted without a gap, every chain unbroken."""
        decisions = await self.decisions(len(ids))
        assert collections.Counter(d["request_id"] for d in decisions) == collections.Counter(ids)
        counts = collections.defaultdict(list)
        for decision in decisions:
            counts[decision["subject_id"]].append(decision["n"])
        assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in counts.values())
        records = await self.read("contact-decisions")
        for partition in range(self.partitions):
            check_chain([record.value for record in records if record.partition == partition])
        return decisions

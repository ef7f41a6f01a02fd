"""One partition's transactional producer: the rules for aiokafka's transactions (R1 to R9) live here.

R1  every batch's acknowledgement is awaited before the commit: aiokafka commits although a batch failed
R2  after any exception the producer is thrown away (`drop`), never aborted, never used again
R4  a failure of `commit` leaves its result unknown; the caller opens again and the changelog tells
R5  all first batches are handed over back to back, so one request adds all partitions to the transaction, and the
    input positions go along with them
R7  aiokafka's pause between two transactions is shortened (clients.shorten_backoff)
R8  a short transaction timeout; an expired transactional id fails like anything else and is made anew
R9  each has its own connections; they are opened in parallel

R3 (rotation) is the task's, R6 (record size) the consumers'. It must never decide whether to try again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition

from contactgate.engine.clients import EngineSettings, transactional_producer, translate
from contactgate.engine.effects import Positions
from contactgate.engine.ports import Out
from contactgate.errors import BrokerError, BrokerUnavailable


class Transactor:
    """The producer of one partition. After any exception call `drop`, then `init` for a new one."""

    def __init__(self, settings: EngineSettings, partition: int) -> None:
        self.partition = partition
        self.inits = 0
        self._settings = settings
        self._timeout_s = settings.transaction_timeout_ms / 1000
        self._producer: AIOKafkaProducer | None = None
        self._sent: list[asyncio.Future[Any]] = []
        self._changelog: list[tuple[asyncio.Future[Any], int]] = []
        self._counts: dict[str, int] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def init(self) -> None:
        """A new producer: fences the previous owner and returns when its transaction is settled."""
        self.drop()
        producer = transactional_producer(self._settings, self.partition)
        try:
            async with asyncio.timeout(self._timeout_s + 10):
                await producer.start()
        except BaseException as error:
            self._dispose(producer)
            if isinstance(error, Exception):
                raise translate(error, "starting the transactional producer") from error
            raise
        self._producer = producer
        self.inits += 1

    def drop(self) -> None:
        """R2: this producer is used no more; its connections are closed in the background."""
        producer, self._producer = self._producer, None
        for future in self._sent:
            future.cancel()
        self._sent, self._changelog = [], []
        if producer is not None:
            self._dispose(producer)

    def _dispose(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_stop(producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Drop and wait until the connections are closed."""
        self.drop()
        if self._closing:
            await asyncio.wait(self._closing, timeout=5)

    async def begin(self) -> None:
        """Begin a transaction."""
        await self._call(self._need().begin_transaction(), "beginning a transaction")

    async def produce(self, outs: list[Out], changelog: list[tuple[bytes, bytes | None]], timestamp_ms: int) -> None:
        """Hand over everything; `settle` waits for the acknowledgements."""
        producer = self._need()
        builders: dict[TopicPartition, list[Any]] = {}
        for tp, key, value, headers in self._routed(outs, changelog):
            batches = builders.get(tp)
            if batches is None:
                batches = builders[tp] = [producer.create_batch()]
            if batches[-1].append(key=key, value=value, timestamp=timestamp_ms, headers=headers) is None:
                batch = producer.create_batch()
                if batch.append(key=key, value=value, timestamp=timestamp_ms, headers=headers) is None:
                    raise BrokerError(f"a record for {tp.topic} does not fit into a batch of its own")
                batches.append(batch)
        changelog_tp = TopicPartition(self._settings.topic("changelog"), self.partition)
        # R5: the first batch of every partition back to back; whatever is left follows partition by partition.
        queue = [(tp, batches[0]) for tp, batches in builders.items()]
        queue += [(tp, batch) for tp, batches in builders.items() for batch in batches[1:]]
        self._sent, self._changelog = [], []
        for tp, batch in queue:
            count = batch.record_count()
            future = await self._call(
                producer.send_batch(batch, tp.topic, partition=tp.partition), "handing over a batch"
            )
            self._sent.append(future)
            if tp == changelog_tp:
                self._changelog.append((future, count))

    def _routed(
        self, outs: list[Out], changelog: list[tuple[bytes, bytes | None]]
    ) -> Iterable[tuple[TopicPartition, bytes | None, bytes | None, list[tuple[str, bytes]]]]:
        settings, partition = self._settings, self.partition
        decision = TopicPartition(settings.topic("decision"), partition)
        dead_name = settings.topic("dead")
        log = TopicPartition(settings.topic("changelog"), partition)
        for out in outs:
            if out.kind == "decision":
                yield decision, out.key, out.value, out.headers
            elif out.kind == "approval":
                yield self._approval(out), out.key, out.value, out.headers
            else:
                yield TopicPartition(dead_name, partition % self._count(dead_name)), out.key, out.value, out.headers
        for key, value in changelog:
            yield log, key, value, []

    def _approval(self, out: Out) -> TopicPartition:
        # The task's own partition, not the token's hash: a subject's approvals stay together and in order either way,
        # and a transaction touches one partition a requester instead of all of them (decision 0009).
        name = f"{self._settings.prefix}approvals.{out.requester}"
        return TopicPartition(name, self.partition % self._count(name))

    def _count(self, name: str) -> int:
        count = self._counts.get(name)
        if count is None:
            known = self._need().client.cluster.partitions_for_topic(name)
            if not known:
                raise BrokerError(f"topic {name} does not exist; create it with `contactgate topics create`")
            count = self._counts[name] = len(known)
        return count

    async def learn(self, names: Iterable[str]) -> None:
        """Make the partition counts of these topics known."""
        producer = self._need()
        for name in names:
            if name not in self._counts:
                await self._call(producer.partitions_for(name), f"asking for the partitions of {name}")

    async def settle(self, positions: Positions) -> int:
        """Add the input positions, wait for every acknowledgement (R1); the next changelog offset."""
        producer, settings = self._need(), self._settings
        offsets = {
            TopicPartition(settings.topic(kind), self.partition): offset
            for kind, offset in zip(("consent", "outcome", "request"), positions, strict=True)
        }
        results: list[Any] = await self._call(
            asyncio.gather(
                producer.send_offsets_to_transaction(offsets, settings.group_id), *self._sent, return_exceptions=True
            ),
            "sending a transaction",
        )
        # The sender's own fault explains the others best.
        faults = sorted((r for r in results if isinstance(r, BaseException)), key=lambda f: type(f) is AssertionError)
        if faults:
            raise translate(faults[0], "sending a transaction") from faults[0]
        future, count = self._changelog[-1]
        return int(future.result().offset) + count

    async def commit(self) -> None:
        """End the transaction. Any exception leaves the result unknown (R4)."""
        await self._call(self._need().commit_transaction(), "committing a transaction")
        self._sent, self._changelog = [], []

    def _need(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise BrokerError("there is no producer; the previous one was thrown away")
        return self._producer

    async def _call(self, awaitable: Any, what: str) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await awaitable
        except TimeoutError as error:
            raise BrokerUnavailable(f"no answer from Kafka within {self._timeout_s:g} s while {what}") from error
        except Exception as error:
            raise translate(error, what) from error


async def _stop(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(3):
            await producer.stop()
            return
    with contextlib.suppress(Exception):
        sender = producer._sender
        if sender is not None and sender.sender_task is not None:
            sender.sender_task.cancel()
        await producer.client.close()

"""The sole producer of a chaos run: it sends everything, and tells the recorder what it sent and what became of it.

Open loop: batches go out at a given rate whatever the workers do, as long as the broker takes them. A batch belongs to
one partition and is journalled before it is sent and when it is acknowledged; a batch whose fate is not known stays
unknown. It also plays the dialers: it reads approvals and reports outcomes. Must never look at decisions.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from tests.chaos.history import APPROVALS, CONSENT, CONTROL, OUTCOMES, REQUESTS, SUPPRESSIONS, Recorder
from tests.chaos.population import REQUESTERS, Message, People

from contactgate.codec.tokens import Tokens

POLICY = Path(__file__).with_name("policy.yaml")
_TICK_S = 0.04
_BATCH = 120
_BATCH_BYTES = 900_000
_IN_FLIGHT = 96
PAUSED = (
    b"{}", b'{"requesters":["mailhouse"]}', b'{"channels":["fax"]}', b'{"requesters":["MailHouse"],"channels":["tel"]}'
)  # fmt: skip
"""Scopes of pauses; `fax` is no channel, so that one stops everything."""


@dataclass(frozen=True)
class Plan:
    """How much of what. `requests` counts valid ones, repeated ones and the last probe of every subject alike."""

    seed: int = 1
    requests: int = 20_000
    rate: float = 2_000.0  # requests a second
    partitions: int = 8
    subjects: int = 10_000
    token_key: bytes = b"\0" * 32  # what the workers' token_key setting holds, as they read it
    consents: float = 0.12  # events for each request
    transactions: int = 2  # transactional producers of consent events
    hang_every_s: float = 20.0
    pause_every_s: float = 25.0
    suppress_every_s: float = 0.3


class Workload:
    """Sends a plan. `setup` first, then `run`, which returns when everything was sent and acknowledged or given up."""

    def __init__(self, bootstrap: str, prefix: str, recorder: Recorder, plan: Plan) -> None:
        self.plan = plan
        self.sent = 0  # requests so far
        self.people = People(plan.seed, plan.subjects, plan.partitions)
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._recorder = recorder
        self._tokens = Tokens(plan.token_key)
        self._producer: AIOKafkaProducer | None = None
        self._batches = 0
        self._subjects: dict[int, list[int]] = {}  # of the requests of a batch, by their place in it
        self._flying: set[asyncio.Task[Any]] = set()
        self._chase: list[list[int]] = [[] for _ in range(plan.partitions)]
        self._approved: list[deque[int]] = [deque(maxlen=200) for _ in range(plan.partitions)]
        self._outcomes: list[list[Message]] = [[] for _ in range(plan.partitions)]
        self._due: deque[tuple[float, bytes, int]] = deque()
        self._locks: dict[tuple[int, str, int], asyncio.Lock] = {}
        self._mending = False
        self._over = asyncio.Event()
        recorder.meta(
            seed=plan.seed, prefix=prefix, partitions=plan.partitions, requesters=list(REQUESTERS),
            subjects=plan.subjects, requests=plan.requests, rate=plan.rate,
        )  # fmt: skip
        shutil.copyfile(POLICY, recorder.directory / "policy.yaml")

    async def setup(self) -> None:
        """The first consents of 17 in 20 people; nobody else's."""
        now_ms = _now_ms() - 60_000
        await self._start()
        for partition, those in enumerate(self.people.by_partition):
            told = [self.people.first_grant(n, now_ms) for n in those if n % 20 < 17]
            for at in range(0, len(told), 1_000):
                await self._send(CONSENT, partition, told[at : at + 1_000])

    async def run(self) -> None:
        """Everything else, then one probe of every subject."""
        await self._start()
        others = [asyncio.create_task(self._guard(work)) for work in (self._dial, self._pauses, self._suppressions)]
        for number in range(self.plan.transactions):
            others.append(asyncio.create_task(self._transactions(number)))
        try:
            await self._requests()
        finally:
            self._over.set()
            await asyncio.gather(*others, return_exceptions=True)
        await self._probe()
        if self._flying:
            await asyncio.wait(self._flying, timeout=60)
        await self._stop()

    # --- requests and consents ------------------------------------------------------------------------------------

    async def _requests(self) -> None:
        plan, people = self.plan, self.people
        probes = plan.subjects
        began = time.monotonic()
        consents = 0.0
        while self.sent < plan.requests - probes:
            due = int((time.monotonic() - began) * plan.rate) - self.sent
            if due > plan.rate:  # the broker was away: what was not sent then is not made up for at once
                began += (due - plan.rate) / plan.rate
                due = int(plan.rate)
            due = 0 if self._mending else min(due, plan.requests - probes - self.sent)
            while due > 0 and len(self._flying) < _IN_FLIGHT:
                partition = people.random.randrange(plan.partitions)
                count = min(due, _BATCH)
                self._ask(partition, count)
                due -= count
                consents += count * plan.consents
            while consents >= 10 and len(self._flying) < _IN_FLIGHT:
                consents -= self._tell(people.random.randrange(plan.partitions), int(min(consents, 40)))
            self._report()
            await asyncio.sleep(_TICK_S)

    def _ask(self, partition: int, count: int) -> None:
        """One batch of requests; people who opted out a moment ago are asked at once, their opt-out acknowledged."""
        people, now_ms = self.people, _now_ms()
        batch = self._next_batch()
        chased, self._chase[partition] = self._chase[partition][:count], self._chase[partition][count:]
        messages, subjects = [], []
        draws = [people.random.random() for _ in range(count)]
        for place, draw in enumerate(draws):
            number = chased[place] if place < len(chased) else people.somebody(partition)
            subjects.append(number)
            if draw < 0.985 or place < len(chased):
                messages.append(people.request(b"q%d-%d" % (batch, place), number, now_ms, draw))
                continue
            again = people.asked_before(partition, now_ms) if draw < 0.996 else None
            messages.append(again or people.bad_request(number, now_ms))
        self._subjects[batch] = subjects
        self.sent += count
        self._fly(self._send(REQUESTS, partition, messages, batch))

    def _tell(self, partition: int, count: int) -> int:
        approved = self._approved[partition]
        told, now_ms = [], _now_ms()
        for _ in range(count):
            just = approved.pop() if approved and self.people.random.random() < 0.3 else None
            told.append(self.people.consent_event(partition, now_ms, just))
        self._fly(self._tell_and_chase(partition, told))
        return count

    async def _tell_and_chase(self, partition: int, told: list[Message]) -> None:
        if await self._send(CONSENT, partition, told):
            self._chase_after(partition, told)
            if not self._over.is_set() and len(self._flying) < _IN_FLIGHT and (due := len(self._chase[partition])):
                self._ask(partition, min(due, 20))

    def _chase_after(self, partition: int, told: Iterable[Message]) -> None:
        for message in told:
            if message.value is not None and b"consent.withdrawn" in message.value and message.key is not None:
                self._chase[partition].append(int(message.key[8:]))

    async def _probe(self) -> None:
        """The last request about every subject: whatever is known of it by then shows."""
        if self._flying:
            await asyncio.wait(self._flying, timeout=60)
        for partition, those in enumerate(self.people.by_partition):
            for at in range(0, len(those), 500):
                batch = self._next_batch()
                some = those[at : at + 500]
                now_ms = _now_ms()
                told = [self.people.request(b"q%d-%d" % (batch, n), who, now_ms, 0.61) for n, who in enumerate(some)]
                self.sent += len(some)
                await self._send(REQUESTS, partition, told, batch)

    # --- dialers --------------------------------------------------------------------------------------------------

    async def _dial(self) -> None:
        """Read approvals, call, and report most of the outcomes within three seconds."""
        decode = msgspec.json.Decoder().decode
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, isolation_level="read_committed", auto_offset_reset="earliest",
            enable_auto_commit=False,
        )  # fmt: skip
        await consumer.start()
        pick = self.people.random
        try:
            consumer.assign([
                TopicPartition(f"{self._prefix}{APPROVALS}{requester}", p)
                for requester in REQUESTERS for p in range(self.plan.partitions)
            ])  # fmt: skip
            while not self._over.is_set():
                for records in (await consumer.getmany(timeout_ms=100, max_records=2_000)).values():
                    for record in records:
                        if b"contact.approved" not in record.value:
                            continue
                        request_id = decode(record.value)["request_id"]
                        number = self._subject_of(request_id)
                        if number is None:
                            continue
                        self._approved[record.partition].append(number)
                        if pick.random() < 0.6:
                            at_s = time.monotonic() + pick.random() * 3
                            self._due.append((at_s, request_id.encode(), number))
                await asyncio.sleep(0.05)
        finally:
            await consumer.stop()

    def _subject_of(self, request_id: str) -> int | None:
        batch, _, place = request_id.removeprefix("q").partition("-")
        those = self._subjects.get(int(batch)) if batch.isdigit() else None
        return those[int(place)] if those is not None and int(place) < len(those) else None

    def _report(self) -> None:
        """Outcomes that are due; some twice, some of requests that nobody made."""
        now_s, now_ms, pick = time.monotonic(), _now_ms(), self.people.random
        for _ in range(len(self._due)):
            at_s, request_id, number = self._due.popleft()
            if at_s > now_s:
                self._due.append((at_s, request_id, number))
                continue
            bucket = self._outcomes[self.people.partition[number]]
            draw = pick.random()
            bucket.append(self.people.outcome(request_id if draw > 0.01 else b"nobody", number, now_ms))
            if draw > 0.97:
                bucket.append(self.people.outcome(request_id, number, now_ms))
        for partition, told in enumerate(self._outcomes):
            if len(told) >= 15 and len(self._flying) < _IN_FLIGHT:
                self._outcomes[partition] = []
                self._fly(self._send(OUTCOMES, partition, told))

    # --- the world ------------------------------------------------------------------------------------------------

    async def _pauses(self) -> None:
        """One requester is stopped for long, now and then; between, everything for a moment."""
        number = 0
        while not await self._sleep(self.plan.pause_every_s if number else min(2.0, self.plan.pause_every_s)):
            number += 1
            name = b"p-%d" % number
            await self._send(CONTROL, 0, [self.people.pause(name, PAUSED[number % len(PAUSED)], _now_ms())])
            await self._sleep(9.0 if number % 2 else 1.5)
            lifts = self.people.lifts(name, _now_ms())
            while not await self._send(CONTROL, 0, lifts):
                await self._sleep(0.5)

    async def _suppressions(self) -> None:
        pick, suppressed = self.people.random, deque[int](maxlen=50)
        while not await self._sleep(self.plan.suppress_every_s):
            lift = bool(suppressed) and pick.random() < 0.4
            number = suppressed.popleft() if lift else pick.randrange(self.plan.subjects)
            partition = self.people.partition[number]
            if not lift and self._approved[partition] and pick.random() < 0.5:
                number = self._approved[partition].pop()
            if not lift:
                suppressed.append(number)
            await self._send(SUPPRESSIONS, 0, [self.people.suppression(number, _now_ms(), self._token, lift=lift)])

    def _token(self, address: bytes) -> bytes:
        return self._tokens.suppressed(address.decode(), None)[0].encode()

    # --- transactions ---------------------------------------------------------------------------------------------

    async def _transactions(self, number: int) -> None:
        """Consent events in transactions of their own: committed, aborted, and now and then left hanging."""
        name, pick = f"{self._prefix}consents-{number}", self.people.random
        hangs_at = time.monotonic() + self.plan.hang_every_s * (number + 1)
        producer: AIOKafkaProducer | None = None
        done = 0
        while not await self._sleep(0.2 + pick.random()):
            txn = f"{name}/{done}"
            done += 1
            try:
                if producer is None:
                    producer = await self._make(transactional_id=name, transaction_timeout_ms=10_000)
                ending = "commit" if pick.random() < 0.7 else "abort"
                if time.monotonic() > hangs_at and number == 0:
                    ending, hangs_at = "hang", time.monotonic() + self.plan.hang_every_s
                await producer.begin_transaction()
                self._recorder.transaction(txn, "begin")
                told: list[tuple[int, list[Message]]] = []
                for _ in range(1 + pick.randrange(2)):
                    partition = pick.randrange(self.plan.partitions)
                    some = [self.people.consent_event(partition, _now_ms()) for _ in range(1 + pick.randrange(8))]
                    told.append((partition, some))
                    if not await self._send(CONSENT, partition, some, txn=txn, producer=producer):
                        raise KafkaError("a batch of the transaction was not taken")
                if ending == "hang":
                    self._recorder.transaction(txn, "hanging")
                    await self._sleep(1.0 + pick.random() * 2)
                    # The next producer of this name makes the broker abort it.
                    await self._drop(producer)
                    producer = await self._make(transactional_id=name, transaction_timeout_ms=10_000)
                    self._recorder.transaction(txn, "aborted")
                elif ending == "abort":
                    await producer.abort_transaction()
                    self._recorder.transaction(txn, "aborted")
                else:
                    self._recorder.transaction(txn, "commit")
                    await producer.commit_transaction()
                    self._recorder.transaction(txn, "committed")
                    for partition, some in told:
                        self._chase_after(partition, some)
            except (KafkaError, TimeoutError, RuntimeError, ValueError) as error:
                self._recorder.transaction(txn, "unknown")
                self._recorder.metric("workload", transaction_failed=type(error).__name__)
                if producer is not None:
                    await self._drop(producer)
                producer = None
                await self._sleep(0.5)
        if producer is not None:
            await self._drop(producer)

    async def _drop(self, producer: AIOKafkaProducer) -> None:
        """Leave a producer as a crash would: an open transaction of it stays open."""
        with contextlib.suppress(Exception):
            await asyncio.wait_for(producer._sender.close(), 2)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(producer.client.close(), 2)
        producer._closed = True

    # --- sending --------------------------------------------------------------------------------------------------

    def _next_batch(self) -> int:
        self._batches += 1
        return self._batches

    async def _send(
        self, topic: str, partition: int, messages: list[Message], batch: int = 0, *, txn: str = "",
        producer: AIOKafkaProducer | None = None,
    ) -> bool:  # fmt: skip
        """One batch (or as many as it needs to fit); whether all of it was acknowledged."""
        producer = producer or self._producer
        assert producer is not None
        whole = True
        while messages:
            builder, crc, taken, name = producer.create_batch(), 0, 0, batch or self._next_batch()
            batch = 0  # the rest of a batch that did not fit is one of its own
            for message in messages:
                hx = [("hx", b"%d.%d" % (name, taken))]
                if builder.append(key=message.key, value=message.value, timestamp=None, headers=hx) is None:
                    break
                crc = zlib.crc32(message.value or b"", zlib.crc32(message.key or b"", crc))
                taken += 1
            assert taken, "a message does not fit into an empty batch"
            messages = messages[taken:]
            more = {"txn": txn} if txn else {}
            self._recorder.invoke(name, topic, partition, taken, crc, **more)
            whole &= await self._deliver(producer, builder, topic, partition, name)
        return whole

    async def _deliver(self, producer: AIOKafkaProducer, builder: Any, topic: str, partition: int, name: int) -> bool:
        # One at a time: aiokafka counts the time that many wait for the same partition more than once.
        lock = self._locks.setdefault((id(producer), topic, partition), asyncio.Lock())
        try:
            async with lock:
                future = await producer.send_batch(builder, self._prefix + topic, partition=partition)
        except (KafkaError, TimeoutError, RuntimeError) as error:  # it was never handed over
            self._recorder.fail(name, type(error).__name__)
            self._mend(producer)
            return False
        try:
            found = await future
        except MessageSizeTooLargeError as error:
            self._recorder.fail(name, type(error).__name__)
            return False
        except (KafkaError, TimeoutError, RuntimeError) as error:
            self._recorder.unknown(name, type(error).__name__)
            self._mend(producer)
            return False
        self._recorder.ok(name, found.offset)
        return True

    def _mend(self, producer: AIOKafkaProducer) -> None:
        """Start over with another producer when this one, our own, has given up for good."""
        if producer is self._producer and not self._mending and producer._message_accumulator._exception is not None:
            self._mending = True
            self._fly(self._replace(producer))

    async def _replace(self, producer: AIOKafkaProducer) -> None:
        self._recorder.metric("workload", replaced=type(producer._message_accumulator._exception).__name__)
        while self._producer is producer:
            try:
                self._producer = await self._make()
            except (KafkaError, TimeoutError, OSError):
                await asyncio.sleep(0.5)
        self._mending = False
        await self._drop(producer)

    def _fly(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it again when the broker fails it."""
        while not self._over.is_set():
            try:
                await work()
            except (KafkaError, TimeoutError, OSError) as error:
                self._recorder.metric("workload", failed=type(error).__name__)
                await self._sleep(0.5)

    async def _sleep(self, seconds: float) -> bool:
        """Whether it is all over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
        return self._over.is_set()

    async def _make(self, **settings: Any) -> AIOKafkaProducer:
        """A producer that keeps order and repeats nothing; an id makes it transactional."""
        settings.setdefault("enable_idempotence", True)
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", max_batch_size=_BATCH_BYTES,
            max_request_size=4 * _BATCH_BYTES, request_timeout_ms=15_000, metadata_max_age_ms=20_000, **settings,
        )  # fmt: skip
        try:
            await asyncio.wait_for(producer.start(), 30)
        except BaseException:
            with contextlib.suppress(Exception):
                await producer.stop()
            raise
        return producer

    async def _start(self) -> None:
        if self._producer is None:
            self._producer = await self._make()

    async def _stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> None:
    """`python -m tests.chaos.workload`: partitions and the token key come from the meta.json of the directory."""
    reader = argparse.ArgumentParser()
    for name, kind in (("bootstrap", str), ("prefix", str), ("directory", Path), ("seed", int), ("requests", int)):
        reader.add_argument(f"--{name}", type=kind, required=True)
    reader.add_argument("--rate", type=float, required=True)
    reader.add_argument("--subjects", type=int, default=0)
    given = reader.parse_args()
    with Recorder(given.directory) as recorder:
        meta = json.loads((given.directory / "meta.json").read_bytes())
        plan = Plan(
            given.seed, given.requests, given.rate, meta["partitions"],
            given.subjects or min(20_000, max(1_000, given.requests // 20)), bytes.fromhex(meta["token_key"]),
        )  # fmt: skip
        asyncio.run(_all(Workload(given.bootstrap, given.prefix, recorder, plan)))


async def _all(workload: Workload) -> None:
    await workload.setup()
    await workload.run()


if __name__ == "__main__":
    main()

"""Carries out the effects of one partition's task on the real Kafka and the local store.

All knowledge of order is in `partition.task`; this module only does what it is given, one effect after the other, and
translates what goes wrong. It must never skip, merge or reorder effects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Generic

from aiokafka import AIOKafkaConsumer, TopicPartition
from rocksdict import Cache

from contactgate.engine.barrier import Barrier, Ends, Ticket
from contactgate.engine.intake import Intake, Lane, probe
from contactgate.engine.kafka.clients import CHANGELOG_MAX_BYTES, MIB, consumer, translate
from contactgate.engine.kafka.transactor import Transactor
from contactgate.engine.relay import Relay
from contactgate.engine.settings import EngineSettings
from contactgate.errors import BarrierTimeout, ContactgateError
from contactgate.model.alerts import AlertKind
from contactgate.model.log import Bounds, Out, State
from contactgate.names import Kind, approvals_topic
from contactgate.ops.alerts import News
from contactgate.ops.metrics import PartitionMeter
from contactgate.partition import effects as fx
from contactgate.partition.life import Life
from contactgate.partition.ports import Shelf
from contactgate.partition.task import PartitionTask
from contactgate.store import Owner, PartitionStore, move_aside

log = logging.getLogger(__name__)

_TAIL_RECORDS = 2_000
# Of a response, which may be larger for the sake of its first batch: a large one is copied many times while it arrives.
_TAIL_BYTES = MIB
_IDLE_S = 1.0
# How far apart a partition's transactions begin; the measurements are in decision 0011.
_TRANSACTION_MS = 3  # a worker makes at most about 333 transactions a second
_AT_ONCE = 2.5  # transactions of a worker that run at the same time, on average: more of them only wait for each other
_MOST_LINGER_MS = 60  # of a partition, however busy the broker is
_RECENT = 32  # transactions that the average looks back on


class Shared:
    """What the drivers of one worker share: clients, the world's lanes, settings, and where alerts go."""

    def __init__(
        self,
        settings: EngineSettings,
        barrier: Barrier,
        facts: Intake,
        requests: Intake,
        world: tuple[Lane, Lane],
        relay: Relay,
        news: News,
        alert: Callable[[AlertKind, str], None],
        cache: Cache | None = None,
    ) -> None:
        self.settings = settings
        self.barrier = barrier
        self.facts = facts
        self.requests = requests
        self.world = world
        self.relay = relay
        self.news = news
        self.alert = alert
        self.cache = cache
        self.world_complete = asyncio.Event()
        self.running = 0  # partitions that read inputs
        self.transaction_ms = 0.0  # how long transactions took recently, all partitions' together
        self.beat = 0.0  # when partitions last began transactions together
        self.committed: Callable[[list[TopicPartition]], Awaitable[list[int | None]]] | None = None


class Driver(Generic[State]):
    """Runs one PartitionTask. `run` returns when the task stopped, and raises what ended it otherwise."""

    def __init__(self, task: PartitionTask[State], shared: Shared, meter: PartitionMeter) -> None:
        self.task = task
        self.partition = task.partition
        self.meter = meter
        self.stopping = asyncio.Event()
        self.promoted = asyncio.Event()
        self.wake = asyncio.Event()
        self._shared = shared
        self._settings = shared.settings
        self._transactor = Transactor(shared.settings, task.partition)
        self._store: PartitionStore | None = None
        self._reader: AIOKafkaConsumer | None = None
        self._reader_next = -1
        self._lanes: dict[Kind, Lane] = {}
        self._ticket: Ticket | None = None
        self._covered = -1
        self._began = 0.0
        self._txn_began = 0.0
        self._outs: list[Out] = []
        self._oldest_ms = 0
        self._do: dict[type[fx.Effect[Any]], Callable[[Any], Awaitable[Any]]] = {
            fx.StoreOpen: self._store_open,
            fx.StoreWrite: self._store_write,
            fx.InitProducer: self._init_producer,
            fx.DropProducer: self._drop_producer,
            fx.ReadEnd: self._read_end,
            fx.FetchChangelog: self._fetch_changelog,
            fx.Committed: self._committed,
            fx.StartInputs: self._start_inputs,
            fx.NextInput: self._next_input,
            fx.Barrier: self._barrier,
            fx.Begin: self._begin,
            fx.Produce: self._produce,
            fx.SendOffsets: self._send_offsets,
            fx.Commit: self._commit,
            fx.Sleep: self._sleep,
            fx.Now: self._now,
            fx.Alert: self._alert,
        }

    def stop(self) -> None:
        """Finish the running transaction and end."""
        self.stopping.set()
        self.wake.set()

    def promote(self) -> None:
        """A standby takes over; one that has stopped meanwhile stays so, and its worker starts another."""
        self.promoted.set()
        if self.meter.life is not Life.STOPPED:
            self.meter.move(Life.STARTING)
        self.wake.set()

    async def run(self, *, standby: bool = False) -> None:
        """Drive the task to its end."""
        steps = self.task.run(standby=standby)
        if not standby:
            self.promoted.set()
        try:
            effect = next(steps)
            while True:
                try:
                    result = await self.carry_out(effect)
                except (ContactgateError, fx.StopAsked) as error:
                    effect = steps.throw(error)
                except Exception as error:
                    log.exception("partition %d: %s failed", self.partition, type(effect).__name__)
                    effect = steps.throw(translate(error, f"carrying out {type(effect).__name__}"))
                else:
                    effect = steps.send(result)
        except StopIteration:
            pass
        finally:
            steps.close()
            self._leave_inputs()
            await self._close_reader()
            await self._transactor.close()
            self._close_store()

    async def carry_out(self, effect: fx.Effect[fx.R]) -> fx.R:
        """One step of the task. Raises what the step raises, translated by `run`."""
        result: fx.R = await self._do[type(effect)](effect)
        return result

    # --- store ----------------------------------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        return self._settings.state_dir / f"p{self.partition:05d}"

    def _close_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    async def _store_open(self, effect: fx.StoreOpen) -> Shelf:
        self._close_store()
        if effect.reset is not None:
            moved = move_aside(self._path, effect.reset)
            if moved is not None:
                log.warning("partition %d: the local state was moved to %s", self.partition, moved.name)
        settings = self._settings
        owner = Owner(
            settings.group_id,
            settings.cluster_id,
            settings.topic(Kind.CHANGELOG),
            self.partition,
            settings.changelog_topic_id,
        )
        self._store = PartitionStore.open(self._path, owner, self._shared.cache)
        return self._store

    async def _store_write(self, effect: fx.StoreWrite) -> None:
        assert self._store is not None
        self._store.commit(effect.states, effect.opened, effect.head)
        if effect.purge_before_ms:
            self._store.purge_open(effect.purge_before_ms)

    # --- changelog and positions ----------------------------------------------------------------------------------

    def _tp(self, kind: Kind) -> TopicPartition:
        return TopicPartition(self._settings.topic(kind), self.partition)

    async def _open_reader(self) -> AIOKafkaConsumer:
        if self._reader is None:
            reader = consumer(
                self._settings, max_bytes=CHANGELOG_MAX_BYTES, fetch_max_bytes=_TAIL_BYTES, fetch_max_wait_ms=200
            )
            try:
                await reader.start()
            except Exception as error:
                await reader.stop()
                raise translate(error, "connecting the changelog's reader") from error
            self._reader, self._reader_next = reader, -1
        return self._reader

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.stop()

    async def _read_end(self, effect: fx.ReadEnd) -> Bounds:
        tp = self._tp(effect.topic)
        if not effect.committed:
            begins, ends = await self._shared.barrier.begins([tp]), await self._shared.barrier.ends([tp])
            return Bounds(begins[tp], ends[tp])
        reader = await self._open_reader()
        begins = await reader.beginning_offsets([tp])
        ends = await reader.end_offsets([tp])  # of a read_committed consumer: the last stable offset
        return Bounds(begins[tp], ends[tp])

    async def _fetch_changelog(self, effect: fx.FetchChangelog) -> fx.Tail:
        reader, tp = await self._open_reader(), self._tp(Kind.CHANGELOG)
        if self._reader_next != effect.start:
            reader.assign([tp])
            reader.seek(tp, effect.start)
        idle_since = time.monotonic()
        while True:
            got = (await reader.getmany(tp, timeout_ms=200, max_records=_TAIL_RECORDS)).get(tp, [])
            position = await reader.position(tp)
            self._reader_next = position
            if effect.until is None:
                if self.stopping.is_set():
                    raise fx.StopAsked
                if position > effect.start or self.promoted.is_set():
                    return fx.Tail([(r.key, r.value) for r in got], position, self.promoted.is_set())
            elif position > effect.start:
                return fx.Tail([(r.key, r.value) for r in got], position)
            elif self.stopping.is_set():
                raise fx.StopAsked
            elif time.monotonic() - idle_since > 0.5:
                if await probe(reader, tp, position, effect.until):
                    reader.seek(tp, effect.until)
                    self._reader_next = effect.until
                    return fx.Tail([], effect.until)
                idle_since = time.monotonic()

    async def _committed(self, _: fx.Committed) -> fx.Offsets:
        ask = self._shared.committed
        assert ask is not None
        consent, outcome, request = await ask([self._tp(kind) for kind in (Kind.CONSENT, Kind.OUTCOME, Kind.REQUEST)])
        return consent, outcome, request

    # --- inputs ---------------------------------------------------------------------------------------------------

    async def _start_inputs(self, effect: fx.StartInputs) -> None:
        self._leave_inputs()
        await self._close_reader()
        while not self._shared.world_complete.is_set():
            if self.stopping.is_set():
                raise fx.StopAsked
            await asyncio.sleep(0.02)
        limit = self._settings.buffer
        self._lanes = {
            kind: Lane(self._tp(kind), offset, limit, self.wake)
            for kind, offset in zip((Kind.CONSENT, Kind.OUTCOME, Kind.REQUEST), effect.positions, strict=True)
        }
        self._ticket, self._covered = None, -1
        self._shared.facts.add(self._lanes[Kind.CONSENT], self._lanes[Kind.OUTCOME])
        self._shared.requests.add(self._lanes[Kind.REQUEST])
        self._shared.relay.add(self.partition)
        self._shared.running += 1
        self.meter.move(Life.RUNNING)

    def _leave_inputs(self) -> None:
        if self._lanes:
            self._shared.facts.remove(self._lanes[Kind.CONSENT], self._lanes[Kind.OUTCOME])
            self._shared.requests.remove(self._lanes[Kind.REQUEST])
            self._shared.relay.remove(self.partition)
            self._shared.running -= 1
            self._lanes = {}

    def cover(self, ticket: Ticket, upto: int) -> None:
        """The requests below `upto` were fetched before this ticket was drawn."""
        self._ticket, self._covered = ticket, upto

    @property
    def request_lane(self) -> Lane | None:
        """Where requests wait, while inputs are read."""
        return self._lanes.get(Kind.REQUEST)

    async def _next_input(self, effect: fx.NextInput) -> fx.Input:
        settings, lane, limits = self._settings, self._lanes[Kind.REQUEST], self.task.limits
        consents, outcomes = self._lanes[Kind.CONSENT], self._lanes[Kind.OUTCOME]
        effect.pending.wake = self.wake
        deadline = time.monotonic() + _IDLE_S
        # Transactions cost worker and broker CPU whatever they carry: many partitions, or a broker that takes its time,
        # make fewer, larger ones.
        wanted_ms = self._shared.running * max(_TRANSACTION_MS, self._shared.transaction_ms / _AT_ONCE)
        linger_ms = max(settings.linger_ms, min(_MOST_LINGER_MS, wanted_ms))
        while True:
            if self.stopping.is_set():
                raise fx.StopAsked
            self._watch_intakes()
            since = (time.monotonic() - self._began) * 1000
            facts = len(consents.records) + len(outcomes.records)
            wait_s = deadline - time.monotonic()
            if lane.records:
                wait_s = self._until_beat(linger_ms / 1000) if len(lane.records) < limits.batch else 0.0
            elif effect.pending.full or effect.pending.tokens or effect.pending.rest:
                wait_s = 0.0
            elif facts:
                wait_s = (settings.facts_linger_ms - since) / 1000 if facts < limits.batch else 0.0
            if wait_s <= 0:
                break
            self.wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.wake.wait()
        self._began = now = time.monotonic()
        if now - self._shared.beat >= linger_ms / 1000:
            self._shared.beat = now
        requests = lane.take(limits.batch)
        self._oldest_ms = requests[0].timestamp_ms if requests else 0
        return fx.Input(requests, lane.taken, self._clock_ms())

    def _until_beat(self, apart_s: float) -> float:
        """How long until this partition may begin its next transaction: together with the others of the worker.

        A broker does much of what transactions cost once for those that come at the same time: it asks for their
        partitions, sends their markers, and writes the group's positions.
        """
        beat = self._shared.beat
        return 0.0 if self._began < beat else beat + apart_s - time.monotonic()

    def _watch_intakes(self) -> None:
        for intake in (self._shared.facts, self._shared.requests):
            if intake.failure is not None:
                raise intake.failure

    async def _barrier(self, effect: fx.Barrier) -> fx.Passed:
        whole = True
        if effect.hold:
            began = time.monotonic()
            # INVARIANT (ask after fetch): a ticket counts only for requests fetched before it was drawn.
            if effect.attempt or self._ticket is None or self._covered < self._lanes[Kind.REQUEST].taken:
                self.cover(self._shared.barrier.ticket((self.partition,)), self._lanes[Kind.REQUEST].next)
            assert self._ticket is not None
            whole = await self._pass(self._ticket)
            self.meter.barrier(time.monotonic() - began)
        consents, outcomes = self._lanes[Kind.CONSENT], self._lanes[Kind.OUTCOME]
        return fx.Passed(consents.take(), consents.next, outcomes.take(), outcomes.next, self._clock_ms(), whole)

    async def _pass(self, ticket: Ticket) -> bool:
        """Until everything below the ticket's ends has been read (True), or a lane has no room left for it (False).

        Raises BarrierTimeout past the deadline. The world comes first: facts must not be applied with an older one.
        """
        lanes = (*self._shared.world, self._lanes[Kind.CONSENT], self._lanes[Kind.OUTCOME])
        deadline = time.monotonic() + self._settings.barrier_timeout_s
        while not ticket.done():
            await self._hold(ticket, deadline, "the end offsets")
        if ticket.cancelled():
            raise BarrierTimeout("the barrier was stopped")
        if (fault := ticket.exception()) is not None:
            await self._hold(None, time.monotonic() + 0.2, "")
            raise BarrierTimeout(f"end offsets cannot be asked: {fault}")
        ends = ticket.result()
        for lane in lanes:
            end = ends[lane.tp]
            while (reached := lane.reach(end)) is not None:
                if lane.full:
                    reached.cancel()
                    return False
                try:
                    await self._hold(reached, deadline, f"{lane.tp.topic} to reach {end}")
                finally:
                    reached.cancel()
        return True

    async def _hold(self, what: asyncio.Future[Ends] | asyncio.Future[None] | None, deadline: float, name: str) -> None:
        """Wait for a future, a stop, or the deadline."""
        left = deadline - time.monotonic()
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait(
                {stop} if what is None else {stop, what},
                timeout=max(0.0, min(left, 1.0)),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            stop.cancel()
        if self.stopping.is_set():
            raise fx.StopAsked
        self._watch_intakes()
        if what is not None and not what.done() and time.monotonic() >= deadline:
            raise BarrierTimeout(f"waited {self._settings.barrier_timeout_s:g} s for {name}")

    # --- transaction ----------------------------------------------------------------------------------------------

    async def _init_producer(self, _: fx.InitProducer) -> None:
        await self._transactor.init()
        names = (Kind.DECISION, Kind.DEAD, Kind.RELAY, Kind.CHANGELOG)
        await self._transactor.learn(self._settings.topic(kind) for kind in names)

    async def _drop_producer(self, _: fx.DropProducer) -> None:
        self.meter.move(Life.STARTING if self.promoted.is_set() else Life.STANDBY)
        self._leave_inputs()
        await self._close_reader()
        self._transactor.drop()

    async def _begin(self, _: fx.Begin) -> None:
        self._txn_began = time.monotonic()
        await self._transactor.begin()

    async def _produce(self, effect: fx.Produce) -> None:
        requesters = {out.requester or "" for out in effect.outs if out.kind == Kind.APPROVAL}
        names = {approvals_topic(self._settings.prefix, requester) for requester in requesters}
        await self._transactor.learn(names)
        self._outs = effect.outs
        await self._transactor.produce(effect.outs, effect.changelog, effect.timestamp_ms)

    async def _send_offsets(self, effect: fx.SendOffsets) -> int:
        return await self._transactor.settle(effect.positions)

    async def _commit(self, effect: fx.Commit) -> None:
        await self._transactor.commit()
        took_s = time.monotonic() - self._txn_began
        self._shared.transaction_ms += (1000 * took_s - self._shared.transaction_ms) / _RECENT
        self.meter.committed(self._outs, took_s)
        self._shared.news.note(self._outs)
        self.meter.superseded += effect.superseded
        self._shared.news.superseded("consent-events or contact-outcomes", effect.superseded)
        if self._oldest_ms:
            self.meter.arrived(max(0, self._clock_ms() - self._oldest_ms) / 1000)

    # --- the rest -------------------------------------------------------------------------------------------------

    async def _sleep(self, effect: fx.Sleep) -> None:
        try:
            async with asyncio.timeout(effect.seconds):
                await self.stopping.wait()
        except TimeoutError:
            return
        raise fx.StopAsked

    async def _now(self, _: fx.Now) -> int:
        return self._clock_ms()

    @staticmethod
    def _clock_ms() -> int:
        return time.time_ns() // 1_000_000

    async def _alert(self, effect: fx.Alert) -> None:
        log.warning("%s: %s", effect.kind, effect.detail)
        self._shared.alert(effect.kind, effect.detail)

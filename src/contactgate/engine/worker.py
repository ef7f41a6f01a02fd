"""One worker's partitions: starts, promotes, demotes and stops their drivers as the assignment says.

Knows nothing of Faust: `converge` is given the partitions to run and those to stand by for. A partition that stays is
never stopped. It must never run two drivers of one partition at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Generic

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rocksdict import Cache

from contactgate.core.world import Change
from contactgate.engine.barrier import Barrier
from contactgate.engine.driver import Driver, Shared
from contactgate.engine.intake import Intake, Lane
from contactgate.engine.kafka.clients import INPUT_MAX_BYTES, METADATA_MS, plain_producer, translate
from contactgate.engine.kafka.patches import wait_for_brokers
from contactgate.engine.relay import BEHIND_S, Relay
from contactgate.engine.settings import EngineSettings
from contactgate.errors import BrokerError, Fenced, Halted, StoreForeign
from contactgate.model.alerts import AlertKind
from contactgate.model.log import Out, State
from contactgate.names import TOPICS, Kind, requester_of
from contactgate.ops import alerts
from contactgate.ops.metrics import PartitionMeter, WorkerMeter
from contactgate.partition.broadcast import Broadcast, Feed
from contactgate.partition.life import Life
from contactgate.partition.ports import GateFactory, StateCodec
from contactgate.partition.task import PartitionTask
from contactgate.store import shared_cache

log = logging.getLogger(__name__)

_REQUESTERS_EVERY_S = 5.0


class Slot(Generic[State]):
    """One partition on this worker: its driver and the asyncio task that runs it."""

    def __init__(self, driver: Driver[State], standby: bool) -> None:
        self.driver = driver
        self.standby = standby
        self.task: asyncio.Task[None] | None = None


class Worker(Generic[State]):
    """The engine of one process. `start`, then `converge` whenever the assignment changes, then `stop`.

    `fatal` is set when the process must end: an error that needs an operator.
    """

    def __init__(
        self,
        settings: EngineSettings,
        make_gate: GateFactory[State],
        feed: Feed,
        codec: StateCodec[State],
        *,
        on_requesters: Callable[[frozenset[str]], None] | None = None,
    ) -> None:
        self.settings = settings
        self.meter = WorkerMeter(settings.worker_id)
        self.broadcast = Broadcast(feed, self._broadcast_dead, self._world_changed)
        self.fatal: BaseException | None = None
        self.failed = asyncio.Event()
        self.slots: dict[int, Slot[State]] = {}
        self.barrier = Barrier(settings)
        self._make_gate = make_gate
        self._codec = codec
        self._on_requesters = on_requesters
        self._active: frozenset[int] | None = None  # None: not known yet
        self._standby: frozenset[int] = frozenset()
        self._changed = asyncio.Event()
        self._stopping = False
        self._wake = asyncio.Event()
        self.facts = self.make_intake("facts")
        self.requests = self.make_intake("requests")
        self.world = self.make_intake("world")
        control, suppression = (TopicPartition(settings.topic(kind), 0) for kind in (Kind.CONTROL, Kind.SUPPRESSION))
        self.lanes = (
            Lane(control, 0, 1, self._wake, self.broadcast.read_control),
            Lane(suppression, 0, 1, self._wake, self.broadcast.read_suppression),
        )
        self._cache: Cache = shared_cache()
        self.relay = Relay(settings, self.alert)
        self.shared = Shared(
            settings,
            self.barrier,
            self.facts,
            self.requests,
            world=self.lanes,
            relay=self.relay,
            news=alerts.News(),
            alert=self.alert,
            cache=self._cache,
        )
        self._ops: AIOKafkaProducer | None = None
        self._offsets: AIOKafkaConsumer | None = None
        self._offsets_lock = asyncio.Lock()
        self._jobs: list[asyncio.Task[None]] = []
        self._reported = time.monotonic()  # when the last metrics were sent

    def make_intake(self, name: str) -> Intake:
        """A reader of inputs."""
        kind_of = {self.settings.topic(kind): kind for kind in TOPICS}
        return Intake(self.settings, kind_of, name, INPUT_MAX_BYTES)

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, read the broadcast topics to the ends found now, and begin to converge."""
        wait_for_brokers()
        self._ops = plain_producer(self.settings)
        self._offsets = AIOKafkaConsumer(
            bootstrap_servers=self.settings.bootstrap,
            group_id=self.settings.group_id,
            enable_auto_commit=False,
            request_timeout_ms=self.settings.request_timeout_ms,
            metadata_max_age_ms=METADATA_MS,
            **self.settings.security.client_options(),
        )
        try:
            await asyncio.gather(self._ops.start(), self._offsets.start(), self.barrier.start())
        except Exception as error:
            raise translate(error, "connecting to Kafka") from error
        self.shared.committed = self._committed
        await self._learn_requesters()
        begins = await self.barrier.begins(lane.tp for lane in self.lanes)
        for lane in self.lanes:
            lane.next = begins[lane.tp]
        self.broadcast.control, self.broadcast.suppression = self.lanes[0].next, self.lanes[1].next
        await asyncio.gather(self.facts.start(), self.requests.start(self._requests_fetched), self.world.start())
        self.world.add(*self.lanes)
        self.relay.start()
        self._jobs = [
            asyncio.create_task(self._read_world(), name="read-world"),
            asyncio.create_task(self._converge_loop(), name="converge"),
            asyncio.create_task(self._report(), name="report"),
        ]
        self.alert(AlertKind.WORKER_STARTED, f"worker {self.settings.worker_id}")

    async def stop(self) -> None:
        """Finish running transactions, stop all drivers, disconnect."""
        self._stopping = True
        for slot in self.slots.values():
            slot.driver.stop()
        running = [slot.task for slot in self.slots.values() if slot.task is not None]
        if running:
            _, late = await asyncio.wait(running, timeout=self.settings.transaction_timeout_ms / 1000)
            for task in late:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        self._raise_news(last=True)
        self.alert(AlertKind.WORKER_STOPPED, f"worker {self.settings.worker_id}")
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self._ops is not None:
            await self._tell_metrics()  # what was decided since the last period is reported too
        clients = (self._ops, self._offsets)
        await asyncio.gather(
            self.relay.stop(),
            self.facts.stop(),
            self.requests.stop(),
            self.world.stop(),
            self.barrier.stop(),
            *(client.stop() for client in clients if client is not None),
            return_exceptions=True,
        )

    def _fail(self, error: BaseException) -> None:
        if self.fatal is None:
            self.fatal = error
        self.failed.set()

    async def _read_world(self) -> None:
        """Tell the drivers when the broadcast tables are complete up to the ends found at start."""
        ends: dict[TopicPartition, int] = {}
        while not ends:
            try:
                ends = await self.barrier.ends(lane.tp for lane in self.lanes)
            except BrokerError as error:
                log.warning("asking for the ends of the broadcast topics: %s", error)
                await asyncio.sleep(0.5)
        for lane in self.lanes:
            while (reached := lane.reach(ends[lane.tp])) is not None:
                await asyncio.wait({reached}, timeout=1.0)
                if self.world.failure is not None:
                    self._fail(self.world.failure)
                    return
        self.shared.world_complete.set()

    async def _committed(self, tps: list[TopicPartition]) -> list[int | None]:
        assert self._offsets is not None
        found: list[int | None] = []
        async with self._offsets_lock:
            for tp in tps:
                try:
                    async with asyncio.timeout(self.settings.request_timeout_ms / 1000):
                        found.append(await self._offsets.committed(tp))
                except Exception as error:
                    raise translate(error, "reading committed positions") from error
        return found

    def _requests_fetched(self, lanes: list[Lane]) -> None:
        """Requests came in: ask for the barrier's ends at once, for all of them together."""
        ticket = self.barrier.ticket(lane.tp.partition for lane in lanes)
        for lane in lanes:
            slot = self.slots.get(lane.tp.partition)
            if slot is not None and slot.driver.request_lane is lane:
                slot.driver.cover(ticket, lane.next)

    # --- who runs what --------------------------------------------------------------------------------------------

    def converge(self, active: frozenset[int], standby: frozenset[int]) -> None:
        """This worker shall run `active` and stand by for `standby`. Returns at once; the work is done behind it."""
        self._active, self._standby = active, standby - active
        self._changed.set()

    async def _converge_loop(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._stopping:
                continue
            active, standby = self._active or frozenset(), self._standby
            for number, slot in list(self.slots.items()):
                if number in active and slot.standby:
                    slot.standby = False
                    slot.driver.promote()
                elif number not in active and (number not in standby or not slot.standby):
                    slot.driver.stop()
            for number in sorted(active | standby):
                if number not in self.slots:
                    self._launch(number, number not in active)

    def _launch(self, number: int, standby: bool) -> None:
        meter = self.meter.partition(number)
        meter.begin(Life.STANDBY if standby else Life.STARTING)
        task = PartitionTask(number, self._make_gate, self.broadcast, self._codec, self.settings.limits)
        slot = self.slots[number] = Slot(self.make_driver(task, meter), standby)
        slot.task = asyncio.create_task(self._run(number, slot), name=f"partition-{number}")

    def make_driver(self, task: PartitionTask[State], meter: PartitionMeter) -> Driver[State]:
        """What carries out a partition's task."""
        return Driver(task, self.shared, meter)

    async def _run(self, number: int, slot: Slot[State]) -> None:
        pause = 0.0
        try:
            await slot.driver.run(standby=slot.standby)
        except Fenced:
            # The worker that fenced us decides now. If the assignment still says it is ours, retry when it has settled.
            pause = self.settings.session_timeout_s
        except (Halted, StoreForeign) as error:
            kind = AlertKind.HALTED if isinstance(error, Halted) else AlertKind.STORE_FOREIGN
            self.alert(kind, f"partition {number}: {error}")
            log.exception("partition %d: stopped", number)
            self._fail(error)
            return
        except Exception as error:
            log.exception("partition %d: the task failed", number)
            self.alert(AlertKind.TASK_FAILED, f"partition {number}: {type(error).__name__}: {error}")
            pause = 2.0
        finally:
            slot.driver.meter.move(Life.STOPPED)
        if pause and not self._stopping:
            await asyncio.sleep(pause)
        if self.slots.get(number) is slot:
            del self.slots[number]
            self.meter.drop(number)
        self._changed.set()

    def _broadcast_dead(self, out: Out) -> None:
        if self.shared.world_complete.is_set() and out.reason.startswith("policy."):
            self.alert(
                AlertKind.POLICY_REJECTED, "a policy was activated that cannot be used; its dead letter says why"
            )

    def _world_changed(self, change: Change) -> None:
        if not self.shared.world_complete.is_set():
            return
        if change.widened:
            detail = f"{change.widened} kept suppressions or pauses name a word that the new policy does not know"
            self.alert(AlertKind.RESTRICTION_WIDENED, detail)
        if change.superseded:
            self.meter.superseded += 1
            self.shared.news.superseded("control-events or address-suppressions", 1)

    # --- what is reported -----------------------------------------------------------------------------------------

    def alert(self, kind: AlertKind, detail: str) -> None:
        """Send an alert; never waits, never fails."""
        self.meter.alerts[kind] += 1
        if self._ops is not None:
            value = alerts.alert(self.settings.worker_id, kind, detail, time.time_ns() // 1_000_000)
            job = asyncio.ensure_future(self._tell(Kind.ALERTS, value))
            job.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _raise_news(self, *, last: bool = False) -> None:
        """Alerts of what was committed since the last ones."""
        for kind, detail in self.shared.news.due(time.monotonic(), last=last):
            self.alert(kind, detail)

    async def _tell(self, kind: Kind, value: bytes) -> None:
        assert self._ops is not None
        with contextlib.suppress(Exception):
            async with asyncio.timeout(5):
                await self._ops.send_and_wait(self.settings.topic(kind), value, key=self.settings.worker_id.encode())

    async def _learn_requesters(self) -> None:
        """Who has an approvals topic; the gate blocks everybody else."""
        if self._on_requesters is None or self._offsets is None:
            return
        try:
            names = await self._offsets.topics()
        except Exception as error:  # noqa: BLE001 - the last known list stays in force
            log.warning("listing topics: %s", error)
            return
        found = (requester_of(self.settings.prefix, name) for name in names)
        self._on_requesters(frozenset(requester for requester in found if requester is not None))

    async def _tell_metrics(self) -> None:
        now = time.monotonic()
        period, self._reported = now - self._reported, now
        await self._tell(Kind.METRICS, self.meter.record(time.time_ns() // 1_000_000, period))

    async def _report(self) -> None:
        listed = self._reported = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for number, slot in self.slots.items():
                meter = slot.driver.meter
                lane = slot.driver.request_lane
                if lane is not None:
                    meter.lag = self.requests.lag(lane)
                    meter.waiting = len(lane.records)
                meter.relay_lag = self.relay.lag(number)
                self.meter.partitions.setdefault(number, meter)
            self.meter.behind_s = self.relay.behind_s
            self.relay.watch()
            self._raise_news()
            for intake in (self.facts, self.requests, self.world):
                if intake.failure is not None:
                    self._fail(intake.failure)
            await self._tell_metrics()
            if now - listed > _REQUESTERS_EVERY_S:
                listed = now
                await self._learn_requesters()

    @property
    def ready(self) -> bool:
        """It is known which partitions are ours, every one of them decides, and what lay wrongly is carried on."""
        if self.relay.behind_s > BEHIND_S:
            return False
        if self.fatal is not None or self._active is None or not self.shared.world_complete.is_set():
            return False
        return self._active <= {number for number, slot in self.slots.items() if slot.driver.task.ready}

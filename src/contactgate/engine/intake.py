"""Reading inputs: one consumer for several partitions, a lane for each, positions that move only past what was read.

A lane's `next` is the consumer's position after its records were handed over, so it also moves past transaction markers
and aborted records. `Lane.reach` waits until it stands at or beyond an offset; that is what the barrier waits for.

A compacted tail (or a marker at the end) can leave a position below the end with nothing to fetch. After two empty
waits a one-partition fetch proves such a gap and the lane steps over it (`probe`).
INVARIANT (proven gaps only): it never steps over anything else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.fetch import FetchRequest

from contactgate.engine.kafka.clients import CHANGELOG_MAX_BYTES, consumer, translate
from contactgate.engine.settings import EngineSettings
from contactgate.model.log import Record
from contactgate.names import Kind

_BETWEEN_FETCHES_S = 0.005

Sink = Callable[[list[Record], int], None]


class Lane:
    """One input partition: records read and not yet taken, and the next offset to be read."""

    __slots__ = ("_waiters", "behind_since", "limit", "next", "records", "sink", "taken", "tp", "wake")

    def __init__(
        self, tp: TopicPartition, start: int, limit: int, wake: asyncio.Event, sink: Sink | None = None
    ) -> None:
        self.tp = tp
        self.next = start
        self.taken = start  # the next offset the task has not been given
        self.limit = limit
        self.records: list[Record] = []
        self.wake = wake
        self.sink = sink
        self.behind_since = 0.0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def advance(self, records: list[Record], position: int) -> None:
        """Records were read, in order; `position` is the next offset."""
        if self.sink is not None:
            self.sink(records, position)
        elif records:
            self.records.extend(records)
        moved = position > self.next
        self.next = position
        if records:
            self.wake.set()
        if moved:
            self.behind_since = 0.0
            if self._waiters:
                waiting = []
                full = self.full
                for end, future in self._waiters:
                    if full or end <= position:
                        if not future.done():
                            future.set_result(None)
                    else:
                        waiting.append((end, future))
                self._waiters = waiting

    def take(self, limit: int | None = None) -> list[Record]:
        """The oldest records, at most `limit`; `taken` moves past them."""
        if limit is None or len(self.records) <= limit:
            records, self.records = self.records, []
            self.taken = self.next
        else:
            records, self.records = self.records[:limit], self.records[limit:]
            self.taken = records[-1].offset + 1
        return records

    def reach(self, end: int) -> asyncio.Future[None] | None:
        """None when everything below `end` has been read; else a future of that, or of there being no room for it."""
        if self.next >= end:
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((end, future))
        return future

    @property
    def full(self) -> bool:
        """Whether no more is read until records are taken."""
        return len(self.records) >= self.limit

    @property
    def goal(self) -> int:
        """The furthest offset somebody waits for; 0 when nobody does."""
        self._waiters = [(end, future) for end, future in self._waiters if not future.done()]
        return max((end for end, _ in self._waiters), default=0)


async def probe(
    client: AIOKafkaConsumer, tp: TopicPartition, position: int, end: int, *, committed: bool = True
) -> bool:
    """Whether a partition holds nothing to read between `position` and `end`.

    The first partition of a response always gets at least one record batch, whatever the byte limits say, so an empty
    answer to a one-partition fetch together with a last stable offset (or high watermark) at `end` proves the gap.
    """
    kafka = client._client
    node = kafka.cluster.leader_for_partition(tp)
    if node is None or node < 0:
        return False
    request = FetchRequest(
        0, 1, CHANGELOG_MAX_BYTES, 1 if committed else 0, [(tp.topic, [(tp.partition, position, CHANGELOG_MAX_BYTES)])]
    )
    response = await kafka.send(node, request)
    for _, partitions in response.topics:
        for _, error, high_watermark, *rest in partitions:
            stable = rest[0] if committed else high_watermark
            return error == 0 and not rest[-1] and stable >= end and high_watermark >= end
    return False


class Intake:
    """One consumer and its lanes. All calls on the consumer are made by `run`, so nothing races with a fetch."""

    def __init__(self, settings: EngineSettings, kind_of: Mapping[str, Kind], name: str, max_bytes: int) -> None:
        self.failure: BaseException | None = None
        self.polled_at = time.monotonic()
        self._settings = settings
        self._kind_of = kind_of  # topic name -> kind
        self._name = name
        self._max_bytes = max_bytes
        self._lanes: dict[TopicPartition, Lane] = {}
        self._changed = asyncio.Event()
        self._on_fetch: Callable[[list[Lane]], None] | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, on_fetch: Callable[[list[Lane]], None] | None = None) -> None:
        """Connect and begin. `on_fetch` is given the lanes that got records, right after they did."""
        self._on_fetch = on_fetch
        self._consumer = await self._connect()
        self._task = asyncio.create_task(self.run(), name=f"intake-{self._name}")

    async def _connect(self) -> AIOKafkaConsumer:
        client = consumer(self._settings, max_bytes=self._max_bytes)
        try:
            await client.start()
        except Exception as error:
            await client.stop()
            raise translate(error, f"connecting the {self._name} consumer") from error
        return client

    async def stop(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.stop()

    def add(self, *lanes: Lane) -> None:
        """Read these from now on, each from its `next`."""
        for lane in lanes:
            self._lanes[lane.tp] = lane
        self._changed.set()

    def remove(self, *lanes: Lane) -> None:
        """Read these no more."""
        for lane in lanes:
            if self._lanes.get(lane.tp) is lane:
                del self._lanes[lane.tp]
        self._changed.set()

    @property
    def reading(self) -> bool:
        """Whether there is anything to poll for."""
        return bool(self._lanes)

    def lag(self, lane: Lane) -> int:
        """Records of a lane that are known to exist and were not taken."""
        if self._consumer is None or lane.tp not in self._consumer.assignment():
            return 0
        end = self._consumer.highwater(lane.tp)
        return 0 if end is None else max(0, int(end) - lane.taken)

    async def run(self) -> None:
        """The fetch loop; ends only with an error that must stop the worker (`failure`)."""
        client = self._consumer
        assert client is not None
        assigned: dict[TopicPartition, Lane] = {}
        paused: set[TopicPartition] = set()
        try:
            while True:
                if self._changed.is_set():
                    self._changed.clear()
                    assigned, paused = dict(self._lanes), set()
                    client.assign(list(assigned))
                    for tp, lane in assigned.items():
                        client.seek(tp, lane.next)
                if not assigned:
                    self.polled_at = time.monotonic()
                    await self._changed.wait()
                    continue
                full = {tp for tp, lane in assigned.items() if lane.full}
                if full != paused:
                    if full - paused:
                        client.pause(*(full - paused))
                    if paused - full:
                        client.resume(*(paused - full))
                    paused = full
                await self._poll(client, assigned, paused)
                self.polled_at = time.monotonic()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever ends the loop must end the worker, not vanish
            self.failure = translate(error, f"reading {self._name}")

    async def _poll(
        self, client: AIOKafkaConsumer, assigned: dict[TopicPartition, Lane], paused: set[TopicPartition]
    ) -> None:
        ready = [tp for tp in assigned if tp not in paused]
        if not ready:
            await asyncio.sleep(0.005)
            return
        # getmany does not return for markers alone, but positions move under it: look often while somebody waits.
        waited_for = [lane for lane in assigned.values() if lane.goal]
        got = await client.getmany(*ready, timeout_ms=5 if waited_for else 50)
        rest = bool(got) and not waited_for
        if rest:
            # Before the client fetches again by itself: the broker would answer at once with the one record that came
            # since, and it would lie here for the whole rest while newer ones cannot be asked for.
            client.pause(*ready)
        fed: list[Lane] = []
        for tp, raw in got.items():
            lane = assigned[tp]
            kind, partition = self._kind_of[tp.topic], tp.partition
            records = [Record(kind, partition, r.offset, r.timestamp, r.key, r.value, headers=r.headers) for r in raw]
            lane.advance(records, await client.position(tp))
            fed.append(lane)
        for tp, lane in assigned.items():
            if tp not in got and (position := await client.position(tp)) > lane.next:
                lane.advance([], position)
        if fed and self._on_fetch is not None:
            self._on_fetch(fed)
        for lane in waited_for:
            await self._step_over_gap(client, lane)
        if rest:
            # A fetch costs the same whatever it brings: under a steady stream fewer, larger ones.
            await asyncio.sleep(_BETWEEN_FETCHES_S)
            client.resume(*ready)

    async def _step_over_gap(self, client: AIOKafkaConsumer, lane: Lane) -> None:
        goal = lane.goal
        if not goal or lane.next >= goal:
            return
        now = time.monotonic()
        if not lane.behind_since:
            lane.behind_since = now
        elif now - lane.behind_since > 2 * self._settings.fetch_max_wait_ms / 1000:
            lane.behind_since = now
            if await probe(client, lane.tp, lane.next, goal):
                client.seek(lane.tp, goal)
                lane.advance([], goal)

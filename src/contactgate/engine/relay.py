"""The relay's pump: what transactions of this worker's partitions put on the relay topic is appended to its input.

For each running partition it reads that partition of the relay topic (read_committed), appends every record to the
partition of the input that owns its key, with an idempotent producer and outside of any transaction, and commits its
place in the relay topic to a group of its own, `<group>.relay`.

INVARIANT (outside of transactions): an input is never written in a transaction of ours. A barrier waits for
everything below the high watermark, and an open transaction of the one who waits would never end.
INVARIANT (append then move on): the place moves only past what was acknowledged, and of one input partition nothing is
sent before what precedes it was acknowledged. So a crash anywhere repeats, and never leaves out; a pump of a worker
that was thought dead repeats as well. Who reads the input drops repetitions, see INVARIANT (a copy changes nothing).
INVARIANT (facts before requests): of one partition of the relay a request is appended only after the consents and
outcomes before it were acknowledged, so a producer that misplaces both keeps its opt-outs before its requests.

It must never hold up a partition, the worker's end, or anything else: whatever fails is tried again, and said.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from contactgate.codec.origins import TARGET
from contactgate.engine.kafka.clients import INPUT_MAX_BYTES, METADATA_MS, consumer, translate
from contactgate.engine.settings import EngineSettings
from contactgate.errors import BrokerError
from contactgate.model.alerts import AlertKind
from contactgate.model.log import murmur2
from contactgate.names import Kind

log = logging.getLogger(__name__)

BEHIND_S: Final = 30.0
"""A record that is older than this and not appended yet makes the worker unready, and is an alert."""
_RECORDS: Final = 500
_BATCH_BYTES: Final = 900_000
_WAIT_MS: Final = 500
_PAUSE_S, _MOST_PAUSE_S = 0.2, 5.0
_STOP_S: Final = 3.0
_RENEW_S: Final = 3_600.0  # committed places expire after days in which nothing is carried
_ONE_PARTITION: Final = frozenset({Kind.SUPPRESSION})
_MANY: Final = frozenset({Kind.CONSENT, Kind.OUTCOME, Kind.REQUEST})

Batch = list[Any]
"""Records as aiokafka's fetcher decoded them (`patches.unwrap_records`)."""


class Relay:
    """One worker's pump. `add` and `remove` say which partitions it runs; both return at once."""

    def __init__(self, settings: EngineSettings, alert: Callable[[AlertKind, str], None]) -> None:
        self.appended = 0
        self._settings = settings
        self._alert = alert
        self._wanted: set[int] = set()
        self._changed = asyncio.Event()
        self._next: dict[int, int] = {}  # of each partition, the relay offset below which everything is appended
        self._stored: dict[int, int] = {}  # and what of it is committed
        self._ends: dict[int, int] = {}  # and where the relay topic ended when it was last read
        self._renewed_s = time.monotonic()
        self._since_s: float | None = None  # when the records that are being appended were fetched
        self._oldest_ms = 0  # and when the oldest of them was put on the relay
        self._told = False
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
        self._task: asyncio.Task[None] | None = None

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; connects by itself."""
        self._task = asyncio.create_task(self._run(), name="relay")

    async def stop(self) -> None:
        """End at once: what was not appended comes again with the next owner."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._disconnect()

    def add(self, partition: int) -> None:
        """Carry what this partition's transactions commit."""
        self._wanted.add(partition)
        self._changed.set()

    def remove(self, partition: int) -> None:
        """Somebody else does, or nobody for now."""
        self._wanted.discard(partition)
        self._changed.set()

    # --- how it stands --------------------------------------------------------------------------------------------

    def lag(self, partition: int) -> int:
        """Records of a partition that are known to be on the relay and were not appended."""
        place = self._next.get(partition)
        return 0 if place is None else max(0, self._ends.get(partition, 0) - place)

    @property
    def behind_s(self) -> float:
        """The age of the oldest record that is being appended; 0.0 when there is none."""
        if self._since_s is None:
            return 0.0
        working_s = time.monotonic() - self._since_s
        if self._settings.limits.event_time:
            return working_s
        return max(working_s, time.time() - self._oldest_ms / 1000)

    def watch(self) -> None:
        """Raise the alert, once, when it falls behind."""
        behind = self.behind_s > BEHIND_S
        if behind and not self._told:
            self._alert(AlertKind.RELAY_BEHIND, f"a carried record waits since {self.behind_s:.0f} s")
        self._told = behind

    # --- the loop -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause_s = _PAUSE_S
        while True:
            try:
                await self._follow()
                await self._round()
                pause_s = _PAUSE_S
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - nothing that fails here may end the worker
                log.warning("the relay starts again: %s", translate(error, "carrying records"))
                if isinstance(error, OffsetOutOfRangeError):
                    self._next.clear()
                await self._disconnect()
                self._changed.set()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _MOST_PAUSE_S)

    async def _follow(self) -> None:
        """Read the partitions that are run here, each from its place."""
        while self._changed.is_set() or not self._next:
            await self._changed.wait()
            self._changed.clear()
            wanted = set(self._wanted)
            for gone in self._next.keys() - wanted:
                self._next.pop(gone), self._stored.pop(gone, None)
            if not wanted:
                self._since_s = None
                continue
            reader = await self._connected()
            # A partition that came back may have been carried further elsewhere: its place is asked again.
            tps = [self._tp(partition) for partition in sorted(wanted)]
            reader.assign(tps)
            for partition in sorted(wanted):
                if partition not in self._next:
                    await self._find(reader, partition)
                reader.seek(self._tp(partition), self._next[partition])

    async def _find(self, reader: AIOKafkaConsumer, partition: int) -> None:
        """A partition's place: the group's; the beginning when it has none."""
        tp = self._tp(partition)
        known = await reader.committed(tp)
        begin = (await reader.beginning_offsets([tp]))[tp]
        end = (await reader.end_offsets([tp]))[tp]
        if known is not None and known < begin:
            self._alert(
                AlertKind.INPUT_GAP, f"partition {partition}: {known}..{begin} of the relay were deleted unappended"
            )
        self._next[partition] = known if known is not None and begin <= known <= end else begin

    async def _round(self) -> None:
        """Fetch some, append them, move on."""
        reader = self._consumer
        assert reader is not None
        got = await reader.getmany(timeout_ms=_WAIT_MS, max_records=_RECORDS)
        for partition in self._next:
            self._ends[partition] = reader.highwater(self._tp(partition)) or 0
        if self._changed.is_set():
            return  # perhaps not ours any more; the next reader begins where we stand
        if got:
            self._since_s = self._since_s or time.monotonic()
            self._oldest_ms = min(records[0].timestamp for records in got.values())
            await self._append([(r, tp.partition) for tp, records in got.items() for r in records])
        for partition in self._next:
            self._next[partition] = max(self._next[partition], await reader.position(self._tp(partition)))
        self._since_s = None
        await self._store(reader)

    async def _append(self, records: list[tuple[Any, int]]) -> None:
        """Append all of it: requests when all else is acknowledged, so an opt-out that was first stays so."""
        facts: dict[TopicPartition, list[Any]] = {}
        requests: dict[TopicPartition, list[Any]] = {}
        asked = self._settings.topic(Kind.REQUEST)
        for record, _ in records:
            target = self._target(record)
            (requests if target.topic == asked else facts).setdefault(target, []).append(record)
        for queues in (facts, requests):
            await self._send(queues)
        self.appended += len(records)

    async def _send(self, queues: dict[TopicPartition, list[Any]]) -> None:
        """Append these; of one input partition a batch only when the one before is acknowledged."""
        producer = await self._producing()
        while queues:
            sent = []
            for tp, queue in list(queues.items()):
                batch = producer.create_batch()
                count = 0
                for record in queue:
                    headers = [header for header in record.headers if header[0] != TARGET]
                    if (
                        batch.append(timestamp=record.timestamp, key=record.key, value=record.value, headers=headers)
                        is None
                    ):
                        break
                    count += 1
                if not count:
                    raise BrokerError("a record of the relay does not fit into a batch")
                batch.close()
                sent.append(await producer.send_batch(batch, tp.topic, partition=tp.partition))
                del queue[:count]
                if not queue:
                    del queues[tp]
            for result in await asyncio.gather(*sent, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result

    def _target(self, record: Any) -> TopicPartition:
        told = next((content for name, content in record.headers if name == TARGET), b"")
        kind = told.decode("ascii", "replace")
        if kind in _MANY:
            return TopicPartition(self._settings.topic(Kind(kind)), murmur2(record.key) % self._settings.partitions)
        if kind in _ONE_PARTITION:
            return TopicPartition(self._settings.topic(Kind(kind)), 0)
        raise BrokerError("a record of the relay names no input that this release knows; run the newer one")

    async def _store(self, reader: AIOKafkaConsumer) -> None:
        """Commit the places that moved, and all of them now and then."""
        renew = time.monotonic() - self._renewed_s > _RENEW_S
        moved = {
            self._tp(partition): place
            for partition, place in self._next.items()
            if renew or self._stored.get(partition) != place
        }
        if moved:
            await reader.commit(moved)
            self._stored.update({tp.partition: place for tp, place in moved.items()})
        if renew:
            self._renewed_s = time.monotonic()

    # --- clients --------------------------------------------------------------------------------------------------

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.topic(Kind.RELAY), partition)

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            reader = consumer(
                self._settings,
                max_bytes=INPUT_MAX_BYTES,
                fetch_max_wait_ms=_WAIT_MS,
                group_id=self._settings.relay_group_id,
            )
            try:
                await reader.start()
            except BaseException:
                await reader.stop()
                raise
            self._consumer = reader
        return self._consumer

    async def _producing(self) -> AIOKafkaProducer:
        """Made when there is something to append: most installations carry nothing."""
        if self._producer is None:
            settings = self._settings
            producer = AIOKafkaProducer(
                bootstrap_servers=settings.bootstrap,
                client_id=f"{settings.app_id}-{settings.worker_id}-relay",
                enable_idempotence=True,
                acks="all",
                max_batch_size=_BATCH_BYTES,
                request_timeout_ms=settings.request_timeout_ms,
                metadata_max_age_ms=METADATA_MS,
                **settings.security.client_options(),
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _disconnect(self) -> None:
        reader, producer = self._consumer, self._producer
        self._consumer = self._producer = None
        with contextlib.suppress(Exception):
            if reader is not None:
                await reader.stop()
        if producer is None:
            return
        try:
            async with asyncio.timeout(_STOP_S):
                await producer.stop()
        except Exception as error:  # noqa: BLE001 - it is thrown away, with what it would still send
            log.info("the relay's producer did not end by itself: %s", type(error).__name__)
            with contextlib.suppress(Exception):
                await producer._sender.close()
                await producer.client.close()

"""One partition, from opening to stopping, as a state machine without I/O: a generator of effects.

The order of a transaction, which every promise rests on:

    1. NextInput      requests are fetched
    2. Barrier        everything acknowledged before that fetch is read; past the deadline the batch is held; what is
                      too much to be held in memory is applied before, in transactions of its own
    3. (decide)       Fold.apply: no effect in between, so nothing can change under it
    4. Begin, Produce, SendOffsets   outputs, changed states and input positions in one Kafka transaction
    5. Commit         INVARIANT (one transaction): all of it or none of it exists
    6. StoreWrite     INVARIANT (store after commit): the local store never holds what Kafka does not
    7. (adopt)        the cache and the index of open approvals follow

The order of opening, for the same reason:

    1. StoreOpen, and as a standby FetchChangelog until promoted
    2. Committed      the group's positions, to be compared with 5: asked first, for the markers of the transaction
                      that carried them are written when 3 returns, so that 4 is not below it, whatever comes later
    3. InitProducer   INVARIANT (fence before read): the previous owner can write nothing from here on
    4. ReadEnd        the last stable offset of the changelog: everything committed before is below it
    5. FetchChangelog, StoreWrite    until the store stands there; its meta record wins over the group's positions
    6. StartInputs    and decide

INVARIANT (open again): any failure of a transaction throws the producer, the cache and the batch away and opens again:
an unknown commit result is settled by InitProducer, and the changelog tells what it was. Only Fenced, Halted and
StoreForeign end the task. This module must never import asyncio, a client, or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from contactgate.errors import (
    BarrierTimeout,
    BrokerError,
    Fenced,
    Halted,
    StoreCorrupt,
    StoreError,
    StoreForeign,
)
from contactgate.model.alerts import AlertKind
from contactgate.model.log import Bounds, Head, Positions, Record, State
from contactgate.names import Kind
from contactgate.partition.effects import (
    Alert,
    Asking,
    Barrier,
    Begin,
    Commit,
    Committed,
    DropProducer,
    FetchChangelog,
    InitProducer,
    Input,
    NextInput,
    Now,
    Offsets,
    Passed,
    Produce,
    ReadEnd,
    SendOffsets,
    Sleep,
    StartInputs,
    StopAsked,
    StoreOpen,
    StoreWrite,
    Tail,
    ask,
)
from contactgate.partition.fold import META_KEY, Batch, Fold, Meta, Work, decode_meta, encode_meta
from contactgate.partition.ports import GateFactory, Shelf, StateCodec, WorldView, open_until_ms

Steps = Asking[None]

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes and periods of one partition's task."""

    batch: int = 1_000  # records in one transaction
    review: int = 500  # open approvals' subjects reviewed in one transaction
    cache: int = 100_000  # decoded states
    event_time: bool = False  # a request is decided at its own timestamp (replays), not at the wall clock
    # INVARIANT (rotate in time): a producer is replaced before its 31-bit sequence numbers run out.
    rotate_records: int = 1_000_000_000
    rotate_ms: int = 24 * _HOUR_MS
    heartbeat_ms: int = 12 * _HOUR_MS  # an idle partition commits this often, so that its offsets do not expire
    tombstone_ms: int = 14 * 24 * _HOUR_MS  # a store this old may have missed compacted tombstones: rebuilt
    clock_skew_ms: int = _MINUTE_MS  # how far the clocks of workers may differ
    accept_gap: bool = False  # an operator accepts that retention deleted unread input
    backoff_s: float = 0.2
    backoff_max_s: float = 10.0


def _copy(tail: Tail, meta: bytes) -> tuple[StoreWrite, bytes]:
    """A stretch of the changelog as one write of the store, and the newest meta record."""
    states: dict[bytes, bytes | None] = {}
    for key, value in tail.records:
        if key == META_KEY:
            meta = value or b""
        else:
            states[key] = value
    opened = [(until, key) for key, value in states.items() if value and (until := open_until_ms(value))]
    return StoreWrite(list(states.items()), opened, Head(tail.next, meta)), meta


def _after(some: list[Record], rest: list[Record], before: int, end: int) -> int:
    """The next offset after `some` of an input of which `rest` is left; `end` once nothing is."""
    if not rest:
        return end
    return some[-1].offset + 1 if some else before


class _Reopen(Exception):
    """Not a failure: the producer is rotated by opening again."""


class PartitionTask(Generic[State]):
    """The task of one partition. `run` is the whole life; `ready` tells whether it decides."""

    def __init__(
        self,
        partition: int,
        make_gate: GateFactory[State],
        world: WorldView,
        codec: StateCodec[State],
        limits: Limits | None = None,
    ) -> None:
        self.partition = partition
        self.limits = limits or Limits()
        self.ready = False
        self.standby_next = 0  # changelog offset a standby has reached
        self.fold: Fold[State] | None = None
        self._make_gate = make_gate
        self._world = world
        self._codec = codec
        self._reset: str | None = None
        self._failures = 0
        self._sent = 0
        self._started_ms = 0
        self._last_commit_ms = 0
        self._last_purge_ms = 0

    def run(self, *, standby: bool = False) -> Steps:
        """Everything: open (as a standby first if asked), decide until StopAsked, recover from failures."""
        while True:
            try:
                fold = yield from self._open(standby)
                standby = False
                yield from self._work(fold)
            except StopAsked:
                self._drop()
                return
            except _Reopen:
                yield Alert(
                    AlertKind.PRODUCER_ROTATED, f"partition {self.partition}: a new producer is started (routine)"
                )
                self._drop()
                yield DropProducer()
                continue
            except Fenced as error:
                self._drop()
                yield Alert(AlertKind.FENCED, f"partition {self.partition}: {error}")
                raise
            except (Halted, StoreForeign):
                self._drop()
                raise
            except StoreCorrupt as error:
                self._reset = "corrupt"
                yield Alert(
                    AlertKind.STORE_CORRUPT, f"partition {self.partition}: {error}; rebuilding from the changelog"
                )
            except (BrokerError, StoreError) as error:
                yield Alert(AlertKind.TASK_RESTART, f"partition {self.partition}: {type(error).__name__}: {error}")
            pause = min(self.limits.backoff_s * 2**self._failures, self.limits.backoff_max_s)
            self._failures += 1
            self._drop()
            try:
                yield DropProducer()
                yield Sleep(pause)
            except StopAsked:
                return

    def _drop(self) -> None:
        """Forget everything that is not in Kafka: batch, cache, index, gate."""
        self.ready = False
        if self.fold is not None:
            self.fold.close()
            self.fold = None

    # --- opening --------------------------------------------------------------------------------------------------

    def _open(self, standby: bool) -> Asking[Fold[State]]:
        shelf = yield from ask(StoreOpen(self._reset))
        self._reset = None
        if standby:
            shelf = yield from self._tail(shelf)
        committed = yield from ask(Committed())
        # see INVARIANT (fence before read)
        yield InitProducer()
        now_ms = yield from ask(Now())
        bounds = yield from ask(ReadEnd(Kind.CHANGELOG))
        shelf, position, meta = yield from self._start(shelf, bounds, now_ms)
        while position < bounds.end:
            position, meta = yield from self._absorb(position, bounds.end, meta)
        known = decode_meta(meta) if meta else None
        if known is not None and known.seq < 0:
            known = None
        positions = yield from self._positions(known, committed)
        gate = self._make_gate(self.partition, known.seq if known else 0, known.prev if known else "")
        fold = Fold(
            self.partition,
            gate,
            self._world,
            self._codec,
            shelf.get_many,
            known or Meta(consent=positions.consent, outcome=positions.outcome, request=positions.request),
            cache=self.limits.cache,
            event_time=self.limits.event_time,
        )
        self.fold = fold
        since_ms = fold.meta.now_ms if self.limits.event_time else now_ms
        for until_ms, subject in shelf.open_since(since_ms):
            fold.open[subject] = max(until_ms, fold.open.get(subject, 0))
        yield StartInputs(positions)
        self._sent, self._started_ms, self._last_commit_ms = 0, now_ms, now_ms
        self.ready = True
        return fold

    def _start(self, shelf: Shelf, bounds: Bounds, now_ms: int) -> Asking[tuple[Shelf, int, bytes]]:
        """Where restoring begins; a store that cannot be continued is emptied first."""
        head = shelf.head()
        # An interrupted first restore has not met a meta record yet: this one tells how old it is.
        begun = encode_meta(Meta(seq=-1, now_ms=now_ms))
        if head is None:
            return shelf, bounds.begin, begun
        if not bounds.begin <= head.changelog <= bounds.end:
            why = f"stands at {head.changelog}, outside [{bounds.begin}, {bounds.end}]"
        elif head.meta and head.changelog < bounds.end and self._too_old(head.meta, now_ms):
            why = "is older than the changelog keeps tombstones"
        else:
            return shelf, head.changelog, head.meta
        yield Alert(
            AlertKind.STORE_REBUILT, f"partition {self.partition}: the local state {why}; rebuilding from the changelog"
        )
        shelf = yield from ask(StoreOpen("outdated"))
        return shelf, bounds.begin, begun

    def _too_old(self, meta: bytes, now_ms: int) -> bool:
        return not self.limits.event_time and now_ms - decode_meta(meta).now_ms > self.limits.tombstone_ms

    def _absorb(self, position: int, until: int | None, meta: bytes) -> Asking[tuple[int, bytes]]:
        """Copy one stretch of the changelog into the store, with the offset it stands for in the same batch."""
        tail = yield from ask(FetchChangelog(position, until))
        if tail.next > position:
            write, meta = _copy(tail, meta)
            yield write
        return tail.next, meta

    def _tail(self, shelf: Shelf) -> Asking[Shelf]:
        """A standby: follow the changelog until promoted."""
        now_ms = yield from ask(Now())
        bounds = yield from ask(ReadEnd(Kind.CHANGELOG))
        shelf, position, meta = yield from self._start(shelf, bounds, now_ms)
        while True:
            self.standby_next = position
            tail = yield from ask(FetchChangelog(position, None))
            if tail.next > position:
                write, meta = _copy(tail, meta)
                yield write
                position = tail.next
            if tail.promote:
                return shelf

    def _positions(self, known: Meta | None, committed: Offsets) -> Asking[Positions]:
        """The input positions to go on from: the changelog's; for a new application the beginning."""
        if known is None and any(committed):
            raise Halted(
                f"partition {self.partition}: the group has committed input positions but the changelog is empty; "
                "deciding now would forget opt-outs. Restore the changelog topic, or start under a new application id"
            )
        if known is not None and any(
            offset is not None and offset > own for offset, own in zip(committed, known.positions, strict=True)
        ):
            yield Alert(
                AlertKind.POSITIONS_DIFFER, f"partition {self.partition}: committed positions are ahead; not used"
            )
        positions: list[int] = []
        for index, topic in enumerate((Kind.CONSENT, Kind.OUTCOME, Kind.REQUEST)):
            bounds = yield from ask(ReadEnd(topic, committed=False))
            position = bounds.begin if known is None else known.positions[index]
            found = (
                f"partition {self.partition}: the {topic} topic holds offsets {bounds.begin} to {bounds.end} but "
                f"the next one to read is {position}: "
            )
            if position < bounds.begin:
                if not self.limits.accept_gap:
                    raise Halted(
                        f"{found}unread input was deleted. Restore it; or, if you know what was lost, start the "
                        "workers once with the setting accept_gap"
                    )
                yield Alert(
                    AlertKind.INPUT_GAP, f"partition {self.partition}: {topic} {position}..{bounds.begin} were deleted"
                )
                position = bounds.begin
            elif position > bounds.end:
                raise Halted(
                    f"{found}the topic was re-created or lost its end. Restore it: what was decided before names "
                    "offsets that it does not hold"
                )
            positions.append(position)
        return Positions(*positions)

    # --- deciding -------------------------------------------------------------------------------------------------

    def _work(self, fold: Fold[State]) -> Steps:
        while True:
            taken = yield from ask(NextInput(fold.pending))
            passed = yield from self._pass(bool(taken.requests) or fold.behind)
            while not passed.whole:
                # More facts below the barrier than memory takes (a long absence): they go first, the requests wait.
                yield from self._decide(fold, Input([], fold.meta.request, taken.now_ms), passed)
                passed = yield from self._pass(True)
            yield from self._decide(fold, taken, passed)
            now_ms = passed.now_ms
            if now_ms - self._last_purge_ms > _MINUTE_MS:
                fold.forget_lapsed(now_ms if not self.limits.event_time else fold.meta.now_ms)
                self._last_purge_ms = now_ms
            if now_ms - self._last_commit_ms > self.limits.heartbeat_ms:
                yield from self._transact(fold, fold.heartbeat(), now_ms)
            # Staggered by partition, so that a worker does not rotate all its producers at once.
            if self._sent >= self.limits.rotate_records or (
                now_ms - self._started_ms > self.limits.rotate_ms + self.partition * _MINUTE_MS
            ):
                raise _Reopen

    def _pass(self, hold: bool) -> Asking[Passed]:
        """The barrier.

        INVARIANT (fail closed): a batch past the deadline is held and the barrier retried, never decided on
        stale facts.
        """
        attempt = 0
        while True:
            try:
                return (yield from ask(Barrier(hold, attempt)))
            except BarrierTimeout as error:
                attempt += 1
                yield Alert(AlertKind.BARRIER_TIMEOUT, f"partition {self.partition}: {error} (attempt {attempt})")

    def _decide(self, fold: Fold[State], taken: Input, passed: Passed) -> Steps:
        """All of the taken input, in as many transactions as it needs: reviews and facts first, then requests."""
        consents, outcomes, requests = passed.consents, passed.outcomes, taken.requests
        while True:
            room = self.limits.batch
            some_consents, consents = consents[:room], consents[room:]
            room -= len(some_consents)
            some_outcomes, outcomes = outcomes[:room], outcomes[room:]
            room -= len(some_outcomes)
            some_requests = [] if consents or outcomes else requests[:room]
            requests = requests[len(some_requests) :]
            positions = Positions(
                _after(some_consents, consents, fold.meta.consent, passed.consent_next),
                _after(some_outcomes, outcomes, fold.meta.outcome, passed.outcome_next),
                _after(some_requests, requests, fold.meta.request, taken.request_next),
            )
            now_ms = self._batch_time(fold, passed.now_ms, some_consents, some_outcomes, some_requests)
            batch = fold.apply(Work(some_consents, some_outcomes, some_requests, positions, now_ms, self.limits.review))
            if batch is not None:
                yield from self._transact(fold, batch, passed.now_ms)
            # A long review goes on with the next input: decisions see the new world anyway and need not wait for it.
            if not (consents or outcomes or requests):
                return

    def _batch_time(self, fold: Fold[State], now_ms: int, *parts: list[Record]) -> int:
        """The time a batch is decided at.

        INVARIANT (one instant): one decision time per batch: the wall clock, never before a record's broker timestamp,
        nor before the last transaction's, as far as clocks of workers may differ: a cap does not count what lies
        ahead, and a consent applied before would not be in effect yet. A clock that was wrong by more is not followed.
        """
        newest = max((rec.timestamp_ms for part in parts for rec in part), default=0)
        if self.limits.event_time:
            return max(fold.meta.now_ms, newest)
        if 0 < fold.meta.now_ms - now_ms <= self.limits.clock_skew_ms:
            now_ms = fold.meta.now_ms
        return max(now_ms, newest)

    def _transact(self, fold: Fold[State], batch: Batch, now_ms: int) -> Steps:
        changelog = batch.changelog
        yield Begin()
        yield Produce(batch.outs, changelog, batch.meta.now_ms)
        changelog_next = yield from ask(SendOffsets(batch.meta.positions))
        yield Commit(batch.superseded)
        # see INVARIANT (store after commit); an unknown result never reaches this line.
        purge = max(0, batch.meta.now_ms - _HOUR_MS) if now_ms - self._last_purge_ms > _MINUTE_MS else 0
        yield StoreWrite(batch.states, batch.opened, Head(changelog_next, batch.meta_bytes), purge)
        fold.adopt(batch)
        self._sent += len(batch.outs) + len(changelog)
        self._last_commit_ms = now_ms
        self._failures = 0

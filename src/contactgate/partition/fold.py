"""One partition's batch as a pure step: inputs in, outputs and changed states out, in the canonical order.

The live task, the simulated log and the offline replay all run this same step.
INVARIANT (canonical order): within a batch, and each kind in the order of its offsets:

    world changes (already folded) -> reviews of open approvals -> consents -> outcomes -> requests

It must never wait, write, or look at a clock; `Work.now_ms` is the only time it knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple

import msgspec

from contactgate.errors import Halted, StoreCorrupt
from contactgate.model.decision import SEMANTICS
from contactgate.model.log import Out, Position, Positions, Record, State
from contactgate.partition.overlay import GetMany, Overlay
from contactgate.partition.ports import GatePort, Pending, StateCodec, WorldView, open_until_ms

META_KEY = b"\0meta"
"""Changelog key of a partition's meta record; no subject_id can be it, for identifiers are printable."""


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one transaction stood at: written as one changelog record in each, and what a restart trusts.

    Positions are next offsets. With the inputs, the sequence of these records is enough to do everything again.
    """

    seq: int = 0  # of the next decision in the partition's audit chain
    prev: str = ""  # hash of the last one; "" before the first
    consent: int = 0
    outcome: int = 0
    request: int = 0
    control: int = 0
    suppression: int = 0
    now_ms: int = 0  # the batch's decision time
    review: str = ""  # a review of open approvals began here: all or tokens
    reviewed: bytes = b""  # the last subject of the running review that this transaction covers
    key: str = ""  # fingerprint of the token key that everything before was written with; "": not known
    semantics: int = 1  # version of the rules that the transaction was made by
    carried: dict[str, int] = {}  # "<kind>/<partition it comes from>" -> place of the last carried record that was read

    @property
    def positions(self) -> Positions:
        """The partition's own input positions."""
        return Positions(self.consent, self.outcome, self.request)


encode_meta = msgspec.json.Encoder().encode
_decode_meta = msgspec.json.Decoder(Meta).decode


def decode_meta(raw: bytes) -> Meta:
    """The meta record behind the bytes. Raises StoreCorrupt for anything `encode_meta` did not make."""
    try:
        return _decode_meta(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreCorrupt("a partition's meta record is damaged") from error


class Work(NamedTuple):
    """The inputs of one transaction and the positions after it."""

    consents: list[Record]
    outcomes: list[Record]
    requests: list[Record]
    positions: Positions
    now_ms: int
    review_limit: int
    again: Meta | None = None  # a replay: review exactly what this transaction reviewed


class Batch(NamedTuple):
    """What one transaction carries."""

    outs: list[Out]
    states: list[tuple[bytes, bytes | None]]
    opened: list[tuple[int, bytes]]
    meta: Meta
    meta_bytes: bytes
    superseded: int = 0  # restrictions that a newer permission kept from binding

    @property
    def changelog(self) -> list[tuple[bytes, bytes | None]]:
        """The changelog records: one per changed subject, the meta record last."""
        return [*self.states, (META_KEY, self.meta_bytes)]


class Fold(Generic[State]):
    """A partition's gate, states and index of open approvals. `apply` then `adopt`, or throw the whole thing away."""

    def __init__(
        self,
        partition: int,
        gate: GatePort[State],
        world: WorldView,
        codec: StateCodec[State],
        get_many: GetMany,
        meta: Meta,
        *,
        cache: int,
        event_time: bool,
    ) -> None:
        # INVARIANT (one key): under another key no opt-out that is kept by a token would be found again.
        if meta.key and gate.key and meta.key != gate.key:
            raise Halted(
                f"partition {partition}: its state was written with another token_key ({meta.key}, not {gate.key}); "
                "deciding now would forget suppressions. Start the worker with the key of the installation"
            )
        self.partition = partition
        self.meta = meta
        self.pending: Pending = world.watch()
        # Approvals granted before this run may have become illegal while nobody watched.
        self.pending.full = True
        self.open: dict[bytes, int] = {}  # subject -> when its last open approval lapses, never too early
        self.gate = gate
        self._world = world
        self._codec = codec
        self._event_time = event_time
        self._overlay = Overlay(get_many, codec, cache)
        self._carried = meta.carried
        self._queue: list[bytes] = []  # subjects of the running review, in reverse order
        # Who to review for an address. Whole once the first review, which is of all, has visited every open subject.
        self._by_token: dict[str, set[bytes]] = {}

    def close(self) -> None:
        """Stop watching the world."""
        self._world.unwatch(self.pending)

    @property
    def behind(self) -> bool:
        """Whether this worker's broadcast tables are older than those of the partition's last transaction."""
        return self._world.control < self.meta.control or self._world.suppression < self.meta.suppression

    @property
    def reviewing(self) -> bool:
        """Whether a review is due or running."""
        return bool(self._queue) or self.pending.full or bool(self.pending.tokens)

    def _candidates(self, full: bool, tokens: frozenset[str], now_ms: int) -> list[bytes]:
        subjects: Iterable[bytes] = self.open
        if not full:
            subjects = {subject for token in tokens for subject in self._by_token.get(token, ())}
        return sorted((subject for subject in subjects if self.open.get(subject, 0) > now_ms), reverse=True)

    def _note_addresses(self, subject: bytes, state: State) -> None:
        for token in self._codec.addresses(state):
            self._by_token.setdefault(token, set()).add(subject)

    def begin_review(self, now_ms: int) -> str:
        """Take what the world changed and queue the subjects concerned; the kind of review, "" for none."""
        if self._queue or not self.reviewing:
            return ""
        full, tokens = self.pending.full, frozenset(self.pending.tokens)
        self.pending.full = False
        self.pending.tokens.clear()
        self._queue = self._candidates(full, tokens, now_ms)
        return ("all" if full else "tokens") if self._queue else ""

    def _review_again(self, meta: Meta) -> list[bytes]:
        if meta.review:
            self._queue.clear()
            self.pending.full = meta.review == "all"
            self.begin_review(meta.now_ms)
        elif not self._queue:
            self.pending.full = False
            self.pending.tokens.clear()
        subjects = []
        while self._queue and self._queue[-1] <= meta.reviewed:
            subjects.append(self._queue.pop())
        return subjects

    def _fresh(self, records: list[Record]) -> Iterable[Record]:
        """The records without those that the relay appended before; of carried ones their origin is told.

        INVARIANT (a copy changes nothing): what is carried from one partition comes in the order of its origins, so the
        last place read tells every repetition: by a pump that started again, or by one that was thought dead.
        """
        if not any(rec.headers for rec in records):
            return records
        fresh: list[Record] = []
        for rec in records:
            origin = self.gate.origin(rec) if rec.headers else None
            if origin is not None:
                if origin.target == self.partition:
                    lane = f"{rec.kind}/{origin.partition}"
                    if origin.place <= self._carried.get(lane, -1):
                        continue
                    self._carried = {**self._carried, lane: origin.place}
                rec = msgspec.structs.replace(rec, first_ms=origin.arrived_ms, origin=origin)
            fresh.append(rec)
        return fresh

    def apply(self, work: Work) -> Batch | None:
        """Run one transaction's work; None when it leaves nothing to commit (no input, no output, no review)."""
        gate, overlay, world = self.gate, self._overlay, self._world
        now_ms = work.now_ms
        if work.again is None:
            review = self.begin_review(now_ms)
            subjects = [self._queue.pop() for _ in range(min(len(self._queue), work.review_limit))]
        else:
            review, subjects = work.again.review, self._review_again(work.again)
        overlay.prefetch([*subjects, *(rec.key for rec in work.consents), *(rec.key for rec in work.outcomes)])
        overlay.prefetch([rec.key for rec in work.requests])
        for subject in subjects:
            self._note_addresses(subject, overlay.get(subject))
            gate.review(subject, overlay, now_ms)
        self.pending.rest = bool(self._queue)
        for rec in self._fresh(work.consents):
            gate.consent(rec, overlay)
        for rec in self._fresh(work.outcomes):
            gate.outcome(rec, overlay)
        consent, outcome, request = work.positions
        control, suppression = world.control, world.suppression
        partition, event_time, decide = self.partition, self._event_time, gate.request
        for rec in self._fresh(work.requests):
            position = Position(partition, rec.offset, consent, outcome, control, suppression)
            decide(rec, overlay, rec.timestamp_ms if event_time else now_ms, position)
        outs, superseded = list(gate.out), gate.superseded
        gate.out.clear()
        gate.superseded = 0
        if partition == 0:
            # Every worker folds the broadcast topics; only partition 0 emits their dead letters, each once.
            outs.extend(world.dead_letters(self.meta.control, self.meta.suppression))
        idle = not (subjects or outs or work.consents or work.outcomes or work.requests)
        if idle and self.meta.positions == work.positions:
            return None
        meta = Meta(
            seq=gate.seq,
            prev=gate.prev,
            consent=consent,
            outcome=outcome,
            request=request,
            control=control,
            suppression=suppression,
            now_ms=now_ms,
            review=review,
            reviewed=subjects[-1] if subjects else b"",
            key=gate.key or self.meta.key,
            carried=self._carried,
            semantics=SEMANTICS,
        )
        states, opened = overlay.encode(now_ms), []
        for subject, value in states:
            if value is not None and (until := open_until_ms(value)) > now_ms:
                opened.append((until, subject))
                self._note_addresses(subject, overlay.changed[subject])
        return Batch(outs, states, opened, meta, encode_meta(meta), superseded)

    def heartbeat(self) -> Batch:
        """An empty transaction: renews the committed positions and the transactional id of an idle partition."""
        return Batch([], [], [], self.meta, encode_meta(self.meta))

    def adopt(self, batch: Batch) -> None:
        """The batch is committed and stored."""
        self._overlay.adopt()
        self.meta = batch.meta
        for until_ms, subject in batch.opened:
            self.open[subject] = max(until_ms, self.open.get(subject, 0))

    def forget_lapsed(self, now_ms: int) -> None:
        """Drop lapsed approvals from the index."""
        self.open = {subject: until for subject, until in self.open.items() if until > now_ms}
        kept = ((token, subjects & self.open.keys()) for token, subjects in self._by_token.items())
        self._by_token = {token: subjects for token, subjects in kept if subjects}

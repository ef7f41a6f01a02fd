"""The steps of a replay, from what the log still holds: meta records of transactions, and the decisions themselves.

The changelog is compacted: of old transactions only the decisions tell what they were made from. Each decision names
the positions of all inputs and its time, so every decision can be placed exactly. What only a meta record tells is when
open approvals were reviewed after the world changed; without it they are reviewed at the timestamp of that change,
which is when the worker got it, give or take the milliseconds of a batch. Decides nothing and reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from contactgate.model.log import Record
from contactgate.names import Kind
from contactgate.partition.fold import Meta
from contactgate.partition.replay import Input
from contactgate.proof.decided import Decided, Kept, inputs_of, instant_ms

_AFTER_ALL = b"\xff"  # sorts after every subject_id: a review that reached its end


class Steps:
    """What was decided together, and the steps that lead there."""

    def __init__(
        self, inputs: Mapping[Kind, Input], decisions: Iterable[Kept], metas: Iterable[Meta], *, event_time: bool
    ) -> None:
        self.from_metas = 0  # decisions whose transaction is still recorded
        self.from_decisions = 0  # decisions placed by what they say themselves
        self._inputs = inputs
        self._event_time = event_time
        self._decisions = decisions
        self._metas = iter(metas)
        self._meta = next(self._metas, None)
        self._last = Meta()
        self._whole = True  # the last step was a transaction's own, so the next one's meta record tells all

    def groups(self) -> Iterator[tuple[list[Kept], list[Meta]]]:
        """Decisions of one batch each, in order, with the steps that lead to them."""
        for _, group in groupby(self._decisions, key=self._batch):
            made = list(group)
            steps = list(self._before(made[0].decided.seq))
            steps += self._decided(made)
            yield made, steps

    def _batch(self, kept: Kept) -> tuple[tuple[int, int, int, int], str]:
        """What is equal for all decisions of a batch; in event time each is decided at its own time."""
        return inputs_of(kept.decided), "" if self._event_time else kept.decided.decided_at

    def _before(self, seq: int) -> Iterator[Meta]:
        """Recorded transactions that ended before this decision."""
        while self._meta is not None and self._meta.seq <= seq:
            if self._follows(self._meta):
                yield from self._recorded(self._meta)
            self._next_meta()

    def _decided(self, made: list[Kept]) -> list[Meta]:
        first, last = made[0].decided, made[-1].decided
        recorded = self._of_batch(first.seq, last)
        if recorded:
            self.from_metas += len(made)
            self._whole = self._whole and self._last.seq == first.seq
            return [step for meta in recorded for step in self._recorded(meta)]
        self.from_decisions += len(made)
        step = Meta(
            seq=last.seq + 1,
            prev=last.hash,
            consent=first.position.consent,
            outcome=first.position.outcome,
            request=last.position.request + 1,
            control=first.position.control,
            suppression=first.position.suppression,
            now_ms=instant_ms(last.decided_at),
            semantics=last.semantics,
        )
        steps = [*self._changes(step), step]
        self._last, self._whole = step, False
        return steps

    def _of_batch(self, first_seq: int, last: Decided) -> list[Meta]:
        """The recorded transactions of a batch; none unless they cover all of it."""
        found: list[Meta] = []
        while (meta := self._meta) is not None and first_seq < meta.seq <= last.seq + 1:
            if (meta.consent, meta.outcome, meta.control, meta.suppression) != inputs_of(last):
                return []
            found.append(meta)
            self._next_meta()
            if meta.seq == last.seq + 1:
                return found
        return []

    def _recorded(self, meta: Meta) -> Iterator[Meta]:
        if not self._whole:
            yield from self._changes(meta)
        yield meta
        self._last, self._whole = meta, True

    def _follows(self, meta: Meta) -> bool:
        """Whether a recorded transaction lies after the last step: of a compacted log an old one may be left."""
        last = self._last
        return meta.request >= last.request and meta.consent >= last.consent and meta.outcome >= last.outcome

    def _next_meta(self) -> None:
        self._meta = next(self._metas, None)

    def _changes(self, step: Meta) -> Iterator[Meta]:
        """One step for each change of the world between the last step and this one, at its own time."""
        last = self._last
        if last.seq == 0 and last.request == 0:
            return  # nothing was approved yet that could be reviewed
        controls = self._inputs[Kind.CONTROL].ahead(step.control)
        changes = [*controls, *self._inputs[Kind.SUPPRESSION].ahead(step.suppression)]
        consent, outcome, control, suppression = last.consent, last.outcome, last.control, last.suppression
        for change in sorted(changes, key=lambda record: (record.timestamp_ms, record.kind, record.offset)):
            consent = _reached(self._inputs[Kind.CONSENT], change.timestamp_ms, consent, step.consent)
            outcome = _reached(self._inputs[Kind.OUTCOME], change.timestamp_ms, outcome, step.outcome)
            if change.kind == Kind.CONTROL:
                control = change.offset + 1
            else:
                suppression = change.offset + 1
            now_ms = min(max(change.timestamp_ms, last.now_ms), step.now_ms)
            review = "all" if change.kind == Kind.CONTROL else "tokens"
            yield Meta(
                seq=last.seq,
                prev=last.prev,
                consent=consent,
                outcome=outcome,
                request=last.request,
                control=control,
                suppression=suppression,
                now_ms=now_ms,
                review=review,
                reviewed=_AFTER_ALL,
                semantics=step.semantics,
            )


def _reached(records: Input, at_ms: int, reached: int, limit: int) -> int:
    """The next offset of an input after what was appended up to a time."""
    for record in records.ahead(limit):
        if record.timestamp_ms > at_ms:
            break
        reached = record.offset + 1
    return reached


def concerns(record: Record, subject: bytes) -> bool:
    """Whether a record can touch a subject: by its key, or by what a damaged record may mean at its widest reading."""
    value = record.value
    return record.key == subject or (
        value is not None and (subject in value or b"\\" in value or b"\0" in value)  # escaped, or UTF-16
    )

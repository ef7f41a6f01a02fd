"""One partition done again, offline: the same inputs through the same gate at the recorded positions and times.

The meta records of the changelog say what every transaction read, when it decided and what it reviewed; with the inputs
they determine every state and every output. Inputs given as iterators are read as they are needed, so that a log of any
length fits into memory. Used by audits and tests; must never write to Kafka.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from contactgate.model.instants import HOUR_MS
from contactgate.model.log import Out, Record, State
from contactgate.names import Kind
from contactgate.partition.broadcast import Broadcast, Feed
from contactgate.partition.fold import Fold, Meta, Work
from contactgate.partition.ports import GateFactory, StateCodec

_OPEN = 10_000  # approvals in the index before lapsed ones are looked for


class Replayed(NamedTuple):
    """States by subject as the changelog would hold them, and all outputs in order."""

    states: dict[bytes, bytes]
    outs: list[Out]
    seq: int
    prev: str


class Input:
    """Records of one topic's partition, taken in order up to an offset. An iterator must be in order of offsets."""

    def __init__(self, records: Iterable[Record]) -> None:
        if not isinstance(records, Iterator):
            records = iter(sorted(records, key=lambda record: record.offset))
        self._coming = records
        self._ahead: deque[Record] = deque()

    def upto(self, offset: int) -> list[Record]:
        """The records not taken yet, below an offset."""
        ahead, taken = self._ahead, []
        while (ahead or self._more()) and ahead[0].offset < offset:
            taken.append(ahead.popleft())
        return taken

    def ahead(self, offset: int) -> Iterator[Record]:
        """The records not taken yet, below an offset, without taking them."""
        place = 0
        while (place < len(self._ahead) or self._more()) and self._ahead[place].offset < offset:
            yield self._ahead[place]
            place += 1

    def _more(self) -> bool:
        record = next(self._coming, None)
        if record is not None:
            self._ahead.append(record)
        return record is not None


def replay(
    partition: int,
    inputs: Mapping[Kind, Iterable[Record] | Input],
    steps: Iterable[Meta],
    make_gate: GateFactory[State],
    feed: Feed,
    codec: StateCodec[State],
    *,
    event_time: bool = False,
) -> Replayed:
    """`inputs` by kind (consent, outcome, request, control, suppression); `steps`: the meta record of each one."""
    own: dict[Kind, Input] = {}
    for kind in (Kind.CONSENT, Kind.OUTCOME, Kind.REQUEST, Kind.CONTROL, Kind.SUPPRESSION):
        given = inputs.get(kind, ())
        own[kind] = given if isinstance(given, Input) else Input(given)
    world = Broadcast(feed)
    states: dict[bytes, bytes] = {}
    fold = Fold(
        partition,
        make_gate(partition, 0, ""),
        world,
        codec,
        lambda keys: [states.get(key) for key in keys],
        Meta(),
        cache=10_000,
        event_time=event_time,
    )
    outs: list[Out] = []
    opened = 0
    for step in steps:
        world.read_control(own[Kind.CONTROL].upto(step.control), step.control)
        world.read_suppression(own[Kind.SUPPRESSION].upto(step.suppression), step.suppression)
        batch = fold.apply(
            Work(
                consents=own[Kind.CONSENT].upto(step.consent),
                outcomes=own[Kind.OUTCOME].upto(step.outcome),
                requests=own[Kind.REQUEST].upto(step.request),
                positions=step.positions,
                now_ms=step.now_ms,
                review_limit=0,
                again=step,
            )
        )
        if batch is None:
            continue
        outs.extend(batch.outs)
        for subject, value in batch.states:
            if value is None:
                states.pop(subject, None)
            else:
                states[subject] = value
        fold.adopt(batch)
        if len(fold.open) > 2 * opened + _OPEN:
            fold.forget_lapsed(step.now_ms - HOUR_MS)
            opened = len(fold.open)
    return Replayed(states, outs, fold.gate.seq, fold.gate.prev)

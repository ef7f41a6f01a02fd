"""One partition done again, offline: the same inputs through the same gate at the recorded positions and times.

The meta records of the changelog say what every transaction read, when it decided and what it reviewed; with the inputs
they determine every state and every output. Used by audits and tests; must never write to Kafka.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from contactgate.engine.broadcast import Broadcast, Feed
from contactgate.engine.fold import Fold, Meta, Work
from contactgate.engine.ports import GateFactory, Record, StateCodec


class Replayed(NamedTuple):
    """States by subject as the changelog would hold them, and all outputs in order."""

    states: dict[bytes, bytes]
    outs: list[Any]
    seq: int
    prev: str


class _Input:
    """Records of one topic's partition, taken in order up to an offset."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = sorted(records, key=lambda record: record.offset)
        self._offsets = [record.offset for record in self._records]
        self._at = 0

    def upto(self, offset: int) -> list[Record]:
        """The records not taken yet, below an offset."""
        end = bisect_left(self._offsets, offset)
        taken = self._records[self._at : end] if end > self._at else []
        self._at = max(self._at, end)
        return taken


def replay(
    partition: int,
    inputs: Mapping[str, Iterable[Record]],
    steps: Iterable[Meta],
    make_gate: GateFactory,
    feed: Feed,
    codec: StateCodec,
    *,
    event_time: bool = False,
) -> Replayed:
    """`inputs` by kind (consent, outcome, request, control, suppression); `steps`: the meta record of each one."""
    own = {kind: _Input(inputs.get(kind, ())) for kind in ("consent", "outcome", "request", "control", "suppression")}
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
    outs: list[Any] = []
    for step in steps:
        world.read_control(own["control"].upto(step.control), step.control)
        world.read_suppression(own["suppression"].upto(step.suppression), step.suppression)
        batch = fold.apply(
            Work(
                own["consent"].upto(step.consent),
                own["outcome"].upto(step.outcome),
                own["request"].upto(step.request),
                step.positions,
                step.now_ms,
                0,
                step,
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
    return Replayed(states, outs, fold.gate.seq, fold.gate.prev)

"""A fresh fold of a partition's inputs along its committed meta records, by the product's own Fold.

What a live partition left behind under faults must equal this, byte for byte: states and outputs.
"""

from __future__ import annotations

from typing import Any

from contactgate.model.log import Record
from contactgate.partition.broadcast import Broadcast
from contactgate.partition.fold import Fold, Meta, Work, decode_meta


def replay(
    kit: Any, partition: int, partitions: int, metas: list[bytes], inputs: dict[str, list[Any]]
) -> dict[str, Any]:
    """States at the end, and the outputs of each transaction."""
    world = kit.world()
    broadcast = Broadcast(kit.feed(world))
    states: dict[bytes, bytes] = {}
    gate = kit.gate(world, partition, 0, "", partitions)
    fold = Fold(
        partition,
        gate,
        broadcast,
        kit.codec,
        lambda keys: [states.get(key) for key in keys],
        Meta(),
        cache=100,
        event_time=False,
    )

    def records(topic: str, start: int, end: int) -> list[Record]:
        number = 0 if topic in ("control", "suppression") else partition
        return [
            Record(topic, number, e.offset, e.ts, e.key, e.value, 0, list(e.headers))
            for e in inputs[topic][start:end]
            if e.committed
        ]

    outs: list[list[tuple[str, bytes | None, bytes]]] = []
    for raw in metas:
        if not raw:
            break
        meta = decode_meta(raw)
        before = fold.meta
        if meta.control > broadcast.control:
            broadcast.read_control(records("control", broadcast.control, meta.control), meta.control)
        if meta.suppression > broadcast.suppression:
            broadcast.read_suppression(
                records("suppression", broadcast.suppression, meta.suppression), meta.suppression
            )
        work = Work(
            consents=records("consent", before.consent, meta.consent),
            outcomes=records("outcome", before.outcome, meta.outcome),
            requests=records("request", before.request, meta.request),
            positions=meta.positions,
            now_ms=meta.now_ms,
            review_limit=1_000_000,
            again=meta,
        )
        batch = fold.apply(work)
        if batch is None:
            outs.append([])
            continue
        for key, value in batch.states:
            if value is None:
                states.pop(key, None)
            else:
                states[key] = value
        fold.adopt(batch)
        outs.append([(out.kind, out.key, out.value) for out in batch.outs])
    return {"states": states, "outs": outs}

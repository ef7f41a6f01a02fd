"""Alerts for people on duty: their kinds, how urgent they are, and the record on ops-alerts.

An alert says what happened to a worker or a partition and what to do; it never names a subject, address or request.
"""

from __future__ import annotations

import msgspec

SEVERITY = {
    "barrier.timeout": "critical",
    "fenced": "warning",
    "task.restart": "warning",
    "task.failed": "critical",
    "store.corrupt": "critical",
    "store.rebuilt": "warning",
    "store.foreign": "critical",
    "halted": "critical",
    "input.gap": "critical",
    "positions.differ": "warning",
    "policy.rejected": "critical",
    "producer.rotated": "info",
    "worker.started": "info",
    "worker.stopped": "info",
}

ADVICE = {
    "barrier.timeout": "requests are held, none is decided; look for a hanging transaction or an unreachable leader",
    "fenced": "another worker decides this partition now; nothing to do unless it repeats",
    "task.restart": "the partition recovers by itself; look at the broker if it repeats",
    "task.failed": "the partition is tried again; look at the worker's log",
    "store.corrupt": "the partition rebuilds its state from the changelog; check the disk",
    "store.rebuilt": "nothing to do",
    "store.foreign": "point the worker at its own state directory",
    "halted": "the worker stopped to keep its promises; an operator must act as the detail says",
    "input.gap": "input was deleted before it was read; find out what was lost",
    "positions.differ": "someone moved the group's committed positions; they are not used",
    "policy.rejected": "the former policy stays in force; correct the document and publish it again",
    "producer.rotated": "routine",
    "worker.started": "nothing to do",
    "worker.stopped": "nothing to do",
}


def alert(worker: str, kind: str, detail: str, now_ms: int) -> bytes:
    """The JSON record of one alert."""
    return msgspec.json.encode(
        {
            "type": "alert",
            "worker": worker,
            "kind": kind,
            "severity": SEVERITY.get(kind, "warning"),
            "detail": detail,
            "advice": ADVICE.get(kind, "look at the worker's log"),
            "time_ms": now_ms,
        }
    )

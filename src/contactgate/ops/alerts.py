"""The record of one alert on ops-alerts.

An alert says what happened to a worker or a partition and what to do (`model.alerts`); it never names a subject,
address or request.
"""

from __future__ import annotations

import msgspec

from contactgate.model.alerts import AlertKind


def alert(worker: str, kind: AlertKind, detail: str, now_ms: int) -> bytes:
    """The JSON record of one alert."""
    return msgspec.json.encode(
        {
            "type": "alert",
            "worker": worker,
            "kind": kind,
            "severity": kind.severity,
            "detail": detail,
            "advice": kind.advice,
            "time_ms": now_ms,
        }
    )

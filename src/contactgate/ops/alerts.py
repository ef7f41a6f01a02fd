"""The record of one alert on ops-alerts, and what committed outputs are worth an alert.

An alert says what happened to a worker or a partition and what to do (`model.alerts`); it never names a subject,
address or request. Of dead letters and carried records one alert a kind and minute says how many there were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from contactgate.model.alerts import AlertKind
from contactgate.model.log import Out
from contactgate.names import Kind

EVERY_S: Final = 60.0
"""A worker raises at most one alert of each of these kinds in this time."""

LETTERS: Final[Mapping[str, AlertKind]] = MappingProxyType({"partition.wrong": AlertKind.INPUT_MISROUTED})
"""Which alert a dead letter's reason is worth. One that restricts is RESTRICTION_WIDENED, any other DEAD_LETTERS."""

_BY_WORD: Final = MappingProxyType({str(kind): kind for kind in AlertKind})


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


class News:
    """Counts what was committed since the last alert of its kind. No clock: the caller says what time it is."""

    def __init__(self) -> None:
        self._counts: dict[AlertKind, Counter[str]] = {}
        self._told_s: dict[AlertKind, float] = {}

    def note(self, outs: Iterable[Out]) -> None:
        """These outputs were committed."""
        for out in outs:
            if out.kind == Kind.DEAD:
                kind = AlertKind.RESTRICTION_WIDENED if out.restricts else AlertKind.DEAD_LETTERS
                kind = LETTERS.get(out.reason, kind)
                what = out.reason
            elif out.kind == Kind.RELAY and out.reason:
                kind, what = _BY_WORD[out.reason], out.requester or ""
            else:
                continue
            self._counts.setdefault(kind, Counter())[what] += 1

    def superseded(self, where: str, restrictions: int) -> None:
        """These restrictions came, and do not bind because what permits is newer."""
        if restrictions:
            self._counts.setdefault(AlertKind.RESTRICTION_SUPERSEDED, Counter())[where] += restrictions

    def due(self, now_s: float, *, last: bool = False) -> list[tuple[AlertKind, str]]:
        """The alerts to raise now, each with its counts; `last`: the worker stops, so all of them."""
        due = [
            kind for kind in sorted(self._counts) if last or now_s - self._told_s.get(kind, now_s - EVERY_S) >= EVERY_S
        ]
        told = []
        for kind in due:
            counts = self._counts.pop(kind)
            self._told_s[kind] = now_s
            parts = ", ".join(f"{what} {count}" for what, count in sorted(counts.items()))
            told.append((kind, f"{counts.total()} records: {parts}"))
        return told

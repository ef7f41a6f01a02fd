"""What has been decided so far: verdicts by reason, rate, and latency from append to committed decision, while it runs.

Fed by one watcher thread, read by the screen; holds counts and a bounded number of recent latencies, never a message.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import NamedTuple

_RECENT = 4_000


class Snapshot(NamedTuple):
    """The tally at one moment. Latencies are milliseconds of recent decisions; None before the first."""

    sent: int
    decided: int
    passed: int
    dead: int
    reasons: list[tuple[str, int]]
    p50_ms: float | None
    p99_ms: float | None


class Tally:
    """Counts; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent_at: dict[str, int] = {}
        self._sent = self._decided = self._passed = self._dead = 0
        self._reasons: Counter[str] = Counter()
        self._latencies: deque[int] = deque(maxlen=_RECENT)

    def sent(self, request_id: str, at_ms: int) -> None:
        """A request was handed to Kafka."""
        with self._lock:
            self._sent += 1
            self._sent_at[request_id] = at_ms

    def decided(self, request_id: str, rules: list[str], at_ms: int) -> None:
        """A committed decision was seen; `rules` is empty for a pass."""
        with self._lock:
            self._decided += 1
            self._passed += not rules
            self._reasons.update(rules)
            sent_ms = self._sent_at.pop(request_id, None)
            if sent_ms is not None:
                self._latencies.append(max(0, at_ms - sent_ms))

    def dead(self) -> None:
        """A dead letter was seen."""
        with self._lock:
            self._dead += 1

    @property
    def open(self) -> int:
        """How many requests that were sent have no decision yet."""
        with self._lock:
            return len(self._sent_at)

    def undecided(self, before_ms: int) -> int:
        """How many requests that were sent before this moment have no decision yet."""
        with self._lock:
            return sum(sent_ms < before_ms for sent_ms in self._sent_at.values())

    def snapshot(self) -> Snapshot:
        """All of it as it is now."""
        with self._lock:
            ordered = sorted(self._latencies)
            return Snapshot(
                sent=self._sent,
                decided=self._decided,
                passed=self._passed,
                dead=self._dead,
                reasons=self._reasons.most_common(14),
                p50_ms=quantile(ordered, 0.5),
                p99_ms=quantile(ordered, 0.99),
            )


def quantile(ordered: list[int], part: float) -> float | None:
    """The value below which this part of an ordered list lies (nearest rank); None of an empty one."""
    if not ordered:
        return None
    return float(ordered[min(len(ordered) - 1, int(part * len(ordered)))])

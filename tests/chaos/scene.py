"""What faults act on: cluster, workers, who is busy, and the record of what was done. Must never inject one."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.chaos.cluster import Fleet
from tests.chaos.history import Recorder

from contactgate.broker.cluster import DevCluster


class Scene:
    """What faults act on, who is busy with one, and what was done."""

    def __init__(self, cluster: DevCluster, fleet: Fleet, recorder: Recorder) -> None:
        self.cluster, self.fleet, self.recorder = cluster, fleet, recorder
        self.busy: set[str] = set()
        self.broker_busy = False
        self.extra = 0
        self.done: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()
        self._numbers = itertools.count(1)

    def rarest(self, points: Sequence[str], rng: random.Random) -> str:
        """One of those that were tried least: a run reaches all of them, not those that luck chooses."""
        point = min(rng.sample(points, len(points)), key=self._tried.__getitem__)
        self._tried[point] += 1
        return point

    def begin(self, kind: str, target: str, **details: Any) -> int:
        """Record that a fault begins; its number."""
        number = next(self._numbers)
        self.done[kind] += 1
        self.done["zombie"] += details.get("zombie", False)
        self.recorder.fault(kind, target, "begin", number, **details)
        return number

    def end(self, number: int, kind: str, target: str, **details: Any) -> None:
        """Record that it is healed."""
        self.recorder.fault(kind, target, "end", number, **details)

    def instant(self, kind: str, target: str, **details: Any) -> None:
        """Record something without a length."""
        self.done[kind] += 1
        self.recorder.fault(kind, target, "instant", next(self._numbers), **details)

    @contextlib.contextmanager
    def held(self, name: str) -> Any:
        """Nobody else does anything to this worker meanwhile."""
        self.busy.add(name)
        try:
            yield
        finally:
            self.busy.discard(name)

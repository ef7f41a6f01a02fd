"""A consumer in a process of its own, so that what its owner does meanwhile never delays what it sees.

The owner knows at any time how many have come, and gets them when all is over. Must not know what they
are, nor how they are read.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Generic, TypeVar

from contactgate.errors import BrokerUnavailable

Seen = TypeVar("Seen")


class Watcher(Generic[Seen]):
    """Runs `watch(*args, count, ready, stop, pipe)` in the other process.

    It sets `ready` when it reads, keeps `count.value`, and when `stop` is set sends a list of all it has seen.
    """

    def __init__(self, watch: Callable[..., None], *args: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._count = context.Value("q", 0)
        ready, self._stop = context.Event(), context.Event()
        self._ours, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=watch, args=(*args, self._count, ready, self._stop, theirs), daemon=True)
        self._process.start()
        if not ready.wait(60):
            raise BrokerUnavailable("the consumer of decisions did not start within 60 s")

    @property
    def count(self) -> int:
        """How many it has seen so far."""
        return int(self._count.value)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.is_alive()

    def stop(self) -> list[Seen]:
        """End it; everything it has seen, in order, or nothing if it had ended before."""
        self._stop.set()
        seen: list[Seen] = self._ours.recv() if self.alive and self._ours.poll(120) else []
        self._process.join(10)
        return seen

    def end(self) -> None:
        """Make sure that nothing of it is left."""
        self._stop.set()
        if self.alive:
            self._process.kill()
        self._process.join(10)

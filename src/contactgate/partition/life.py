"""The life of one partition on a worker: its states, and the moves between them that are legal.

                    +----------+   promoted    +----------+   inputs are read   +---------+
    (stands by) --> | standby  | ------------> | starting | ------------------> | running |
                    +----------+               +----------+                     +---------+
                         |        (decides) -->  |      ^                         |     |
                         |                       |      |  producer thrown away   |     |
                         |                       |      +-------------------------+     |
                         |                       v                                      |
                         |                  +---------+                                 |
                         +----------------> | stopped | <-------------------------------+
                                            +---------+

A partition that decides never goes back to standing by, and one that has stopped does not move again: what comes after
is another life. The words stand on /readyz and in the metrics. Must never know why a partition moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Life(StrEnum):
    """Where a partition stands on this worker."""

    STANDBY = "standby"  # follows the changelog, decides nothing
    STARTING = "starting"  # fences, restores, or waits to try again
    RUNNING = "running"  # reads its inputs and decides
    STOPPED = "stopped"


MOVES: Final[Mapping[Life, frozenset[Life]]] = MappingProxyType(
    {
        Life.STANDBY: frozenset({Life.STARTING, Life.STOPPED}),
        Life.STARTING: frozenset({Life.RUNNING, Life.STOPPED}),
        Life.RUNNING: frozenset({Life.STARTING, Life.STOPPED}),
        Life.STOPPED: frozenset(),
    }
)
"""From each state, where it may go. To stay is no move."""


class IllegalMove(RuntimeError):
    """A fault of ours: the task in which it happens is thrown away and starts again."""


def moved(now: Life, to: Life) -> Life:
    """`to`, if it is legal from `now`. Raises IllegalMove."""
    if to is not now and to not in MOVES[now]:
        raise IllegalMove(f"a partition that is {now} cannot become {to}")
    return to

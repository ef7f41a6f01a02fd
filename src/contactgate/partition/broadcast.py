"""The broadcast topics as one worker sees them: control events and address suppressions, folded into the shared world.

Every worker reads both from the beginning with its own consumer, because every partition's decisions need all of them
and the barrier needs their positions. What a record changes is remembered for each watching task until it has reviewed
its open approvals. Dead letters of these topics are kept with their offsets; the task of partition 0 emits them, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from contactgate.core.world import Change
from contactgate.model.log import Out, Record
from contactgate.names import Kind
from contactgate.partition.ports import Pending, Wake


class Feed(Protocol):
    """Folds one record into the world (gate.WorldFeed)."""

    out: list[Out]

    def control(self, rec: Record) -> Change | None: ...
    def suppression(self, rec: Record) -> Change | None: ...


class Unreviewed:
    """What changed since one task last looked. `full`: review every open approval; else those with these tokens."""

    __slots__ = ("full", "rest", "tokens", "wake")

    def __init__(self) -> None:
        self.full = False
        self.rest = False
        self.tokens: set[str] = set()
        self.wake: Wake | None = None

    def __bool__(self) -> bool:
        return self.full or bool(self.tokens)


class Broadcast:
    """A ports.WorldView over a Feed."""

    def __init__(
        self,
        feed: Feed,
        on_dead: Callable[[Out], None] | None = None,
        on_change: Callable[[Change], None] | None = None,
    ) -> None:
        """`on_dead` is given every dead letter, `on_change` what every record that changed something changed."""
        self._on_dead = on_dead
        self._on_change = on_change
        self.control = 0
        self.suppression = 0
        self._feed = feed
        self._watching: list[Unreviewed] = []
        self._dead: list[tuple[Kind, int, Out]] = []  # (kind, offset, dead letter)

    def watch(self) -> Unreviewed:
        """A new task begins to look."""
        pending = Unreviewed()
        self._watching.append(pending)
        return pending

    def unwatch(self, pending: Pending) -> None:
        """The task is gone."""
        self._watching = [other for other in self._watching if other is not pending]

    def dead_letters(self, control: int, suppression: int) -> list[Out]:
        """Dead letters at or above these offsets."""
        if not self._dead:
            return []
        below: dict[Kind, int] = {Kind.CONTROL: control, Kind.SUPPRESSION: suppression}
        return [out for kind, offset, out in self._dead if offset >= below[kind]]

    def read_control(self, records: list[Record], position: int) -> None:
        """Sink of the control lane."""
        for rec in records:
            self._note(self._feed.control(rec), rec)
        self.control = position

    def read_suppression(self, records: list[Record], position: int) -> None:
        """Sink of the suppression lane."""
        for rec in records:
            self._note(self._feed.suppression(rec), rec)
        self.suppression = position

    def _note(self, change: Change | None, rec: Record) -> None:
        if self._feed.out:
            self._dead.extend((rec.kind, rec.offset, out) for out in self._feed.out)
            if self._on_dead is not None:
                for out in self._feed.out:
                    self._on_dead(out)
            self._feed.out.clear()
        if change is not None and self._on_change is not None:
            self._on_change(change)
        for pending in self._watching:
            if change is not None and change.restricts:
                if change.tokens is None:
                    pending.full = True
                else:
                    pending.tokens.update(change.tokens)
            if pending.wake is not None:
                pending.wake.set()

"""A simulated local store: what `partition.ports.Shelf` reads, written in atomic batches, with a journal to go back in.

It never loses a written batch by itself. A test may wipe it, put an older copy in its place (power loss: the log is
not synced; or an operator's backup), or damage it (the next open or read raises StoreCorrupt).
"""

from __future__ import annotations

from collections.abc import Iterator

from contactgate.errors import StoreCorrupt
from contactgate.model.log import Head

_Write = tuple[list[tuple[bytes, bytes | None]], list[tuple[int, bytes]], Head, int]


class Disk:
    """One directory."""

    def __init__(self) -> None:
        self.damaged = False
        self.states: dict[bytes, bytes] = {}
        self.opened: set[tuple[int, bytes]] = set()
        self._head: Head | None = None
        self.journal: list[_Write] = []

    def write(
        self,
        states: list[tuple[bytes, bytes | None]],
        opened: list[tuple[int, bytes]],
        head: Head,
        purge_before_ms: int = 0,
    ) -> None:
        """One batch: all or nothing."""
        self.journal.append((states, opened, head, purge_before_ms))
        self._apply(states, opened, head, purge_before_ms)

    def _apply(
        self,
        states: list[tuple[bytes, bytes | None]],
        opened: list[tuple[int, bytes]],
        head: Head,
        purge_before_ms: int,
    ) -> None:
        for key, value in states:
            if value is None:
                self.states.pop(key, None)
            else:
                self.states[key] = value
        self.opened.update(opened)
        self._head = head
        if purge_before_ms:
            self.opened = {entry for entry in self.opened if entry[0] >= purge_before_ms}

    def rewind(self, count: int) -> None:
        """An older consistent copy: the first `count` batches."""
        self.journal = self.journal[:count]
        self.states, self.opened, self._head = {}, set(), None
        for write in self.journal:
            self._apply(*write)

    def wipe(self) -> None:
        """A new, empty directory."""
        self.rewind(0)
        self.damaged = False

    def open(self) -> Disk:
        """Raises StoreCorrupt when damaged."""
        if self.damaged:
            raise StoreCorrupt("the local state is damaged while opening")
        return self

    # --- ports.Shelf ----------------------------------------------------------------------------------------------

    def head(self) -> Head | None:
        """What the data stands for."""
        return self._head

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """States, None for unknown ones."""
        if self.damaged:
            raise StoreCorrupt("the local state is damaged while reading states")
        return [self.states.get(key) for key in keys]

    def open_since(self, now_ms: int) -> Iterator[tuple[int, bytes]]:
        """Open entries that lapse after the instant."""
        return iter(sorted(entry for entry in self.opened if entry[0] > now_ms))

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything, in key order."""
        return iter(sorted(self.states.items()))

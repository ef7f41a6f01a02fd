"""An input as a simulated worker reads it; the counterpart of `engine.intake.Lane`."""

from __future__ import annotations

from tests.simulation.log import Part

from contactgate.model.log import Record


class Lane:
    """An input as one host reads it: what was read and not taken, and the next offset to read."""

    __slots__ = ("next", "part", "records", "room", "taken")

    def __init__(self, part: Part, start: int, room: int) -> None:
        self.part = part
        self.room = room
        self.next = start
        self.taken = start
        self.records: list[Record] = []

    def read(self, limit: int) -> None:
        """Read up to this many records, as far as there is room."""
        limit = min(limit, self.room - len(self.records))
        if self.next >= len(self.part.entries) or limit <= 0:
            return
        found, self.next = self.part.read(self.next, limit)
        topic, number = self.part.topic, self.part.number
        self.records.extend(Record(topic, number, e.offset, e.ts, e.key, e.value, 0, list(e.headers)) for e in found)

    @property
    def full(self) -> bool:
        """No more is read until records are taken."""
        return len(self.records) >= self.room

    def take(self, limit: int = 1_000_000) -> list[Record]:
        """What was read, at most this many."""
        if len(self.records) <= limit:
            records, self.records, self.taken = self.records, [], self.next
        else:
            records, self.records = self.records[:limit], self.records[limit:]
            self.taken = records[-1].offset + 1
        return records

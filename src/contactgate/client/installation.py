"""The topics of one installation, read from the beginning: inputs as records, decisions, dead letters, the changelog.

Reads only what is committed. Must never judge what it reads, and never write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from contactgate.client.history import Found, History
from contactgate.model.log import Record
from contactgate.names import CONTACT_DECISIONS, CONTROL, INPUTS, SUBJECTS_CHANGELOG, SUPPRESSION, Kind

_BROADCAST = (CONTROL, SUPPRESSION)


class Installation:
    """The topics of one installation, by what they are."""

    def __init__(self, history: History, prefix: str) -> None:
        self._history = history
        self._prefix = prefix
        self._broadcast: dict[Kind, list[Record]] = {}

    def topic(self, name: str) -> str:
        """A topic's full name."""
        return self._prefix + name

    def partitions(self) -> list[int]:
        """All partitions of decisions."""
        return self._history.partitions(self.topic(CONTACT_DECISIONS))

    def inputs(self, partition: int) -> dict[Kind, Iterable[Record]]:
        """Everything a partition's decisions were made from, read as it is needed."""
        found: dict[Kind, Iterable[Record]] = {}
        for kind in map(Kind, INPUTS):
            if kind not in _BROADCAST:
                found[kind] = self._records(kind, partition)
                continue
            if kind not in self._broadcast:
                self._broadcast[kind] = list(self._records(kind, 0))
            found[kind] = self._broadcast[kind]
        return found

    def request_begin(self, partition: int) -> int:
        """The first request that is still on its topic."""
        return self._history.bounds(self.topic(INPUTS[Kind.REQUEST]), partition)[0]

    def _records(self, kind: Kind, partition: int) -> Iterator[Record]:
        for each in self._history.read(self.topic(INPUTS[kind]), partition):
            yield Record(kind, partition, each.offset, each.timestamp_ms, each.key, each.value, headers=each.headers)

    def requests(self, partition: int) -> Iterator[Found]:
        """The records of contact-requests."""
        return self._history.read(self.topic(INPUTS[Kind.REQUEST]), partition)

    def decisions(self, partition: int, end: int | None = None) -> Iterator[Found]:
        """The records of contact-decisions, up to an offset."""
        return self._history.read(self.topic(CONTACT_DECISIONS), partition, end=end)

    def changelog(self, partition: int) -> Iterator[Found]:
        """The records that the changelog still holds."""
        return self._history.read(self.topic(SUBJECTS_CHANGELOG), partition)

    def all_of(self, name: str) -> Iterator[Found]:
        """The records of all partitions of a topic, one after the other."""
        topic = self.topic(name)
        for partition in self._history.partitions(topic):
            yield from self._history.read(topic, partition)

    def record(self, name: str, partition: int, offset: int) -> Found | None:
        """One record, if it is still there."""
        return next(self._history.read(self.topic(name), partition, offset, offset + 1), None)

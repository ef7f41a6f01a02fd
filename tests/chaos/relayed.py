"""What the relay carried, as the topics show it. Part of the checker.

A record that lies in another partition than its key's, and a restriction that cannot be read whole and names somebody
of another one, stand on the relay topic in the transaction that read them, and then, with the header `cg-origin` and
otherwise unchanged, in the partition that owns the key. That header is the same for the same origin and different for
any other, so the judge tells copies by its bytes and need not open it.
"""

from __future__ import annotations

from tests.chaos.history import RELAY, History, Record
from tests.chaos.reading import Reader, partition_of
from tests.chaos.verdict import Findings

KINDS = {"consent-events": b"consent", "contact-outcomes": b"outcome", "contact-requests": b"request"}


def origin_of(record: Record) -> bytes | None:
    """What tells a carried record; None: a producer sent it."""
    return next((value for name, value in record.headers if name == "cg-origin"), None)


class Relayed:
    """All that was put on the relay."""

    def __init__(self, history: History) -> None:
        self._partitions = history.meta["partitions"]
        self._given: dict[tuple[bytes, bytes], Record] = {}  # by input and origin
        self._whole: set[tuple[int, bytes, bytes | None, bytes | None]] = set()
        for partition in history.partitions(RELAY):
            for record in history.records(RELAY, partition):
                kind = dict(record.headers).get("cg-target", b"")
                self._given[kind, origin_of(record) or b""] = record
                self._whole.add((partition, kind, record.key, record.value))

    def gives(self, topic: str, partition: int, record: Record) -> bool:
        """Whether a record of an input partition was put on the relay as it is."""
        return (partition, KINDS[topic], record.key, record.value) in self._whole

    def came(self, topic: str, record: Record) -> bool:
        """Whether a copy is of something that was put on the relay."""
        given = self._given.get((KINDS[topic], origin_of(record) or b""))
        return given is not None and (given.key, given.value) == (record.key, record.value)

    def missing(self, topic: str, partition: int, records: list[Record]) -> int:
        """How many records were to come to a partition of an input and are not there."""
        there = {origin_of(record) for record in records}
        return sum(
            kind == KINDS[topic]
            and partition_of(record.key or b"", self._partitions) == partition
            and origin not in there
            for (kind, origin), record in self._given.items()
        )


class Arrivals:
    """One partition's inputs, as the walk meets them."""

    def __init__(self, history: History, partition: int, reader: Reader, found: Findings) -> None:
        self._p = partition
        self._relayed = Relayed(history)
        self._reader = reader
        self._found = found
        self._copies: set[tuple[str, bytes]] = set()

    def mine(self, topic: str, kind: str, record: Record) -> bool:
        """Whether a record is dealt with here: not a second copy, and not what is carried elsewhere."""
        origin = origin_of(record)
        if origin is not None:
            self._found.seen["carried"] += 1
            again = (topic, origin) in self._copies
            self._copies.add((topic, origin))
            return not again
        if self._reader.read(kind, record).reason != "partition.wrong":
            return True
        if not self._relayed.gives(topic, self._p, record):
            name = f"partition {self._p}: {kind} {record.offset}"
            self._found.bad("I6", f"{name} belongs to another partition and is not carried")
        return False

"""A simulated Kafka: partitions with transactions and markers, compaction, a transaction coordinator, group offsets.

What it keeps of the real one: markers take offsets and are written after the decision of a transaction, each partition
on its own; the last stable offset stops at the first open transaction; InitProducerId ends the open transaction and
fences by epoch; EndTxn of an old epoch is refused, of the current epoch ends whatever is open then (so a delayed one
can tear: KAFKA-17754); compaction leaves gaps, also at the end of what can be read; tombstones go after their time.
Nothing is ever removed from `Part.entries`: compaction marks, so that the checker sees all that was ever committed.
"""

from __future__ import annotations

from collections.abc import Sequence

from contactgate.errors import BrokerError, Fenced

Headers = Sequence[tuple[str, bytes]]

OPEN, COMMITTED, ABORTED = 0, 1, 2


class Txn:
    """One transaction."""

    __slots__ = ("number", "offsets", "parts", "state")

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = OPEN
        self.parts: list[Part] = []
        self.offsets: dict[int, tuple[int, int, int]] = {}  # input partition -> consent, outcome, request


class Entry:
    """One offset of a partition: a record or a control record (marker)."""

    __slots__ = ("gone", "headers", "horizon", "key", "marker", "offset", "ts", "txn", "value")

    def __init__(
        self,
        offset: int,
        ts: int,
        key: bytes | None,
        value: bytes | None,
        txn: Txn | None,
        marker: bool,
        headers: Headers = (),
    ) -> None:
        self.headers = headers
        self.offset = offset
        self.ts = ts
        self.key = key
        self.value = value
        self.txn = txn
        self.marker = marker
        self.gone = False
        self.horizon = 0  # of a tombstone: set when it is first compacted, may go when it has passed

    @property
    def committed(self) -> bool:
        """A record that read_committed shows."""
        return not self.marker and (self.txn is None or self.txn.state == COMMITTED)


class Part:
    """One partition of one topic."""

    __slots__ = ("entries", "number", "open", "topic")

    def __init__(self, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.entries: list[Entry] = []
        self.open: dict[Txn, int] = {}  # transactions without a marker here -> their first offset

    @property
    def hw(self) -> int:
        """The high watermark: everything appended is replicated."""
        return len(self.entries)

    @property
    def lso(self) -> int:
        """The last stable offset."""
        return min(self.open.values()) if self.open else len(self.entries)

    def append(
        self, ts: int, key: bytes | None, value: bytes | None, txn: Txn | None = None, headers: Headers = ()
    ) -> int:
        """One record; its offset."""
        offset = len(self.entries)
        if txn is not None and txn not in self.open:
            self.open[txn] = offset
            txn.parts.append(self)
        self.entries.append(Entry(offset, ts, key, value, txn, False, headers))
        return offset

    def settle(self, txn: Txn, ts: int) -> None:
        """Write the transaction's marker."""
        if self.open.pop(txn, None) is not None:
            self.entries.append(Entry(len(self.entries), ts, None, None, txn, marker=True))

    def read(self, start: int, limit: int, *, committed: bool = True) -> tuple[list[Entry], int]:
        """Records from `start`, at most `limit`, and the position after them: behind the last offset that still exists.

        `committed` False reads uncommitted: only a seeded bug does.
        """
        end = self.lso if committed else self.hw
        found: list[Entry] = []
        position = start
        entries = self.entries
        for offset in range(start, end):
            entry = entries[offset]
            if entry.gone:
                continue
            if not entry.marker and (entry.committed or not committed):
                if len(found) == limit:
                    return found, position
                found.append(entry)
            position = offset + 1
        return found, position

    def compact(self, upto: int, now: int, retention: int) -> int:
        """Keep the newest record of each key below `upto` (at most the LSO); drop old tombstones and settled markers.

        Returns how many tombstones went.
        """
        upto = max(0, min(upto, self.lso))
        newest: dict[bytes | None, Entry] = {}
        for entry in self.entries[:upto]:
            if entry.gone:
                continue
            if not entry.committed:
                entry.gone = True  # markers and aborted records
                continue
            if (older := newest.get(entry.key)) is not None:
                older.gone = True
            newest[entry.key] = entry
        gone = 0
        for entry in newest.values():
            if entry.value is None:
                entry.horizon = entry.horizon or now + retention
                entry.gone = now > entry.horizon
                gone += entry.gone
        return gone

    def latest(self) -> dict[bytes, bytes]:
        """What a fresh read_committed reader of the compacted partition ends up with."""
        state: dict[bytes, bytes] = {}
        for entry in self.read(0, len(self.entries))[0]:
            if entry.value is None:
                state.pop(entry.key or b"", None)
            else:
                state[entry.key or b""] = entry.value
        return state


class _Id:
    """What the coordinator keeps of a transactional id."""

    __slots__ = ("epoch", "markers", "txn")

    def __init__(self) -> None:
        self.epoch = -1
        self.txn: Txn | None = None
        self.markers: list[tuple[Part, Txn]] = []  # decided, not yet written


class Cluster:
    """All partitions, the transaction coordinator and the group's offsets."""

    def __init__(self, partitions: int, *, fence: bool = True) -> None:
        self.parts: dict[tuple[str, int], Part] = {}
        for topic in ("consent", "outcome", "request", "changelog", "decision", "relay"):
            for number in range(partitions):
                self.parts[topic, number] = Part(topic, number)
        for topic in ("control", "suppression", "approval", "dead"):
            self.parts[topic, 0] = Part(topic, 0)
        self.offsets: dict[int, tuple[int, int, int]] = {}
        self.places: dict[int, int] = {}  # of the relay's group
        self.now = 0
        self.aborted = 0
        self._ids: dict[str, _Id] = {}
        self._txns = 0
        self._fence = fence

    def part(self, topic: str, number: int) -> Part:
        """A partition."""
        return self.parts[topic, number]

    def _new(self) -> Txn:
        self._txns += 1
        return Txn(self._txns)

    def _current(self, name: str, epoch: int) -> _Id:
        known = self._ids[name]
        if known.epoch != epoch and self._fence:
            raise Fenced("there is a newer producer of this transactional id")
        return known

    def write_markers(self, name: str | None = None, count: int = 1_000) -> None:
        """Write markers that were decided and not yet written."""
        for key, known in self._ids.items():
            if name is None or key == name:
                while known.markers and count:
                    part, txn = known.markers.pop(0)
                    part.settle(txn, self.now)
                    count -= 1

    def _decide(self, known: _Id, commit: bool) -> None:
        txn = known.txn
        if txn is None:
            return
        known.txn = None
        txn.state = COMMITTED if commit else ABORTED
        if commit:
            self.offsets.update(txn.offsets)
        else:
            self.aborted += 1
        known.markers.extend((part, txn) for part in txn.parts)

    def init(self, name: str) -> int:
        """InitProducerId: ends what is open, writes all markers, fences older producers; the new epoch."""
        known = self._ids.setdefault(name, _Id())
        self._decide(known, commit=False)
        self.write_markers(name)
        known.epoch += 1
        return known.epoch

    def expire(self, name: str) -> bool:
        """The transaction timeout: the coordinator aborts and fences the producer. False when nothing was open."""
        known = self._ids.get(name)
        if known is None or known.txn is None:
            return False
        self.init(name)
        return True

    def is_open(self, name: str) -> bool:
        """Whether a transaction of this id is open."""
        known = self._ids.get(name)
        return known is not None and known.txn is not None

    def transaction(self, name: str, epoch: int) -> Txn:
        """AddPartitionsToTxn: the open transaction, begun if there is none."""
        known = self._current(name, epoch)
        self.write_markers(name)  # CONCURRENT_TRANSACTIONS until they are written; the client waits
        if known.txn is None:
            known.txn = self._new()
        return known.txn

    def end(self, name: str, epoch: int, *, commit: bool) -> None:
        """EndTxn: ends whatever is open now."""
        known = self._current(name, epoch)
        if known.txn is None and not known.markers:
            raise BrokerError("the transaction is in a state that cannot be ended")
        self._decide(known, commit)

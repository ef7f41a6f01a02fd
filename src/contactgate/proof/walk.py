"""One partition's chain of decisions, checked record by record, and held against a checkpoint kept elsewhere.

Found: an edited, missing, inserted, repeated, swapped or foreign record. A tail that was cut off, and a chain that was
forged from some record on, look whole: only a checkpoint (`Heads`) that the writer of the topic cannot change shows
them, and only up to the decision it names. Never repairs anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from contactgate.core import chain
from contactgate.core.chain import GENESIS, Link
from contactgate.errors import ChainBroken, DocumentError, Fault

FIRST_SEQ: Final = 0
"""The number of a partition's first decision."""

_BEFORE_ALL: Final = Link(FIRST_SEQ - 1, GENESIS)


class Broken(NamedTuple):
    """The first bad position of a partition."""

    partition: int
    offset: int | None  # None: at its end
    what: str

    def __str__(self) -> str:
        place = "at its end" if self.offset is None else f"offset {self.offset}"
        return f"partition {self.partition}, {place}: {self.what}"


class _Place(msgspec.Struct):
    partition: int
    request: int


class _Where(msgspec.Struct):
    """What is held against the record's place in the log."""

    subject_id: str
    position: _Place


_where: Final = msgspec.json.Decoder(_Where).decode


class Walk:
    """The walk along one partition. `take` every record in order, then `finish`; the first fault ends it."""

    def __init__(self, partition: int, checkpoint: Link | None = None, *, accept_start: bool = False) -> None:
        """`accept_start`: older decisions were removed by retention; the first record's own `prev` is trusted."""
        self.partition = partition
        self.count = 0
        self.next_offset = 0
        self.begins: int | None = None  # the first seq met
        self.head: Link | None = None if accept_start else _BEFORE_ALL
        self.broken: Broken | None = None
        self.met_checkpoint = False
        self._checkpoint = checkpoint
        self._accept_start = accept_start
        self._request = -1

    def take(self, offset: int, key: bytes | None, value: bytes | None) -> bool:
        """Check the next record; False from the first fault on."""
        if self.broken is not None:
            return False
        fault = self._fault(offset, key, value)
        if fault is None:
            self.count += 1
            self.next_offset = offset + 1
            return True
        self.broken = Broken(self.partition, offset, fault)
        return False

    def _fault(self, offset: int, key: bytes | None, value: bytes | None) -> str | None:
        if value is None:
            return "a record without a value; the chain has none"
        try:
            head = chain.follow(self.head, value, offset)
            where = _where(value)
        except ChainBroken as error:
            if self.begins is None and self.head is _BEFORE_ALL and "after -1" in str(error):
                return f"{error}; if retention removed older decisions, accept that start by option"
            return str(error)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return f"not a decision: {error}"
        if where.position.partition != self.partition:
            return f"seq {head.seq} was decided in partition {where.position.partition}: it was put here from there"
        if key != where.subject_id.encode():
            return f"seq {head.seq} lies under another key than its subject_id"
        if where.position.request <= self._request:
            return f"seq {head.seq} decides request offset {where.position.request} after {self._request}: twice"
        if self._checkpoint is not None and head.seq == self._checkpoint.seq:
            if head.hash != self._checkpoint.hash:
                return f"seq {head.seq} is not the decision that the checkpoint knows: history was rewritten"
            self.met_checkpoint = True
        self._request = where.position.request
        self.head = head
        if self.begins is None:
            self.begins = head.seq
        return None

    def finish(self) -> Broken | None:
        """The fault of the whole partition, if there is one."""
        known = self._checkpoint
        if self.broken is None and known is not None and not self.met_checkpoint:
            ends = FIRST_SEQ - 1 if self.head is None else self.head.seq
            if ends < known.seq:
                what = f"the chain ends at seq {ends}, but the checkpoint knows seq {known.seq}: its tail was cut off"
                self.broken = Broken(self.partition, None, what)
            else:
                what = f"the chain begins at seq {self.begins}, after the checkpoint's {known.seq}: its start is gone"
                self.broken = Broken(self.partition, None, what)
        return self.broken


class Heads(msgspec.Struct):
    """Where the chains of a topic stood when somebody looked: the checkpoint to keep where its writer cannot reach."""

    topic: str
    checked_at: str
    partitions: dict[str, Link]

    def link(self, partition: int) -> Link | None:
        """Where one partition stood; None: nothing is known of it."""
        return self.partitions.get(str(partition))


def read_heads(raw: bytes, topic: str) -> Heads:
    """A checkpoint. Raises DocumentError when it is not one, or of another topic."""
    title = "the file of chain heads cannot be used"
    try:
        heads = msgspec.json.decode(raw, type=Heads)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(title, (Fault("", f"{error}; give one that `contactgate verify --head` wrote"),)) from None
    if wrong := [name for name in heads.partitions if not name.isascii() or not name.isdigit() or len(name) > 9]:
        raise DocumentError(
            title, (Fault("partitions", f"{len(wrong)} of the names are no partition numbers; give it as written"),)
        )
    if heads.topic != topic:
        raise DocumentError(title, (Fault("topic", f"is {heads.topic}, and {topic} is verified; give its own file"),))
    return heads


def write_heads(topic: str, checked_at: str, walks: Mapping[int, Walk], before: Heads | None) -> bytes:
    """The new checkpoint: where the walked partitions stand now, the others as before."""
    known = {} if before is None else dict(before.partitions)
    for partition, walk in walks.items():
        if walk.head is not None and walk.head.seq >= FIRST_SEQ:
            known[str(partition)] = walk.head
    ordered = {name: known[name] for name in sorted(known, key=int)}
    return msgspec.json.format(msgspec.json.encode(Heads(topic, checked_at, ordered)), indent=2) + b"\n"

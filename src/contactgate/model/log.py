"""Records of a log, and places in it: what goes into and comes out of a partition, without Kafka.

A record carries bytes and is never looked into here. Must not know a client, a codec or a store.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from contactgate.model.messages import WirePosition
from contactgate.names import Kind

State = TypeVar("State")
"""A decoded subject state. Only the gate and the codec know its type."""

Headers = list[tuple[str, bytes]]
NO_HEADERS: Final[Headers] = []

CARRIED_MOST: Final = 64
"""How many records the relay makes of one at most."""


class Origin(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Where a record that the relay appended comes from, and where it was to go."""

    kind: str  # of the input
    partition: int
    offset: int
    index: int  # of what was carried from that one record, below CARRIED_MOST
    arrived_ms: int
    target: int  # the partition that owns its key

    @property
    def place(self) -> int:
        """Grows along all that is carried from one partition of one input."""
        return self.offset * CARRIED_MOST + self.index


class Record(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record, or one line."""

    kind: Kind
    partition: int
    offset: int
    timestamp_ms: int  # of the broker; offline the line's own time
    key: bytes | None
    value: bytes | None
    first_ms: int = 0  # broker time of the record that first carried this, if it is not this one; 0: it is
    headers: Headers = NO_HEADERS
    origin: Origin | None = None  # set when the relay carried it here

    @property
    def arrived_ms(self) -> int:
        """When what the record carries came into the log first: which of two events came later is judged by it."""
        return self.first_ms or self.timestamp_ms


class Out(msgspec.Struct, frozen=True, gc=False):
    """One record to publish."""

    kind: Kind  # decision | approval | dead | relay
    requester: str | None  # approval: whose topic; relay: the kind of the input that it is appended to
    key: bytes | None
    value: bytes
    headers: Headers
    reason: str = ""  # dead: the letter's; relay: the kind of alert that it is worth, "" for none
    restricts: bool = False  # dead: a restriction of it binds at its widest reading


Position = WirePosition
"""What a decision was made from: the request's own offset, and the next offset to be applied of everything else."""


class Positions(NamedTuple):
    """The next offset of each of the partition's own inputs."""

    consent: int
    outcome: int
    request: int


class Bounds(NamedTuple):
    """The first offset a partition still holds, and its end (last stable offset or high watermark, as asked)."""

    begin: int
    end: int


class Head(NamedTuple):
    """Where a local store stands: the next changelog offset and the newest meta record below it."""

    changelog: int
    meta: bytes


class States(Protocol[State]):
    """The subject states of one partition."""

    def get(self, subject: bytes) -> State:
        """The state of a subject; the empty one when nothing is known."""
        ...

    def put(self, subject: bytes, state: State) -> None:
        """Keep a new state."""
        ...


def murmur2(data: bytes) -> int:
    """Kafka's default partitioner hash, made positive, as every client computes it."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for (k,) in struct.iter_unpack("<I", memoryview(data)[:whole]):
        k = (k * 0x5BD1E995) & 0xFFFFFFFF
        k = ((k ^ (k >> 24)) * 0x5BD1E995) & 0xFFFFFFFF
        h = ((h * 0x5BD1E995) & 0xFFFFFFFF) ^ k
    if rest := data[whole:]:
        h = ((h ^ int.from_bytes(rest, "little")) * 0x5BD1E995) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 0x5BD1E995) & 0xFFFFFFFF
    return (h ^ (h >> 15)) & 0x7FFFFFFF

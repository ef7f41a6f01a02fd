"""What a partition needs from the gate, the codec, the world and the store, as protocols and plain records.

The partition task is written against these, so that the live worker, the simulated log and the offline replay give it
their own. Generic in the state, which nothing here looks into. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from contactgate.model.log import Head, Origin, Out, Position, Record, State, States


class GatePort(Protocol[State]):
    """The synchronous heart of one partition."""

    seq: int
    prev: str
    key: str  # fingerprint of the token key; "" when there is none
    out: list[Out]
    superseded: int  # restrictions that a newer permission kept from binding, since this was set back

    def consent(self, rec: Record, states: States[State]) -> None: ...
    def outcome(self, rec: Record, states: States[State]) -> None: ...
    def request(self, rec: Record, states: States[State], now_ms: int, position: Position) -> None: ...
    def origin(self, rec: Record) -> Origin | None:
        """Where a record comes from, if the relay appended it."""
        ...

    def review(self, subject: bytes, states: States[State], now_ms: int) -> None: ...


GateFactory = Callable[[int, int, str], GatePort[State]]
"""(partition, seq, prev) -> the gate that continues that chain: the next decision's number, "" before the first."""


class StateCodec(Protocol[State]):
    """Bytes of a state. Layout promise: byte 0 is a version, bytes 1..6 are open_until_ms, big-endian."""

    @property
    def empty(self) -> State:
        """The state of a subject of whom nothing is known."""
        ...

    def encode(
        self, state: State, now_ms: int, before: State | None = None, known: bytes | None = None
    ) -> bytes | None:
        """None when nothing is known: the changelog record is a tombstone.

        `known` are the bytes of the state `before`: they may save work, and change nothing.
        """
        ...

    def decode(self, data: bytes) -> State: ...
    def addresses(self, state: State) -> Iterable[str]:
        """The address tokens that approvals of this state may use."""
        ...


def open_until_ms(value: bytes) -> int:
    """When the last open approval of an encoded state lapses; 0 when there is none."""
    return int.from_bytes(value[1:7], "big")


class Wake(Protocol):
    """What ends a task's wait, such as an asyncio.Event."""

    def set(self) -> None: ...


class Pending(Protocol):
    """World changes one task has not reviewed yet."""

    full: bool
    tokens: set[str]
    rest: bool  # a review is running: there is more to do at once
    wake: Wake | None  # set at every change; the task that waits puts it here


class WorldView(Protocol):
    """The broadcast tables: the next control and suppression offset applied, and what is left to review."""

    control: int
    suppression: int

    def watch(self) -> Pending: ...
    def unwatch(self, pending: Pending) -> None: ...
    def dead_letters(self, control: int, suppression: int) -> list[Out]:
        """Dead letters of broadcast records at or above these offsets, in order."""
        ...


class Shelf(Protocol):
    """The local store as the task reads it; writing is an effect."""

    def head(self) -> Head | None: ...
    def get_many(self, keys: list[bytes]) -> list[bytes | None]: ...
    def open_since(self, now_ms: int) -> Iterator[tuple[int, bytes]]: ...
    def scan(self) -> Iterable[tuple[bytes, bytes]]: ...

"""The steps of a partition task as values: what it asks of the outside, and what it gets back.

The task yields one effect at a time and is sent its result, or has one of the exceptions named here thrown into it.
`Effect[R]` says what the result is, and `ask` hands it on with that type; an effect without a result is just yielded.
`engine.driver` carries the effects out on a real broker; a simulated log can do the same, so every step between two
effects is a place where a crash can be put.

Failures the task handles: BrokerError (anything in a transaction; its result may be unknown), Fenced, BarrierTimeout,
StoreCorrupt, StoreError, and StopAsked. Halted and StoreForeign end the task and the worker.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from contactgate.model.alerts import AlertKind
from contactgate.model.log import Bounds, Head, Out, Positions, Record
from contactgate.names import Kind
from contactgate.partition.ports import Pending, Shelf

R = TypeVar("R")
Offsets = tuple[int | None, int | None, int | None]
"""What a group has committed of consents, outcomes and requests; None: nothing yet."""


class StopAsked(Exception):
    """The partition moved away or the worker stops: finish here. Never thrown between Begin and StoreWrite."""


class Tail(NamedTuple):
    """Committed changelog records in order, the next offset, and whether a standby should now take over."""

    records: list[tuple[bytes, bytes | None]]
    next: int
    promote: bool = False


class Input(NamedTuple):
    """What there is to do: requests in order (maybe none), the next request offset, and the wall clock."""

    requests: list[Record]
    request_next: int
    now_ms: int


class Passed(NamedTuple):
    """All consents and outcomes read so far, the next offset of each, and the wall clock.

    The barrier is passed only when `whole`. Otherwise there is no room to read more of what lies below its ends: these
    have to be applied first, and then the barrier retried.
    """

    consents: list[Record]
    consent_next: int
    outcomes: list[Record]
    outcome_next: int
    now_ms: int
    whole: bool = True


@dataclass(slots=True)
class Effect(Generic[R]):
    """One step that only the outside can do, and whose result is an R."""


Asking = Generator[Effect[Any], Any, R]
"""Steps that yield effects, are sent their results, and come to an R. Each result is typed by `ask`."""


def ask(effect: Effect[R]) -> Asking[R]:
    """Have one effect carried out: `bounds = yield from ask(ReadEnd(...))`."""
    result: R = yield effect
    return result


@dataclass(slots=True)
class StoreOpen(Effect[Shelf]):
    """Open the local store -> Shelf. `reset` moves an unusable directory aside first and starts empty."""

    reset: str | None = None


@dataclass(slots=True)
class StoreWrite(Effect[None]):
    """Write committed states, open entries and their head in one batch -> None."""

    states: list[tuple[bytes, bytes | None]]
    opened: list[tuple[int, bytes]]
    head: Head
    purge_before_ms: int = 0  # also drop open entries that lapsed before


@dataclass(slots=True)
class InitProducer(Effect[None]):
    """A new producer of the partition's id -> None. Fences the previous owner and settles its transaction."""


@dataclass(slots=True)
class DropProducer(Effect[None]):
    """Throw the producer away without using it again -> None."""


@dataclass(slots=True)
class ReadEnd(Effect[Bounds]):
    """Bounds of a topic's partition -> Bounds. `committed`: the end is the last stable offset."""

    topic: Kind  # changelog, consent, outcome or request
    committed: bool = True


@dataclass(slots=True)
class FetchChangelog(Effect[Tail]):
    """Committed changelog records from `start` -> Tail. `until` None: a standby, which waits for more."""

    start: int
    until: int | None


@dataclass(slots=True)
class Committed(Effect[Offsets]):
    """The group's committed input positions -> Offsets."""


@dataclass(slots=True)
class StartInputs(Effect[None]):
    """Read the partition's inputs from these positions, and wait until the broadcast tables are complete -> None."""

    positions: Positions


@dataclass(slots=True)
class NextInput(Effect[Input]):
    """Wait for requests, events, world changes or the idle tick -> Input."""

    pending: Pending  # wakes the wait


@dataclass(slots=True)
class Barrier(Effect[Passed]):
    """Everything acknowledged before the requests were fetched is read -> Passed.

    `hold` False asks for no such proof (there are no requests) and returns what was read so far. An answer that is not
    `whole` is given only once the broadcast topics are read up to the ends.
    Raises BarrierTimeout at its deadline.
    """

    hold: bool
    attempt: int = 0


@dataclass(slots=True)
class Begin(Effect[None]):
    """Begin a transaction -> None."""


@dataclass(slots=True)
class Produce(Effect[None]):
    """Hand all outputs and changelog records to the producer -> None. They are acknowledged by SendOffsets' end."""

    outs: list[Out]
    changelog: list[tuple[bytes, bytes | None]]
    timestamp_ms: int


@dataclass(slots=True)
class SendOffsets(Effect[int]):
    """Add the input positions to the transaction and wait for every acknowledgement -> next changelog offset."""

    positions: Positions


@dataclass(slots=True)
class Commit(Effect[None]):
    """End the transaction -> None. Any failure leaves its result unknown."""

    superseded: int = 0  # restrictions of it that a newer permission kept from binding: for alerts and metrics


@dataclass(slots=True)
class Sleep(Effect[None]):
    """Wait -> None. Raises StopAsked when the partition moved away meanwhile."""

    seconds: float


@dataclass(slots=True)
class Now(Effect[int]):
    """The wall clock -> int milliseconds."""


@dataclass(slots=True)
class Alert(Effect[None]):
    """Tell the operators -> None."""

    kind: AlertKind
    detail: str

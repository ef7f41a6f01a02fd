"""Domain events: what can be reported about one subject, after the wire form, tokens and zones are dealt with.

Only shapes; `core.apply` says what each does. An absent list is None and means all. Instants are milliseconds.
"""

from __future__ import annotations

import msgspec

from contactgate.model.facts import Grant, Outcome, Relation, Span, Withdrawal


class GrantGiven(msgspec.Struct, frozen=True, gc=False):
    """`consent.granted`."""

    grant: Grant


class ConsentWithdrawn(msgspec.Struct, frozen=True, gc=False):
    """`consent.withdrawn`."""

    withdrawal: Withdrawal


class ProfileUpdated(msgspec.Struct, frozen=True, gc=False):
    """`subject.updated`. None: the field was absent and stays; an empty tuple: it was null or empty and clears."""

    event_id: str
    time_ms: int
    timezones: tuple[str, ...] | None = None
    jurisdictions: tuple[str, ...] | None = None
    flags: tuple[str, ...] | None = None  # but those that only `unmarked` ends
    preferred: tuple[Span, ...] | None = None
    marked: tuple[str, ...] = ()  # of deceased, minor, vulnerable: what it says the person is
    unmarked: tuple[str, ...] = ()  # of the same: what it says, with a name, that the person is not any more
    arrived_ms: int = 0  # broker time of the record that first carried the event


class Erased(msgspec.Struct, frozen=True, gc=False):
    """`subject.erased`."""

    event_id: str
    time_ms: int
    arrived_ms: int


class ComplaintReceived(msgspec.Struct, frozen=True, gc=False):
    """`complaint.received`. None: every controller, every channel."""

    event_id: str
    time_ms: int
    controller: str | None
    channel: str | None
    arrived_ms: int


class RelationshipRecorded(msgspec.Struct, frozen=True, gc=False):
    """`relationship.recorded`; dates are proleptic ordinals (datetime.date.toordinal)."""

    event_id: str
    time_ms: int
    controller: str
    kind: Relation
    date: int
    until: int | None


class OutcomeReported(msgspec.Struct, frozen=True, gc=False):
    """`contact.outcome`."""

    event_id: str
    request_id: str
    time_ms: int
    outcome: Outcome | None  # None: only a policy can say what `word` means
    matters: tuple[str, ...] | None
    arrived_ms: int
    word: str = ""  # as reported, if `outcome` is None
    decided_ms: int | None = None  # of the approval that it proves; None: of the request's newest one
    proven: bool = True  # it carried the approval's handle, or nothing needs to be proved here
    restricts_only: bool = False  # it could not be read whole: what it would give back counts for nothing


class ContactObserved(msgspec.Struct, frozen=True, gc=False):
    """`contact.observed`. What it does not name is unknown, and counts against every rule that asks for it."""

    event_id: str
    time_ms: int
    controller: str
    channel: str
    purpose: str
    outcome: Outcome | None  # None: only a policy can say what `word` means
    arrived_ms: int
    requester: str | None = None
    campaign: str | None = None
    address: str | None = None  # keyed token
    matters: tuple[str, ...] = ()
    word: str = ""  # as reported, if `outcome` is None


SubjectEvent = (
    GrantGiven
    | ConsentWithdrawn
    | ProfileUpdated
    | Erased
    | ComplaintReceived
    | RelationshipRecorded
    | OutcomeReported
    | ContactObserved
)

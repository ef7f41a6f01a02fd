"""What is known about the world around the subjects: values folded from control events and address suppressions.

Absent lists mean "all" and are None here. The mutable tables that hold these values live in `core.world`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import msgspec

PartyStatus = Literal["active", "suspended", "ended"]
CampaignStatus = Literal["draft", "approved", "paused", "closed"]


class Notice(msgspec.Struct, frozen=True):
    """One version of a notice. All versions ever published are kept: a grant is judged by the one in force then."""

    notice_id: str
    version: int
    controller: str
    purposes: tuple[str, ...] | None
    recipients: tuple[str, ...] | None
    categories: tuple[str, ...] | None
    effective_ms: int  # `effective_at`, else the event's time
    expires_ms: int | None = None
    time_ms: int = 0
    arrived_ms: int = 0  # of the record that first carried the event, here and below
    event_id: str = ""


class Agreement(msgspec.Struct, frozen=True):
    """What one controller allows a party to do for it."""

    controller: str
    purposes: tuple[str, ...] | None
    channels: tuple[str, ...] | None
    categories: tuple[str, ...] | None
    valid_from_ms: int | None
    valid_until_ms: int | None


class Party(msgspec.Struct, frozen=True):
    """A requester: a company or system that may be allowed to contact."""

    party_id: str
    status: PartyStatus
    agreements: tuple[Agreement, ...]
    time_ms: int = 0
    arrived_ms: int = 0
    event_id: str = ""


class Campaign(msgspec.Struct, frozen=True):
    """A campaign and who may run it for what."""

    campaign_id: str
    status: CampaignStatus
    controller: str | None
    requesters: tuple[str, ...] | None
    purposes: tuple[str, ...] | None
    channels: tuple[str, ...] | None
    created_by: str | None
    approved_by: str | None
    valid_from_ms: int | None
    valid_until_ms: int | None
    categories: tuple[str, ...] | None = None  # sorted; what its requests ask for that name none, and at most that
    time_ms: int = 0
    arrived_ms: int = 0
    event_id: str = ""


class Pause(msgspec.Struct, frozen=True):
    """A stop at any scope: all given fields must match; none given = everything."""

    pause_id: str
    time_ms: int
    until_ms: int | None
    controllers: tuple[str, ...] | None
    requesters: tuple[str, ...] | None
    campaigns: tuple[str, ...] | None
    purposes: tuple[str, ...] | None
    channels: tuple[str, ...] | None
    arrived_ms: int = 0
    event_id: str = ""
    by: str | None = None  # who says so: without it, it does not narrow what the pause was before


class Lift(msgspec.Struct, frozen=True):
    """The end of a pause, or a record that puts another scope in the place of the one before."""

    time_ms: int
    arrived_ms: int
    event_id: str


class Suppression(msgspec.Struct, frozen=True):
    """One suppression of an address, binding every subject that uses it; all given fields must match."""

    time_ms: int
    channels: tuple[str, ...] | None
    controller: str | None
    purposes: tuple[str, ...] | None
    campaigns: tuple[str, ...] | None
    reason: str
    expires_ms: int | None
    event_id: str
    arrived_ms: int = 0
    origin: str = ""  # whose will it is, if it was written for one person: such are never merged with others


class Release(msgspec.Struct, frozen=True):
    """Lifts the older suppressions of an address that lie wholly inside all given fields; none given = all of them."""

    time_ms: int
    channels: tuple[str, ...] | None
    controller: str | None
    purposes: tuple[str, ...] | None
    campaigns: tuple[str, ...] | None
    reasons: tuple[str, ...] | None
    events: tuple[str, ...] | None  # event_ids of suppressions
    event_id: str
    arrived_ms: int = 0


class Listing(Protocol):
    """Looks one address token up in a do-not-call list."""

    def since(self, token: str) -> int | None:
        """Ordinal of the day of listing (0 when the list gives none); None when not listed."""
        ...


class Opened(NamedTuple):
    """A list that lies in a file, as far as it could be read."""

    listing: Listing
    numbers: int  # different addresses in it
    unreadable: int = 0  # lines that nobody has accepted as unreadable
    lines: tuple[int, ...] = ()  # the first of them, counted from 1
    differs: str = ""  # how it is not what the event says; its numbers bind, and it is not in force


class RegistryVersion(msgspec.Struct, frozen=True):
    """The list in force: its version, when it was taken, and how to look a number up.

    `listing` also holds what only binds in addition (SEMANTICS rule 55). `version` is "" where none is in force.
    """

    registry: str
    version: str
    as_of_ms: int
    listing: Listing
    closed: bool = False  # counts as stale whatever its age, until a whole list is in force

"""A contact request as the core sees it: addresses are keyed tokens, instants are milliseconds; and its answer.

`codec.messages` makes a `Request` from the wire message; the clear address ends there. Must never hold one.
"""

from __future__ import annotations

import msgspec

from contactgate.model.facts import Reason


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request to contact one person once."""

    request_id: str
    subject_id: str
    time_ms: int
    requester: str
    controller: str
    purpose: str
    channel: str
    campaign: str | None = None
    categories: tuple[str, ...] = ()
    matter: str | None = None
    mode: str = "live"  # live | autodialled | prerecorded
    address: str | None = None  # keyed token
    address_fault: bool = False  # an address was given but cannot be read: request.malformed
    number_zones: tuple[str, ...] = ()  # IANA zones the number may be in; () unknown, or not a number
    number_jurisdictions: tuple[str, ...] = ()
    not_before_ms: int | None = None
    not_after_ms: int | None = None
    jurisdictions: tuple[str, ...] = ()


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The answer. `pass` exactly when `reasons` is empty."""

    reasons: tuple[Reason, ...]
    next_eligible_ms: int | None  # None: passes now, or never
    approval_id: str | None  # the core has no key: None, the codec derives it from subject, request_id and approved_ms
    valid_until_ms: int | None
    decided_ms: int
    duplicate: bool = False  # the request_id was seen before: its first decision again, no cap used
    approved_ms: int | None = None  # when the approval was given (of a duplicate: at its first decision)

    @property
    def passed(self) -> bool:
        """Whether the contact may be made."""
        return not self.reasons


class Recall(msgspec.Struct, frozen=True, gc=False):
    """An open approval that became illegal."""

    approval_id: str  # "" from the core; derived by the codec from subject, request_id and approved_ms
    request_id: str
    requester: str
    channel: str
    rule: str  # the rule code it now fails (`consent.withdrawn`)
    reason: str  # vendor-safe word: withdrawn erased suppressed listed paused party campaign person
    approved_ms: int = 0  # the decision's time

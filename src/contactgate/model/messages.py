"""Messages on the wire, exactly as docs/semantics.md ("Messages") names them: one msgspec struct per `type`.

For shapes only: nothing here decides, converts or reads a clock. Field order is the order we emit. Optional fields of
inputs default to UNSET, which lets `codec.strict` count the keys that were really present; `null` means the same as
absent everywhere except in `subject.updated`, where it clears.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from contactgate.model.decision import RecallWord, RefusalWord, Verdict
from contactgate.model.facts import Relation
from contactgate.model.request import Mode

Identifier = Annotated[str, Meta(min_length=1, max_length=128, description="1 to 128 printable characters")]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset; kept to the millisecond in UTC")]
Words = Annotated[tuple[Identifier, ...], Meta(min_length=1, description="absent: all")]
Address = Annotated[str, Meta(min_length=1, max_length=320, description="E.164, e-mail, or a postal hash")]
Jurisdiction = Annotated[str, Meta(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$", description="ISO 3166: `GB`, `US-FL`")]
Place = Annotated[str, Meta(min_length=1, max_length=128, description="ISO 3166: `GB`, `US-FL`; another code blocks")]
Clock = Annotated[
    str,
    Meta(
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?|24:00(:00)?)$", description="local wall time, HH:MM or HH:MM:SS"
    ),
]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DataCategory = Identifier
OutcomeWord = Annotated[
    str,
    Meta(
        min_length=1, max_length=64, description="a built-in outcome in any spelling, or one of the policy's `outcomes`"
    ),
]
ApprovalId = Annotated[str, Meta(min_length=1, max_length=2_400, description="as the approval carried it")]


class Hours(msgspec.Struct, rename={"from_": "from"}):
    """Hours on some weekdays: of a person's preference, or of a consent that lifts the calling windows."""

    days: tuple[Day, ...] | UnsetType | None = UNSET
    from_: Clock | UnsetType | None = UNSET
    to: Clock | UnsetType | None = UNSET
    from_exclusive: bool | UnsetType = UNSET
    to_inclusive: bool | UnsetType = UNSET
    holidays: Jurisdiction | UnsetType | None = UNSET
    channels: Words | UnsetType | None = UNSET  # preferred hours: the channels they are about


class Evidence(msgspec.Struct, gc=False):
    """How a consent was obtained; a method that no policy accepts makes the grant count for nothing."""

    method: Identifier
    ref: Annotated[str, Meta(max_length=1024)] | UnsetType | None = UNSET


# --- consent-events ------------------------------------------------------------------------------------------------


class ConsentGranted(msgspec.Struct, gc=False, tag_field="type", tag="consent.granted"):
    """A person agreed."""

    event_id: Identifier
    subject_id: Identifier
    time: Instant
    controller: Identifier
    purposes: Words
    channels: Words
    recipients: tuple[Identifier, ...] | UnsetType | None = UNSET
    data_categories: tuple[DataCategory, ...] | UnsetType | None = UNSET
    notice_id: Identifier | UnsetType | None = UNSET
    evidence: Evidence | UnsetType | None = UNSET
    effective_at: Instant | UnsetType | None = UNSET
    expires_at: Instant | UnsetType | None = UNSET
    windows: tuple[Hours, ...] | UnsetType | None = UNSET


class ConsentWithdrawn(msgspec.Struct, gc=False, tag_field="type", tag="consent.withdrawn"):
    """A person opted out; an absent field means all."""

    event_id: Identifier
    subject_id: Identifier
    time: Instant
    controller: Identifier | UnsetType | None = UNSET
    purposes: Words | UnsetType | None = UNSET
    channels: Words | UnsetType | None = UNSET
    recipients: Words | UnsetType | None = UNSET


class SubjectUpdated(msgspec.Struct, gc=False, tag_field="type", tag="subject.updated"):
    """Facts about a person: absent fields stay, null clears."""

    event_id: Identifier
    subject_id: Identifier
    time: Instant
    timezone: Identifier | UnsetType | None = UNSET
    timezones: tuple[Identifier, ...] | UnsetType | None = UNSET
    jurisdictions: tuple[Place, ...] | UnsetType | None = UNSET
    flags: tuple[Identifier, ...] | UnsetType | None = UNSET  # minor deceased vulnerable business, and the policy's
    preferred_windows: tuple[Hours, ...] | UnsetType | None = UNSET
    flags_removed: Words | UnsetType | None = UNSET
    by: Identifier | UnsetType | None = UNSET  # who says that a flag does not hold any more


class SubjectErased(msgspec.Struct, gc=False, tag_field="type", tag="subject.erased"):
    """Everything known about a person before this must go."""

    event_id: Identifier
    subject_id: Identifier
    time: Instant


class ComplaintReceived(msgspec.Struct, gc=False, tag_field="type", tag="complaint.received"):
    """A person complained: withdraws marketing for the controller and channel named; absent: all."""

    event_id: Identifier
    subject_id: Identifier
    time: Instant
    controller: Identifier | UnsetType | None = UNSET
    channel: Identifier | UnsetType | None = UNSET


class RelationshipRecorded(msgspec.Struct, gc=False, tag_field="type", tag="relationship.recorded"):
    """An established business relationship."""

    event_id: Identifier
    subject_id: Identifier
    time: Instant
    controller: Identifier
    kind: Relation
    date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    until: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | UnsetType | None = UNSET


class ContactObserved(msgspec.Struct, gc=False, tag_field="type", tag="contact.observed"):
    """A contact that was not decided here."""

    event_id: Identifier
    subject_id: Identifier
    time: Instant
    controller: Identifier
    channel: Identifier
    purpose: Identifier
    outcome: OutcomeWord
    direction: Literal["inbound", "outbound"] | UnsetType | None = UNSET
    requester: Identifier | UnsetType | None = UNSET
    campaign_id: Identifier | UnsetType | None = UNSET
    address: str | UnsetType | None = UNSET
    address_token: str | UnsetType | None = UNSET
    matters: tuple[Identifier, ...] | UnsetType | None = UNSET


# --- contact-requests ----------------------------------------------------------------------------------------------


class ContactRequested(msgspec.Struct, gc=False, tag_field="type", tag="contact.requested"):
    """May this person be contacted now?"""

    request_id: Identifier
    subject_id: Identifier
    time: Instant
    requester: Identifier
    controller: Identifier
    purpose: Identifier
    channel: Identifier
    campaign_id: Identifier | UnsetType | None = UNSET
    address: str | UnsetType | None = UNSET  # an address that cannot be read blocks, it is no dead letter
    address_token: str | UnsetType | None = UNSET
    data_categories: tuple[DataCategory, ...] | UnsetType | None = UNSET
    matter_id: Identifier | UnsetType | None = UNSET
    not_before: Instant | UnsetType | None = UNSET
    not_after: Instant | UnsetType | None = UNSET
    jurisdictions: tuple[Place, ...] | UnsetType | None = UNSET
    mode: Mode | UnsetType | None = UNSET


# --- contact-outcomes ----------------------------------------------------------------------------------------------


class ContactOutcome(msgspec.Struct, gc=False, tag_field="type", tag="contact.outcome"):
    """What became of the contact that `approval_id` approved; or of a subject's request, where the policy allows it."""

    event_id: Identifier
    time: Instant
    outcome: OutcomeWord
    approval_id: ApprovalId | UnsetType | None = UNSET
    request_id: Identifier | UnsetType | None = UNSET
    subject_id: Identifier | UnsetType | None = UNSET
    matters: tuple[Identifier, ...] | UnsetType | None = UNSET


# --- address-suppressions ------------------------------------------------------------------------------------------


class LiveSuppression(msgspec.Struct):
    """A further live suppression of the same address, so that one compacted record holds all of them."""

    event_id: Identifier
    time: Instant
    channels: Words | UnsetType | None = UNSET
    controller: Identifier | UnsetType | None = UNSET
    purposes: Words | UnsetType | None = UNSET
    campaigns: Words | UnsetType | None = UNSET
    reason: Identifier | UnsetType | None = UNSET
    expires_at: Instant | UnsetType | None = UNSET


class AddressSuppressed(msgspec.Struct, gc=False, tag_field="type", tag="address.suppressed"):
    """Nobody may be contacted at this address; all given fields must match."""

    event_id: Identifier
    time: Instant
    address: Address | UnsetType | None = UNSET
    address_token: Identifier | UnsetType | None = UNSET
    channels: Words | UnsetType | None = UNSET
    controller: Identifier | UnsetType | None = UNSET
    purposes: Words | UnsetType | None = UNSET
    campaigns: Words | UnsetType | None = UNSET
    reason: Identifier | UnsetType | None = UNSET
    expires_at: Instant | UnsetType | None = UNSET
    kind: Annotated[str, Meta(pattern="^postal$")] | UnsetType | None = UNSET  # `address` is free text of a letter
    origin: Identifier | UnsetType | None = UNSET  # ours: whose will it is; only what has the same is merged
    also: tuple[LiveSuppression, ...] | UnsetType | None = UNSET


class AddressReleased(msgspec.Struct, gc=False, tag_field="type", tag="address.released"):
    """Lifts the older suppressions of the address that lie wholly inside all given fields."""

    event_id: Identifier
    time: Instant
    address: Address | UnsetType | None = UNSET
    address_token: Identifier | UnsetType | None = UNSET
    channels: Words | UnsetType | None = UNSET
    controller: Identifier | UnsetType | None = UNSET
    purposes: Words | UnsetType | None = UNSET
    campaigns: Words | UnsetType | None = UNSET
    reasons: Words | UnsetType | None = UNSET  # those of the suppressions
    events: Words | UnsetType | None = UNSET  # event_ids of suppressions
    reason: Annotated[str, Meta(max_length=1024)] | UnsetType | None = UNSET
    by: Identifier | UnsetType | None = UNSET


ConsentMessage = (
    ConsentGranted
    | ConsentWithdrawn
    | SubjectUpdated
    | SubjectErased
    | ComplaintReceived
    | RelationshipRecorded
    | ContactObserved
)
RequestMessage = ContactRequested
OutcomeMessage = ContactOutcome
SuppressionMessage = AddressSuppressed | AddressReleased


# --- what we emit --------------------------------------------------------------------------------------------------


class WireReason(msgspec.Struct, gc=False):
    """One failed rule, as published."""

    rule: str
    detail: str
    until: str | None


class WirePosition(msgspec.Struct, frozen=True, gc=False):
    """The exact input a decision was made from: the request's own offset, and the next offset of every other input."""

    partition: int
    request: int
    consent: int
    outcome: int
    control: int
    suppression: int


class ContactDecided(msgspec.Struct, gc=False, kw_only=True, tag_field="type", tag="contact.decided"):
    """One decision; `hash` is appended after the rest is encoded (core.chain).

    What may be absent is, in decisions of releases before 0.3: they had no such field.
    """

    request_id: str
    subject_id: str
    requester: str
    campaign_id: str | None
    channel: str
    controller: str | UnsetType = UNSET
    purpose: str | UnsetType = UNSET
    data_categories: tuple[str, ...] | UnsetType = UNSET  # those judged, whether the request named them or not
    mode: Mode | UnsetType = UNSET
    verdict: Verdict
    reasons: list[WireReason]
    next_eligible_at: str | None
    # `registry.us-ndnc`: a list that must be refreshed until then; absent: none
    assumes: tuple[str, ...] | UnsetType = UNSET
    approval_ref: str | UnsetType | None = UNSET  # stands for the approval's handle, which its requester alone may know
    valid_until: str | None
    decided_at: str
    policy: str | None
    position: WirePosition
    duplicate: bool
    seq: int
    prev: str
    semantics: int = 1  # version of the rules it was decided by (`model.decision.SEMANTICS`)


class ContactApproved(msgspec.Struct, gc=False, tag_field="type", tag="contact.approved"):
    """What a vendor may know of a pass: nothing about the person."""

    approval_id: str  # the handle: who shows it reports of this approval
    approval_ref: str  # what may stand for it in logs and URLs
    partition: int  # of contact-outcomes: where reports of it go
    request_id: str
    subject_token: str
    channel: str
    valid_until: str
    duplicate: bool | UnsetType = UNSET  # true: the answer to a request that came again; absent otherwise


class ContactRefused(msgspec.Struct, gc=False, tag_field="type", tag="contact.refused"):
    """What a vendor may know of a block, or of a request that could not be read: nothing about the person."""

    request_id: str
    subject_token: str | None  # null: the request could not be read that far; the channel likewise
    channel: str | None
    reason: RefusalWord
    field: str | UnsetType = UNSET  # with `malformed`, where one field or key is to blame
    retry_at: str | UnsetType = UNSET  # with `not_now`, if time alone ends it: when to ask again


class ContactRecalled(msgspec.Struct, gc=False, tag_field="type", tag="contact.recalled"):
    """An approval that must not be used any more."""

    approval_id: str
    approval_ref: str
    partition: int
    request_id: str
    subject_token: str
    reason: RecallWord


class PermissionWithdrawn(msgspec.Struct, gc=False, kw_only=True, tag_field="type", tag="permission.withdrawn"):
    """A permission that a requester had is gone: it must not use the person's data for it any more."""

    controller: str | UnsetType = UNSET  # absent, as the two lists: all that the requester had
    subject_token: str
    channels: tuple[str, ...] | UnsetType = UNSET
    purposes: tuple[str, ...] | UnsetType = UNSET
    time: str  # of the opt-out


class DeadLetter(msgspec.Struct, gc=False, tag_field="type", tag="dead.letter", omit_defaults=True):
    """A message that could not be processed, whole. Live: sealed; offline: in clear."""

    reason: str
    detail: str
    topic: str
    partition: int | None = None
    offset: int | None = None
    time: str | None = None
    sealed: str | None = None
    sha256: str | None = None  # of the value, when it is too large to be sealed here; it is still on its topic
    original: msgspec.Raw | str | None = None

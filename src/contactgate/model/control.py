"""Control events: documents that people write about the world around the subjects, and their values for the core.

Shapes and conversions only. Absent lists mean all. Unknown keys are refused; what is there must be of its kind,
except that `widest` readings of restricting events drop what cannot be read (SEMANTICS rule 28).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from contactgate.model.instants import to_ms
from contactgate.model.messages import Instant as WireInstant
from contactgate.model.synonyms import folded
from contactgate.model.world import Agreement, Campaign, CampaignStatus, Lift, Notice, Party, PartyStatus, Pause


def _milliseconds(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("must be RFC 3339 with an offset, as text")  # noqa: TRY004  # pydantic collects ValueError
    try:
        return to_ms(msgspec.convert(value, WireInstant))
    except msgspec.ValidationError:
        raise ValueError("must be RFC 3339 with an offset (2026-01-31T09:30:00Z)") from None


def _ordinal(value: Any) -> int:
    if not isinstance(value, str) or len(value) != 10:
        raise ValueError("must be a day, YYYY-MM-DD")
    try:
        return date.fromisoformat(value).toordinal()
    except ValueError:
        raise ValueError("must be a day, YYYY-MM-DD") from None


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must hold only characters that can be printed")
    return value


Milliseconds = Annotated[
    int, BeforeValidator(_milliseconds), WithJsonSchema({"type": "string", "format": "date-time"}, mode="validation")
]
Ordinal = Annotated[
    int, BeforeValidator(_ordinal), WithJsonSchema({"type": "string", "format": "date"}, mode="validation")
]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, strict=True),
    BeforeValidator(lambda v: _printable(v) if isinstance(v, str) else v),
]
Names = tuple[Name, ...] | None
Text = Annotated[str, StringConstraints(max_length=1024, strict=True)]


class _Document(BaseModel):
    # An unknown key is refused: a misspelt `valid_until` would be an agreement without end (SEMANTICS rule 39).
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Control(_Document):
    event_id: Name
    time: Milliseconds
    by: Name | None = None

    @property
    def speaker(self) -> str | None:
        """Who says so; None if nobody does, or only spaces do."""
        return self.by if self.by is not None and folded(self.by) else None


class NoticePublished(_Control):
    """A version of the words people agree to."""

    type: Literal["notice.published"]
    notice_id: Name
    version: Annotated[int, Field(strict=True, ge=0, lt=2**53)] = 1
    controller: Name
    purposes: Names = None
    recipients: Names = None
    data_categories: Names = None
    effective_at: Milliseconds | None = None
    expires_at: Milliseconds | None = None
    text_sha256: Annotated[str, StringConstraints(max_length=128, strict=True)] | None = None

    def value(self, arrived_ms: int) -> Notice:
        """For the world; `arrived_ms`, here and below: when the event first came."""
        return Notice(
            notice_id=self.notice_id,
            version=self.version,
            controller=self.controller,
            purposes=self.purposes,
            recipients=self.recipients,
            categories=self.data_categories,
            effective_ms=self.time if self.effective_at is None else self.effective_at,
            expires_ms=self.expires_at,
            time_ms=self.time,
            arrived_ms=arrived_ms,
            event_id=self.event_id,
        )


class AgreementTerms(_Document):
    """What one controller allows a party."""

    controller: Name
    purposes: Names = None
    channels: Names = None
    data_categories: Names = None
    valid_from: Milliseconds | None = None
    valid_until: Milliseconds | None = None


class PartyUpdated(_Control):
    """A requester and its agreements; none = it may do nothing."""

    type: Literal["party.updated"]
    party_id: Name
    status: PartyStatus
    agreements: tuple[AgreementTerms, ...] | None = None

    def value(self, arrived_ms: int) -> Party:
        """For the world."""
        return Party(
            party_id=self.party_id,
            status=self.status,
            agreements=tuple(
                Agreement(a.controller, a.purposes, a.channels, a.data_categories, a.valid_from, a.valid_until)
                for a in self.agreements or ()
            ),
            time_ms=self.time,
            arrived_ms=arrived_ms,
            event_id=self.event_id,
        )


class CampaignUpdated(_Control):
    """A campaign."""

    type: Literal["campaign.updated"]
    campaign_id: Name
    status: CampaignStatus
    controller: Name | None = None
    requesters: Names = None
    purposes: Names = None
    channels: Names = None
    data_categories: Names = None
    created_by: Name | None = None
    approved_by: Name | None = None
    valid_from: Milliseconds | None = None
    valid_until: Milliseconds | None = None

    def value(self, arrived_ms: int) -> Campaign:
        """For the world."""
        return Campaign(
            campaign_id=self.campaign_id,
            status=self.status,
            controller=self.controller,
            requesters=self.requesters,
            purposes=self.purposes,
            channels=self.channels,
            created_by=self.created_by,
            approved_by=self.approved_by,
            valid_from_ms=self.valid_from,
            valid_until_ms=self.valid_until,
            categories=None if self.data_categories is None else tuple(sorted(set(self.data_categories))),
            time_ms=self.time,
            arrived_ms=arrived_ms,
            event_id=self.event_id,
        )


class PolicyActivated(_Control):
    """The policy that judges from now on."""

    type: Literal["policy.activated"]
    policy: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$", strict=True)] | None = None
    document: dict[str, Any]


class RegistryEntry(_Document):
    """One listed address and its day of listing."""

    address: Annotated[str, StringConstraints(min_length=1, max_length=320, strict=True)]
    since: Ordinal | None = None


UNREAD_DAY: Final = -1
"""`since` of an entry that is not whole: it must not take its list with it, and what can be read of it binds."""


def entry(value: Any) -> RegistryEntry:
    """An entry as far as it can be read; never raises."""
    try:
        return RegistryEntry.model_validate(value)
    except ValidationError:
        found = value.get("address") if isinstance(value, dict) else value
        return RegistryEntry.model_construct(address=_listed_text(found), since=UNREAD_DAY)


def _listed_text(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 320 else ""


LooseEntry = Annotated[RegistryEntry, WrapValidator(lambda value, _: entry(value))]
LooseAddress = Annotated[
    str, StringConstraints(min_length=1, max_length=320), WrapValidator(lambda v, _: _listed_text(v))
]


class RegistrySource(_Document):
    """Where a large list lies."""

    uri: Annotated[str, StringConstraints(min_length=1, max_length=2048, strict=True)]
    format: Literal["e164-lines", "snapshot"]
    count: Annotated[int, Field(strict=True, ge=0)] | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", strict=True)] | None = None


class RegistryPublished(_Control):
    """A version of a do-not-call list: a snapshot, or what changed since `base`."""

    type: Literal["registry.published"]
    registry: Name
    version: Name
    as_of: Milliseconds  # when the list was taken: its age counts from here
    kind: Literal["snapshot", "delta"] = "snapshot"
    base: Name | None = None
    entries: tuple[LooseEntry, ...] | None = None
    removed: tuple[LooseAddress, ...] | None = None
    source: RegistrySource | None = None
    unreadable: Annotated[int, Field(strict=True, ge=0)] = 0  # that many unreadable entries are accepted
    shrinks: Annotated[bool, Field(strict=True)] = False  # it is meant to have less than half of the entries before

    @model_validator(mode="after")
    def _one_kind(self) -> RegistryPublished:
        if self.kind == "delta" and self.base is None:
            raise ValueError("a delta needs `base`, the version it applies to")
        if self.kind == "snapshot" and (self.removed or (self.entries is None and self.source is None)):
            raise ValueError("a snapshot needs `entries` or `source`, and cannot have `removed`")
        if self.entries is not None and self.source is not None:
            raise ValueError("give `entries` or `source`, not both")
        return self


class PauseScope(_Document):
    """What is paused: all given fields must match; none = everything."""

    controllers: Names = None
    requesters: Names = None
    campaigns: Names = None
    purposes: Names = None
    channels: Names = None

    @property
    def names_nobody(self) -> bool:
        """Whether one of the lists is given and empty, so that the pause would match nothing."""
        return () in (self.controllers, self.requesters, self.campaigns, self.purposes, self.channels)


class PauseSet(_Control):
    """Stop at once; with `by`, in the place of what the pause was before, else beside it."""

    type: Literal["pause.set"]
    pause_id: Name
    reason: Text | None = None
    until: Milliseconds | None = None
    scope: PauseScope | None = None

    def value(self, arrived_ms: int) -> Pause:
        """For the world."""
        scope = self.scope or PauseScope()
        return Pause(
            pause_id=self.pause_id,
            time_ms=self.time,
            until_ms=self.until,
            controllers=scope.controllers,
            requesters=scope.requesters,
            campaigns=scope.campaigns,
            purposes=scope.purposes,
            channels=scope.channels,
            arrived_ms=arrived_ms,
            event_id=self.event_id,
            by=self.speaker,
        )


def _somebody(value: str) -> str:
    if not folded(value):
        raise ValueError("must name who lifts the pause")
    return value


class PauseLifted(_Control):
    """Go on: ends what was set before its own time. Who says so must be named."""

    type: Literal["pause.lifted"]
    pause_id: Name
    by: Annotated[Name, AfterValidator(_somebody)]

    def value(self, arrived_ms: int) -> Lift:
        """For the world."""
        return Lift(self.time, arrived_ms, self.event_id)


ControlMessage = (
    NoticePublished | PartyUpdated | CampaignUpdated | PolicyActivated | RegistryPublished | PauseSet | PauseLifted
)

CONTROL: Final[dict[str, type[_Control]]] = {
    "notice.published": NoticePublished,
    "party.updated": PartyUpdated,
    "campaign.updated": CampaignUpdated,
    "policy.activated": PolicyActivated,
    "registry.published": RegistryPublished,
    "pause.set": PauseSet,
    "pause.lifted": PauseLifted,
}
"""The model of every control event's `type`."""

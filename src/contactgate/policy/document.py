"""The shape of a policy and of a pack as people write them: pydantic models, unknown keys refused, nothing coerced.

A document says what; `rules` turns it into plan values, and `load` adds the checks that need more than one rule. Values
are already normalised (durations and times of day are milliseconds, sets are sorted), so two documents that mean the
same dump the same. Must never decide, read a file or know today's date.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from contactgate.model.facts import Outcome
from contactgate.model.instants import DAY_MS, MINUTE_MS
from contactgate.model.request import Mode
from contactgate.policy import durations, words
from contactgate.policy.durations import Weekday
from contactgate.policy.plan import Counts, Lacking

T = TypeVar("T")

Name = Annotated[StrictStr, AfterValidator(words.name)]
Channel = Annotated[StrictStr, AfterValidator(words.channel)]
Controller = Annotated[StrictStr, AfterValidator(words.controller)]
Flag = Annotated[StrictStr, AfterValidator(words.flag)]
Category = Annotated[StrictStr, AfterValidator(words.category)]
Country = Annotated[StrictStr, AfterValidator(words.country)]
ListName = Annotated[StrictStr, AfterValidator(words.house_list)]
Purpose = Annotated[StrictStr, AfterValidator(words.purpose)]
Jurisdiction = Annotated[StrictStr, AfterValidator(words.jurisdiction)]
Zone = Annotated[StrictStr, AfterValidator(words.zone)]
NamedZone = Annotated[StrictStr, AfterValidator(words.named_zone)]
Holidays = Annotated[StrictStr, AfterValidator(words.holidays)]
Elapsed = Annotated[StrictInt, BeforeValidator(durations.elapsed)]
Skew = Annotated[StrictInt, BeforeValidator(durations.skew)]
Days = Annotated[StrictInt, BeforeValidator(durations.days)]
Months = Annotated[StrictInt, BeforeValidator(durations.months)]
Dates = Annotated[Any, BeforeValidator(durations.dates), PlainSerializer(lambda span: [span.months, span.days])]
Clock = Annotated[StrictInt, BeforeValidator(durations.time_of_day)]
Day = Annotated[date, BeforeValidator(durations.day)]
Text = Annotated[StrictStr, Field(max_length=2_000)]
Evidence = Literal["written", "esign", "recorded_call", "web", "double_opt_in"]
Confidence = Literal["high", "medium", "low"]
Unless = Literal["consent", "relationship", "purchase", "inquiry", "contract"]
BasisUnless = Literal["relationship", "purchase", "inquiry", "contract"]
Consent = Literal["opt_in", "opt_out", "none"]


def _sorted_set(values: list[T]) -> list[T]:
    if not values:
        raise ValueError("an empty list selects nothing: leave the key out for all, or name at least one")
    if len(set(values)) != len(values):
        raise ValueError("the same word stands twice")
    return sorted(values, key=str)


def _no_repeats(values: list[T]) -> list[T]:
    return _sorted_set(values) if values else values


Channels = Annotated[list[Channel], AfterValidator(_sorted_set)]
Purposes = Annotated[list[Purpose], AfterValidator(_sorted_set)]
Jurisdictions = Annotated[list[Jurisdiction], AfterValidator(_sorted_set)]
Modes = Annotated[list[Mode], AfterValidator(_sorted_set)]
EvidenceSet = Annotated[list[Evidence], AfterValidator(_sorted_set)]
Weekdays = Annotated[list[Weekday], AfterValidator(_sorted_set)]
OutcomeWord = Annotated[StrictStr, AfterValidator(words.outcome_word)]
Outcomes = Annotated[list[Outcome], AfterValidator(_sorted_set)]


class Doc(BaseModel):
    """Base of every part of a document."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Sourced(Doc):
    """Where a line comes from. Free in a house policy; a pack must give source and confidence on every line."""

    source: Text | None = None
    confidence: Confidence | None = None
    note: Text | None = None


class Dated(Sourced):
    """A line that holds from the start of one date to the end of another, in the document's `zone`."""

    valid_from: Day | None = None
    valid_to: Day | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError("valid_to lies before valid_from")
        return self


class Rule(Dated):
    """A named line that selects some requests (SEMANTICS rule 5)."""

    name: Name
    channels: Channels | None = None
    purposes: Purposes | None = None
    jurisdictions: Jurisdictions | None = None
    mode: Modes | None = None


def _scope(fields: list[str]) -> list[str]:
    if "subject" not in fields:
        raise ValueError(
            "a scope must include `subject`: what is counted for one person lies on that person's partition, "
            "and a count across people would need every partition at once"
        )
    return _sorted_set(fields)


Scope = Annotated[
    list[Literal["subject", "address", "channel", "purpose", "controller", "requester", "campaign", "matter"]],
    AfterValidator(_scope),
]


class CapWindowDoc(Doc):
    """`{sliding: 7d}`, `{days: 7, zone: subject}` or `{calendar: week, zone: UTC, week_starts: mon}`."""

    sliding: Elapsed | None = None
    days: Annotated[StrictInt, Field(ge=1, le=durations.MAX_DAYS)] | None = None
    calendar: Literal["day", "week", "month"] | None = None
    zone: Zone | None = None
    week_starts: Weekday | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(x is not None for x in (self.sliding, self.days, self.calendar)) != 1:
            raise ValueError("write exactly one of sliding, days and calendar")
        if self.sliding is not None and self.zone is not None:
            raise ValueError("a sliding window is elapsed time and has no zone: remove `zone`, or use days or calendar")
        if self.sliding is None and self.zone is None:
            raise ValueError("days begin in a zone: add `zone: subject`, `zone: UTC` or a name such as Europe/Paris")
        if self.week_starts is not None and self.calendar != "week":
            raise ValueError("week_starts belongs to `calendar: week`")
        return self


class CapDoc(Rule):
    """At most `limit` counted contacts in a window and scope."""

    limit: Annotated[StrictInt, Field(ge=0, le=1_000_000)]
    window: CapWindowDoc
    scope: Scope
    lacking: Lacking = "block"
    counts: Counts = "approved"


class GapDoc(Rule):
    """A minimum time between two contacts."""

    at_least: Elapsed
    scope: Scope
    lacking: Lacking = "block"
    counts: Counts = "approved"


class LocalDays(Doc):
    """A cool-off in whole local dates: the date of the outcome is day one (`same_day`) or day zero (`next_day`)."""

    days: Annotated[StrictInt, Field(ge=1, le=durations.MAX_DAYS)]
    first: Literal["same_day", "next_day"] = "same_day"
    zone: Zone = "subject"


class Threshold(Doc):
    """Only after this many outcomes within a time."""

    count: Annotated[StrictInt, Field(ge=1, le=10_000)]
    within: Elapsed


class Lasts(Doc):
    """How long a cool-off lasts: exactly one of these, told apart by what was written."""

    elapsed: Elapsed | None = None
    local: LocalDays | None = None
    forever: Literal[True] | None = None


def _lasts(given: object) -> object:
    if isinstance(given, dict):
        return {"local": given}
    return {"forever": True} if given == "forever" else {"elapsed": given}


class CoolOffDoc(Rule):
    """No contact for a time after an outcome."""

    outcomes: Outcomes
    lasts: Annotated[Lasts, BeforeValidator(_lasts)] = Field(alias="for")
    scope: Scope
    lacking: Lacking = "block"
    after: Threshold | None = None
    until_consent: StrictBool = False


class WindowDoc(Rule):
    """Hours in which contact is allowed; windows of one name are alternatives."""

    days: Weekdays | None = None
    opens: Clock = Field(default=0, alias="from")
    closes: Clock = Field(default=DAY_MS, alias="to")
    from_exclusive: StrictBool = False
    to_inclusive: StrictBool = False
    holidays: Holidays | None = None
    zone: Zone = "subject"
    consent_lifts: StrictBool = True

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.opens == self.closes:
            raise ValueError('from and to are the same: write from "00:00" to "24:00" for the whole day')
        if self.opens == DAY_MS:
            raise ValueError('from cannot be "24:00": write "00:00"')
        if self.closes == DAY_MS and self.to_inclusive:
            raise ValueError('"24:00" belongs to the next day: leave to_inclusive out')
        return self


class ContractDoc(Doc):
    """`running`: while the contract lasts; `18mo`: while it lasts and that long after its end."""

    after_end: Months | None = None


def _contract(given: object) -> object:
    if given == "running":
        return {}
    return given if isinstance(given, ContractDoc) else {"after_end": given}


class Relationships(Doc):
    """For how long an established business relationship counts, by kind."""

    purchase: Dates | None = None
    inquiry: Dates | None = None
    contract: Annotated[ContractDoc, BeforeValidator(_contract)] | None = None


class RegistryDoc(Rule):
    """A do-not-call list that must be fresh and must not hold the number."""

    name: ListName
    max_age: Dates
    grace: Days | None = None
    unless: Annotated[list[Unless], AfterValidator(_sorted_set)] | None = None
    relationships: Relationships | None = None
    consumer: StrictBool = True


class OverrideDoc(Sourced):
    """What differs for one channel or mode; absent keys are those of the block around it."""

    consent: Consent | None = None
    evidence: EvidenceSet | None = None
    default_period: Dates | None = None
    max_period: Months | None = None
    anniversary: Literal["included", "excluded"] | None = None
    unless: Annotated[list[BasisUnless], AfterValidator(_sorted_set)] | None = None
    relationships: Relationships | None = None
    revokes_all_from: Day | None = None


class BasisDoc(Dated):
    """What a purpose needs: one block, or several with dates that do not overlap."""

    consent: Consent
    evidence: EvidenceSet | None = None
    default_period: Dates | None = None
    max_period: Months | None = None
    anniversary: Literal["included", "excluded"] | None = None
    unless: Annotated[list[BasisUnless], AfterValidator(_sorted_set)] | None = None
    relationships: Relationships | None = None
    revokes_all_from: Day | None = None
    channels: dict[Channel, OverrideDoc] | None = None
    mode: dict[Mode, OverrideDoc] | None = None


def _blocks(given: object) -> object:
    return given if isinstance(given, list) else [given]


def _some(blocks: list[T]) -> list[T]:
    if not blocks:
        raise ValueError("an empty list says nothing: write at least one block, or leave the purpose out")
    return blocks


Blocks = Annotated[list[BasisDoc], BeforeValidator(_blocks), AfterValidator(_some)]


class RequireDoc(Doc):
    """Whether an unknown entity blocks."""

    campaign: StrictBool = True
    party: StrictBool = True
    notice: StrictBool = True
    two_people: StrictBool = False


class RulesDoc(Sourced):
    """What a house policy and a pack have in common."""

    zone: NamedZone = "UTC"
    purposes: dict[Purpose, Blocks] = Field(default_factory=dict)
    caps: list[CapDoc] = Field(default_factory=list)
    gaps: list[GapDoc] = Field(default_factory=list)
    cooloffs: list[CoolOffDoc] = Field(default_factory=list)
    windows: list[WindowDoc] = Field(default_factory=list)
    registries: list[RegistryDoc] = Field(default_factory=list)
    relationships: Relationships | None = None


class PolicyDoc(RulesDoc):
    """A house policy."""

    policy: Name
    packs: list[StrictStr] = Field(default_factory=list)
    approval_ttl: Elapsed = 15 * MINUTE_MS
    dedup_horizon: Elapsed = 7 * DAY_MS
    contact_history: Elapsed = 400 * DAY_MS
    unreported: Literal["count", "release"] = "count"
    require: RequireDoc = RequireDoc()
    uncovered: Literal["allow", "block"] = "allow"
    vulnerable: Literal["block", "allow"] = "block"
    channels: Annotated[list[Channel], AfterValidator(_no_repeats)] = Field(default_factory=list)
    controllers: Annotated[list[Controller], AfterValidator(_no_repeats)] = Field(default_factory=list)
    flags: Annotated[list[Flag], AfterValidator(_no_repeats)] = Field(default_factory=list)
    data_categories: Annotated[list[Category], AfterValidator(_no_repeats)] = Field(default_factory=list)
    clock_skew: Skew = 10 * MINUTE_MS
    default_region: Country | None = None
    outcomes: dict[OutcomeWord, Outcome] = Field(default_factory=dict)
    outcomes_by: Literal["approval", "subject", "both"] = "approval"


class FactDoc(Doc):
    """A line of a pack that is shown but not enforced, or that explains the enforced ones."""

    topic: Literal["basis", "hours", "holidays", "caps", "cooloff", "registry", "expiry", "evidence", "dates", "scope"]
    text: Text
    source: Text
    confidence: Confidence
    enforced: StrictBool = False


class PackDoc(RulesDoc):
    """The rules of one jurisdiction."""

    pack: Name
    title: Text
    jurisdiction: Jurisdiction
    valid_from: Day | None = None
    valid_to: Day | None = None
    facts: list[FactDoc] = Field(default_factory=list)

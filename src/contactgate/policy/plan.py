"""The compiled policy: what the core evaluates. Plain frozen values; nothing here reads a document or decides.

`CompiledPolicy.plan(...)` selects, once per kind of request and cached, every rule that applies to it: the house
policy's and those of every chosen pack whose jurisdiction and dates match. Strictest wins, so rules of several
sources simply stand side by side and all must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from contactgate.model.facts import Outcome, Relation, Span
from contactgate.model.instants import DAY_MS

Counts = Literal["approved", "attempted", "connected", "delivered", "conversation"]
Lacking = Literal["block", "any"]
"""What a scope does with a request that lacks its field: `block` (SEMANTICS rule 6), or `any`: the field then narrows
nothing, every contact counts whatever its value, and a contact without the field counts for every value."""
ScopeField = Literal["address", "channel", "purpose", "controller", "requester", "campaign", "matter"]

MAX_CLOCK_SKEW_MS: Final = DAY_MS
"""No policy may allow for clocks that differ by more."""

_MOST_DAYS: Final = {"day": 1, "week": 7, "month": 31}
_SLACK_DAYS: Final = 2
"""Local dates begin up to 26 hours apart, and a clock change adds an hour."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Which requests and contacts a rule is about (SEMANTICS rule 5). None = all."""

    channels: frozenset[str] | None = None
    purposes: tuple[str, ...] | None = None  # dotted prefixes
    jurisdictions: frozenset[str] | None = None

    def matches(self, channel: str, purpose: str, jurisdictions: tuple[str, ...]) -> bool:
        """Whether a request or contact with these is selected."""
        if self.channels is not None and channel not in self.channels:
            return False
        if self.purposes is not None and not any(covers(p, purpose) for p in self.purposes):
            return False
        return self.jurisdictions is None or not self.jurisdictions.isdisjoint(jurisdictions)


def covers(prefix: str, purpose: str) -> bool:
    """Whether a dotted path covers another: `marketing` covers `marketing` and `marketing.insurance`."""
    return purpose == prefix or (purpose.startswith(prefix) and purpose[len(prefix)] == ".")


@dataclass(frozen=True, slots=True)
class CapWindow:
    """How long a contact counts (SEMANTICS rule 1)."""

    kind: Literal["sliding", "days", "calendar"]
    length_ms: int = 0  # sliding: elapsed time
    days: int = 0  # days: local calendar dates, today included
    unit: Literal["day", "week", "month"] = "day"  # calendar
    zone: str = "subject"  # `subject`, `UTC` or an IANA name; days and calendar only
    week_starts: int = 0  # 0 = Monday

    @property
    def looks_back_ms(self) -> int:
        """How long a contact counts at most, whatever clocks and zones do: history that old decides nothing here."""
        if self.kind == "sliding":
            return self.length_ms
        days = self.days if self.kind == "days" else _MOST_DAYS[self.unit]
        return (days + _SLACK_DAYS) * DAY_MS


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `limit` counted contacts within a window and scope. A minimum gap is a cap of 1 whose rule is `gap.*`."""

    rule: str  # `cap.voice_7d`, `gap.two_months`
    limit: int
    window: CapWindow
    scope: tuple[ScopeField, ...]  # beyond the subject, which is always in scope
    selector: Selector
    counts: Counts = "approved"
    lacking: Lacking = "block"


@dataclass(frozen=True, slots=True)
class CoolOff:
    """No contact for a time after an outcome, or after `after_count` of them within `after_within_ms`."""

    rule: str  # `cooloff.after_refusal`
    outcomes: frozenset[Outcome]
    kind: Literal["elapsed", "days", "forever"]
    length_ms: int = 0  # elapsed
    days: int = 0  # days: whole local dates
    first: Literal["same_day", "next_day"] = "same_day"  # which date is day one
    zone: str = "subject"
    scope: tuple[ScopeField, ...] = ()
    selector: Selector = Selector()
    after_count: int = 1
    after_within_ms: int = 0  # 0: no threshold
    lacking: Lacking = "block"
    until_consent: bool = False  # a valid grant for the request given after the outcome ends it

    @property
    def looks_back_ms(self) -> int:
        """How old an outcome may be that still matters; of `forever` only the threshold, its outcomes are kept."""
        lasts_ms = {"elapsed": self.length_ms, "days": (self.days + _SLACK_DAYS) * DAY_MS, "forever": 0}[self.kind]
        return lasts_ms + self.after_within_ms


@dataclass(frozen=True, slots=True)
class WindowRule:
    """Hours in which contact is allowed; the spans are alternatives (SEMANTICS rules 9, 10)."""

    name: str  # `house_hours`; its rule code is `window.house_hours`
    spans: tuple[Span, ...]
    zone: str | None = None  # None: the person's zones
    consent_lifts: bool = True  # hours named in a valid consent open it


@dataclass(frozen=True, slots=True)
class RelationPeriod:
    """For how long after its date a relationship of this kind exempts; None: while it lasts (until its end date)."""

    kind: Relation
    months: int | None = None
    days: int | None = None
    after_end_months: int | None = None  # a contract exempts this long after its end


@dataclass(frozen=True, slots=True)
class RegistryRule:
    """A do-not-call list that must be fresh and must not hold the number (SEMANTICS rule 23)."""

    name: str
    max_age_days: int | None
    max_age_months: int | None = None
    grace_days: int = 0  # a listing binds this many days after its day
    unless_consent: bool = False
    unless_relations: tuple[RelationPeriod, ...] = ()
    consumer: bool = True  # does not bind a subject flagged `business`


@dataclass(frozen=True, slots=True)
class Basis:
    """What one source (the house policy or a pack) asks of consent for a kind of request."""

    source: str  # `policy` or a pack's name
    consent: Literal["opt_in", "opt_out", "none"]
    evidence: frozenset[str] | None = None  # accepted methods; None: any
    default_months: int | None = None  # a grant without a stated period lasts this long
    default_days: int | None = None
    max_months: int | None = None  # a grant lasts at most this long, whatever it states
    anniversary_zone: str | None = None  # months end with the anniversary, included, in this zone (SEMANTICS rule 57)
    unless_relations: tuple[RelationPeriod, ...] = ()  # opt_in is not needed while one of these holds
    revokes_all_from_ms: int | None = None  # a withdrawal of that time or later reaches every purpose on its channels


@dataclass(frozen=True, slots=True)
class Plan:
    """Every rule for requests of one kind: purpose, channel, mode, jurisdictions, at one date."""

    bases: tuple[Basis, ...]  # empty: the purpose is unknown to the policy and to every applying pack
    marketing: bool  # the purpose is `marketing` or below: minors, vulnerable
    vulnerable_blocks: bool
    caps: tuple[Cap, ...]  # gaps included
    cooloffs: tuple[CoolOff, ...]
    windows: tuple[WindowRule, ...]
    registries: tuple[RegistryRule, ...]
    needs_zone: bool  # a window, or a calendar rule in the subject's zone, applies
    uncovered: tuple[str, ...]  # jurisdictions without a pack, when the policy says `uncovered: block`
    until_ms: int | None  # another plan applies from this instant (a dated block begins or ends)


@dataclass(frozen=True, slots=True)
class Requirements:
    """Whether an unknown entity blocks (SEMANTICS rule 22)."""

    campaign: bool = True
    party: bool = True
    notice: bool = True
    two_people: bool = False  # when the policy asks: a campaign must be approved by somebody else than its creator


@dataclass(frozen=True, slots=True)
class Limits:
    """Times that hold for every request."""

    approval_ttl_ms: int
    dedup_horizon_ms: int
    contact_history_ms: int  # contacts older than this may be forgotten; never shorter than any rule looks back
    unreported_counts: bool = True
    outcomes_by_subject: bool = False  # a report counts without the approval's handle
    clock_skew_ms: int = 600_000  # a restriction that arrives later and is stamped at most so much earlier wins
    requirements: Requirements = field(default_factory=Requirements)
    default_region: str | None = None  # ISO country in which a number without `+` is read


@dataclass(frozen=True, slots=True)
class Words:
    """The words that a policy and its chosen packs know (SEMANTICS rule 37)."""

    channels: frozenset[str] = frozenset()  # built in, and the policy's own
    purposes: frozenset[str] = frozenset()  # configured: each with what it needs of consent
    named: frozenset[str] = frozenset()  # purposes that are named anywhere, the configured ones included
    controllers: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()  # built in, and the policy's own
    categories: frozenset[str] = frozenset()  # built in, and the policy's own
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)  # the policy's own words, squeezed

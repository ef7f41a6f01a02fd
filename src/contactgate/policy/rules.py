"""One document's lines -> plan values with the dates and modes they hold for.

A `Source` is the house policy or one pack, ready to be asked which of its lines apply. Must never combine sources or
relax one line by another: that strictest wins follows from all of them standing side by side (see `compiled`).

Dates: `valid_from` begins at local midnight of the document's `zone` (a pack's reference zone; UTC when none is given)
and `valid_to` ends at the following midnight there, so the last day is included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Generic, TypeVar, cast

from contactgate.model.facts import Relation, Span
from contactgate.model.request import Mode
from contactgate.policy import zones
from contactgate.policy.document import (
    BasisDoc,
    CapDoc,
    CoolOffDoc,
    Dated,
    GapDoc,
    OverrideDoc,
    RegistryDoc,
    Relationships,
    Rule,
    RulesDoc,
    WindowDoc,
)
from contactgate.policy.durations import WEEKDAYS
from contactgate.policy.plan import (
    Basis,
    Cap,
    CapWindow,
    CoolOff,
    RegistryRule,
    RelationPeriod,
    ScopeField,
    Selector,
    WindowRule,
    covers,
)

R = TypeVar("R")
KINDS: tuple[Relation, ...] = ("purchase", "inquiry", "contract")


@dataclass(frozen=True, slots=True)
class Line(Generic[R]):
    """A compiled line: what it is, whom it selects, from when to when (milliseconds; None: unbounded)."""

    value: R
    selector: Selector
    modes: frozenset[Mode] | None
    from_ms: int | None
    to_ms: int | None

    def applies(self, channel: str, purpose: str, mode: Mode, jurisdictions: tuple[str, ...], now_ms: int) -> bool:
        """Whether the line binds such a request at that instant."""
        return (
            (self.from_ms is None or self.from_ms <= now_ms)
            and (self.to_ms is None or now_ms < self.to_ms)
            and (self.modes is None or mode in self.modes)
            and self.selector.matches(channel, purpose, jurisdictions)
        )


@dataclass(frozen=True, slots=True)
class Source:
    """The lines of the house policy or of one pack."""

    name: str
    jurisdiction: str | None  # None: the house policy, which always applies
    from_ms: int | None
    to_ms: int | None
    purposes: dict[str, tuple[Line[BasisDoc], ...]]
    caps: tuple[Line[Cap], ...]
    cooloffs: tuple[Line[CoolOff], ...]
    windows: tuple[Line[WindowRule], ...]
    registries: tuple[Line[RegistryRule], ...]
    zone: str
    relationships: Relationships | None

    def applies(self, jurisdictions: tuple[str, ...], now_ms: int) -> bool:
        """Whether the document as a whole binds a request of these jurisdictions at that instant."""
        return (
            (self.jurisdiction is None or self.jurisdiction in jurisdictions)
            and (self.from_ms is None or self.from_ms <= now_ms)
            and (self.to_ms is None or now_ms < self.to_ms)
        )

    def boundaries(self) -> Iterator[int]:
        """Every instant at which one of its lines begins or ends."""
        lines: list[Line[object]] = [
            *cast("tuple[Line[object], ...]", self.caps),
            *cast("tuple[Line[object], ...]", self.cooloffs),
            *cast("tuple[Line[object], ...]", self.windows),
            *cast("tuple[Line[object], ...]", self.registries),
            *(cast("Line[object]", line) for blocks in self.purposes.values() for line in blocks),
        ]
        for from_ms, to_ms in [(self.from_ms, self.to_ms), *((line.from_ms, line.to_ms) for line in lines)]:
            yield from (at for at in (from_ms, to_ms) if at is not None)

    def bases(self, purpose: str, channel: str, mode: Mode, now_ms: int) -> tuple[Basis, ...]:
        """What this source asks of consent: of the longest of its prefixes that holds now; () when none does.

        A channel's and a mode's override both bind when both match, each filled up from the block around it.
        """
        for prefix in sorted(self.purposes, key=len, reverse=True):
            if not covers(prefix, purpose):
                continue
            for line in self.purposes[prefix]:
                if line.applies(channel, purpose, mode, (), now_ms):
                    return self._basis(line.value, channel, mode)
        return ()

    def _basis(self, block: BasisDoc, channel: str, mode: Mode) -> tuple[Basis, ...]:
        overrides = [
            override
            for override in ((block.channels or {}).get(channel), (block.mode or {}).get(mode))
            if override is not None
        ]
        if not overrides:
            return (self._one(block, None),)
        return tuple(dict.fromkeys(self._one(block, override) for override in overrides))

    def _one(self, block: BasisDoc, override: OverrideDoc | None) -> Basis:
        consent = override.consent if override and override.consent else block.consent
        evidence = override.evidence if override and override.evidence else block.evidence
        default = override.default_period if override and override.default_period else block.default_period
        longest = override.max_period if override and override.max_period else block.max_period
        anniversary = override.anniversary if override and override.anniversary else block.anniversary
        unless = override.unless if override and override.unless else block.unless
        relations = (override.relationships if override else None) or block.relationships or self.relationships
        everything = override.revokes_all_from if override and override.revokes_all_from else block.revokes_all_from
        return Basis(
            source=self.name,
            consent=consent,
            evidence=None if evidence is None else frozenset(evidence),
            default_months=default.months if default else None,
            default_days=default.days if default else None,
            max_months=longest,
            anniversary_zone=self.zone if anniversary == "included" else None,
            unless_relations=relation_periods(unless, relations) if consent == "opt_in" else (),
            revokes_all_from_ms=None if everything is None else midnight_ms(everything, self.zone),
        )


def midnight_ms(day: date, zone: str) -> int:
    """The instant a local date begins in a zone of the tzdata package."""
    rules = UTC if zone == "UTC" else zones.load(zone)
    assert rules is not None, "the zone was checked with the document"
    return int(datetime(day.year, day.month, day.day, tzinfo=rules).timestamp()) * 1000


def dated(valid_from: date | None, valid_to: date | None, zone: str) -> tuple[int | None, int | None]:
    """From and to of a dated line in milliseconds; the last day is included."""
    return (
        None if valid_from is None else midnight_ms(valid_from, zone),
        None if valid_to is None else midnight_ms(valid_to + timedelta(days=1), zone),
    )


def relation_periods(unless: object, relations: Relationships | None) -> tuple[RelationPeriod, ...]:
    """The relationships that an `unless` names, with their times."""
    wanted = set(cast("list[str]", unless or []))
    given = relations or Relationships()
    found: list[RelationPeriod] = []
    for kind in KINDS:
        period = getattr(given, kind)
        if not (kind in wanted or ("relationship" in wanted and period is not None)):
            continue
        if kind == "contract":
            found.append(RelationPeriod(kind, after_end_months=period.after_end if period else None))
        elif period is not None:
            found.append(RelationPeriod(kind, months=period.months, days=period.days))
    return tuple(found)


def _selector(rule: Rule) -> Selector:
    return Selector(
        channels=None if rule.channels is None else frozenset(rule.channels),
        purposes=None if rule.purposes is None else tuple(rule.purposes),
        jurisdictions=None if rule.jurisdictions is None else frozenset(rule.jurisdictions),
    )


def _scope(fields: list[str]) -> tuple[ScopeField, ...]:
    return tuple(cast("ScopeField", field) for field in fields if field != "subject")


def _cap(doc: CapDoc) -> Cap:
    window = doc.window
    if window.sliding is not None:
        compiled = CapWindow("sliding", length_ms=window.sliding)
    elif window.days is not None:
        compiled = CapWindow("days", days=window.days, zone=window.zone or "subject")
    else:
        compiled = CapWindow(
            "calendar",
            unit=window.calendar or "day",
            zone=window.zone or "subject",
            week_starts=WEEKDAYS.index(window.week_starts or "mon"),
        )
    return Cap(
        rule=f"cap.{doc.name}",
        limit=doc.limit,
        window=compiled,
        scope=_scope(list(doc.scope)),
        selector=_selector(doc),
        counts=doc.counts,
        lacking=doc.lacking,
    )


def _gap(doc: GapDoc) -> Cap:
    window = CapWindow("sliding", length_ms=doc.at_least)
    return Cap(
        rule=f"gap.{doc.name}",
        limit=1,
        window=window,
        scope=_scope(list(doc.scope)),
        selector=_selector(doc),
        counts=doc.counts,
        lacking=doc.lacking,
    )


def _cooloff(doc: CoolOffDoc) -> CoolOff:
    lasts = doc.lasts
    return CoolOff(
        rule=f"cooloff.{doc.name}",
        outcomes=frozenset(doc.outcomes),
        kind="forever" if lasts.forever else "elapsed" if lasts.elapsed else "days",
        length_ms=lasts.elapsed or 0,
        days=lasts.local.days if lasts.local else 0,
        first=lasts.local.first if lasts.local else "same_day",
        zone=lasts.local.zone if lasts.local else "subject",
        scope=_scope(list(doc.scope)),
        selector=_selector(doc),
        after_count=doc.after.count if doc.after else 1,
        after_within_ms=doc.after.within if doc.after else 0,
        lacking=doc.lacking,
        until_consent=doc.until_consent,
    )


def _window(doc: WindowDoc) -> WindowRule:
    span = Span(
        days=() if doc.days is None else tuple(sorted(WEEKDAYS.index(day) for day in doc.days)),
        from_ms=doc.opens,
        to_ms=doc.closes,
        from_exclusive=doc.from_exclusive,
        to_inclusive=doc.to_inclusive,
        holidays=doc.holidays,
    )
    return WindowRule(doc.name, (span,), None if doc.zone == "subject" else doc.zone, doc.consent_lifts)


def _registry(doc: RegistryDoc, relations: Relationships | None) -> RegistryRule:
    return RegistryRule(
        name=doc.name,
        max_age_days=doc.max_age.days,
        max_age_months=doc.max_age.months,
        grace_days=doc.grace or 0,
        unless_consent="consent" in (doc.unless or []),
        unless_relations=relation_periods(doc.unless, doc.relationships or relations),
        consumer=doc.consumer,
    )


def compile_source(
    doc: RulesDoc, name: str, jurisdiction: str | None, valid_from: date | None, valid_to: date | None
) -> Source:
    """Every line of a checked document, ready to be asked."""

    def line(rule: Dated, value: R) -> Line[R]:
        begins, ends = dated(rule.valid_from, rule.valid_to, doc.zone)
        if not isinstance(rule, Rule):
            return Line(value, Selector(), None, begins, ends)
        return Line(value, _selector(rule), None if rule.mode is None else frozenset(rule.mode), begins, ends)

    from_ms, to_ms = dated(valid_from, valid_to, doc.zone)
    return Source(
        name=name,
        jurisdiction=jurisdiction,
        from_ms=from_ms,
        to_ms=to_ms,
        purposes={purpose: tuple(line(block, block) for block in blocks) for purpose, blocks in doc.purposes.items()},
        caps=(*(line(cap, _cap(cap)) for cap in doc.caps), *(line(gap, _gap(gap)) for gap in doc.gaps)),
        cooloffs=tuple(line(cooloff, _cooloff(cooloff)) for cooloff in doc.cooloffs),
        windows=tuple(line(window, _window(window)) for window in doc.windows),
        registries=tuple(line(registry, _registry(registry, doc.relationships)) for registry in doc.registries),
        zone=doc.zone,
        relationships=doc.relationships,
    )

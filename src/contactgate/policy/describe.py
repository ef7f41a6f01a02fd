"""Rules in words for people: one row per line of a policy or pack, with where it comes from and how sure it is.

Must never decide anything: what is enforced is what `rules` compiles from the same document.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from contactgate.model.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from contactgate.policy.checks import blocks, overrides
from contactgate.policy.document import (
    BasisDoc,
    CapDoc,
    CoolOffDoc,
    GapDoc,
    OverrideDoc,
    PackDoc,
    PolicyDoc,
    RegistryDoc,
    Relationships,
    Rule,
    RulesDoc,
    WindowDoc,
)
from contactgate.policy.durations import WEEKDAYS, Span


class Row(NamedTuple):
    """One line of a document in words. `enforced` is false for facts that are only shown."""

    section: str
    name: str
    applies_to: str
    says: str
    source: str
    confidence: str
    note: str
    enforced: bool = True


def rows(doc: RulesDoc) -> Iterator[Row]:
    """Every line of a document, in its order."""
    for place, block in blocks(doc):
        purpose = place.removeprefix("purposes.")
        yield _basis(purpose, _dates(block), block, block)
        for where, override in overrides(block):
            yield _basis(purpose, f"{where.replace('.', ' ')}{_dates(block)}", block, override)
    for cap in doc.caps:
        yield _row("cap", cap, _cap(cap))
    for gap in doc.gaps:
        yield _row("gap", gap, f"at least {elapsed(gap.at_least)} between two {gap.counts} contacts{_scope(gap)}")
    for cooloff in doc.cooloffs:
        yield _row("cool-off", cooloff, _cooloff(cooloff))
    for window in doc.windows:
        yield _row("window", window, _window(window))
    for registry in doc.registries:
        yield _row("registry", registry, _registry(registry, doc.relationships))
    if isinstance(doc, PackDoc):
        for fact in doc.facts:
            yield Row(
                section="fact",
                name=fact.topic,
                applies_to="",
                says=fact.text,
                source=fact.source,
                confidence=fact.confidence,
                note="",
                enforced=fact.enforced,
            )


def settings(doc: PolicyDoc) -> Iterator[tuple[str, str]]:
    """The keys of a house policy that are not rules, in words."""
    require = doc.require
    needed = [name for name in ("campaign", "party", "notice", "two_people") if getattr(require, name)]
    yield "packs", ", ".join(doc.packs) or "none"
    yield "approval_ttl", elapsed(doc.approval_ttl)
    yield "dedup_horizon", elapsed(doc.dedup_horizon)
    yield "contact_history", elapsed(doc.contact_history)
    yield "unreported", f"{doc.unreported} an approval that lapsed without an outcome"
    yield "require", ", ".join(needed) or "nothing"
    yield "uncovered", f"{doc.uncovered} a jurisdiction without a chosen pack"
    yield "vulnerable", f"{doc.vulnerable} marketing to vulnerable people"
    yield "clock_skew", elapsed(doc.clock_skew) if doc.clock_skew else "none"
    yield "outcomes_by", "approval and subject" if doc.outcomes_by == "both" else doc.outcomes_by
    for key in ("channels", "controllers", "flags", "data_categories"):
        if getattr(doc, key):
            yield key, ", ".join(getattr(doc, key))
    if doc.default_region:
        yield "default_region", doc.default_region
    if doc.outcomes:
        yield "outcomes", ", ".join(f"{word} = {outcome}" for word, outcome in doc.outcomes.items())


def elapsed(ms: int) -> str:
    """`90000` -> `90 s`; the largest unit that divides it."""
    for size, unit in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"), (SECOND_MS, "s")):
        if ms % size == 0:
            return f"{ms // size} {unit}"
    return f"{ms} ms"


def clock(ms: int) -> str:
    """Milliseconds of a day -> `HH:MM` or `HH:MM:SS`."""
    seconds = ms // SECOND_MS
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
    return text if seconds % 60 == 0 else f"{text}:{seconds % 60:02}"


def _row(section: str, rule: Rule, says: str) -> Row:
    return Row(
        section=section,
        name=rule.name,
        applies_to=_selects(rule),
        says=says,
        source=rule.source or "",
        confidence=rule.confidence or "",
        note=rule.note or "",
    )


def _selects(rule: Rule) -> str:
    parts = [
        ", ".join(rule.channels or []),
        ", ".join(rule.purposes or []),
        ", ".join(rule.jurisdictions or []),
        ", ".join(rule.mode or []),
    ]
    return ("; ".join(part for part in parts if part) or "everything") + _dates(rule)


def _dates(line: BasisDoc | Rule) -> str:
    parts = []
    if line.valid_from:
        parts.append(f"from {line.valid_from}")
    if line.valid_to:
        parts.append(f"to {line.valid_to}")
    return " (" + " ".join(parts) + ")" if parts else ""


def _basis(purpose: str, where: str, block: BasisDoc, line: BasisDoc | OverrideDoc) -> Row:
    says = [(line.consent or block.consent).replace("_", "-")]
    if line.evidence:
        says.append("evidence: " + ", ".join(line.evidence))
    if line.default_period:
        says.append(f"{_span(line.default_period)} when the consent states no period")
    if line.max_period:
        says.append(f"at most {line.max_period} months")
    if line.anniversary == "included":
        says.append("the day of the anniversary included")
    if line.unless:
        says.append("unless " + " or ".join(line.unless) + _relations(line.relationships))
    if line.revokes_all_from:
        says.append(f"from {line.revokes_all_from} an opt-out reaches every purpose")
    source, confidence = line.source or block.source or "", line.confidence or block.confidence or ""
    return Row(
        section="purpose",
        name=purpose,
        applies_to=where.strip() or "everything",
        says="; ".join(says),
        source=source,
        confidence=confidence,
        note=line.note or "",
    )


def _scope(rule: CapDoc | GapDoc | CoolOffDoc) -> str:
    fields = [field for field in rule.scope if field != "subject"]
    lacking = ", all of them when it is not named" if rule.lacking == "any" and fields else ""
    return f", per person and {', '.join(fields)}{lacking}" if fields else ", per person"


def _cap(cap: CapDoc) -> str:
    window = cap.window
    if window.sliding is not None:
        length = f"within {elapsed(window.sliding)}"
    elif window.days is not None:
        length = f"within {window.days} local dates ({window.zone})"
    else:
        starts = f", from {window.week_starts}" if window.week_starts else ""
        length = f"in a calendar {window.calendar} ({window.zone}{starts})"
    return "none at all" if cap.limit == 0 else f"at most {cap.limit} {cap.counts} {length}{_scope(cap)}"


def _cooloff(rule: CoolOffDoc) -> str:
    lasts = rule.lasts
    if lasts.forever:
        length = "forever"
    elif lasts.local:
        first = "that date is day one" if lasts.local.first == "same_day" else "the next date is day one"
        length = f"for {lasts.local.days} local dates, {first} ({lasts.local.zone})"
    else:
        length = f"for {elapsed(lasts.elapsed or 0)}"
    after = " or ".join(rule.outcomes)
    if rule.after:
        after = f"{rule.after.count} of {after} within {elapsed(rule.after.within)}"
    ended = "; a newer consent ends it" if rule.until_consent else ""
    return f"none {length} after {after}{_scope(rule)}{ended}"


def _window(window: WindowDoc) -> str:
    days = "every day" if window.days is None else " ".join(day for day in WEEKDAYS if day in window.days)
    opens, closes = "(" if window.from_exclusive else "[", "]" if window.to_inclusive else ")"
    parts = [f"{days} {opens}{clock(window.opens)}, {clock(window.closes)}{closes}"]
    parts.append("the person's zones" if window.zone == "subject" else window.zone)
    if window.holidays:
        parts.append(f"closed on public holidays of {window.holidays}")
    if not window.consent_lifts:
        parts.append("consent does not lift it")
    return "; ".join(parts)


def _registry(registry: RegistryDoc, relations: Relationships | None) -> str:
    parts = [f"not listed; a copy of at most {_span(registry.max_age)}"]
    if registry.grace:
        parts.append(f"a listing binds after {registry.grace} days")
    if registry.unless:
        asked = [kind for kind in registry.unless if kind != "consent"]
        parts.append("unless " + " or ".join(registry.unless))
        if asked:
            parts[-1] += _relations(registry.relationships or relations)
    if not registry.consumer:
        parts.append("binds businesses too")
    return "; ".join(parts)


def _relations(relations: Relationships | None) -> str:
    if relations is None:
        return ""
    parts = [f"{kind} {_span(span)}" for kind in ("purchase", "inquiry") if (span := getattr(relations, kind))]
    if relations.contract:
        after = relations.contract.after_end
        parts.append(f"contract while it runs and {after} months after" if after else "contract while it runs")
    return " (" + ", ".join(parts) + ")" if parts else ""


def _span(span: Span) -> str:
    return f"{span.days} days" if span.days is not None else f"{span.months} months"

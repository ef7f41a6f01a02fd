"""Checks of a document that need more than one of its lines, and what a pack must keep to beyond a house policy.

Must never stop at the first fault, and never change the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from contactgate.errors import Fault
from contactgate.model.synonyms import CHANNELS, squeezed
from contactgate.policy.document import (
    BasisDoc,
    Confidence,
    CoolOffDoc,
    Dated,
    OverrideDoc,
    PackDoc,
    PolicyDoc,
    RegistryDoc,
    Relationships,
    Rule,
    RulesDoc,
    Sourced,
)
from contactgate.policy.plan import covers
from contactgate.policy.words import nearest

REGISTRIES = (
    "us-ndnc",
    "us-fl-dnc",
    "us-tx-dnc",
    "uk-tps",
    "uk-ctps",
    "fr-bloctel",
    "au-dncr",
    "ca-dncl",
    "sg-dnc",
    "in-ncpr",
)
"""The national lists of SEMANTICS rule 24. A group may have its own list under another name."""


def document_faults(doc: RulesDoc, raw: object) -> list[Fault]:
    """What is wrong between the lines of one document."""
    return [
        *_names_twice(doc),
        *_windows_differ(doc),
        *_registries(doc),
        *_channels(doc, raw),
        *_purposes(doc, raw),
        *_unless(doc, raw),
        *_outcomes(doc),
    ]


def filter_faults(doc: RulesDoc, known: Iterable[str]) -> list[Fault]:
    """Purposes in filters that no configured purpose covers or lies under: a misspelling would silently not apply."""
    purposes = sorted(set(known))
    found = []
    for place, rule in rules(doc):
        for position, purpose in enumerate(rule.purposes or []):
            if not any(covers(p, purpose) or covers(purpose, p) for p in purposes):
                hint = nearest(purpose, purposes) or ": configure it under `purposes`, or correct it"
                message = f"`{purpose}` is no purpose of this policy or its packs{hint}"
                found.append(Fault(f"{place}.purposes[{position}]", message))
    return found


def rules(doc: RulesDoc) -> Iterator[tuple[str, Rule]]:
    """Every named rule with its place."""
    for section in ("caps", "gaps", "cooloffs", "windows", "registries"):
        for position, rule in enumerate(getattr(doc, section)):
            yield f"{section}[{position}]", rule


def blocks(doc: RulesDoc, raw: object = None) -> Iterator[tuple[str, BasisDoc]]:
    """Every purpose's block with its place; `raw` tells whether it was written as a list."""
    given = raw.get("purposes") if isinstance(raw, dict) else None
    for purpose, dated in doc.purposes.items():
        listed = isinstance(given, dict) and isinstance(given.get(purpose), list)
        for position, block in enumerate(dated):
            yield f"purposes.{purpose}[{position}]" if listed else f"purposes.{purpose}", block


def overrides(block: BasisDoc) -> Iterator[tuple[str, OverrideDoc]]:
    """A block's overrides with their place inside it."""
    for channel, override in (block.channels or {}).items():
        yield f"channels.{channel}", override
    for mode, override in (block.mode or {}).items():
        yield f"mode.{mode}", override


def _names_twice(doc: RulesDoc) -> Iterator[Fault]:
    for section in ("caps", "gaps", "cooloffs"):
        first: dict[str, int] = {}
        for position, rule in enumerate(getattr(doc, section)):
            if rule.name in first:
                other = f"{section}[{first[rule.name]}]"
                message = f"`{rule.name}` is also the name of {other}: reasons could not tell them apart"
                yield Fault(f"{section}[{position}].name", message)
            first.setdefault(rule.name, position)


def _outcomes(doc: RulesDoc) -> Iterator[Fault]:
    if isinstance(doc, PolicyDoc):
        first: dict[str, str] = {}
        for word, outcome in doc.outcomes.items():
            other = first.setdefault(squeezed(word), word)
            if doc.outcomes[other] != outcome:
                yield Fault(f"outcomes.{word}", f"`{other}` is the same word, and means something else there")


def _windows_differ(doc: RulesDoc) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for position, window in enumerate(doc.windows):
        other = doc.windows[first.setdefault(window.name, position)]
        for key in ("zone", "consent_lifts"):
            if getattr(window, key) != getattr(other, key):
                yield Fault(
                    f"windows[{position}].{key}",
                    f"windows named `{window.name}` are alternatives and must agree on {key}: use another name",
                )


def _channels(doc: RulesDoc, raw: object) -> Iterator[Fault]:
    """Channels that are neither built in nor declared: a rule for one would silently not apply."""
    declared = [*CHANNELS, *(doc.channels if isinstance(doc, PolicyDoc) else ())]
    used = [
        (f"{place}.channels[{position}]", channel)
        for place, rule in rules(doc)
        for position, channel in enumerate(rule.channels or ())
    ]
    used += [
        (f"{place}.channels.{channel}", channel)
        for place, block in blocks(doc, raw)
        for channel in block.channels or ()
    ]
    for place, channel in used:
        if channel not in declared:
            hint = nearest(channel, declared) or f"; did you mean to declare it at the top: `channels: [{channel}]`?"
            yield Fault(place, f"`{channel}` is not a channel of this policy{hint}")


def _registries(doc: RulesDoc) -> Iterator[Fault]:
    seen: list[RegistryDoc] = []
    for position, registry in enumerate(doc.registries):
        # A house list may have any name; a pack names national ones only. Close ones are told by `warnings`.
        if isinstance(doc, PackDoc) and registry.name not in REGISTRIES:
            yield Fault(f"registries[{position}].name", f"no such registry{nearest(registry.name, REGISTRIES)}")
        if registry in seen:
            yield Fault(f"registries[{position}]", "the same line stands twice: remove one")
        seen.append(registry)


def _purposes(doc: RulesDoc, raw: object) -> Iterator[Fault]:
    at = dict.fromkeys(doc.purposes, 0)
    for place, block in blocks(doc, raw):
        purpose = next(p for p, dated in doc.purposes.items() if any(b is block for b in dated))
        position, at[purpose] = at[purpose], at[purpose] + 1
        for earlier in doc.purposes[purpose][:position]:
            if _overlap(earlier, block):
                yield Fault(place, "its dates overlap those of an earlier block: at any date one block must hold")
                break
        asks_opt_in = block.consent == "opt_in" or any(o.consent == "opt_in" for _, o in overrides(block))
        if block.unless and not asks_opt_in:
            yield Fault(f"{place}.unless", "a relationship can only stand in for an opt_in: remove it")


def _overlap(one: Dated, other: Dated) -> bool:
    return (one.valid_from or date.min) <= (other.valid_to or date.max) and (other.valid_from or date.min) <= (
        one.valid_to or date.max
    )


def _unless(doc: RulesDoc, raw: object) -> Iterator[Fault]:
    for position, registry in enumerate(doc.registries):
        relations = registry.relationships or doc.relationships
        yield from _missing(f"registries[{position}].unless", registry.unless, relations)
    for place, block in blocks(doc, raw):
        yield from _missing(f"{place}.unless", block.unless, block.relationships or doc.relationships)
        for inner, override in overrides(block):
            relations = override.relationships or block.relationships or doc.relationships
            yield from _missing(f"{place}.{inner}.unless", override.unless, relations)


def _missing(place: str, unless: Iterable[str] | None, relations: Relationships | None) -> Iterator[Fault]:
    given = relations or Relationships()
    for kind in unless or ():
        if kind == "relationship" and relations is None:
            yield Fault(place, "say for how long: add `relationships: {purchase: 18mo, inquiry: 3mo}`")
        if kind in ("purchase", "inquiry") and getattr(given, kind) is None:
            yield Fault(place, f"say for how long: add `relationships: {{{kind}: 18mo}}`")


# --- packs ----------------------------------------------------------------------------------------------------------


def pack_faults(doc: PackDoc) -> Iterator[Fault]:
    """What a pack must keep to: every line sourced, and nothing loosened on low confidence."""
    for place, rule in rules(doc):
        yield from _unsourced(place, rule)
        if rule.confidence == "low" and _loosens(rule):
            yield Fault(place, "a line of low confidence must not loosen anything: remove the exception")
    for place, block in blocks(doc):
        yield from _unsourced(place, block)
        yield from _low(place, block, block.consent, block.confidence)
        for inner, override in overrides(block):
            confidence = override.confidence or block.confidence
            yield from _low(f"{place}.{inner}", override, override.consent or block.consent, confidence)


def _unsourced(place: str, line: Sourced) -> Iterator[Fault]:
    for key in ("source", "confidence"):
        if getattr(line, key) is None:
            yield Fault(f"{place}.{key}", "a pack states it on every line")


def _low(place: str, block: BasisDoc | OverrideDoc, consent: str, confidence: Confidence | None) -> Iterator[Fault]:
    # Against an unknown purpose, which blocks, everything but opt_in is looser.
    if confidence == "low" and (consent != "opt_in" or block.unless):
        yield Fault(place, "a line of low confidence must not loosen anything: use opt_in without exception")


def _loosens(rule: Rule) -> bool:
    if isinstance(rule, RegistryDoc):
        return bool(rule.unless or rule.grace)
    return isinstance(rule, CoolOffDoc) and rule.after is not None and rule.after.count > 1

"""The compiled policy: chooses, for one kind of request at one instant, every rule that binds it.

Strictest wins because nothing is merged: the house policy's rules and those of every chosen pack that applies stand
side by side in the plan and all must hold. Must never read a document, look at a clock or keep more than a bounded
number of plans.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from contactgate.model.facts import Outcome
from contactgate.model.request import Mode
from contactgate.model.synonyms import CATEGORIES, CHANNELS, FLAGS, squeezed
from contactgate.policy.document import PolicyDoc
from contactgate.policy.packs import Pack
from contactgate.policy.plan import Cap, CoolOff, Limits, Plan, RegistryRule, Requirements, WindowRule, Words, covers
from contactgate.policy.rules import Line, Source

MAX_PLANS = 4_096  # a hostile stream of purposes must not grow memory; the whole cache is emptied then

_Key = tuple[str, str, str, tuple[str, ...], int]


class CompiledPolicy:
    """One valid policy. Equal documents, packs and data versions have equal hashes.

    `outcomes_kept_forever`: outcomes that a `for: forever` cool-off looks for, however long ago.
    """

    __slots__ = (
        "_block_vulnerable",
        "_boundaries",
        "_covered",
        "_plans",
        "_refuse_uncovered",
        "_sources",
        "document",
        "hash",
        "limits",
        "name",
        "outcomes_kept_forever",
        "packs",
        "purposes",
        "words",
    )

    def __init__(self, document: PolicyDoc, house: Source, packs: tuple[Pack, ...], policy_hash: str) -> None:
        self.document = document
        self.name = document.policy
        self.hash = policy_hash
        self.packs = packs
        self._sources = (house, *(pack.source for pack in packs))
        self.purposes = frozenset(purpose for source in self._sources for purpose in source.purposes)
        self.limits = _limits(document, self._sources)
        self.outcomes_kept_forever: frozenset[Outcome] = frozenset(
            outcome
            for source in self._sources
            for line in source.cooloffs
            if line.value.kind == "forever"
            for outcome in line.value.outcomes
        )
        self.words = _words(document, packs, self.purposes)
        self._block_vulnerable = document.vulnerable == "block"
        self._refuse_uncovered = document.uncovered == "block"
        self._covered = frozenset(pack.document.jurisdiction for pack in packs)
        self._boundaries = sorted({at for source in self._sources for at in source.boundaries()})
        self._plans: dict[_Key, Plan] = {}

    def plan(self, purpose: str, channel: str, mode: Mode, jurisdictions: tuple[str, ...], now_ms: int) -> Plan:
        """Every rule for such a request. `jurisdictions` sorted, countries of subdivisions included."""
        epoch = bisect_right(self._boundaries, now_ms) if self._boundaries else 0
        key = (purpose, channel, mode, jurisdictions, epoch)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._make(purpose, channel, mode, jurisdictions, now_ms)
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def _make(self, purpose: str, channel: str, mode: Mode, jurisdictions: tuple[str, ...], now_ms: int) -> Plan:
        sources = [source for source in self._sources if source.applies(jurisdictions, now_ms)]
        caps: list[Cap] = []
        cooloffs: list[CoolOff] = []
        windows: list[WindowRule] = []
        registries: list[RegistryRule] = []
        for source in sources:
            about = (channel, purpose, mode, jurisdictions, now_ms)
            caps += [line.value for line in source.caps if line.applies(*about)]
            cooloffs += [line.value for line in source.cooloffs if line.applies(*about)]
            windows += _alternatives(line for line in source.windows if line.applies(*about))
            registries += [line.value for line in source.registries if line.applies(*about)]
        bases = tuple(basis for source in sources for basis in source.bases(purpose, channel, mode, now_ms))
        return Plan(
            bases=bases,
            marketing=covers("marketing", purpose),
            vulnerable_blocks=self._block_vulnerable,
            caps=tuple(caps),
            cooloffs=tuple(cooloffs),
            windows=tuple(windows),
            registries=tuple(dict.fromkeys(registries)),
            needs_zone=_needs_zone(caps, cooloffs, windows),
            uncovered=self._uncovered(jurisdictions) if self._refuse_uncovered else (),
            until_ms=self._until(jurisdictions, now_ms),
        )

    def _until(self, jurisdictions: tuple[str, ...], now_ms: int) -> int | None:
        ahead = [
            at
            for source in self._sources
            if source.jurisdiction is None or source.jurisdiction in jurisdictions
            for at in source.boundaries()
            if at > now_ms
        ]
        return min(ahead, default=None)

    def _uncovered(self, jurisdictions: tuple[str, ...]) -> tuple[str, ...]:
        """A subdivision is covered by its own pack or its country's; a request of no known jurisdiction by none."""
        if not jurisdictions:
            return ("unknown",)
        return tuple(
            code for code in jurisdictions if code not in self._covered and code.partition("-")[0] not in self._covered
        )


def _alternatives(lines: Iterable[Line[WindowRule]]) -> list[WindowRule]:
    """Windows of one name in one source become one rule with several spans."""
    named: dict[str, WindowRule] = {}
    for line in lines:
        rule = line.value
        known = named.get(rule.name)
        spans = rule.spans if known is None else (*known.spans, *rule.spans)
        named[rule.name] = WindowRule(rule.name, spans, rule.zone, rule.consent_lifts)
    return list(named.values())


def _needs_zone(caps: list[Cap], cooloffs: list[CoolOff], windows: list[WindowRule]) -> bool:
    return (
        any(window.zone is None for window in windows)
        or any(cap.window.kind != "sliding" and cap.window.zone == "subject" for cap in caps)
        or any(cooloff.kind == "days" and cooloff.zone == "subject" for cooloff in cooloffs)
    )


def _words(document: PolicyDoc, packs: tuple[Pack, ...], purposes: frozenset[str]) -> Words:
    named = {
        purpose
        for doc in (document, *(pack.document for pack in packs))
        for section in (doc.caps, doc.gaps, doc.cooloffs, doc.windows, doc.registries)
        for rule in section
        for purpose in rule.purposes or ()
    }
    return Words(
        channels=frozenset((*CHANNELS, *document.channels)),
        purposes=purposes,
        named=purposes | named,
        controllers=frozenset(document.controllers),
        flags=FLAGS.union(document.flags),
        categories=CATEGORIES.union(document.data_categories),
        outcomes={squeezed(word): outcome for word, outcome in document.outcomes.items()},
    )


def _limits(document: PolicyDoc, sources: tuple[Source, ...]) -> Limits:
    # As long as a request_id may come again, what became of its approval is kept.
    needed = [document.contact_history, document.dedup_horizon + document.approval_ttl]
    for source in sources:
        needed += [line.value.window.looks_back_ms for line in source.caps]
        needed += [line.value.looks_back_ms for line in source.cooloffs]
    require = document.require
    return Limits(
        approval_ttl_ms=document.approval_ttl,
        dedup_horizon_ms=document.dedup_horizon,
        contact_history_ms=max(needed),
        unreported_counts=document.unreported == "count",
        outcomes_by_subject=document.outcomes_by != "approval",
        clock_skew_ms=document.clock_skew,
        requirements=Requirements(require.campaign, require.party, require.notice, require.two_people),
        default_region=document.default_region,
    )

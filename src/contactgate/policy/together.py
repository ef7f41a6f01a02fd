"""Several policies that hold at the same time: what they allow together (SEMANTICS rule 42, equal times).

Two policies stamped alike, or an older one that arrived later and so near that a slow clock may be the reason: nobody
can say which was meant, so a request must satisfy both until a newer one is published. Nothing is merged; the rules of
all of them stand side by side in one plan, as those of packs do.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

from contactgate.model.facts import Outcome
from contactgate.model.request import Mode
from contactgate.policy.plan import Limits, Plan, Requirements, Words

_MAX_PLANS = 4_096


class _Policy(Protocol):
    """What is needed of each."""

    @property
    def hash(self) -> str: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def outcomes_kept_forever(self) -> frozenset[Outcome]: ...
    @property
    def words(self) -> Words: ...
    def plan(self, purpose: str, channel: str, mode: Mode, jurisdictions: tuple[str, ...], now_ms: int) -> Plan: ...


class Together:
    """At least two policies as one. Its hash is derived from theirs, whatever their order."""

    __slots__ = ("_plans", "_policies", "hash", "limits", "outcomes_kept_forever", "words")

    def __init__(self, policies: Sequence[_Policy]) -> None:
        self._policies = tuple(sorted(policies, key=lambda policy: policy.hash))
        self.hash = "sha256:" + sha256(" ".join(each.hash for each in self._policies).encode()).hexdigest()
        self.limits = _limits([each.limits for each in self._policies])
        self.outcomes_kept_forever = frozenset(
            outcome for each in self._policies for outcome in each.outcomes_kept_forever
        )
        self.words = _words([each.words for each in self._policies])
        self._plans: dict[tuple[int, ...], tuple[tuple[Plan, ...], Plan]] = {}

    def plan(self, purpose: str, channel: str, mode: Mode, jurisdictions: tuple[str, ...], now_ms: int) -> Plan:
        """Every rule of each of them. Equal plans of theirs give the very same plan."""
        plans = tuple(each.plan(purpose, channel, mode, jurisdictions, now_ms) for each in self._policies)
        key = tuple(map(id, plans))
        known = self._plans.get(key)
        if known is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            known = self._plans[key] = (plans, _plan(plans))  # they are kept, so that an id stays theirs
        return known[1]


def _plan(plans: tuple[Plan, ...]) -> Plan:
    bases = tuple(dict.fromkeys(basis for plan in plans for basis in plan.bases))
    return Plan(
        bases=bases if all(plan.bases for plan in plans) else (),
        marketing=any(plan.marketing for plan in plans),
        vulnerable_blocks=any(plan.vulnerable_blocks for plan in plans),
        caps=tuple(dict.fromkeys(cap for plan in plans for cap in plan.caps)),
        cooloffs=tuple(dict.fromkeys(cooloff for plan in plans for cooloff in plan.cooloffs)),
        windows=tuple(dict.fromkeys(window for plan in plans for window in plan.windows)),
        registries=tuple(dict.fromkeys(registry for plan in plans for registry in plan.registries)),
        needs_zone=any(plan.needs_zone for plan in plans),
        uncovered=tuple(sorted({code for plan in plans for code in plan.uncovered})),
        until_ms=min((plan.until_ms for plan in plans if plan.until_ms is not None), default=None),
    )


def _limits(limits: Sequence[Limits]) -> Limits:
    needed, regions = [each.requirements for each in limits], {each.default_region for each in limits}
    return Limits(
        approval_ttl_ms=min(each.approval_ttl_ms for each in limits),
        dedup_horizon_ms=max(each.dedup_horizon_ms for each in limits),
        contact_history_ms=max(each.contact_history_ms for each in limits),
        unreported_counts=any(each.unreported_counts for each in limits),
        clock_skew_ms=max(each.clock_skew_ms for each in limits),
        requirements=Requirements(
            campaign=any(each.campaign for each in needed),
            party=any(each.party for each in needed),
            notice=any(each.notice for each in needed),
            two_people=any(each.two_people for each in needed),
        ),
        default_region=next(iter(regions)) if len(regions) == 1 else None,
    )


def _words(words: Sequence[Words]) -> Words:
    return Words(
        channels=frozenset.intersection(*(each.channels for each in words)),
        purposes=frozenset.union(*(each.purposes for each in words)),
        named=frozenset.union(*(each.named for each in words)),
        controllers=frozenset.union(*(each.controllers for each in words)),
        flags=frozenset.intersection(*(each.flags for each in words)),
        categories=frozenset.intersection(*(each.categories for each in words)),
    )

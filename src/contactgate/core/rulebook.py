"""The rules of one kind of request, made once from the plan of the policy and kept as long as that is in force."""

from __future__ import annotations

from contactgate.core.calling import PreferredRule, WindowCheck, ZoneRule
from contactgate.core.caps import CapRule, CoolOffRule
from contactgate.core.consent import ConsentRule, ErasedRule
from contactgate.core.registries import FreshRule, ListedRule
from contactgate.core.rule import NEVER, Context, Rule
from contactgate.core.standing import (
    CampaignRule,
    FlagsRule,
    PartyRule,
    PauseRule,
    PurposeRule,
    RequestRule,
    SuppressionRule,
)
from contactgate.policy.plan import Plan

_MAX_KINDS = 8_192


class Rulebook:
    """Every rule that applies to one kind of request from `from_ms` until `until_ms` (exclusive)."""

    __slots__ = (
        "asks",
        "asks_most",
        "bounds",
        "bounds_most",
        "from_ms",
        "recalls",
        "rules",
        "standing",
        "until_ms",
    )

    def __init__(self, plan: Plan, from_ms: int) -> None:
        self.rules = _rules(plan)
        self.recalls = tuple(rule for rule in self.rules if rule.recalls)
        self.standing = tuple(rule for rule in self.rules if rule.standing)
        # The same questions, ready to be asked one after the other; fewer of them about a person like most others.
        asked = [rule for rule in self.rules if not rule.standing]
        self.asks = tuple(rule.passes_from for rule in asked)
        self.asks_most = tuple(rule.passes_from for rule in asked if not rule.personal)
        self.bounds = tuple(rule.holds_until for rule in asked if rule.bounds)
        self.bounds_most = tuple(rule.holds_until for rule in asked if rule.bounds and not rule.personal)
        self.from_ms = from_ms
        self.until_ms = NEVER if plan.until_ms is None else plan.until_ms


def rulebook_at(ctx: Context, t: int) -> Rulebook:
    """The rules for the request of the context at an instant. Raises what the policy raises."""
    request = ctx.request
    memo = ctx.world.memo
    key = (request.purpose, request.channel, request.mode, ctx.jurisdictions)
    book: Rulebook | None = memo.get(key)
    if book is not None and book.from_ms <= t < book.until_ms:
        return book
    plan = ctx.policy.plan(request.purpose, request.channel, request.mode, ctx.jurisdictions, t)
    made: tuple[Plan, Rulebook] | None = memo.get((key, plan.until_ms))
    if made is not None and made[0] is plan:
        book = made[1]
        book.from_ms = min(book.from_ms, t)
    else:
        if len(memo) > _MAX_KINDS:
            memo.clear()
        book = Rulebook(plan, t)
        memo[key, plan.until_ms] = (plan, book)
    memo[key] = book
    return book


def _rules(plan: Plan) -> tuple[Rule, ...]:
    """In the order in which reasons are told. What a recall names first comes first among those that recall."""
    bases = plan.bases
    rules: list[Rule] = [RequestRule()]
    if not bases or plan.uncovered:
        rules.append(PurposeRule(plan))
    rules.append(ErasedRule(bases))
    rules += [ConsentRule(basis) for basis in bases if basis.consent != "none"]
    rules += [SuppressionRule()]
    rules += [ListedRule(registry, bases) for registry in plan.registries]
    rules += [FreshRule(registry, bases) for registry in plan.registries]
    rules += [PauseRule(), PartyRule(), CampaignRule(), FlagsRule(plan)]
    rules += [CapRule(cap) for cap in plan.caps]
    rules += [CoolOffRule(cooloff, bases) for cooloff in plan.cooloffs]
    rules += [ZoneRule(any(window.zone is None for window in plan.windows))]
    rules += [WindowCheck(window, bases) for window in plan.windows]
    rules += [PreferredRule()]
    return tuple(rules)

"""The rules of one kind of request, made once from the plan of the policy and kept as long as that is in force.

What requester, campaign and pauses say of a kind is remembered as well. Must never remember anything about a person.
"""

from __future__ import annotations

from contactgate.core.judge import Question, ask, failures
from contactgate.core.rule import CONTACTS, NEVER, PERSONAL, UNPLACED, WITHDRAWALS, Context, Kind, Rule, Standing
from contactgate.core.rules.calling import PreferredRule, WindowCheck, ZoneRule
from contactgate.core.rules.caps import CapRule, CoolOffRule
from contactgate.core.rules.consent import ConsentRule, ErasedRule
from contactgate.core.rules.parties import CampaignRule, PartyRule, PauseRule
from contactgate.core.rules.registries import FreshRule, ListedRule
from contactgate.core.rules.request import FlagsRule, PlaceRule, PurposeRule, RequestRule, SuppressionRule, WordsRule
from contactgate.model.facts import Reason
from contactgate.model.places import unknown
from contactgate.policy.plan import Plan

_MAX_BOOKS = 8_192
_MAX_KINDS = 65_536


class _StandingRules(Rule):
    """The rules that only requester, campaign, pauses and time decide, asked as one and remembered.

    Many requests are of one kind. The answer for a kind changes only when the world does (`World.kinds` goes then) and
    at the instants that parties, campaigns and pauses name.
    """

    name = "standing"
    bounds = True

    def __init__(self, parts: tuple[Rule, ...]) -> None:
        self._parts = parts
        self._questions = tuple(part.sure_until for part in parts)

    def sure_until(self, ctx: Context, t: int) -> int:
        kind = ctx.kind
        if kind is not None:
            known = kind.standing
            if known.since <= t < known.till:
                return max(known.sure, t)
        return max(self._answer(ctx, t).sure, t)

    def passes_from(self, ctx: Context, t: int) -> int:
        while True:
            answer = self._answer(ctx, t)
            if answer.sure > t:
                return t
            if answer.first >= NEVER:
                return NEVER
            t = answer.first

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        return self._answer(ctx, t).reasons

    def _answer(self, ctx: Context, t: int) -> Standing:
        """What the parts say together, remembered with the kind."""
        kind = ctx.kind
        if kind is not None and kind.standing.since <= t < kind.standing.till:
            return kind.standing
        answers = ask(self._questions, ctx, t)
        reasons, failing = failures(self._parts, answers, ctx, t)
        since, till = -NEVER, NEVER
        for at in _turns(ctx):
            if at <= t:
                since = max(since, at)
            else:
                till = min(till, at)
        first = max((first for _, first in failing), default=t)
        # Failing is remembered for every instant of the stretch, earlier ones too: the clock of another partition or a
        # line of a file may lie before this one, and "surely until now" would let it pass.
        standing = Standing(since, till, -NEVER if failing else min(answers), first, reasons)
        if kind is not None and not any(reason.rule.startswith("rule.error:") for reason in reasons):
            kind.standing = standing
        return standing


def _turns(ctx: Context) -> list[int]:
    """Every instant at which time alone may change what the standing rules say of the request."""
    world, request = ctx.world, ctx.request
    named: list[int | None] = [pause.until_ms for pause in world.pauses]
    party = world.parties.get(request.requester)
    for agreement in () if party is None else party.agreements:
        named += (agreement.valid_from_ms, agreement.valid_until_ms)
    campaign = None if request.campaign is None else world.campaigns.get(request.campaign)
    if campaign is not None:
        named += (campaign.valid_from_ms, campaign.valid_until_ms)
    return [at for at in named if at is not None]


class Asked:
    """The rules to ask about one sort of person, in the order in which reasons are given.

    `questions` are their `sure_until`, ready to be asked one after the other; `bounds` are the places of those that
    bound an approval.
    """

    __slots__ = ("bounds", "questions", "rules")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.questions: tuple[Question, ...] = tuple(rule.sure_until for rule in rules)
        self.bounds = tuple(at for at, rule in enumerate(rules) if rule.bounds)


class Rulebook:
    """Every rule that applies to one kind of request from `from_ms` until `until_ms` (exclusive)."""

    __slots__ = ("_asked", "_together", "from_ms", "jurisdictions", "recalls", "rules", "until_ms")

    def __init__(self, plan: Plan, from_ms: int, jurisdictions: tuple[str, ...] = ()) -> None:
        self.jurisdictions = jurisdictions
        self.rules = _rules(plan, jurisdictions)
        self.recalls = Asked(tuple(rule for rule in self.rules if rule.recalls))
        self.from_ms = from_ms
        self.until_ms = NEVER if plan.until_ms is None else plan.until_ms
        self._asked: list[Asked | None] = [None] * (CONTACTS + WITHDRAWALS + PERSONAL + UNPLACED + 1)
        standing = tuple(rule for rule in self.rules if rule.standing)
        self._together = tuple(
            _StandingRules(standing) if rule is standing[0] else rule
            for rule in self.rules
            if not rule.standing or rule is standing[0]
        )

    def asked(self, ctx: Context) -> Asked:
        """What must be asked about the person of the context, of whom little or much is known."""
        state, profile = ctx.state, ctx.profile
        facts = CONTACTS if state.contacts else 0
        if state.withdrawals:
            facts += WITHDRAWALS
        strange = unknown(profile.jurisdictions)
        if profile.flags or profile.marks or profile.erased_ms or profile.preferred or strange:
            facts += PERSONAL
        if ctx.zones is None:
            facts += UNPLACED
        asked = self._asked[facts]
        if asked is None:
            asked = Asked(tuple(rule for rule in self._together if not rule.about or rule.about & facts))
            self._asked[facts] = asked
        return asked


def kind_at(ctx: Context, t: int) -> Kind:
    """The kind of the request of the context, its rules those at an instant. Raises what the policy raises."""
    request = ctx.request
    kinds = ctx.world.kinds
    key = (
        request.requester,
        request.controller,
        request.campaign,
        request.purpose,
        request.channel,
        request.categories,
        request.mode,
        ctx.profile.jurisdictions,
        request.number_jurisdictions,
        request.jurisdictions,
    )
    kind: Kind | None = kinds.get(key)
    if kind is None:
        kind = Kind(rulebook_at(ctx, t))
        if len(kinds) >= _MAX_KINDS:
            kinds.clear()
        kinds[key] = kind
    elif not kind.book.from_ms <= t < kind.book.until_ms:
        kind.book = rulebook_at(ctx, t)
    ctx.kind = kind
    return kind


def rulebook_at(ctx: Context, t: int) -> Rulebook:
    """The rules for the request of the context at an instant. Raises what the policy raises."""
    request, jurisdictions = ctx.request, ctx.jurisdictions
    memo = ctx.world.memo
    key = (request.purpose, request.channel, request.mode, jurisdictions)
    book: Rulebook | None = memo.get(key)
    if book is not None and book.from_ms <= t < book.until_ms:
        return book
    plan = ctx.policy.plan(request.purpose, request.channel, request.mode, jurisdictions, t)
    made: tuple[Plan, Rulebook] | None = memo.get((key, plan.until_ms))
    if made is not None and made[0] is plan:
        book = made[1]
        book.from_ms = min(book.from_ms, t)
    else:
        if len(memo) > _MAX_BOOKS:
            memo.clear()
        book = Rulebook(plan, t, jurisdictions)
        memo[key, plan.until_ms] = (plan, book)
    memo[key] = book
    return book


def _rules(plan: Plan, jurisdictions: tuple[str, ...]) -> tuple[Rule, ...]:
    """In the order in which reasons are given. What a recall names first comes first among those that recall."""
    bases = plan.bases
    rules: list[Rule] = [RequestRule()]
    if not bases or plan.uncovered:
        rules.append(PurposeRule(plan))
    if not plan.uncovered:
        rules.append(PlaceRule())
    rules.append(ErasedRule(bases))
    rules += [ConsentRule(basis) for basis in bases if basis.consent != "none"]
    rules += [SuppressionRule()]
    rules += [ListedRule(registry, bases) for registry in plan.registries]
    rules += [FreshRule(registry, bases) for registry in plan.registries]
    rules += [WordsRule(), PauseRule(), PartyRule(), CampaignRule(), FlagsRule(plan)]
    rules += [CapRule(cap) for cap in plan.caps]
    rules += [CoolOffRule(cooloff, bases) for cooloff in plan.cooloffs]
    rules += [ZoneRule(any(window.zone is None for window in plan.windows))]
    rules += [WindowCheck(window, bases, jurisdictions) for window in plan.windows]
    rules += [PreferredRule()]
    return tuple(rules)

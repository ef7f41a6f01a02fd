"""Why a request passes or blocks: every rule in words, the facts it used and the events they came from, until when.

Asks the very rules that decide, at the instant given, and changes nothing. Must never contain an address: facts name
events, requests and instants only.
"""

from __future__ import annotations

from dataclasses import dataclass

from contactgate.core.decide import prune
from contactgate.core.hearing import heard
from contactgate.core.judge import ask, failures
from contactgate.core.next_eligible import next_eligible
from contactgate.core.rule import NEVER, Context, Rule, categories_of, context, until
from contactgate.core.rulebook import Rulebook, kind_at
from contactgate.core.world import World
from contactgate.model.facts import Contact, SubjectState
from contactgate.model.instants import instant
from contactgate.model.request import Request
from contactgate.model.synonyms import shown


@dataclass(frozen=True, slots=True)
class RuleExplained:
    """One rule: whether it holds, why, from which facts, and the instant at which that changes by itself."""

    rule: str  # the code if it fails (`cap.daily`), else the rule's own name
    holds: bool
    words: str
    facts: tuple[str, ...]
    until_ms: int | None  # holds: until then; fails: passes from then on; None: forever, or never


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer: what was asked, the rules in the order in which reasons are given, and the outcome."""

    request_id: str
    asked: str  # who wants to contact, for whom, for what, how
    at_ms: int
    passes: bool
    next_eligible_ms: int | None
    assumes: tuple[str, ...]  # what `next_eligible_ms` supposes, as decisions name it
    categories: tuple[str, ...]  # the data categories judged, said by the request or not
    policy: str | None
    jurisdictions: tuple[str, ...]
    zones: tuple[str, ...] | None  # None: unknown
    rules: tuple[RuleExplained, ...]
    notes: tuple[str, ...]  # what is apart from the rules: an earlier decision on the same request


def explain(request: Request, state: SubjectState, world: World, now_ms: int) -> Explanation:
    """The decision on a request at an instant, as a tree in words. A rule that raises is shown as failing."""
    policy = world.policy
    question = f"{request.requester} for {request.controller}: {request.purpose} by {request.channel}"
    if policy is None:
        missing = RuleExplained("policy.unavailable", False, "no policy is in force", (), None)
        return _closed(request, world, question, now_ms, missing, ())
    state = heard(prune(state, policy, now_ms), policy)
    notes = tuple(_earlier(each) for each in state.contacts if each.request_id == request.request_id)
    try:
        ctx = context(request, state, world, policy)
        book: Rulebook = kind_at(ctx, now_ms).book
    except Exception:  # noqa: BLE001  a policy that fails blocks, and that is the explanation
        broken = RuleExplained("rule.error:policy", False, "the rules could not be chosen, and so it blocks", (), None)
        return _closed(request, world, question, now_ms, broken, notes)
    told = tuple(each for rule in book.rules for each in _rule(rule, ctx, now_ms))
    passes = all(each.holds for each in told)
    asked = book.asked(ctx)
    answers = ask(asked.questions, ctx, now_ms)
    _, failing = failures(asked.rules, answers, ctx, now_ms)
    first, assumes = next_eligible(ctx, book, asked.rules, answers, failing, now_ms) if failing else (None, ())
    return Explanation(
        request_id=request.request_id,
        asked=question,
        at_ms=now_ms,
        passes=passes,
        next_eligible_ms=first,
        assumes=assumes,
        categories=ctx.categories,
        policy=policy.hash,
        jurisdictions=ctx.jurisdictions,
        zones=None if ctx.zones is None else tuple(zone.name for zone in ctx.zones),
        rules=told,
        notes=notes,
    )


def _closed(
    request: Request, world: World, question: str, now_ms: int, why: RuleExplained, notes: tuple[str, ...]
) -> Explanation:
    """The answer where no rules could be chosen: blocked for one reason, which time does not end."""
    return Explanation(
        request_id=request.request_id,
        asked=question,
        at_ms=now_ms,
        passes=False,
        next_eligible_ms=None,
        assumes=(),
        categories=categories_of(request, world),
        policy=None if world.policy is None else world.policy.hash,
        jurisdictions=(),
        zones=None,
        rules=(why,),
        notes=notes,
    )


def render(explanation: Explanation) -> str:
    """The explanation as plain text, one rule after the other, its facts below it."""
    if explanation.passes:
        verdict = "passes"
    elif explanation.next_eligible_ms is None:
        verdict = "is blocked, and would not pass as long as nothing else happens"
    else:
        verdict = f"is blocked, and would pass from {instant(explanation.next_eligible_ms)} if nothing else happens"
        if explanation.assumes:
            verdict += f" and {', '.join(explanation.assumes)} goes on being refreshed"
    zones = "not known" if explanation.zones is None else ", ".join(explanation.zones)
    lines = [
        f"request {explanation.request_id} {verdict}",
        f"  asked          {explanation.asked}",
        f"  categories     {', '.join(map(shown, explanation.categories))}",
        f"  at             {instant(explanation.at_ms)}",
        f"  policy         {explanation.policy or 'none'}",
        f"  jurisdictions  {', '.join(explanation.jurisdictions) or 'none known'}",
        f"  time zones     {zones}",
        *(f"  note           {note}" for note in explanation.notes),
    ]
    for each in explanation.rules:
        lines.append(f"  [{'holds' if each.holds else 'FAILS'}] {each.rule}: {each.words}{_when(each)}")
        lines += [f"            {fact}" for fact in each.facts]
    return "\n".join(lines) + "\n"


def _rule(rule: Rule, ctx: Context, now_ms: int) -> list[RuleExplained]:
    reasons, _ = failures((rule,), ask((rule.sure_until,), ctx, now_ms), ctx, now_ms)
    try:
        facts = rule.facts(ctx, now_ms)
        if not reasons:
            words, end = rule.holds_because(ctx, now_ms), rule.holds_until(ctx, now_ms)
            return [RuleExplained(rule.name, True, words, facts, until(end) if end > now_ms else None)]
    except Exception:  # noqa: BLE001  what decides is `failing`; the words about it may be missing
        facts = ("the facts of this rule could not be read",)
        if not reasons:
            return [RuleExplained(rule.name, True, "holds", facts, None)]
    return [
        RuleExplained(reason.rule, False, reason.detail, () if at else facts, reason.until_ms)
        for at, reason in enumerate(reasons)
    ]


def _when(each: RuleExplained) -> str:
    if each.until_ms is None or each.until_ms >= NEVER:
        return "" if each.holds else " (never passes by itself)"
    return f" (until {instant(each.until_ms)})" if each.holds else f" (passes from {instant(each.until_ms)})"


def _earlier(contact: Contact) -> str:
    """What is known of an approval of the same request: asked again, it decides the answer (SEMANTICS rule 47)."""
    told = f"this request was approved {instant(contact.time_ms)}, valid until {instant(contact.valid_until_ms)}"
    if contact.recalled is not None:
        return f"{told}, and recalled ({contact.recalled})"
    if contact.outcome is not None:
        return f"{told}; its outcome is {contact.outcome}"
    return f"{told}; what was reported of it nobody understands" if contact.unclear else told

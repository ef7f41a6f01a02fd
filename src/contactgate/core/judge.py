"""Asks rules and says why those that fail do.

INVARIANT (a broken rule blocks): a rule that raises blocks, and the others are still reported.

Must never let an exception of a rule out, nor let one pass that could not be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress

from contactgate.core.rule import NEVER, Context, Rule, until
from contactgate.model.facts import Reason

Question = Callable[[Context, int], int]
"""`sure_until` of a rule."""

_RAISED = -NEVER


def ask(questions: Sequence[Question], ctx: Context, t: int) -> list[int]:
    """Until when each rule certainly holds; not after t if it fails or cannot be asked."""
    try:
        return [question(ctx, t) for question in questions]
    except Exception:  # noqa: BLE001  which of them it was is found out one by one
        return [_ask(question, ctx, t) for question in questions]


def _ask(question: Question, ctx: Context, t: int) -> int:
    try:
        return question(ctx, t)
    except Exception:  # noqa: BLE001  a rule that fails blocks, and the others are still reported
        return _RAISED


def failures(
    rules: Sequence[Rule], answers: Sequence[int], ctx: Context, t: int
) -> tuple[tuple[Reason, ...], list[tuple[Rule, int]]]:
    """The reasons of every rule that does not hold, each code once, and the rules with when each passes first."""
    told: tuple[Reason, ...] = ()
    failing = []
    # Few of many fail: they are picked out by what runs in C.
    for rule, answer in compress(zip(rules, answers, strict=True), map(t.__ge__, answers)):
        try:
            if answer == _RAISED:
                raise AssertionError("a rule that cannot be asked cannot say why, either")
            first = rule.passes_from(ctx, t)
            reasons = rule.reasons(ctx, t, first)
            if first == t or not reasons:
                raise AssertionError("a rule that fails passes later and says why")
        except Exception:  # noqa: BLE001  a rule that fails blocks, and the others are still reported
            first, reasons = NEVER, (error(rule.name),)
        failing.append((rule, first))
        told = told + reasons if told else reasons
    return (told if len(told) < 2 else _each_once(told)), failing


def _each_once(told: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """Of the same code the reason that lasts longest, at the place of the first."""
    found: dict[str, Reason] = {}
    for reason in told:
        known = found.setdefault(reason.rule, reason)
        if known is not reason and _later(reason, known):
            found[reason.rule] = reason
    return told if len(found) == len(told) else tuple(found.values())


def _later(one: Reason, other: Reason) -> bool:
    """Whether a reason of the same code lasts longer."""
    return (NEVER if one.until_ms is None else one.until_ms) > (NEVER if other.until_ms is None else other.until_ms)


def error(name: str) -> Reason:
    """The reason of a rule that could not be evaluated."""
    return Reason(f"rule.error:{name}", "the rule could not be evaluated, and so it blocks", until(NEVER))

"""The earliest instant at which a request would pass if nothing else happened: a fixpoint over all rules.

Each rule answers alone; the latest answer is asked again until no rule moves it. Where another plan applies from some
instant on (a dated block begins or ends), the search goes on under that plan. Exact to the millisecond.

What is renewed all the time is supposed to be renewed: a list that is fresh now is not in the way later, and the answer
says that it was supposed (SEMANTICS rule 51).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Final

from contactgate.core.rule import NEVER, Context, Rule
from contactgate.core.rulebook import Rulebook, rulebook_at
from contactgate.core.rules.calling import HORIZON_MS

_NOT_IN_SIGHT: Final[tuple[None, tuple[str, ...]]] = (None, ())


class _Known:
    """A rule, and the stretch of time in which it is known to pass: from <= t < until."""

    __slots__ = ("passes_from", "since", "until")

    def __init__(self, rule: Rule, since: int, until: int) -> None:
        self.passes_from = rule.passes_from
        self.since = since
        self.until = until


def next_eligible(
    ctx: Context,
    book: Rulebook,
    rules: Sequence[Rule],
    answers: Sequence[int],
    failing: list[tuple[Rule, int]],
    now_ms: int,
) -> tuple[int | None, tuple[str, ...]]:
    """The first instant at which every rule passes, and what that supposes, sorted; None if there is none in sight.

    `book` is in force now; `answers` are until when its `rules` certainly hold; `failing` are those that do not, at
    least one, with when each passes alone. A rule that raises never passes. Openings are looked for as far ahead as
    `core.time.hours` looks, counted from when only hours are in the way.
    """
    _, latest = failing[0]
    soonest = latest
    for _, first in failing:
        if first > latest:
            latest = first
        elif first < soonest:
            soonest = first
    if latest >= NEVER:
        if book.until_ms >= NEVER:
            return _NOT_IN_SIGHT
        first = NEVER
    elif soonest == latest < min(compress(answers, map(now_ms.__lt__, answers)), default=NEVER):
        first = latest  # all that fail pass there, and all others certainly still hold
        if first < book.until_ms:
            return first, ()
    else:
        known = [(rule, _Known(rule, first, first + 1)) for rule, first in failing]
        known += [
            (rule, _Known(rule, now_ms, answer))
            for rule, answer in zip(rules, answers, strict=True)
            if now_ms < answer < NEVER and not (rule.assumes and rule.supposed(ctx, now_ms))
        ]
        first = _passes_from(known, ctx, latest)
    try:
        while first >= book.until_ms:
            t = book.until_ms
            if t >= NEVER:
                return _NOT_IN_SIGHT
            book = rulebook_at(ctx, t)
            rules = book.asked(ctx).rules
            asked = [rule for rule in rules if not (rule.assumes and rule.supposed(ctx, now_ms))]
            first = _passes_from([(rule, _Known(rule, t, t)) for rule in asked], ctx, t)
        return (first, _assumed(rules, ctx, first, now_ms)) if first < NEVER else _NOT_IN_SIGHT
    except Exception:  # noqa: BLE001  a policy or a rule that fails must block, not stop the stream
        return _NOT_IN_SIGHT


def _assumed(rules: Sequence[Rule], ctx: Context, t: int, now_ms: int) -> tuple[str, ...]:
    """What must be renewed until t for all of the rules to pass there."""
    found = {
        rule.assumes for rule in rules if rule.assumes and rule.supposed(ctx, now_ms) and rule.passes_from(ctx, t) != t
    }
    return tuple(sorted(found))


def _passes_from(rules: list[tuple[Rule, _Known]], ctx: Context, t: int) -> int:
    """The same under one plan, or NEVER."""
    others = [asked for rule, asked in rules if not rule.opens]
    hours = [asked for rule, asked in rules if rule.opens]
    while True:
        t = _settle(others, ctx, t, NEVER)
        if t >= NEVER:
            return NEVER
        opening = _settle(hours, ctx, t, t + HORIZON_MS)
        if opening == t or opening >= NEVER:
            return opening
        t = opening


def _settle(rules: list[_Known], ctx: Context, t: int, give_up: int) -> int:
    """The first instant at or after t at which all of these pass, or NEVER if that is not before `give_up`."""
    held = at = 0
    while held < len(rules) and t < give_up:
        asked = rules[at]
        if asked.since <= t < asked.until:
            held += 1
        else:
            try:
                first = asked.passes_from(ctx, t)
            except Exception:  # noqa: BLE001  a rule that fails blocks
                return NEVER
            held = held + 1 if first == t else 1  # it passes at what it answered itself
            asked.since, asked.until = first, first + 1
            t = first
        at = (at + 1) % len(rules)
    return t if t < give_up else NEVER

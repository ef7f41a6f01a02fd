"""The earliest instant at which a request would pass if nothing else happened: a fixpoint over all rules.

Each rule answers alone; the latest answer is asked again until no rule moves it. Where another plan applies from some
instant on (a dated block begins or ends), the search goes on under that plan. Exact to the millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from contactgate.core.rule import NEVER, Context, Rule
from contactgate.core.rulebook import Rulebook, rulebook_at
from contactgate.core.rules.calling import HORIZON_MS


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
) -> int | None:
    """The first instant at which every rule passes; None if there is none in sight.

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
            return None
        first = NEVER
    elif soonest == latest < min(compress(answers, map(now_ms.__lt__, answers)), default=NEVER):
        first = latest  # all that fail pass there, and all others certainly still hold
    else:
        known = [(rule, _Known(rule, first, first + 1)) for rule, first in failing]
        known += [
            (rule, _Known(rule, now_ms, answer))
            for rule, answer in zip(rules, answers, strict=True)
            if now_ms < answer < NEVER
        ]
        first = _passes_from(known, ctx, latest)
    while first >= book.until_ms:
        t = book.until_ms
        if t >= NEVER:
            return None
        try:
            book = rulebook_at(ctx, t)
        except Exception:  # noqa: BLE001  a policy that fails must block, not stop the stream
            return None
        first = _passes_from([(rule, _Known(rule, t, t)) for rule in book.asked(ctx).rules], ctx, t)
    return first


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

"""The earliest instant at which a request would pass if nothing else happened: a fixpoint over all rules.

Each rule answers alone; the latest answer is asked again until no rule moves it. Where another plan applies from some
instant on (a dated block begins or ends), the search goes on under that plan. Exact to the millisecond.
"""

from __future__ import annotations

from contactgate.core.calling import HORIZON_MS
from contactgate.core.rule import NEVER, Context, Rule
from contactgate.core.rulebook import rulebook_at


def next_eligible(ctx: Context, now_ms: int) -> int | None:
    """The first instant at or after now at which every rule passes; None if there is none in sight.

    A rule that raises never passes. Openings are looked for as far ahead as calling hours are, counted from the instant
    from which only calling hours are in the way.
    """
    t = now_ms
    while t < NEVER:
        try:
            book = rulebook_at(ctx, t)
        except Exception:  # noqa: BLE001  a policy that fails must block, not stop the stream
            return None
        passes = _passes_from(book.rules, ctx, t)
        if passes < book.until_ms:
            return passes
        t = book.until_ms
    return None


def _passes_from(rules: tuple[Rule, ...], ctx: Context, t: int) -> int:
    """The same under one plan, or NEVER."""
    others = [rule for rule in rules if not rule.opens]
    hours = [rule for rule in rules if rule.opens]
    while True:
        t = _settle(others, ctx, t)
        if t >= NEVER:
            return NEVER
        opening = _settle(hours, ctx, t, give_up=t + HORIZON_MS)
        if opening == t or opening >= NEVER:
            return opening
        t = opening


def _settle(rules: list[Rule], ctx: Context, t: int, give_up: int = NEVER) -> int:
    """The first instant at or after t at which all of these pass, or NEVER."""
    moved = True
    while moved:
        moved = False
        for rule in rules:
            try:
                first = rule.passes_from(ctx, t)
            except Exception:  # noqa: BLE001  a rule that fails blocks
                return NEVER
            if first != t:
                if first >= give_up:
                    return NEVER
                t = first
                moved = True
    return t

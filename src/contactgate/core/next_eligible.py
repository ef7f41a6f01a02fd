"""The earliest instant at which a request would pass if nothing else happened: a fixpoint over all rules.

Each rule answers alone; the latest answer is asked again until no rule moves it. Where another plan applies from some
instant on (a dated block begins or ends), the search goes on under that plan. Exact to the millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence

from contactgate.core.calling import HORIZON_MS
from contactgate.core.rule import NEVER, Context, Rule
from contactgate.core.rulebook import Rulebook, rulebook_at


def next_eligible(ctx: Context, book: Rulebook, open_rules: list[Rule], at_least: int) -> int | None:
    """The first instant at which every rule passes; None if there is none in sight.

    `book` is in force now; `open_rules` are those of its rules that do not hold now or may stop holding; `at_least` is
    the latest of what they answered. A rule that raises never passes. Openings are looked for as far ahead as
    `core.hours` looks, counted from when only hours are in the way.
    """
    first = _passes_from(open_rules, ctx, at_least)
    while first >= book.until_ms:
        t = book.until_ms
        if t >= NEVER:
            return None
        try:
            book = rulebook_at(ctx, t)
        except Exception:  # noqa: BLE001  a policy that fails must block, not stop the stream
            return None
        first = _passes_from(book.rules, ctx, t)
    return first


def _passes_from(rules: Sequence[Rule], ctx: Context, t: int) -> int:
    """The same under one plan, or NEVER."""
    others = [rule for rule in rules if not rule.opens]
    hours = [rule for rule in rules if rule.opens]
    while True:
        t = _settle(others, ctx, t, NEVER)
        if t >= NEVER:
            return NEVER
        opening = _settle(hours, ctx, t, t + HORIZON_MS)
        if opening == t or opening >= NEVER:
            return opening
        t = opening


def _settle(rules: list[Rule], ctx: Context, t: int, give_up: int) -> int:
    """The first instant at or after t at which all of these pass, or NEVER if that is not before `give_up`."""
    held = at = 0
    while held < len(rules) and t < give_up:
        try:
            first = rules[at].passes_from(ctx, t)
        except Exception:  # noqa: BLE001  a rule that fails blocks
            return NEVER
        held = held + 1 if first == t else 1  # it passes at what it answered itself
        t = first
        at = (at + 1) % len(rules)
    return t if t < give_up else NEVER

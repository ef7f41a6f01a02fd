"""Business relationships that stand in for consent or lift a registry, for how long.

Dates are local; with several zones, or none known, the reading that restricts more holds. A relationship never outlives
its own end, and never exempts before its date.
"""

from __future__ import annotations

from contactgate.core.rule import NEVER, Context
from contactgate.core.time.calendars import day_starts_first, day_starts_last, months_over
from contactgate.model.facts import Relationship
from contactgate.model.instants import EPOCH_ORDINAL
from contactgate.policy.plan import RelationPeriod

"""datetime.date(1970, 1, 1).toordinal(): facts hold ordinals, `core.time.calendars` counts days since 1970."""


def relation_from(ctx: Context, periods: tuple[RelationPeriod, ...], t: int) -> int:
    """The first instant at or after t at which one of the relationships exempts, or NEVER."""
    first = NEVER
    for start, end in _intervals(ctx, periods):
        instant = max(start, t)
        if instant < end:
            first = min(first, instant)
    return first


def relation_until(ctx: Context, periods: tuple[RelationPeriod, ...], t: int) -> int:
    """Until when one that exempts at t goes on doing so; t if none does."""
    return max((end for start, end in _intervals(ctx, periods) if start <= t), default=t)


def _intervals(ctx: Context, periods: tuple[RelationPeriod, ...]) -> list[tuple[int, int]]:
    return [
        (day_starts_last(relation.date - EPOCH_ORDINAL, ctx.zones), _end(ctx, relation, period))
        for relation in ctx.profile.relationships
        if relation.controller == ctx.request.controller
        for period in periods
        if period.kind == relation.kind
    ]


def _end(ctx: Context, relation: Relationship, period: RelationPeriod) -> int:
    """The start of the day after the last one on which it exempts."""
    date = relation.date - EPOCH_ORDINAL
    last = None if relation.until is None else relation.until - EPOCH_ORDINAL
    if last is not None and period.after_end_months is not None:
        last = months_over(last, period.after_end_months)
    if period.months is not None:
        last = _earlier(last, months_over(date, period.months))
    if period.days is not None:
        last = _earlier(last, date + period.days)
    return NEVER if last is None else day_starts_first(last + 1, ctx.zones)


def _earlier(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)

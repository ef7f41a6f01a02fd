"""National do-not-call lists: a number that is listed blocks, and so does a list that is missing or too old.

Days are local dates of the person; with several zones, or none known, the one that binds sooner holds (SEMANTICS rule
23). A consent or a relationship that exempts from the list exempts from its age as well. Never looks a number up for a
subject that the list does not bind.
"""

from __future__ import annotations

from functools import lru_cache

from contactgate.core.rule import NEVER, Context, Rule, until
from contactgate.core.rules.consent import consented_from
from contactgate.core.rules.relations import relation_from
from contactgate.core.time.calendars import day_starts_first, local_day, months_over
from contactgate.core.time.zones import Zone
from contactgate.model.facts import Reason
from contactgate.model.instants import DAY_MS, EPOCH_ORDINAL, HOUR_MS, instant
from contactgate.policy.plan import Basis, RegistryRule


class _RegistryCheck(Rule):
    """What both rules of one list share: whom it does not bind."""

    def __init__(self, rule: RegistryRule, bases: tuple[Basis, ...]) -> None:
        self.rule = rule
        self._bases: tuple[Basis | None, ...] = tuple(b for b in bases if b.consent != "none") or (None,)

    def exempt_from(self, ctx: Context, t: int) -> int:
        """The first instant at or after t at which the list does not bind the person, or NEVER."""
        rule = self.rule
        if rule.consumer and "business" in ctx.profile.flags:
            return t
        first = NEVER
        if rule.unless_consent and ctx.state.grants:
            first = consented_from(ctx, self._bases, t)
        if rule.unless_relations and ctx.profile.relationships:
            first = min(first, relation_from(ctx, rule.unless_relations, t))
        return first


class ListedRule(_RegistryCheck):
    """The number is not on the list, or not for long enough yet."""

    recalls = True

    def __init__(self, rule: RegistryRule, bases: tuple[Basis, ...]) -> None:
        super().__init__(rule, bases)
        self.name = f"registry.listed:{rule.name}"

    def passes_from(self, ctx: Context, t: int) -> int:
        return t if t < self._binds_from(ctx) else self.exempt_from(ctx, t)

    def _binds_from(self, ctx: Context) -> int:
        """From when a listing binds; NEVER if the number is not listed."""
        version = ctx.world.registries.get(self.rule.name)
        if version is None:
            return NEVER
        days = [day for day in map(version.listing.since, ctx.request.addresses) if day is not None]
        if not days:
            return NEVER
        since = min(days)  # of several forms the one that was listed first; 0: the list gives no day
        return day_starts_first(since - EPOCH_ORDINAL + self.rule.grace_days, ctx.zones) if since else 0

    def sure_until(self, ctx: Context, t: int) -> int:
        binds = self._binds_from(ctx)
        if t < binds:
            return binds
        return t if self.exempt_from(ctx, t) != t else t + 1

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        words = f"the number is listed in {self.rule.name}"
        return (Reason(self.name, words, until(first)),)

    def holds_because(self, ctx: Context, t: int) -> str:
        binds = self._binds_from(ctx)
        if binds >= NEVER:
            return "not listed"
        return f"listed, but binding only from {instant(binds)}" if t < binds else "listed, and exempt"

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        version = ctx.world.registries.get(self.rule.name)
        if version is None or not version.version:
            return ()
        return (f"version {version.version}, taken {instant(version.as_of_ms)}",)


class FreshRule(_RegistryCheck):
    """The list was taken recently enough. A list that goes stale recalls nothing."""

    def __init__(self, rule: RegistryRule, bases: tuple[Basis, ...]) -> None:
        super().__init__(rule, bases)
        self.name = f"registry.stale:{rule.name}"
        self.assumes = f"registry.{rule.name}"

    def supposed(self, ctx: Context, t: int) -> bool:
        return t < self.holds_until(ctx, t)

    def passes_from(self, ctx: Context, t: int) -> int:
        return t if t < self.holds_until(ctx, t) else self.exempt_from(ctx, t)

    def sure_until(self, ctx: Context, t: int) -> int:
        end = self.holds_until(ctx, t)
        if t < end:
            return end
        return t if self.exempt_from(ctx, t) != t else t + 1

    def holds_until(self, ctx: Context, t: int) -> int:
        """Until when the list in force is fresh; 0 if there is none."""
        version = ctx.world.registries.get(self.rule.name)
        if version is None or version.closed:
            return 0
        return _fresh_until(version.as_of_ms, ctx.zones, self.rule.max_age_days, self.rule.max_age_months)

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        version = ctx.world.registries.get(self.rule.name)
        if version is None:
            words = f"no version of {self.rule.name} was ever published"
        elif not version.version:
            words = f"no version of {self.rule.name} that was published could be used whole"
        elif version.closed:
            words = f"a newer version of {self.rule.name} than {version.version} could not be used"
        else:
            words = f"{self.rule.name} was taken {instant(version.as_of_ms)}, which is too long ago"
        return (Reason(self.name, words, until(first)),)

    def holds_because(self, ctx: Context, t: int) -> str:
        end = self.holds_until(ctx, t)
        if t >= end:
            return "exempt"
        return "fresh" if end >= NEVER else f"fresh until {instant(end)}"

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        version = ctx.world.registries.get(self.rule.name)
        if version is None or not version.version:
            return ()
        return (f"version {version.version}, taken {instant(version.as_of_ms)}",)


@lru_cache(maxsize=4_096)
def _fresh_until(as_of_ms: int, zones: tuple[Zone, ...] | None, days: int | None, months: int | None) -> int:
    """The start of the first date on which a list taken then is too old, where that is soonest."""
    # Without a zone: the last place to begin a date.
    taken = min(local_day(as_of_ms, each) for each in zones) if zones else (as_of_ms - 12 * HOUR_MS) // DAY_MS
    last = []
    if days is not None:
        last.append(taken + days)
    if months is not None:
        last.append(months_over(taken, months))
    return day_starts_first(min(last) + 1, zones) if last else NEVER

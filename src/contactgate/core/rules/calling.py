"""Calling hours as rules: the policy's windows, those of packs, the person's own, and the hours a consent lifts.

Windows of different names must all be open, each in every zone the person may be in (SEMANTICS rules 9 to 13). Without
a known zone every window that asks for one blocks; `ZoneRule` is what says so. Must never guess a zone.
"""

from __future__ import annotations

from contactgate.core.rule import NEVER, PERSONAL, UNPLACED, Context, Rule, until
from contactgate.core.rules.consent import Judged, counting_under
from contactgate.core.time.hours import HORIZON_DAYS, OpenHours, is_open, next_open, open_hours, open_until, spans_at
from contactgate.model.facts import Grant, Reason, Span
from contactgate.model.instants import DAY_MS, instant
from contactgate.policy.plan import Basis, WindowRule

HORIZON_MS = HORIZON_DAYS * DAY_MS
"""How far ahead an opening is looked for."""

_MAX_TOLD = 1_024


class ZoneRule(Rule):
    """A window that follows the person's clock needs to know where that is."""

    name = "window.unknown_zone"
    words = "the time zone is known, or nothing asks for it"
    about = UNPLACED

    def __init__(self, needed: bool) -> None:
        self._needed = needed

    def passes_from(self, ctx: Context, t: int) -> int:
        return NEVER if ctx.zones is None and (self._needed or _chosen(ctx)) else t

    def sure_until(self, ctx: Context, t: int) -> int:
        return t if self.passes_from(ctx, t) != t else NEVER

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        return (Reason(self.name, "the time zone of the person is not known, and calling hours apply", None),)

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        if ctx.profile.timezones:
            return (f"zones of the person {', '.join(ctx.profile.timezones)}",)
        zones = ctx.request.number_zones
        return (f"zones the number may be in {', '.join(zones)}",) if zones else ()


class WindowCheck(Rule):
    """One named window is open in every zone; hours that a consent names open it as well."""

    bounds = True
    opens = True

    def __init__(self, window: WindowRule, bases: tuple[Basis, ...], jurisdictions: tuple[str, ...] = ()) -> None:
        self.window = window
        self.name = f"window.{window.name}"
        self._times = open_hours(window.name, spans_at(window.spans, jurisdictions), window.zone)
        self._lifts = window.consent_lifts
        self._told: dict[int, tuple[Reason, ...]] = {}  # by opening: many people have the same
        self._bases: tuple[Basis | None, ...] = tuple(b for b in bases if b.consent != "none") or (None,)

    def passes_from(self, ctx: Context, t: int) -> int:
        zones = ctx.zones
        if zones is None:
            if self.window.zone is None:
                return t  # ZoneRule blocks and says so
            zones = ()
        opening = next_open(self._times, zones, t)
        first = NEVER if opening is None else opening
        if self._lifts and first > t:
            for grant in ctx.state.grants:
                if grant.windows:
                    return min(first, self._lifted_from(ctx, t))
        return first

    def _lifted_from(self, ctx: Context, t: int) -> int:
        """The first instant at or after t in the hours of a consent that counts then."""
        first = NEVER
        for each in self._lifting(ctx):
            opening = next_open(_consent_hours(each.grant), ctx.zones or (), max(t, each.start))
            if opening is not None and opening < each.end:
                first = min(first, opening)
        return first

    def _lifting(self, ctx: Context) -> list[Judged]:
        """The consents with hours of their own that count under every basis."""
        return [each for each in counting_under(ctx, self._bases) if each.grant.windows]

    def sure_until(self, ctx: Context, t: int) -> int:
        zones = ctx.zones
        if zones is None:
            if self.window.zone is None:
                return NEVER  # ZoneRule blocks and says so
            zones = ()
        end = open_until(self._times, zones, t)
        if end == t and self._lifts:
            for grant in ctx.state.grants:
                if grant.windows:
                    return max(t, self._lifted_until(ctx, t, t))
        return end

    def _lifted_until(self, ctx: Context, t: int, otherwise: int) -> int:
        """Until when the hours of a consent that counts at t are open; what else holds if there is none."""
        zones = ctx.zones or ()
        ends = (
            min(each.end, open_until(_consent_hours(each.grant), zones, t))
            for each in self._lifting(ctx)
            if each.start <= t
        )
        return max(ends, default=otherwise)

    def holds_until(self, ctx: Context, t: int) -> int:
        zones = ctx.zones or ()
        if is_open(self._times, zones, t):
            return open_until(self._times, zones, t)
        return self._lifted_until(ctx, t, NEVER)  # when no zone is known, ZoneRule blocks

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        told = self._told.get(first)
        if told is None:
            opening = until(first)
            words = "does not open within 400 days" if opening is None else f"opens {instant(opening)}"
            told = (Reason(self.name, f"outside of the calling hours {self.window.name}: {words}", opening),)
            if len(self._told) >= _MAX_TOLD:
                self._told.clear()
            self._told[first] = told
        return told

    def holds_because(self, ctx: Context, t: int) -> str:
        end = self.holds_until(ctx, t)
        return "open" if end >= NEVER else f"open until {instant(end)}"


class PreferredRule(Rule):
    """The hours the person chose."""

    name = "window.preferred"
    words = "the person chose no hours, or they are open"
    about = PERSONAL
    bounds = True
    opens = True

    def passes_from(self, ctx: Context, t: int) -> int:
        preferred = _chosen(ctx)
        if not preferred or ctx.zones is None:
            return t
        opening = next_open(open_hours("preferred", preferred), ctx.zones, t)
        return NEVER if opening is None else opening

    def sure_until(self, ctx: Context, t: int) -> int:
        preferred = _chosen(ctx)
        if not preferred or ctx.zones is None:
            return NEVER
        return open_until(open_hours("preferred", preferred), ctx.zones, t)

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        opening = until(first)
        words = "do not open within 400 days" if opening is None else f"open {instant(opening)}"
        return (Reason(self.name, f"outside of the hours the person chose, which {words}", opening),)

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        return (f"chosen {instant(ctx.profile.preferred_ms)}",) if _chosen(ctx) else ()


def _chosen(ctx: Context) -> tuple[Span, ...]:
    """The hours the person chose for the request's channel; none: they do not bind it."""
    preferred = spans_at(ctx.profile.preferred, ctx.jurisdictions) if ctx.profile.preferred else ()
    if any(span.channels is not None for span in preferred):
        channel = ctx.request.channel
        return tuple(span for span in preferred if span.channels is None or channel in span.channels)
    return preferred


def _consent_hours(grant: Grant) -> OpenHours:
    return open_hours("consent", grant.windows)

"""Caps, gaps and cool-offs: what a contact counts for, from when until when (SEMANTICS rules 1 to 8).

A contact counts from its time until it leaves the window, half-open. So for each contact the end is one fixed instant,
and "how many count at t" changes only at these ends: the first free instant is exact. A cap never looks at complaints.
What a contact that we did not decide leaves unsaid (its matter, its requester) counts against every rule that asks.
"""

from __future__ import annotations

from operator import attrgetter

from contactgate.core.rule import CONTACTS, NEVER, Context, Rule, prefixes, until
from contactgate.core.rules.consent import consented_from
from contactgate.core.time.calendars import cooloff_ends, leaves_at
from contactgate.core.vocabulary import Vocabulary
from contactgate.model.facts import Contact, Outcome, Reason
from contactgate.model.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, instant
from contactgate.model.request import Request
from contactgate.model.synonyms import folded
from contactgate.policy.plan import Basis, Cap, CapWindow, CoolOff, Counts, Lacking, Selector

_outcome = attrgetter("outcome")

_ALL: frozenset[Outcome] = frozenset(
    (
        "not_connected", "busy", "no_answer", "ignored", "bounced", "voicemail", "abandoned", "delivered",
        "answered", "wrong_number", "refused", "unsubscribed", "complained",
    )
)  # fmt: skip
COUNTED: dict[Counts, frozenset[Outcome]] = {
    "approved": _ALL,
    "attempted": _ALL,
    "connected": _ALL - {"busy", "not_connected"},
    "delivered": frozenset(("answered", "voicemail", "delivered", "refused", "unsubscribed", "complained")),
    "conversation": frozenset(("answered", "refused", "unsubscribed", "complained")),
}
"""Which outcomes each `counts` keeps the place for (SEMANTICS rule 4); `not_attempted` always gives it back."""


_OPTIONAL = frozenset(("address", "campaign", "matter"))
"""Fields that a request may be without."""


class _Scope:
    """Which contacts are in the scope of a rule, and selected by it, as seen from one request."""

    __slots__ = (
        "_blocks",
        "_channels",
        "_fields",
        "_jurisdictions",
        "_matter",
        "_purposes",
        "_selects_all",
        "may_lack",
    )

    def __init__(self, scope: tuple[str, ...], selector: Selector, lacking: Lacking) -> None:
        self._blocks = lacking == "block"
        self._fields = tuple(name for name in scope if name != "matter")
        self._matter = "matter" in scope
        self._channels = selector.channels
        self._purposes = None if selector.purposes is None else frozenset(selector.purposes)
        self._jurisdictions = selector.jurisdictions
        self._selects_all = selector == Selector()
        self.may_lack = self._blocks and not _OPTIONAL.isdisjoint(scope)

    def lacking(self, request: Request) -> str | None:
        """A field that the scope asks for and the request does not have, if that blocks."""
        if not self._blocks:
            return None
        if self._matter and request.matter is None:
            return "matter"
        for name in self._fields:
            if getattr(request, name) is None:
                return name
        return None

    def holds(self, contact: Contact, request: Request, known: Vocabulary) -> bool:
        """Whether the rule is about this contact. Words of one that was not decided here are judged."""
        said = contact.request_id != ""  # what an observed contact or a complaint leaves unsaid matches everything
        strict = said and self._blocks
        for name in self._fields:
            value, asked = getattr(contact, name), getattr(request, name)
            if value != asked and (strict or (value and asked and (said or not _meant(name, value, asked, known)))):
                if name == "address" and value in request.address_forms:
                    continue
                return False
        if self._matter and request.matter not in contact.matters and (strict or (contact.matters and request.matter)):
            return False
        if self._selects_all:
            return True
        if self._channels is not None and contact.channel not in self._channels and (said or contact.channel):
            names = frozenset((contact.channel,)) if said else known.channels((contact.channel,)).names
            if names is not None and names.isdisjoint(self._channels):
                return False
        if self._purposes is not None and self._purposes.isdisjoint(prefixes(contact.purpose)):
            return False
        there = self._jurisdictions
        return there is None or not there.isdisjoint(contact.jurisdictions) or not (said or contact.jurisdictions)


def _meant(name: str, value: str, asked: str, known: Vocabulary) -> bool:
    """Whether a word of a complaint or of an observed contact means what the request says, or nobody knows it."""
    if name == "channel":
        names = known.channels((value,)).names
        return names is None or asked in names
    if name == "controller":
        names = known.controller(value).names
        return names is None or folded(asked) in names
    return folded(value) == folded(asked)


class CapRule(Rule):
    """At most `limit` contacts within a window. A gap is a cap of one."""

    def __init__(self, cap: Cap) -> None:
        self.cap = cap
        self.name = cap.rule
        self._limit = cap.limit
        self._window = cap.window
        self._scope = _Scope(cap.scope, cap.selector, cap.lacking)
        self._may_lack = self._scope.may_lack
        self._counted = COUNTED[cap.counts]
        self._within = _window_words(cap.window)
        self._sliding_ms = cap.window.length_ms if cap.window.kind == "sliding" else 0
        self._longest_ms = cap.window.looks_back_ms
        self._zoned = not self._sliding_ms and cap.window.zone == "subject"
        self.about = 0 if self._may_lack or self._zoned or not cap.limit else CONTACTS

    def passes_from(self, ctx: Context, t: int) -> int:
        if (self._may_lack and self._scope.lacking(ctx.request)) or (self._zoned and ctx.zones is None):
            return NEVER
        limit = self._limit
        if self._surely_free(ctx, t):
            return t
        places = self._places(ctx, t)
        if len(places) < limit:
            return t
        while True:
            ends = [end for start, end, _ in places if start <= t < end]
            if len(ends) < limit:
                return t
            if not limit:
                return NEVER
            ends.sort()
            t = ends[len(ends) - limit]  # then those that leave first have left, and `limit` - 1 remain

    def sure_until(self, ctx: Context, t: int) -> int:
        if (self._may_lack and self._scope.lacking(ctx.request)) or (self._zoned and ctx.zones is None):
            return t
        if not self._surely_free(ctx, t):
            places = self._places(ctx, t)
            limit = self._limit
            if len(places) >= limit and len([end for start, end, _ in places if start <= t < end]) >= limit:
                return t
        contacts = ctx.state.contacts
        return NEVER if not contacts or contacts[-1].time_ms <= t else t + 1  # places only become free

    def _surely_free(self, ctx: Context, t: int) -> bool:
        """Whether the limit-th newest contact has left the longest window: they are sorted by time."""
        limit, contacts = self._limit, ctx.state.contacts
        return limit > 0 and (len(contacts) < limit or contacts[-limit].time_ms <= t - self._longest_ms)

    def _places(self, ctx: Context, t: int) -> list[tuple[int, int, Contact]]:
        """From when until when each contact counts that may count at t or later. Remembered in the context."""
        known: tuple[int, list[tuple[int, int, Contact]]] | None = ctx.memo.get(id(self))
        if known is not None:
            since, places = known
            if since <= t:
                return places
        places = []
        oldest = t - self._longest_ms
        counted, sliding_ms = self._counted, self._sliding_ms
        holds, request, words = self._scope.holds, ctx.request, ctx.world.vocabulary
        for contact in reversed(ctx.state.contacts):
            start = contact.time_ms
            if start <= oldest:
                break
            outcome = contact.outcome
            if contact.unclear:
                pass  # it may have been of the counted kind
            elif outcome is None:
                if contact.recalled is not None:
                    continue
            elif outcome not in counted or contact.complaint:
                continue
            if not holds(contact, request, words):
                continue
            end = start + sliding_ms if sliding_ms else leaves_at(self._window, ctx.zones or (), start)
            if outcome is None:
                # An open approval holds its place whatever the cap counts, and even if the clock that gave it is ahead.
                start = 0
                if not ctx.limits.unreported_counts and not contact.unclear:
                    end = min(end, contact.valid_until_ms)
            places.append((start, end, contact))
        ctx.memo[id(self)] = (t, places)
        return places

    def _live(self, ctx: Context, t: int) -> list[tuple[int, int, Contact]]:
        return [(start, end, contact) for start, end, contact in self._places(ctx, t) if start <= t < end]

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        lacking = self._scope.lacking(ctx.request)
        if lacking:
            return (Reason(self.name, f"counted per {lacking}, and the request names none", None),)
        if self._zoned and ctx.zones is None:
            return (Reason(self.name, "counted by the person's local date, and the time zone is not known", None),)
        used = len(self._live(ctx, t))
        return (Reason(self.name, f"{used} of {self._limit} {self._within}", until(first)),)

    def holds_because(self, ctx: Context, t: int) -> str:
        return f"{len(self._live(ctx, t))} of {self._limit} {self._within}"

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        return tuple(_contact_words(each, f"counts until {instant(end)}") for _, end, each in self._live(ctx, t))


class CoolOffRule(Rule):
    """No contact for a time after an outcome, or after several."""

    def __init__(self, cooloff: CoolOff, bases: tuple[Basis, ...]) -> None:
        self.cooloff = cooloff
        self._bases: tuple[Basis | None, ...] = tuple(b for b in bases if b.consent != "none") or (None,)
        self.name = cooloff.rule
        self._scope = _Scope(cooloff.scope, cooloff.selector, cooloff.lacking)
        self._may_lack = self._scope.may_lack
        self.about = 0 if self._may_lack else CONTACTS
        self._outcomes = cooloff.outcomes
        self._zoned = cooloff.kind == "days" and cooloff.zone == "subject"

    def passes_from(self, ctx: Context, t: int) -> int:
        if self._may_lack and self._scope.lacking(ctx.request):
            return NEVER
        if self._outcomes.isdisjoint(map(_outcome, ctx.state.contacts)):
            return t
        periods = self._periods(ctx)
        moved = True
        while moved:
            moved = False
            for start, end in periods:
                if start <= t < end:
                    free = min(end, self._lifted_from(ctx, start, t))
                    if free != t:
                        t = free
                        moved = True
        return t

    def _lifted_from(self, ctx: Context, start: int, t: int) -> int:
        """From when a consent given after the outcome ends its cool-off; NEVER if none does."""
        return consented_from(ctx, self._bases, t, newer_than=(start, start)) if self.cooloff.until_consent else NEVER

    def _periods(self, ctx: Context) -> list[tuple[int, int]]:
        """The cool-offs, by their start. Remembered in the context."""
        known: list[tuple[int, int]] | None = ctx.memo.get(id(self))
        if known is None:
            known = sorted((at.outcome_ms, self._end(at.outcome_ms, ctx)) for at in self._triggers(ctx))
            ctx.memo[id(self)] = known
        return known

    def _triggers(self, ctx: Context) -> list[Contact]:
        """The contacts whose outcome starts a cool-off, by its time."""
        found = [
            contact
            for contact in ctx.state.contacts
            if contact.outcome in self._outcomes and self._scope.holds(contact, ctx.request, ctx.world.vocabulary)
        ]
        found.sort(key=lambda contact: contact.outcome_ms)
        count, within = self.cooloff.after_count, self.cooloff.after_within_ms
        if count <= 1:
            return found
        return [
            last
            for first, last in zip(found, found[count - 1 :], strict=False)
            if not within or last.outcome_ms < first.outcome_ms + within
        ]

    def _end(self, start: int, ctx: Context) -> int:
        if self.cooloff.kind == "forever" or (self._zoned and ctx.zones is None):
            return NEVER
        if self.cooloff.kind == "elapsed":
            return start + self.cooloff.length_ms
        return cooloff_ends(self.cooloff, ctx.zones or (), start)

    def sure_until(self, ctx: Context, t: int) -> int:
        if not self._outcomes.isdisjoint(map(_outcome, ctx.state.contacts)):
            return t if self.passes_from(ctx, t) != t else t + 1
        return t if self._may_lack and self._scope.lacking(ctx.request) else NEVER

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        lacking = self._scope.lacking(ctx.request)
        if lacking:
            return (Reason(self.name, f"kept per {lacking}, and the request names none", None),)
        last = max(
            start for start, end in self._periods(ctx) if start <= t < end and self._lifted_from(ctx, start, t) > t
        )
        words = f"cool-off since {instant(last)} after {' or '.join(sorted(self._outcomes))}"
        if self._zoned and ctx.zones is None:
            words += "; it is counted in local dates, and the time zone is not known"
        return (Reason(self.name, words, until(first)),)

    def holds_because(self, ctx: Context, t: int) -> str:
        return "no cool-off is on"

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        lines = []
        for contact in self._triggers(ctx):
            end = self._end(contact.outcome_ms, ctx)
            if contact.outcome_ms <= t < end:
                words = "forever" if end >= NEVER else f"until {instant(end)}"
                lines.append(_contact_words(contact, f"cool-off {words}"))
        return tuple(lines)


def _window_words(window: CapWindow) -> str:
    if window.kind == "sliding":
        return f"within {duration_words(window.length_ms)}"
    zone = "the person's zone" if window.zone == "subject" else window.zone
    if window.kind == "days":
        return f"within {window.days} local dates of {zone}"
    return f"this calendar {window.unit} of {zone}"


def _contact_words(contact: Contact, counts: str) -> str:
    if contact.complaint:
        what = f"complaint by event {contact.event_id}"
    elif contact.request_id:
        said = "reported in a word that nobody knows" if contact.unclear else "no outcome yet"
        what = f"request {contact.request_id}, {contact.outcome or said}"
    else:
        what = f"observed by event {contact.event_id}, {contact.outcome or 'in a word that nobody knows'}"
    return f"{instant(contact.time_ms)} {what}; {counts}"


def duration_words(length_ms: int) -> str:
    """`7 days`, `36 hours`, `90 seconds`: the largest unit that divides it."""
    for unit, size in (("day", DAY_MS), ("hour", HOUR_MS), ("minute", MINUTE_MS), ("second", SECOND_MS)):
        if length_ms % size == 0:
            number = length_ms // size
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{length_ms} milliseconds"

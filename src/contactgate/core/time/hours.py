"""Calling hours: is it open now in every zone the person may be in, until when, and when does it open next.

Membership is decided by the local wall time of the instant alone. So a time that the clock skips is never open (a
window from 02:30 on the night it does not exist opens when the gap ends), and a time that comes twice is open both
times (one window may be open in two pieces). A span that passes midnight belongs to the day it starts on: that day's
weekday and that day's holiday decide. Spans of one rule are alternatives; that different rules must all be open is the
caller's business.

Must never look at a clock. Answers are remembered per rule and zones, in bounded stores, and are the same whatever was
asked before.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from contactgate.core.time.holiday import day_kind, with_parts
from contactgate.core.time.zones import Zone, zone
from contactgate.model.facts import Span
from contactgate.model.instants import DAY_MS

HORIZON_DAYS = 400
"""How far ahead an opening or a closing is looked for, in days."""

_MAX_DAYS = 4_096
_MAX_ANSWERS = 1_024
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday
_WORKWEEK = frozenset(range(5))

Pieces = tuple[tuple[int, int], ...]
"""Open times as (from, until) in UTC milliseconds, half-open, in order, neither touching nor overlapping."""


class OpenHours:
    """The alternatives of one window name. `zone_name` binds it to one place instead of the person's own zones.

    Equal only to itself: it carries what was computed for it. `open_hours` gives the same rule for the same arguments.
    """

    __slots__ = ("_days", "_ends", "_joined", "_next", "_states", "name", "spans", "zone_name")

    def __init__(self, name: str, spans: tuple[Span, ...], zone_name: str | None = None) -> None:
        self.name = name
        self.spans = spans
        self.zone_name = zone_name
        self._days: dict[tuple[Zone, int], Pieces] = {}
        self._joined: dict[tuple[tuple[Zone, ...], int], Pieces] = {}
        # zones -> (from, until, open): the last answer, which holds for from <= t < until.
        self._states: dict[tuple[Zone, ...], tuple[int, int, bool]] = {}
        # zones -> (UTC day, end): where the piece ends that is open at the end of that day.
        self._ends: dict[tuple[Zone, ...], tuple[int, int]] = {}
        # zones -> (from, opening): the last search, whose answer holds for from <= t <= opening.
        self._next: dict[tuple[Zone, ...], tuple[int, int | None]] = {}

    def __repr__(self) -> str:
        return f"OpenHours({self.name!r}, {self.spans!r}, {self.zone_name!r})"


_NO_STATE = (0, 0, False)  # for no instant


@lru_cache(maxsize=16_384)
def open_hours(name: str, spans: tuple[Span, ...], zone_name: str | None = None) -> OpenHours:
    """The rule for these spans, the same object each time so that what it remembers serves again."""
    return OpenHours(name, spans, zone_name)


@lru_cache(maxsize=16_384)
def spans_at(spans: tuple[Span, ...], jurisdictions: tuple[str, ...]) -> tuple[Span, ...]:
    """The spans where a person is known to be: a country's holidays with those of the parts among the jurisdictions."""
    return tuple(
        span
        if span.holidays is None
        else msgspec.structs.replace(span, holidays=with_parts(span.holidays, jurisdictions))
        for span in spans
    )


def is_open(rule: OpenHours, zones: tuple[Zone, ...], utc_ms: int) -> bool:
    """Whether the instant is inside the rule's hours in every one of the zones; False if there are no zones."""
    since, till, inside = rule._states.get(zones, _NO_STATE)
    if not since <= utc_ms < till:
        _, _, inside = _state(rule, zones, utc_ms)
    return inside


def next_open(rule: OpenHours, zones: tuple[Zone, ...], utc_ms: int) -> int | None:
    """The first instant >= utc_ms that is open in every zone; None if there is none in the next 400 days."""
    since, till, inside = rule._states.get(zones, _NO_STATE)
    if not since <= utc_ms < till:
        _, _, inside = _state(rule, zones, utc_ms)
    if inside:
        return utc_ms
    found = rule._next.get(zones)
    if found is not None:
        searched, opening = found
        if opening is None:
            # "never" holds for the rest of the day it was searched on
            if searched <= utc_ms and utc_ms // DAY_MS == searched // DAY_MS:
                return None
        elif searched <= utc_ms <= opening:
            return opening
    opening = _search(rule, _bound(rule, zones), utc_ms)
    if len(rule._next) >= _MAX_ANSWERS:
        rule._next.clear()
    rule._next[zones] = (utc_ms, opening)
    return opening


def open_until(rule: OpenHours, zones: tuple[Zone, ...], utc_ms: int) -> int:
    """The end (exclusive) of the open piece that the instant lies in; utc_ms itself if it is closed.

    A piece without an end in sight is cut at 400 days.
    """
    since, end, inside = rule._states.get(zones, _NO_STATE)
    if not since <= utc_ms < end:
        _, end, inside = _state(rule, zones, utc_ms)
    if not inside:
        return utc_ms
    if end % DAY_MS:
        return end
    day = utc_ms // DAY_MS
    known = rule._ends.get(zones)
    if known is not None:
        of_day, known_end = known
        if of_day == day:
            return known_end
    bound = _bound(rule, zones)
    while end // DAY_MS <= day + HORIZON_DAYS:
        following = _day(rule, bound, end // DAY_MS)
        if not following:
            break
        opens, closes = following[0]
        if opens != end:
            break
        end = closes
        if end % DAY_MS:
            break
    if len(rule._ends) >= _MAX_ANSWERS:
        rule._ends.clear()
    rule._ends[zones] = (day, end)
    return end


def open_intervals(rule: OpenHours, zones: tuple[Zone, ...], from_ms: int, until_ms: int) -> Pieces:
    """All open pieces inside from_ms <= t < until_ms, in order."""
    bound = _bound(rule, zones)
    pieces: list[tuple[int, int]] = []
    for day in range(from_ms // DAY_MS, -(-until_ms // DAY_MS)):
        for start, end in _day(rule, bound, day):
            start, end = max(start, from_ms), min(end, until_ms)
            if start >= end:
                continue
            if pieces and pieces[-1][1] == start:
                start = pieces.pop()[0]
            pieces.append((start, end))
    return tuple(pieces)


def _bound(rule: OpenHours, zones: tuple[Zone, ...]) -> tuple[Zone, ...]:
    if rule.zone_name is None:
        return zones
    fixed = zone(rule.zone_name)
    return () if fixed is None else (fixed,)


def _state(rule: OpenHours, zones: tuple[Zone, ...], utc_ms: int) -> tuple[int, int, bool]:
    """(from, until, open) around the instant, inside its UTC day."""
    bound = _bound(rule, zones)
    day = utc_ms // DAY_MS
    start, end, inside = day * DAY_MS, (day + 1) * DAY_MS, False
    for piece_start, piece_end in _day(rule, bound, day):
        if utc_ms < piece_start:
            end = piece_start
            break
        if utc_ms < piece_end:
            start, end, inside = piece_start, piece_end, True
            break
        start = piece_end
    state = (start, end, inside)
    if len(rule._states) >= _MAX_ANSWERS:
        rule._states.clear()
    rule._states[zones] = state
    return state


def _search(rule: OpenHours, zones: tuple[Zone, ...], utc_ms: int) -> int | None:
    first = utc_ms // DAY_MS
    for day in range(first, first + HORIZON_DAYS + 1):
        for start, end in _day(rule, zones, day):
            if end > utc_ms:
                return max(start, utc_ms)
    return None


def _day(rule: OpenHours, zones: tuple[Zone, ...], day: int) -> Pieces:
    """What of one UTC day is open in every zone."""
    if len(zones) == 1:
        return _zone_day(rule, zones[0], day)
    key = (zones, day)
    found = rule._joined.get(key)
    if found is None:
        pieces: Pieces = ((day * DAY_MS, (day + 1) * DAY_MS),) if zones else ()
        for each in zones:
            if not pieces:
                break
            pieces = _intersection(pieces, _zone_day(rule, each, day))
        if len(rule._joined) >= _MAX_DAYS:
            rule._joined.clear()
        found = rule._joined[key] = pieces
    return found


def _intersection(one: Pieces, other: Pieces) -> Pieces:
    both = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return tuple(sorted(piece for piece in both if piece[0] < piece[1]))


def _zone_day(rule: OpenHours, place: Zone, day: int) -> Pieces:
    """What of one UTC day is open in one zone."""
    key = (place, day)
    found = rule._days.get(key)
    if found is None:
        if len(rule._days) >= _MAX_DAYS:
            rule._days.clear()
        found = rule._days[key] = _compute(rule.spans, place, day)
    return found


def _compute(spans: tuple[Span, ...], place: Zone, day: int) -> Pieces:
    pieces: list[tuple[int, int]] = []
    for start, end, offset in place.segments(day * DAY_MS, (day + 1) * DAY_MS):
        first, last = (start + offset) // DAY_MS, (end - 1 + offset) // DAY_MS
        for local_day in range(first - 1, last + 1):  # the day before: its overnight spans, and an inclusive 24:00
            for span in spans:
                if not _starts_on(span, local_day):
                    continue
                opens = local_day * DAY_MS + span.from_ms + span.from_exclusive - offset
                closes = local_day * DAY_MS + span.to_ms + span.to_inclusive - offset
                if span.from_ms > span.to_ms:
                    closes += DAY_MS
                opens, closes = max(opens, start), min(closes, end)
                if opens < closes:
                    pieces.append((opens, closes))
    pieces.sort()
    merged: list[tuple[int, int]] = []
    for opens, closes in pieces:
        if merged and opens <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], closes))
        else:
            merged.append((opens, closes))
    return tuple(merged)


def _starts_on(span: Span, local_day: int) -> bool:
    """Whether the span has an occurrence that starts on this local date (days since 1970-01-01)."""
    weekday = (local_day + _EPOCH_WEEKDAY) % 7
    if span.holidays is None:
        return not span.days or weekday in span.days
    kind = day_kind(span.holidays, local_day)
    if kind == "ordinary":
        return not span.days or weekday in span.days
    if kind == "workday":
        # A weekend day that is worked in exchange for a day off has the hours of the working week, not of its weekday.
        return not span.days or _WORKWEEK.issubset(span.days)
    return False

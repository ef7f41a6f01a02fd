"""Calling hours against a slow model that asks zoneinfo for the wall clock of single instants and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.effort import LONG, PATIENCE_S, examples

from contactgate.core.time.hours import OpenHours, is_open, next_open, open_intervals, open_until
from contactgate.core.time.zones import Zone, zone
from contactgate.model.facts import Span
from contactgate.model.instants import DAY_MS

pytestmark = [pytest.mark.timeout(PATIENCE_S)]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = 60_000
CN = holidays.country_holidays("CN", years=range(2023, 2027))


def known(name: str) -> Zone:
    found = zone(name)
    assert found is not None
    return found


def ms(text: str) -> int:
    return (datetime.fromisoformat(text + "+00:00") - EPOCH) // timedelta(milliseconds=1)


# Zone and an instant near which its clocks do something odd, or a plain, leap or last day of a year.
MOMENTS = [
    ("America/New_York", ms("2026-03-08T07:00")),
    ("America/New_York", ms("2026-11-01T06:00")),
    ("Europe/London", ms("2026-03-29T01:00")),
    ("Europe/London", ms("2026-10-25T01:00")),
    ("Australia/Sydney", ms("2026-04-04T16:00")),
    ("Australia/Sydney", ms("2026-10-03T16:00")),
    ("Australia/Lord_Howe", ms("2026-04-04T15:00")),
    ("Australia/Lord_Howe", ms("2026-10-03T15:30")),
    ("Pacific/Apia", ms("2011-12-30T10:00")),
    ("Pacific/Kiritimati", ms("1994-12-31T10:00")),
    ("Asia/Kolkata", ms("2026-12-31T18:30")),
    ("Asia/Kathmandu", ms("2024-02-29T12:00")),
    ("America/Santiago", ms("2026-09-06T04:00")),
    ("America/Havana", ms("2026-03-08T05:00")),
    ("Asia/Beirut", ms("2026-03-28T22:00")),
    ("Asia/Shanghai", ms("2026-02-14T00:00")),
    ("Asia/Shanghai", ms("2026-10-09T16:00")),
    ("UTC", ms("2024-02-28T23:00")),
]


def wall_clock(name: str, at: int) -> datetime:
    return (EPOCH + timedelta(milliseconds=at)).astimezone(ZoneInfo(name)).replace(tzinfo=None)


def started_on(span: Span, day: date) -> bool:
    weekday = day.weekday()
    if span.holidays == "CN":
        if day in CN:
            return False
        if day in CN.weekend_workdays:
            return not span.days or {0, 1, 2, 3, 4} <= set(span.days)
    return not span.days or weekday in span.days


def inside(span: Span, wall: datetime) -> bool:
    """The rule as one would say it: is the wall clock between the span's two times on a day that counts?"""
    for back in (0, 1):
        day = wall.date() - timedelta(days=back)
        if not started_on(span, day):
            continue
        clock = (wall - datetime.combine(day, time())) // timedelta(milliseconds=1)
        end = span.to_ms + (DAY_MS if span.from_ms > span.to_ms else 0)
        after = clock > span.from_ms if span.from_exclusive else clock >= span.from_ms
        before = clock <= end if span.to_inclusive else clock < end
        if after and before:
            return True
    return False


def model_open(spans: tuple[Span, ...], names: tuple[str, ...], at: int) -> bool:
    return bool(names) and all(any(inside(span, wall_clock(name, at)) for span in spans) for name in names)


CLOCK = st.one_of(
    st.sampled_from([0, 90, 120, 150, 180, 540, 1200, 1290, 1380, 1425, 1439]).map(lambda m: m * MINUTE),
    st.integers(0, 95).map(lambda q: q * 15 * MINUTE),
)
DAYS = st.one_of(
    st.just(()),
    st.just((0, 1, 2, 3, 4)),
    st.just((5, 6)),
    st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
)


@st.composite
def span_of(draw: st.DrawFn, calendar: str | None) -> Span:
    start = draw(CLOCK)
    end = draw(st.one_of(CLOCK, st.just(DAY_MS)).filter(lambda value: value != start))
    return Span(
        days=draw(DAYS),
        from_ms=start,
        to_ms=end,
        from_exclusive=draw(st.booleans()),
        to_inclusive=draw(st.booleans()),
        holidays=draw(st.sampled_from([None, calendar])),
    )


@st.composite
def scene(draw: st.DrawFn) -> tuple[tuple[Span, ...], tuple[str, ...], int]:
    name, moment = draw(st.sampled_from(MOMENTS))
    calendar = "CN" if name == "Asia/Shanghai" else None
    spans = tuple(draw(st.lists(span_of(calendar), min_size=1, max_size=3)))
    names = (name,)
    if draw(st.booleans()) and calendar is None:
        names = (name, draw(st.sampled_from([other for other, _ in MOMENTS if other != name])))
    offset = draw(
        st.one_of(st.integers(-3 * DAY_MS, 3 * DAY_MS), st.integers(-200, 200).map(lambda q: q * 15 * MINUTE))
    )
    return spans, names, moment + offset


@given(scene(), st.integers(-1, 1))
def test_open_is_what_the_wall_clock_says(case: tuple[tuple[Span, ...], tuple[str, ...], int], nudge: int) -> None:
    """At any instant, also 1 ms beside a bound, open means that every zone's wall clock lies in some span."""
    spans, names, at = case
    rule, zones = OpenHours("w", spans), tuple(known(name) for name in names)
    for sample in (at + nudge, at, at - nudge, at + DAY_MS, at):
        assert is_open(rule, zones, sample) == model_open(spans, names, sample)


@given(scene())
@settings(max_examples=examples(100), derandomize=not LONG, deadline=None)
def test_the_next_opening_is_the_first(case: tuple[tuple[Span, ...], tuple[str, ...], int]) -> None:
    """The next opening is open, and every minute before it is closed, as is the millisecond before it."""
    spans, names, at = case
    rule, zones = OpenHours("w", spans), tuple(known(name) for name in names)
    opening = next_open(rule, zones, at)
    if opening is None:
        for sample in range(at, at + 8 * DAY_MS, 15 * MINUTE):
            assert not model_open(spans, names, sample)
        return
    assert opening >= at
    assert model_open(spans, names, opening)
    if opening > at:
        assert not model_open(spans, names, opening - 1)
        for sample in range(at, min(opening, at + 3 * DAY_MS), 5 * MINUTE):
            assert not model_open(spans, names, sample)
            assert next_open(rule, zones, sample) == opening


@given(scene())
@settings(max_examples=examples(100), derandomize=not LONG, deadline=None)
def test_open_until_is_the_end_of_the_piece(case: tuple[tuple[Span, ...], tuple[str, ...], int]) -> None:
    """Until its end a piece is open every minute, and at its end it is closed; a closed instant is its own end."""
    spans, names, at = case
    rule, zones = OpenHours("w", spans), tuple(known(name) for name in names)
    end = open_until(rule, zones, at)
    if not model_open(spans, names, at):
        assert end == at
        return
    assert model_open(spans, names, end - 1)
    if end < at + 300 * DAY_MS:
        assert not model_open(spans, names, end)
    for sample in range(at, min(end, at + 3 * DAY_MS), 5 * MINUTE):
        assert model_open(spans, names, sample)


@given(scene(), st.integers(1, 4 * DAY_MS))
@settings(max_examples=examples(100), derandomize=not LONG, deadline=None)
def test_intervals_are_the_open_instants(case: tuple[tuple[Span, ...], tuple[str, ...], int], length: int) -> None:
    """The listed pieces hold exactly the open instants, in order, without touching."""
    spans, names, at = case
    rule, zones = OpenHours("w", spans), tuple(known(name) for name in names)
    pieces = open_intervals(rule, zones, at, at + length)
    assert all(one[1] < other[0] for one, other in pairwise(pieces))
    bounds = {edge + shift for piece in pieces for edge in piece for shift in (-1, 0)}
    for sample in [*range(at, at + length, 10 * MINUTE), *(edge for edge in bounds if at <= edge < at + length)]:
        assert any(start <= sample < end for start, end in pieces) == model_open(spans, names, sample)


@given(scene(), st.lists(st.integers(-6 * DAY_MS, 6 * DAY_MS), min_size=1, max_size=12))
def test_answers_do_not_depend_on_what_was_asked_before(
    case: tuple[tuple[Span, ...], tuple[str, ...], int], shifts: list[int]
) -> None:
    """A rule that has answered other questions answers like a fresh one."""
    spans, names, at = case
    used, zones = OpenHours("w", spans), tuple(known(name) for name in names)
    for shift in shifts:
        fresh = OpenHours("w", spans)
        assert next_open(used, zones, at + shift) == next_open(fresh, zones, at + shift)
        assert open_until(used, zones, at + shift) == open_until(fresh, zones, at + shift)
        assert is_open(used, zones, at + shift) == is_open(fresh, zones, at + shift)

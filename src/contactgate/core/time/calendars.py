"""Local dates: when a contact stops counting, when a period of days or months ends, when a date begins.

Dates are days since 1970-01-01 on the wall clock of a zone. A date begins at the instant from which on the wall clock
does not show an earlier one again; that need not be midnight (clocks that skip it), nor midnight's first coming (clocks
that go back over it). With several zones the answer is the one that restricts more, which each function names; with no
zone at all it is taken over every offset there is, so that the unknown never loosens anything.

Must never look at a clock, and never fail on an absurd instant.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from contactgate.core.time.zones import Zone
from contactgate.core.time.zones import zone as zone_of
from contactgate.model.instants import DAY_MS, HOUR_MS
from contactgate.policy.plan import CapWindow, CoolOff

_EARLIEST_OFFSET_MS = 14 * HOUR_MS  # Kiritimati: dates begin there first
_LATEST_OFFSET_MS = -12 * HOUR_MS  # Baker Island: and there last
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday
_DAYS_PER_ERA = 146_097  # 400 years

Unit = Literal["day", "week", "month"]


def leaves_at(window: CapWindow, zones: tuple[Zone, ...], time_ms: int) -> int:
    """The first instant at which a contact of that time no longer counts: the latest over the zones.

    `zones` are the person's; a window that names a zone is counted in that one.
    """
    if window.kind == "sliding":
        return time_ms + window.length_ms
    if window.zone != "subject":
        zones = _named(window.zone)
    if window.kind == "days":
        return _latest_start(zones, time_ms, "day", window.days, 0)
    return _latest_start(zones, time_ms, window.unit, 1, window.week_starts)


def cooloff_ends(cooloff: CoolOff, zones: tuple[Zone, ...], time_ms: int) -> int:
    """The end of a cool-off of whole local dates that an event of that time starts: the latest over the zones.

    With `first: same_day` the event's own date is the first of them, with `next_day` the one after it.
    """
    if cooloff.zone != "subject":
        zones = _named(cooloff.zone)
    days = cooloff.days + (1 if cooloff.first == "next_day" else 0)
    return _latest_start(zones, time_ms, "day", days, 0)


def days_after(time_ms: int, days: int, zones: tuple[Zone, ...] | None) -> int:
    """The end of a period of local dates, the day of the event included: the earliest over the zones."""
    if not zones:
        return ((time_ms + _LATEST_OFFSET_MS) // DAY_MS + days) * DAY_MS - _EARLIEST_OFFSET_MS
    return min(day_start(local_day(time_ms, each) + days, each) for each in zones)


def months_after(time_ms: int, months: int, zones: tuple[Zone, ...] | None) -> int:
    """The end of a period of local months that starts with the event's date: the earliest over the zones.

    It is the start of the date `months_over` gives, and so does not include that date.
    """
    if not zones:
        first = (time_ms + _LATEST_OFFSET_MS) // DAY_MS
        return months_over(first, months) * DAY_MS - _EARLIEST_OFFSET_MS
    return min(day_start(months_over(local_day(time_ms, each), months), each) for each in zones)


def anniversary_over(time_ms: int, months: int, zone_name: str) -> int:
    """The end of the date that many months after the event's, both in one zone: that of 29 February is 28 February."""
    (place,) = _named(zone_name)
    return day_start(add_months(local_day(time_ms, place), months) + 1, place)


def day_starts_first(day: int, zones: tuple[Zone, ...] | None) -> int:
    """Where the date begins first: the earliest start over the zones."""
    return min(day_start(day, each) for each in zones) if zones else day * DAY_MS - _EARLIEST_OFFSET_MS


def day_starts_last(day: int, zones: tuple[Zone, ...] | None) -> int:
    """Where the date begins last: the latest start over the zones."""
    return max(day_start(day, each) for each in zones) if zones else day * DAY_MS - _LATEST_OFFSET_MS


def local_day(utc_ms: int, place: Zone) -> int:
    """The date the wall clock shows."""
    return place.local(utc_ms) // DAY_MS


@lru_cache(maxsize=65_536)
def day_start(day: int, place: Zone) -> int:
    """The instant from which on the wall clock shows this date or a later one."""
    midnight = day * DAY_MS
    begins = midnight - 2 * DAY_MS
    for start, end, offset in place.segments(midnight - 2 * DAY_MS, midnight + 2 * DAY_MS):
        before = min(end, midnight - offset)  # up to here this piece shows earlier dates
        if before > start:
            begins = before
    return begins


def add_months(day: int, months: int) -> int:
    """The same day of the month that many months later (earlier if negative), or that month's last day."""
    year, month, of_month = _civil(day)
    month += months - 1
    year, month = year + month // 12, month % 12 + 1
    return _day_number(year, month, min(of_month, _month_length(year, month)))


def months_over(day: int, months: int) -> int:
    """The date on which a period of months from a date is over, by the earlier of its two readings (SEMANTICS rule 23).

    They are: the event's date plus the months has come; today less the months has reached the event's date. They differ
    at the ends of months (31 January plus one month is 28 February, but 28 February less one month is only 28 January).
    """
    forward = add_months(day, months)
    back = forward
    while add_months(back - 1, -months) >= day:
        back -= 1
    return back


def _named(name: str) -> tuple[Zone, ...]:
    place = zone_of(name)
    return () if place is None else (place,)


def _latest_start(zones: tuple[Zone, ...], time_ms: int, unit: Unit, count: int, week_starts: int) -> int:
    if len(zones) == 1:
        place = zones[0]
        return day_start(_next_period(local_day(time_ms, place), unit, count, week_starts), place)
    if not zones:
        # The date may already be the next one in the east, and begins last in the west.
        day = (time_ms + _EARLIEST_OFFSET_MS) // DAY_MS
        return _next_period(day, unit, count, week_starts) * DAY_MS - _LATEST_OFFSET_MS
    return max(day_start(_next_period(local_day(time_ms, z), unit, count, week_starts), z) for z in zones)


@lru_cache(maxsize=16_384)
def _next_period(day: int, unit: Unit, count: int, week_starts: int) -> int:
    """The first date that is outside of the period; `count` matters for days only."""
    if unit == "day":
        return day + count
    if unit == "week":
        return day + 7 - (day + _EPOCH_WEEKDAY - week_starts) % 7
    year, month, _ = _civil(day)
    return _day_number(year + month // 12, month % 12 + 1, 1)


# Proleptic Gregorian calendar over all integers (Howard Hinnant, "chrono-compatible low-level date algorithms"):
# Python's own dates end with the year 9999, and an instant from a message may lie beyond.


def _civil(day: int) -> tuple[int, int, int]:
    era, of_era = divmod(day + 719_468, _DAYS_PER_ERA)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def _day_number(year: int, month: int, of_month: int) -> int:
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + of_month - 1
    return era * _DAYS_PER_ERA + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def _month_length(year: int, month: int) -> int:
    return _day_number(year + month // 12, month % 12 + 1, 1) - _day_number(year, month, 1)

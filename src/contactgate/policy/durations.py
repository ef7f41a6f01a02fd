"""Durations, times of day and dates as people write them in a policy -> numbers.

One spelling each: `15m` is elapsed time, `31d` where local dates are counted is a number of dates, `18mo` is calendar
months and stands only where a rule counts months. Must never guess a unit: a bare number is refused. Everything raises
ValueError with what to write instead.
"""

from __future__ import annotations

from datetime import date
from typing import Literal, NamedTuple

from contactgate.model.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from contactgate.policy.plan import MAX_CLOCK_SKEW_MS

MAX_DAYS = 3_660  # ten years: longer than any rule we know, and every sum stays far inside a 64-bit integer
MAX_MONTHS = 120

_UNITS_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}


class Span(NamedTuple):
    """A length in local dates: either months or days."""

    months: int | None = None
    days: int | None = None


def _split(text: object, example: str) -> tuple[int, str]:
    if not isinstance(text, str):
        raise ValueError(f"write a duration with its unit, such as {example}")  # noqa: TRY004  # pydantic reads ValueError
    digits = len(text) - len(text.lstrip("0123456789"))
    number, unit = text[:digits], text[digits:]
    if not number or len(number) > 9 or not number.isascii():
        raise ValueError(f"not a duration: write a whole number and its unit, such as {example}")
    return int(number), unit


def elapsed(text: object) -> int:
    """`30s` `15m` `24h` `7d` `2w` -> milliseconds of elapsed time, more than 0 and at most ten years."""
    number, unit = _split(text, "15m, 24h or 7d")
    if unit in ("mo", "y"):
        raise ValueError("months and years differ in length and are not elapsed time: write days, such as 30d")
    if unit not in _UNITS_MS:
        raise ValueError("unknown unit: use s, m, h, d or w, such as 15m, 24h or 7d")
    total = number * _UNITS_MS[unit]
    if not 0 < total <= MAX_DAYS * DAY_MS:
        raise ValueError("must be more than nothing and at most ten years")
    return total


def skew(text: object) -> int:
    """How far clocks may differ: as `elapsed`, at most a day, and `0` (or `0m`) for not at all."""
    if text in (0, "0") and not isinstance(text, bool):
        return 0
    number, _ = _split(text, "10m")
    total = 0 if number == 0 else elapsed(text)
    if total > MAX_CLOCK_SKEW_MS:
        raise ValueError("clocks that differ by more than a day cannot be allowed for: at most 24h")
    return total


def dates(text: object) -> Span:
    """`31d` `2w` -> local dates; `3mo` `1y` -> calendar months."""
    number, unit = _split(text, "31d or 3mo")
    if unit in ("mo", "y"):
        months = number * (12 if unit == "y" else 1)
        if not 0 < months <= MAX_MONTHS:
            raise ValueError("must be more than nothing and at most ten years")
        return Span(months=months)
    if unit not in ("d", "w"):
        raise ValueError("counted in local dates: use d, w, mo or y, such as 31d or 3mo")
    return Span(days=_days(number * (7 if unit == "w" else 1)))


def days(text: object) -> int:
    """`28d` `4w` -> a number of local dates."""
    found = dates(text)
    if found.days is None:
        raise ValueError("counted in days: write it with d or w, such as 28d")
    return found.days


def months(text: object) -> int:
    """`12mo` `1y` -> a number of calendar months."""
    found = dates(text)
    if found.months is None:
        raise ValueError("counted in calendar months: write it with mo or y, such as 12mo")
    return found.months


def _days(number: int) -> int:
    if not 0 < number <= MAX_DAYS:
        raise ValueError("must be more than nothing and at most ten years")
    return number


def time_of_day(text: object) -> int:
    """`HH:MM` or `HH:MM:SS`, `24:00` included -> milliseconds of the local day."""
    problem = 'write a time of day between quotes, such as "09:00" or "21:00:00"'
    if not isinstance(text, str):
        raise ValueError(problem)  # noqa: TRY004
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(len(p) == 2 and p.isascii() and p.isdigit() for p in parts):
        raise ValueError(problem)
    hours, minutes, seconds = (*map(int, parts), 0)[:3]
    if minutes > 59 or seconds > 59 or hours > 24 or (hours == 24 and (minutes or seconds)):
        raise ValueError('no such time of day: between "00:00" and "24:00"')
    return hours * HOUR_MS + minutes * MINUTE_MS + seconds * SECOND_MS


def day(text: object) -> date:
    """`2026-08-11` -> a date between 1970 and 2999."""
    problem = "write a date as YYYY-MM-DD"
    if not isinstance(text, str) or len(text) != 10:
        raise ValueError(problem)
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise ValueError(problem) from None
    if not 1970 <= found.year <= 2999:
        raise ValueError("the year must lie between 1970 and 2999; leave the key out for no limit")
    return found


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

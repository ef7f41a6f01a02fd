"""Public holidays by calendar code (`CN`, `AU-NSW`), from the `holidays` library; what it only guesses is unknown.

A guess would open a day that may be a holiday, so a year is unknown, whole, when the library marks any of its dates as
estimated (the moon decides), when it warns that it has no data for it, when it lies outside of the years it covers, or
when the country announces each year's exchanged days off and the library has no announcement for it yet (China).
Must never look at a clock: which years are announced follows from the data alone.
"""

from __future__ import annotations

import warnings
from datetime import date
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import holidays
from holidays.version import __version__

from contactgate.model.instants import EPOCH_ORDINAL

DayKind = Literal["ordinary", "holiday", "workday", "unknown"]
"""workday: a weekend day declared a working day in exchange for a day off."""

HOLIDAYS_VERSION: str = __version__
"""Version of the library, and so of its calendars."""

_SHOW_ESTIMATED = "_islamic_calendar_show_estimated"
"""Some countries (Saudi Arabia) do not mark their estimates unless this is set; a test sees that it still exists."""

_YEARLY_ANNOUNCED = 3
"""A country is taken to announce exchanged days every year if this many of the last years with data have some."""


class _Year(NamedTuple):
    known: bool
    closed: frozenset[int]  # days since 1970-01-01
    worked: frozenset[int]


@lru_cache(maxsize=1_024)
def known_holiday_code(code: str) -> bool:
    """Whether the library has this calendar: an ISO 3166 country (two or three letters), or its subdivision."""
    country, dash, subdivision = code.partition("-")
    subdivisions = holidays.list_supported_countries().get(country)
    if subdivisions is None:
        return False
    return subdivision in subdivisions if dash else True


_STRICTEST: tuple[DayKind, ...] = ("unknown", "holiday", "ordinary", "workday")

_CALENDAR_OF = {"FR-67": "FR-6AE", "FR-68": "FR-6AE"}
"""Parts of a country whose holidays the library has under another part's code: the two departments of Alsace."""


def with_parts(code: str, jurisdictions: tuple[str, ...]) -> str:
    """The calendar of a country joined (`FR+FR-57`) with those of its parts among the jurisdictions that have one."""
    parts = {_CALENDAR_OF.get(each, each) for each in jurisdictions if each.startswith(f"{code}-")}
    return "+".join([code, *sorted(part for part in parts if known_holiday_code(part))])


def holiday_status(code: str, day: date) -> Literal["open", "closed", "unknown"]:
    """`closed` on a public holiday of the calendar, `unknown` in a year the library only guesses, else `open`."""
    kind = day_kind(code, day.toordinal() - EPOCH_ORDINAL)
    if kind == "unknown":
        return "unknown"
    return "closed" if kind == "holiday" else "open"


@lru_cache(maxsize=16_384)
def day_kind(code: str, day: int) -> DayKind:
    """What the calendar says of a date given as days since 1970-01-01; `unknown` for an unknown code."""
    if "+" in code:
        kinds = {day_kind(each, day) for each in code.split("+")}
        return next(kind for kind in _STRICTEST if kind in kinds)
    ordinal = day + EPOCH_ORDINAL
    if not date.min.toordinal() <= ordinal <= date.max.toordinal():
        return "unknown"
    year = _year(code, date.fromordinal(ordinal).year)
    if not year.known:
        return "unknown"
    if day in year.closed:
        return "holiday"
    return "workday" if day in year.worked else "ordinary"


@lru_cache(maxsize=512)
def _year(code: str, year: int) -> _Year:
    unknown = _Year(known=False, closed=frozenset(), worked=frozenset())
    if not known_holiday_code(code):
        return unknown
    own = _calendar(code, (year,))
    if own is None or not own.start_year <= year <= own.end_year or _is_guess(own, year):
        return unknown
    # The years next to it may move a day off or a working day into this one.
    beside = _calendar(code, tuple(y for y in (year - 1, year, year + 1) if own.start_year <= y <= own.end_year)) or own
    closed = {day for calendar in (own, beside) for day in calendar if day.year == year}
    worked = {day for calendar in (own, beside) for day in calendar.weekend_workdays if day.year == year} - closed
    return _Year(known=True, closed=_numbers(closed), worked=_numbers(worked))


def _numbers(days: set[date]) -> frozenset[int]:
    return frozenset(day.toordinal() - EPOCH_ORDINAL for day in days)


def _calendar(code: str, years: tuple[int, ...]) -> holidays.HolidayBase | None:
    """The calendar with these years; None if the library warns that it has no data for one of them."""
    country, _, subdivision = code.partition("-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", UserWarning)
        try:
            calendar = holidays.country_holidays(country, subdiv=subdivision or None)
            if hasattr(calendar, _SHOW_ESTIMATED):
                setattr(calendar, _SHOW_ESTIMATED, True)
            for year in years:
                _ = date(year, 1, 1) in calendar  # fills in that year
            return calendar
        except UserWarning:
            return None


def _is_guess(calendar: holidays.HolidayBase, year: int) -> bool:
    if year > _last_announced(calendar):
        return True
    marks = set()
    for attribute in ("estimated_label", "observed_estimated_label"):
        label = getattr(calendar, attribute, None)
        if label:
            marks.add(calendar.tr(label).replace("%s", "").strip(" ()（）"))
    return any(mark and mark in name for name in calendar.values() for mark in marks)


def _last_announced(calendar: Any) -> int:
    """The last year whose exchanged days off are known; the calendar's own end if the country has no such custom."""
    special: dict[int, Any] = getattr(calendar, "special_public_holidays", None) or {}
    announced = sorted(year for year, entries in special.items() if _has_exchange(entries))
    if len(announced) < _YEARLY_ANNOUNCED or announced[-1] - announced[-_YEARLY_ANNOUNCED] >= 2 * _YEARLY_ANNOUNCED:
        return int(calendar.end_year)
    return announced[-1]


def _has_exchange(entries: Any) -> bool:
    """Whether a year's special days hold an exchange: (month, day, from month, from day[, from year])."""
    rows = entries if entries and isinstance(entries[0], tuple) else (entries,)
    return any(len(row) > 3 for row in rows)

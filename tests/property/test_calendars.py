"""Local dates against Python's own calendar and a slow look at the wall clock."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from contactgate.core.time.calendars import add_months, day_start, leaves_at, local_day, months_over
from contactgate.core.time.zones import Zone, zone
from contactgate.policy.plan import CapWindow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = st.sampled_from(
    [
        "America/New_York",
        "America/Santiago",
        "America/Havana",
        "America/St_Johns",
        "Asia/Beirut",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "Africa/Cairo",
        "UTC",
    ]
)
INSTANTS = st.integers(631_152_000_000, 2_840_140_800_000)  # 1990 to 2060
DATES = st.dates(date(1900, 1, 1), date(2300, 1, 1))


def known(name: str) -> Zone:
    found = zone(name)
    assert found is not None
    return found


def number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def shown(name: str, at: int) -> date:
    return (EPOCH + timedelta(milliseconds=at)).astimezone(ZoneInfo(name)).date()


@given(NAMES, INSTANTS)
def test_a_date_has_begun_from_its_start_on(name: str, at: int) -> None:
    """From the start on no earlier date is shown; just before it one is."""
    day = local_day(at, known(name))
    start = day_start(day, known(name))
    assert number(shown(name, start - 1)) < day
    for minutes in range(180):
        assert number(shown(name, start + minutes * 60_000)) >= day


@given(NAMES, INSTANTS, st.sampled_from(["day", "week", "month"]), st.integers(0, 6))
@settings(max_examples=200)
def test_a_contact_counts_exactly_in_its_own_period(name: str, at: int, unit: str, week_starts: int) -> None:
    """Just before it leaves, the date shown is in the contact's own period; from then on it is in a later one."""

    def period(moment: int) -> object:
        day = shown(name, moment)
        if unit == "day":
            return day
        if unit == "month":
            return (day.year, day.month)
        return day - timedelta(days=(day.weekday() - week_starts) % 7)

    end = leaves_at(CapWindow("calendar", unit=unit, week_starts=week_starts), (known(name),), at)  # type: ignore[arg-type]
    assert end > at
    assert period(end - 1) == period(at)
    assert period(end) > period(at)  # type: ignore[operator]


@given(NAMES, INSTANTS, st.integers(1, 60))
def test_a_contact_counts_for_n_dates(name: str, at: int, days: int) -> None:
    """It leaves at the start of the n-th date after its own."""
    end = leaves_at(CapWindow("days", days=days), (known(name),), at)
    assert (shown(name, end - 1) - shown(name, at)).days < days <= (shown(name, end) - shown(name, at)).days


@given(DATES, st.integers(-400, 400))
def test_months_are_those_of_the_calendar(day: date, months: int) -> None:
    """Adding months lands in the right month, on the same day or the month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    expected = date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    assert add_months(number(day), months) == number(expected)


@given(DATES, st.integers(0, 60))
def test_months_over_is_the_first_date_of_either_reading(day: date, months: int) -> None:
    """On the date given one of the two readings says over; on the dates before it neither does."""
    event = number(day)
    over = months_over(event, months)

    def is_over(today: int) -> bool:
        return today >= add_months(event, months) or add_months(today, -months) >= event

    assert is_over(over)
    assert not any(is_over(today) for today in range(over - 40, over))

"""Local dates at named moments: when a contact leaves a window, when a period of months is over, when a date begins."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from contactgate.core.time.calendars import (
    add_months,
    cooloff_ends,
    day_start,
    day_starts_first,
    day_starts_last,
    days_after,
    leaves_at,
    local_day,
    months_after,
    months_over,
)
from contactgate.core.time.zones import Zone, zone
from contactgate.policy.plan import CapWindow, CoolOff


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


def iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M")


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def known(name: str) -> Zone:
    found = zone(name)
    assert found is not None
    return found


NEW_YORK = (known("America/New_York"),)
BOTH = (known("America/New_York"), known("America/Los_Angeles"))


def test_a_sliding_window_is_elapsed_time() -> None:
    """Seven days are seven times 24 hours, also over a change of the clocks."""
    window = CapWindow("sliding", length_ms=7 * 86_400_000)
    assert iso(leaves_at(window, NEW_YORK, ms("2026-03-05T17:00"))) == "2026-03-12T17:00"


def test_days_are_local_dates_with_today() -> None:
    """A call on Wednesday evening counts for seven dates, that Wednesday included: not on the next Wednesday."""
    window = CapWindow("days", days=7)
    assert iso(leaves_at(window, NEW_YORK, ms("2026-04-01T22:00"))) == "2026-04-08T04:00"
    assert iso(leaves_at(window, NEW_YORK, ms("2026-04-02T02:00"))) == "2026-04-08T04:00"  # still Wednesday there


def test_days_may_be_23_or_25_hours_long() -> None:
    """A date ends when the next begins, after 23 hours in spring and 25 in autumn."""
    window = CapWindow("calendar", unit="day")
    assert leaves_at(window, NEW_YORK, ms("2026-03-08T05:00")) - ms("2026-03-08T05:00") == 23 * 3_600_000
    assert leaves_at(window, NEW_YORK, ms("2026-11-01T04:00")) - ms("2026-11-01T04:00") == 25 * 3_600_000


def test_calendar_periods_end_with_the_next_one() -> None:
    """A week ends where the policy says that weeks start, a month on the first, a year's last month on 1 January."""
    sunday = ms("2026-03-01T12:00")
    assert iso(leaves_at(CapWindow("calendar", unit="week", zone="UTC"), (), sunday)) == "2026-03-02T00:00"
    assert (
        iso(leaves_at(CapWindow("calendar", unit="week", zone="UTC", week_starts=6), (), sunday)) == "2026-03-08T00:00"
    )
    assert iso(leaves_at(CapWindow("calendar", unit="month", zone="UTC"), (), sunday)) == "2026-04-01T00:00"
    december = CapWindow("calendar", unit="month", zone="Asia/Kathmandu")
    assert iso(leaves_at(december, (), ms("2026-12-31T18:14"))) == "2026-12-31T18:15"
    assert iso(leaves_at(december, (), ms("2026-12-31T18:15"))) == "2027-01-31T18:15"


def test_the_latest_zone_decides() -> None:
    """A contact with a person in New York or Los Angeles counts until its date is over in both."""
    window = CapWindow("calendar", unit="day")
    assert iso(leaves_at(window, BOTH, ms("2026-06-05T16:00"))) == "2026-06-06T07:00"
    assert iso(leaves_at(window, BOTH, ms("2026-06-06T05:00"))) == "2026-06-07T04:00"  # Saturday in New York already


def test_without_a_zone_every_offset_counts() -> None:
    """A contact with a person of unknown zone counts at least as long as in any zone."""
    window = CapWindow("days", days=2)
    at = ms("2026-06-05T16:00")
    unknown = leaves_at(window, (), at)
    for name in ("Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kolkata", "UTC", "Pacific/Apia"):
        assert leaves_at(window, (known(name),), at) <= unknown


def test_a_cooloff_may_start_on_the_day_or_after_it() -> None:
    """Seven dates from the conversation's own date end on the following Wednesday, from the next day a day later."""
    at = ms("2026-04-01T22:05")
    same = CoolOff("cooloff.x", frozenset(("answered",)), "days", days=7)
    after = CoolOff("cooloff.x", frozenset(("answered",)), "days", days=7, first="next_day")
    assert iso(cooloff_ends(same, NEW_YORK, at)) == "2026-04-08T04:00"
    assert iso(cooloff_ends(after, NEW_YORK, at)) == "2026-04-09T04:00"
    fixed = CoolOff("cooloff.x", frozenset(("answered",)), "days", days=1, zone="UTC")
    assert iso(cooloff_ends(fixed, NEW_YORK, at)) == "2026-04-02T00:00"


@pytest.mark.parametrize(
    ("name", "text", "begins"),
    [
        ("America/New_York", "2026-03-08", "2026-03-08T05:00"),
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00"),  # 00:00 to 01:00 is skipped
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00"),  # likewise
        ("America/Havana", "2026-03-08", "2026-03-08T05:00"),  # likewise
        ("America/Havana", "2026-11-01", "2026-11-01T04:00"),  # 00:00 to 01:00 comes twice, on one date
        ("America/St_Johns", "2010-11-07", "2010-11-07T03:30"),  # 00:01 goes back to 23:01 of the day before
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00"),  # a date that never was
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00"),
        ("Pacific/Kiritimati", "2026-01-01", "2025-12-31T10:00"),
    ],
)
def test_a_date_begins_when_the_wall_clock_no_longer_shows_an_earlier_one(name: str, text: str, begins: str) -> None:
    """Skipped, repeated and missing midnights: the date has begun once and for all."""
    assert iso(day_start(day(text), known(name))) == begins


def test_first_and_last_start_of_a_date() -> None:
    """A date begins earliest in the east; without a zone it begins at +14:00 first and at -12:00 last."""
    at = day("2026-06-05")
    assert iso(day_starts_first(at, BOTH)) == "2026-06-05T04:00"
    assert iso(day_starts_last(at, BOTH)) == "2026-06-05T07:00"
    assert iso(day_starts_first(at, None)) == "2026-06-04T10:00"
    assert iso(day_starts_last(at, ())) == "2026-06-05T12:00"


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2026-03-31", -1, "2026-02-28"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2024-02-29", -18, "2022-08-29"),
        ("2022-08-28", 18, "2024-02-28"),
        ("2026-01-10", 3, "2026-04-10"),
        ("2026-12-31", 2, "2027-02-28"),
        ("2026-01-15", -1, "2025-12-15"),
        ("2026-05-31", 0, "2026-05-31"),
    ],
)
def test_months_keep_the_day_or_take_the_last(start: str, months: int, end: str) -> None:
    """Adding months keeps the day of the month where there is one, and else takes the month's last day."""
    assert add_months(day(start), months) == day(end)


def test_a_period_of_months_is_over_by_the_earlier_reading() -> None:
    """31 January plus one month is over on 28 February, although 28 February less one month is before 31 January."""
    assert months_over(day("2026-01-31"), 1) == day("2026-02-28")
    assert months_over(day("2026-02-28"), 1) == day("2026-03-28")


def test_consent_periods_end_where_they_end_first() -> None:
    """Three months with the grant's own date: from 15 January to the end of 14 April, by the earliest zone."""
    at = ms("2026-01-15T01:00")
    assert iso(months_after(at, 3, (known("Australia/Sydney"),))) == "2026-04-14T14:00"
    assert iso(days_after(at, 1, (known("Australia/Sydney"),))) == "2026-01-15T13:00"
    assert months_after(at, 3, None) <= months_after(at, 3, BOTH) <= months_after(at, 3, BOTH[1:])
    assert days_after(at, 3, ()) <= days_after(at, 3, BOTH)


@pytest.mark.parametrize("at", [-(10**15), 0, 253_402_300_799_999, 10**16])
def test_absurd_instants_have_dates(at: int) -> None:
    """Instants beyond the year 9999 are counted like any other."""
    window = CapWindow("calendar", unit="month")
    assert leaves_at(window, NEW_YORK, at) > at
    assert months_after(at, 18, NEW_YORK) > at
    assert local_day(at, known("UTC")) == at // 86_400_000

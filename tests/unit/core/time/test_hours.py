"""Calling hours and holidays at named moments: bounds, midnight, clock changes, several zones, make-up workdays."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from contactgate.core.time import holiday
from contactgate.core.time.holiday import day_kind, holiday_status, known_holiday_code
from contactgate.core.time.hours import OpenHours, is_open, next_open, open_hours, open_intervals, open_until
from contactgate.core.time.zones import Zone, zone
from contactgate.model.facts import Span
from contactgate.model.instants import DAY_MS

WEEKDAYS = (0, 1, 2, 3, 4)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


def iso(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")[:-6]


def clock(text: str) -> int:
    hours, minutes = text.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000


def span(start: str, end: str, days: tuple[int, ...] = (), **more: object) -> Span:
    return Span(days=days, from_ms=clock(start), to_ms=clock(end), **more)  # type: ignore[arg-type]


def at(*names: str) -> tuple[Zone, ...]:
    found = tuple(zone(name) for name in names)
    assert None not in found
    return found  # type: ignore[return-value]


def rule(*spans: Span, zone_name: str | None = None) -> OpenHours:
    return OpenHours("hours", spans, zone_name)


def test_a_window_is_half_open() -> None:
    """09:00 is inside, 20:00 is not, and the millisecond before each is the opposite."""
    hours, where = rule(span("09:00", "20:00")), at("UTC")
    start, end = ms("2026-03-02T09:00"), ms("2026-03-02T20:00")
    assert [is_open(hours, where, t) for t in (start - 1, start, end - 1, end)] == [False, True, True, False]


def test_bounds_can_be_changed() -> None:
    """An open start excludes 09:00 itself and a closed end admits 20:00 itself, one millisecond each."""
    hours, where = rule(span("09:00", "20:00", from_exclusive=True, to_inclusive=True)), at("UTC")
    start, end = ms("2026-03-02T09:00"), ms("2026-03-02T20:00")
    assert [is_open(hours, where, t) for t in (start, start + 1, end, end + 1)] == [False, True, True, False]
    assert next_open(hours, where, start) == start + 1


def test_a_closed_end_at_midnight_is_one_millisecond_of_the_next_day() -> None:
    """A window to 24:00 inclusive admits midnight itself, on a day that is otherwise closed."""
    hours, where = rule(span("09:00", "24:00", (0,), to_inclusive=True)), at("UTC")
    midnight = ms("2026-03-03T00:00")
    assert [is_open(hours, where, t) for t in (midnight - 1, midnight, midnight + 1)] == [True, True, False]
    assert open_until(hours, where, midnight - 1) == midnight + 1


def test_a_day_can_end_at_24_00() -> None:
    """A window to 24:00 reaches midnight, and meets one that starts at 00:00 without a gap."""
    hours, where = rule(span("20:00", "24:00"), span("00:00", "02:00")), at("UTC")
    assert open_until(hours, where, ms("2026-03-02T21:00")) == ms("2026-03-03T02:00")


def test_an_overnight_window_belongs_to_its_start_day() -> None:
    """Friday 22:00 to 02:00 is open on Saturday at 01:00 and closed on Friday at 01:00."""
    hours, where = rule(span("22:00", "02:00", (4,))), at("UTC")
    assert is_open(hours, where, ms("2026-03-07T01:00"))
    assert not is_open(hours, where, ms("2026-03-06T01:00"))
    assert iso(next_open(hours, where, ms("2026-03-07T02:00"))) == "2026-03-13T22:00:00.000"


def test_spans_of_a_rule_are_alternatives() -> None:
    """Weekday hours and shorter Saturday hours of one name are a union; Sunday is closed."""
    hours, where = rule(span("09:00", "20:00", WEEKDAYS), span("10:00", "13:00", (5,))), at("Europe/Paris")
    assert iso(next_open(hours, where, ms("2026-06-05T18:00"))) == "2026-06-06T08:00:00.000"
    assert iso(next_open(hours, where, ms("2026-06-06T11:00"))) == "2026-06-08T07:00:00.000"


def test_every_zone_must_be_open() -> None:
    """A subject who may be in New York or Los Angeles can be called from 08:00 Pacific to 21:00 Eastern."""
    hours, where = rule(span("08:00", "21:00")), at("America/New_York", "America/Los_Angeles")
    assert iso(next_open(hours, where, ms("2026-06-05T12:00"))) == "2026-06-05T15:00:00.000"
    assert iso(open_until(hours, where, ms("2026-06-05T15:00"))) == "2026-06-06T01:00:00.000"
    assert is_open(hours, at("America/New_York"), ms("2026-06-05T12:00"))


def test_newfoundland_and_labrador_both_bind() -> None:
    """At 12:45Z it is 09:15 in St John's and 08:45 in Halifax: closed until 13:00Z."""
    hours, where = rule(span("09:00", "21:30", WEEKDAYS)), at("America/Halifax", "America/St_Johns")
    assert not is_open(hours, where, ms("2026-02-02T12:45"))
    assert iso(next_open(hours, where, ms("2026-02-02T12:45"))) == "2026-02-02T13:00:00.000"
    assert iso(next_open(hours, where, ms("2026-02-03T01:10"))) == "2026-02-03T13:00:00.000"


def test_no_zone_is_never_open() -> None:
    """Without any zone nothing is open, ever."""
    hours = rule(span("00:00", "24:00"))
    assert not is_open(hours, (), 0)
    assert next_open(hours, (), 0) is None
    assert open_until(hours, (), 5) == 5


def test_a_rule_may_name_its_own_zone() -> None:
    """A rule with a zone ignores the person's zones; with a zone that does not exist it is never open."""
    assert is_open(rule(span("09:00", "10:00"), zone_name="Asia/Tokyo"), at("UTC"), ms("2026-03-02T00:30"))
    assert is_open(rule(span("09:00", "10:00"), zone_name="Asia/Tokyo"), (), ms("2026-03-02T00:30"))
    assert next_open(rule(span("09:00", "10:00"), zone_name="Mars/Base"), at("UTC"), 0) is None


def test_a_window_that_opens_in_the_gap_opens_when_it_ends() -> None:
    """In New York 02:30 is skipped on 8 March 2026: the window opens at 03:00 daylight time."""
    hours, where = rule(span("02:30", "05:00")), at("America/New_York")
    assert iso(next_open(hours, where, ms("2026-03-08T05:00"))) == "2026-03-08T07:00:00.000"
    assert iso(open_until(hours, where, ms("2026-03-08T07:00"))) == "2026-03-08T09:00:00.000"


def test_a_window_inside_the_gap_does_not_open_that_day() -> None:
    """02:10 to 02:50 does not exist on that day: the next opening is the day after."""
    assert iso(next_open(rule(span("02:10", "02:50")), at("America/New_York"), ms("2026-03-08T05:00"))) == (
        "2026-03-09T06:10:00.000"
    )


def test_a_window_in_the_fold_opens_twice() -> None:
    """01:15 to 01:45 comes twice on 1 November 2026 in New York, an hour apart."""
    pieces = open_intervals(
        rule(span("01:15", "01:45")), at("America/New_York"), ms("2026-11-01T00:00"), ms("2026-11-02T00:00")
    )
    assert [(iso(a), iso(b)) for a, b in pieces] == [
        ("2026-11-01T05:15:00.000", "2026-11-01T05:45:00.000"),
        ("2026-11-01T06:15:00.000", "2026-11-01T06:45:00.000"),
    ]


def test_a_window_over_the_whole_fold_is_one_piece() -> None:
    """00:00 to 06:00 lasts seven hours in the night the clocks go back."""
    hours, where = rule(span("00:00", "06:00")), at("America/New_York")
    assert iso(open_until(hours, where, ms("2026-11-01T04:00"))) == "2026-11-01T11:00:00.000"


def test_always_open_and_never_open() -> None:
    """All day, every day ends beyond the horizon; a rule without spans never opens."""
    assert open_until(rule(span("00:00", "24:00")), at("Asia/Kolkata"), 0) >= 400 * DAY_MS
    assert next_open(rule(), at("UTC"), 0) is None
    assert next_open(rule(), at("UTC"), 1) is None


def test_leap_day_and_year_end() -> None:
    """29 February 2024 is a Thursday, and a window over New Year's Eve reaches into the next year."""
    assert (
        iso(next_open(rule(span("09:00", "10:00", (3,))), at("UTC"), ms("2024-02-23T00:00")))
        == "2024-02-29T09:00:00.000"
    )
    assert iso(open_until(rule(span("22:00", "03:00")), at("UTC"), ms("2026-12-31T23:00"))) == "2027-01-01T03:00:00.000"


def test_anzac_day_is_closed_although_it_is_a_saturday() -> None:
    """25 April 2026 is closed in Australia and the next opening is Monday 09:00 in Sydney."""
    hours = rule(span("09:00", "20:00", WEEKDAYS, holidays="AU"), span("09:00", "17:00", (5,), holidays="AU"))
    where = at("Australia/Sydney")
    assert not is_open(hours, where, ms("2026-04-25T01:00"))
    assert iso(next_open(hours, where, ms("2026-04-25T01:00"))) == "2026-04-26T23:00:00.000"


def test_subdivisions_have_their_own_holidays() -> None:
    """Labour Day is on another date in New South Wales than in Victoria, and not a national holiday."""
    assert holiday_status("AU-NSW", date(2026, 10, 5)) == "closed"
    assert holiday_status("AU-VIC", date(2026, 10, 5)) == "open"
    assert holiday_status("AU", date(2026, 10, 5)) == "open"


def test_an_overnight_span_follows_the_holiday_of_its_start_day() -> None:
    """A night that starts on a holiday is closed after midnight too; one that starts before it is open into it."""
    hours, where = rule(span("22:00", "02:00", holidays="AU")), at("Australia/Sydney")
    assert is_open(hours, where, ms("2026-04-24T15:00"))  # 01:00 on Anzac Day, started the evening before
    assert not is_open(hours, where, ms("2026-04-25T15:00"))  # 01:00 on the day after


def test_a_make_up_workday_has_the_hours_of_the_working_week() -> None:
    """Saturday 14 February 2026 is worked in China: weekday hours apply and Saturday hours do not."""
    where, noon = at("Asia/Shanghai"), ms("2026-02-14T04:00")
    assert day_kind("CN", noon // DAY_MS) == "workday"
    assert is_open(rule(span("09:00", "20:00", WEEKDAYS, holidays="CN")), where, noon)
    assert not is_open(rule(span("09:00", "20:00", (5,), holidays="CN")), where, noon)
    assert not is_open(rule(span("09:00", "20:00", WEEKDAYS)), where, noon)
    assert is_open(rule(span("09:00", "20:00", holidays="CN")), where, noon)


def test_an_exchanged_day_off_is_closed() -> None:
    """Friday 20 February 2026 is off in exchange for that Saturday."""
    assert holiday_status("CN", date(2026, 2, 20)) == "closed"
    assert holiday_status("CN", date(2026, 2, 14)) == "open"


def test_make_up_days_reach_over_the_year_end() -> None:
    """29 December 2001 was worked for a holiday of January 2002, which only the next year's data says."""
    assert day_kind("CN", (date(2001, 12, 29) - date(1970, 1, 1)).days) == "workday"


@pytest.mark.parametrize(
    ("code", "day", "status"),
    [
        ("CN", date(2026, 11, 23), "open"),
        ("CN", date(2028, 3, 1), "unknown"),  # exchanged days are announced a year at a time
        ("SA", date(2040, 3, 1), "unknown"),  # the moon has not been seen yet
        ("IN", date(2040, 3, 1), "unknown"),  # the library warns that it has no data
        ("FR", date(2040, 3, 1), "open"),
        ("XX", date(2026, 3, 1), "unknown"),
        ("CN", date(1900, 3, 1), "unknown"),
    ],
)
def test_a_guessed_year_is_unknown(code: str, day: date, status: str) -> None:
    """A year that the library can only estimate, or has no announcement or data for, is unknown as a whole."""
    assert holiday_status(code, day) == status


def test_a_guessed_year_is_closed() -> None:
    """Hours that depend on an unknown year are closed and do not open within the horizon."""
    hours, where = rule(span("00:00", "24:00", holidays="CN")), at("Asia/Shanghai")
    assert not is_open(hours, where, ms("2030-03-01T04:00"))
    assert next_open(hours, where, ms("2030-03-01T04:00")) is None


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("CN", True),
        ("AU-NSW", True),
        ("GB-SCT", True),
        ("AU-XX", False),
        ("CHN", True),
        ("cn", False),
        ("", False),
        ("CN-", False),
    ],
)
def test_calendar_codes_can_be_checked(code: str, known: bool) -> None:
    """A policy loader can tell a calendar that exists from one that does not."""
    assert known_holiday_code(code) is known


def test_every_calendar_answers_for_every_near_year() -> None:
    """No calendar of the library fails: each country's years are known or unknown, never an exception."""
    import holidays

    for code in holidays.list_supported_countries(include_aliases=False):
        for year in (2025, 2026, 2027, 2040):
            holiday._year(code, year)


def test_the_same_arguments_give_the_same_rule() -> None:
    """Rules are shared, so that what one subject's preferred hours cost is paid once."""
    spans = (span("09:00", "20:00"),)
    assert open_hours("w", spans) is open_hours("w", (span("09:00", "20:00"),))
    assert open_hours("w", spans) is not open_hours("w", spans, "UTC")


def test_what_is_remembered_is_bounded() -> None:
    """Ten thousand different days leave a bounded number of remembered days and answers."""
    hours = rule(span("09:00", "20:00"))
    for day in range(10_000):
        is_open(hours, at("UTC"), day * DAY_MS)
    assert len(hours._days) <= 4_096

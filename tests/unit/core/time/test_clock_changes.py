"""Clock changes and calendars, as examples through the offline fold: what a person's wall clock and calendar say.

The instants were worked out by hand from the zones' published changes, not by code.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from contactgate.codec.tokens import Tokens
from contactgate.offline import fold
from contactgate.policy.load import load_policy

TOKENS = Tokens(b"only for tests, 32 bytes or more.")
NEW_YORK, LONDON, SYDNEY, LORD_HOWE = "America/New_York", "Europe/London", "Australia/Sydney", "Australia/Lord_Howe"


def decided(zone: str, times: list[str], outcome: str | None = None, **rules: Any) -> list[dict[str, Any]]:
    """The decisions on requests at these times, each outcome reported at once, for a person who lives in that zone."""
    policy = load_policy(
        {
            "policy": "calendars",
            "require": {"campaign": False, "party": False, "notice": False},
            "purposes": {"marketing": {"consent": "none"}},
            **rules,
        }
    )
    events: list[dict[str, Any]] = [
        {
            "type": "subject.updated",
            "event_id": "e",
            "subject_id": "s",
            "time": "2025-01-01T00:00:00Z",
            "timezone": zone,
        }
    ]
    for n, time in enumerate(times):
        request = {"type": "contact.requested", "request_id": f"r-{n}", "subject_id": "s", "time": time}
        events.append({**request, "requester": "bank", "controller": "bank", "purpose": "marketing", "channel": "mail"})
        if outcome is not None:
            report = {"type": "contact.outcome", "event_id": f"o-{n}", "request_id": f"r-{n}", "subject_id": "s"}
            events.append({**report, "time": time, "outcome": outcome})
    lines = [json.loads(line) for line in fold((json.dumps(e).encode() for e in events), policy, TOKENS)]
    return [line for line in lines if line["type"] == "contact.decided"]


def opens(zone: str, asked: str, start: str, end: str, **window: Any) -> str | None:
    """When a request asked at that instant passes: the same instant, a later one, or never."""
    window = {"name": "hours", "from": start, "to": end, **window}
    (decision,) = decided(zone, [asked], windows=[window])
    return asked if decision["verdict"] == "pass" else stamp(decision["next_eligible_at"])


def stamp(text: str | None) -> str | None:
    """An instant without a fraction that says nothing."""
    return text and text.replace(".000Z", "Z")


def again(zone: str, contacted: str, window: dict[str, Any]) -> str | None:
    """When, after one contact, a cap of one lets the next pass."""
    cap = {"name": "one", "limit": 1, "window": window, "scope": ["subject"]}
    first, second = decided(zone, [contacted, contacted], caps=[cap])
    assert (first["verdict"], second["verdict"]) == ("pass", "block")
    return stamp(second["next_eligible_at"])


@pytest.mark.parametrize(
    ("zone", "asked", "opening"),
    [
        (NEW_YORK, "2026-03-07T11:00:00Z", "2026-03-07T14:00:00Z"),  # the day before the clock goes forward
        (NEW_YORK, "2026-03-08T11:00:00Z", "2026-03-08T13:00:00Z"),  # the day it does
        (NEW_YORK, "2026-10-31T11:00:00Z", "2026-10-31T13:00:00Z"),  # the day before it goes back
        (NEW_YORK, "2026-11-01T11:00:00Z", "2026-11-01T14:00:00Z"),
        (LONDON, "2026-03-28T06:00:00Z", "2026-03-28T09:00:00Z"),
        (LONDON, "2026-03-29T06:00:00Z", "2026-03-29T08:00:00Z"),
        (LONDON, "2026-10-24T06:00:00Z", "2026-10-24T08:00:00Z"),
        (LONDON, "2026-10-25T06:00:00Z", "2026-10-25T09:00:00Z"),
        (SYDNEY, "2026-04-03T20:00:00Z", "2026-04-03T22:00:00Z"),
        (SYDNEY, "2026-04-04T20:00:00Z", "2026-04-04T23:00:00Z"),
        (SYDNEY, "2026-10-02T20:00:00Z", "2026-10-02T23:00:00Z"),
        (SYDNEY, "2026-10-03T20:00:00Z", "2026-10-03T22:00:00Z"),
        (LORD_HOWE, "2026-04-03T20:00:00Z", "2026-04-03T22:00:00Z"),  # by half an hour
        (LORD_HOWE, "2026-04-04T20:00:00Z", "2026-04-04T22:30:00Z"),
        (LORD_HOWE, "2026-10-02T20:00:00Z", "2026-10-02T22:30:00Z"),
        (LORD_HOWE, "2026-10-03T20:00:00Z", "2026-10-03T22:00:00Z"),
    ],
)
def test_nine_in_the_morning_is_nine_on_the_wall(zone: str, asked: str, opening: str) -> None:
    """A window opens by the wall clock on the days before and after a clock change."""
    assert opens(zone, asked, "09:00", "17:00") == opening


@pytest.mark.parametrize(
    ("zone", "asked", "start", "end", "opening"),
    [
        # The clock jumps from 02:00 to 03:00 at 07:00Z: hours that would begin in the gap begin when it is over,
        (NEW_YORK, "2026-03-08T06:00:00Z", "02:30", "04:00", "2026-03-08T07:00:00Z"),
        # and hours inside of it do not exist that day.
        (NEW_YORK, "2026-03-08T06:00:00Z", "02:00", "03:00", "2026-03-09T06:00:00Z"),
        (LONDON, "2026-03-29T00:30:00Z", "01:15", "02:30", "2026-03-29T01:00:00Z"),
        (LONDON, "2026-03-29T00:30:00Z", "01:00", "02:00", "2026-03-30T00:00:00Z"),
        (SYDNEY, "2026-10-03T15:30:00Z", "02:59", "03:30", "2026-10-03T16:00:00Z"),
        (SYDNEY, "2026-10-03T15:30:00Z", "02:00", "03:00", "2026-10-04T15:00:00Z"),
        (LORD_HOWE, "2026-10-03T15:00:00Z", "02:15", "03:00", "2026-10-03T15:30:00Z"),
        (LORD_HOWE, "2026-10-03T15:00:00Z", "02:00", "02:30", "2026-10-04T15:00:00Z"),
    ],
)
def test_spring_forward(zone: str, asked: str, start: str, end: str, opening: str) -> None:
    """Hours that the clock jumps over are not there."""
    assert opens(zone, asked, start, end) == opening


@pytest.mark.parametrize(
    ("zone", "start", "end", "asked", "opening"),
    [
        # 01:15 to 01:45 comes twice on the first of November: 05:15Z and, after the clock went back at 06:00Z, 06:15Z.
        (NEW_YORK, "01:15", "01:45", "2026-11-01T05:00:00Z", "2026-11-01T05:15:00Z"),
        (NEW_YORK, "01:15", "01:45", "2026-11-01T05:45:00Z", "2026-11-01T06:15:00Z"),
        (NEW_YORK, "01:15", "01:45", "2026-11-01T06:45:00Z", "2026-11-02T06:15:00Z"),
        (NEW_YORK, "01:00", "02:00", "2026-11-01T05:59:59.999Z", "2026-11-01T05:59:59.999Z"),
        (NEW_YORK, "01:00", "02:00", "2026-11-01T06:00:00Z", "2026-11-01T06:00:00Z"),
        (LONDON, "01:10", "01:20", "2026-10-25T00:20:00Z", "2026-10-25T01:10:00Z"),
        (SYDNEY, "02:10", "02:20", "2026-04-04T15:20:00Z", "2026-04-04T16:10:00Z"),
        (LORD_HOWE, "01:40", "01:50", "2026-04-04T14:50:00Z", "2026-04-04T15:10:00Z"),
        (LORD_HOWE, "01:30", "02:00", "2026-04-04T15:00:00Z", "2026-04-04T15:00:00Z"),
    ],
)
def test_fall_back(zone: str, start: str, end: str, asked: str, opening: str) -> None:
    """Hours that come twice are open twice."""
    assert opens(zone, asked, start, end) == opening


@pytest.mark.parametrize(
    ("zone", "contacted", "next_day"),
    [
        (NEW_YORK, "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),  # 23 hours
        (NEW_YORK, "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),  # 25 hours
        (LONDON, "2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z"),
        (LONDON, "2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z"),
        (SYDNEY, "2026-10-03T14:00:00Z", "2026-10-04T13:00:00Z"),
        (SYDNEY, "2026-04-04T13:00:00Z", "2026-04-05T14:00:00Z"),
        (LORD_HOWE, "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z"),  # 23 and a half
        (LORD_HOWE, "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z"),  # 24 and a half
    ],
)
def test_a_day_is_as_long_as_it_is(zone: str, contacted: str, next_day: str) -> None:
    """A daily cap ends at the person's midnight, however long the day was; a sliding day is 24 hours."""
    assert again(zone, contacted, {"calendar": "day", "zone": "subject"}) == next_day
    assert again(zone, contacted, {"days": 1, "zone": "subject"}) == next_day
    after = again(zone, contacted, {"sliding": "24h"})
    assert after is not None
    assert after[11:] == contacted[11:]


@pytest.mark.parametrize(
    ("contacted", "window", "after"),
    [
        ("2028-02-28T12:00:00Z", {"calendar": "day", "zone": "UTC"}, "2028-02-29T00:00:00Z"),
        ("2028-02-29T12:00:00Z", {"calendar": "day", "zone": "UTC"}, "2028-03-01T00:00:00Z"),
        ("2028-02-28T12:00:00Z", {"days": 2, "zone": "UTC"}, "2028-03-01T00:00:00Z"),
        ("2027-02-28T12:00:00Z", {"days": 2, "zone": "UTC"}, "2027-03-02T00:00:00Z"),
        ("2028-02-29T23:59:59.999Z", {"calendar": "month", "zone": "UTC"}, "2028-03-01T00:00:00Z"),
        ("2027-02-28T23:59:59.999Z", {"calendar": "month", "zone": "UTC"}, "2027-03-01T00:00:00Z"),
        ("2028-02-29T12:00:00Z", {"sliding": "365d"}, "2029-02-28T12:00:00Z"),
        ("2026-01-31T12:00:00Z", {"calendar": "month", "zone": "UTC"}, "2026-02-01T00:00:00Z"),
        ("2026-04-30T12:00:00Z", {"calendar": "month", "zone": "UTC"}, "2026-05-01T00:00:00Z"),
        ("2026-12-31T23:59:59.999Z", {"calendar": "day", "zone": "UTC"}, "2027-01-01T00:00:00Z"),
        ("2026-12-31T12:00:00Z", {"calendar": "month", "zone": "UTC"}, "2027-01-01T00:00:00Z"),
        ("2026-12-31T12:00:00Z", {"calendar": "week", "zone": "UTC"}, "2027-01-04T00:00:00Z"),
        ("2026-12-31T12:00:00Z", {"calendar": "week", "zone": "UTC", "week_starts": "sun"}, "2027-01-03T00:00:00Z"),
        ("2026-12-30T12:00:00Z", {"days": 7, "zone": "UTC"}, "2027-01-06T00:00:00Z"),
    ],
)
def test_leap_day_month_end_year_end(contacted: str, window: dict[str, Any], after: str) -> None:
    """Fixed periods and dates end where the calendar says."""
    assert again(NEW_YORK, contacted, window) == after


def test_a_month_ends_where_the_person_lives() -> None:
    """The last evening of December in New York is already January in UTC, and still December for the person."""
    assert (
        again(NEW_YORK, "2027-01-01T04:59:59.999Z", {"calendar": "month", "zone": "subject"}) == "2027-01-01T05:00:00Z"
    )
    assert again(NEW_YORK, "2027-01-01T04:59:59.999Z", {"calendar": "month", "zone": "UTC"}) == "2027-02-01T00:00:00Z"


@pytest.mark.parametrize(
    ("zone", "nine", "midnight"),
    [
        ("Asia/Kolkata", "2026-06-02T03:30:00Z", "2026-06-01T18:30:00Z"),
        ("Asia/Kathmandu", "2026-06-02T03:15:00Z", "2026-06-01T18:15:00Z"),
        ("Australia/Eucla", "2026-06-02T00:15:00Z", "2026-06-01T15:15:00Z"),
        ("Australia/Darwin", "2026-06-01T23:30:00Z", "2026-06-01T14:30:00Z"),
        ("Pacific/Chatham", "2026-06-01T20:15:00Z", "2026-06-01T11:15:00Z"),
        ("America/St_Johns", "2026-06-02T11:30:00Z", "2026-06-02T02:30:00Z"),
    ],
)
def test_zones_with_thirty_and_forty_five_minutes(zone: str, nine: str, midnight: str) -> None:
    """Hours and dates are exact in zones that are not whole hours from UTC."""
    assert opens(zone, midnight, "09:00", "17:00") == nine
    next_midnight = midnight[:8] + f"{int(midnight[8:10]) + 1:02d}" + midnight[10:]
    assert again(zone, midnight, {"calendar": "day", "zone": "subject"}) == next_midnight


def test_chatham_changes_its_clock_at_a_quarter_to_three() -> None:
    """On the Chatham Islands the clock goes from 02:45 to 03:45 at 14:00Z on the 26th of September."""
    assert opens("Pacific/Chatham", "2026-09-26T13:45:00Z", "02:45", "03:45") == "2026-09-27T13:00:00Z"
    assert opens("Pacific/Chatham", "2026-09-26T13:45:00Z", "03:30", "04:00") == "2026-09-26T14:00:00Z"


@pytest.mark.parametrize(
    ("asked", "opening"),
    [
        ("2026-01-04T02:00:00Z", "2026-01-04T02:00:00Z"),  # a Sunday worked for the new year
        ("2026-02-07T02:00:00Z", "2026-02-09T01:00:00Z"),  # an ordinary Saturday
        ("2026-02-14T02:00:00Z", "2026-02-14T02:00:00Z"),  # a Saturday worked for the Spring Festival
        ("2026-02-16T02:00:00Z", "2026-02-24T01:00:00Z"),  # a Monday within it
        ("2026-02-28T02:00:00Z", "2026-02-28T02:00:00Z"),  # the other worked Saturday
        ("2026-09-20T02:00:00Z", "2026-09-20T02:00:00Z"),  # a Sunday worked for the National Day
        ("2026-10-01T02:00:00Z", "2026-10-08T01:00:00Z"),
        ("2026-10-10T02:00:00Z", "2026-10-10T02:00:00Z"),
    ],
)
def test_chinese_make_up_workdays(asked: str, opening: str) -> None:
    """Public holidays are closed, and a weekend day worked in exchange has the hours of the working week."""
    week = ["mon", "tue", "wed", "thu", "fri"]
    assert opens("Asia/Shanghai", asked, "09:00", "20:00", days=week, holidays="CN") == opening


def test_a_year_not_announced_yet_blocks() -> None:
    """Nobody knows yet which days China will exchange in 2028, so no day of it is open."""
    assert opens("Asia/Shanghai", "2028-03-01T02:00:00Z", "09:00", "20:00", holidays="CN") is None


@pytest.mark.parametrize(
    ("first", "asked_for", "contacted", "after"),
    [
        ("same_day", 1, "2026-03-08T05:30:00Z", "2026-03-09T04:00:00Z"),
        ("next_day", 1, "2026-03-08T05:30:00Z", "2026-03-10T04:00:00Z"),
        ("same_day", 2, "2026-10-31T12:00:00Z", "2026-11-02T05:00:00Z"),
        ("next_day", 2, "2026-12-30T12:00:00Z", "2027-01-02T05:00:00Z"),
        ("same_day", 2, "2028-02-28T12:00:00Z", "2028-03-01T05:00:00Z"),
    ],
)
def test_cooloff_in_dates(first: str, asked_for: int, contacted: str, after: str) -> None:
    """A cool-off in local dates ends at the person's midnight, over clock changes, year ends and leap days."""
    rule = {"name": "refused", "outcomes": ["refused"], "for": {"days": asked_for, "first": first, "zone": "subject"}}
    done, blocked = decided(
        NEW_YORK, [contacted, contacted], outcome="refused", cooloffs=[{**rule, "scope": ["subject"]}]
    )
    assert (done["verdict"], blocked["verdict"]) == ("pass", "block")
    assert stamp(blocked["next_eligible_at"]) == after

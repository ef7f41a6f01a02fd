"""Local time for the slow model: instants, dates, opening hours. Plain datetime and zoneinfo arithmetic, no tricks.

Must never import contactgate: this model is worth something only as long as it was written apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import holidays

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
DAY = timedelta(days=1)
DAY_MS = 86_400_000
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

# What the number itself says about where it is; the model does not carry a numbering plan.
NUMBER_ZONES = {
    "+12125550123": ("America/New_York",),
    "+12125550124": ("America/New_York",),
    "+13125550123": ("America/Chicago",),
    "+17095550123": ("America/Halifax", "America/St_Johns"),
    "+442079460123": ("Europe/London",),
    "+61255500012": ("Australia/Sydney",),
    "+8613800138000": ("Asia/Shanghai",),
    "+525512345678": ("America/Mexico_City",),
    "+5511981234567": ("America/Sao_Paulo",),
    "+2250708123456": ("Africa/Abidjan",),
    "+2290197123456": ("Africa/Porto-Novo",),
}
NUMBER_PLACES = {
    "+12125550123": ["US-NY"],
    "+12125550124": ["US-NY"],
    "+13125550123": ["US-IL"],
    "+17095550123": ["CA-NL"],
    "+442079460123": ["GB"],
    "+525512345678": ["MX"],
    "+5511981234567": ["BR"],
    "+2250708123456": ["CI"],
    "+2290197123456": ["BJ"],
}


@lru_cache(maxsize=100_000)
def ms(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 instant."""
    return (datetime.fromisoformat(text) - EPOCH) // MS


def text(instant: int) -> str:
    """The instant as RFC 3339 in UTC."""
    return (EPOCH + instant * MS).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def duration(written: str) -> int:
    """Milliseconds of `90s`, `15m`, `24h`, `7d`, `2w`."""
    unit = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}[written[-1]]
    return int(written[:-1]) * unit


@cache
def zone_named(name: str) -> ZoneInfo | None:
    """The zone from the tzdata package, never from the machine; None when there is no such zone."""
    *folders, last = name.split("/")
    try:
        package = ".".join(["tzdata.zoneinfo", *folders])
        with resources.files(package).joinpath(last).open("rb") as file:
            return ZoneInfo.from_file(file, key=name)
    except (OSError, ModuleNotFoundError, ValueError):
        return None


def local(instant: int, zone: ZoneInfo) -> datetime:
    """The wall clock in that zone."""
    return (EPOCH + instant * MS).astimezone(zone)


def local_date(instant: int, zone: ZoneInfo) -> date:
    """The calendar date in that zone."""
    return local(instant, zone).date()


@lru_cache(maxsize=200_000)
def instants_of(day: date, of_day_ms: int, zone: ZoneInfo) -> set[int]:
    """Every instant the wall clock may show that time of that day (two when a clock goes back); more is harmless."""
    wall = datetime(day.year, day.month, day.day) + of_day_ms * MS  # noqa: DTZ001 - a wall clock has no zone
    return {(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) - EPOCH) // MS for fold in (0, 1)}


@cache
def transitions(day: date, name: str) -> tuple[int, ...]:
    """The instants within that UTC date at which the zone's offset changes."""
    zone = zone_named(name)
    assert zone is not None
    start = (datetime(day.year, day.month, day.day, tzinfo=UTC) - EPOCH) // MS
    found = []
    for hour in range(24):
        low, high = start + hour * 3_600_000, start + (hour + 1) * 3_600_000
        before = local(low, zone).utcoffset()
        if before != local(high, zone).utcoffset():
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if local(middle, zone).utcoffset() == before else (low, middle)
            found.append(high)
    return tuple(found)


def first_instant(day: date, zone: ZoneInfo) -> int:
    """The first instant of that local date, also where midnight is skipped by a clock change."""
    candidates = set()
    for at in instants_of(day, 0, zone):
        candidates.add(at)
        for near in (day - DAY, day, day + DAY):
            candidates.update(transitions(near, zone.key))
    return min(at for at in candidates if local_date(at, zone) >= day and local_date(at - 1, zone) < day)


def period(day: date, unit: str, week_starts: str = "mon") -> tuple[date, date]:
    """The calendar day, week or month that holds the date, and the first date after it."""
    if unit == "day":
        return day, day + DAY
    if unit == "week":
        start = day - ((day.weekday() - WEEKDAYS.index(week_starts)) % 7) * DAY
        return start, start + 7 * DAY
    start = day.replace(day=1)
    return start, (start + 31 * DAY).replace(day=1)


@lru_cache(maxsize=1_000)
def of_day(written: str) -> int:
    """Milliseconds of `HH:MM` or `HH:MM:SS` within its day."""
    parts = [int(part) for part in written.split(":")] + [0]
    return ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000


@cache
def _public_holidays(calendar: str, year: int) -> frozenset[date]:
    country, _, subdivision = calendar.partition("-")
    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=year))


def works_on(span: dict[str, Any], day: date) -> bool:
    """Whether the hours apply to that start day: its weekday is named and it is no public holiday."""
    if span.get("days") and WEEKDAYS[day.weekday()] not in span["days"]:
        return False
    calendars = [span["holidays"], *span.get("parts", ())] if span.get("holidays") else []
    return not any(day in _public_holidays(calendar, day.year) for calendar in calendars)


def with_parts(span: dict[str, Any], places: Iterable[str]) -> dict[str, Any]:
    """The hours with the holidays of the parts of their country that the person is known to be in (rule 58)."""
    return {**span, "parts": [place for place in places if place.startswith(f"{span.get('holidays')}-")]}


def span_holds(span: dict[str, Any], wall: datetime) -> bool:
    """Whether a wall time lies within the hours; overnight hours belong to the day they start on."""
    start, end = of_day(span["from"]), of_day(span["to"])
    now = (wall - datetime(wall.year, wall.month, wall.day, tzinfo=wall.tzinfo)) // MS
    after_start = now > start if span.get("from_exclusive") else now >= start
    before_end = now <= end if span.get("to_inclusive") else now < end
    today = wall.date()
    if start < end:
        return works_on(span, today) and after_start and before_end
    return (works_on(span, today) and after_start) or (works_on(span, today - DAY) and before_end)


def open_at(spans: Iterable[dict[str, Any]], zones: list[ZoneInfo], instant: int) -> bool:
    """Whether one of the hours holds in every zone."""
    spans = list(spans)
    return all(any(span_holds(span, local(instant, zone)) for span in spans) for zone in zones)


def edges(
    spans: list[dict[str, Any]], zones: list[ZoneInfo], start: int, end: int, bounds: tuple[str, ...] = ("from", "to")
) -> Iterator[int]:
    """Every instant from `start` to before `end`, in order, at which hours may open (`from`) or close (`to`)."""
    walls = {of_day(span[bound]) for span in spans for bound in bounds}
    day = local_date(start, zone_named("UTC") or zones[0]) - 2 * DAY
    done = start
    while done < end:
        found = set()
        for zone in zones:
            for near in (day - DAY, day, day + DAY):
                found.update(transitions(near, zone.key))
                for wall in walls:
                    for at in instants_of(near, wall, zone):
                        found.update((at, at + 1))
        after = (datetime(day.year, day.month, day.day, tzinfo=UTC) - EPOCH) // MS + DAY_MS
        yield from sorted(at for at in found if done <= at < min(after, end))
        done = max(done, after)
        day += DAY

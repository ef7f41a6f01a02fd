"""Zones under random instants, held against zoneinfo's own datetimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from contactgate.core.time.zones import zone
from contactgate.model.instants import DAY_MS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = st.sampled_from(
    [
        "America/New_York",
        "Europe/London",
        "Australia/Sydney",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Asia/Beirut",
        "America/Santiago",
        "America/Havana",
        "Africa/Casablanca",
        "America/Scoresbysund",
        "Antarctica/Troll",
        "Asia/Shanghai",
        "Europe/Dublin",
        "UTC",
    ]
)
SPAN = (datetime(1972, 1, 1, tzinfo=UTC), datetime(2080, 1, 1, tzinfo=UTC))
INSTANTS = st.integers(*(int(edge.timestamp() * 1000) for edge in SPAN))


@st.composite
def near_a_change(draw: st.DrawFn) -> tuple[str, int]:
    """A zone and an instant, half of the time within hours of a change of its offset."""
    name, at = draw(NAMES), draw(INSTANTS)
    found = zone(name)
    assert found is not None
    if draw(st.booleans()):
        for _ in range(3):
            _, until, offset = found.segment(at)
            if until < INSTANTS_END and found.offset_ms(until) != offset:
                return name, until + draw(st.integers(-2 * 3_600_000, 2 * 3_600_000))
            at = until
    return name, at


INSTANTS_END = int(SPAN[1].timestamp() * 1000)


@given(near_a_change())
def test_wall_time_is_what_zoneinfo_says(case: tuple[str, int]) -> None:
    """At any instant the wall time equals that of an aware datetime, to the millisecond."""
    name, at = case
    found = zone(name)
    assert found is not None
    wall = (EPOCH + timedelta(milliseconds=at)).astimezone(ZoneInfo(name)).replace(tzinfo=UTC)
    assert found.local(at) == (wall - EPOCH) // timedelta(milliseconds=1)


@given(near_a_change())
def test_wall_time_leads_back_to_its_instant(case: tuple[str, int]) -> None:
    """An instant is the first or the last that shows its wall time, and a skipped wall time opens when the gap ends."""
    name, at = case
    found = zone(name)
    assert found is not None
    wall = found.local(at)
    first, last = found.to_utc(wall), found.to_utc(wall, fold=1)
    assert first <= at <= last
    assert found.local(first) == found.local(last) == wall
    for shift in range(-DAY_MS // 8, DAY_MS // 8, 900_000):
        opened = found.to_utc(wall + shift)
        if found.local(opened) != wall + shift:
            assert found.local(opened) > wall + shift > found.local(opened - 1)


@given(near_a_change(), st.integers(-DAY_MS, DAY_MS))
def test_first_at_or_after_is_the_first(case: tuple[str, int], shift: int) -> None:
    """The instant found shows at least the wall time asked for, and no sampled instant between does."""
    name, at = case
    found = zone(name)
    assert found is not None
    wanted = found.local(at) + shift
    reached = found.first_at_or_after(wanted, at)
    assert reached >= at
    assert found.local(reached) >= wanted
    assert reached == at or found.local(reached - 1) < wanted
    for sample in range(at, reached, 600_000):
        assert found.local(sample) < wanted

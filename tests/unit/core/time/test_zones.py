"""Zones: rules from the package, offsets to the millisecond, wall times that are skipped or shown twice."""

from __future__ import annotations

import io
import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime, timedelta
from importlib import resources
from zoneinfo import _zoneinfo  # type: ignore[attr-defined]

import pytest

from contactgate.core.time import zones
from contactgate.core.time.zones import Zone, zone
from contactgate.policy.zones import names


def known(name: str) -> Zone:
    found = zone(name)
    assert found is not None
    return found


def utc_ms(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp() * 1000)


def wall_ms(text: str) -> int:
    """A wall time as the module counts it."""
    return utc_ms(text)


def test_rules_come_from_the_package_and_not_from_the_machine() -> None:
    """No search path is left, and a hostile PYTHONTZPATH changes nothing."""
    assert zoneinfo.TZPATH == ()
    code = (
        "from contactgate.core.time.zones import zone; import zoneinfo; "
        "print(zone('Europe/London').offset_ms(1782900000000), zoneinfo.TZPATH)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONTZPATH": "/"}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "3600000 ()"


@pytest.mark.parametrize(
    "name",
    ["", "Etc/Unknown", "Mars/Base", "../UTC", "/etc/localtime", "America", "Factory", "utc", "UTC\x00", "+08:00"],
)
def test_a_name_that_is_no_place_is_unknown(name: str) -> None:
    """A wrong name, a path, a folder or the `Factory` zone gives None and never an exception."""
    assert zone(name) is None


def test_one_name_is_one_zone() -> None:
    """The same name gives the same object, so zones can be keys of caches."""
    assert known("Asia/Shanghai") is known("Asia/Shanghai")
    assert known("Asia/Calcutta").offset_ms(0) == known("Asia/Kolkata").offset_ms(0)


@pytest.mark.slow
def test_every_transition_of_every_zone_is_found() -> None:
    """From 1970 to 2037 the offset just before and at each transition in the package's files is what the file says."""
    package = resources.files("tzdata") / "zoneinfo"
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    checked = 0
    seen: set[bytes] = set()
    for name in sorted(names()):
        rules = package.joinpath(*name.split("/")).read_bytes()
        if rules in seen:  # an alias
            continue
        seen.add(rules)
        plain = _zoneinfo.ZoneInfo.from_file(io.BytesIO(rules))  # the slow twin, which keeps its list of transitions
        mine = Zone(name, zones._LOADED.get(name, known(name))._info)
        for second in plain._trans_utc:
            if 0 <= second < 2_145_916_800:
                for at in (second - 1, second):
                    offset = (epoch + timedelta(seconds=at)).astimezone(plain).utcoffset()
                    assert mine.offset_ms(at * 1000 + 999 * (at < second)) == offset // timedelta(milliseconds=1), name
                    checked += 1
    assert checked > 15_000


def test_a_skipped_wall_time_is_the_end_of_the_gap() -> None:
    """In New York 02:30 does not exist on 8 March 2026: the first instant after is 03:00 daylight time."""
    new_york = known("America/New_York")
    assert new_york.to_utc(wall_ms("2026-03-08T02:30")) == utc_ms("2026-03-08T07:00")
    assert new_york.to_utc(wall_ms("2026-03-08T02:00")) == utc_ms("2026-03-08T07:00")
    assert new_york.to_utc(wall_ms("2026-03-08T03:00")) == utc_ms("2026-03-08T07:00")
    assert new_york.to_utc(wall_ms("2026-03-08T01:59")) == utc_ms("2026-03-08T06:59")


def test_a_repeated_wall_time_has_a_first_and_a_last_instant() -> None:
    """In New York 01:30 comes twice on 1 November 2026."""
    new_york = known("America/New_York")
    assert new_york.to_utc(wall_ms("2026-11-01T01:30")) == utc_ms("2026-11-01T05:30")
    assert new_york.to_utc(wall_ms("2026-11-01T01:30"), fold=1) == utc_ms("2026-11-01T06:30")
    assert new_york.to_utc(wall_ms("2026-11-01T00:30"), fold=1) == utc_ms("2026-11-01T04:30")


def test_a_half_hour_change_is_found() -> None:
    """Lord Howe moves its clocks by 30 minutes."""
    lord_howe = known("Australia/Lord_Howe")
    assert lord_howe.offset_ms(utc_ms("2026-10-03T15:29:59.999")) == 37_800_000
    assert lord_howe.offset_ms(utc_ms("2026-10-03T15:30")) == 39_600_000
    assert lord_howe.to_utc(wall_ms("2026-10-04T02:15")) == utc_ms("2026-10-03T15:30")


def test_a_skipped_day_is_the_end_of_the_gap() -> None:
    """Apia had no 30 December 2011: that date begins when the 31st does."""
    assert known("Pacific/Apia").to_utc(wall_ms("2011-12-30T12:00")) == utc_ms("2011-12-30T10:00")


@pytest.mark.parametrize(
    ("name", "minutes"), [("Asia/Kolkata", 330), ("Asia/Kathmandu", 345), ("Pacific/Kiritimati", 840)]
)
def test_offsets_need_not_be_whole_hours(name: str, minutes: int) -> None:
    """Offsets of 30 and 45 minutes and of 14 hours are exact."""
    assert known(name).local(0 + utc_ms("2026-01-01T00:00")) == utc_ms("2026-01-01T00:00") + minutes * 60_000


@pytest.mark.parametrize("at", [-(10**18), -62_135_596_800_001, 253_402_300_800_000, 10**18])
def test_absurd_instants_have_an_offset(at: int) -> None:
    """Instants outside of the years 1 to 9999 answer with the offset at the edge instead of failing."""
    assert known("UTC").offset_ms(at) == 0
    assert abs(known("America/New_York").offset_ms(at)) < 86_400_000

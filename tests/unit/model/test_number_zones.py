"""Our corrections of the zones of numbers, held against sources that are not theirs: tzdata's tables, the geocoder."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources

import pytest
from phonenumbers.geodata import GEOCODE_DATA
from phonenumbers.tzdata import TIMEZONE_DATA

from contactgate.model.numbering import _REGIONS, _calling_code, _country_level, _zone_countries, number_zones
from contactgate.model.zone_data import PREFIX_ZONES, corrections
from contactgate.policy.zones import load

DAYS = [datetime(2025, 6, 1, tzinfo=UTC) + timedelta(days=10 * step) for step in range(110)]

NOT_NEEDED = {
    "Asia/Urumqi": "Xinjiang's own time has no force; the state keeps Beijing's",
    "Europe/Simferopol": "a Ukrainian mobile is not in Crimea, where its networks ended in 2014",
}
"""Clocks of a country that its unplaced numbers are not asked for."""


@lru_cache
def clock(zone: str) -> tuple[timedelta | None, ...]:
    """What a zone shows from 2025 to 2028: zones with equal clocks stand for each other."""
    rules = load(zone)
    assert rules is not None, zone
    return tuple(day.astimezone(rules).utcoffset() for day in DAYS)


def table() -> list[tuple[str, str]]:
    """(country, zone) of every line of tzdata's zone.tab."""
    text = (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return [(row[0], row[2]) for row in rows]


def test_every_line_names_zones_of_the_country_of_its_numbers() -> None:
    """A correction names zones that can be loaded and lie in a country of the calling code."""
    known = _zone_countries()
    for mark, digits, zones in corrections():
        assert mark in {"=", "."}
        code = _calling_code(digits)
        assert code is not None
        for zone in zones:
            assert known[zone].intersection(_REGIONS[code]), (digits, zone)


def test_no_line_says_what_the_library_says() -> None:
    """A correction that the library has caught up with is to be taken out; so is one that stands twice."""
    seen = set()
    repeated = []
    for _, digits, zones in corrections():
        assert digits not in seen
        seen.add(digits)
        finer = [held for key, held in TIMEZONE_DATA.items() if key.startswith(digits)]
        if not finer or len(digits) < 5:
            continue
        if not any(set(map(clock, held)) != set(map(clock, zones)) for held in finer):
            repeated.append(digits)
    assert not repeated


def test_unplaced_numbers_are_asked_for_every_clock_of_their_country() -> None:
    """Held against tzdata's own table: no country has a clock that its mobiles and other unplaced numbers miss."""
    checked = 0
    for code, regions in _REGIONS.items():
        if code == "1" or not (zones := _country_level(code, None)):
            continue
        checked += 1
        have = {clock(zone) for zone in zones}
        for country, zone in table():
            if country in regions and zone not in NOT_NEEDED:
                assert clock(zone) in have, (code, zone)
    assert checked > 150


def _plain(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text).casefold() if c.isalpha())


def _state(zone: str) -> str:
    """The state of the town that an American zone is named after."""
    towns = {"Boise": "ID", "Phoenix": "AZ", "Denver": "CO", "Chicago": "IL", "Detroit": "MI", "Menominee": "MI"}
    towns |= {"Los_Angeles": "CA", "New_York": "NY", "Honolulu": "HI"}
    regions = {"Indiana": "IN", "Kentucky": "KY", "North_Dakota": "ND"}
    _, *between, town = zone.split("/")
    return regions[between[0]] if between else towns.get(town, "AK")


def test_a_place_that_tzdata_names_keeps_its_own_clock() -> None:
    """Where the geocoder names a town that a zone is named after, the town's own clock is asked for."""
    towns = {(country, _plain(zone.rpartition("/")[2])): zone for country, zone in table()}
    known = _zone_countries()
    checked = set()
    wrong = []
    for digits, names in GEOCODE_DATA.items():
        code = _calling_code(digits)
        if code is None or (code == "1" and len(digits) < 7):
            continue
        town = _plain(names.get("en", "").partition(",")[0].partition(" - ")[0])
        for country in _REGIONS[code]:
            zone = towns.get((country, town))
            if zone is None or zone in NOT_NEEDED or digits in HOMONYMS:
                continue
            if country == "US" and not names["en"].endswith(_state(zone)):
                continue
            if code == "1" and country != "US" and (country != "CA" or names["en"][-2:] not in PROVINCES):
                continue
            held = [found for key, found in PREFIX_ZONES.items() if key.startswith(digits)]
            held = held or [PREFIX_ZONES[digits[:n]] for n in range(len(digits), 0, -1) if digits[:n] in PREFIX_ZONES]
            if not all(known[each].intersection(_REGIONS[code]) for each in held[0]):
                continue  # foreign, so unknown (rule 11)
            if clock(zone) not in {clock(each) for each in held[0]}:
                wrong.append((digits, town, zone, held[0]))
            checked.add(zone)
    assert not wrong
    assert {"America/Whitehorse", "America/Creston", "America/Punta_Arenas", "Europe/Saratov"} <= checked
    assert len(checked) > 60


HOMONYMS = {"52656", "55653257", "55823537", "55833313", "55843362"}
"""Prefixes of other places of the same name: the state of Chihuahua; villages in other states of Brazil."""

PROVINCES = {"AB", "BC", "MB", "NB", "NL", "NS", "NT", "NU", "ON", "PE", "QC", "SK", "YT"}


OVERLAYS = (
    "250 236 257 672 778",
    "306 474 639",
    "418 367 581",
    "709 879",
    "208 986",
    "270 364",
    "541 458",
    "812 930",
    "850 448",
)
"""Area codes that serve one area with more than one clock (NANPA, CNAC)."""


@pytest.mark.parametrize("codes", OVERLAYS)
def test_an_overlay_code_has_every_clock_of_its_area(codes: str) -> None:
    """A number with an exchange that nobody lists may be anywhere in the area, whichever of its codes it has."""
    clocks = [{clock(zone) for zone in number_zones(f"+1{area}5550123")} for area in codes.split()]
    assert len(clocks[0]) > 1
    assert all(each == clocks[0] for each in clocks)


@pytest.mark.parametrize(
    ("number", "zones"),
    [
        ("+19075811400", {"America/Anchorage"}),
        ("+19072220100", {"America/Juneau"}),
        ("+12504280123", {"America/Creston"}),
        ("+12503611234", {"America/Vancouver"}),
        ("+18676671234", {"America/Whitehorse"}),
        ("+18678731234", {"America/Edmonton"}),
        ("+526141234567", {"America/Chihuahua"}),
        ("+526561234567", {"America/Ciudad_Juarez"}),
        ("+528682345678", {"America/Matamoros"}),
        ("+528112345678", {"America/Mexico_City"}),
        ("+56612212345", {"America/Punta_Arenas"}),
        ("+56322212345", {"America/Santiago"}),
        ("+56322100123", {"America/Santiago", "Pacific/Easter"}),
        ("+78452123456", {"Europe/Saratov"}),
        ("+78442123456", {"Europe/Moscow"}),
        ("+61755501234", {"Australia/Brisbane", "Australia/Sydney"}),
        ("+61733334444", {"Australia/Brisbane"}),
        ("+61292345678", {"Australia/Sydney"}),
        ("+558133334444", {"America/Recife"}),
        ("+558136191234", {"America/Noronha"}),
        ("+5581999990000", {"America/Recife", "America/Noronha"}),
    ],
)
def test_a_corrected_place_and_its_neighbours(number: str, zones: set[str]) -> None:
    """A place has its own zone, an area with two has both, and a neighbour with one keeps it."""
    assert set(number_zones(number)) == zones

"""The codes of countries and parts, held against two other sources."""

from __future__ import annotations

import re

import holidays
import pytest

from contactgate.core.time.holiday import known_holiday_code
from contactgate.model.places import _PART_OF, ISO_CODES, as_iso, unknown
from contactgate.policy.zones import countries

OF_THE_LIBRARY = {"BQ-BON", "BQ-SAB", "BQ-STA", "IT-AO", "MO-I", "MO-M"}
"""Names of parts that the holidays library made up, or keeps after ISO withdrew them."""


def test_countries_are_those_of_tzdata() -> None:
    """Every ISO 3166-1 code that tzdata's own table names is there, and no other."""
    assert {code for code in ISO_CODES if "-" not in code} == countries()


def test_parts_hold_those_of_the_holidays_library() -> None:
    """Every part of a country that has a calendar of its own, and a code, is known."""
    found = {
        f"{country}-{part}"
        for country, parts in holidays.list_supported_countries(include_aliases=False).items()
        for part in parts
        if re.fullmatch(r"[A-Z0-9]{1,3}", part) and len(country) == 2
    }
    assert len(found) > 500
    assert found - ISO_CODES == OF_THE_LIBRARY


def test_every_part_that_digits_tell_is_a_part_with_holidays_of_its_own() -> None:
    """The table names parts of ISO 3166 that the calendars know, of the country that the digits are of."""
    assert len(_PART_OF) > 2_000
    for digits, part in _PART_OF.items():
        assert part in ISO_CODES
        assert known_holiday_code(part)
        assert digits.startswith({"FR": "33", "DE": "49"}[part[:2]])


@pytest.mark.parametrize("code", ["Florida", "EU", "gb", "US-XX", "GBR", "FR-", "Narnia", "XK"])
def test_what_is_no_code_is_unknown(code: str) -> None:
    """Names, unions, other standards and other spellings are not guessed at."""
    assert unknown((code,)) == (code,)


def test_the_united_kingdom_has_two_names() -> None:
    """`UK` is `GB`, with its parts; Ukraine is not meant."""
    assert [as_iso(code) for code in ("UK", "UK-SCT", "UA", "GB")] == ["GB", "GB-SCT", "UA", "GB"]
    assert unknown(("GB", "GB-SCT", "US-FL", "FR-57", "FR-67", "DE-BY")) == ()

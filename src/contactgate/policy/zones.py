"""Time zones and their versions, from the `tzdata` package and never from the machine (SEMANTICS rule 12).

Must never fall back to the system's zone files: two workers with different machines would decide differently.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata, resources
from zoneinfo import ZoneInfo

import holidays

_NOT_PLACES = frozenset({"Factory", "localtime", "posixrules", "Etc/Unknown"})


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    """Every name of the tzdata package that is a place's or a fixed offset's."""
    return frozenset((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split()) - _NOT_PLACES


@lru_cache(maxsize=1024)
def load(name: str) -> ZoneInfo | None:
    """The zone's rules from the tzdata package; None when it has no such place. Names are case-sensitive."""
    if name not in names():
        return None
    with (resources.files("tzdata") / "zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@lru_cache(maxsize=1)
def countries() -> frozenset[str]:
    """Every ISO 3166 country code."""
    text = (resources.files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8")
    return frozenset(line.split("\t", 1)[0] for line in text.splitlines() if line and not line.startswith("#"))


@lru_cache(maxsize=1)
def calendars() -> dict[str, frozenset[str]]:
    """Countries whose public holidays are known, and for each the codes of its subdivisions."""
    return {country: frozenset(parts) for country, parts in holidays.list_supported_countries().items()}


def versions() -> dict[str, str]:
    """Versions of the data that change what a policy means; they are part of its hash."""
    return {name: metadata.version(name) for name in ("holidays", "tzdata")}

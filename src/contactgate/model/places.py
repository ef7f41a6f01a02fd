"""Codes of countries and their parts: which are of ISO 3166, and how a written one is read (SEMANTICS rule 58).

`iso3166.txt` holds them and says where they come from. Must never guess what a wrong code means: an unknown place is
under a law that nobody here knows.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources


def _read() -> frozenset[str]:
    text = (resources.files("contactgate.model") / "iso3166.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return frozenset(code for country, *parts in rows for code in (country, *(f"{country}-{part}" for part in parts)))


ISO_CODES: frozenset[str] = _read()
"""`FR`, `US-FL` and all others."""


def as_iso(code: str) -> str:
    """The code as ISO 3166 has it: `UK` is `GB`."""
    return "GB" + code[2:] if code == "UK" or code.startswith("UK-") else code


def _parts() -> dict[str, str]:
    text = (resources.files("contactgate.model") / "number-parts.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {digits: part for part, *many in rows for digits in many}


_PART_OF: dict[str, str] = _parts()
_PART_LENGTHS = tuple(sorted({len(digits) for digits in _PART_OF}, reverse=True))


def part_of(digits: str) -> str | None:
    """The part of its country that a fixed line is known to be in (`FR-57`); `digits` without the `+`."""
    for length in _PART_LENGTHS:
        if part := _PART_OF.get(digits[:length]):
            return part
    return None


@lru_cache(maxsize=16_384)
def unknown(codes: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are neither a country nor a part of one."""
    return tuple(code for code in codes if code not in ISO_CODES)

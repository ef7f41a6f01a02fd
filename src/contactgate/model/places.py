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


@lru_cache(maxsize=16_384)
def unknown(codes: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are neither a country nor a part of one."""
    return tuple(code for code in codes if code not in ISO_CODES)

"""The time zone of every prefix of a telephone number: phonenumbers' data, corrected by ours (SEMANTICS rule 53).

The corrections and their sources are in `number-zones.txt`, whose head says what a line means. Must never correct by
code what a line can.
"""

from __future__ import annotations

from importlib import resources

from phonenumbers.tzdata import TIMEZONE_DATA


def corrections() -> list[tuple[str, str, tuple[str, ...]]]:
    """(mark, leading digits, zones) of every line of ours, shorter digits first."""
    text = (resources.files("contactgate.model") / "number-zones.txt").read_text(encoding="utf-8")
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    return sorted(
        (
            (mark, digits, tuple(sorted(zones)))
            for mark, many, *zones in filter(None, lines)
            for digits in many.split(",")
        ),
        key=lambda each: (len(each[1]), each[1]),
    )


def _corrected() -> dict[str, tuple[str, ...]]:
    found = dict(TIMEZONE_DATA)
    ours = corrections()
    whole = {digits for mark, digits, _ in ours if mark == "="}
    shortest = min(map(len, whole))
    for key in TIMEZONE_DATA:
        if any(key[:length] in whole for length in range(shortest, len(key) + 1)):
            del found[key]
    found.update({digits: zones for _, digits, zones in ours})
    return found


PREFIX_ZONES: dict[str, tuple[str, ...]] = _corrected()
"""Leading digits -> every zone of the numbers that begin with them and have no longer entry."""

LONGEST_PREFIX = max(map(len, PREFIX_ZONES))

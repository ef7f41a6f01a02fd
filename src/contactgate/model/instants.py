"""Instants as integers: lengths of time, milliseconds since 1970 UTC, and both as RFC 3339 text.

Everywhere below the edges an instant is an integer of milliseconds, a local date the number of days since 1970-01-01.
Must never look at a clock, know a zone, or be given anything personal.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
"""What a proleptic ordinal (`date.toordinal`) has more than the number of days since 1970-01-01."""

_MAX_MS: Final = 253402300799999  # the last millisecond of the year 9999
_CACHE: Final = 8_192
_stamps: dict[int, str] = {}
_days: dict[int, str] = {}
_seconds: dict[int, str] = {}
_MINUTES: Final = tuple(f"{number // 60:02d}:{number % 60:02d}:" for number in range(1_440))
_SECONDS: Final = tuple(f"{number:02d}." for number in range(60))
_THOUSANDTHS: Final = tuple(f"{number:03d}Z" for number in range(1000))


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 UTC; parts of a millisecond are cut off towards the past."""
    since = moment - EPOCH
    return since.days * DAY_MS + since.seconds * SECOND_MS + since.microseconds // 1000


def stamp(at_ms: int) -> str:
    """As it is published, always with milliseconds: `2026-03-31T16:00:00.000Z`."""
    text = _stamps.get(at_ms)  # a batch has one decision time, and few ends of calling hours
    if text is not None:
        return text
    day, rest = divmod(at_ms, DAY_MS)
    head = _days.get(day)
    if head is None:
        head = date.fromordinal(EPOCH_ORDINAL + day).isoformat() + "T"
        if len(_days) >= _CACHE:
            _days.clear()
        _days[day] = head
    text = head + _MINUTES[rest // MINUTE_MS] + _SECONDS[rest % MINUTE_MS // SECOND_MS] + _THOUSANDTHS[rest % SECOND_MS]
    if len(_stamps) >= _CACHE:
        _stamps.clear()
    _stamps[at_ms] = text
    return text


def instant(at_ms: int) -> str:
    """As people read it, with milliseconds only if there are any: `2026-03-01T09:00:00Z`. Within 1970 to 9999."""
    if at_ms % SECOND_MS:
        return stamp(min(max(at_ms, 0), _MAX_MS))
    text = _seconds.get(at_ms)  # whole seconds come again and again: openings, ends of agreements
    if text is None:
        if len(_seconds) >= _CACHE:
            _seconds.clear()
        moment = min(max(at_ms, 0), _MAX_MS)
        text = _seconds[at_ms] = stamp(moment)[:-5] + "Z"
    return text

"""Instants and numbers in words, for details and explanations. Must never be given an address or anything personal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MS = 253402300799999  # the last millisecond of the year 9999
_WHOLE: dict[int, str] = {}  # whole seconds come again and again: openings, ends of agreements
_MAX_WHOLE = 8_192


def instant(utc_ms: int) -> str:
    """RFC 3339 in UTC: `2026-03-01T09:00:00Z`, with milliseconds only if there are any."""
    if utc_ms % 1000:
        return _instant(utc_ms, "milliseconds")
    text = _WHOLE.get(utc_ms)
    if text is None:
        if len(_WHOLE) >= _MAX_WHOLE:
            _WHOLE.clear()
        text = _WHOLE[utc_ms] = _instant(utc_ms, "seconds")
    return text


def _instant(utc_ms: int, timespec: str) -> str:
    moment = _EPOCH + timedelta(milliseconds=min(max(utc_ms, 0), _MAX_MS))
    return moment.isoformat(timespec=timespec)[:-6] + "Z"

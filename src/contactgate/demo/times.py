"""Instants as the messages spell them, to and from milliseconds since 1970 UTC. Reads no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stamp(time_ms: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def millis(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 instant with an offset."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)

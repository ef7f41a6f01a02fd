"""Time zones as integers: offsets, local wall time and back, from the rules of the `tzdata` package.

The machine's own zone files are never read: the same inputs must give the same decision on every machine, and the
version of the rules is part of the policy hash. Instants and local wall times are integer milliseconds (a local wall
time counts from 1970-01-01T00:00 of that wall clock). Must never look at a clock or at the machine's own zone.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from zoneinfo import ZoneInfo, reset_tzpath

from contactgate.model.instants import DAY_MS
from contactgate.policy import zones

# Also for every other user of zoneinfo in this process: one set of rules for all of them.
reset_tzpath(to=[])

_FIRST_MS = -62_000_000_000_000  # in the year 5
_LAST_MS = 253_000_000_000_000  # in the year 9987; rules are not asked for outside of these
_CHUNK_MS = 400 * DAY_MS
_PROBE_MS = DAY_MS
"""Offsets are compared at this distance: no zone changes its offset twice within a day (tested)."""
_MAX_CHUNKS = 64
_MAX_SHIFT_MS = 2 * DAY_MS
"""More than any offset from UTC, and more than two of them lie apart."""


class Zone:
    """One time zone. Equal only to itself; `zone` returns the same object for the same name."""

    __slots__ = ("_chunks", "_from_ms", "_info", "_offset_ms", "_until_ms", "name")

    def __init__(self, name: str, info: ZoneInfo) -> None:
        self.name = name
        self._info = info
        self._chunks: dict[int, tuple[list[int], list[int]]] = {}
        # The segment of the last answer: instants mostly come in order, so most questions end here.
        self._from_ms = 0
        self._until_ms = 0
        self._offset_ms = 0

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    def offset_ms(self, utc_ms: int) -> int:
        """Local wall time minus UTC at an instant."""
        if self._from_ms <= utc_ms < self._until_ms:
            return self._offset_ms
        _, _, offset = self.segment(utc_ms)
        return offset

    def local(self, utc_ms: int) -> int:
        """The wall time an instant shows."""
        if self._from_ms <= utc_ms < self._until_ms:
            return utc_ms + self._offset_ms
        _, _, offset = self.segment(utc_ms)
        return utc_ms + offset

    def segment(self, utc_ms: int) -> tuple[int, int, int]:
        """(from, until, offset): the offset holds for from <= t < until; neighbours may have the same offset."""
        number = utc_ms // _CHUNK_MS
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._load(number)
        starts, offsets = chunk
        at = bisect_right(starts, utc_ms) - 1
        until = starts[at + 1] if at + 1 < len(starts) else (number + 1) * _CHUNK_MS
        self._from_ms, self._until_ms, self._offset_ms = starts[at], until, offsets[at]
        return starts[at], until, offsets[at]

    def segments(self, from_ms: int, until_ms: int) -> list[tuple[int, int, int]]:
        """The pieces of constant offset that cover from_ms <= t < until_ms, cut to it, in order."""
        pieces = []
        at = from_ms
        while at < until_ms:
            _, end, offset = self.segment(at)
            end = min(end, until_ms)
            pieces.append((at, end, offset))
            at = end
        return pieces

    def to_utc(self, local_ms: int, fold: int = 0) -> int:
        """The first instant (fold=1: the last) that shows this wall time; if the clock skips it, the end of the gap."""
        shown = []
        after_gap = None
        for start, end, offset in self.segments(local_ms - _MAX_SHIFT_MS, local_ms + _MAX_SHIFT_MS):
            instant = local_ms - offset
            if start <= instant < end:
                shown.append(instant)
            elif after_gap is None and start + offset >= local_ms:
                after_gap = start
        if shown:
            return shown[-1] if fold else shown[0]
        if after_gap is None:
            raise AssertionError("a wall time is either shown or skipped within two days")
        return after_gap

    def first_at_or_after(self, local_ms: int, utc_ms: int) -> int:
        """The first instant t >= utc_ms that shows a wall time >= local_ms."""
        at = utc_ms
        while True:
            _, end, offset = self.segment(at)
            instant = max(at, local_ms - offset)
            if instant < end:
                return instant
            at = end

    def _load(self, number: int) -> tuple[list[int], list[int]]:
        starts = [number * _CHUNK_MS]
        offsets = [self._ask(starts[0])]
        for probe in range(starts[0] + _PROBE_MS, starts[0] + _CHUNK_MS + 1, _PROBE_MS):
            offset = self._ask(min(probe, starts[0] + _CHUNK_MS - 1))
            if offset != offsets[-1]:
                low, high = probe - _PROBE_MS, min(probe, starts[0] + _CHUNK_MS - 1)
                while high - low > 1:
                    middle = (low + high) // 2
                    if self._ask(middle) == offsets[-1]:
                        low = middle
                    else:
                        high = middle
                starts.append(high)
                offsets.append(offset)
        if len(self._chunks) >= _MAX_CHUNKS:
            self._chunks.clear()
        self._chunks[number] = (starts, offsets)
        return starts, offsets

    def _ask(self, utc_ms: int) -> int:
        seconds = min(max(utc_ms, _FIRST_MS), _LAST_MS) // 1000
        offset = datetime.fromtimestamp(seconds, self._info).utcoffset()
        return 0 if offset is None else offset.days * DAY_MS + offset.seconds * 1000


_LOADED: dict[str, Zone] = {}  # bounded by the names in the package


def zone(name: str) -> Zone | None:
    """The zone of an IANA name; None if the tzdata package has no such place. Names are case-sensitive."""
    found = _LOADED.get(name)
    if found is None and (info := zones.load(name)) is not None:
        found = _LOADED[name] = Zone(name, info)
    return found


def _utc() -> Zone:
    found = zone("UTC")
    if found is None:
        raise AssertionError("the tzdata package has no zone UTC")
    return found


UTC_ZONE: Zone = _utc()

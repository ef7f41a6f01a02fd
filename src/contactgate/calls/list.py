"""A list of telephone campaigns as a bank keeps it, turned into contact requests.

Format: CSV with a header; the columns `client`, `last_call` (a date) and `calls` are needed, others are ignored. One
call a day at 10:00 UTC, the last on `last_call`; all clients merged in time order. Must never
change a date or a count of the list.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from contactgate.errors import DocumentError, Fault

MAX_CALLS = 10_000
_SHOWN = 20
_HOUR_MS = 36_000_000  # 10:00
_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_NEEDED = ("client", "last_call", "calls")


class Client(NamedTuple):
    """One row of the list."""

    client: str
    last_call: date
    calls: int


class Call(NamedTuple):
    """One call that was made, as a request that would have been asked."""

    request_id: str
    client: str
    day: date

    @property
    def time_ms(self) -> int:
        """10:00 UTC of its day."""
        return (self.day - _EPOCH).days * _DAY_MS + _HOUR_MS


def read_calls(path: Path) -> list[Client]:
    """Every row of the list. Raises DocumentError naming the wrong lines; nothing is replayed from a wrong list."""
    faults: list[Fault] = []
    clients: list[Client] = []
    seen: dict[str, int] = {}
    title = f"the call list {path} cannot be used"
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, strict=True)
            missing = [name for name in _NEEDED if name not in (rows.fieldnames or ())]
            if missing:
                words = f"column {', '.join(missing)} is missing; the first line must name client, last_call and calls"
                raise DocumentError(title, (Fault("line 1", words),))
            for row in rows:
                wrong = _wrong(row, seen)
                if wrong:
                    faults.append(Fault(f"line {rows.line_num}", wrong))
                    continue
                seen[row["client"]] = rows.line_num
                clients.append(Client(row["client"], date.fromisoformat(row["last_call"]), int(row["calls"])))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        words = f"{type(error).__name__}; give a readable CSV file in utf-8"
        raise DocumentError(title, (Fault("", words),)) from error
    if not clients and not faults:
        faults.append(Fault("", "it has no rows; give one line per client below the header"))
    if len(faults) > _SHOWN:
        faults[_SHOWN:] = [Fault("", f"and {len(faults) - _SHOWN} more lines; correct these first")]
    if faults:
        raise DocumentError(title, tuple(faults))
    return clients


def calls_in_order(clients: list[Client]) -> Iterator[Call]:
    """Every call in time order; within a day in the order of the list."""
    by_day: dict[date, list[Call]] = {}
    for client, last, count in clients:
        for number in range(count):
            day = last - timedelta(days=count - 1 - number)
            by_day.setdefault(day, []).append(Call(f"call-{client}-{number + 1}", client, day))
    for day in sorted(by_day):
        yield from by_day[day]


def _wrong(row: dict[str, str | None], seen: dict[str, int]) -> str:
    client, last, count = row["client"], row["last_call"], row["calls"]
    if None in row or client is None or last is None or count is None:
        return "it has another number of fields than the header; quote fields that hold a comma"
    if not client or len(client) > 100 or not client.isprintable():
        return "client must be 1 to 100 printable characters"
    if client in seen:
        return f"client is the same as in line {seen[client]}; one line per client"
    try:
        day = date.fromisoformat(last)
    except ValueError:
        return "last_call is not a date; write YYYY-MM-DD"
    if not count.isascii() or not count.isdigit() or not 1 <= int(count[:6]) <= MAX_CALLS:
        return f"calls is not a whole number from 1 to {MAX_CALLS}"
    if day.year < 2000 or (day - date(2000, 1, 1)).days < int(count[:6]):
        return "the calls reach back before 2000-01-01; the gate takes that for a wrong clock"
    return ""

"""`contactgate replay-calls`: a bank's own call list as requests under a cap, live or offline, and checked.

Composes `calls.list` (the list, and what the cap allows of it by its dates alone) with the offline fold or the live
gate. The two must be equal, request by request; the last line of the output is `N requests, P passed, B blocked`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from contactgate.calls.list import Call, Client, calls_in_order, read_calls
from contactgate.calls.live import replay_live
from contactgate.calls.oracle import allowed
from contactgate.calls.requests import policy, request
from contactgate.calls.verdicts import Verdicts
from contactgate.cli.connection import fail
from contactgate.codec.tokens import Tokens
from contactgate.errors import ContactgateError, DocumentError
from contactgate.offline import fold
from contactgate.policy.load import load_policy

_WINDOW = re.compile(r"(\d{1,6})([hd])")
_KEY = b"replay-calls: the list holds no address to protect"


def replay_calls(
    file: Annotated[Path, typer.Argument(help="CSV with the columns client, last_call (YYYY-MM-DD) and calls.")],
    cap: Annotated[int, typer.Option(help="At most this many calls to one client …", min=0, max=10_000)] = 3,
    window: Annotated[str, typer.Option(help="… in every sliding window of this length: 30d, 36h.")] = "30d",
    offline: Annotated[
        bool, typer.Option(help="Through the same core without Kafka, instead of a broker and two workers.")
    ] = False,
    requests_out: Annotated[Path | None, typer.Option(help="Also write the requests as JSON lines.")] = None,
) -> None:
    """Replay a call list as contact requests, event time as the clock, and compare with what the cap allows."""
    length = _length(window)
    try:
        clients = read_calls(file)
    except DocumentError as error:
        fail(f"{error}\nnothing was replayed")
    calls = list(calls_in_order(clients))
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{len(calls):,} calls to {len(clients):,} clients, {calls[0].day} to {calls[-1].day}; "
        f"at most {cap} in {window} (sliding)"
    )
    if requests_out is not None:
        _write(requests_out, calls)
    verdicts = Verdicts()
    try:
        (_offline if offline else replay_live)(calls, policy(cap, length), verdicts.take, console.print)
    except ContactgateError as error:
        fail(str(error))
    equal = _explain(console, verdicts, clients, cap, length)
    passed, blocked = len(verdicts.passed), len(verdicts.blocked)
    print(f"{passed + blocked} requests, {passed} passed, {blocked} blocked")
    if not equal:
        raise typer.Exit(1)


def _offline(
    calls: list[Call], document: dict[str, object], take: Callable[[bytes], None], say: Callable[[str], Any]
) -> None:
    lines: Iterable[Call] = calls
    if Console(stderr=True).is_terminal:
        lines = track(calls, "deciding", console=Console(stderr=True))
    for value in fold((request(call) for call in lines), load_policy(document), Tokens(_KEY)):
        take(value)
    say("decided offline, by the same core")


def _explain(console: Console, verdicts: Verdicts, clients: list[Client], cap: int, length: timedelta) -> bool:
    table = Table("verdict", "requests", "why, for example")
    table.columns[1].justify = "right"
    table.add_row("pass", f"{len(verdicts.passed):,}", "the cap had room")
    table.add_row("block", f"{len(verdicts.blocked):,}", "")
    for rule, count in verdicts.reasons.most_common():
        table.add_row(f"  {rule}", f"{count:,}", verdicts.example[rule])
    console.print(table)
    for words, count in verdicts.other.items():
        console.print(f"{count:,} × {words}")
    may = allowed(clients, cap, length)
    asked = sum(client.calls for client in clients)
    decided = len(verdicts.passed) + len(verdicts.blocked)
    faults = [
        *_differences(len(may - verdicts.passed), "the cap allows them by their dates, but they were not passed"),
        *_differences(len(verdicts.passed - may), "they passed, but by their dates the cap forbids them"),
        *_differences(asked - decided, "they have no decision"),
        *_differences(verdicts.twice, "they were decided twice"),
    ]
    console.print(f"computed from the dates in the file alone: {len(may):,} may pass; passed: {len(verdicts.passed):,}")
    console.print("equal, request by request" if not faults else "NOT EQUAL: " + "; ".join(faults))
    return not faults


def _differences(count: int, words: str) -> Iterator[str]:
    if count:
        yield f"{count:,} requests: {words}"


def _length(window: str) -> timedelta:
    match = _WINDOW.fullmatch(window.strip())
    if match is None or int(match[1]) == 0:
        fail(f"the window {window!r} is no length of time; write whole days or hours, such as 30d or 36h")
    length = timedelta(days=int(match[1])) if match[2] == "d" else timedelta(hours=int(match[1]))
    if length > timedelta(days=400):
        fail(f"the window {window!r} is longer than 400d; the gate forgets contacts after that")
    return length


def _write(path: Path, calls: list[Call]) -> None:
    try:
        with path.open("wb") as out:
            out.writelines(request(call) + b"\n" for call in calls)
    except OSError as error:
        fail(f"the requests cannot be written to {path} ({error.strerror}); name another file")

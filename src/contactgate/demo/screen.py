"""What the demonstration shows: a live table on a terminal, plain lines anywhere else. Decides and counts nothing."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contactgate.demo.audit import Finding
from contactgate.demo.tally import Snapshot, Tally

_LINE_EVERY_S = 2.0
_STORY = 6  # lines of the story below the table
_FRAME = 9  # lines of the head, the title, the borders and the two verdicts


class Screen:
    """Shows the tally until it is left; `say` adds a line that stays."""

    def __init__(self, console: Console, tally: Tally, started: float) -> None:
        self._console = console
        self._tally = tally
        self._started = started
        self._said: deque[str] = deque(maxlen=_STORY)
        self._rates: deque[tuple[float, int]] = deque(maxlen=8)
        self._stop = threading.Event()
        self._live: Live | None = None
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, refresh_per_second=4)
            self._live.start()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(5)
        if self._live is not None:
            self._live.update(self._table())
            self._live.stop()

    def say(self, words: str) -> None:
        """A line of the story, with the time since the start."""
        line = f"{time.monotonic() - self._started:6.1f} s  {words}"
        self._said.append(line)
        if self._live is None:
            self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _run(self) -> None:
        shown = None
        while not self._stop.wait(0.25 if self._live is not None else _LINE_EVERY_S):
            now = self._tally.snapshot()
            self._rates.append((time.monotonic(), now.decided))
            if self._live is not None:
                self._live.update(self._table())
            elif now.decided and now != shown:
                shown = now
                self._console.print(self._line(now), soft_wrap=True, highlight=False, markup=False)

    def _rate(self) -> float:
        if len(self._rates) < 2:
            return 0.0
        (then, before), (now, after) = self._rates[0], self._rates[-1]
        return (after - before) / max(now - then, 1e-9)

    def _line(self, now: Snapshot) -> str:
        top = ", ".join(f"{rule} {count:,}" for rule, count in now.reasons[:4])
        return (
            f"{time.monotonic() - self._started:6.1f} s  sent {now.sent:,}  decided {now.decided:,}  "
            f"pass {now.passed:,}  block {now.decided - now.passed:,}  dead {now.dead}  {self._rate():,.0f}/s  "
            f"p50 {_ms(now.p50_ms)}  p99 {_ms(now.p99_ms)}  [{top}]"
        )

    def _table(self) -> Group:
        now = self._tally.snapshot()
        table = Table(title="verdicts", title_justify="left")
        table.add_column("verdict or reason")
        table.add_column("requests", justify="right")
        table.add_column("share", justify="right")
        share = max(now.decided, 1)
        table.add_row(Text("pass", "bold green"), f"{now.passed:,}", f"{now.passed / share:.1%}")
        table.add_row(Text("block", "bold red"), f"{now.decided - now.passed:,}", f"{1 - now.passed / share:.1%}")
        room = max(3, self._console.height - _STORY - _FRAME)
        for rule, count in now.reasons[:room]:
            table.add_row(Text(f"  {rule}", "red"), f"{count:,}", f"{count / share:.1%}")
        head = Text(
            f"sent {now.sent:,}   decided {now.decided:,}   dead letters {now.dead}   {self._rate():,.0f} a second   "
            f"latency p50 {_ms(now.p50_ms)}  p99 {_ms(now.p99_ms)}"
        )
        return Group(head, table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in self._said))


def summary(console: Console, now: Snapshot, findings: list[Finding]) -> None:
    """The verdicts by reason and every promise with its evidence."""
    console.print()
    table = Table("verdict or reason", "requests", title="all verdicts", title_justify="left")
    table.columns[1].justify = "right"
    table.add_row("pass", f"{now.passed:,}")
    table.add_row("block", f"{now.decided - now.passed:,}")
    for rule, count in now.reasons:
        table.add_row(f"  {rule}", f"{count:,}")
    console.print(table)
    for finding in findings:
        mark = Text("held   ", "bold green") if finding.held else Text("BROKEN ", "bold red")
        console.print(mark + Text(f"{finding.promise}: {finding.detail}"), soft_wrap=True, highlight=False)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"

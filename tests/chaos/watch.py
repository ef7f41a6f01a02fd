"""A worker's eyes and self-destruct: sees every effect of every driver, and dies or freezes at a named point if told.

Orders come in a file that the injectors replace (`Orders`); what was seen goes to files beside it:

    <name>.owned    JSON list of the partitions this worker decides, replaced whenever it changes
    <name>.seen     one JSON line for everything worth counting: an order carried out, a fenced producer, …

Points of the commit sequence lie between two effects of the task (`partition.task` names their order). Runs inside the
worker process of tests.chaos.worker; the product knows nothing of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from contactgate.engine.driver import Driver
from contactgate.errors import BarrierTimeout, BrokerError, Fenced
from contactgate.partition import effects as fx

POINTS = (
    "before-begin",
    "after-begin",
    "after-produce",
    "in-offsets",
    "after-offsets",
    "in-commit",
    "after-commit",
    "after-store",
    "at-barrier",
    "before-fence",
    "after-fence",
    "in-restore",
    "before-inputs",
)
LIVE_POINTS = POINTS[:9]
START_POINTS = POINTS[9:]
_HELD_S = 0.02
_real_time_ns = time.time_ns


class Orders:
    """What a worker shall do, as a file. `write` is the injectors' side, `look` the worker's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.point = ""
        self.left = 0
        self.action = ""
        self.clock_ms = 0
        self._changed_ns = -1

    def write(self, point: str = "", nth: int = 1, action: str = "kill", clock_ms: int = 0) -> None:
        """Replace the orders: `action` (kill or stop) at the n-th passing of a point; a wall clock wrong by so much."""
        whole = self.path.with_suffix(".new")
        whole.write_text(json.dumps({"point": point, "nth": nth, "action": action, "clock_ms": clock_ms}))
        whole.replace(self.path)

    def look(self) -> None:
        """Read the orders if they are new."""
        try:
            changed = self.path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed == self._changed_ns:
            return
        self._changed_ns = changed
        given = json.loads(self.path.read_text())
        self.point, self.left, self.action = given["point"], given["nth"], given["action"]
        self.clock_ms = given["clock_ms"]


class Watch:
    """One worker process's watch over all of its drivers."""

    def __init__(self, directory: Path, name: str) -> None:
        self.orders = Orders(directory / f"{name}.orders")
        self._seen = (directory / f"{name}.seen").open("ab", buffering=0)
        self._owned_path = directory / f"{name}.owned"
        self._owned: set[int] = set()
        self._last: dict[int, tuple[type[fx.Effect], type[fx.Effect]]] = {}
        self._tell_owned()

    def time_ns(self) -> int:
        """The wall clock as this worker shall see it."""
        return _real_time_ns() + self.orders.clock_ms * 1_000_000

    def note(self, what: str, **details: Any) -> None:
        """Write down something worth counting."""
        line = {"what": what, "mono_ns": time.monotonic_ns(), "wall_ms": _real_time_ns() // 1_000_000, **details}
        self._seen.write(json.dumps(line).encode() + b"\n")

    def attach(self, driver: Driver) -> None:
        """Watch a driver: every effect is seen before it is carried out, its carriers are listened to."""
        for kind in (fx.Begin, fx.Produce, fx.SendOffsets, fx.Commit, fx.InitProducer, fx.Barrier, fx.StoreWrite):
            driver._do[kind] = self._listening(kind, driver, driver._do[kind])
        run, promote, carry_out = driver.run, driver.promote, driver.carry_out

        async def seen(effect: fx.Effect[Any]) -> Any:
            self._before(driver, effect)
            return await carry_out(effect)

        async def until_the_end(*, standby: bool = False) -> None:
            try:
                await run(standby=standby)
            except Fenced:
                self.note("fenced", partition=driver.partition)
                raise
            finally:
                self._disown(driver.partition)

        def promoted() -> None:
            self.note("promoted", partition=driver.partition)
            promote()

        driver.run, driver.promote = until_the_end, promoted  # type: ignore[method-assign]
        driver.carry_out = seen  # type: ignore[method-assign]

    def _tell_owned(self) -> None:
        whole = self._owned_path.with_suffix(".new-owned")
        whole.write_text(json.dumps(sorted(self._owned)))
        whole.replace(self._owned_path)

    def _disown(self, partition: int) -> None:
        if partition in self._owned:
            self._owned.discard(partition)
            self._tell_owned()

    def _before(self, driver: Driver, effect: fx.Effect) -> None:
        self.orders.look()
        kind, partition = type(effect), driver.partition
        before, last = self._last.get(partition, (fx.Effect, fx.Effect))
        self._last[partition] = (last, kind)
        if kind is fx.NextInput and partition not in self._owned:
            self._owned.add(partition)
            self._tell_owned()
        elif kind is fx.DropProducer:
            self._disown(partition)
        elif isinstance(effect, fx.Alert):
            self.note("alert." + effect.kind, partition=partition)
        elif isinstance(effect, fx.StoreOpen) and effect.reset is not None:
            self.note("store-reset", partition=partition, reason=effect.reset)
        elif isinstance(effect, fx.FetchChangelog) and effect.until is not None and effect.start == 0:
            self.note("restore-from-empty", partition=partition)
        if self.orders.point and self.orders.point in _points(effect, last, before):
            self.orders.left -= 1
            if self.orders.left <= 0:
                self._obey(partition)

    def _obey(self, partition: int) -> None:
        point, action = self.orders.point, self.orders.action
        self.orders.point = ""
        number = signal.SIGKILL if action == "kill" else signal.SIGSTOP
        self.note("obeyed", point=point, action=action, partition=partition, owned=sorted(self._owned))
        if point in ("in-commit", "in-offsets"):
            # While requests are on their way: within a round trip or two.
            asyncio.get_running_loop().call_later((time.monotonic_ns() % 4_000) / 1e6, os.kill, os.getpid(), number)
            return
        os.kill(os.getpid(), number)

    def _listening(
        self, kind: type[fx.Effect], driver: Driver, carry: Callable[[Any], Awaitable[Any]]
    ) -> Callable[[Any], Awaitable[Any]]:
        async def listening(effect: Any) -> Any:
            began = time.monotonic()
            try:
                result = await carry(effect)
            except Fenced:
                raise
            except BarrierTimeout:
                self.note("barrier-held", partition=driver.partition, timeout=True)
                raise
            except BrokerError as error:
                what = "unknown-commit" if kind is fx.Commit else "broken-transaction"
                self.note(what, partition=driver.partition, step=kind.__name__, error=str(error)[:200])
                raise
            except Exception as error:
                if kind is fx.StoreWrite:
                    self.note("store-failed", partition=driver.partition, error=str(error)[:200])
                raise
            if kind is fx.Barrier and time.monotonic() - began > _HELD_S:
                self.note("barrier-held", partition=driver.partition, seconds=round(time.monotonic() - began, 3))
            return result

        return listening


def _points(effect: fx.Effect, last: type[fx.Effect], before: type[fx.Effect]) -> tuple[str, ...]:
    """The names of the place between the effect before and this one."""
    if isinstance(effect, fx.Begin):
        # The product never comes from a commit to a begin without a write of the store; a seeded bug does.
        return ("before-begin", "between-commits") if last is fx.Commit else ("before-begin",)
    if isinstance(effect, fx.Produce):
        return ("after-begin",)
    if isinstance(effect, fx.SendOffsets):
        return ("after-produce", "in-offsets")
    if isinstance(effect, fx.Commit):
        return ("after-offsets", "in-commit")
    if isinstance(effect, fx.StoreWrite):
        return ("after-commit",) if last is fx.Commit else ("in-restore",)
    if isinstance(effect, fx.Barrier) and effect.hold:
        return ("at-barrier",)
    if isinstance(effect, fx.NextInput) and last is fx.StoreWrite and before is fx.Commit:
        return ("after-store",)
    if isinstance(effect, fx.InitProducer):
        return ("before-fence",)
    if isinstance(effect, fx.Now) and last is fx.InitProducer:
        return ("after-fence",)
    if isinstance(effect, fx.StartInputs):
        return ("before-inputs",)
    return ()


def tally(directory: Path) -> Counter[str]:
    """Everything the workers of a run have seen, by name; obeyed orders as `point.<name>`."""
    found: Counter[str] = Counter()
    for path in sorted(directory.glob("*.seen")):
        for line in path.read_bytes().splitlines():
            seen = json.loads(line)
            found[f"{seen['action']}.{seen['point']}" if seen["what"] == "obeyed" else seen["what"]] += 1
    return found

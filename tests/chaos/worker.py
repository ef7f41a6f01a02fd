"""`contactgate worker` under observation: `python -m tests.chaos.worker worker …`, same options, same code.

The environment variable CHAOS_WORKER tells, as JSON: `directory` and `name` (where orders come from and what was seen
goes to), `ports` (broker port -> port of the proxy in the path), `bug` (a seeded bug of tests.chaos.bugs, "" for none).
Everything is put around the product from outside; nothing in it knows that it is watched.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from tests.chaos.watch import Watch

from contactgate.cli.main import app
from contactgate.engine import compose as live
from contactgate.engine.driver import Driver
from contactgate.engine.intake import Intake
from contactgate.engine.settings import EngineSettings


def main() -> None:
    """Put the watch, the proxy, the clock and the bug in place, then be a worker."""
    given = json.loads(os.environ["CHAOS_WORKER"])
    watch = Watch(Path(given["directory"]), given["name"])
    time.time_ns = watch.time_ns
    if given.get("ports"):
        _reroute({int(port): proxy for port, proxy in given["ports"].items()})
    build = live.build_worker

    def watched(settings: EngineSettings, *arguments: Any, **options: Any) -> Any:
        # Sooner than in production, so that a short run sees the end of it.
        ms = given["transaction_ms"]
        settings = dataclasses.replace(settings, transaction_timeout_ms=ms, request_timeout_ms=ms * 5 // 8)
        worker = build(settings, *arguments, **options)
        make_driver = worker.make_driver

        def make_watched(*parts: Any) -> Driver:
            driver = make_driver(*parts)
            watch.attach(driver)
            return driver

        worker.make_driver = make_watched
        # A reader of facts that lags behind the one of requests: what the barrier is for.
        for intake in (worker.facts, worker.world):
            _slow(intake, given["slow_s"])
        return worker

    if given.get("bug"):
        from tests.chaos import bugs

        bugs.install(given["bug"])
        build = live.build_worker
    live.build_worker = watched
    app()


def _slow(intake: Intake, seconds: float) -> None:
    """Wait before every look at the broker."""
    poll = intake._poll

    async def later(*arguments: Any) -> None:
        await asyncio.sleep(seconds)
        await poll(*arguments)

    if seconds:
        intake._poll = later  # type: ignore[method-assign]


def _reroute(ports: dict[int, int]) -> None:
    """Every connection of aiokafka to a broker goes through its proxy."""
    connect = AIOKafkaConnection.connect

    async def through_proxy(self: Any) -> Any:
        self._port = ports.get(self._port, self._port)
        return await connect(self)

    AIOKafkaConnection.connect = through_proxy


if __name__ == "__main__":
    main()

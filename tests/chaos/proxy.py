"""A TCP proxy that understands Kafka's framing, in the path of one worker: cuts, delays, mutes, loses single answers.

    python -m tests.chaos.proxy '{"broker port": listening port, …}'     orders: a JSON object a line of standard input

    {"do": "pass"}                  heal: what was held back is sent on, late but whole, as TCP would
    {"do": "cut"}                   nothing in either direction, connections stay open
    {"do": "mute-up"}               nothing towards the brokers
    {"do": "mute-down"}             nothing towards the worker
    {"do": "delay", "ms": 200}      everything that much later
    {"do": "reset"}                 every connection is broken, new ones are accepted
    {"do": "lose", "api": 26, "times": 3}              the answers to the next requests of this kind never come
    {"do": "hold", "api": 26, "times": 1, "ms": 4000}  such a request reaches the broker that much later

One line of JSON goes to standard output for every order and for every request that was lost or held. EndTxn is 26,
Produce 0, Fetch 1, InitProducerId 22, TxnOffsetCommit 28. It must never change a byte of what it passes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

import uvloop

_HEAD = 12  # size, api key, api version, correlation id


class Rules:
    """What is done to the traffic now, shared by all connections of one proxy."""

    def __init__(self) -> None:
        self.up = True
        self.down = True
        self.delay_s = 0.0
        self.lose: dict[int, int] = {}
        self.hold: dict[int, tuple[int, float]] = {}
        self.pipes: set[Pipe] = set()
        self.changed = asyncio.Event()

    def obey(self, order: dict[str, Any]) -> None:
        """Carry out one order."""
        do = order["do"]
        if do == "reset":
            for pipe in list(self.pipes):
                pipe.close()
        elif do == "lose":
            self.lose[order["api"]] = order["times"]
        elif do == "hold":
            self.hold[order["api"]] = (order["times"], order["ms"] / 1000)
        else:
            self.up = do not in ("cut", "mute-up")
            self.down = do not in ("cut", "mute-down")
            self.delay_s = order["ms"] / 1000 if do == "delay" else 0.0
            if do == "pass":
                self.lose.clear()
                self.hold.clear()
        self.changed.set()
        self.changed = asyncio.Event()

    def take_lost(self, api: int) -> bool:
        """Whether the answer to this request shall be lost."""
        left = self.lose.get(api, 0)
        if left:
            self.lose[api] = left - 1
            tell(lost=api)
        return left > 0

    def take_held(self, api: int) -> float:
        """How long this request shall be held back."""
        left, seconds = self.hold.get(api, (0, 0.0))
        if not left:
            return 0.0
        self.hold[api] = (left - 1, seconds)
        tell(held=api)
        return seconds


class Pipe:
    """One connection of the worker and its counterpart at the broker."""

    def __init__(self, rules: Rules, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._rules = rules
        self._near = (reader, writer)
        self._far: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lost: set[int] = set()  # correlation ids whose answers are thrown away

    async def run(self, port: int) -> None:
        """Until either side closes."""
        try:
            self._far = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        except OSError:
            self._near[1].close()
            return
        self._rules.pipes.add(self)
        jobs = [asyncio.create_task(self._upwards()), asyncio.create_task(self._downwards())]
        await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        self.close()
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        self._rules.pipes.discard(self)

    def close(self) -> None:
        """Break it."""
        for _, writer in (self._near, self._far) if self._far is not None else (self._near,):
            with contextlib.suppress(Exception):
                writer.transport.abort()

    async def _upwards(self) -> None:
        assert self._far is not None
        reader, writer = self._near[0], self._far[1]
        while True:
            head = await reader.readexactly(_HEAD)
            rest = await reader.readexactly(int.from_bytes(head[:4], "big") - _HEAD + 4)
            api = int.from_bytes(head[4:6], "big")
            if self._rules.lose and self._rules.take_lost(api):
                self._lost.add(int.from_bytes(head[8:12], "big"))
            if self._rules.hold and (seconds := self._rules.take_held(api)):
                await asyncio.sleep(seconds)
            while not self._rules.up:
                await self._rules.changed.wait()
            if self._rules.delay_s:
                await asyncio.sleep(self._rules.delay_s)
            writer.write(head + rest)
            await writer.drain()

    async def _downwards(self) -> None:
        assert self._far is not None
        reader, writer = self._far[0], self._near[1]
        while True:
            head = await reader.readexactly(8)
            rest = await reader.readexactly(int.from_bytes(head[:4], "big") - 4)
            while not self._rules.down:
                await self._rules.changed.wait()
            correlation = int.from_bytes(head[4:8], "big")
            if correlation in self._lost:
                self._lost.discard(correlation)
                continue
            writer.write(head + rest)
            await writer.drain()


def tell(**what: Any) -> None:
    """One line for the injectors."""
    print(json.dumps(what), flush=True)


async def serve(ports: dict[int, int]) -> None:
    """Listen on every port until standard input ends."""
    rules = Rules()

    async def accept(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Pipe(rules, reader, writer).run(port)

    servers = []
    for port, listening in ports.items():

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port) -> Any:
            return accept(port, reader, writer)

        servers.append(await asyncio.start_server(accepted, "127.0.0.1", listening, limit=1 << 20))
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    tell(ready=sorted(ports.values()))
    while line := await orders.readline():
        order = json.loads(line)
        rules.obey(order)
        tell(obeyed=order["do"])


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve({int(port): listening for port, listening in json.loads(sys.argv[1]).items()}))

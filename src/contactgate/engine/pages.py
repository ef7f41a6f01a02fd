"""Three pages of a worker for machines: /livez, /readyz, /metrics. Nothing else is served; Faust's own pages are off.

Bound to loopback unless the settings say otherwise. No page ever shows a subject, a key, a setting or a credential.
However many connect and say nothing, or little at a time, the worker keeps its file handles and answers every caller: a
request must come within seconds, and of too many connections the oldest goes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Generic

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from contactgate.engine.worker import Worker
from contactgate.model.log import State
from contactgate.ops.metrics import exposition

_STALLED_S = 30.0
_IDLE_S = 10.0
_MOST = 200


class _OursAlone(logging.Filter):
    """Passes what went wrong here, not what was wrong with a request: aiohttp would write the request into the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log = logging.getLogger(__name__)
_log.addFilter(_OursAlone())


class Pages(Generic[State]):
    """The web server of one worker."""

    def __init__(self, worker: Worker[State], host: str, port: int, *, idle_s: float = _IDLE_S) -> None:
        """`idle_s`: how long a connection may take for a whole request."""
        self._worker = worker
        self._host, self._port, self._idle_s = host, port, idle_s
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._newest: deque[RequestHandler] = deque()
        self._render: Callable[[], bytes] = exposition(worker.meter)

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.add_routes(
            [web.get("/livez", self._live), web.get("/readyz", self._ready), web.get("/metrics", self._metrics)]
        )
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            logger=_log,
            keepalive_timeout=self._idle_s,
            lingering_time=0.0,
        )
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(
            self._accept, self._host, self._port, reuse_address=True
        )

    def _accept(self) -> asyncio.Protocol:
        server = self._runner.server if self._runner is not None else None
        assert server is not None
        handler = server()
        self._newest.append(handler)
        if len(self._newest) > _MOST:
            self._newest.popleft().force_close()
        return handler

    async def stop(self) -> None:
        """Close."""
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        """Whether the process is alive: its loop turns and its readers poll."""
        began = time.monotonic()
        await asyncio.sleep(0)
        intakes = (self._worker.facts, self._worker.requests, self._worker.world)
        idle = max((began - intake.polled_at for intake in intakes if intake.reading), default=0.0)
        failed = self._worker.fatal is not None or idle > _STALLED_S
        body = {"alive": not failed, "idle_s": round(idle, 3)}
        return web.json_response(body, status=503 if failed else 200)

    async def _ready(self, _: web.Request) -> web.Response:
        """Whether every partition of this worker decides."""
        meters = self._worker.meter.partitions.values()
        body = {
            "ready": self._worker.ready,
            "partitions": {str(meter.partition): meter.life for meter in sorted(meters, key=lambda m: m.partition)},
            "lag": sum(meter.lag for meter in meters),
        }
        return web.Response(
            text=json.dumps(body), content_type="application/json", status=200 if self._worker.ready else 503
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

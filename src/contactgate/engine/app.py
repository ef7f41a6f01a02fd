"""The Faust side of a worker: process, signals, group membership, assignment with standbys; and our service in it.

Faust's consumer subscribes to one marker topic that never holds a record; whose partition p of it is assigned runs
partition p of everything else, and whose standby it is follows p's changelog. The hot path is `engine.worker`, which
Faust never touches: a partition that stays through a rebalance is not stopped, and safety depends on the fencing of
transactional ids, not on the group.

Faust's banner (it prints broker addresses with passwords), its web server (all interfaces, table contents) and its
leader topic are off. Our pages are in `engine.pages`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import faust
import uvloop
from aiokafka.helpers import create_ssl_context

from contactgate.engine.kafka.patches import wait_for_brokers
from contactgate.engine.pages import Pages
from contactgate.engine.settings import EngineSettings, Security
from contactgate.engine.worker import Worker
from contactgate.errors import ContactgateError
from contactgate.names import Kind

log = logging.getLogger(__name__)

_NEVER_S = 1e8
_METADATA_MS = 3_000


def _credentials(security: Security) -> Any:
    """Faust's form of the same credentials our clients use; None for a plain cluster."""
    context = security.ssl_context
    if security.protocol in {"SSL", "SASL_SSL"} and context is None:
        context = create_ssl_context()
    if security.mechanism is not None:
        return faust.SASLCredentials(
            username=security.username, password=security.password, mechanism=security.mechanism, ssl_context=context
        )
    return faust.SSLCredentials(context) if context is not None else None


def build_app(settings: EngineSettings, make_worker: Callable[[], Worker[Any]]) -> faust.App:
    """The Faust app of one worker process. `make_worker` is called on the running loop."""
    wait_for_brokers()
    brokers = ";".join(f"kafka://{address.strip()}" for address in settings.bootstrap.split(",") if address.strip())
    app = faust.App(
        settings.group_id,
        broker=brokers,
        broker_credentials=_credentials(settings.security),
        # > 0 keeps Faust's own assignor: co-partitioned, sticky, with standbys.
        table_standby_replicas=1,
        topic_disable_leader=True,
        topic_allow_declare=False,
        store="memory://",
        datadir=str(settings.state_dir / "faust"),
        web_enabled=False,
        # A worker with only standbys never polls; aiokafka would leave the group.
        broker_max_poll_interval=_NEVER_S,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        broker_request_timeout=max(settings.session_timeout_s, settings.rebalance_timeout_s) + 5.0,
        # The group's leader may ask for metadata while the brokers start. Faust then assigns nothing to anybody, and
        # only newer metadata make the group assign again; aiokafka would ask after five minutes.
        consumer_metadata_max_age_ms=_METADATA_MS,
        consumer_group_instance_id=settings.instance_id,
        worker_redirect_stdouts=False,
        autodiscover=False,
    )
    marker = settings.topic(Kind.TASKS)
    app.topics.add(
        app.topic(marker, partitions=settings.partitions, internal=True, acks=False, key_type=bytes, value_type=bytes)
    )
    wake = asyncio.Event()

    class TaskManager(faust.Service):
        """Runs the worker and tells it what is assigned."""

        worker: Worker[Any]
        pages: Pages | None = None

        async def on_start(self) -> None:
            self.worker = make_worker()
            await self.worker.start()
            if settings.pages_port:
                self.pages = Pages(self.worker, settings.pages_host, settings.pages_port)
                await self.pages.start()

        @faust.Service.task
        async def reconcile(self) -> None:
            while not self.should_stop:
                if (await self.wait_first(wake.wait())).stopped:
                    return
                wake.clear()
                active = {tp.partition for tp in app.assignor.assigned_actives() if tp.topic == marker}
                standby = {tp.partition for tp in app.assignor.assigned_standbys() if tp.topic == marker}
                log.info("assigned: active %s, standby %s", sorted(active), sorted(standby - active))
                self.worker.converge(frozenset(active), frozenset(standby))

        @faust.Service.task
        async def watch(self) -> None:
            while not self.should_stop:
                if (await self.wait_first(self.worker.failed.wait())).stopped:
                    return
                if self.worker.fatal is not None:
                    await self.crash(self.worker.fatal)
                    return

        async def on_stop(self) -> None:
            if self.pages is not None:
                await self.pages.stop()
            await self.worker.stop()

    app.service(TaskManager)

    # No heartbeat is sent while this signal runs: it must only wake the service.
    @app.on_partitions_assigned.connect
    async def assigned(*_: Any, **__: Any) -> None:
        wake.set()

    return app


def run(settings: EngineSettings, make_worker: Callable[[], Worker[Any]], *, loglevel: str = "INFO") -> NoReturn:
    """Run one worker until a signal (exit code 0) or a fault (exit code 1) ends the process."""
    # A worker makes millions of short-lived objects without cycles: the collector's defaults cost a tenth of its time.
    gc.set_threshold(100_000, 50, 100)
    uvloop.install()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build_app(settings, make_worker)
    process = app.Worker(
        loop=loop, loglevel=loglevel, quiet=True, redirect_stdouts=False, override_logging=False, daemon=True
    )
    try:
        process.execute_from_commandline()
    except ContactgateError:
        log.exception("the worker ended")
        sys.exit(1)

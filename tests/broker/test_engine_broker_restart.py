"""The broker dies without a word and comes back: workers wait, decide nothing twice, and go on by themselves."""

from __future__ import annotations

import asyncio
import collections
from pathlib import Path

import pytest
from tests.kit.countgate import check_chain
from tests.kit.enginelab import Bench, make_topics, running, settings_for, until
from tests.kit.fleet import PATIENCE_S, WorkerProcess

from contactgate.broker import DevKafka


@pytest.mark.slow
async def test_a_worker_survives_the_death_of_its_broker(tmp_path: Path) -> None:
    """SIGKILL of the only broker under load, twice: after its return every request has exactly one decision."""
    prefix = "r-"
    with DevKafka(tmp_path / "kafka") as kafka:
        make_topics(kafka.bootstrap, prefix)
        settings = settings_for(kafka.bootstrap, prefix, tmp_path / "state", transaction_timeout_ms=10_000)
        async with Bench(kafka.bootstrap, prefix, 2) as bench, running(settings) as worker:
            ids: list[str] = []
            for _ in range(2):
                ids += await bench.requests(150)
                sending = asyncio.create_task(bench.requests(300))
                await asyncio.sleep(0.05)
                await asyncio.to_thread(kafka.kill)
                await asyncio.sleep(2.0)
                await asyncio.to_thread(kafka.restart)
                ids += await asyncio.wait_for(sending, PATIENCE_S)
                ids += await bench.requests(50)
                decisions = await bench.decisions(len(ids))
                times = collections.Counter(d["request_id"] for d in decisions)
                # The test's own client may repeat a request whose acknowledgement was lost.
                assert set(times) == set(ids)
            assert worker.fatal is None
            records = await bench.read("contact-decisions")
            for partition in range(2):
                own = [record.value for record in records if record.partition == partition]
                check_chain(own)
            requests = await bench.read("contact-requests")
            assert len(requests) == len(records)


async def test_a_worker_that_starts_before_its_broker_waits_for_it(tmp_path: Path) -> None:
    """No broker answers when a worker starts: it says so, tries again, and decides once the broker is there."""
    prefix = "w-"
    worker = WorkerProcess(tmp_path / "worker")
    with DevKafka(tmp_path / "kafka") as kafka:
        make_topics(kafka.bootstrap, prefix)
        kafka.kill()
        worker.start("--bootstrap", kafka.bootstrap, "--prefix", prefix)
        try:
            await until(lambda: "trying again" in worker.log.read_text(), "the worker says that it waits")
            kafka.restart()
            await until(lambda: worker.get("/readyz")[0] == 200, repr(worker))
            assert worker.stop() == 0
        finally:
            worker.kill()

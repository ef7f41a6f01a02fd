"""Hostile HTTP requests to the three pages of a live worker: short answers, nothing leaked, and still alive after."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.hostile.pages import ASKS, Ask
from tests.kit.enginelab import Bench, LabDriver, count_worker, make_topics, running, settings_for, until
from tests.kit.fleet import PATIENCE_S as LONG_S
from tests.kit.fleet import WorkerProcess, wait_until
from tests.kit.wire import Wire

from contactgate.broker import Bootstrap
from contactgate.broker.node import free_ports
from contactgate.engine.pages import Pages
from contactgate.partition import effects as fx
from contactgate.topics import Layout, TopicAdmin, topic_specs

pytestmark = [
    pytest.mark.timeout(300),
    # kafka-python leaves a socket open that was still connecting when its client was closed.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def worker(kafka: Bootstrap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WorkerProcess, str]]:
    """A ready worker and the prefix of its topics."""
    prefix = f"pages-{secrets.token_hex(4)}-"
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(prefix, partitions=1, requesters=("dialer",))))
    worker = WorkerProcess(tmp_path_factory.mktemp("pages"))
    worker.start("--bootstrap", kafka.address, "--prefix", prefix)
    try:
        wait_until(lambda: _status(_exchange(worker, b"GET /readyz HTTP/1.0\r\n\r\n")) == 200, "the worker is ready")
        yield worker, prefix
    finally:
        worker.kill()


def _exchange(worker: WorkerProcess, raw: bytes) -> bytes:
    """What comes back until it hangs up or is silent after it said something."""
    got = b""
    try:
        with socket.create_connection(("127.0.0.1", worker.port), timeout=PATIENCE_S) as wire:
            with contextlib.suppress(OSError):  # it hung up before all of it was sent; it may have said why
                wire.sendall(raw)
            wire.settimeout(PATIENCE_S)
            while part := wire.recv(65_536):
                got += part
                wire.settimeout(0.3)
    except OSError:
        pass
    return got


def _status(answer: bytes) -> int:
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.") and answer[9:12].isdigit() else 0


@pytest.mark.parametrize("ask", ASKS, ids=[f"{ask.row}-{number}" for number, ask in enumerate(ASKS)])
def test_a_hostile_request_is_answered_shortly_or_not_at_all(worker: tuple[WorkerProcess, str], ask: Ask) -> None:
    """The status is one that the table allows; the answer tells nothing of files, settings or the code."""
    process, _ = worker
    answer = _exchange(process, ask.raw)
    assert _status(answer) in ask.allowed
    for leak in (
        b"Traceback",
        b"canary",
        b"root:",
        b"X-Injected",
        b"Access-Control",
        b"101 Switching",
        b"site-packages",
    ):
        assert leak not in answer
    assert _status(_exchange(process, b"GET /livez HTTP/1.0\r\n\r\n")) == 200


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for thousands of connections of our own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 6_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_slow_connections_hold_up_nobody(worker: tuple[WorkerProcess, str]) -> None:
    """Row 79: 5,000 connections that send nothing, or half a header, take neither the pages nor the worker's files."""
    process, _ = worker
    assert process.process is not None
    files = Path(f"/proc/{process.process.pid}/fd")
    before = len(list(files.iterdir()))
    idle: list[socket.socket] = []
    try:
        for number in range(5_000):
            idle.append(socket.create_connection(("127.0.0.1", process.port), timeout=PATIENCE_S))
            if number % 2:
                with contextlib.suppress(ConnectionError):  # it may have had to go already
                    idle[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
        assert _status(_exchange(process, b"GET /livez HTTP/1.0\r\n\r\n")) == 200
        assert _status(_exchange(process, b"GET /readyz HTTP/1.0\r\n\r\n")) == 200
        wait_until(lambda: len(list(files.iterdir())) < before + 300, lambda: "connections are closed")
    finally:
        for each in idle:
            each.close()


def test_pipelined_requests_are_answered_in_order(worker: tuple[WorkerProcess, str]) -> None:
    """Row 84: 1,000 of them in one write."""
    process, _ = worker
    ask = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    got = b""
    with socket.create_connection(("127.0.0.1", process.port), timeout=PATIENCE_S) as wire:
        wire.sendall(ask * 999 + last)
        while part := wire.recv(65_536):
            got += part
    assert (got.count(b"HTTP/1.1 200"), got.count(b"HTTP/1.1 404")) == (999, 1)
    assert got.rindex(b"HTTP/1.1 200") < got.index(b"HTTP/1.1 404")


def test_nothing_of_a_request_reaches_the_log(worker: tuple[WorkerProcess, str]) -> None:
    """Rows 85 and 87: neither an address nor a terminal command nor a forged line."""
    process, _ = worker
    for raw in (
        b"GET /livez?contact=%2B12125550199 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /+12125550199 HTTP/1.1\r\nHost: x\r\nUser-Agent: \x1b[31mFORGED\r\n\r\n",
        b"GET /\x1b[2J HTTP/1.1\r\nX: a\rFORGED\r\n\r\n",
    ):
        _exchange(process, raw)
    log = process.log.read_bytes()
    for bad in (b"2125550199", b"\x1b[2J", b"\x1b[31m", b"FORGED", b"canary", b"BadHttpMessage"):
        assert bad not in log


def test_names_in_messages_do_not_become_labels(worker: tuple[WorkerProcess, str], wire: Wire) -> None:
    """Row 91: 2,000 requests with as many controllers, requesters, purposes and channels add no line to the metrics."""
    process, prefix = worker

    def ask(number: int) -> tuple[bytes, bytes]:
        names = {field: f"{field}-{number}" for field in ("requester", "controller", "purpose", "channel")}
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        message = {"type": "contact.requested", "request_id": f"r-{number}", "subject_id": "s", "time": moment, **names}
        return b"s", json.dumps(message).encode()

    def lines() -> int:
        return process.get("/metrics")[1].count("\n")

    wire.produce(prefix + "contact-requests", [ask(0)])
    wire.consume(prefix + "contact-decisions", count=1, timeout_s=90)
    before = lines()
    wire.produce(prefix + "contact-requests", [ask(number) for number in range(1, 2_001)])
    wire.consume(prefix + "contact-decisions", count=2_001, timeout_s=90)
    assert lines() <= before + 20
    assert "controller-7" not in process.get("/metrics")[1]


def test_a_worker_without_partitions_or_with_a_full_disk_is_not_ready(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, wire: Wire
) -> None:
    """Row 92: 503 while it joins its group, and again from the first write that fails until there is room; when it says
    200 it decides all that is its own."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(topic_prefix, partitions=1, requesters=("dialer",))))
    worker = WorkerProcess(tmp_path)
    told: dict[int, list[dict[str, Any]]] = {0: [], 200: [], 503: []}

    def ready() -> bool:
        status, body = worker.get("/readyz")
        told[status].append(json.loads(body) if status else {})
        return status == 200

    def ask(count: int) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        message = {"type": "contact.requested", "subject_id": "s", "time": moment, "requester": "dialer",
                   "controller": "bank", "purpose": "service", "channel": "voice"}  # fmt: skip
        some = [(b"s", json.dumps({**message, "request_id": f"{time.time_ns()}-{n}"}).encode()) for n in range(count)]
        wire.produce(topic_prefix + "contact-requests", some)

    def room(size: int) -> None:
        """How far a file of the worker may grow."""
        assert worker.process is not None
        resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    try:
        worker.start("--bootstrap", kafka.address, "--prefix", topic_prefix)
        wait_until(ready, lambda: f"it is ready: {worker}")
        assert told[200] == [{"ready": True, "partitions": {"0": "running"}, "lag": 0}]
        assert not any(body["ready"] for body in told[503])
        room(0)
        ask(10)
        wait_until(lambda: not ready(), lambda: f"it is not ready: {worker}")
        ask(10)
        for _ in range(10):
            time.sleep(0.1)
            assert not ready()
            assert worker.get("/livez")[0] == 200
        room(resource.RLIM_INFINITY)
        wait_until(ready, lambda: f"it is ready again: {worker}")
        wire.consume(topic_prefix + "contact-decisions", count=20)
    finally:
        worker.kill()


async def test_a_worker_that_restores_or_is_fenced_is_not_ready(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path
) -> None:
    """Row 92: 503 before it is told what is its own, while it reads the changelog, and once another has taken over."""
    make_topics(kafka.address, topic_prefix)
    settings = settings_for(kafka.address, topic_prefix, tmp_path / "a", worker_id="a")
    other = settings_for(kafka.address, topic_prefix, tmp_path / "b", worker_id="b")
    async with Bench(kafka.address, topic_prefix, 2) as bench:
        async with running(settings):
            await bench.requests(40)
            await bench.decisions(40)
        (port,) = free_ports(1)
        worker = count_worker(settings_for(kafka.address, topic_prefix, tmp_path / "fresh"))
        restored, reading = asyncio.Event(), asyncio.Event()

        async def hold(effect: fx.Effect) -> None:
            if isinstance(effect, fx.FetchChangelog):
                reading.set()
                await restored.wait()

        def watch(driver: LabDriver) -> None:
            driver.hook = hold

        async def status() -> int:
            raw = b"GET /readyz HTTP/1.0\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(raw)
            answer = await reader.read()
            writer.close()
            return _status(answer)

        worker.on_driver = watch
        pages = Pages(worker, "127.0.0.1", port)
        await worker.start()
        await pages.start()
        try:
            await asyncio.wait_for(worker.shared.world_complete.wait(), LONG_S)
            assert await status() == 503, "nothing was assigned"
            worker.converge(frozenset({0, 1}), frozenset())
            await asyncio.wait_for(reading.wait(), LONG_S)
            assert await status() == 503, "it restores"
            restored.set()
            await until(lambda: worker.ready, "it is ready")
            assert await status() == 200
            async with running(other):
                await bench.requests(40)
                await until(lambda: worker.meter.alerts["fenced"] == 2, "it is fenced on both partitions")
                assert await status() == 503, "another decides"
        finally:
            restored.set()
            await pages.stop()
            await worker.stop()


def test_a_spare_worker_is_ready_without_a_partition_of_its_own(
    worker: tuple[WorkerProcess, str], kafka: Bootstrap, tmp_path: Path
) -> None:
    """Row 92: who was told that nothing is its own has nothing to wait for; one decides, the other stands by."""
    first, prefix = worker
    spare = WorkerProcess(tmp_path)

    def settled() -> bool:
        told = [each.get("/readyz") for each in (first, spare)]
        states = [json.loads(body)["partitions"].get("0") if status == 200 else None for status, body in told]
        return sorted(map(str, states)) == ["running", "standby"]

    try:
        spare.start("--bootstrap", kafka.address, "--prefix", prefix, "--worker-id", "spare")
        wait_until(settled, lambda: f"both are ready: {first} {spare}")
        assert spare.stop() == 0
        wait_until(lambda: first.running() == {0}, lambda: f"the first decides: {first}")
    finally:
        spare.kill()

"""Hostile HTTP requests to the three pages of a live worker: short answers, nothing leaked, and still alive after."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import time
from collections.abc import Iterator

import pytest
from tests.broker.fleet import WorkerProcess, wait_until
from tests.hostile.pages import ASKS, Ask
from tests.wire import Wire

from contactgate.broker import Bootstrap
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


def test_slow_connections_hold_up_nobody(worker: tuple[WorkerProcess, str]) -> None:
    """Row 79: 500 connections that send half a header, and the pages are served all the same."""
    process, _ = worker
    idle = [socket.create_connection(("127.0.0.1", process.port), timeout=PATIENCE_S) for _ in range(500)]
    try:
        for each in idle:
            each.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
        assert _status(_exchange(process, b"GET /livez HTTP/1.0\r\n\r\n")) == 200
        assert _status(_exchange(process, b"GET /readyz HTTP/1.0\r\n\r\n")) == 200
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


def test_a_worker_that_cannot_decide_is_not_ready(kafka: Bootstrap, topic_prefix: str, tmp_path, wire: Wire) -> None:
    """Row 92: while another worker of its group holds all partitions, and before it has one, it says 503."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(topic_prefix, partitions=1, requesters=("dialer",))))
    worker = WorkerProcess(tmp_path)
    seen = set()

    def asked() -> bool:
        status = _status(_exchange(worker, b"GET /readyz HTTP/1.0\r\n\r\n"))
        seen.add(status)
        return status == 200

    try:
        worker.start("--bootstrap", kafka.address, "--prefix", topic_prefix)
        wait_until(asked, "it is ready")
        assert seen <= {0, 200, 503}
        assert 503 in seen or 0 in seen
    finally:
        worker.kill()

"""A worker that comes up while its broker does: the broker answers, but knows of no brokers yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError
from tests.kit.countgate import check_chain
from tests.kit.enginelab import Bench, make_topics, running, settings_for, until
from tests.kit.fleet import WorkerProcess

from contactgate.broker import Bootstrap
from contactgate.engine.kafka.clients import transactional_client
from contactgate.engine.kafka.patches import wait_for_brokers

METADATA, SYNC_GROUP = 3, 14
VERSIONS = range(3, 8)  # of the request, with answers of this shape:
NO_BROKERS = bytes(4 + 4) + b"\xff" * (2 + 4) + bytes(4)  # throttle, brokers, cluster, controller, topics


class Starting:
    """In front of a broker: the first `empty` questions for metadata get the answer of one that has just started."""

    def __init__(self, behind: str, empty: int, about: bytes) -> None:
        host, port = behind.rsplit(":", 1)
        self._behind = host, int(port)
        self._about = about
        self._named = b"", b""  # how the broker calls itself, and how it is called here
        self.empty = empty
        self.open: set[asyncio.Future[None]] = set()

    def listen(self, port: int) -> None:
        """Every later connection of the clients comes here, too."""
        host = self._behind[0].encode()
        head = len(host).to_bytes(2, "big") + host
        self._named = head + self._behind[1].to_bytes(4, "big"), head + port.to_bytes(4, "big")

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection."""
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.open.add(closed)
        broker, forth = await asyncio.open_connection(*self._behind)
        answers = asyncio.create_task(self._answers(broker, back))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = await client.readexactly(4)
                request = await client.readexactly(int.from_bytes(size, "big"))
                key, version = int.from_bytes(request[:2], "big"), int.from_bytes(request[2:4], "big")
                if key == SYNC_GROUP and self._about:
                    self.empty = 0
                if key == METADATA and version in VERSIONS and self.empty > 0 and self._about in request:
                    self.empty -= 1
                    answer = request[4:8] + NO_BROKERS
                    back.write(len(answer).to_bytes(4, "big") + answer)
                else:
                    forth.write(size + request)
        answers.cancel()
        for writer in (forth, back):
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        closed.set_result(None)

    async def _answers(self, broker: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await broker.read(65_536):
                back.write(piece.replace(*self._named))
            back.close()


@asynccontextmanager
async def starting(behind: str, empty: int, about: bytes = b"") -> AsyncIterator[tuple[Starting, str]]:
    """A broker that is starting, and its address; `about`: for these bytes, until a group is assigned."""
    front = Starting(behind, empty, about)
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        front.listen(port)
        yield front, f"127.0.0.1:{port}"
        await asyncio.wait_for(asyncio.gather(*front.open), 30)


async def test_a_worker_that_starts_with_its_broker_decides(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path
) -> None:
    """Clients whose first answers name no broker ask again at once, and every request is decided."""
    make_topics(kafka.address, topic_prefix)
    async with starting(kafka.address, 30) as (front, address):
        settings = settings_for(address, topic_prefix, tmp_path / "state")
        async with Bench(kafka.address, topic_prefix, 2) as bench, running(settings):
            ids = await bench.requests(50)
            decisions = await bench.decisions(len(ids))
            assert {decision["request_id"] for decision in decisions} == set(ids)
            check_chain([r.value for r in await bench.read("contact-decisions") if r.partition == 0])
        assert front.empty == 0


async def test_a_group_whose_leader_saw_no_topics_assigns_again(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path
) -> None:
    """Metadata that come when all have joined and been assigned nothing: the group notices and assigns again."""
    make_topics(kafka.address, topic_prefix)
    worker = WorkerProcess(tmp_path / "worker")
    async with starting(kafka.address, 1_000, topic_prefix.encode() + b"tasks") as (front, address):
        worker.start("--bootstrap", address, "--prefix", topic_prefix)
        try:
            await until(lambda: "assigned: active [0, 1]" in worker.log.read_text(), repr(worker))
            await until(lambda: worker.get("/readyz")[0] == 200, repr(worker))
            assert await asyncio.to_thread(worker.stop) == 0
        finally:
            worker.kill()
        assert front.empty == 0


async def test_a_broker_that_never_names_one_is_an_error(kafka: Bootstrap, topic_prefix: str, tmp_path: Path) -> None:
    """A cluster that stays empty ends the attempt with an error that says so, and leaves no connection."""
    wait_for_brokers()
    async with starting(kafka.address, 1_000) as (_, address):
        settings = settings_for(address, topic_prefix, tmp_path / "state", request_timeout_ms=1_000)
        client = transactional_client(settings, 0)
        with pytest.raises(KafkaConnectionError, match="names no brokers"):
            await client.bootstrap()
        assert not client._conns

"""The pages without a broker: how long a connection may take for a request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest
from tests.kit.enginelab import count_worker, settings_for

from contactgate.broker.node import free_ports
from contactgate.engine.pages import Pages

HALF = b"GET /livez HTTP/1.1\r\nHost: x\r\nX: "
BODY = b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # the other side may have been quicker
        await writer.wait_closed()


@pytest.mark.parametrize(
    "begun", [b"", b"GET /", HALF, BODY], ids=["nothing", "half a line", "half a header", "a body to come"]
)
async def test_a_request_that_trickles_in_is_hung_up_on(tmp_path: Path, begun: bytes) -> None:
    """Row 79: a byte now and then, of headers or of a body that nobody reads, does not keep a connection open."""
    (port,) = free_ports(1)
    pages = Pages(count_worker(settings_for("127.0.0.1:1", "x-", tmp_path)), "127.0.0.1", port, idle_s=0.6)
    await pages.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        hung_up = asyncio.create_task(reader.read())
        began = time.monotonic()
        while not hung_up.done():
            if begun:
                writer.write(b"x")
            await asyncio.sleep(0.1)
            assert time.monotonic() < began + 60
        answer = b"" if hung_up.exception() else hung_up.result()
        assert answer.startswith(b"HTTP/1.1 200") if begun == BODY else answer == b""
        await _close(writer)
    finally:
        await pages.stop()


async def test_the_oldest_connection_goes_and_the_newest_is_answered(tmp_path: Path) -> None:
    """Of more connections than the pages keep the first is closed at once; one that asks is served."""
    (port,) = free_ports(1)
    pages = Pages(count_worker(settings_for("127.0.0.1:1", "x-", tmp_path)), "127.0.0.1", port, idle_s=600)
    await pages.start()
    try:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(201)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.0 200")
        assert await asyncio.wait_for(idle[0][0].read(), 60) == b""
        assert not idle[-1][0].at_eof()
        for _, each in [*idle, (reader, writer)]:
            await _close(each)
    finally:
        await pages.stop()

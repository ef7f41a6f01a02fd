"""The harness itself: schedules, orders, damage and the proxy do what the runs rely on. Needs no broker."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest
from tests.chaos import damage, faults
from tests.chaos.bugs import BUGS
from tests.chaos.cluster import Proxy
from tests.chaos.watch import Orders

from contactgate.broker.node import free_ports


def test_a_seed_gives_one_schedule_and_no_kind_is_left_out() -> None:
    """The same seed plans the same faults at the same moments; another seed others; every kind of a stream comes."""
    streams = (faults.Stream(2.0, (faults.kill, faults.zombie, faults.damage)), faults.Stream(9.0, (faults.storm,)))
    planned = faults.schedule(5, 60.0, streams)
    assert planned == faults.schedule(5, 60.0, streams)
    assert planned != faults.schedule(6, 60.0, streams)
    assert {each.fault for each in planned} == {faults.kill, faults.zombie, faults.damage, faults.storm}
    assert all(0 <= each.at_s < 60 for each in planned)


def test_orders_are_read_once_they_change(tmp_path: Path) -> None:
    """What the injectors write is what the worker's side reads; a file that is not there changes nothing."""
    here, there = Orders(tmp_path / "w1.orders"), Orders(tmp_path / "w1.orders")
    there.look()
    assert there.point == ""
    here.write(point="in-commit", nth=3, action="stop", clock_ms=-500)
    there.look()
    assert (there.point, there.left, there.action, there.clock_ms) == ("in-commit", 3, "stop", -500)


def test_damage_changes_files_of_stores_only(tmp_path: Path) -> None:
    """Every damage but deletion leaves what is beside the stores alone, and tells what it did."""
    for seed in range(40):
        state = tmp_path / str(seed)
        store = state / "p00000"
        store.mkdir(parents=True)
        for name in ("000007.sst", "000008.log", "MANIFEST-000004", "CURRENT"):
            (store / name).write_bytes(bytes(200))
        (state / "beside").write_bytes(b"kept")
        rng = random.Random(seed)
        what = rng.choice((damage.flip, damage.cut, damage.garble))(state, rng)
        assert what
        assert (state / "beside").read_bytes() == b"kept"
        assert {p.name: p.read_bytes() for p in store.iterdir()} != {p: bytes(200) for p in ("000007.sst",)}


def test_the_bugs_have_names_of_their_own() -> None:
    """At least 25 seeded bugs, each under one name with what is wrong."""
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 25
    assert all(bug.what for bug in BUGS)


async def _obeyed(proxy: Proxy, do: str) -> list[dict[str, object]]:
    """Until the proxy has carried out an order; what it told meanwhile."""
    told: list[dict[str, object]] = []
    for _ in range(600):
        told += proxy.told()
        if {"obeyed": do} in told:
            return told
        await asyncio.sleep(0.05)
    raise AssertionError(f"the proxy did not obey {do}: {told}")


async def test_the_proxy_passes_on_loses_and_cuts() -> None:
    """A frame comes through unchanged; a lost answer never comes; a cut holds everything until it is healed."""
    port, before = free_ports(2)

    answering: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                size = await reader.readexactly(4)
                frame = await reader.readexactly(int.from_bytes(size, "big"))
                reply = frame[4:8] + b"answer"
                writer.write(len(reply).to_bytes(4, "big") + reply)
        await _closed(writer)

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    proxy = await asyncio.to_thread(Proxy, {port: before})
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", before)

        def send(api: int, correlation: int) -> None:
            frame = api.to_bytes(2, "big") + bytes(2) + correlation.to_bytes(4, "big") + b"body"
            writer.write(len(frame).to_bytes(4, "big") + frame)

        async def got() -> int:
            data = await asyncio.wait_for(reader.readexactly(14), 30)
            return int.from_bytes(data[4:8], "big")

        send(26, 1)
        assert await got() == 1
        proxy.order("lose", api=26, times=1)
        await _obeyed(proxy, "lose")
        send(26, 2)
        send(3, 3)
        assert await got() == 3
        proxy.order("cut")
        assert {"lost": 26} in await _obeyed(proxy, "cut")
        send(3, 4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.5)
        proxy.order("pass")
        assert await got() == 4
        await _closed(writer)
    finally:
        proxy.close()
        server.close()
        await asyncio.wait_for(asyncio.gather(*(task for task in answering if task)), 30)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()

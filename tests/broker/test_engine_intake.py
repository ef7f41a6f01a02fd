"""How inputs are fetched from the real broker."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from aiokafka.protocol.fetch import FetchRequest
from tests.kit.enginelab import Bench, settings_for

from contactgate.broker import Bootstrap
from contactgate.engine import intake as intakes
from contactgate.engine.intake import Intake, Lane
from contactgate.engine.kafka.clients import INPUT_MAX_BYTES


async def test_between_two_fetches_of_a_steady_stream_nothing_is_asked_for(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A fetch begins after the rest that follows the last one's records, so what it brings was not lying about."""
    topic = f"{topic_prefix}contact-requests"
    wake = asyncio.Event()
    lanes = [Lane(TopicPartition(topic, number), 0, 10_000, wake) for number in (0, 1)]
    handed: list[float] = []
    asked: list[float] = []
    intake = Intake(settings_for(kafka.address, topic_prefix, tmp_path), {topic: "request"}, "t", INPUT_MAX_BYTES)
    await intake.start(lambda _: handed.append(time.monotonic()))
    assert intake._consumer is not None
    client: Any = intake._consumer._client
    send = client.send

    async def noting(node: int, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            asked.append(time.monotonic())
        return await send(node, request, **options)

    client.send = noting
    intake.add(*lanes)
    for number in range(200):
        await bench.send("contact-requests", f"s{number}", {"id": number}, partition=number % 2)
    async with asyncio.timeout(10):
        while sum(len(lane.records) for lane in lanes) < 200:
            await wake.wait()
            wake.clear()
    await intake.stop()
    for number, lane in enumerate(lanes):
        assert [record.offset for record in lane.records] == list(range(100)), f"partition {number}"
    following = [min((each for each in asked if each > when), default=None) for when in handed]
    rests = [after - when for after, when in zip(following, handed, strict=True) if after is not None]
    assert len(rests) > 5
    assert min(rests) > 0.9 * intakes._BETWEEN_FETCHES_S  # timers are as exact as the clock

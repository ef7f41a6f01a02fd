"""The barrier's rounds on the real broker: the right ends, whatever happens to the connection they are asked over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from tests.kit.enginelab import Bench, settings_for

from contactgate.broker import Bootstrap
from contactgate.engine.barrier import Barrier


@pytest.fixture
async def barrier(kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench) -> AsyncIterator[Barrier]:
    """Connected, without a worker."""
    barrier = Barrier(settings_for(kafka.address, topic_prefix, tmp_path))
    await barrier.start()
    yield barrier
    await barrier.stop()


async def _consents(bench: Bench, count: int) -> None:
    for number in range(count):
        await bench.send("consent-events", f"s{number}", {"id": number}, partition=number % 2)


async def test_a_round_tells_the_ends_of_everything_asked_for(
    topic_prefix: str, bench: Bench, barrier: Barrier
) -> None:
    """What was acknowledged before a ticket was drawn lies below its ends, for all partitions that share the round."""
    names = [TopicPartition(f"{topic_prefix}consent-events", number) for number in (0, 1)]
    for expected in ([2, 1], [4, 2]):
        await _consents(bench, 3)  # two to partition 0, one to partition 1
        ends = await barrier.ticket([0, 1])
        assert [ends[name] for name in names] == expected
        assert ends[TopicPartition(f"{topic_prefix}contact-outcomes", 0)] == 0
        assert len(ends) == 6


async def test_the_quick_question_and_the_patient_one_agree(topic_prefix: str, bench: Bench, barrier: Barrier) -> None:
    """The one small request gives what aiokafka's own way gives, also above an open transaction's first offset."""
    await _consents(bench, 5)
    tps = [TopicPartition(f"{topic_prefix}consent-events", number) for number in (0, 1)]
    producer = AIOKafkaProducer(bootstrap_servers=bench.address, transactional_id=f"{topic_prefix}open")
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(tps[0].topic, b"{}", key=b"k", partition=0)
    await bench.send("consent-events", "s1", {"id": 9}, partition=0)
    await barrier.ends(tps)
    quick = await barrier._quick_ends(tps)
    assert quick is not None
    assert quick == await barrier.ends(tps)
    assert quick[tps[0]] == 5
    await producer.abort_transaction()
    await producer.stop()


async def test_a_cut_connection_costs_a_round_nothing_but_time(bench: Bench, barrier: Barrier) -> None:
    """Cut before and in the middle of a round: the ticket is answered over a new connection."""
    await _consents(bench, 2)
    for during in (False, True, False):
        await barrier.ticket([0])
        assert barrier._meta is not None
        ticket = barrier.ticket([0, 1]) if during else None
        if during:
            await asyncio.sleep(0)
        for connection in list(barrier._meta._client._conns.values()):
            connection.close()
        ends = await asyncio.wait_for(ticket or barrier.ticket([0, 1]), 60)
        assert sum(ends.values()) == 2


async def test_a_partition_that_is_not_there_is_no_answer_for_the_quick_question(
    topic_prefix: str, barrier: Barrier
) -> None:
    """An unknown leader is left to the patient way, never taken for an end."""
    assert await barrier._quick_ends([TopicPartition(f"{topic_prefix}consent-events", 7)]) is None

"""The transactional writer where the protocol gets hard: cut connections, many batches, epochs, moved coordinators.

Every test speaks both versions of the protocol where the broker allows it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.kit.countgate import REQUESTER
from tests.kit.enginelab import TRANSACTORS, Bench, settings_for

from contactgate.broker import Bootstrap, DevCluster
from contactgate.engine.kafka import protocol as wire
from contactgate.engine.kafka.transactor import Transactor
from contactgate.errors import BrokerError
from contactgate.model.log import Out, Positions
from contactgate.topics import Layout, TopicAdmin, topic_specs

BOTH = pytest.mark.parametrize("newest", [1, 2])


async def _started(address: str, prefix: str, state: Path, newest: int = 2, **changes: Any) -> Transactor:
    transactor = TRANSACTORS[newest](settings_for(address, prefix, state, **changes), 0)
    await _again(transactor, prefix)
    return transactor


async def _again(transactor: Transactor, prefix: str) -> None:
    await transactor.init()
    await transactor.learn([f"{prefix}contact-decisions", f"{prefix}subjects-changelog"])


async def _open(transactor: Transactor, name: bytes, size: int = 1, count: int = 1) -> int:
    """A transaction that only lacks its commit; the next changelog offset."""
    await transactor.begin()
    outs = [Out("decision", None, b"k", b'{"n":"%s","x":"%s"}' % (name, b"x" * size), []) for _ in range(count)]
    await transactor.produce(outs, [(name, b"v")], 1)
    return await transactor.settle(Positions(1, 1, 1))


async def _transaction(transactor: Transactor, name: bytes, size: int = 1, count: int = 1) -> int:
    following = await _open(transactor, name, size, count)
    await transactor.commit()
    return following


async def _keys(bench: Bench) -> list[bytes]:
    return [record.key for record in await bench.read("subjects-changelog")]


async def _cut(transactor: Transactor) -> None:
    """Close every connection of a writer as soon as a request is under way."""
    connections = list(transactor._need().client._conns.values())
    async with asyncio.timeout(10):
        while not any(connection._requests for connection in connections):  # noqa: ASYNC110 - in the same turn
            await asyncio.sleep(0)
    for connection in connections:
        connection.close()


@BOTH
async def test_a_commit_whose_answer_is_cut_off_is_settled_by_the_next_identity(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, newest: int
) -> None:
    """The connection goes down after the commit left: whole or not at all, and the writer goes on from there."""
    transactor = await _started(kafka.address, topic_prefix, tmp_path, newest)
    await _transaction(transactor, b"before")
    await _open(transactor, b"unknown", count=3)
    committing = asyncio.create_task(transactor.commit())
    await _cut(transactor)
    with pytest.raises(BrokerError):
        await committing
    with pytest.raises(BrokerError, match="thrown away"):
        await transactor.begin()
    await _again(transactor, topic_prefix)
    # The next identity is only given when that transaction is settled: from here on it does not change any more.
    settled = await _keys(bench)
    assert settled in ([b"before"], [b"before", b"unknown"])
    await _transaction(transactor, b"after")
    await transactor.close()
    assert await _keys(bench) == [*settled, b"after"]
    decisions = await bench.read("contact-decisions")
    assert len(decisions) == 2 + 3 * (b"unknown" in settled)


@BOTH
async def test_a_produce_that_is_cut_off_leaves_nothing_behind(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, newest: int
) -> None:
    """The connection goes down while a transaction is sent: it is aborted, and its records are never seen."""
    transactor = await _started(kafka.address, topic_prefix, tmp_path, newest)
    await _transaction(transactor, b"before")
    sending = asyncio.create_task(_open(transactor, b"lost", size=200_000, count=20))
    await _cut(transactor)
    with pytest.raises(BrokerError):
        await sending
    with pytest.raises(BrokerError, match="acknowledged"):
        await transactor.commit()
    await _again(transactor, topic_prefix)
    await _transaction(transactor, b"after")
    await transactor.close()
    assert await _keys(bench) == [b"before", b"after"]
    assert len(await bench.read("contact-decisions")) == 2


@BOTH
async def test_more_than_one_batch_holds_goes_out_in_several_in_order(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, newest: int
) -> None:
    """Eight megabytes for one partition in one transaction, twice: every record, in order, with gapless sequences."""
    transactor = await _started(kafka.address, topic_prefix, tmp_path, newest)
    following = 0
    for name in (b"one", b"two"):
        await transactor.begin()
        outs = [Out("decision", None, b"%d" % n, b"x" * 200_000, []) for n in range(40)]
        await transactor.produce(outs, [(name + b"%d" % n, b"y" * 300_000) for n in range(8)], 1)
        assert len(transactor._rounds) > 5
        following = await transactor.settle(Positions(1, 1, 1))
        await transactor.commit()
    await transactor.close()
    records = await bench.read("contact-decisions")
    assert [int(record.key) for record in records] == [*range(40), *range(40)]
    changelog = await bench.read("subjects-changelog")
    assert [record.key for record in changelog] == [b"%s%d" % (name, n) for name in (b"one", b"two") for n in range(8)]
    assert changelog[-1].offset + 1 == following


@pytest.mark.parametrize("codec", ["gzip", "lz4"])
async def test_compressed_batches_are_read_back(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, codec: str
) -> None:
    """Compression changes nothing but the size."""
    transactor = await _started(kafka.address, topic_prefix, tmp_path, compression=codec)
    await _transaction(transactor, b"one", size=50_000, count=30)
    await transactor.close()
    assert len(await bench.read("contact-decisions")) == 30


@BOTH
async def test_identities_and_sequences_follow_the_protocol(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, newest: int
) -> None:
    """v2: an epoch for each transaction, sequences from zero; v1: sequences go on; a new identity starts at zero."""
    transactor = await _started(kafka.address, topic_prefix, tmp_path, newest)
    epochs, sequences = [], []
    for n in range(3):
        await _transaction(transactor, b"%d" % n, count=2)
        epochs.append(transactor._need().who.epoch)
        sequences.append(sum(transactor._need().sequences.values()))
    if transactor._need().v2:
        assert epochs == [epochs[0], epochs[0] + 1, epochs[0] + 2]
        assert sequences == [0, 0, 0]
    else:
        assert len(set(epochs)) == 1
        assert sequences == [3, 6, 9]
    assert transactor._need().v2 == (newest == 2)
    await _again(transactor, topic_prefix)
    assert transactor._need().who.epoch > epochs[-1]
    assert not transactor._need().sequences
    await _transaction(transactor, b"last")
    await transactor.close()
    assert await _keys(bench) == [b"0", b"1", b"2", b"last"]


async def test_old_and_new_protocol_fence_each_other(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A partition goes from a writer of the old protocol to one of the new and back: each takes over cleanly."""
    for n in range(4):
        transactor = await _started(kafka.address, topic_prefix, tmp_path, 1 + n % 2)
        await _transaction(transactor, b"%d" % n)
        await _open(transactor, b"abandoned")
        await transactor.close()
    transactor = await _started(kafka.address, topic_prefix, tmp_path)
    await transactor.close()
    assert await _keys(bench) == [b"0", b"1", b"2", b"3"]


async def test_an_unknown_topic_is_told_with_what_to_do(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A requester without an approvals topic fails the transaction before anything is sent."""
    transactor = await _started(kafka.address, topic_prefix, tmp_path, request_timeout_ms=1_000)
    with pytest.raises(BrokerError, match=r"approvals\.nobody"):
        await transactor.learn([f"{topic_prefix}approvals.nobody"])
    with pytest.raises(BrokerError, match="topics create"):
        await transactor.produce([Out("approval", "nobody", b"t", b"{}", [])], [(b"k", b"v")], 1)
    await transactor.close()
    assert await _keys(bench) == []


@pytest.mark.slow
async def test_coordinators_and_leaders_that_move_and_a_cluster_of_the_old_protocol(tmp_path: Path) -> None:
    """Three nodes, each killed once under a writer: nothing lost, nothing twice; then the feature is turned back."""
    prefix = "m-"
    with DevCluster(3, tmp_path / "kafka", heap_mb=256) as cluster:
        with TopicAdmin(cluster.bootstrap) as admin:
            admin.create(topic_specs(Layout(prefix, partitions=2, requesters=(REQUESTER,), replication=3)))
        transactor = await _started(cluster.bootstrap, prefix, tmp_path / "state")
        assert transactor._need().v2
        committed: list[bytes] = []
        unknown: set[bytes] = set()
        async with Bench(cluster.bootstrap, prefix, 2) as bench:
            for node in range(3):
                for n in range(12):
                    if n == 4:
                        cluster.nodes[node].kill()
                    name = b"%d-%d" % (node, n)
                    try:
                        await _transaction(transactor, name)
                        committed.append(name)
                    except BrokerError:
                        unknown.add(name)
                        await _until_started(transactor, prefix)
                cluster.start_node(node)  # never from another thread
            level = await _set_transaction_version(transactor, 1)
            assert level == 0
            await _again(transactor, prefix)
            assert not transactor._need().v2
            for n in range(5):
                committed.append(b"old-%d" % n)
                await _transaction(transactor, committed[-1])
            await transactor.close()
            keys = await _keys(bench)
        assert len(keys) == len(set(keys))
        assert [key for key in keys if key not in unknown] == committed
        assert set(keys) - unknown == set(committed)
        assert len(unknown) < 20


async def _until_started(transactor: Transactor, prefix: str) -> None:
    """What the task does after a failure."""
    deadline = asyncio.get_running_loop().time() + 90
    while True:
        transactor.drop()
        try:
            await _again(transactor, prefix)
        except BrokerError as error:
            assert asyncio.get_running_loop().time() < deadline, error
            await asyncio.sleep(0.2)
        else:
            return


async def _set_transaction_version(transactor: Transactor, level: int) -> int:
    """UpdateFeatures: finalize an older transaction.version; the answer's error code."""
    body = (
        (10_000).to_bytes(4, "big") + b"\2" + wire._text("transaction.version", True) + level.to_bytes(2, "big")
        + b"\2" + b"\0" + b"\0" + b"\0"
    )  # one update, a safe downgrade, not only validated  # fmt: skip
    client = transactor._need().client
    call = wire.Call(57, 1, body, lambda reader: (reader.i32(), reader.i16())[1], flexible=True)
    code: int = await client.send(client.get_random_node(), call)
    await asyncio.sleep(1.0)
    return code

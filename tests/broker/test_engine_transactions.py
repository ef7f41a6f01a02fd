"""The invariants of a transaction (`engine.kafka.transactor`), each against the real broker."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from pathlib import Path
from typing import Any

import aiokafka.errors as kafka_errors
import pytest
from tests.kit.countgate import REQUESTER
from tests.kit.enginelab import TRANSACTORS, Bench, LabDriver, make_topics, running, settings_for, until

from contactgate.broker import Bootstrap
from contactgate.engine.kafka import clients
from contactgate.engine.kafka import protocol as txnwire
from contactgate.engine.kafka.transactor import Transactor
from contactgate.errors import BrokerError, Fenced, Halted
from contactgate.model.log import Out, Positions
from contactgate.partition import effects as fx
from contactgate.partition.task import Limits
from contactgate.topics import Layout, TopicAdmin, topic_specs

pytestmark = pytest.mark.usefixtures("kafka")


def _outs(count: int, value: bytes = b"{}") -> list[Out]:
    return [Out("decision", None, b"k", value, []) for _ in range(count)]


async def _transaction(
    transactor: Transactor, changelog: list[tuple[bytes, bytes | None]], outs: list[Out] | None = None
) -> int:
    """A whole one, with a decision unless told otherwise; the next changelog offset."""
    await transactor.begin()
    await transactor.produce(_outs(1) if outs is None else outs, changelog, 1)
    following = await transactor.settle(Positions(1, 1, 1))
    await transactor.commit()
    return following


def _count_requests(client: Any) -> collections.Counter[int]:
    """Count what a client sends from here on, by API key."""
    sent: collections.Counter[int] = collections.Counter()
    original = client.send

    async def counted(node_id: int, request: Any, **options: Any) -> Any:
        sent[request.API_KEY] += 1
        return await original(node_id, request, **options)

    client.send = counted
    return sent


@pytest.mark.parametrize("newest", [1, 2])
async def test_a_failed_batch_fails_the_transaction_before_its_commit(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, newest: int
) -> None:
    """A changelog batch that the broker refuses is found out before the commit; nothing of the rest becomes visible."""
    name = f"{topic_prefix}subjects-changelog"
    with TopicAdmin(kafka.address) as admin:
        for spec in topic_specs(Layout(topic_prefix, partitions=2, requesters=(REQUESTER,))):
            small = {"max.message.bytes": "2000"} if spec.name == name else {}
            admin.create([dataclasses.replace(spec, configs={**spec.configs, **small})])
    transactor = TRANSACTORS[newest](settings_for(kafka.address, topic_prefix, tmp_path), 0)
    await transactor.init()
    await transactor.learn([f"{topic_prefix}contact-decisions", name])
    await transactor.begin()
    await transactor.produce(_outs(3), [(b"k", b"x" * 5_000)], 1)
    with pytest.raises(BrokerError, match="MessageSizeTooLarge"):
        await transactor.settle(Positions(1, 1, 1))
    with pytest.raises(BrokerError, match="acknowledged"):
        await transactor.commit()
    with pytest.raises(BrokerError, match="thrown away"):
        await transactor.begin()
    await transactor.init()
    async with Bench(kafka.address, topic_prefix, 2) as bench:
        assert await bench.read("contact-decisions") == []
    await transactor.close()


@pytest.mark.parametrize("step", [fx.Begin, fx.Produce, fx.SendOffsets, fx.Commit, fx.StoreWrite])
async def test_after_any_failure_the_producer_is_thrown_away_and_nothing_is_lost_or_repeated(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, step: type[fx.Effect]
) -> None:
    """A failure at any step of a transaction leads to a new producer; decisions stay one each, counters gapless."""
    seen: collections.Counter[int] = collections.Counter()
    drivers: dict[int, LabDriver] = {}

    def watch(driver: LabDriver) -> None:
        drivers[driver.partition] = driver

        def hook(effect: fx.Effect) -> None:
            if type(effect) is step and driver.task.ready:
                seen[driver.partition] += 1
                if seen[driver.partition] == 2:
                    raise BrokerError("a fault made by the test")

        driver.hook = hook

    async with running(settings_for(kafka.address, topic_prefix, tmp_path), on_driver=watch):
        ids: list[str] = []
        for _ in range(4):
            ids += await bench.decided(20)
        assert min(driver._transactor.inits for driver in drivers.values()) >= 2
    await bench.exactly_once(ids)


async def test_producers_are_rotated_before_their_sequence_numbers_run_out(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """After the configured number of records a new producer is started and everything goes on without a seam."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path, limits=Limits(rotate_records=60, backoff_s=0.05))
    drivers: list[LabDriver] = []
    async with running(settings, on_driver=drivers.append):
        ids: list[str] = []
        for _ in range(5):
            ids += await bench.decided(30)
        assert sum(driver._transactor.inits for driver in drivers) >= 5
    await bench.exactly_once(ids)


async def test_a_commit_with_an_unknown_result_is_settled_by_the_changelog(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """The commit happened but its answer was lost: the store is not written, the changelog tells, nothing repeats."""
    faults: collections.Counter[int] = collections.Counter()

    def watch(driver: LabDriver) -> None:
        async def commit_and_lose_the_answer() -> None:
            await driver._transactor.commit()
            raise BrokerError("the answer was lost")

        def hook(effect: fx.Effect) -> Any:
            if type(effect) is fx.Commit and faults[driver.partition] < 3:
                faults[driver.partition] += 1
                return commit_and_lose_the_answer()
            return None

        driver.hook = hook

    async with running(settings_for(kafka.address, topic_prefix, tmp_path), on_driver=watch):
        ids: list[str] = []
        for _ in range(5):
            ids += await bench.decided(20)
    assert set(faults.values()) == {3}
    await bench.exactly_once(ids)


@pytest.mark.parametrize("newest", [1, 2])
async def test_a_transaction_costs_as_few_requests_as_the_protocol_allows(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, newest: int
) -> None:
    """Decisions, approvals, dead letters and changelog: one produce request a node; v2 adds nothing first."""
    transactor = TRANSACTORS[newest](settings_for(kafka.address, topic_prefix, tmp_path), 0)
    await transactor.init()
    names = ["contact-decisions", "dead-letters", "subjects-changelog", "approvals.dialer"]
    await transactor.learn(topic_prefix + name for name in names)
    outs = [*_outs(5), Out("dead", None, None, b"{}", []), Out("approval", "dialer", b"t", b"{}", [])]
    # A first time not counted: a new topic's leader may have to be asked twice.
    await _transaction(transactor, [(b"first", b"v")], outs)
    client = transactor._need().client
    sent = _count_requests(client)
    following = await _transaction(transactor, [(b"k", b"v"), (b"\0meta", b"{}")], outs)
    await transactor.close()
    assert following == 4  # a record and its marker, two records
    asked = {txnwire.PRODUCE: 1, txnwire.OFFSET_COMMIT: 1, txnwire.END: 1}
    if newest == 1:
        asked |= {txnwire.ADD_PARTITIONS: 1, txnwire.ADD_OFFSETS: 1}
    # What is asked first is asked again while the last transaction's markers are written.
    busy = {1: (txnwire.ADD_PARTITIONS, txnwire.ADD_OFFSETS), 2: (txnwire.PRODUCE,)}[newest]
    assert {key: min(count, 1) if key in busy else count for key, count in sent.items()} == asked
    assert len(await bench.read("subjects-changelog")) == 3


async def test_no_record_is_larger_than_a_fetch(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """Fetch sizes are above what the topics allow, the largest record is processed, and the client's error is fatal."""
    specs = {spec.name: spec.configs for spec in topic_specs(Layout())}
    for name in ("consent-events", "contact-requests", "contact-outcomes", "control-events", "address-suppressions"):
        assert int(specs[name]["max.message.bytes"]) < clients.INPUT_MAX_BYTES
    assert int(specs["subjects-changelog"]["max.message.bytes"]) < clients.CHANGELOG_MAX_BYTES
    assert isinstance(clients.translate(kafka_errors.RecordTooLargeError("x"), "reading"), Halted)
    async with running(settings_for(kafka.address, topic_prefix, tmp_path)):
        padding = "x" * 900_000
        sent = [{"id": f"big{n}", "padding": padding} for n in range(3)]
        for value in sent:
            await bench.send("contact-requests", "s1", value)
        await bench.exactly_once([value["id"] for value in sent])


@pytest.mark.parametrize("newest", [1, 2])
async def test_transactions_follow_each_other_without_a_pause(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, newest: int
) -> None:
    """A coordinator that still writes the last markers is asked again: thirty transactions back to back, all there."""
    transactor = TRANSACTORS[newest](settings_for(kafka.address, topic_prefix, tmp_path), 0)
    await transactor.init()
    await transactor.learn([f"{topic_prefix}contact-decisions", f"{topic_prefix}subjects-changelog"])
    following = [await _transaction(transactor, [(b"%d" % n, b"v")]) for n in range(30)]
    await transactor.close()
    records = await bench.read("subjects-changelog")
    assert [record.key for record in records] == [b"%d" % n for n in range(30)]
    assert [record.offset + 1 for record in records] == following


@pytest.mark.parametrize("newest", [1, 2])
async def test_an_abandoned_transaction_is_settled_by_the_next_owner_and_its_zombie_is_fenced(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, newest: int
) -> None:
    """A new owner returns from its start only when the old one's transaction is aborted; the old one gets Fenced."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path)
    assert settings.transaction_timeout_ms <= 30_000
    old, new = TRANSACTORS[newest](settings, 0), TRANSACTORS[newest](settings, 0)
    await old.init()
    await old.learn([f"{topic_prefix}contact-decisions", f"{topic_prefix}subjects-changelog"])
    await old.begin()
    await old.produce(_outs(2, b'{"by":"old"}'), [(b"k", b"v")], 1)
    await old.settle(Positions(1, 1, 1))
    await new.init()
    with pytest.raises(Fenced):
        await old.commit()
    await new.learn([f"{topic_prefix}contact-decisions", f"{topic_prefix}subjects-changelog"])
    await new.begin()
    await new.produce(_outs(1, b'{"by":"new"}'), [(b"k", b"v")], 1)
    await new.settle(Positions(1, 1, 1))
    await new.commit()
    assert [record.value for record in await bench.read("contact-decisions")] == [b'{"by":"new"}']
    await asyncio.gather(old.close(), new.close())


async def test_the_producers_of_many_partitions_start_in_parallel(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path
) -> None:
    """While one partition's producer waits for its answer the others have asked too."""
    make_topics(kafka.address, topic_prefix, 8)
    order: list[str] = []

    def watch(driver: LabDriver) -> None:
        def hook(effect: fx.Effect) -> None:
            if isinstance(effect, fx.InitProducer | fx.ReadEnd):
                order.append(type(effect).__name__)

        driver.hook = hook

    async with running(settings_for(kafka.address, topic_prefix, tmp_path, 8), on_driver=watch) as worker:
        await until(lambda: worker.ready, "all partitions run")
    assert order.index("ReadEnd") >= 2  # one after the other it would be 1

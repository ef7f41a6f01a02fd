"""Fencing, standbys, damaged and foreign stores, lost changelogs, gaps, and the order barrier, on the real broker."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka import TopicPartition as AdminPartition
from kafka.admin import KafkaAdminClient
from tests.kit.countgate import REQUESTER
from tests.kit.enginelab import Bench, LabDriver, NoBarrierDriver, make_topics, running, settings_for, until
from tests.kit.fleet import PATIENCE_S

from contactgate.broker import Bootstrap
from contactgate.engine.intake import probe
from contactgate.engine.kafka.clients import consumer
from contactgate.errors import Halted, StoreForeign
from contactgate.partition import effects as fx
from contactgate.partition.task import Limits
from contactgate.store import Owner, PartitionStore


@contextlib.asynccontextmanager
async def _crm(bench: Bench) -> AsyncIterator[AIOKafkaProducer]:
    """A client that writes consents in transactions."""
    name = f"{bench.prefix}crm"
    async with AIOKafkaProducer(bootstrap_servers=bench.address, transactional_id=name, acks="all") as producer:
        yield producer


async def _alerts(bench: Bench) -> set[str]:
    return {msgspec.json.decode(record.value)["kind"] for record in await bench.read("ops-alerts")}


async def _race(bench: Bench, count: int) -> list[str]:
    """Opt a subject out, wait for the acknowledgement, then ask: the ids of requests that must not pass."""
    ids = []
    for number in range(count):
        await bench.send("consent-events", f"r{number}", {"allow": False})
        ids.append(f"after-{number}")
        await bench.send("contact-requests", f"r{number}", {"id": ids[-1]})
    return ids


@pytest.mark.parametrize("barrier", [True, False])
async def test_a_request_after_an_acknowledged_opt_out_never_passes(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench, barrier: bool
) -> None:
    """With a slowed consent reader no request passes after its opt-out; without the barrier some do."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path)
    async with running(settings, driver_class=LabDriver if barrier else NoBarrierDriver) as worker:
        worker.facts.slow_s = 0.08 if barrier else 2.0  # on the busiest machine some request is decided sooner
        ids = await _race(bench, 60)
        decisions = await bench.decisions(len(ids))
    passed = [d["request_id"] for d in decisions if d["verdict"] == "pass"]
    if barrier:
        assert passed == []
        assert all(d["position"]["consent"] > 0 for d in decisions)
    else:
        assert passed  # the test can tell the difference


async def test_more_facts_than_memory_takes_are_applied_before_the_request_that_waits_for_them(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A backlog of facts far above the buffer, an opt-out at its end, and a request that is there from the start."""
    padding = "x" * 100_000  # so that one fetch does not bring them all
    for number in range(60):
        await bench.send("consent-events", f"s{number % 7}", {"allow": True, "note": padding}, partition=0)
    await bench.send("consent-events", "late", {"allow": False}, partition=0)
    await bench.send("contact-requests", "late", {"id": "waiting"}, partition=0)
    settings = settings_for(kafka.address, topic_prefix, tmp_path, buffer=10)
    async with running(settings) as worker:
        (decision,) = await bench.decisions(1, timeout_s=30)
        assert worker.meter.alerts["barrier.timeout"] == 0
    assert decision["verdict"] == "block"
    assert decision["position"]["consent"] == 61


async def test_a_fenced_worker_stops_deciding_and_the_new_owner_goes_on(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """Two workers believe they own the partitions: the later one decides, the earlier is fenced, nothing is twice."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path / "a", worker_id="a")
    other = settings_for(kafka.address, topic_prefix, tmp_path / "b", worker_id="b")
    async with running(settings) as first:
        ids = await bench.decided(40)
        async with running(other) as second:
            ids += await bench.decided(40)
            await until(lambda: first.meter.alerts["fenced"] == 2, "the first worker is fenced on both partitions")
            assert not any(slot.driver.task.ready for slot in first.slots.values())
            assert second.ready
            first.converge(frozenset(), frozenset())
            ids += await bench.decided(40)
    await bench.exactly_once(ids)
    assert "fenced" in await _alerts(bench)


async def test_a_standby_follows_the_changelog_and_takes_over_with_little_to_restore(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A promoted standby has the state already: it reads less than one transaction's worth of the changelog."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path / "a", worker_id="a")
    other = settings_for(kafka.address, topic_prefix, tmp_path / "b", worker_id="b")
    fetched: list[int] = []

    def watch(driver: LabDriver) -> None:
        def hook(effect: fx.Effect) -> None:
            if isinstance(effect, fx.FetchChangelog) and effect.until is not None:
                fetched.append(effect.until - effect.start)

        driver.hook = hook

    async with running(other, set(), {0, 1}, on_driver=watch) as second:
        async with running(settings):
            ids = await bench.decided(600, subjects=200)
            ends = {r.partition: r.offset + 1 for r in await bench.read("subjects-changelog")}
            await until(
                lambda: all(second.slots[p].driver.task.standby_next >= ends[p] for p in (0, 1)),
                "the standby has caught up",
            )
            assert not second.slots[0].driver.task.ready
        second.converge(frozenset({0, 1}), frozenset())
        await until(lambda: second.ready, "the standby is promoted")
        assert sum(fetched) < 20
        ids += await bench.requests(100, subjects=200)
        await bench.exactly_once(ids)


async def test_a_wiped_store_is_rebuilt_from_the_changelog(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A worker that lost its disk has the same counters and the same chain."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path / "state")
    async with running(settings):
        ids = await bench.decided(100)
    shutil.rmtree(tmp_path / "state")
    async with running(settings):
        ids += await bench.requests(100)
        await bench.exactly_once(ids)


async def test_states_larger_than_what_is_asked_for_at_once_are_restored(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A record batch as large as the changelog takes comes whole, between small ones, and nothing around it is lost."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path / "state")
    async with running(settings):
        ids = await bench.decided(100)
    large = {b"large-%d" % number: bytes(7) + bytes([number]) * ((4 << 20) - 1_000) for number in range(3)}
    async with AIOKafkaProducer(bootstrap_servers=kafka.address, max_request_size=8 << 20) as producer:
        for key, value in large.items():
            await producer.send_and_wait(f"{topic_prefix}subjects-changelog", value, key=key, partition=0)
            await producer.send_and_wait(f"{topic_prefix}subjects-changelog", bytes(8), key=b"small", partition=0)
    shutil.rmtree(tmp_path / "state")
    async with running(settings) as worker:
        store = worker.slots[0].driver._store
        assert store is not None
        assert store.get_many([*large, b"small"]) == [*large.values(), bytes(8)]
        ids += await bench.requests(100)
        await bench.exactly_once(ids)


async def test_a_damaged_store_is_moved_aside_and_rebuilt(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """Garbage instead of the database's files: an alert, a new directory, the old one kept, nothing lost."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path)
    async with running(settings):
        ids = await bench.decided(100)
    (tmp_path / "p00000" / "CURRENT").write_bytes(b"garbage\n")
    async with running(settings) as worker:
        assert worker.meter.alerts["store.corrupt"] == 1
        ids += await bench.requests(100)
        await bench.exactly_once(ids)
    assert await asyncio.to_thread(lambda: [path for path in tmp_path.iterdir() if "corrupt" in path.name])


async def test_a_foreign_store_is_refused(kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench) -> None:
    """State of another application is neither used nor overwritten: the worker stops and says so."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path)
    foreign = PartitionStore.open(tmp_path / "p00000", Owner("other", "", "x", 0))
    foreign.close()
    async with running(settings, wait=False) as worker:
        await asyncio.wait_for(worker.failed.wait(), PATIENCE_S)
        assert isinstance(worker.fatal, StoreForeign)
        assert not worker.ready
    PartitionStore.open(tmp_path / "p00000", Owner("other", "", "x", 0)).close()


async def test_a_store_from_the_future_of_the_changelog_is_rebuilt(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A store whose offset lies beyond the changelog's end stands for nothing that Kafka has; it is emptied first."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path)
    async with running(settings):
        ids = await bench.decided(50)
    owner = Owner(settings.group_id, "", settings.topic("changelog"), 0)
    store = PartitionStore.open(tmp_path / "p00000", owner)
    head = store.head()
    assert head is not None
    store.commit([(b"s1", b"\x01" + bytes(6) + b"\x90")], [], head._replace(changelog=10_000_000))
    store.close()
    async with running(settings) as worker:
        assert worker.meter.alerts["store.rebuilt"] == 1
        ids += await bench.requests(50)
        await bench.exactly_once(ids)


async def _delete(kafka: Bootstrap, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.address)
    await asyncio.to_thread(admin.delete_topics, [name])
    await until(lambda: name not in admin.list_topics(), f"{name} is gone")
    admin.close()


async def test_a_lost_changelog_is_refused_never_continued_with_fewer_opt_outs(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """Committed positions without a changelog: deciding would forget opt-outs, so the worker stops."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path)
    async with running(settings):
        await bench.requests(50)
        await bench.decisions(50)
    await _delete(kafka, f"{topic_prefix}subjects-changelog")
    await asyncio.to_thread(make_topics, kafka.address, topic_prefix)
    async with running(settings, wait=False) as worker:
        await asyncio.wait_for(worker.failed.wait(), PATIENCE_S)
        assert isinstance(worker.fatal, Halted)
        assert "forget opt-outs" in str(worker.fatal)


async def test_deleted_unread_input_is_refused_unless_accepted(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """Retention that deleted unread consents stops the worker; an operator may accept the gap."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path)
    async with running(settings):
        await bench.requests(20)
        await bench.decisions(20)
    for number in range(10):
        await bench.send("consent-events", f"s{number}", {"allow": False})
    admin = KafkaAdminClient(bootstrap_servers=kafka.address)
    name = f"{topic_prefix}consent-events"
    admin.delete_records({AdminPartition(name, p): -1 for p in (0, 1)})
    admin.close()
    async with running(settings, wait=False) as worker:
        await asyncio.wait_for(worker.failed.wait(), PATIENCE_S)
        assert isinstance(worker.fatal, Halted)
        assert "unread input was deleted" in str(worker.fatal)
    settings = settings_for(kafka.address, topic_prefix, tmp_path, limits=Limits(accept_gap=True))
    async with running(settings) as worker:
        assert worker.meter.alerts["input.gap"] >= 1


async def test_aborted_consents_of_a_transactional_producer_count_for_nothing(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """Markers and aborted opt-outs are stepped over, committed ones bind, and no request waits forever."""
    name = f"{topic_prefix}consent-events"
    async with _crm(bench) as producer, running(settings_for(kafka.address, topic_prefix, tmp_path)):
        for number in range(12):
            await producer.begin_transaction()
            await producer.send_and_wait(name, b'{"allow":false}', key=b"t%d" % number)
            if number % 2:
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
            await bench.send("contact-requests", f"t{number}", {"id": f"t-{number}"})
        decisions = {d["request_id"]: d["verdict"] for d in await bench.decisions(12)}
    assert decisions == {f"t-{n}": "pass" if n % 2 else "block" for n in range(12)}


async def test_a_batch_behind_a_hanging_transaction_is_held_until_it_ends(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """An open consent transaction blocks the barrier: alerts, no decision; after its commit the opt-out counts."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path, barrier_timeout_s=0.5)
    async with _crm(bench) as producer, running(settings) as worker:
        await producer.begin_transaction()
        await producer.send_and_wait(f"{topic_prefix}consent-events", b'{"allow":false}', key=b"h")
        await bench.send("contact-requests", "h", {"id": "held"})
        await until(lambda: worker.meter.alerts["barrier.timeout"] >= 2, "the barrier's deadline passed twice")
        assert await bench.read("contact-decisions") == []
        await producer.commit_transaction()
        decisions = await bench.decisions(1)
        assert decisions[0]["verdict"] == "block"


async def test_markers_at_the_end_of_the_consents_do_not_hold_the_barrier(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """The end of the consent partition is a marker that no fetch returns as a record: the barrier still passes."""
    name = f"{topic_prefix}consent-events"
    async with _crm(bench) as producer:
        for partition in (0, 1):
            await producer.begin_transaction()
            await producer.send_and_wait(name, b'{"allow":true}', key=b"g", partition=partition)
            await producer.abort_transaction()
    async with running(settings_for(kafka.address, topic_prefix, tmp_path)):
        ids = await bench.requests(20)
        decisions = await bench.exactly_once(ids)
        assert {d["position"]["consent"] for d in decisions} == {2}


async def test_a_trailing_gap_is_believed_only_when_it_is_proved(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """The probe tells nothing-left from records, from an open transaction and from an end not reached yet."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path)
    name = f"{topic_prefix}consent-events"
    tp = TopicPartition(name, 0)
    for _ in range(3):
        await bench.send("consent-events", "p", {"allow": True}, partition=0)
    async with _crm(bench) as producer, consumer(settings, max_bytes=1 << 20) as reader:
        await reader.end_offsets([tp])
        assert await probe(reader, tp, 3, 3)
        assert not await probe(reader, tp, 1, 3)
        assert not await probe(reader, tp, 3, 4)
        await producer.begin_transaction()
        await producer.send_and_wait(name, b'{"allow":false}', key=b"p", partition=0)
        assert not await probe(reader, tp, 3, 4)
        await producer.abort_transaction()
        assert not await probe(reader, tp, 3, 5)
        for _ in range(200):  # the marker is written after the abort is answered
            if await probe(reader, tp, 5, 5):
                return
            await asyncio.sleep(0.05)
        pytest.fail("the gap at the end was not proved")


async def test_world_changes_recall_open_approvals_and_bind_the_next_request(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A suppressed token recalls its approvals only, a pause recalls all; after each no request passes."""
    async with running(settings_for(kafka.address, topic_prefix, tmp_path)):
        await bench.send("contact-requests", "a", {"id": "qa", "token": "ta"})
        await bench.send("contact-requests", "b", {"id": "qb", "token": "tb"})
        assert {d["verdict"] for d in await bench.decisions(2)} == {"pass"}
        await bench.send("address-suppressions", "ta", {})
        await bench.send("contact-requests", "a", {"id": "qa2", "token": "ta"})
        approvals = await bench.read(f"approvals.{REQUESTER}", 3)
        recalled = [r.value for r in approvals if b"recalled" in r.value]
        assert [msgspec.json.decode(value)["request_id"] for value in recalled] == ["qa"]
        await bench.send("control-events", "pause:1", {"pause": True})
        await bench.send("contact-requests", "c", {"id": "qc"})
        decisions = {d["request_id"]: d for d in await bench.decisions(4)}
        assert decisions["qa2"]["reasons"] == [{"rule": "address.suppressed"}]
        assert decisions["qc"]["reasons"] == [{"rule": "pause.everything"}]
        approvals = await bench.read(f"approvals.{REQUESTER}", 4)
        assert msgspec.json.decode(approvals[-1].value)["request_id"] in {"qa", "qb"}
        assert sum(b"recalled" in r.value for r in approvals) == 2


async def test_a_bad_broadcast_record_is_one_dead_letter_however_many_workers_read_it(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """Two workers fold the same broken control event; partition 0 publishes its dead letter once, over restarts too."""
    one = settings_for(kafka.address, topic_prefix, tmp_path / "a", worker_id="a")
    two = settings_for(kafka.address, topic_prefix, tmp_path / "b", worker_id="b")
    async with running(one, {0}), running(two, {1}):
        await bench.send("control-events", "x", b"not json")
        await bench.read("dead-letters", 1)
        await bench.requests(10)
        await bench.decisions(10)
    async with running(two):
        await bench.requests(10)
        await bench.decisions(20)
    assert len(await bench.read("dead-letters")) == 1


async def test_restarting_mid_review_covers_approvals_granted_before(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A pause that comes while no worker runs recalls the open approvals as soon as one does."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path, limits=Limits(batch=7, review=3, backoff_s=0.1))
    async with running(settings):
        await bench.requests(40, subjects=40)
        await bench.decisions(40)
    await bench.send("control-events", "pause:1", {"pause": True})
    async with running(settings):
        approvals = await bench.read(f"approvals.{REQUESTER}", 80)
    counted = collections.Counter(
        msgspec.json.decode(r.value)["request_id"] for r in approvals if b"recalled" in r.value
    )
    assert len(counted) == 40
    assert set(counted.values()) == {1}


async def test_many_consents_before_a_request_are_applied_in_several_transactions(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """A backlog larger than a batch is applied first, whole, and the last event counts."""
    assert bench._producer is not None
    acks = [
        await bench._producer.send(
            f"{topic_prefix}consent-events", b'{"allow":%s}' % (b"false" if n == 499 else b"true"), key=b"m"
        )
        for n in range(500)
    ]
    await asyncio.gather(*acks)
    await bench.send("contact-requests", "m", {"id": "qm"})
    settings = settings_for(kafka.address, topic_prefix, tmp_path, limits=Limits(batch=50, backoff_s=0.1))
    async with running(settings) as worker:
        decisions = await bench.decisions(1)
        assert decisions[0]["verdict"] == "block"
        assert sum(meter.transactions for meter in worker.meter.partitions.values()) >= 10


async def test_the_changelog_wins_over_moved_group_positions(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path, bench: Bench
) -> None:
    """Somebody resets the group's positions: nothing is decided again and nothing is skipped."""
    settings = settings_for(kafka.address, topic_prefix, tmp_path)
    async with running(settings):
        ids = await bench.decided(40)
    client = AIOKafkaConsumer(bootstrap_servers=kafka.address, group_id=settings.group_id, enable_auto_commit=False)
    await client.start()
    name = f"{topic_prefix}contact-requests"
    client.assign([TopicPartition(name, 0), TopicPartition(name, 1)])
    await client.commit({TopicPartition(name, 0): 0, TopicPartition(name, 1): 0})
    await client.stop()
    async with running(settings):
        ids += await bench.requests(40)
        await bench.exactly_once(ids)

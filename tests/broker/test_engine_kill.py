"""Workers killed and frozen at random moments under load: nothing lost, nothing twice, nothing wrongly passed.

The gate is the counting gate, so everything is checked from the topics alone, without the rules of the real one.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.broker.countgate import CAP, CountCodec, CountGate, CountWorld, check_chain
from tests.broker.enginelab import Bench, make_topics

from contactgate.broker import Bootstrap
from contactgate.engine.fold import META_KEY, decode_meta
from contactgate.engine.ports import Record
from contactgate.engine.replay import replay

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
SUBJECTS = 6_000


class Fleet:
    """Worker processes; each keeps its state directory over restarts."""

    def __init__(self, address: str, prefix: str, root: Path) -> None:
        self.address, self.prefix, self.root = address, prefix, root
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start or restart a worker."""
        given = {
            "address": self.address,
            "prefix": self.prefix,
            "partitions": PARTITIONS,
            "worker": name,
            "state": str(self.root / name),
        }
        (self.root / name).mkdir(parents=True, exist_ok=True)
        with (self.root / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                [sys.executable, "-m", "tests.broker.countworker", json.dumps(given)], cwd=ROOT, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        """SIGKILL."""
        worker = self.workers.pop(name)
        worker.kill()
        worker.wait()

    def signal(self, name: str, number: int) -> None:
        """SIGSTOP, SIGCONT, SIGTERM."""
        os.kill(self.workers[name].pid, number)

    def close(self) -> None:
        """Kill whatever is left."""
        for name in list(self.workers):
            with contextlib.suppress(ProcessLookupError):
                self.signal(name, signal.SIGCONT)
            self.kill(name)


class Load:
    """Sends requests, outcomes and opt-outs; remembers what was acknowledged before what was sent."""

    def __init__(self, bench: Bench, rate: int, total: int) -> None:
        self.bench, self.rate, self.total = bench, rate, total
        self.sent: dict[str, bool] = {}  # request id -> its subject's opt-out was acknowledged before it was sent
        self.subject_of: dict[str, str] = {}
        self.opted_out: dict[str, bool] = {}
        self.outcomes: collections.Counter[str] = collections.Counter()

    async def run(self) -> None:
        """Until `total` requests are acknowledged."""
        random_ = random.Random(7)
        producer = self.bench._producer
        assert producer is not None
        prefix = self.bench.prefix
        opting: set[asyncio.Task[None]] = set()
        made, began = 0, time.monotonic()
        while made < self.total:
            acks = []
            for _ in range(50):
                made += 1
                subject = f"s{random_.randrange(SUBJECTS)}"
                request_id = f"q{made}"
                self.sent[request_id] = self.opted_out.get(subject, False)
                self.subject_of[request_id] = subject
                value = b'{"id":"%s"}' % request_id.encode()
                acks.append(await producer.send(prefix + "contact-requests", value, key=subject.encode()))
                if random_.random() < 0.03:
                    self.outcomes[subject] += 1
                    acks.append(await producer.send(prefix + "contact-outcomes", b"{}", key=subject.encode()))
            if random_.random() < 0.7:
                task = asyncio.create_task(self._opt_out(f"s{random_.randrange(SUBJECTS)}"))
                opting.add(task)
                task.add_done_callback(opting.discard)
            await asyncio.gather(*acks)
            ahead = made / self.rate - (time.monotonic() - began)
            if ahead > 0:
                await asyncio.sleep(ahead)
        await asyncio.gather(*opting)

    async def _opt_out(self, subject: str) -> None:
        await self.bench.send("consent-events", subject, {"allow": False})
        self.opted_out[subject] = True  # acknowledged: from here on no request may pass


async def faults(fleet: Fleet, kills: int, freezes: int, done: asyncio.Event) -> dict[str, int]:
    """Kill and freeze workers at random moments; both live between the faults. What was done, by kind."""
    random_ = random.Random(11)
    plan = ["kill"] * kills
    for index in range(freezes):
        plan.insert((index + 1) * len(plan) // (freezes + 1), "freeze")
    counts: collections.Counter[str] = collections.Counter()
    for number, fault in enumerate(plan):
        await asyncio.sleep(1.5 + random_.random() * 2.0)
        name = random_.choice(sorted(fleet.workers))
        counts[fault] += 1
        if fault == "kill":
            fleet.kill(name)
            if number % 4 == 3:
                await asyncio.to_thread(shutil.rmtree, fleet.root / name)
                counts["wipe"] += 1
            # Restarting at once and only after the session ran out are different recoveries.
            await asyncio.sleep(0.1 if number % 3 else 7.5)
            fleet.start(name)
        else:
            fleet.signal(name, signal.SIGSTOP)
            await asyncio.sleep(9.0)  # beyond the session timeout of 6 s: the other one takes over
            fleet.signal(name, signal.SIGCONT)
    done.set()
    return counts


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_killed_and_frozen_workers_lose_repeat_and_wrongly_pass_nothing(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path
) -> None:
    """10 SIGKILLs, 2 zombies and wiped stores under 100,000 requests: one decision each, caps, order, chain, state."""
    kills, freezes, total = 10, 2, 100_000
    make_topics(kafka.address, topic_prefix, PARTITIONS)
    fleet = Fleet(kafka.address, topic_prefix, tmp_path)
    try:
        fleet.start("w1")
        fleet.start("w2")
        async with Bench(kafka.address, topic_prefix, PARTITIONS) as bench:
            done = asyncio.Event()
            load = Load(bench, rate=1_400, total=total)
            _, counts = await asyncio.gather(load.run(), faults(fleet, kills, freezes, done))
            assert counts["kill"] >= 10
            assert counts["freeze"] >= 2
            decided = await bench.read("contact-decisions", total, timeout_s=60)
            await asyncio.sleep(1.0)
            for name in list(fleet.workers):
                fleet.signal(name, signal.SIGTERM)
            for name, worker in list(fleet.workers.items()):
                assert worker.wait(20) == 0, (
                    f"{name} did not end well: {(tmp_path / f'{name}.log').read_text()[-2000:]}"
                )
                del fleet.workers[name]
            decided = await bench.read("contact-decisions")
            # A run in which no fault hit an open transaction would prove nothing.
            assert len(await bench.read("contact-decisions", committed=False)) > len(decided)
            kinds = {msgspec.json.decode(record.value)["kind"] for record in await bench.read("ops-alerts")}
            assert "fenced" in kinds
            await _check(bench, load, decided)
    finally:
        fleet.close()


async def _check(bench: Bench, load: Load, decided: list[Any]) -> None:
    decisions = [msgspec.json.decode(record.value) for record in decided]
    times = collections.Counter(decision["request_id"] for decision in decisions)
    assert [each for each, count in times.items() if count > 1] == []
    assert set(times) == set(load.sent)
    per_subject: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
    for decision in decisions:
        per_subject[decision["subject_id"]].append(decision)
    wrong_counts = [s for s, ds in per_subject.items() if [d["n"] for d in ds] != list(range(1, len(ds) + 1))]
    assert wrong_counts == []
    passes = collections.Counter(d["subject_id"] for d in decisions if d["verdict"] == "pass")
    assert max(passes.values()) <= CAP
    needless = [
        d["request_id"]
        for d in decisions
        for reason in d["reasons"]
        if reason["rule"] == "cap.count" and passes[d["subject_id"]] < CAP
    ]
    assert needless == []
    late = [d["request_id"] for d in decisions if d["verdict"] == "pass" and load.sent[d["request_id"]]]
    assert late == []
    blocked = [d for d in decisions if {"rule": "consent.withdrawn"} in d["reasons"]]
    assert len(blocked) > 500  # the order was put to the test
    assert all(load.opted_out.get(d["subject_id"]) for d in blocked)
    assert len(passes) > SUBJECTS // 2
    for partition in range(PARTITIONS):
        check_chain([record.value for record in decided if record.partition == partition])
    approvals = await bench.read("approvals.dialer")
    approved = [msgspec.json.decode(r.value)["request_id"] for r in approvals if b"contact.approved" in r.value]
    assert sorted(approved) == sorted(d["request_id"] for d in decisions if d["verdict"] == "pass")
    recalled = collections.Counter(
        msgspec.json.decode(r.value)["request_id"] for r in approvals if b"contact.recalled" in r.value
    )
    assert set(recalled) <= set(approved)
    assert all(count == 1 for count in recalled.values())
    await _check_state(bench, load, decided)


async def _check_state(bench: Bench, load: Load, decided: list[Any]) -> None:
    """The changelog's state equals an offline replay of the same inputs at the recorded positions and times."""
    kinds = {"consent": "consent-events", "outcome": "contact-outcomes", "request": "contact-requests"}
    inputs = {kind: await bench.read(topic) for kind, topic in kinds.items()}
    changelog = await bench.read("subjects-changelog")
    outcomes: collections.Counter[str] = collections.Counter()
    for partition in range(PARTITIONS):
        state: dict[bytes, bytes] = {}
        steps = []
        for record in changelog:
            if record.partition != partition:
                continue
            if record.key == META_KEY:
                steps.append(decode_meta(record.value))
            elif record.value is None:
                state.pop(record.key, None)
            else:
                state[record.key] = record.value
        own = {
            kind: [
                Record(kind, partition, r.offset, r.timestamp, r.key, r.value)
                for r in found
                if r.partition == partition
            ]
            for kind, found in inputs.items()
        }
        world = CountWorld()
        again = replay(partition, own, steps, functools.partial(CountGate, world), world, CountCodec())
        assert again.states == state
        assert [out.value for out in again.outs if out.kind == "decision"] == [
            r.value for r in decided if r.partition == partition
        ]
        for key, value in state.items():
            outcomes[key.decode()] += CountCodec().decode(value).outcomes
    assert +outcomes == load.outcomes

"""The partition task against the simulated Kafka: a failure or a crash at every step, zombies, unknown commit results.

The task is the one the live worker runs; the log, the coordinator and the disk are those of tests/simulation.
"""

from __future__ import annotations

import ast
import collections
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.kit.countgate import CAP, CountCodec, check_chain
from tests.simulation.shelf import Disk
from tests.simulation.stepped import Stage

from contactgate.errors import BarrierTimeout, BrokerError, Fenced, Halted, StoreCorrupt
from contactgate.partition import effects as fx
from contactgate.partition import fold as fold_module
from contactgate.partition import task as task_module
from contactgate.partition.fold import META_KEY, decode_meta


def _fill(stage: Stage, random_: random.Random, count: int, asked: dict[str, bool], out: set[str]) -> None:
    for _ in range(count):
        subject = f"s{random_.randrange(6)}"
        kind = random_.random()
        if kind < 0.1:
            stage.append("consent", subject, {"allow": False})
            out.add(subject)
        elif kind < 0.2:
            stage.append("outcome", subject, {})
        else:
            request_id = f"q{len(asked)}"
            asked[request_id] = subject in out
            stage.append("request", subject, {"id": request_id})


def _check(stage: Stage, disk: Disk, asked: dict[str, bool]) -> None:
    values = [entry.value or b"" for entry in stage.committed("decision")]
    decisions = [msgspec.json.decode(value) for value in values]
    assert collections.Counter(d["request_id"] for d in decisions) == collections.Counter(asked.keys())
    check_chain(values)
    counts = collections.defaultdict(list)
    passes: collections.Counter[str] = collections.Counter()
    for decision in decisions:
        counts[decision["subject_id"]].append(decision["n"])
        passes[decision["subject_id"]] += decision["verdict"] == "pass"
        if asked[decision["request_id"]]:
            assert decision["verdict"] == "block"
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in counts.values())
    assert max(passes.values(), default=0) <= CAP
    assert disk.states == stage.states()
    outcomes = sum(CountCodec().decode(value).outcomes for value in disk.states.values())
    assert outcomes == stage.ends().outcome


def _trace_of_one_run() -> int:
    stage, disk = Stage(), Disk()
    process = stage.process(disk)
    _fill(stage, random.Random(1), 30, {}, set())
    process.run()
    return len(process.trace)


@pytest.mark.parametrize("how", ["fault", "fault after", "crash", "crash and wipe"])
def test_a_failure_at_every_single_step_loses_and_repeats_nothing(how: str) -> None:
    """At each step of a run: it fails, it fails after it was done, or the process dies; the outcome is the same."""
    for number in range(_trace_of_one_run()):
        stage, disk, asked, out = Stage(), Disk(), {}, set()
        _fill(stage, random.Random(1), 30, asked, out)
        process = stage.process(disk)
        for _ in range(number):
            process.step()
        if how.startswith("crash"):
            process.close()
            if how.endswith("wipe"):
                disk.wipe()
            process = stage.process(disk)
        elif not isinstance(process.effect, fx.Alert | fx.DropProducer | fx.Sleep):
            process.step(BrokerError("made by the test"), after=how.endswith("after"))
        process.run()
        _fill(stage, random.Random(2), 20, asked, out)
        process.run()
        _check(stage, disk, asked)


def test_random_faults_crashes_and_zombies_keep_every_promise() -> None:
    """100 seeds: two processes with own disks take turns at random, fail, crash, are wiped and promoted at random."""
    fenced = unknown = promoted = 0
    for seed in range(100):
        random_ = random.Random(seed)
        stage, asked, out = Stage(), {}, set()
        disks = [Disk(), Disk()]
        processes = [stage.process(disks[0]), stage.process(disks[1], standby=True)]
        for _ in range(random_.randrange(150, 400)):
            which = random_.randrange(2)
            process = processes[which]
            event = random_.random()
            if process.done or event < 0.01:
                process.close()
                fenced += isinstance(process.ended, Fenced)
                if random_.random() < 0.2:
                    disks[which].wipe()
                processes[which] = stage.process(disks[which], standby=random_.random() < 0.5)
            elif event < 0.02:
                promoted += 1
                process.promoted = True
            elif event < 0.1:
                _fill(stage, random_, random_.randrange(1, 12), asked, out)
            elif event < 0.14 and not isinstance(process.effect, fx.Alert | fx.DropProducer | fx.Sleep):
                after = random_.random() < 0.5
                unknown += after and isinstance(process.effect, fx.Commit)
                kind = BarrierTimeout if isinstance(process.effect, fx.Barrier) else BrokerError
                process.step(kind("made by the test"), after=after and kind is BrokerError)
            else:
                process.step()
        for process in processes:
            process.close()
        last = stage.process(disks[0])
        last.run()
        _check(stage, disks[0], asked)
    assert min(fenced, unknown, promoted) > 10  # or the test would have proved nothing


def test_the_previous_owner_is_fenced_before_anything_is_read() -> None:
    """InitProducer comes before the changelog's end, its records and the inputs."""
    stage, disk = Stage(), Disk()
    _fill(stage, random.Random(1), 10, {}, set())
    process = stage.process(disk)
    process.run()
    order = process.trace
    first = order.index("InitProducer")
    for later in ("ReadEnd", "StartInputs", "NextInput"):
        assert first < order.index(later)
    assert order[:first] == ["StoreOpen", "Committed"]


def test_the_store_is_written_only_right_after_a_commit() -> None:
    """Every StoreWrite of a deciding task follows a Commit that succeeded; a failed one is followed by none."""
    stage, disk = Stage(), Disk()
    _fill(stage, random.Random(1), 30, {}, set())
    process = stage.process(disk)
    process.run()
    assert all(process.trace[i - 1] == "Commit" for i, name in enumerate(process.trace) if name == "StoreWrite")
    _fill(stage, random.Random(2), 3, {}, set())
    while not isinstance(process.effect, fx.Commit):
        process.step()
    before = dict(disk.states), disk.head()
    process.step(BrokerError("unknown result"), after=True)
    assert (disk.states, disk.head()) == before
    while not isinstance(process.effect, fx.InitProducer):
        process.step()
        assert process.trace[-1] != "StoreWrite"


def test_a_batch_past_the_barriers_deadline_is_held_and_never_decided() -> None:
    """The barrier fails a hundred times: a hundred alerts, no Begin; then it passes and the batch is decided."""
    stage, disk, asked, out = Stage(), Disk(), {}, set()
    process = stage.process(disk)
    process.run()
    _fill(stage, random.Random(3), 8, asked, out)
    while not isinstance(process.effect, fx.Barrier):
        process.step()
    for attempt in range(100):
        assert isinstance(process.effect, fx.Barrier)
        assert process.effect.attempt == attempt
        process.step(BarrierTimeout("late"))
        process.step()
    assert "Begin" not in process.trace
    assert process.alerts == ["barrier.timeout"] * 100
    process.run()
    _check(stage, disk, asked)


def test_a_fenced_task_ends_and_takes_nothing_back() -> None:
    """A newer owner exists: the task raises Fenced and never starts a producer again, which would fence that owner."""
    stage, disk, asked, out = Stage(), Disk(), {}, set()
    old = stage.process(disk)
    old.run()
    new = stage.process(Disk())
    new.run()
    _fill(stage, random.Random(4), 9, asked, out)
    while not old.done:
        old.step()
    assert isinstance(old.ended, Fenced)
    assert old.trace.count("InitProducer") == 1
    new.run()
    _check(stage, new.disk, asked)


def test_a_damaged_store_is_reset_and_read_again_from_the_changelog() -> None:
    """StoreCorrupt in the middle: the next StoreOpen asks for a reset."""
    stage, disk, asked, out = Stage(), Disk(), {}, set()
    _fill(stage, random.Random(5), 20, asked, out)
    process = stage.process(disk)
    process.run()
    _fill(stage, random.Random(6), 5, asked, out)
    while not isinstance(process.effect, fx.StoreWrite):
        process.step()
    process.step(StoreCorrupt("bad block"))
    while not isinstance(process.effect, fx.StoreOpen):
        process.step()
    assert process.effect.reset == "corrupt"
    process.run()
    _check(stage, disk, asked)


def test_positions_without_a_changelog_halt_the_task() -> None:
    """Committed input positions and an empty changelog: Halted, nothing is read."""
    stage, disk = Stage(), Disk()
    stage.cluster.offsets[0] = (3, 0, 5)
    process = stage.process(disk)
    while not process.done:
        process.step()
    assert isinstance(process.ended, Halted)
    assert "StartInputs" not in process.trace


def test_the_meta_record_holds_the_positions_of_every_transaction() -> None:
    """The last record of each transaction's changelog part is its meta record, equal to the committed positions."""
    stage, disk = Stage(), Disk()
    _fill(stage, random.Random(7), 30, {}, set())
    process = stage.process(disk)
    process.run()
    last = stage.committed("changelog")[-1]
    assert last.key == META_KEY
    meta = decode_meta(last.value or b"")
    assert meta.positions == stage.cluster.offsets[0] == stage.ends()
    assert meta.seq == len(stage.committed("decision")) > 0


@pytest.mark.parametrize("module", [task_module, fold_module])
def test_the_state_machine_imports_neither_a_client_nor_a_clock(module: Any) -> None:
    """No asyncio, no aiokafka, no rocksdict, no time: what is simulated is what runs."""
    tree = ast.parse(Path(module.__file__).read_text())
    names = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= {"__future__", "collections", "contactgate", "dataclasses", "msgspec", "typing"}

"""The partition task against a simulated log: a failure or a crash at every step, zombies, unknown commit results.

The simulation knows transactions, fencing and a store that survives a crash; the task is the one the live worker runs.
"""

from __future__ import annotations

import ast
import collections
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.kit.countgate import CAP, CountCodec, CountGate, CountWorld, check_chain

from contactgate.errors import BarrierTimeout, BrokerError, Fenced, Halted, StoreCorrupt
from contactgate.model.log import Bounds, Head, Out, Positions, Record
from contactgate.partition import effects as fx
from contactgate.partition import fold as fold_module
from contactgate.partition import task as task_module
from contactgate.partition.broadcast import Broadcast
from contactgate.partition.fold import META_KEY, decode_meta
from contactgate.partition.task import Limits, PartitionTask


class Log:
    """One partition of everything: inputs, outputs, changelog, committed positions, and whose epoch is current."""

    def __init__(self) -> None:
        self.inputs: dict[str, list[Record]] = {"consent": [], "outcome": [], "request": []}
        self.outs: list[Out] = []
        self.changelog: list[tuple[bytes, bytes | None]] = []
        self.committed: Positions | None = None
        self.epoch = 0
        self.now_ms = 1_700_000_000_000

    def append(self, kind: str, key: str, value: dict[str, Any]) -> None:
        """An acknowledged input record."""
        log = self.inputs[kind]
        log.append(Record(kind, 0, len(log), self.now_ms, key.encode(), msgspec.json.encode(value)))

    def state(self) -> dict[bytes, bytes]:
        """What the changelog holds."""
        found: dict[bytes, bytes] = {}
        for key, value in self.changelog:
            if key == META_KEY:
                continue
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
        return found


class Disk:
    """A local store that survives a crash of its task; also the Shelf the task reads."""

    def __init__(self) -> None:
        self.wipe()

    def wipe(self) -> None:
        """Empty."""
        self.states: dict[bytes, bytes] = {}
        self.opened: set[tuple[int, bytes]] = set()
        self.at: Head | None = None

    def head(self) -> Head | None:
        """Shelf."""
        return self.at

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """Shelf."""
        return [self.states.get(key) for key in keys]

    def open_since(self, now_ms: int) -> Iterator[tuple[int, bytes]]:
        """Shelf."""
        return iter(sorted(pair for pair in self.opened if pair[0] > now_ms))

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Shelf."""
        return iter(sorted(self.states.items()))


class Simulated:
    """One process that runs the task: carries out effects on a Log and a Disk, one `step` at a time."""

    def __init__(self, log: Log, disk: Disk, *, standby: bool = False, limits: Limits | None = None) -> None:
        self.log, self.disk = log, disk
        world = CountWorld()
        self.broadcast = Broadcast(world)
        self.task = PartitionTask(
            0,
            lambda p, seq, prev: CountGate(world, p, seq, prev),
            self.broadcast,
            CountCodec(),
            limits or Limits(batch=5, cache=8),
        )
        self.steps = self.task.run(standby=standby)
        self.effect: fx.Effect = next(self.steps)
        self.epoch = -1
        self.staged: tuple[list[Out], list[tuple[bytes, bytes | None]], Positions | None] | None = None
        self.read = [0, 0, 0]
        self.taken: list[Record] = []
        self.promoted = False
        self.stopping = False
        self.ended: BaseException | None = None
        self.done = False
        self.trace: list[str] = []
        self.alerts: list[str] = []

    def step(self, fault: BaseException | None = None, *, after: bool = False) -> None:
        """Carry out the pending effect; `fault` is thrown instead, or (`after`) although it was carried out."""
        effect = self.effect
        self.trace.append(type(effect).__name__)
        try:
            if fault is not None and not after:
                self.effect = self.steps.throw(fault)
                return
            try:
                result = self._do(effect)
            except (BrokerError, fx.StopAsked, StoreCorrupt) as error:
                self.effect = self.steps.throw(error)
                return
            self.effect = self.steps.throw(fault) if fault is not None else self.steps.send(result)
        except StopIteration:
            self.done = True
        except (Fenced, Halted) as error:
            self.done, self.ended = True, error

    def _mine(self) -> None:
        if self.epoch != self.log.epoch:
            raise Fenced("a newer owner")

    def _do(self, effect: fx.Effect) -> Any:
        log, disk = self.log, self.disk
        match effect:
            case fx.StoreOpen():
                if effect.reset is not None:
                    disk.wipe()
                return disk
            case fx.StoreWrite():
                for key, value in effect.states:
                    if value is None:
                        disk.states.pop(key, None)
                    else:
                        disk.states[key] = value
                disk.opened.update(effect.opened)
                disk.at = effect.head
            case fx.InitProducer():
                log.epoch += 1
                self.epoch, self.staged = log.epoch, None
            case fx.DropProducer():
                self.epoch, self.staged = -1, None
            case fx.ReadEnd():
                return Bounds(0, len(log.changelog if effect.topic == "changelog" else log.inputs[effect.topic]))
            case fx.FetchChangelog():
                if self.stopping:
                    raise fx.StopAsked
                end = min(effect.start + 7, len(log.changelog))
                return fx.Tail(log.changelog[effect.start : end], max(end, effect.start), self.promoted)
            case fx.Committed():
                return tuple(log.committed) if log.committed else (None, None, None)
            case fx.StartInputs():
                self.read = list(effect.positions)
            case fx.NextInput():
                if self.stopping:
                    raise fx.StopAsked
                requests = log.inputs["request"][self.read[2] :][:9]
                self.read[2] += len(requests)
                return fx.Input(requests, self.read[2], log.now_ms)
            case fx.Barrier():
                consents, outcomes = log.inputs["consent"][self.read[0] :], log.inputs["outcome"][self.read[1] :]
                self.read[:2] = [len(log.inputs["consent"]), len(log.inputs["outcome"])]
                return fx.Passed(consents, self.read[0], outcomes, self.read[1], log.now_ms)
            case fx.Begin():
                self._mine()
                self.staged = ([], [], None)
            case fx.Produce():
                self._mine()
                assert self.staged is not None
                self.staged = (effect.outs, effect.changelog, None)
            case fx.SendOffsets():
                self._mine()
                assert self.staged is not None
                self.staged = (*self.staged[:2], effect.positions)
                return len(log.changelog) + len(self.staged[1])
            case fx.Commit():
                self._mine()
                assert self.staged is not None
                outs, changelog, positions = self.staged
                log.outs += outs
                log.changelog += changelog
                log.committed, self.staged = positions, None
            case fx.Now():
                return log.now_ms
            case fx.Alert():
                self.alerts.append(effect.kind)
        return None

    def run(self, effects: int = 400) -> None:
        """Carry on until it idles at NextInput with nothing left, or ended."""
        for _ in range(effects):
            if self.done:
                return
            drained = [len(log) for log in self.log.inputs.values()] == self.read
            if isinstance(self.effect, fx.NextInput) and drained and self.task.ready:
                return
            self.step()
        raise AssertionError(f"does not come to rest: {self.trace[-20:]}")


def _fill(log: Log, random_: random.Random, count: int, asked: dict[str, bool], out: set[str]) -> None:
    for _ in range(count):
        subject = f"s{random_.randrange(6)}"
        log.now_ms += 1
        kind = random_.random()
        if kind < 0.1:
            log.append("consent", subject, {"allow": False})
            out.add(subject)
        elif kind < 0.2:
            log.append("outcome", subject, {})
        else:
            request_id = f"q{len(asked)}"
            asked[request_id] = subject in out
            log.append("request", subject, {"id": request_id})


def _check(log: Log, disk: Disk, asked: dict[str, bool]) -> None:
    values = [out.value for out in log.outs if out.kind == "decision"]
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
    assert disk.states == log.state()
    outcomes = sum(CountCodec().decode(value).outcomes for value in disk.states.values())
    assert outcomes == len(log.inputs["outcome"])


def _trace_of_one_run() -> int:
    log, disk = Log(), Disk()
    process = Simulated(log, disk)
    _fill(log, random.Random(1), 30, {}, set())
    process.run()
    return len(process.trace)


@pytest.mark.parametrize("how", ["fault", "fault after", "crash", "crash and wipe"])
def test_a_failure_at_every_single_step_loses_and_repeats_nothing(how: str) -> None:
    """At each step of a run: it fails, it fails after it was done, or the process dies; the outcome is the same."""
    for number in range(_trace_of_one_run()):
        log, disk, asked, out = Log(), Disk(), {}, set()
        _fill(log, random.Random(1), 30, asked, out)
        process = Simulated(log, disk)
        for _ in range(number):
            process.step()
        if how.startswith("crash"):
            process.steps.close()
            if how.endswith("wipe"):
                disk.wipe()
            process = Simulated(log, disk)
        elif not isinstance(process.effect, fx.Alert | fx.DropProducer | fx.Sleep):
            process.step(BrokerError("made by the test"), after=how.endswith("after"))
        process.run()
        _fill(log, random.Random(2), 20, asked, out)
        process.run()
        _check(log, disk, asked)


def test_random_faults_crashes_and_zombies_keep_every_promise() -> None:
    """100 seeds: two processes with own disks take turns at random, fail, crash, are wiped and promoted at random."""
    fenced = unknown = promoted = 0
    for seed in range(100):
        random_ = random.Random(seed)
        log, asked, out = Log(), {}, set()
        disks = [Disk(), Disk()]
        processes = [Simulated(log, disks[0]), Simulated(log, disks[1], standby=True)]
        for _ in range(random_.randrange(150, 400)):
            which = random_.randrange(2)
            process = processes[which]
            event = random_.random()
            if process.done or event < 0.01:
                process.steps.close()
                fenced += isinstance(process.ended, Fenced)
                if random_.random() < 0.2:
                    disks[which].wipe()
                processes[which] = Simulated(log, disks[which], standby=random_.random() < 0.5)
            elif event < 0.02:
                promoted += 1
                process.promoted = True
            elif event < 0.1:
                _fill(log, random_, random_.randrange(1, 12), asked, out)
            elif event < 0.14 and not isinstance(process.effect, fx.Alert | fx.DropProducer | fx.Sleep):
                after = random_.random() < 0.5
                unknown += after and isinstance(process.effect, fx.Commit)
                kind = BarrierTimeout if isinstance(process.effect, fx.Barrier) else BrokerError
                process.step(kind("made by the test"), after=after and kind is BrokerError)
            else:
                process.step()
        for process in processes:
            process.steps.close()
        last = Simulated(log, disks[0])
        last.run(3_000)
        _check(log, disks[0], asked)
    assert min(fenced, unknown, promoted) > 10  # or the test would have proved nothing


def test_the_previous_owner_is_fenced_before_anything_is_read() -> None:
    """InitProducer comes before the changelog's end, its records and the inputs."""
    log, disk = Log(), Disk()
    _fill(log, random.Random(1), 10, {}, set())
    process = Simulated(log, disk)
    process.run()
    order = process.trace
    first = order.index("InitProducer")
    for later in ("ReadEnd", "StartInputs", "NextInput"):
        assert first < order.index(later)
    assert order[:first] == ["StoreOpen", "Committed"]


def test_the_store_is_written_only_right_after_a_commit() -> None:
    """Every StoreWrite of a deciding task follows a Commit that succeeded; a failed one is followed by none."""
    log, disk = Log(), Disk()
    _fill(log, random.Random(1), 30, {}, set())
    process = Simulated(log, disk)
    process.run()
    assert all(process.trace[i - 1] == "Commit" for i, name in enumerate(process.trace) if name == "StoreWrite")
    _fill(log, random.Random(2), 3, {}, set())
    while not isinstance(process.effect, fx.Commit):
        process.step()
    before = dict(disk.states), disk.at
    process.step(BrokerError("unknown result"), after=True)
    assert (disk.states, disk.at) == before
    while not isinstance(process.effect, fx.InitProducer):
        process.step()
        assert process.trace[-1] != "StoreWrite"


def test_a_batch_past_the_barriers_deadline_is_held_and_never_decided() -> None:
    """The barrier fails a hundred times: a hundred alerts, no Begin; then it passes and the batch is decided."""
    log, disk, asked, out = Log(), Disk(), {}, set()
    process = Simulated(log, disk)
    process.run()
    _fill(log, random.Random(3), 8, asked, out)
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
    _check(log, disk, asked)


def test_a_fenced_task_ends_and_takes_nothing_back() -> None:
    """A newer owner exists: the task raises Fenced and never starts a producer again, which would fence that owner."""
    log, disk, asked, out = Log(), Disk(), {}, set()
    old = Simulated(log, disk)
    old.run()
    new = Simulated(log, Disk())
    new.run()
    _fill(log, random.Random(4), 9, asked, out)
    while not old.done:
        old.step()
    assert isinstance(old.ended, Fenced)
    assert old.trace.count("InitProducer") == 1
    new.run()
    _check(log, new.disk, asked)


def test_a_damaged_store_is_reset_and_read_again_from_the_changelog() -> None:
    """StoreCorrupt in the middle: the next StoreOpen asks for a reset."""
    log, disk, asked, out = Log(), Disk(), {}, set()
    _fill(log, random.Random(5), 20, asked, out)
    process = Simulated(log, disk)
    process.run()
    _fill(log, random.Random(6), 5, asked, out)
    while not isinstance(process.effect, fx.StoreWrite):
        process.step()
    process.step(StoreCorrupt("bad block"))
    while not isinstance(process.effect, fx.StoreOpen):
        process.step()
    assert process.effect.reset == "corrupt"
    process.run()
    _check(log, disk, asked)


def test_positions_without_a_changelog_halt_the_task() -> None:
    """Committed input positions and an empty changelog: Halted, nothing is read."""
    log, disk = Log(), Disk()
    log.committed = Positions(3, 0, 5)
    process = Simulated(log, disk)
    while not process.done:
        process.step()
    assert isinstance(process.ended, Halted)
    assert "StartInputs" not in process.trace


def test_the_meta_record_holds_the_positions_of_every_transaction() -> None:
    """The last record of each transaction's changelog part is its meta record, equal to the committed positions."""
    log, disk = Log(), Disk()
    _fill(log, random.Random(7), 30, {}, set())
    process = Simulated(log, disk)
    process.run()
    assert log.changelog[-1][0] == META_KEY
    meta = decode_meta(log.changelog[-1][1] or b"")
    assert meta.positions == log.committed
    assert meta.seq == sum(out.kind == "decision" for out in log.outs)


@pytest.mark.parametrize("module", [task_module, fold_module])
def test_the_state_machine_imports_neither_a_client_nor_a_clock(module: Any) -> None:
    """No asyncio, no aiokafka, no rocksdict, no time: what is simulated is what runs."""
    tree = ast.parse(Path(module.__file__).read_text())
    names = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= {"__future__", "collections", "contactgate", "dataclasses", "msgspec", "typing"}

"""One phase of a chaos run, from empty topics to a verdict.

Topics are made, the workload begins in a process of its own, workers start, faults are played until it has
sent everything, all faults are healed, every input is decided, the workers end in order, the topics are dumped, the
checker judges the dump, the product's replay is compared with it, the report is written.

What the checker calls green and the replay calls equal, with every process ended in order, is green; a counter that was
not reached makes it invalid. Must never judge a decision itself.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.chaos import checker, faults, history, report, settle
from tests.chaos.cluster import ROOT, Fleet, brokers, wait_for
from tests.chaos.dump import dump
from tests.chaos.faults import Scene, Stream
from tests.chaos.population import REQUESTERS
from tests.chaos.watch import tally

from contactgate.broker.cluster import DevCluster
from contactgate.errors import ContactgateError
from contactgate.topics import Layout, TopicAdmin, topic_specs

TOKEN_KEY = b"chaos-token-key-" + b"t" * 24
SEAL_KEY = b"chaos-seal-key--" + b"s" * 16
APP = "contactgate"
POLICY = Path(__file__).with_name("policy.yaml")
_KEPT_MS = 20 * 3_600_000


@dataclasses.dataclass(frozen=True)
class Phase:
    """What one phase is made of."""

    name: str
    nodes: int
    seconds: float
    rate: float
    streams: tuple[Stream, ...]
    workers: tuple[str, ...] = ("w1", "w2", "w3")
    extras: tuple[str, ...] = ("extra-1",)
    partitions: int = 6
    subjects: int = 0
    proxied: bool = True
    required: tuple[str, ...] = ()  # counters without which the run is invalid
    settle_s: float = 150.0
    slow_s: float = 0.03  # how late every other worker reads its facts


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a phase."""

    phase: str
    state: str  # green, red, invalid
    directory: Path
    done: Counter[str]
    problems: tuple[str, ...]
    unreached: tuple[str, ...] = ()
    requests: int = 0


def make_topics(cluster: DevCluster, prefix: str, partitions: int) -> None:
    """All topics of an installation; nothing is compacted away while a run may need it for its replay."""
    layout = Layout(
        prefix, partitions=partitions, requesters=REQUESTERS, replication=3 if len(cluster.nodes) >= 3 else 1
    )
    specs = [
        dataclasses.replace(spec, configs={**spec.configs, "min.compaction.lag.ms": str(_KEPT_MS)})
        if spec.name == f"{prefix}subjects-changelog"
        else spec
        for spec in topic_specs(layout)
    ]
    with TopicAdmin(cluster.bootstrap) as admin:
        admin.create(specs)


def environment() -> dict[str, str]:
    """The keys of all workers of a run."""
    return {"CONTACTGATE_TOKEN_KEY": TOKEN_KEY.decode(), "CONTACTGATE_SEAL_KEY": SEAL_KEY.decode()}


class Sender:
    """The workload in a process of its own."""

    def __init__(self, cluster: DevCluster, prefix: str, directory: Path, seed: int, phase: Phase) -> None:
        command = [
            sys.executable, "-m", "tests.chaos.workload", "--bootstrap", cluster.bootstrap, "--prefix", prefix,
            "--directory", str(directory), "--seed", str(seed), "--requests", str(int(phase.seconds * phase.rate)),
            "--rate", str(phase.rate), "--subjects", str(phase.subjects),
        ]  # fmt: skip
        with (directory / "logs" / "workload.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=dict(os.environ))

    @property
    def running(self) -> bool:
        """Whether it still sends."""
        return self.process.poll() is None

    def finish(self, timeout_s: float) -> int:
        """Its exit code, when it has sent everything."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.close()
            return -9

    def close(self) -> None:
        """End it now."""
        if self.running:
            self.process.kill()
            self.process.wait()


def run_phase(phase: Phase, seed: int, out: Path) -> Outcome:
    """The whole phase on a cluster of its own; its history is in `out`/<name>."""
    directory = out / phase.name
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    cluster = brokers(phase.nodes, directory / "kafka")
    try:
        cluster.start()
        outcome = play(phase, seed, directory, cluster)
    except Exception as error:  # noqa: BLE001 - whatever it was, the run is to be looked at
        (directory / "logs" / "harness.log").write_text(traceback.format_exc(), encoding="utf-8")
        problem = f"harness: {type(error).__name__}: {error}; see logs/harness.log"
        outcome = Outcome(phase.name, "red", directory, Counter(), (problem,))
    finally:
        cluster.kill()
        for node in cluster.nodes:
            if node.log_path.exists():
                shutil.copyfile(node.log_path, directory / "logs" / f"broker-{node.me.node_id}.log")
    if outcome.state == "green":
        shutil.rmtree(directory / "kafka", ignore_errors=True)
    return outcome


def play(phase: Phase, seed: int, directory: Path, cluster: DevCluster, bug: str = "") -> Outcome:
    """The phase on a running cluster; topics have the phase's name as their prefix."""
    prefix = f"{phase.name}-"
    group = prefix + APP
    make_topics(cluster, prefix, phase.partitions)
    problems: list[str] = []
    with history.Recorder(directory) as recorder:
        recorder.meta(
            seed=seed, phase=phase.name, nodes=phase.nodes, prefix=prefix, partitions=phase.partitions, group=group,
            requesters=list(REQUESTERS), seal_key=SEAL_KEY.hex(), token_key=TOKEN_KEY.hex(), seconds=phase.seconds,
            bug=bug, required=list(phase.required),
        )  # fmt: skip
        fleet = Fleet(
            cluster, prefix, directory, (*phase.workers, *phase.extras), environment=environment(),
            options=("--policy", str(POLICY)), bug=bug, proxied=phase.proxied, slow_s=phase.slow_s,
        )  # fmt: skip
        scene = Scene(cluster, fleet, recorder)
        sender: Sender | None = None
        try:
            for name in phase.workers:
                fleet.start(name)
            wait_for(lambda: _everything_owned(fleet, phase), "the workers decide every partition", 120)
            sender = Sender(cluster, prefix, directory, seed, phase)
            wait_for(lambda: _asked(directory), "the workload sends requests", 120)
            ticks = Ticks(scene, recorder)
            faults.run(scene, faults.schedule(seed, phase.seconds, phase.streams), ticks)
            if sender.finish(phase.seconds + 120) != 0:
                problems.append("the workload did not end well; see logs/workload.log")
            left = _settle(cluster, phase, group, scene, ticks)
            if left != 0:
                problems.append(f"liveness: {left} inputs are not decided {phase.settle_s:g} s after the last fault")
            problems += [
                f"worker: {name} ended with status {code} though nobody told it to"
                for name, code in fleet.ended
                if code
            ]
            problems += [
                f"worker: {name} ended with status {code} after SIGTERM" for name, code in fleet.stop().items() if code
            ]
            asyncio.run(dump(cluster.bootstrap, prefix, directory, group=group))
            recorder.counters(**_counters(directory, scene))
        finally:
            if sender is not None:
                sender.close()
            fleet.close(keep=bool(problems))
    return _judge(phase, directory, scene.done, problems)


def _everything_owned(fleet: Fleet, phase: Phase) -> bool:
    return {p for name in phase.workers for p in fleet.owned(name)} == set(range(phase.partitions))


def _asked(directory: Path) -> bool:
    journal = directory / "workload.jsonl"
    return journal.exists() and b'"contact-requests"' in journal.read_bytes()


class Ticks:
    """Called a few times a second while faults are played: samples for the report."""

    def __init__(self, scene: Scene, recorder: history.Recorder) -> None:
        self._scene, self._recorder = scene, recorder
        self._told = 0.0

    def __call__(self) -> None:
        """Once a second: who lives, what the workers weigh."""
        now = time.monotonic()
        if now - self._told < 1.0:
            return
        self._told = now
        fleet = self._scene.fleet
        self._recorder.metric(
            "fleet", alive=sum(map(fleet.alive, fleet.names)), frozen=len(fleet.frozen),
            owned=sum(len(fleet.owned(name)) for name in fleet.free()),
        )  # fmt: skip


def _settle(cluster: DevCluster, phase: Phase, group: str, scene: Scene, ticks: Ticks) -> int | None:
    """Wait until every input is covered by a committed transaction; how many are not, past the deadline."""
    deadline = time.monotonic() + phase.settle_s
    left: int | None = None
    while time.monotonic() < deadline:
        scene.fleet.revive(set())
        ticks()
        left = settle.lag(cluster.bootstrap, f"{phase.name}-", phase.partitions, group)
        if left == 0:
            return 0
        time.sleep(0.5)
    return left


def _counters(directory: Path, scene: Scene) -> dict[str, int]:
    """What injectors did and workers saw, by the names the checker asks for."""
    seen = tally(directory / "workers")
    return {**{f"fault.{name}": count for name, count in scene.done.items()}, **seen}


def _judge(phase: Phase, directory: Path, done: Counter[str], problems: list[str]) -> Outcome:
    found = history.load(directory)
    verdict = checker.check(found)
    try:
        problems += [f"replay: {each}" for each in settle.same_as_replay(found, (TOKEN_KEY, SEAL_KEY))]
    except ContactgateError as error:
        problems.append(f"replay: {error}")
    problems = [*(f"{each.name}: {each.detail}" for each in verdict.findings if not each.held), *problems]
    if not found.meta["bug"]:
        report.write(found, verdict)
    requests = sum(row["records"] for row in found.index["topics"][history.REQUESTS].values())
    state = "red" if problems else "invalid" if verdict.unreached else "green"
    (directory / "problems.json").write_text(json.dumps(problems, indent=1), encoding="utf-8")
    return Outcome(phase.name, state, directory, done, tuple(problems), tuple(verdict.unreached), requests)

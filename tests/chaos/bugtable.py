"""The tests' test: every seeded bug in a short run of its own, on one broker, and which promise caught it.

Unless single bugs are named the first run has no bug and every fault that any bug needs; it must be green, or the table
proves nothing. A bug's run is that of `phase.play` with the bug's own faults on a dense schedule. Some bugs show only
when a fault meets the right step: what one seed does not catch, the next two may, each in a row of its own.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tests.chaos import faults
from tests.chaos.bugs import BUGS, Bug
from tests.chaos.cluster import brokers
from tests.chaos.faults import Stream
from tests.chaos.phase import Outcome, Phase, play

from contactgate.broker.cluster import DevCluster

SECONDS = 10.0
_RATE = 300.0
_SUBJECTS = 600
_EVERY_S = 2.5
_SEEDS = 3
_NETWORK = frozenset((faults.network, faults.cut, faults.lost_commit, faults.late_commit, faults.broken))


def bug_table(names: list[str], seed: int, out: Path) -> int:
    """Run all bugs (or those named) and print the table. 0 when each was caught and the run without one was green."""
    chosen = [bug for bug in BUGS if not names or bug.name in names]
    unknown = set(names) - {bug.name for bug in BUGS}
    if unknown:
        print(f"no such bugs: {', '.join(sorted(unknown))}")
        return 1
    needed = tuple(dict.fromkeys(fault for bug in chosen for fault in bug.faults))
    missed = []
    began = time.monotonic()
    with brokers(1, out / "kafka") as cluster:
        print(f"{'bug':<24}{'caught by':<48}{'seconds':>8}  what is wrong")
        if not names:
            outcome, seconds = _run(Bug("none", "", lambda: None, needed), seed, out, cluster)
            _row("none", outcome.problems or ("green",), seconds, "(the product as it is)")
            missed += ["none"] if outcome.problems else []
        for bug in chosen:
            for attempt in range(_SEEDS):
                outcome, seconds = _run(bug, seed + attempt, out, cluster)
                _row(bug.name, outcome.problems, seconds, bug.what)
                if _evidence(outcome.problems):
                    shutil.rmtree(outcome.directory, ignore_errors=True)
                    break
            else:
                missed.append(bug.name)
    caught = len(chosen) - len([name for name in missed if name != "none"])
    print(f"{caught} of {len(chosen)} bugs caught in {(time.monotonic() - began) / 60:.1f} minutes; histories in {out}")
    if missed:
        print(f"not as it should be: {', '.join(missed)}")
    return 1 if missed else 0


def _run(bug: Bug, seed: int, out: Path, cluster: DevCluster) -> tuple[Outcome, float]:
    streams = tuple(Stream(_EVERY_S * len(bug.faults), (fault,)) for fault in bug.faults)
    phase = Phase(
        f"bug-{bug.name}-{seed}", 1, SECONDS, _RATE * bug.rate, streams,
        workers=("w1", "w2") if bug.faults else ("w1",), extras=(), partitions=2,
        subjects=_SUBJECTS, settle_s=60.0, slow_s=0.15,
        proxied=not _NETWORK.isdisjoint(bug.faults),
    )  # fmt: skip
    began = time.monotonic()
    directory = out / phase.name
    (directory / "logs").mkdir(parents=True)
    outcome = play(phase, seed, directory, cluster, "" if bug.name == "none" else bug.name)
    return outcome, time.monotonic() - began


def _row(name: str, problems: tuple[str, ...], seconds: float, what: str) -> None:
    names = dict.fromkeys(problem.partition(":")[0] for problem in problems)
    caught = ", ".join(names) if name == "none" or _evidence(problems) else f"NOT CAUGHT ({', '.join(names)})"
    print(f"{name:<24}{caught:<48}{seconds:>8.0f}  {what}", flush=True)


def _evidence(problems: tuple[str, ...]) -> set[str]:
    """Broken promises. A run that only comes to an end too late, or equals no replay, proves nothing of a bug."""
    return {problem.partition(":")[0] for problem in problems} - {"I20", "liveness", "worker", "replay", "harness"}

"""`python -m tests.chaos`: faults against a real cluster, judged by the checker; `--bugs`: the tests' test.

    python -m tests.chaos --seed 7 --minutes 12       one node, three nodes, takeovers
    python -m tests.chaos --hours 8                   again and again with new seeds until a run is not green
    python -m tests.chaos --bugs                      every seeded bug must turn a short run red
    python -m tests.chaos.checker DIRECTORY           judge the kept history of a phase once more

A run leaves a directory with everything needed to look at it, and prints its name and the seed. Exit code 0: green; 1:
a promise was broken (or a bug was not caught); 2: invalid, for something that must be put to the test never happened.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from tests.chaos import faults
from tests.chaos.bugtable import bug_table
from tests.chaos.faults import Stream
from tests.chaos.phase import Outcome, Phase, run_phase
from tests.chaos.watch import POINTS

_WORKER = (
    faults.kill,
    faults.kill_at_point,
    faults.kill_at_point,
    faults.kill_at_point,
    faults.kill_while_opening,
    faults.damage,
)
_NETWORK = (faults.network, faults.cut, faults.lost_commit, faults.late_commit)
ONE_NODE = (
    Stream(6.0, _WORKER),
    Stream(8.0, _WORKER),
    Stream(24.0, (faults.zombie, faults.zombie, faults.pause)),
    Stream(25.0, _NETWORK),
    Stream(60.0, (faults.broker_kill, faults.broker_kill, faults.broker_pause)),
    Stream(45.0, (faults.disk_full, faults.stale, faults.storm, faults.clock_jump)),
)
THREE_NODES = (
    Stream(8.0, _WORKER),
    Stream(40.0, (faults.zombie,)),
    Stream(40.0, _NETWORK),
    Stream(22.0, (faults.broker_kill, faults.broker_kill, faults.broker_pause, faults.two_brokers_kill)),
)


TAKEOVERS = (Stream(20.0, (faults.takeover,)),)
TAKEOVER_RATE = 300.0
"""One kill at a time and time to recover in between: how long a standby takes (report, "Recovery")."""

# What a run must have done, by the minute, to count: 60 kills, 10 zombies, 6 broker kills in twelve of them.
LEAST_A_MINUTE = {"worker.kill": 5.0, "zombie": 0.84, "broker.kill": 0.5}
MOST_RATE = 2_500.0
REQUIRED = (
    "fenced",
    "promoted",
    "restore-from-empty",
    "barrier-held",
    "unknown-commit",
    "store-reset",
    "fault.network.cut",
    "fault.disk.full",
    "fault.worker.clock",
    "fault.rebalance.storm",
    *(f"kill.{point}" for point in POINTS),
)
"""Counters of workers and injectors without which the first phase of a run is invalid."""


def phases(minutes: float, rate: float) -> list[Phase]:
    """One node two thirds of the time, three nodes at a lower rate for the rest; then one takeover after the other."""
    return [
        Phase("one-node", 1, minutes * 40, rate, ONE_NODE, required=REQUIRED if minutes >= 10 else ()),
        Phase("three-nodes", 3, minutes * 20, rate / 3, THREE_NODES),
        Phase("takeovers", 1, minutes * 10, min(rate / 3, TAKEOVER_RATE), TAKEOVERS),
    ]


def run(seed: int, minutes: float, rate: float, out: Path, only: str = "") -> int:
    """All phases of one seed, and what they add up to. The exit code."""
    outcomes = []
    for phase in phases(minutes, rate):
        if only in ("", phase.name):
            print(f"{phase.name}: seed {seed}, {phase.seconds:.0f} s, {phase.rate:.0f} requests/s", flush=True)
            outcomes.append(run_phase(phase, seed, out))
            tell(outcomes[-1])
    return total(seed, minutes if not only else 0.0, outcomes)


def tell(outcome: Outcome) -> None:
    """What became of a phase."""
    print(f"{outcome.phase}: {outcome.state}; history and report in {outcome.directory}")
    for problem in outcome.problems:
        print(f"  violated: {problem}")
    for name in outcome.unreached:
        print(f"  never reached: {name}")
    sys.stdout.flush()


def total(seed: int, minutes: float, outcomes: list[Outcome]) -> int:
    """The sum of all phases in three lines, and the exit code."""
    done: Counter[str] = sum((outcome.done for outcome in outcomes), Counter())
    requests = sum(outcome.requests for outcome in outcomes)
    states = {outcome.state for outcome in outcomes}
    for name, least in LEAST_A_MINUTE.items():
        if done[name] < int(least * minutes):
            states.add("invalid")
            print(f"only {done[name]} of {name}, {int(least * minutes)} are needed")
    print(
        f"seed {seed}: {requests:,} requests, {done['worker.kill']} worker kills, {done['zombie']} zombies, "
        f"{done['broker.kill']} broker kills, {sum(len(o.problems) for o in outcomes)} violations"
    )
    print("faults: " + ", ".join(f"{name} {count}" for name, count in sorted(done.items())))
    code = 1 if "red" in states else 2 if "invalid" in states else 0
    print(("green", "RED", "INVALID")[code])
    return code


def main() -> int:
    """Read the command line, run, return the exit code."""
    reader = argparse.ArgumentParser(prog="python -m tests.chaos")
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--minutes", type=float, default=12.0, help="length of the faulted time, all phases together")
    reader.add_argument("--hours", type=float, default=0.0, help="repeat with new seeds for so long")
    reader.add_argument(
        "--requests", type=int, default=1_060_000, help="in all phases together, unless that is too fast"
    )
    reader.add_argument("--rate", type=float, default=0.0, help="requests a second on one node, instead")
    reader.add_argument("--only", default="", help="this phase alone")
    reader.add_argument("--bugs", nargs="*", help="the table of seeded bugs; names: these alone")
    reader.add_argument("--out", type=Path, default=Path("build/chaos"))
    given = reader.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running or mounted
    out = given.out / time.strftime("%Y%m%d-%H%M%S")
    out.mkdir(parents=True, exist_ok=True)
    out = out.resolve()
    if given.bugs is not None:
        return bug_table(given.bugs, given.seed, out)
    # Three nodes take a third of the rate for a third of the time.
    rate = given.rate or min(MOST_RATE, given.requests / (given.minutes * 60 * (2 / 3 + 1 / 9)))
    until = time.monotonic() + given.hours * 3_600
    seed = given.seed
    while True:
        code = run(seed, given.minutes, rate, out / f"seed-{seed}", given.only)
        seed += 1
        if code or time.monotonic() >= until:
            return code


if __name__ == "__main__":
    sys.exit(main())

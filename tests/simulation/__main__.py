"""`python -m tests.simulation`: many seeds; `--seed N` one seed with its trace; `--bugs` the table of seeded bugs."""

from __future__ import annotations

import argparse
import os
import sys

from tests.simulation.bugs import BUGS
from tests.simulation.campaign import campaign, catch_all
from tests.simulation.checker import check
from tests.simulation.run import Simulation


def _trace(seed: int, bug: str | None) -> int:
    sim = Simulation(seed, BUGS[bug]() if bug else None, tracing=True)
    history = sim.run()
    print("\n".join(sim.lines))
    print(f"seed {seed}: {sim.kit.name} gate, {sim.partitions} partitions, {sim.limits}")
    violations = check(history)
    for invariant, text in violations:
        print(f"{invariant}: {text}")
    return bool(violations)


def _bugs(most: int) -> int:
    print(f"{'seeded bug':42} {'first seed':>10} {'3 of seeds':>10}  invariants")
    missed = 0
    for name, ran, caught, invariants in catch_all(most):
        missed += not caught
        by = ", ".join(invariant for invariant, _ in invariants.most_common())
        first = str(caught[0]) if caught else "MISSED"
        print(f"{name:42} {first:>10} {ran:>10,}  {by}", flush=True)
    print(f"{len(BUGS) - missed} of {len(BUGS)} caught")
    return missed


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many seeds to run")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="run this one seed and print what happened")
    parser.add_argument("--bug", choices=sorted(BUGS), help="with --seed: with this seeded bug")
    parser.add_argument("--bugs", action="store_true", help="run every seeded bug until it is caught")
    given = parser.parse_args()
    if given.seed is not None:
        return _trace(given.seed, given.bug)
    if given.bugs:
        return int(_bugs(min(given.seeds, 5_000)) > 0)
    result = campaign(given.start, given.seeds, given.processes)
    print(result.text())
    return int(not result.green)


if __name__ == "__main__":
    sys.exit(main())

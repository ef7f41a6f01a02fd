"""Many seeds on several processes: violations, what was reached, and the table of seeded bugs.

A campaign is green only when no seed has a violation and, from 1,000 seeds on, everything in `MUST_REACH` was seen.
"""

from __future__ import annotations

import json
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing import get_context
from typing import Any

from tests.simulation.bugs import BUGS
from tests.simulation.checker import check
from tests.simulation.run import Make, Simulation

MUST_REACH = (
    "fenced producer",
    "unknown commit that took effect",
    "unknown commit that did not",
    "unknown commit that came late",
    "late commit refused",
    "aborted transaction",
    "transaction timed out",
    "crash between commit and store write",
    "crash during restore",
    "standby promoted with a tail to read",
    "barrier timeout",
    "barrier passed in parts",
    "producer rotated",
    "store damaged",
    "gap at the end of the changelog",
    "tombstone removed",
    "cap hit exactly",
    "recall by a world change",
    "recall by an opt-out",
    "request decided again",
    "dead letter",
    "record carried",
    "record carried again",
    "relay began again",
    "crash of the relay",
)
ENOUGH = 1_000
CHUNK = 200


@dataclass
class Result:
    """What many seeds gave."""

    seeds: int = 0
    decisions: int = 0
    transactions: int = 0
    counters: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str, str]] = field(default_factory=list)  # seed, invariant, text
    seconds: float = 0.0

    @property
    def missing(self) -> list[str]:
        """What should have been seen and was not."""
        return [name for name in MUST_REACH if not self.counters[name]] if self.seeds >= ENOUGH else []

    @property
    def green(self) -> bool:
        """No violation, and a valid run."""
        return not self.violations and not self.missing

    def text(self) -> str:
        """For people."""
        bad = len({seed for seed, _, _ in self.violations})
        head = f"{self.seeds:,} seeds, {self.transactions:,} committed transactions, {self.decisions:,} decisions"
        lines = [f"{head}, {bad} seeds with violations, {self.seconds:.0f} s"]
        lines += [f"  {self.counters[name]:9,}  {name}" for name in sorted({*MUST_REACH, *self.counters})]
        lines += [f"  never seen: {name}" for name in self.missing]
        lines += [f"  seed {seed}: {invariant}: {text}" for seed, invariant, text in self.violations[:20]]
        return "\n".join(lines)


def one(seed: int, make: Make | None = None) -> tuple[list[tuple[str, str]], Counter[str], dict[str, Any]]:
    """Violations, counters and history of one seed; whatever the engine raises is a violation."""
    sim = Simulation(seed, make)
    try:
        history = sim.run()
    except Exception as error:  # noqa: BLE001 - an engine that raises anything of its own is at fault
        where = traceback.extract_tb(error.__traceback__)[-1]
        return [("I20", f"{type(error).__name__} in {where.name}: {error}")], sim.counters, {"partitions": {}}
    return check(history), sim.counters, history


def tally(history: dict[str, Any]) -> Counter[str]:
    """What a history shows of the gate's work."""
    counters: Counter[str] = Counter()
    for partition in history["partitions"].values():
        for txn in partition["txns"]:
            counters["committed transactions"] += 1
            recalls = sum(b"contact.recalled" in value for _, _, value in txn["approvals"])
            reviewed = json.loads(txn["meta_bytes"] or b"{}").get("reviewed")
            counters["recall by a world change" if reviewed else "recall by an opt-out"] += recalls
            counters["dead letter"] += len(txn["dead"])
            for _, _, value in txn["decisions"]:
                counters["decisions"] += 1
                counters["request decided again"] += b'"duplicate":true' in value
                counters["cap hit exactly"] += b'"rule":"cap.ten_minutes"' in value
    return counters


def chunk(start: int, end: int) -> Result:
    """Seeds of one range."""
    result = Result(seeds=end - start)
    for seed in range(start, end):
        violations, counters, history = one(seed)
        result.counters.update(counters)
        result.counters.update(tally(history))
        result.violations.extend((seed, invariant, text) for invariant, text in violations)
    result.decisions = result.counters.pop("decisions", 0)
    result.transactions = result.counters.pop("committed transactions", 0)
    return result


def campaign(start: int, count: int, processes: int = 2) -> Result:
    """Seeds `start` to `start + count`, on several processes."""
    began = time.monotonic()
    total = Result()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = [pool.submit(chunk, at, min(at + CHUNK, start + count)) for at in range(start, start + count, CHUNK)]
        for part in as_completed(parts):
            done = part.result()
            total.seeds += done.seeds
            total.decisions += done.decisions
            total.transactions += done.transactions
            total.counters.update(done.counters)
            total.violations.extend(done.violations)
    total.violations.sort()
    total.seconds = time.monotonic() - began
    return total


def catch(name: str, most: int, wanted: int = 3) -> tuple[str, int, list[int], Counter[str]]:
    """Run one seeded bug until it was caught `wanted` times; the name, seeds run, seeds that caught it, by what."""
    caught: list[int] = []
    invariants: Counter[str] = Counter()
    seed = -1
    for seed in range(most):
        violations, _, _ = one(seed, BUGS[name]())
        if violations:
            caught.append(seed)
            invariants.update({invariant for invariant, _ in violations})
            if len(caught) == wanted:
                break
    return name, seed + 1, caught, invariants


def catch_all(
    most: int = 5_000, wanted: int = 3, processes: int = 2
) -> Iterator[tuple[str, int, list[int], Counter[str]]]:
    """Every seeded bug, in order."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(catch, BUGS, [most] * len(BUGS), [wanted] * len(BUGS))


def digest(seed: int) -> str:
    """Of everything a seed gives."""
    history = Simulation(seed).run()
    return sha256(repr(history).encode()).hexdigest()


def digests(seeds: list[int], processes: int = 1) -> list[str]:
    """The same, in another process (another hash seed)."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(digest, seeds))

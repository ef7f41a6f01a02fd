"""CPU per decision of one partition without Kafka: the real gate over a real store, a generated population.

`python -m bench.fold_cpu [requests] [--profile]`. Measures process CPU time, so a busy machine disturbs it least.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import msgspec

from bench.partition import BenchPartition
from contactgate.codec.tokens import Tokens
from contactgate.demo.population import REQUESTERS, Population
from contactgate.demo.times import stamp
from contactgate.model.log import Positions, Record
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read

BATCH = 1_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("requests", type=int, nargs="?", default=20_000)
    parser.add_argument("--subjects", type=int, default=5_000)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    gc.set_threshold(100_000, 50, 100)  # as in a worker
    now_ms = time.time_ns() // 1_000_000
    population = Population(1, given.subjects, now_ms)
    with tempfile.TemporaryDirectory() as directory:
        partition = BenchPartition(Path(directory), Tokens(b"k" * 32), REQUESTERS, event_time=False)
        text = files("contactgate.demo").joinpath("policy.yaml").read_text(encoding="utf-8")
        event = {
            "type": "policy.activated", "event_id": "p", "time": stamp(population.start_ms),
            "policy": load_policy(text).hash, "document": read(text, "the policy is wrong"),
        }  # fmt: skip
        controls = [Record("control", 0, 0, now_ms, b"policy:active", msgspec.json.encode(event))]
        consents: list[Record] = []
        for routed in (*population.world(), *population.history()):
            place = controls if routed.kind.startswith("control") else consents
            kind = "control" if place is controls else "consent"
            place.append(Record(kind, 0, len(place), now_ms, routed.key, routed.value))
        partition.world(controls)
        for start in range(0, len(consents), BATCH):
            some = consents[start : start + BATCH]
            partition.step(some, [], Positions(start + len(some), 0, 0), now_ms)
        requests = []
        for routed in (each.routed for each in population.stream(given.requests, 1_000) if each.request_id is not None):
            requests.append(Record("request", 0, len(requests), now_ms, routed.key, routed.value))
        profile = cProfile.Profile()
        began = time.process_time()
        if given.profile:
            profile.enable()
        for start in range(0, len(requests), BATCH):
            some = requests[start : start + BATCH]
            partition.step([], some, Positions(len(consents), 0, start + len(some)), now_ms)
        profile.disable()
        spent = time.process_time() - began
        decided = partition.decided
        print(
            f"{decided:,} decisions, {spent / max(decided, 1) * 1e6:.1f} us CPU each: {decided / spent:,.0f} a second"
        )
        if given.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        partition.close()


if __name__ == "__main__":
    main()

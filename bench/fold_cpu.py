"""CPU per decision of one partition without Kafka: the real gate over a real store, a generated population.

`python bench/fold_cpu.py [requests] [--profile]`. Measures process CPU time, so a busy machine disturbs it least.
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

from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.demo.population import REQUESTERS, Population
from contactgate.demo.times import stamp
from contactgate.engine.compose import Secrets, build_worker
from contactgate.engine.settings import EngineSettings
from contactgate.model.log import Head, Positions, Record
from contactgate.partition.fold import Fold, Meta, Work
from contactgate.partition.subjects import SubjectCodec
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read
from contactgate.store import Owner, PartitionStore

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
        settings = EngineSettings("", Path(directory), partitions=1)
        worker = build_worker(settings, Secrets(Tokens(b"k" * 32), Sealer(b"s" * 32)))
        store = PartitionStore.open(Path(directory) / "p", Owner("a", "b", "c", 0))
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
        worker.broadcast.read_control(controls, len(controls))
        assert not worker.broadcast._dead, worker.broadcast._dead[0]
        gate = worker._make_gate(0, 0, "")
        gate.requesters = frozenset(REQUESTERS)  # type: ignore[attr-defined]
        fold = Fold(0, gate, worker.broadcast, SubjectCodec(), store.get_many, Meta(), cache=100_000, event_time=False)
        commits = 0

        def step(some: list[Record], asked: list[Record], at: Positions) -> int:
            nonlocal commits
            batch = fold.apply(Work(some, [], asked, at, now_ms, 1_000))
            if batch is None:
                return 0
            commits += 1
            store.commit(batch.states, batch.opened, Head(commits, batch.meta_bytes))
            fold.adopt(batch)
            return sum(out.kind == "decision" for out in batch.outs)

        for start in range(0, len(consents), BATCH):
            some = consents[start : start + BATCH]
            step(some, [], Positions(start + len(some), 0, 0))
        requests = []
        for routed in (each.routed for each in population.stream(given.requests, 1_000) if each.request_id is not None):
            requests.append(Record("request", 0, len(requests), now_ms, routed.key, routed.value))
        profile = cProfile.Profile()
        began = time.process_time()
        if given.profile:
            profile.enable()
        decided = 0
        for start in range(0, len(requests), BATCH):
            some = requests[start : start + BATCH]
            decided += step([], some, Positions(len(consents), 0, start + len(some)))
        profile.disable()
        spent = time.process_time() - began
        print(
            f"{decided:,} decisions, {spent / max(decided, 1) * 1e6:.1f} us CPU each: {decided / spent:,.0f} a second"
        )
        if given.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        store.close()


if __name__ == "__main__":
    main()

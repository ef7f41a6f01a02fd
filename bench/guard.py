"""What a decision costs over a fixed yardstick, both measured in one process: for the test that guards speed.

The yardstick is the job in ordinary Python (`bench/peers/rules.py` with JSON), which does not change. Ratios of CPU
time survive a slow or busy machine, absolute times do not; the least of several rounds is taken. Run as
`python -m bench.guard` it prints the ratios as JSON. BOUNDS are what the test allows: raise one only with a reason in
the commit.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.job import POLICY, REQUESTERS, Job, Message, Phase
from bench.peers import rules
from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.engine.compose import Secrets, build_worker
from contactgate.engine.settings import EngineSettings
from contactgate.model.log import Head, Positions, Record
from contactgate.offline import Fold as Offline
from contactgate.partition.fold import Fold, Meta, Work
from contactgate.partition.subjects import SubjectCodec
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read
from contactgate.registry import opener
from contactgate.store import Owner, PartitionStore

BOUNDS = {"live": 1.7, "offline": 1.35}
"""Most CPU of a decision, in yardsticks: with the state's bytes and RocksDB; in memory."""

JOB = Job(3, (Phase("guard", 0, 2_000, 600),))
ROUNDS = 3
_BATCH = 500
_LISTED = 5_000
_TOKENS = Tokens(b"guard-key-of-thirty-two-bytes-00")


def ratios(rounds: int = ROUNDS) -> dict[str, float]:
    """Each way's CPU a decision over the yardstick's: the least of that many rounds, in turn."""
    gc.set_threshold(100_000, 50, 100)  # as in a worker
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "numbers.txt").write_text("".join(f"{line}\n" for line in JOB.listed(_LISTED)), encoding="ascii")
        consents, requests = list(JOB.consents()), list(JOB.requests("guard"))
        source = {"uri": (home / "numbers.txt").resolve().as_uri(), "format": "e164-lines"}
        world = list(JOB.world(load_policy(POLICY).hash, read(POLICY, "the policy is wrong"), source))
        ways: dict[str, Callable[[], float]] = {
            "yardstick": lambda: _yardstick(home, consents, requests),
            "live": lambda: _live(home, world, consents, requests),
            "offline": lambda: _offline(home, world, consents, requests),
        }
        least = dict.fromkeys(ways, float("inf"))
        for _ in range(rounds):
            for way, measure in ways.items():
                gc.collect()
                least[way] = min(least[way], measure())
        return {way: least[way] / least["yardstick"] for way in ("live", "offline")}


def _yardstick(home: Path, consents: list[Message], requests: list[Message]) -> float:
    registry = rules.Registry(home / "numbers.txt")
    states: dict[bytes, str] = {}
    for message in consents:
        state = json.loads(states[message.key]) if message.key in states else rules.new_state()
        rules.apply(state, json.loads(message.value))
        states[message.key] = json.dumps(state)
    seq, prev = 0, rules.GENESIS
    began = time.process_time()
    for message in requests:
        state = json.loads(states[message.key]) if message.key in states else rules.new_state()
        event = json.loads(message.value)
        if message.request < 0:
            rules.apply(state, event)
        else:
            reasons, repeated = rules.decide(state, event, registry)
            decision, prev = rules.decision(event, reasons, repeated, seq, prev)
            json.dumps(decision)
            if not reasons:
                json.dumps(rules.approval(event))
            seq += 1
        states[message.key] = json.dumps(state)
    return time.process_time() - began


def _live(home: Path, world: list[Message], consents: list[Message], requests: list[Message]) -> float:
    """The step of one partition as a worker takes it: gate, states as bytes, RocksDB; without Kafka."""
    with tempfile.TemporaryDirectory(dir=home) as name:
        settings = EngineSettings("", Path(name), partitions=1)
        secrets = Secrets(_TOKENS, Sealer(b"s" * 32))
        worker = build_worker(settings, secrets, open_list=opener(home, _TOKENS, home / "lists"))
        controls = [_record("control", at, message) for at, message in enumerate(world)]
        worker.broadcast.read_control(controls, len(controls))
        store = PartitionStore.open(Path(name) / "p", Owner("a", "b", "c", 0))
        gate = worker._make_gate(0, 0, "")
        gate.requesters = frozenset(REQUESTERS)  # type: ignore[attr-defined]
        fold = Fold(0, gate, worker.broadcast, SubjectCodec(), store.get_many, Meta(), cache=100_000, event_time=True)
        decided = 0

        def step(some: list[Record], asked: list[Record], at: Positions) -> None:
            nonlocal decided
            now_ms = max(record.timestamp_ms for record in (*some, *asked))
            batch = fold.apply(Work(some, [], asked, at, now_ms, 1_000))
            if batch is not None:
                store.commit(batch.states, batch.opened, Head(at.request + 1, batch.meta_bytes))
                fold.adopt(batch)
                decided += sum(out.kind == "decision" for out in batch.outs)

        facts = [_record("consent", at, message) for at, message in enumerate(consents)]
        for start in range(0, len(facts), _BATCH):
            some = facts[start : start + _BATCH]
            step(some, [], Positions(start + len(some), 0, 0))
        asked = [_record("request", at, message) for at, message in enumerate(_asked(requests))]
        began = time.process_time()
        for start in range(0, len(asked), _BATCH):
            batch = asked[start : start + _BATCH]
            step([], batch, Positions(len(facts), 0, start + len(batch)))
        spent = time.process_time() - began
        store.close()
    if decided != len(asked):
        raise RuntimeError(f"{len(asked):,} requests, {decided:,} decisions")
    return spent


def _offline(home: Path, world: list[Message], consents: list[Message], requests: list[Message]) -> float:
    """`contactgate decide`, without reading and writing files."""
    fold = Offline(load_policy(POLICY), _TOKENS, open_list=opener(home, _TOKENS, home / "lists"))
    for message in (*world, *consents):
        fold.line(message.value)
    asked = _asked(requests)
    began = time.process_time()
    for message in asked:
        fold.line(message.value)
    return time.process_time() - began


def _asked(requests: list[Message]) -> list[Message]:
    return [message for message in requests if message.request >= 0]


def _record(kind: str, offset: int, message: Message) -> Record:
    return Record(kind, 0, offset, message.time_ms, message.key, message.value)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(ratios()) + "\n")

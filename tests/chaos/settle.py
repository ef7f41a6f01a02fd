"""The end of a run: are all inputs decided, and does the same input through the same core give the same again?

`settled` asks the group's committed positions against the ends of the inputs; `same_as_replay` folds the dumped inputs
through the product's own gate at the recorded positions and times and compares decisions and states byte for byte. That
last one is deliberately no part of the checker, which shares no code with the product. Must never write to a topic.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from tests.chaos.history import (
    APPROVALS,
    CHANGELOG,
    CONSENT,
    CONTROL,
    DECISIONS,
    OUTCOMES,
    REQUESTS,
    SUPPRESSIONS,
    History,
    load,
)

from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.engine.compose import Gates, Secrets
from contactgate.engine.settings import EngineSettings
from contactgate.model.log import Record
from contactgate.partition.fold import META_KEY, decode_meta
from contactgate.partition.replay import replay
from contactgate.partition.subjects import SubjectCodec
from contactgate.policy.load import load_policy

_MANY = 100_000
_KINDS = {
    "consent": CONSENT,
    "outcome": OUTCOMES,
    "request": REQUESTS,
    "control": CONTROL,
    "suppression": SUPPRESSIONS,
}


def lag(bootstrap: str, prefix: str, partitions: int, group: str) -> int | None:
    """Records of the partitioned inputs that no committed transaction covers yet; None when the brokers do not say."""
    try:
        consumer: Any = KafkaConsumer(
            bootstrap_servers=bootstrap.split(","), group_id=group, enable_auto_commit=False,
            isolation_level="read_committed", request_timeout_ms=10_000, session_timeout_ms=6_000,
            max_poll_interval_ms=9_000,
        )  # fmt: skip
    except KafkaError:
        return None
    try:
        tps = [TopicPartition(prefix + name, p) for name in (CONSENT, OUTCOMES, REQUESTS) for p in range(partitions)]
        ends = consumer.end_offsets(tps)
        return sum(max(0, ends[tp] - (consumer.committed(tp) or 0)) for tp in tps)
    except KafkaError:
        return None
    finally:
        consumer.close(autocommit=False)


def same_as_replay(history: History, keys: tuple[bytes, bytes]) -> list[str]:
    """What differs between the topics and a replay of the same inputs, one sentence each."""
    partitions = history.partitions(REQUESTS)
    many = sum(row["records"] for row in history.index["topics"][REQUESTS].values()) > _MANY
    if not many:
        return [fault for partition in partitions for fault in _replay(history.directory, keys, partition)]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        done = [pool.submit(_replay, history.directory, keys, partition) for partition in partitions]
        return [fault for each in done for fault in each.result()]


def _replay(directory: Path, keys: tuple[bytes, bytes], partition: int) -> list[str]:
    """One partition, maybe in a process of its own."""
    history = load(directory)
    policy_file = Path(history.directory / "policy.yaml")
    policy = load_policy(policy_file.read_bytes()) if policy_file.exists() else None
    partitions = len(history.partitions(REQUESTS))
    requesters = frozenset(history.meta["requesters"])
    secrets = Secrets(Tokens(keys[0]), Sealer(keys[1]))
    faults = []
    settings = EngineSettings("", Path(), prefix=history.meta["prefix"], partitions=partitions)
    gates = Gates(settings, secrets, policy=policy)
    gates.learn(requesters)
    inputs = {
        kind: _records(history, kind, topic, partition if kind in ("consent", "outcome", "request") else 0)
        for kind, topic in _KINDS.items()
    }
    states: dict[bytes, bytes] = {}
    steps = []
    for record in history.records(CHANGELOG, partition):
        if record.key == META_KEY:
            steps.append(decode_meta(record.value or b""))
        elif record.key is not None and record.value is None:
            states.pop(record.key, None)
        elif record.key is not None and record.value is not None:
            states[record.key] = record.value
    again = replay(partition, inputs, steps, gates.make, gates.feed, SubjectCodec())
    told = [record.value for record in history.records(DECISIONS, partition)]
    made = [out.value for out in again.outs if out.kind == "decision"]
    if made != told:
        first = next((i for i, pair in enumerate(zip(made, told, strict=False)) if pair[0] != pair[1]), -1)
        faults.append(f"partition {partition}: {len(told)} decisions, {len(made)} replayed, first difference {first}")
    approvals = [topic for topic in history.topics() if topic.startswith(APPROVALS)]
    seen = sorted(record.value or b"" for topic in approvals for record in history.records(topic, partition))
    if sorted(out.value for out in again.outs if out.kind == "approval") != seen:
        faults.append(f"partition {partition}: approvals and recalls differ from the replay")
    if again.states != states:
        differ = sorted(k for k in {*states, *again.states} if states.get(k) != again.states.get(k))
        faults.append(f"partition {partition}: {len(differ)} of {len(states)} states differ from the replay")
    return faults


def _records(history: History, kind: str, topic: str, partition: int) -> list[Record]:
    return [
        Record(kind, partition, r.offset, r.timestamp_ms, r.key, r.value, headers=list(r.headers))
        for r in history.records(topic, partition)
    ]

"""The history of one chaos run on disk, written while it runs and read whole by the checker and the report.

    <directory>/
      meta.json          what the run was: seed, prefix, partitions, requesters, seal_key (hex), group, …
      policy.yaml        the policy in force (copied by the workload)
      workload.jsonl     journal of the sole producer, one line a batch (see `Recorder.invoke`)
      faults.jsonl       injected faults (see `Recorder.fault`)
      metrics.jsonl      samples for the plot (see `Recorder.metric`)
      counters.json      reachability counters that come from logs and metrics of workers (see `Recorder.counters`)
      topics/index.json  per topic and partition: begin, last_stable, end, records; and the group's committed offsets
      topics/<name>.<p>  read_committed dump of a partition (see `write_records`); names are without the prefix
      logs/*             worker and broker logs as they are

Instants: `mono_ns` is CLOCK_MONOTONIC of this machine (one clock for the producer and the injectors, compare freely),
`wall_ms` the machine's own wall clock, never a faked one. Imports nothing of contactgate. Never judges.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import msgspec

CONSENT, REQUESTS, OUTCOMES = "consent-events", "contact-requests", "contact-outcomes"
CONTROL, SUPPRESSIONS = "control-events", "address-suppressions"
INPUTS = (CONSENT, REQUESTS, OUTCOMES, CONTROL, SUPPRESSIONS)
DECISIONS, CHANGELOG, DEAD, APPROVALS = "contact-decisions", "subjects-changelog", "dead-letters", "approvals."
RELAY = "relay"
METRICS, ALERTS = "ops-metrics", "ops-alerts"

_LENGTH = 4


class Record(NamedTuple):
    """One record of a partition, as a read_committed reader got it."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def write_records(file: BinaryIO, records: Iterable[Record]) -> int:
    """Append records to a dump: a four-byte little-endian length and a msgpack array each. Returns how many."""
    count = 0
    for record in records:
        data = _encoder.encode(record)
        file.write(len(data).to_bytes(_LENGTH, "little") + data)
        count += 1
    return count


def read_records(path: Path) -> Iterator[Record]:
    """The records of a dump in order."""
    data = memoryview(path.read_bytes())
    at = 0
    while at < len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "little")
        yield _decoder.decode(data[at + _LENGTH : end])
        at = end


class Recorder:
    """Writes a history. Every line is flushed at once, so that a run that is killed leaves what it knew.

    One process may hold one for the whole run (workload and injectors together); a second process may open the same
    directory as well, for lines are appended whole.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "topics").mkdir(parents=True, exist_ok=True)
        (directory / "logs").mkdir(exist_ok=True)
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def meta(self, **facts: Any) -> None:
        """Merge facts into meta.json: seed, prefix, partitions, requesters, seal_key, group, …"""
        _merge(self.directory / "meta.json", facts)

    def counters(self, **found: int) -> None:
        """Add to counters.json: how often a situation was seen in logs, metrics or by an injector."""
        path = self.directory / "counters.json"
        before = json.loads(path.read_bytes()) if path.exists() else {}
        _merge(path, {name: before.get(name, 0) + count for name, count in found.items()})

    def invoke(self, batch: int, topic: str, partition: int, count: int, crc: int, **more: Any) -> None:
        """Before a batch is sent. `crc`: CRC-32 over all keys and values in order. `txn`: id of its transaction.

        Its end is exactly one line `ok` (with the first offset; all `count` follow it), `fail` (surely not appended)
        or `unknown` (a missing line is unknown, too). Records carry the header `hx`: `<batch>.<index in the batch>`.
        """
        self._line("workload.jsonl", {"op": "invoke", "batch": batch, "topic": topic, "partition": partition,
                                      "count": count, "crc": crc, **more})  # fmt: skip

    def ok(self, batch: int, offset: int) -> None:
        """The batch was acknowledged; `offset` of its first record. In a transaction: appended, not yet committed."""
        self._line("workload.jsonl", {"op": "ok", "batch": batch, "offset": offset})

    def fail(self, batch: int, why: str) -> None:
        """The batch was refused and surely is not in the log."""
        self._line("workload.jsonl", {"op": "fail", "batch": batch, "why": why})

    def unknown(self, batch: int, why: str) -> None:
        """The batch may or may not be in the log."""
        self._line("workload.jsonl", {"op": "unknown", "batch": batch, "why": why})

    def transaction(self, txn: str, state: str) -> None:
        """A transaction of the workload: `begin`, `commit` (asked), `committed`, `aborted`, `hanging`, `unknown`."""
        self._line("workload.jsonl", {"op": "txn", "txn": txn, "state": state})

    def fault(self, kind: str, target: str, phase: str, fault: str | int, **details: Any) -> None:
        """A fault: `kind` (worker.kill, worker.stop, broker.kill, …), `target` (worker-1, broker-2, …), `phase` begin,
        end or instant, `fault` the same for begin and end. worker.kill and worker.stop tell `partitions`: list of
        those the worker decided at that moment; the report measures recovery on these."""
        self._line("faults.jsonl", {"fault": fault, "kind": kind, "target": target, "phase": phase, **details})

    def metric(self, source: str, **values: Any) -> None:
        """A sample for the plot, of whatever the run measures (`lag`, `decided`, `rss_mb` …)."""
        self._line("metrics.jsonl", {"source": source, **values})

    def _line(self, name: str, values: dict[str, Any]) -> None:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = (self.directory / name).open("ab", buffering=0)
        values["mono_ns"] = time.monotonic_ns()
        values["wall_ms"] = time.time_ns() // 1_000_000
        file.write(msgspec.json.encode(values) + b"\n")


@dataclass(slots=True)
class History:
    """A run as it was recorded."""

    directory: Path
    meta: dict[str, Any]
    workload: list[dict[str, Any]]
    faults: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    counters: dict[str, int]
    index: dict[str, Any]
    _kept: dict[tuple[str, int], list[Record]] = field(default_factory=dict)

    @property
    def in_memory(self) -> bool:
        """Whether some of it is not on disk."""
        return bool(self._kept)

    def topics(self) -> list[str]:
        """Names of the dumped topics, without the prefix."""
        return sorted(self.index["topics"])

    def partitions(self, topic: str) -> list[int]:
        """Partitions of a topic."""
        return sorted(int(p) for p in self.index["topics"].get(topic, {}))

    def records(self, topic: str, partition: int) -> list[Record]:
        """The records of one partition. Not kept: ask again and it is read again."""
        if (topic, partition) in self._kept:
            return self._kept[topic, partition]
        path = self.directory / "topics" / f"{topic}.{partition}"
        return list(read_records(path)) if path.exists() else []

    def put(self, topic: str, partition: int, records: list[Record]) -> None:
        """Hold records in memory instead of the file (for hand-made histories)."""
        self._kept[topic, partition] = records
        self.index["topics"].setdefault(topic, {}).setdefault(str(partition), {})

    def logs(self) -> list[Path]:
        """Worker and broker logs."""
        return sorted(path for path in (self.directory / "logs").rglob("*") if path.is_file())


def load(directory: Path) -> History:
    """Read a history; files that are not there are empty."""
    return History(
        directory,
        _json(directory / "meta.json"),
        _lines(directory / "workload.jsonl"),
        _lines(directory / "faults.jsonl"),
        _lines(directory / "metrics.jsonl"),
        _json(directory / "counters.json"),
        _json(directory / "topics" / "index.json") or {"topics": {}, "committed": {}},
    )


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes()) if path.exists() else {}


def _lines(path: Path) -> list[dict[str, Any]]:
    decode = msgspec.json.Decoder().decode
    whole = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [decode(line) for line in whole if line.endswith(b"\n")]


def _merge(path: Path, facts: dict[str, Any]) -> None:
    before = json.loads(path.read_bytes()) if path.exists() else {}
    whole = path.with_suffix(".new")
    whole.write_text(json.dumps({**before, **facts}, indent=1, sort_keys=True), encoding="utf-8")
    whole.replace(path)

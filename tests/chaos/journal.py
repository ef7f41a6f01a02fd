"""What the sole producer knows: which batch was acknowledged when, and whether the log agrees. Part of the checker.

A record of a transaction counts as acknowledged when its commit was. Unknown batches may or may not be in the log.
Imports nothing of contactgate.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from tests.chaos.history import Record

NEVER_NS = 1 << 63


@dataclass(slots=True)
class Batch:
    """One batch as the producer saw it."""

    topic: str
    partition: int
    count: int
    crc: int
    txn: str
    invoke_ns: int
    state: str = "unknown"  # ok, fail, unknown
    offset: int = -1
    ack_ns: int = NEVER_NS  # when everybody could rely on it


class Journal:
    """The workload's journal, asked by batch and by instant."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.batches: dict[int, Batch] = {}
        self.transactions: dict[str, str] = {}
        self.seen: Counter[str] = Counter()
        committed: dict[str, int] = {}
        for line in lines:
            self._take(line, committed)
        acked: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
        for batch in self.batches.values():
            if batch.txn:
                batch.ack_ns = committed.get(batch.txn, NEVER_NS)
            if batch.state == "ok" and batch.ack_ns < NEVER_NS:
                acked[batch.topic, batch.partition].append((batch.ack_ns, batch.offset + batch.count))
        # For each partition: from when on which end of the log was acknowledged.
        self._acked: dict[tuple[str, int], tuple[list[int], list[int]]] = {}
        for place, ends in acked.items():
            ends.sort()
            highest, tops = 0, []
            for _, end in ends:
                highest = max(highest, end)
                tops.append(highest)
            self._acked[place] = [at for at, _ in ends], tops

    def _take(self, line: dict[str, Any], committed: dict[str, int]) -> None:
        kind = line["op"]
        if kind == "invoke":
            self.batches[line["batch"]] = Batch(
                line["topic"], line["partition"], line["count"], line["crc"], line.get("txn", ""), line["mono_ns"]
            )
        elif kind == "txn":
            self.transactions[line["txn"]] = line["state"]
            self.seen[f"txn.{line['state']}"] += 1
            if line["state"] == "committed":
                committed[line["txn"]] = line["mono_ns"]
        else:
            batch = self.batches[line["batch"]]
            batch.state = kind
            if kind == "ok":
                batch.offset, batch.ack_ns = line["offset"], line["mono_ns"]
            self.seen[f"batch.{kind}"] += 1

    def of(self, record: Record) -> tuple[int, int] | None:
        """Batch and place of a record, from its header."""
        for name, value in record.headers:
            if name == "hx":
                batch, _, place = value.partition(b".")
                return int(batch), int(place)
        return None

    def acknowledged(self, topic: str, partition: int, before_ns: int) -> int:
        """The offset below which the log of a partition was acknowledged (in part) before an instant."""
        found = self._acked.get((topic, partition))
        if found is None:
            return 0
        at = bisect_left(found[0], before_ns)
        return found[1][at - 1] if at else 0

    def compare(self, topic: str, partition: int, records: list[Record]) -> tuple[list[str], list[str]]:
        """What acknowledged batches lost, and what is in the log though nobody sent it (or was told it is not)."""
        lost, surplus = [], []
        found: dict[int, list[Record]] = defaultdict(list)
        for record in records:
            place = self.of(record)
            batch = None if place is None else self.batches.get(place[0])
            if place is None or batch is None or (batch.topic, batch.partition) != (topic, partition):
                surplus.append(f"{topic}/{partition}/{record.offset} was sent by nobody")
                continue
            if place[1] != len(found[place[0]]):
                surplus.append(f"{topic}/{partition}/{record.offset} is repeated or out of order")
            found[place[0]].append(record)
        for name, batch in self.batches.items():
            if (batch.topic, batch.partition) != (topic, partition):
                continue
            there = found.get(name, [])
            ended = self.transactions.get(batch.txn, "committed") if batch.txn else "committed"
            where = f"batch {name} of {topic}/{partition}"
            if batch.state == "ok" and ended == "committed":
                if len(there) != batch.count or there[0].offset != batch.offset or _crc(there) != batch.crc:
                    lost.append(f"{where} was acknowledged at offset {batch.offset} and is not there as it was sent")
            elif there and (batch.state == "fail" or ended == "aborted"):
                surplus.append(
                    f"{where} is there though it {'was refused' if batch.state == 'fail' else 'was aborted'}"
                )
            elif there and _crc(there) != batch.crc:
                surplus.append(f"{where} is there in part")
        return lost, surplus


def _crc(records: list[Record]) -> int:
    crc = 0
    for record in records:
        crc = zlib.crc32(record.value or b"", zlib.crc32(record.key or b"", crc))
    return crc

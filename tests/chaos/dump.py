"""Dumps every topic of a run into its history, as a read_committed reader sees them.

`asyncio.run(dump(bootstrap, prefix, directory, group="contactgate"))`: call it when all requests are decided or given
up, with the faults healed. Reads up to the high watermark as it was at the start; a hanging transaction makes it wait
until the broker aborts it, at most `deadline_s`. Must never produce or commit anything.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from tests.chaos.history import INPUTS, Record, write_records

_FETCH_BYTES = 8 << 20


async def dump(
    bootstrap: str, prefix: str, directory: Path, group: str = "contactgate", deadline_s: float = 120.0
) -> dict[str, Any]:
    """Write topics/ of the history in `directory`; returns what is in index.json."""
    common: dict[str, Any] = {
        "bootstrap_servers": bootstrap,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": _FETCH_BYTES,
        "fetch_max_bytes": 4 * _FETCH_BYTES,
        "check_crcs": True,
    }
    async with (
        AIOKafkaConsumer(isolation_level="read_committed", **common) as committed,
        AIOKafkaConsumer(isolation_level="read_uncommitted", **common) as uncommitted,
    ):
        known = await committed._client.fetch_all_metadata()
        names = sorted(t for t in known.topics() if t.startswith(prefix) and not t.startswith("__"))
        counts, positions = await _asked(bootstrap, group, prefix, names)
        index: dict[str, Any] = {"topics": {}, "committed": positions}
        tps = [TopicPartition(name, p) for name in names for p in range(counts[name])]
        begins, ends = await committed.beginning_offsets(tps), await uncommitted.end_offsets(tps)
        found = await _read(committed, tps, begins, ends, prefix, directory / "topics", deadline_s)
        for tp, stable in (await committed.end_offsets(tps)).items():
            index["topics"].setdefault(tp.topic.removeprefix(prefix), {})[str(tp.partition)] = {
                "begin": begins[tp], "end": ends[tp], "last_stable": stable, "records": found[tp],
            }  # fmt: skip
    path = directory / "topics" / "index.json"
    path.write_text(json.dumps(index, indent=1), encoding="utf-8")
    return index


async def _read(
    consumer: AIOKafkaConsumer,
    tps: list[TopicPartition],
    begins: dict[TopicPartition, int],
    ends: dict[TopicPartition, int],
    prefix: str,
    directory: Path,
    deadline_s: float,
) -> dict[TopicPartition, int]:
    """Every partition into its file; stops early, with what there is, when nothing comes for `deadline_s`."""
    counts = dict.fromkeys(tps, 0)
    left = {tp for tp in tps if begins[tp] < ends[tp]}
    with contextlib.ExitStack() as stack:
        files = {
            tp: stack.enter_context((directory / f"{tp.topic.removeprefix(prefix)}.{tp.partition}").open("wb"))
            for tp in tps
        }
        consumer.assign(sorted(left))
        for tp in left:
            consumer.seek(tp, begins[tp])
        deadline = time.monotonic() + deadline_s
        while left and time.monotonic() < deadline:
            for tp, found in (await consumer.getmany(*left, timeout_ms=200)).items():
                counts[tp] += write_records(files[tp], [_record(r) for r in found if r.offset < ends[tp]])
                deadline = time.monotonic() + deadline_s
            done = {tp for tp in left if await consumer.position(tp) >= ends[tp]}
            if done:
                consumer.pause(*done)
                left -= done
    return counts


def _record(found: Any) -> Record:
    return Record(found.offset, found.timestamp, found.key, found.value, tuple(found.headers))


async def _asked(
    bootstrap: str, group: str, prefix: str, names: list[str]
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """How many partitions each topic has, and the group's committed offsets of the input topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        counts = {found["topic"]: len(found["partitions"]) for found in await admin.describe_topics(names)}
        offsets = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    rows: dict[str, dict[str, int]] = {}
    for tp, meta in offsets.items():
        name = tp.topic.removeprefix(prefix)
        if name in INPUTS and meta.offset >= 0:
            rows.setdefault(name, {})[str(tp.partition)] = meta.offset
    return counts, rows

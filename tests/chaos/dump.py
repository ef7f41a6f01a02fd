"""Dumps every topic of a run into its history, as a read_committed reader sees them.

`asyncio.run(dump(bootstrap, prefix, directory, group="contactgate"))`: call it when all requests are decided or given
up, with the faults healed. Reads up to the high watermark as it was at the start; a hanging transaction makes it wait
until the broker aborts it, at most `deadline_s`. Must never produce or commit anything.
"""

from __future__ import annotations

import asyncio
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
        names = sorted(t for t in await committed.topics() if t.startswith(prefix) and not t.startswith("__"))
        index: dict[str, Any] = {"topics": {}, "committed": await _committed(bootstrap, group, prefix)}
        for name in names:
            tps = [TopicPartition(name, p) for p in sorted(committed.partitions_for_topic(name) or ())]
            begins, ends = await committed.beginning_offsets(tps), await uncommitted.end_offsets(tps)
            rows = index["topics"][name.removeprefix(prefix)] = {}
            for tp in tps:
                path = directory / "topics" / f"{tp.topic.removeprefix(prefix)}.{tp.partition}"
                count = await _partition(committed, tp, begins[tp], ends[tp], path, deadline_s)
                rows[str(tp.partition)] = {"begin": begins[tp], "end": ends[tp], "records": count}
            for tp, stable in (await committed.end_offsets(tps)).items():
                rows[str(tp.partition)]["last_stable"] = stable
    path = directory / "topics" / "index.json"
    path.write_text(json.dumps(index, indent=1), encoding="utf-8")
    return index


async def _partition(
    consumer: AIOKafkaConsumer, tp: TopicPartition, begin: int, end: int, path: Path, deadline_s: float
) -> int:
    """One partition into its file; stops early, with what there is, at the deadline."""
    count = 0
    with path.open("wb") as file:
        if begin >= end:
            return 0
        consumer.assign([tp])
        consumer.seek(tp, begin)
        deadline = time.monotonic() + deadline_s
        while (at := await consumer.position(tp)) < end and time.monotonic() < deadline:
            for found in (await consumer.getmany(tp, timeout_ms=200)).values():
                count += write_records(file, [_record(r) for r in found if r.offset < end])
                if found:
                    deadline = time.monotonic() + deadline_s
            with contextlib.suppress(KeyError):
                if await consumer.position(tp) == at:
                    await asyncio.sleep(0.05)
    return count


def _record(found: Any) -> Record:
    return Record(found.offset, found.timestamp, found.key, found.value, tuple(found.headers))


async def _committed(bootstrap: str, group: str, prefix: str) -> dict[str, dict[str, int]]:
    """The group's committed offsets of the input topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    rows: dict[str, dict[str, int]] = {}
    for tp, meta in offsets.items():
        name = tp.topic.removeprefix(prefix)
        if name in INPUTS and meta.offset >= 0:
            rows.setdefault(name, {})[str(tp.partition)] = meta.offset
    return rows

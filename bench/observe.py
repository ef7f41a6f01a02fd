"""What a run sees from outside: CPU and memory of a process tree, the size of a state, decisions once committed.

Linux only: everything about processes is read from /proc. Must never touch a process beyond reading about it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from contactgate.load.watching import Watcher

_TICKS = os.sysconf("SC_CLK_TCK")


class Seen(NamedTuple):
    """One committed decision and when a read_committed reader had it."""

    request_id: str
    verdict: str
    reasons: tuple[str, ...]
    seen_ns: int


class Reason(msgspec.Struct):
    """The rule that failed."""

    rule: str


class Decision(msgspec.Struct):
    """What all contenders' decisions have in common; the floor's have no verdict."""

    request_id: str
    verdict: str = ""
    reasons: list[Reason] = []


def tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in thread.read_text().split():
                yield from tree(int(child))


def cpu_s(pid: int) -> float:
    """User and system time that a process tree has used so far, ended and awaited children included."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:15])
    return total / _TICKS


def peak_bytes(pid: int) -> int:
    """The most memory that each process of a tree has held, added up."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1]) * 1024
    return total


def state_bytes(directory: Path) -> int:
    """Bytes of every RocksDB below a directory once it is compacted: data without what awaits its turn to be dropped.

    The owner must have closed them. Compacts them where they lie.
    """
    from rocksdict import Options, Rdict

    total = 0
    for current in list(directory.rglob("CURRENT")):
        home = current.parent
        names = Rdict.list_cf(str(home), Options(raw_mode=True))
        families = {name: Options(raw_mode=True) for name in names}
        db = Rdict(str(home), Options(raw_mode=True), column_families=families)
        for name in names:
            family = db.get_column_family(name)
            family.flush()
            family.compact_range(None, None)
        del family
        db.close()
        total += sum(path.stat().st_size for path in home.glob("*.sst"))
    return total


class Reader(Watcher[Seen]):
    """A read_committed consumer of one topic in a process of its own; counts what has come, tells it all at the end."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__(_read, bootstrap, topic)

    def wait(self, count: int, timeout_s: float, check: Callable[[], None]) -> bool:
        """Until that many have come; False when nothing came for `timeout_s`. Raises what `check` raises."""
        last, since = self.count, time.monotonic()
        while (now := self.count) < count:
            check()
            if now != last:
                last, since = now, time.monotonic()
            if time.monotonic() - since > timeout_s:
                return False
            time.sleep(0.01)
        return True


def _read(bootstrap: str, topic: str, count: Any, ready: Any, stop: Any, pipe: Any) -> None:
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "bench-reader", "enable.auto.commit": False,
        "isolation.level": "read_committed", "auto.offset.reset": "earliest",
    })  # fmt: skip
    partitions = consumer.list_topics(topic, 30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    consumer.poll(0)
    ready.set()
    values: list[tuple[bytes, int]] = []
    clock = time.time_ns
    while not stop.is_set():
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            values.append((message.value(), clock()))
            count.value = len(values)
    consumer.close()
    decode = msgspec.json.Decoder(Decision).decode
    seen = []
    for value, seen_ns in values:
        decision = decode(value)
        reasons = tuple(sorted({reason.rule for reason in decision.reasons}))
        seen.append(Seen(decision.request_id, decision.verdict, reasons, seen_ns))
    pipe.send(seen)

"""A foreign client's view of Kafka for tests: produce acknowledged records, consume committed ones, with deadlines.

kafka-python on purpose: the code under test uses another client. Must never be imported by the package.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

Message = tuple[bytes | None, bytes | None]


class Record(NamedTuple):
    """One consumed record."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


class Wire:
    """One producer and short-lived read_committed consumers; a context manager."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._producer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._producer is not None:
            self._producer.close(timeout=5)

    def produce(
        self, topic: str, messages: Iterable[Message], *, partition: int | None = None, timestamp_ms: int | None = None
    ) -> list[tuple[int, int]]:
        """Append (key, value) records, acknowledged by all in-sync replicas; their (partition, offset) in order."""
        if self._producer is None:
            self._producer = KafkaProducer(
                bootstrap_servers=self.bootstrap.split(","), acks="all", enable_idempotence=True, linger_ms=5
            )
        futures = [
            self._producer.send(topic, key=key, value=value, partition=partition, timestamp_ms=timestamp_ms)
            for key, value in messages
        ]
        self._producer.flush(timeout=90)
        sent = [future.get(timeout=90) for future in futures]
        return [(meta.partition, meta.offset) for meta in sent]

    def consume(
        self,
        topics: str | Sequence[str],
        *,
        count: int | None = None,
        until: Callable[[list[Record]], bool] | None = None,
        timeout_s: float = 90.0,
        committed: bool = True,
    ) -> list[Record]:
        """Committed records from the beginning, in partition order; what was aborted too if asked for.

        `count`: exactly that many, else AssertionError at the deadline. `until`: read on until it holds. Neither: up to
        the end the topics had when called.
        """
        names = [topics] if isinstance(topics, str) else list(topics)
        consumer: Any = KafkaConsumer(
            bootstrap_servers=self.bootstrap.split(","),
            isolation_level="read_committed" if committed else "read_uncommitted",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        try:
            partitions = [TopicPartition(n, p) for n in names for p in sorted(consumer.partitions_for_topic(n) or ())]
            assert partitions, f"no such topics: {names}"
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            records: list[Record] = []
            deadline = time.monotonic() + timeout_s
            while True:
                if count is not None and len(records) >= count:
                    break
                if until is not None and until(records):
                    break
                if count is None and until is None and all(consumer.position(tp) >= ends[tp] for tp in partitions):
                    break
                assert time.monotonic() < deadline, f"{len(records)} records of {names} after {timeout_s:g} s"
                for batch in consumer.poll(timeout_ms=100).values():
                    records += [
                        Record(
                            r.topic,
                            r.partition,
                            r.offset,
                            r.timestamp,
                            r.key,
                            r.value,
                            dict(r.headers or ()),
                        )
                        for r in batch
                    ]
        finally:
            consumer.close()
        if count is not None:
            assert len(records) == count, f"{len(records)} records of {names}, expected {count}"
        return sorted(records, key=lambda r: (r.topic, r.partition, r.offset))

    def read_by(self, group: str, topic: str) -> bool:
        """Whether the committed positions of a consumer group stand at the ends of a topic."""
        consumer: Any = KafkaConsumer(
            bootstrap_servers=self.bootstrap.split(","), group_id=group, enable_auto_commit=False
        )
        try:
            partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
            ends = consumer.end_offsets(partitions)
            return all(consumer.committed(tp) == ends[tp] for tp in partitions)
        finally:
            consumer.close()

"""One partition of a topic, read_committed, from its beginning to where it ended when it was opened; lazily.

For audits: a log of any length is read with a few batches in memory, and several partitions can be read side by side.
Never commits offsets, never follows a topic, and never changes anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from contactgate.client.connecting import connect, numbers_of
from contactgate.errors import BrokerError, BrokerUnavailable

_SILENCE_S = 60.0


class Found(NamedTuple):
    """One committed record."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class History:
    """Opens partitions of one cluster; a context manager that closes what it opened."""

    def __init__(self, bootstrap: str, client_config: dict[str, Any] | None = None) -> None:
        self._bootstrap = bootstrap
        self._config = client_config
        self._open: list[KafkaConsumer] = []
        self._idle: list[KafkaConsumer] = []  # of the open ones: connected, and reading nothing now

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        for consumer in self._open:
            consumer.close()
        self._open.clear()
        self._idle.clear()

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic. Raises BrokerError when there is none."""
        consumer = self._take()
        try:
            return numbers_of(consumer, topic)
        finally:
            self._idle.append(consumer)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset the partition still holds and the committed end."""
        consumer = self._take()
        try:
            return _bounds(consumer, topic, partition)
        finally:
            self._idle.append(consumer)

    def read(self, topic: str, partition: int, start: int | None = None, end: int | None = None) -> Iterator[Found]:
        """Committed records in [start, end) of a partition; by default all there are now.

        Raises BrokerError for a topic that does not exist, BrokerUnavailable when nothing arrives for a minute.
        """
        consumer = self._take()
        try:
            first, last = _bounds(consumer, topic, partition)
            place = TopicPartition(topic, partition)
            consumer.assign([place])
            consumer.seek(place, first if start is None else max(first, start))
            stop = last if end is None else min(last, end)
            heard = time.monotonic()
            while (position := consumer.position(place)) < stop:
                for batch in consumer.poll(timeout_ms=500).values():
                    for each in batch:
                        if each.offset >= stop:
                            return
                        yield Found(partition, each.offset, each.timestamp, each.key, each.value, each.headers)
                if consumer.position(place) > position:
                    heard = time.monotonic()
                elif time.monotonic() - heard > _SILENCE_S:
                    raise BrokerUnavailable(f"nothing of {topic}-{partition} arrived for {_SILENCE_S:g} s; try again")
        except KafkaError as error:
            raise BrokerError(f"{topic}-{partition} cannot be read ({type(error).__name__}); try again") from error
        finally:
            if consumer in self._open:
                consumer.unsubscribe()
                self._idle.append(consumer)

    def _take(self) -> Any:
        """A connected consumer: connecting costs more than a small read."""
        return self._idle.pop() if self._idle else self._connect()

    def _connect(self) -> Any:
        consumer = connect(self._bootstrap, self._config, fetch_max_wait_ms=100)
        self._open.append(consumer)
        return consumer


def _bounds(consumer: Any, topic: str, partition: int) -> tuple[int, int]:
    if partition not in numbers_of(consumer, topic):
        raise BrokerError(f"topic {topic} has no partition {partition}; `contactgate topics describe` lists them")
    place = TopicPartition(topic, partition)
    return int(consumer.beginning_offsets([place])[place]), int(consumer.end_offsets([place])[place])

"""Reading topics read_committed without a consumer group: whole topics up to their present end, or following them.

A reader here never commits offsets and never changes anything; what an aborted transaction wrote is never seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from kafka import TopicPartition

from contactgate.client.connecting import connect, numbers_of
from contactgate.errors import BrokerUnavailable


class Reading:
    """All partitions of some topics, read_committed."""

    def __init__(
        self,
        bootstrap: str,
        topics: list[str],
        *,
        from_beginning: bool,
        fetch_max_wait_ms: int = 200,
        client_config: dict[str, Any] | None = None,
    ) -> None:
        self._consumer = connect(bootstrap, client_config, fetch_max_wait_ms=fetch_max_wait_ms)
        self.partitions: list[TopicPartition] = []
        try:
            for topic in topics:
                self.partitions += [TopicPartition(topic, number) for number in numbers_of(self._consumer, topic)]
            self._consumer.assign(self.partitions)
            if from_beginning:
                self._consumer.seek_to_beginning(*self.partitions)
            else:
                self._consumer.seek_to_end(*self.partitions)
            for partition in self.partitions:
                self._consumer.position(partition)
        except BaseException:
            self._consumer.close()
            raise

    def poll(self, timeout_ms: int = 200) -> list[Any]:
        """The next records of all partitions, in order within each; empty when there are none in time."""
        batches = self._consumer.poll(timeout_ms=timeout_ms)
        return [record for batch in batches.values() for record in batch]

    def to_the_end(self, timeout_s: float = 60.0) -> Iterator[Any]:
        """Every committed record up to where the partitions end now. Raises BrokerUnavailable if that takes too long.

        An open transaction holds the end back: what it wrote is not there yet and is not waited for.
        """
        deadline = time.monotonic() + timeout_s
        ends = self._consumer.end_offsets(self.partitions)
        while any(self._consumer.position(partition) < ends[partition] for partition in self.partitions):
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"the topics could not be read to their end within {timeout_s:g} s")
            yield from self.poll()

    def ends(self) -> int:
        """The sum of the committed end offsets; it grows by the records appended and a few commit markers."""
        return sum(self._consumer.end_offsets(self.partitions).values())

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

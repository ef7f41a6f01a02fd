"""Reading topics read_committed without a consumer group: whole topics up to their present end, or following them.

A reader here never commits offsets and never changes anything; what an aborted transaction wrote is never seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from contactgate.client.headers import read_any_headers
from contactgate.errors import BrokerError, BrokerUnavailable


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
        read_any_headers()
        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap.split(","),
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=fetch_max_wait_ms,
                max_partition_fetch_bytes=4 * 1024 * 1024,
                max_poll_records=5_000,
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=15_000,
                **(client_config or {}),
            )
        except KafkaError as error:
            raise BrokerUnavailable(
                f"no broker answers at {bootstrap} ({type(error).__name__}); start one with `contactgate dev kafka up` "
                "or name yours with --bootstrap; of a protected one check security_protocol, sasl_* and tls_*"
            ) from error
        self.partitions: list[TopicPartition] = []
        try:
            for topic in topics:
                numbers = self._consumer.partitions_for_topic(topic)
                if not numbers:
                    raise BrokerError(f"there is no topic {topic}; `contactgate topics describe` lists what there is")
                self.partitions += [TopicPartition(topic, number) for number in sorted(numbers)]
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

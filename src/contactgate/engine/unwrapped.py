"""Records as aiokafka decodes them, without the ConsumerRecord that it then makes of each.

Making and freeing that object costs more than decoding the record, and all that it adds is the topic and partition,
which a consumer's caller has beside the records anyway. A consumer that is given `as_it_is` as its `value_deserializer`
gets what was decoded: `offset`, `timestamp`, `key`, `value`, `headers`. Every other consumer of the process gets what
it always got. Must never look into a record, leave one out or change where a consumer stands: that is aiokafka's.
"""

from __future__ import annotations

from typing import Any

import aiokafka.consumer.fetcher as kafka_fetcher


def as_it_is(value: bytes | None) -> bytes | None:
    """The value itself; told to a consumer, it stands for the whole record."""
    return value


class Unwrapped(kafka_fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """What was fetched of one partition, record after record."""

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        return record if self._value_deserializer is as_it_is else super()._consumer_record(tp, record)


def unwrap_records() -> None:
    """Make every aiokafka consumer of this process look for `as_it_is`."""
    kafka_fetcher.PartitionRecords = Unwrapped

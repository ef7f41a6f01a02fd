"""The three patches of aiokafka, each seen with aiokafka 0.14.0 and made for 0.14 (the bound is in pyproject.toml).

    AIOKafkaClient.bootstrap    `wait_for_brokers`: a broker that is just starting names no brokers. aiokafka takes
                                that for a cluster and retries after `metadata_max_age_ms`; until then every lookup
                                of a coordinator fails (aiokafka issues 460 and 551). Ours retries at once.
    fetcher.MemoryRecords       `read_any_headers`: aiokafka stops at a record with a header whose name is not UTF-8, so
                                that anybody who may write to an input could end every worker. Ours reads it.
    fetcher.PartitionRecords    `unwrap_records`: the ConsumerRecord that aiokafka makes of each record costs more than
                                decoding it. A consumer given `as_it_is` as its `value_deserializer` gets what was
                                decoded: offset, timestamp, key, value, headers.

Every other consumer of the process gets what it always got. Must never change offset, time, key or value of a record,
leave one out, or change how a client connects to a cluster that is up. tests/unit/engine/kafka/test_patches.py fails
when what they replace or rely on changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

import aiokafka.consumer.fetcher as kafka_fetcher
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import KafkaConnectionError
from aiokafka.record.default_records import (
    DefaultRecord,
    DefaultRecordBatch,
    _DefaultRecordBatchPy,
    _DefaultRecordPy,
)
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from contactgate.codec.rawrecord import read_record

_HEAD: Final = 12  # base offset, length of the rest
_PAUSE_S: Final = 0.2
_FIRST: Final = ("bootstrap", ConnectionGroup.DEFAULT)
_bootstrap: Final = AIOKafkaClient.bootstrap


# --- headers whose names are no text ----------------------------------------------------------------------------------


class _Batch:
    """A batch as aiokafka reads it, and as we do when it cannot."""

    def __init__(self, batch: DefaultRecordBatch, raw: bytes) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> DefaultRecord:  # of a control batch
        return next(self._batch)

    def __iter__(self) -> Iterator[DefaultRecord]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            # Those that were read before come again; the fetcher passes over what is below its position.
            yield from _records(self._raw)


class Records:
    """What stands in a fetch response for one partition: batch after batch."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._records = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        """Of all of it."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Whether there is another whole batch."""
        return bool(self._records.has_next())

    def next_batch(self) -> _Batch | None:
        """The next batch; None after the last."""
        batch = self._records.next_batch()
        start = self._at
        self._at = start + _HEAD + int.from_bytes(self._data[start + 8 : start + _HEAD], "big")
        return None if batch is None else _Batch(batch, self._data[start : self._at])


def _records(raw: bytes) -> Iterator[DefaultRecord]:
    """The records of one batch of message format 2, the only one that has headers."""
    batch = _DefaultRecordBatchPy(raw)
    batch._maybe_uncompress()
    buffer, at = bytes(batch._buffer), batch._pos
    appended = batch.timestamp_type == batch.LOG_APPEND_TIME
    for _ in range(batch._num_records):
        r, at = read_record(buffer, at)
        time_ms = batch.max_timestamp if appended else batch.first_timestamp + r.later_ms
        yield _DefaultRecordPy(batch.base_offset + r.number, time_ms, batch.timestamp_type, r.key, r.value, r.headers)


def read_any_headers() -> None:
    """Make every aiokafka consumer of this process read such batches."""
    kafka_fetcher.MemoryRecords = Records


# --- records without a ConsumerRecord ---------------------------------------------------------------------------------


def as_it_is(value: bytes | None) -> bytes | None:
    """The value itself; as a consumer's deserializer, it stands for the whole record."""
    return value


class Unwrapped(kafka_fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """What was fetched of one partition, record after record."""

    def _consumer_record(self, tp: TopicPartition, record: DefaultRecord) -> DefaultRecord | ConsumerRecord:
        return record if self._value_deserializer is as_it_is else super()._consumer_record(tp, record)


def unwrap_records() -> None:
    """Make every aiokafka consumer of this process look for `as_it_is`."""
    kafka_fetcher.PartitionRecords = Unwrapped


# --- brokers that are not known yet -----------------------------------------------------------------------------------


async def _until_brokers_are_known(client: AIOKafkaClient) -> None:
    """AIOKafkaClient.bootstrap. Raises KafkaConnectionError when no broker is known within the request timeout."""
    deadline = time.monotonic() + client._request_timeout_ms / 1000
    await _bootstrap(client)
    while not client.cluster.brokers():
        first = client._conns.pop(_FIRST, None)
        if first is not None:
            await first.close()
        if time.monotonic() > deadline:
            await client.close()
            raise KafkaConnectionError("the cluster names no brokers yet; try again when they have started")
        await asyncio.sleep(_PAUSE_S)
        await _bootstrap(client)


def wait_for_brokers() -> None:
    """Make every aiokafka client of this process wait, Faust's as well."""
    AIOKafkaClient.bootstrap = _until_brokers_are_known

"""Record batches whose headers have names that are no text: aiokafka stops at them, for ever; here they are read.

aiokafka raises in the middle of a partition, so that one such record, from anybody who may write to an input, would end
every worker that reads it. Headers mean nothing to us. A batch that cannot be decoded is read once more by
`codec.headers`. Must never change offset, time, key or value, and never touch a batch that aiokafka can read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiokafka.consumer.fetcher as kafka_fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords

from contactgate.codec.headers import read_record

_HEAD = 12  # base offset, length of the rest


class _Batch:
    """A batch as aiokafka reads it, and as we do when it cannot."""

    def __init__(self, batch: Any, raw: bytes) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # of a control batch
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
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

    def next_batch(self) -> Any:
        """The next batch; None after the last."""
        batch = self._records.next_batch()
        start = self._at
        self._at = start + _HEAD + int.from_bytes(self._data[start + 8 : start + _HEAD], "big")
        return None if batch is None else _Batch(batch, self._data[start : self._at])


def _records(raw: bytes) -> Iterator[Any]:
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

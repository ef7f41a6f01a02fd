"""Record batches whose headers have names that are no text: aiokafka stops at them, for ever; here they are read.

Kafka takes any bytes for a header's name. aiokafka decodes it as UTF-8 and raises in the middle of a partition, so that
one such record, from anybody who may write to an input, would end every worker that reads it. Headers mean nothing to
us. A batch that cannot be decoded is read once more, with names in which every byte that is no UTF-8 stands as `\\xNN`.
Must never change offset, time, key or value, and never touch a batch that aiokafka can read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiokafka.consumer.fetcher as kafka_fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

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
    for _ in range(batch._num_records):
        size, at = decode_varint(buffer, at)
        record, at = buffer[at : at + size], at + size
        yield _record(batch, record)


def _record(batch: Any, raw: bytes) -> Any:
    later, at = decode_varint(raw, 1)  # after the attributes, which are not used
    number, at = decode_varint(raw, at)
    key, at = _text(raw, at)
    value, at = _text(raw, at)
    count, at = decode_varint(raw, at)
    headers = []
    for _ in range(count):
        name, at = _text(raw, at)
        content, at = _text(raw, at)
        headers.append(((name or b"").decode("utf-8", "backslashreplace"), content))
    time_ms = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else batch.first_timestamp + later
    return _DefaultRecordPy(batch.base_offset + number, time_ms, batch.timestamp_type, key, value, headers)


def _text(raw: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = decode_varint(raw, at)
    return (None, at) if size < 0 else (raw[at : at + size], at + size)


def read_any_headers() -> None:
    """Make every aiokafka consumer of this process read such batches."""
    kafka_fetcher.MemoryRecords = Records

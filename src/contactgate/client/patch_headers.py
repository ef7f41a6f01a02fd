"""Records whose headers have names that are no text: kafka-python stops at them; here they are read.

Anyone who may write to a topic could otherwise keep everybody from listing, tailing or proving it. Such a record is
read again by `codec.rawrecord`. Seen with kafka-python 3.0.12 and made for 3.0 (the bound is in pyproject.toml;
tests/unit/engine/kafka/test_patches.py fails when what is replaced changes). Must never change offset, time, key or
value of any record.
"""

from __future__ import annotations

from typing import Any

import kafka.record.memory_records as kafka_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch

from contactgate.codec.rawrecord import read_record


class _AnyHeaders(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    __slots__ = ()

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            return self._read_again()

    def _read_again(self: Any) -> Any:
        r, self._pos = read_record(self._buffer, self._pos)
        appended = self.timestamp_type == self.LOG_APPEND_TIME
        time_ms = self.max_timestamp if appended else self.first_timestamp + r.later_ms
        return DefaultRecord(
            r.size, self.base_offset + r.number, time_ms, self.timestamp_type, r.key, r.value, r.headers
        )


def read_any_headers() -> None:
    """Make every kafka-python consumer of this process read such records."""
    kafka_records.DefaultRecordBatch = _AnyHeaders

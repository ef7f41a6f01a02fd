"""Records whose headers have names that are no text: kafka-python stops at them; here they are read.

Kafka takes any bytes for a header's name, and kafka-python decodes it as UTF-8. Whoever may write to a topic could so
keep everybody from listing, tailing or proving it. Such a record is read once more, with names in which every byte that
is no UTF-8 stands as `\\xNN`. Must never change offset, time, key or value of any record.
"""

from __future__ import annotations

from typing import Any

import kafka.record.memory_records as kafka_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint


class _AnyHeaders(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    __slots__ = ()

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            return self._read_again()

    def _read_again(self: Any) -> Any:
        size, start = decode_varint(self._buffer, self._pos)
        raw = bytes(self._buffer[start : start + size])
        self._pos = start + size
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
        appended = self.timestamp_type == self.LOG_APPEND_TIME
        time_ms = self.max_timestamp if appended else self.first_timestamp + later
        return DefaultRecord(size, self.base_offset + number, time_ms, self.timestamp_type, key, value, headers)


def _text(raw: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = decode_varint(raw, at)
    return (None, at) if size < 0 else (raw[at : at + size], at + size)


def read_any_headers() -> None:
    """Make every kafka-python consumer of this process read such records."""
    kafka_records.DefaultRecordBatch = _AnyHeaders

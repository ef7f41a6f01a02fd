"""A record of Kafka's message format 2, read although the names of its headers may be no text.

Kafka takes any bytes for a header's name, but its clients for Python decode it as UTF-8 and stop at what is none. Here
every byte of a name that is no UTF-8 stands as `\\xNN`. Must not know the clients: `client.patch_headers` and
`engine.kafka.patches` make their records of what is read here.

    record       length, attributes (one byte), ms since the batch's first, number since the batch's first, key, value,
                 how many headers there are, and a name and a value for each
    bytes        length n (-1 is null) and n bytes; all numbers are zigzag varints
"""

from __future__ import annotations

from typing import NamedTuple

Buffer = bytes | bytearray


class Record(NamedTuple):
    """One record; time and offset are relative to its batch."""

    size: int
    later_ms: int
    number: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def read_record(batch: Buffer, at: int) -> tuple[Record, int]:
    """The record that begins at a place of an uncompressed batch, and where the next one begins."""
    size, start = _varint(batch, at)
    raw = bytes(batch[start : start + size])
    later_ms, at = _varint(raw, 1)  # after the attributes, which are not used
    number, at = _varint(raw, at)
    key, at = _bytes(raw, at)
    value, at = _bytes(raw, at)
    count, at = _varint(raw, at)
    headers = []
    for _ in range(count):
        name, at = _bytes(raw, at)
        content, at = _bytes(raw, at)
        headers.append(((name or b"").decode("utf-8", "backslashreplace"), content))
    return Record(size, later_ms, number, key, value, headers), start + size


def _bytes(raw: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = _varint(raw, at)
    return (None, at) if size < 0 else (raw[at : at + size], at + size)


def _varint(raw: Buffer, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        byte = raw[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
    raise ValueError("a number of a record is longer than 64 bits; its batch is damaged")

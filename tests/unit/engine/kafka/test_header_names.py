"""Batches that aiokafka cannot decode because of a header's name are read all the same, and nothing else changes."""

from __future__ import annotations

from typing import Any

import kafka.record.memory_records as kafka_records
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import encode_varint

from contactgate.client.patch_headers import read_any_headers
from contactgate.codec.rawrecord import read_record
from contactgate.engine.kafka.patches import Records


class _Bytes(str):
    """A header's name that is no text."""

    __slots__ = ()

    def encode(self, *_: Any, **__: Any) -> bytes:
        return b"\xff\xfe"


def batch(first: int, records: list[tuple[bytes | None, bytes | None, list[Any]]], codec: int = 0) -> bytes:
    """A batch as a broker keeps it."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    for number, (key, value, headers) in enumerate(records):
        builder.append(number, 1_000 + number, key, value, headers)
    raw = bytearray(builder.build())
    raw[:8] = first.to_bytes(8, "big")  # the checksum begins after it
    return bytes(raw)


def unpacked(records: Any) -> list[tuple[Any, ...]]:
    """Everything of every record, as the fetcher walks."""
    found = []
    while records.has_next():
        each = records.next_batch()
        assert each.validate_crc()
        assert not each.is_control_batch
        found += [(r.offset, r.timestamp, r.timestamp_type, r.key, r.value, list(r.headers)) for r in each]
    return found


PLAIN = [(b"k", b"v", []), (None, b"", [("n", b"1"), ("ü", None)]), (b"", None, [])]


@pytest.mark.parametrize("codec", [0, 1])
def test_what_aiokafka_can_read_is_read_as_it_reads_it(codec: int) -> None:
    """Offsets, times, keys, values and headers of several batches, compressed or not."""
    data = batch(5, PLAIN, codec) + batch(100, PLAIN[:1], codec)
    assert unpacked(Records(data)) == unpacked(MemoryRecords(data))
    assert Records(data).size_in_bytes() == len(data)


@pytest.mark.parametrize("codec", [0, 1])
def test_a_name_that_is_no_text_stops_nothing(codec: int) -> None:
    """The record, those before and those after it are there; the name is given byte by byte."""
    bad = (b"b", b"w", [("x", b"0"), (_Bytes("?"), b"1"), ("y", None)])
    data = batch(5, [PLAIN[0], bad, PLAIN[1]], codec) + batch(100, PLAIN[:1], codec)
    with pytest.raises(UnicodeDecodeError):
        unpacked(MemoryRecords(data))
    found = unpacked(Records(data))
    records = {record[0]: record for record in found}
    assert list(records) == [5, 6, 7, 100]
    assert records[6][1:] == (1_001, 0, b"b", b"w", [("x", b"0"), ("\\xff\\xfe", b"1"), ("y", None)])
    assert records[7][1:] == (1_002, 0, None, b"", [("n", b"1"), ("ü", None)])


@pytest.mark.parametrize("codec", [0, 1])
def test_the_command_line_reads_it_too(codec: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """kafka-python, which the commands read topics with, gives the same records."""
    monkeypatch.setattr(kafka_records, "DefaultRecordBatch", kafka_records.DefaultRecordBatch)  # put back afterwards
    read_any_headers()
    bad = (b"b", b"w", [("x", b"0"), (_Bytes("?"), b"1"), ("y", None)])
    records = kafka_records.MemoryRecords(batch(5, [PLAIN[0], bad, PLAIN[1]], codec))
    found = []
    while records.has_next():
        found += [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in records.next_batch()]
    assert found == [
        (5, 1_000, b"k", b"v", []),
        (6, 1_001, b"b", b"w", [("x", b"0"), ("\\xff\\xfe", b"1"), ("y", None)]),
        (7, 1_002, None, b"", [("n", b"1"), ("ü", None)]),
    ]


def test_numbers_of_any_length_are_read_as_the_clients_read_them() -> None:
    """Lengths, offsets and times on both sides of every border between one byte and ten, null included."""
    for edge in (0, 1, 63, 64, 8_191, 8_192, 1 << 31, (1 << 63) - 1):
        for value in (edge, -edge):
            size, later, number = bytearray(), bytearray(), bytearray()
            encode_varint(value, later.append)
            encode_varint(-value, number.append)
            raw = b"\x00" + later + number + b"\x01" + b"\x01" + b"\x00"
            encode_varint(len(raw), size.append)
            read, end = read_record(b"before" + size + raw + b"after", 6)
            assert read == (len(raw), value, -value, None, None, [])
            assert end == 6 + len(size) + len(raw)


def test_a_number_that_never_ends_is_refused() -> None:
    """Eleven bytes are more than 64 bits: no batch that a broker accepted has them."""
    with pytest.raises(ValueError, match="longer than 64 bits"):
        read_record(b"\xff" * 11, 0)


def test_a_cut_batch_at_the_end_is_left_for_the_next_fetch() -> None:
    """Brokers cut a response where its size ends."""
    data = batch(5, PLAIN) + batch(8, PLAIN)[:-3]
    assert [record[0] for record in unpacked(Records(data))] == [5, 6, 7]


async def test_a_batch_with_a_wrong_checksum_is_never_read_as_something_else() -> None:
    """One changed bit in the log file: the reader refuses the batch, so that nothing behind it is decided."""
    data = bytearray(batch(5, PLAIN))
    data[-4] ^= 1
    place = TopicPartition("consent-events", 0)
    records = PartitionRecords(place, Records(bytes(data)), [], 5, None, None, True, READ_COMMITTED)
    with pytest.raises(CorruptRecordException):
        next(records)

"""Records without aiokafka's wrapper: the same records, and only for who asked."""

from __future__ import annotations

from typing import Any

import aiokafka.consumer.fetcher as kafka_fetcher
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.structs import ConsumerRecord
from kafka.record.default_records import DefaultRecordBatchBuilder

from contactgate.engine.kafka.patches import Records, Unwrapped, as_it_is, unwrap_records

PLACE = TopicPartition("subjects-changelog", 3)


def _batch(first: int, records: list[tuple[bytes | None, bytes | None]], *, producer: int = -1) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=producer >= 0, producer_id=producer, producer_epoch=0,
        base_sequence=0, batch_size=1 << 20,
    )  # fmt: skip
    for number, (key, value) in enumerate(records):
        builder.append(number, 1_000 + number, key, value, [("h", b"1")])
    raw = bytearray(builder.build())
    raw[:8] = first.to_bytes(8, "big")  # the checksum begins after it
    return bytes(raw)


def _opened(kind: Any, data: bytes, start: int, aborted: list[tuple[int, int]], deserializer: Any) -> Any:
    return kind(PLACE, Records(data), aborted, start, None, deserializer, True, READ_COMMITTED)


def _read(kind: Any, deserializer: Any) -> tuple[list[tuple[Any, ...]], int]:
    """Two batches from the middle of the first; between them an aborted transaction."""
    data = (
        _batch(5, [(b"a", b"1"), (b"b", None), (None, b"")])
        + _batch(20, [(b"c", b"gone")], producer=7)
        + _batch(30, [(b"d", b"4")])
    )
    records = _opened(kind, data, 6, [(7, 20)], deserializer)
    found = [(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in records]
    return found, records.next_fetch_offset


def test_what_is_read_is_what_aiokafka_reads() -> None:
    """Offsets, times, keys, values and headers, nothing aborted, nothing below the start, and where it stands after."""
    expected = _read(kafka_fetcher.PartitionRecords, None)
    assert [record[0] for record in expected[0]] == [6, 7, 30]
    assert _read(Unwrapped, as_it_is) == expected


def test_other_consumers_get_what_they_always_got() -> None:
    """Without `as_it_is` a record is aiokafka's, with its topic, and a deserializer of one's own is used."""
    record = next(_opened(Unwrapped, _batch(5, [(b"a", b"1")]), 5, [], lambda value: int(value)))
    assert isinstance(record, ConsumerRecord)
    assert (record.topic, record.partition, record.value) == ("subjects-changelog", 3, 1)
    assert not isinstance(next(_opened(Unwrapped, _batch(5, [(b"a", b"1")]), 5, [], as_it_is)), ConsumerRecord)


def test_it_is_used_from_the_first_consumer_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`unwrap_records` puts it where aiokafka's fetcher looks."""
    monkeypatch.setattr(kafka_fetcher, "PartitionRecords", kafka_fetcher.PartitionRecords)  # put back afterwards
    unwrap_records()
    assert kafka_fetcher.PartitionRecords is Unwrapped

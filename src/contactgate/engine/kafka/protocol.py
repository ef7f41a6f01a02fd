"""The requests of a Kafka transaction, and the barrier's, as bytes, and their answers: pure functions, no I/O.

Two ways to speak, by what the cluster has finalized:

    v1  every cluster: partitions and the group are added to the transaction by requests of their own
    v2  transaction.version 2 (KIP-890): producing and committing offsets add by themselves, and every end of a
        transaction gives the producer a new epoch

`Call` is what aiokafka's connection takes for a request. It must never show what a request carries: records are
personal data, and the connection logs requests at debug level.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

from contactgate.errors import BrokerError

Codes = list[tuple[str, int, int]]  # (topic, partition, error code)

PRODUCE, LIST_OFFSETS, API_VERSIONS, INIT_PRODUCER = 0, 2, 18, 22
ADD_PARTITIONS, ADD_OFFSETS, END, OFFSET_COMMIT = 24, 25, 26, 28

_i16, _i32, _i64 = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")
_producer = struct.Struct(">qh")
_NO_TAGS = b"\0"


class Producer(NamedTuple):
    """Whose transaction: the fixed name, and the identity that the coordinator gave for now."""

    name: str
    id: int
    epoch: int


class Stored(NamedTuple):
    """The answer for one partition: where a batch was put, or where the partition ends."""

    topic: str
    partition: int
    code: int
    offset: int


class _Raw:
    """Encoded bytes, as aiokafka's connection asks for them."""

    __slots__ = ("_data", "correlation_id")

    def __init__(self, data: bytes, correlation_id: int = 0) -> None:
        self._data = data
        self.correlation_id = correlation_id

    def encode(self) -> bytes:
        """The bytes."""
        return self._data


class Call:
    """One request in one version, and how its answer is read."""

    __slots__ = ("API_KEY", "API_VERSION", "_body", "_flexible", "_flexible_answer", "_read")

    def __init__(
        self,
        key: int,
        version: int,
        body: bytes,
        read: Callable[[Reader], Any],
        *,
        flexible: bool = False,
        flexible_answer: bool | None = None,
    ) -> None:
        self.API_KEY, self.API_VERSION = key, version
        self._body, self._read = body, read
        self._flexible = flexible
        self._flexible_answer = flexible if flexible_answer is None else flexible_answer

    def __repr__(self) -> str:
        return f"<request {self.API_KEY} version {self.API_VERSION}, {len(self._body)} bytes>"

    def prepare(self, versions: dict[int, tuple[int, int]]) -> Call:
        """Refuse what the broker does not speak; asked by the connection before it sends."""
        low, high = versions.get(self.API_KEY, (0, -1))
        if versions and not low <= self.API_VERSION <= high:
            raise BrokerError(
                f"this broker does not speak request {self.API_KEY} version {self.API_VERSION}; "
                "Kafka 3.7.1 or newer is needed"
            )
        return self

    def build_request_header(self, correlation_id: int, client_id: str) -> _Raw:
        """The header: API key, version, correlation and client id."""
        name = client_id.encode()
        head = struct.pack(">hhih", self.API_KEY, self.API_VERSION, correlation_id, len(name)) + name
        return _Raw(head + _NO_TAGS if self._flexible else head)

    def encode(self) -> bytes:
        """The body."""
        return self._body

    def parse_response_header(self, buffer: BytesIO) -> _Raw:
        """The answer's header: the correlation id."""
        (correlation_id,) = _i32.unpack(buffer.read(4))
        if self._flexible_answer:
            reader = Reader(buffer.getbuffer(), buffer.tell(), True)
            reader.tags()
            buffer.seek(reader.at)
        return _Raw(b"", correlation_id)

    @property
    def RESPONSE_TYPE(self) -> Call:  # noqa: N802 - aiokafka's name
        """What decodes the answer."""
        return self

    def decode(self, buffer: BytesIO) -> Any:
        """The answer."""
        return self._read(Reader(buffer.getbuffer(), buffer.tell(), self._flexible))


class Reader:
    """Reads Kafka's primitive types one after the other; `flexible` lengths are varints and structures end in tags."""

    __slots__ = ("_data", "at", "flexible")

    def __init__(self, data: memoryview, at: int, flexible: bool) -> None:
        self._data = data
        self.flexible = flexible
        self.at = at

    def _take(self, kind: struct.Struct) -> int:
        (value,) = kind.unpack_from(self._data, self.at)
        self.at += kind.size
        return int(value)

    def i16(self) -> int:
        """A 16-bit integer."""
        return self._take(_i16)

    def i32(self) -> int:
        """A 32-bit integer."""
        return self._take(_i32)

    def i64(self) -> int:
        """A 64-bit integer."""
        return self._take(_i64)

    def varint(self) -> int:
        """An unsigned variable-length integer."""
        value = shift = 0
        while True:
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> str:
        """A string; "" for null."""
        size = self.varint() - 1 if self.flexible else self.i16()
        if size <= 0:
            return ""
        start, self.at = self.at, self.at + size
        return bytes(self._data[start : self.at]).decode()

    def count(self) -> int:
        """An array's length."""
        return max(0, self.varint() - 1 if self.flexible else self.i32())

    def tags(self) -> dict[int, tuple[int, int]]:
        """Tagged fields as tag -> (start, end), stepped over; none in a version without them."""
        found: dict[int, tuple[int, int]] = {}
        if self.flexible:
            for _ in range(self.varint()):
                tag, size = self.varint(), self.varint()
                found[tag] = (self.at, self.at + size)
                self.at += size
        return found

    def part(self, start: int) -> Reader:
        """Another reader of the same bytes."""
        return Reader(self._data, start, self.flexible)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _text(value: str, flexible: bool) -> bytes:
    data = value.encode()
    return (_varint(len(data) + 1) if flexible else _i16.pack(len(data))) + data


def _count(number: int, flexible: bool) -> bytes:
    return _varint(number + 1) if flexible else _i32.pack(number)


# --- requests ---------------------------------------------------------------------------------------------------------


def api_versions(name: str, version: str) -> Call:
    """Ask for the finalized features -> their greatest levels by name."""
    body = _text(name, True) + _text(version, True) + _NO_TAGS
    return Call(API_VERSIONS, 3, body, _read_features, flexible=True, flexible_answer=False)


def _read_features(reader: Reader) -> dict[str, int]:
    code = reader.i16()
    if code:
        raise BrokerError(f"the broker refused to list its features (error {code}); Kafka 3.7.1 or newer is needed")
    for _ in range(reader.count()):
        reader.at += 6
        reader.tags()
    reader.i32()
    found: dict[str, int] = {}
    where = reader.tags().get(2)
    if where is not None:
        part = reader.part(where[0])
        for _ in range(part.count()):
            feature = part.text()
            found[feature] = part.i16()
            part.i16()
            part.tags()
    return found


def init_producer(name: str, timeout_ms: int) -> Call:
    """A new identity -> (error code, producer id, epoch)."""
    body = _text(name, False) + _i32.pack(timeout_ms)
    return Call(INIT_PRODUCER, 0, body, lambda r: (r.i32(), r.i16(), r.i64(), r.i16())[1:])


def add_partitions(who: Producer, topics: dict[str, list[int]]) -> Call:
    """v1: partitions join the transaction -> Codes."""
    parts = [_text(who.name, False), _producer.pack(who.id, who.epoch), _i32.pack(len(topics))]
    for topic, partitions in topics.items():
        parts += [_text(topic, False), struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)]
    return Call(ADD_PARTITIONS, 0, b"".join(parts), _read_codes)


def add_offsets(who: Producer, group: str) -> Call:
    """v1: the group joins the transaction -> error code."""
    body = _text(who.name, False) + _producer.pack(who.id, who.epoch) + _text(group, False)
    return Call(ADD_OFFSETS, 0, body, lambda r: (r.i32(), r.i16())[1])


def produce(
    who: Producer, topics: Mapping[str, Sequence[tuple[int, bytes | bytearray]]], timeout_ms: int, *, v2: bool
) -> Call:
    """One record batch for each partition named -> list of Stored."""
    tags = _NO_TAGS if v2 else b""
    parts: list[bytes | bytearray] = [
        _text(who.name, v2), struct.pack(">hi", -1, timeout_ms), _count(len(topics), v2)
    ]  # fmt: skip
    for topic, batches in topics.items():
        parts += [_text(topic, v2), _count(len(batches), v2)]
        for partition, records in batches:
            parts += [_i32.pack(partition), _count(len(records), v2), records, tags]
        parts.append(tags)
    parts.append(tags)
    body = b"".join(parts)
    return Call(PRODUCE, 12 if v2 else 7, body, _read_stored, flexible=v2)


def _read_stored(reader: Reader) -> list[Stored]:
    found = []
    for _ in range(reader.count()):
        topic = reader.text()
        for _ in range(reader.count()):
            found.append(Stored(topic, reader.i32(), reader.i16(), reader.i64()))
            reader.at += 16
            if reader.flexible:  # version 12 says more about each record that it refused
                for _ in range(reader.count()):
                    reader.i32()
                    reader.text()
                    reader.tags()
                reader.text()
            reader.tags()
        reader.tags()
    return found


def commit_offsets(who: Producer, group: str, offsets: Iterable[tuple[str, int, int]], *, v2: bool) -> Call:
    """Input positions as (topic, partition, offset) in the transaction -> Codes."""
    tags = _NO_TAGS if v2 else b""
    rows = list(offsets)
    parts = [_text(who.name, v2), _text(group, v2), _producer.pack(who.id, who.epoch)]
    if v2:
        parts += [_i32.pack(-1), _text("", True), b"\0"]  # no generation, no member, no instance
    parts.append(_count(len(rows), v2))
    for topic, partition, offset in rows:
        parts += [_text(topic, v2), _count(1, v2), struct.pack(">iq", partition, offset)]
        parts += [_i32.pack(-1) if v2 else b"", _text("", v2), tags, tags]
    parts.append(tags)
    return Call(OFFSET_COMMIT, 5 if v2 else 0, b"".join(parts), _read_codes, flexible=v2)


def _read_codes(reader: Reader) -> Codes:
    reader.i32()
    found = []
    for _ in range(reader.count()):
        topic = reader.text()
        for _ in range(reader.count()):
            found.append((topic, reader.i32(), reader.i16()))
            reader.tags()
        reader.tags()
    return found


def end(who: Producer, *, v2: bool) -> Call:
    """Commit -> (error code, the producer's identity from here on)."""
    body = _text(who.name, v2) + _producer.pack(who.id, who.epoch) + b"\1" + (_NO_TAGS if v2 else b"")
    if v2:
        return Call(
            END, 5, body, lambda r: ((r.i32(), r.i16())[1], Producer(who.name, r.i64(), r.i16())), flexible=True
        )
    return Call(END, 0, body, lambda r: ((r.i32(), r.i16())[1], who))


def high_watermarks(topics: dict[str, list[int]]) -> Call:
    """The ends of partitions, whatever open transactions hold -> list of Stored."""
    parts = [struct.pack(">ibi", -1, 0, len(topics))]
    for topic, partitions in topics.items():
        parts += [_text(topic, False), _i32.pack(len(partitions))]
        parts += [struct.pack(">iq", partition, -1) for partition in partitions]
    return Call(LIST_OFFSETS, 2, b"".join(parts), _read_offsets)


def _read_offsets(reader: Reader) -> list[Stored]:
    reader.i32()
    found = []
    for _ in range(reader.count()):
        topic = reader.text()
        for _ in range(reader.count()):
            partition, code = reader.i32(), reader.i16()
            reader.at += 8
            found.append(Stored(topic, partition, code, reader.i64()))
    return found

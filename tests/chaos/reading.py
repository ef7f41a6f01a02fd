"""The checker's own reading of input records: an event, a request, or why it must become a dead letter.

Written from docs/semantics.md and docs/dead-letters.md, for the message types that the workload sends. A restricting
message that cannot be read whole is read at its widest, too. Imports nothing of contactgate.
"""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from tests.chaos.history import CONTROL, SUPPRESSIONS, History, Record
from tests.chaos.rules import NEVER, World
from tests.chaos.verdict import Findings

_LARGEST = 65_536
_DAY_MS = 86_400_000
_EARLIEST_MS, _LATEST_MS = 946_684_800_000, 4_102_444_800_000
_FIELDS = {
    "consent.granted": ("event_id", "subject_id", "time", "controller", "purposes", "channels"),
    "consent.withdrawn": ("event_id", "subject_id", "time"),
    "subject.updated": ("event_id", "subject_id", "time"),
    "subject.erased": ("event_id", "subject_id", "time"),
    "complaint.received": ("event_id", "subject_id", "time"),
    "contact.requested": ("request_id", "subject_id", "time", "requester", "controller", "purpose", "channel"),
    "contact.outcome": ("event_id", "request_id", "subject_id", "time", "outcome"),
    "address.suppressed": ("event_id", "time"),
    "address.released": ("event_id", "time"),
    "pause.set": ("event_id", "time", "pause_id"),
    "pause.lifted": ("event_id", "time", "pause_id", "by"),
}
_KINDS = {
    "contact.requested": "request", "contact.outcome": "outcome", "address.suppressed": "suppression",
    "address.released": "suppression", "pause.set": "control", "pause.lifted": "control",
}  # fmt: skip
_RESTRICTS = ("consent.withdrawn", "subject.erased", "complaint.received")
_TYPE_WORDS = re.compile(rb'"type"\s*:\s*"(consent\.withdrawn|subject\.erased|complaint\.received)"')
_SUBJECTS = re.compile(rb'"subject_id"\s*:\s*"([^"\\]{1,128})"')
_decode = msgspec.json.Decoder().decode


class Fault(Exception):
    """Why a record is no message: a reason of the closed list."""


class Read(NamedTuple):
    """One input record. `reason` None: `message` is valid and `at_ms` its time; else `widest` is what still binds."""

    message: dict[str, Any]
    at_ms: int
    reason: str | None = None
    widest: tuple[tuple[str, dict[str, Any], int], ...] = ()  # (subject, message, time)


class _Ambiguous(ValueError):
    pass


def millis(text: Any) -> int | None:
    """An RFC 3339 instant with an offset in milliseconds; None when it is none."""
    if not isinstance(text, str) or len(text) < 20 or text[10] not in "Tt":
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if found.tzinfo is None else int(found.timestamp() // 1) * 1000 + found.microsecond // 1000


_seconds: dict[str, int] = {}


def instant(text: str) -> int:
    """The same for the one spelling that is written most: `2026-03-31T16:00:00.000Z`. Raises ValueError."""
    if len(text) == 24 and text[-1] == "Z" and text[19] == ".":
        second = _seconds.get(text[:19])
        if second is None:
            whole = millis(text[:19] + "Z")
            if whole is None:
                raise ValueError("not an instant")
            if len(_seconds) > 100_000:
                _seconds.clear()
            second = _seconds[text[:19]] = whole
        return second + int(text[20:23])
    found = millis(text)
    if found is None:
        raise ValueError("not an instant")
    return found


def plain(address: str) -> str:
    """The one form of all spellings of a telephone number with its country code, or of an e-mail address."""
    text = unicodedata.normalize("NFKC", address).strip()
    if "@" in text:
        return text.casefold().rstrip(".")
    digits = "".join(str(unicodedata.digit(char)) for char in text if char.isdigit())
    return "+" + (digits if "+" in text else digits.removeprefix("00"))


def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's default partitioner."""
    word, bits = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(key)
    end = len(key) & ~3
    for at in range(0, end, 4):
        k = int.from_bytes(key[at : at + 4], "little") * bits & word
        k = (k ^ (k >> 24)) * bits & word
        h = (h * bits & word) ^ k
    if end < len(key):
        h = (h ^ int.from_bytes(key[end:], "little")) * bits & word
    h = (h ^ (h >> 13)) * bits & word
    return ((h ^ (h >> 15)) & 0x7FFFFFFF) % partitions


class Reader:
    """Reads the records of one input partition."""

    def __init__(self, partition: int, partitions: int) -> None:
        self._partition = partition
        self._partitions = partitions
        self._right: set[bytes] = set()

    def read(self, kind: str, record: Record) -> Read:
        """What a record of consent, outcome or request means."""
        found: dict[str, Any] = {}
        try:
            found = _message(kind, record.value)
            self._check_key(record.key, found)
            at_ms = _time(found, record.timestamp_ms)
        except Fault as fault:
            reason = str(fault)
            return Read({}, 0, reason, _widest(record, reason))
        return Read(found, at_ms)

    def _check_key(self, key: bytes | None, found: dict[str, Any]) -> None:
        if not key:
            raise Fault("key.missing")
        if key != found["subject_id"].encode():
            raise Fault("key.mismatch")
        if key not in self._right:
            if not self.here(key):
                raise Fault("partition.wrong")
            self._right.add(key)

    def here(self, key: bytes) -> bool:
        """Whether this partition owns the key."""
        return partition_of(key, self._partitions) == self._partition


def read_world(kind: str, record: Record) -> Read:
    """What a record of control or suppression means."""
    if record.value is None:
        return Read({}, 0, "value.missing")
    try:
        found = _message(kind, record.value)
        return Read(found, _time(found, record.timestamp_ms))
    except Fault as fault:
        return Read({}, 0, str(fault))


def _message(kind: str, value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise Fault("value.missing")
    if len(value) > _LARGEST:
        raise Fault("message.too_large")
    found = _object(value)
    name = found.get("type")
    if not isinstance(name, str):
        raise Fault("type.missing")
    if name not in _FIELDS:
        about = any(isinstance(found.get(key), str) for key in ("subject_id", "address", "address_token"))
        raise Fault("type.unknown_subject" if about else "type.unknown")
    if _KINDS.get(name, "consent") != kind:
        raise Fault("type.wrong_topic")
    for field in _FIELDS[name]:
        given = found.get(field)
        if given is None:
            raise Fault("field.missing")
        if field == "time":
            try:
                instant(given)
            except (ValueError, TypeError):
                raise Fault("time.invalid") from None
        elif field not in ("purposes", "channels") and not (isinstance(given, str) and 0 < len(given) <= 128):
            raise Fault("field.invalid")
    if found.get("flags_removed") and not found.get("by"):
        raise Fault("field.missing")
    if isinstance(found.get("address"), str):
        found["spelled"], found["address"] = found["address"], plain(found["address"])
    return found


def _object(value: bytes) -> dict[str, Any]:
    try:
        found = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found = None
    if isinstance(found, dict) and value.count(b'":') == len(found):
        return found
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault("json.not_utf8") from None
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except _Ambiguous:
        raise Fault("json.duplicate_key") from None
    except (ValueError, RecursionError):
        raise Fault("json.malformed") from None
    if not isinstance(found, dict):
        raise Fault("json.not_an_object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _Ambiguous
    return dict(pairs)


def _time(found: dict[str, Any], timestamp_ms: int) -> int:
    at_ms = instant(found["time"])
    if not _EARLIEST_MS <= at_ms < _LATEST_MS or at_ms > timestamp_ms + _DAY_MS:
        raise Fault("time.absurd")
    return at_ms


# --- the widest reading -------------------------------------------------------------------------------------------


class _Pairs(list[tuple[str, Any]]):
    pass


def _widest(record: Record, reason: str) -> tuple[tuple[str, dict[str, Any], int], ...]:
    """What a refused restricting message binds: what can be read of it, everything where it cannot."""
    value = record.value or b""
    fields: dict[str, list[Any]] = {}
    ambiguous = False
    try:
        pairs = json.loads(value.decode("utf-8", "replace"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        pairs = None
    if isinstance(pairs, _Pairs):
        for name, given in pairs:
            fields.setdefault(name, []).append(given)
        ambiguous = any(len(given) > 1 for given in fields.values())
    else:
        ambiguous = True
        fields = {
            "type": [word.decode() for word in _TYPE_WORDS.findall(value)],
            "subject_id": [word.decode("utf-8", "replace") for word in _SUBJECTS.findall(value)],
        }
    types = {word.strip().lower() for word in fields.get("type", ()) if isinstance(word, str)}
    if not types.intersection(_RESTRICTS):
        return ()
    at_ms = None if ambiguous or reason.startswith("time.") else millis(fields.get("time", [None])[-1])
    if at_ms is None:
        at_ms = record.timestamp_ms
    plain = {} if ambiguous else {name: given[-1] for name, given in fields.items()}
    named = [None if record.key is None else record.key.decode("utf-8", "replace"), *fields.get("subject_id", ())]
    subjects = sorted({word for word in named if isinstance(word, str) and 0 < len(word) <= 128})
    kept = ("controller", "purposes", "channels", "channel", "recipients")
    scope = {name: plain[name] for name in kept if plain.get(name)}
    return tuple(
        (subject, {**scope, "type": name, "event_id": plain.get("event_id", f"widest-{record.offset}")}, at_ms)
        for subject in subjects
        for name in _RESTRICTS
        if name in types
    )


def read_worlds(history: History, found: Findings, skew_ms: int) -> World:
    """Pauses and suppressions at every position."""
    world = World(skew_ms)
    for topic, kind in ((CONTROL, "control"), (SUPPRESSIONS, "suppression")):
        for record in history.records(topic, 0):
            read = read_world(kind, record)
            if read.reason is not None:
                found.seen["unread_world_events"] += 1
                continue
            message = read.message
            if kind == "suppression":
                expires = message.get("expires_at")
                message["expires_ms"] = NEVER if expires is None else instant(expires)
            found.seen["pauses"] += message["type"] == "pause.set"
            found.seen["suppressions"] += message["type"] == "address.suppressed"
            world.change(record.offset, message, read.at_ms, record.timestamp_ms)
    return world

"""How a record that cannot be processed becomes a dead letter.

A dead letter holds the record whole: sealed with the operator's key when live, in clear offline. Its reason and detail
never hold input; its key is the record's only if that cannot be an address.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from contactgate.codec import emit
from contactgate.codec.seal import Sealed, Sealer
from contactgate.core.vocabulary import Unknown
from contactgate.errors import MalformedMessage
from contactgate.model.instants import DAY_MS, stamp
from contactgate.model.log import NO_HEADERS, Out, Record
from contactgate.model.messages import DeadLetter
from contactgate.model.synonyms import shown
from contactgate.names import Kind

EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01
LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01
AHEAD_MS: Final = DAY_MS
SEALED_BYTES: Final = 2_097_152
"""The largest key and value a dead letter holds, twice what fits into a record that is not compressed. Of a larger one
it holds the SHA-256. Sealed and twice in base64 this much takes 3.6 MiB of the 8 MiB that the topic allows."""


class DeadLetters:
    """Builds dead letters: sealed when a sealer is given, in clear (offline) otherwise."""

    def __init__(self, source: str | None, sealer: Sealer | None) -> None:
        self._events = emit.CloudEvents(source) if source else None
        self._sealer = sealer

    def letter(self, rec: Record, fault: MalformedMessage, *, restricts: bool = False) -> Out:
        """One dead letter for one record; `restricts`: it binds all the same, at its widest reading."""
        if self._sealer is None:
            value = emit.dead(DeadLetter(fault.reason, fault.detail, rec.kind, original=_original(rec.value, fault)))
        else:
            place = f"{rec.kind}/{rec.partition}/{rec.offset}"
            # INVARIANT (a letter fits): Kafka limits what a batch takes compressed, so a value may be of any size.
            large = len(rec.key or b"") + len(rec.value or b"") > SEALED_BYTES
            value = emit.dead(
                DeadLetter(
                    reason=fault.reason,
                    detail=fault.detail,
                    topic=rec.kind,
                    partition=rec.partition,
                    offset=rec.offset,
                    time=stamp(max(rec.timestamp_ms, 0)),
                    sealed=None if large else self._sealer.seal(place, Sealed(rec.key, rec.value, [])),
                    sha256=sha256(rec.value or b"").hexdigest() if large else None,
                )
            )
        name = f"{rec.kind}-{rec.partition}-{rec.offset}"
        return Out(
            Kind.DEAD,
            None,
            _plain_key(rec.key),
            value,
            self._events.headers("dead.letter", name, max(rec.timestamp_ms, 0)) if self._events else NO_HEADERS,
            fault.reason,
            restricts,
        )


def _plain_key(key: bytes | None) -> bytes | None:
    """The original key, unless it could be an address."""
    if key is None:
        return None
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError:
        return None
    digits = sum(char.isdigit() for char in text)
    if "@" in text or text.startswith("+") or (digits >= 7 and digits * 2 > len(text) and "-" not in text[1:-1]):
        return None
    return key if 0 < len(text) <= 128 and text.isprintable() else None


def _original(value: bytes | None, fault: MalformedMessage) -> msgspec.Raw | str | None:
    """The message in clear: as JSON when it is an object that can be read one way only, else as text."""
    if value is None:
        return None
    if not fault.reason.startswith(("json.", "message.")):
        return msgspec.Raw(value.strip())
    return value.decode("utf-8", "backslashreplace")


def check_time(at_ms: int, timestamp_ms: int) -> None:
    """Refuse an event time before 2000, after 2099, or more than 24 h ahead of the record. Raises MalformedMessage."""
    if at_ms < EARLIEST_MS or at_ms >= LATEST_MS:
        raise MalformedMessage("time.absurd", "`time` is before 2000 or after 2099", "time")
    if at_ms > timestamp_ms + AHEAD_MS:
        raise MalformedMessage("time.absurd", "`time` is more than 24 hours after the record was appended", "time")


def ours(error: Exception) -> MalformedMessage:
    """A fault of ours as the reason of a dead letter; its text may hold input and is left out."""
    return MalformedMessage("processing.failed", f"a fault of ours: {type(error).__name__}")


def unknown_word(unknown: Unknown) -> MalformedMessage:
    """The news of a word that nobody knows; the record was applied all the same (SEMANTICS rules 38 and 39)."""
    return MalformedMessage(
        "scope.unknown_word", f"`{unknown.field}` names {shown(unknown.word)}, which nobody knows", unknown.field
    )

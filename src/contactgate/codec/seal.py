"""Sealed dead letters: AES-256-GCM under the operator's key, so that a topic full of bad input holds no clear address.

Layout of a seal, base64: 12 bytes nonce, ciphertext, 16 bytes tag; the associated data is `topic/partition/offset`, so
a seal cannot be moved to another record. The nonce is a keyed hash of position and plaintext: sealing the same record
again (after a crash) gives the same bytes, and a nonce is never used for two different inputs. Never decides what is
sealed.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import blake2b
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contactgate.errors import MalformedMessage

KEY_BYTES: Final = 32


class Sealed(msgspec.Struct):
    """What a seal holds: the record as it was, in base64 because it may be any bytes."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Sealer:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        """`key` is exactly 32 secret bytes. Raises ValueError otherwise."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"the dead letter key must have exactly {KEY_BYTES} bytes; make one with 32 random bytes")
        self._cipher = AESGCM(blake2b(key, digest_size=32, person=b"seal").digest())
        self._nonce = blake2b(key=key, digest_size=12, person=b"nonce")

    def seal(self, place: str, record: Sealed) -> str:
        """Seal a record found at `place` (`topic/partition/offset`)."""
        plain = msgspec.json.encode(record)
        where = place.encode()
        state = self._nonce.copy()
        state.update(b"%d:%b" % (len(where), where) + plain)
        nonce = state.digest()
        return b64encode(nonce + self._cipher.encrypt(nonce, plain, where)).decode("ascii")

    def open(self, place: str, sealed: str) -> Sealed:
        """The record again. Raises MalformedMessage for another key, another place or changed bytes."""
        try:
            raw = b64decode(sealed, validate=True)
            return msgspec.json.decode(self._cipher.decrypt(raw[:12], raw[12:], place.encode()), type=Sealed)
        except (InvalidTag, ValueError, msgspec.MsgspecError):
            raise MalformedMessage("seal.broken", "wrong key, wrong place, or the seal was changed") from None


def sealed_fields(letter: dict[str, Any]) -> tuple[str, str]:
    """Place and seal of a dead letter as published. Raises MalformedMessage when it has none."""
    try:
        return f"{letter['topic']}/{letter['partition']}/{letter['offset']}", str(letter["sealed"])
    except KeyError as missing:
        raise MalformedMessage("seal.broken", f"the dead letter has no {missing}") from None

"""Sealed handles: what stands for an approval on a dialer's topic, so that an outcome proves what it is about.

A handle holds subject, request, requester, partition and decision time under deterministic authenticated encryption
(AES-SIV, RFC 5297, of the library `cryptography`) with a key derived from the token key: its holder can show it and
learn nothing from it, nobody else can make one, and the same approval has the same handle whenever it is made again.

    text       `ap.` and URL-safe base64 without padding of the sealed bytes
    sealed     16 bytes of tag (SIV), then as many bytes as the payload has
    payload    msgpack [subject_id, request_id, requester, partition, decided_ms]

Must never let an exception of the library out, and never tell why a handle does not open.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import b2a_base64
from hashlib import blake2b
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from contactgate.codec.tokens import Tokens

PREFIX: Final = "ap."
MAX_TEXT: Final = 2_400
"""Longer than the handle of the longest identifiers: three of 128 characters of four bytes, in base64."""
_DOMAIN: Final = [b"contactgate approval 1"]
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class Handle(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """What a handle says: one approval."""

    subject_id: str
    request_id: str
    requester: str
    partition: int
    decided_ms: int


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Handle).decode


def _text(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).rstrip(b"=").translate(_URL_SAFE).decode("ascii")


class Handles:
    """Makes and opens handles; holds the key."""

    def __init__(self, tokens: Tokens) -> None:
        self._siv = AESSIV(tokens.secret(b"approval handle"))
        self._reference = blake2b(key=tokens.secret(b"approval ref"), digest_size=16, person=b"approval ref")

    def seal(self, handle: Handle) -> str:
        """The text of a handle; the same for the same approval."""
        return PREFIX + _text(self._siv.encrypt(_encode(handle), _DOMAIN))

    def open(self, text: str) -> Handle | None:
        """What a handle says; None for anything that this key did not seal."""
        if not text.startswith(PREFIX) or len(text) > MAX_TEXT:
            return None
        body = text[len(PREFIX) :]
        try:
            raw = urlsafe_b64decode(body + "=" * (-len(body) % 4))
            # Bits and characters that base64 leaves over could be changed unseen: one approval has one text.
            return _decode(self._siv.decrypt(raw, _DOMAIN)) if _text(raw) == body else None
        except (InvalidTag, ValueError, msgspec.MsgspecError):
            return None

    def reference(self, text: str) -> str:
        """What stands for a handle where the handle itself must not: `ar-` and 32 hex digits, keyed."""
        state = self._reference.copy()
        state.update(text.encode())
        return "ar-" + state.hexdigest()

"""The origin of a carried record, sealed into one header of it, so that nobody can forge an origin or an arrival.

    cg-origin   AES-SIV (RFC 5297) over msgpack [kind, partition, offset, index, arrived_ms, target]; the kind of the
                input it is appended to, its key and its value are authenticated with it, so a header that was copied to
                another record opens nothing
    cg-target   on the relay's own topic only: the kind of the input to append to

The key is derived from the token key. Must never let an exception of the library out.
"""

from __future__ import annotations

from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from contactgate.codec.tokens import Tokens
from contactgate.model.log import Headers, Origin

ORIGIN: Final = "cg-origin"
TARGET: Final = "cg-target"
_MOST_BYTES: Final = 256
_DOMAIN: Final = b"contactgate origin 1"
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Origin).decode


class Origins:
    """Seals and opens origins."""

    def __init__(self, tokens: Tokens) -> None:
        self._siv = AESSIV(tokens.secret(b"origin"))

    def seal(self, origin: Origin, kind: str, key: bytes, value: bytes) -> bytes:
        """The header of a record that is appended to an input of this kind; the same for the same origin."""
        return self._siv.encrypt(_encode(origin), [_DOMAIN, kind.encode(), key, value])

    def open(self, headers: Headers, kind: str, key: bytes | None, value: bytes | None) -> Origin | None:
        """The origin of a record read from an input of this kind; None when it has none that we made for it."""
        sealed = next((content for name, content in headers if name == ORIGIN), None)
        if not sealed or len(sealed) > _MOST_BYTES or key is None or value is None:
            return None
        try:
            return _decode(self._siv.decrypt(sealed, [_DOMAIN, kind.encode(), key, value]))
        except (InvalidTag, ValueError, msgspec.MsgspecError):
            return None

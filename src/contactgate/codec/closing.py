"""Suppressions and releases that are written for one person: their names and their bytes (SEMANTICS rule 43).

Names are keyed digests of the person and the event, so that the same event always writes the same record and nobody
can tell from it whose it is. Must never hold a subject_id or a clear address.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from contactgate.codec.tokens import Tokens
from contactgate.core.closing import Opening
from contactgate.model.facts import Closure
from contactgate.model.instants import stamp

_encode: Final = msgspec.json.Encoder().encode


class Closing:
    """Writes for one installation."""

    def __init__(self, tokens: Tokens) -> None:
        self._key = tokens.secret(b"closing")

    def _name(self, head: str, *parts: str) -> str:
        text = b"".join(b"%d:%b" % (len(part.encode()), part.encode()) for part in (head, *parts))
        return f"{head}-{blake2b(text, key=self._key, digest_size=16).hexdigest()}"

    def event_id(self, subject_id: str, one: Closure) -> str:
        """The event_id of the suppression of a closure."""
        return self._name("closed", subject_id, one.address, one.controller, one.channel, one.event_id)

    def suppression(self, subject_id: str, one: Closure) -> bytes:
        """The `address.suppressed` of a closure."""
        return _encode(
            {
                "type": "address.suppressed",
                "event_id": self.event_id(subject_id, one),
                "time": stamp(one.time_ms),
                "address_token": one.address,
                "channels": [one.channel],
                "controller": one.controller,
                "purposes": one.purposes,
                "reason": "complaint" if one.complained else "unsubscribed",
                "origin": self._name("person", subject_id),
            }
        )

    def release(self, subject_id: str, one: Opening) -> bytes:
        """The `address.released` of what a consent opens."""
        events = [self.event_id(subject_id, each) for each in one.closures]
        return _encode(
            {
                "type": "address.released",
                "event_id": self._name("opened", subject_id, one.address, one.event_id, *events),
                "time": stamp(one.time_ms),
                "address_token": one.address,
                "events": events,
                "reason": "the person consented again",
            }
        )

"""Dead letters as an independent reader opens them: whole, sealed for their own place, once each. Part of the checker.

The seal is opened as docs/dead-letters.md and the operator's key allow: AES-256-GCM, 12 bytes nonce first, the place as
associated data, the key derived with BLAKE2b. Imports nothing of contactgate.
"""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import blake2b
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.chaos.history import DEAD, History, Record
from tests.chaos.verdict import Findings

_FIELDS = {"type", "reason", "detail", "topic", "partition", "offset", "time", "sealed"}


class Letters:
    """The letters of some input partitions (None: all), taken one by one for the records that must have one."""

    def __init__(self, history: History, found: Findings, partition: int | None = None) -> None:
        self._found = found
        self._cipher = AESGCM(blake2b(bytes.fromhex(history.meta["seal_key"]), digest_size=32, person=b"seal").digest())
        self._known: dict[tuple[str, int, int], dict[str, Any]] = {}
        for each in history.partitions(DEAD):
            for record in history.records(DEAD, each):
                self._index(record, partition)

    def _index(self, record: Record, partition: int | None) -> None:
        letter = json.loads(record.value or b"{}")
        if set(letter) != _FIELDS or letter["type"] != "dead.letter":
            self._found.bad("I8", f"dead letter at {record.offset} has the fields {sorted(letter)}")
            return
        if partition is not None and letter["partition"] != partition:
            return
        place = (letter["topic"], letter["partition"], letter["offset"])
        if place in self._known:
            self._found.bad("I6", f"{'/'.join(map(str, place))} has two dead letters")
        self._known[place] = letter

    def take(self, kind: str, partition: int, record: Record) -> str | None:
        """The reason of the letter of a record, whose contents are compared; None when there is none."""
        place = (kind, partition, record.offset)
        letter = self._known.pop(place, None)
        if letter is None:
            return None
        name = "/".join(map(str, place))
        self._found.seen["dead_letters"] += 1
        self._found.looked["I8"] += 1
        try:
            raw = b64decode(letter["sealed"], validate=True)
            plain = json.loads(self._cipher.decrypt(raw[:12], raw[12:], name.encode()))
        except (InvalidTag, ValueError):
            self._found.bad("I8", f"the dead letter of {name} cannot be opened")
            return str(letter["reason"])
        key, value = (None if plain[each] is None else b64decode(plain[each]) for each in ("key", "value"))
        if (key, value) != (record.key, record.value):
            self._found.bad("I8", f"the dead letter of {name} does not hold its bytes")
        return str(letter["reason"])

    def rest(self, kinds: tuple[str, ...]) -> list[str]:
        """Places of letters of these kinds that no record was found for."""
        return ["/".join(map(str, place)) for place in self._known if place[0] in kinds]

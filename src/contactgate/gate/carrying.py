"""Which partition owns a key, and the records that are to be carried to another one through the relay.

INVARIANT (carried once): a record that the relay brought is never given to it again; where it comes from is sealed into
it, so a producer can neither stop a record of its own from being carried nor date it back.
Must never decide what a record means.
"""

from __future__ import annotations

from typing import Final

from contactgate.codec import widest
from contactgate.codec.origins import ORIGIN, TARGET, Origins
from contactgate.codec.strict import MAX_BYTES
from contactgate.codec.tokens import Tokens
from contactgate.model.alerts import AlertKind
from contactgate.model.log import Headers, Origin, Out, Record, murmur2
from contactgate.names import Kind

_BROADCAST: Final = frozenset({Kind.CONTROL, Kind.SUPPRESSION})
_KNOWN: Final = 131_072
_HEADER_BYTES: Final = 262_144
"""Of the headers of a record, what is carried at most: with them it has to fit into what the topic takes."""


class Carrier:
    """Of one partition among `partitions`; None: there is only this one, which owns everything."""

    def __init__(self, tokens: Tokens, partition: int, partitions: int | None) -> None:
        self._origins = Origins(tokens)
        self._partition = partition
        self._partitions = partitions
        self._here: set[bytes] = set()

    @property
    def carries(self) -> bool:
        """Whether there is another partition that a record could be carried to."""
        return self._partitions is not None

    def here(self, key: bytes) -> bool:
        """Whether this partition owns the key."""
        if self._partitions is None or key in self._here:
            return True
        if murmur2(key) % self._partitions != self._partition:
            return False
        if len(self._here) >= _KNOWN:
            self._here.clear()
        self._here.add(key)
        return True

    def origin(self, rec: Record) -> Origin | None:
        """Where a record comes from, if the relay appended it."""
        return self._origins.open(rec.headers, rec.kind, rec.key, rec.value)

    def misrouted(self, rec: Record) -> Out:
        """The same record, to be appended to the partition that owns its key."""
        return self.out(rec, rec.kind, rec.key or b"", rec.value or b"", reason=AlertKind.INPUT_MISROUTED)

    def named(self, rec: Record, subject: bytes, index: int) -> Out:
        """A record that names a subject of another partition, to be appended there under that key."""
        value = rec.value or b""
        return self.out(rec, rec.kind, subject, value if len(value) <= MAX_BYTES else _words(value), index)

    def out(self, rec: Record, kind: Kind, key: bytes, value: bytes, index: int = 0, *, reason: str = "") -> Out:
        """A record for the relay, which appends it to an input of this `kind`.

        `rec` is where it comes from; `index` numbers what comes from the same record; `reason`: the alert it is worth.
        """
        target = 0 if kind in _BROADCAST else murmur2(key) % (self._partitions or 1)
        origin = Origin(rec.kind, rec.partition, rec.offset, index, rec.arrived_ms, target)
        own = [(TARGET, kind.encode()), (ORIGIN, self._origins.seal(origin, kind, key, value))]
        return Out(Kind.RELAY, kind, key, value, [*own, *_kept(rec.headers)], reason)


def _kept(headers: Headers) -> Headers:
    """The headers of the record itself; none when they are too large to go on."""
    kept = [(name, content) for name, content in headers if name not in {ORIGIN, TARGET}]
    size = sum(len(name.encode()) + len(content or b"") + 16 for name, content in kept)
    return kept if size <= _HEADER_BYTES else []


def _words(value: bytes) -> bytes:
    """What the widest reading finds in a message that is too large to be read whole, as a text of the same reading."""
    loose = widest.loosely(value)
    outcomes = " ".join(f'outcome="{word}"' for word in sorted(widest.outcomes(loose)))
    return " ".join([*sorted(widest.types(loose)), outcomes, *widest.flags(loose)]).encode()

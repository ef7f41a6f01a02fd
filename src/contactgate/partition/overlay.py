"""The subject states one partition works on: changes of the running batch over a bounded cache over the store.

The cache keeps a state with its bytes, so that what did not change is not encoded again. A batch whose transaction
fails leaves nothing behind: its changes live in `changed` until `adopt`, and the whole overlay is thrown away with the
task's run. It never writes the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic

from contactgate.model.log import State
from contactgate.partition.ports import StateCodec

GetMany = Callable[[list[bytes]], list[bytes | None]]


class Overlay(Generic[State]):
    """States by subject. The cache holds two generations of `limit` / 2 entries; a hit moves to the young one."""

    def __init__(self, get_many: GetMany, codec: StateCodec[State], limit: int) -> None:
        self._get_many = get_many
        self._codec = codec
        self._half = max(1, limit // 2)
        self._young: dict[bytes, tuple[State, bytes | None]] = {}
        self._old: dict[bytes, tuple[State, bytes | None]] = {}
        self._encoded: dict[bytes, tuple[State, bytes | None]] = {}
        self.changed: dict[bytes, State] = {}

    def get(self, subject: bytes) -> State:
        """The state as of now in this batch; the codec's empty state for an unknown subject."""
        state = self.changed.get(subject)
        if state is not None:
            return state
        cached = self._young.get(subject)
        if cached is None:
            self.prefetch((subject,))
            cached = self._young[subject]
        return cached[0]

    def put(self, subject: bytes, state: State) -> None:
        """Change a state within this batch."""
        self.changed[subject] = state

    def prefetch(self, subjects: Iterable[bytes | None]) -> None:
        """Bring states into the cache with one read of the store."""
        young, old = self._young, self._old
        if len(young) >= self._half:
            self._old = old = young
            self._young = young = {}
        missing: list[bytes] = []
        for subject in dict.fromkeys(subjects):
            if subject is None or subject in young:
                continue
            cached = old.get(subject)
            if cached is None:
                missing.append(subject)
            else:
                young[subject] = cached
        if missing:
            decode, empty = self._codec.decode, self._codec.empty
            for subject, data in zip(missing, self._get_many(missing), strict=True):
                young[subject] = (empty if data is None else decode(data), data)

    def encode(self, now_ms: int) -> list[tuple[bytes, bytes | None]]:
        """Every changed state as bytes."""
        young, encode, encoded = self._young, self._codec.encode, self._encoded
        for subject, state in self.changed.items():
            before, known = young.get(subject, (None, None))
            encoded[subject] = (state, encode(state, now_ms, before, known))
        return [(subject, data) for subject, (_, data) in encoded.items()]

    def adopt(self) -> None:
        """The batch is committed: its changes are what the store now holds."""
        self._young.update(self._encoded)
        self.changed, self._encoded = {}, {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

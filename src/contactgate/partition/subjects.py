"""The codec of real subject states, as the partition's fold asks for it (`ports.StateCodec`).

The only module of this package that knows what a state is.
"""

from __future__ import annotations

from collections.abc import Iterable

from contactgate.codec import state as layout
from contactgate.core.review import open_until
from contactgate.model.facts import EMPTY, SubjectState, is_empty


class SubjectCodec:
    """ports.StateCodec of real subject states."""

    empty = EMPTY

    def encode(
        self, state: SubjectState, now_ms: int, before: SubjectState | None = None, known: bytes | None = None
    ) -> bytes | None:
        """The layout's bytes; None for a subject of whom nothing is known."""
        return None if is_empty(state) else layout.encode(state, open_until(state, now_ms), before, known)

    def decode(self, data: bytes) -> SubjectState:
        """Of `encode`. Raises StoreCorrupt."""
        return layout.decode(data)

    def addresses(self, state: SubjectState) -> Iterable[str]:
        """The address tokens of this subject's contacts."""
        return [contact.address for contact in state.contacts if contact.address is not None]

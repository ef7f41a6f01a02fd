"""Do-not-call lists given inline in a control event, and deltas on any list: small, in memory, keyed by address token.

Holds tokens only; large snapshots are files (`contactgate.registry`). Never reads anything.
"""

from __future__ import annotations

from contactgate.codec.tokens import Tokens
from contactgate.model.address import AddressError
from contactgate.model.control import RegistryPublished
from contactgate.model.world import Listing


class InlineListing:
    """Tokens and their day of listing, over an older list when this is a delta."""

    __slots__ = ("_base", "_listed", "_removed")

    def __init__(self, listed: dict[str, int], removed: frozenset[str], base: Listing | None) -> None:
        self._listed = listed
        self._removed = removed
        self._base = base

    def since(self, token: str) -> int | None:
        """Ordinal of the day of listing (0 when none was given); None when not listed."""
        found = self._listed.get(token)
        if found is not None or self._base is None or token in self._removed:
            return found
        return self._base.since(token)


def listing(message: RegistryPublished, tokens: Tokens, base: Listing | None) -> tuple[InlineListing, int]:
    """The list that an event's entries make of `base`, and how many of its addresses could not be read."""
    listed: dict[str, int] = {}
    unreadable = 0
    for entry in message.entries or ():
        try:
            for token in tokens.suppressed(entry.address, None):
                listed[token] = entry.since or 0
        except AddressError:
            unreadable += 1
    removed: set[str] = set()
    for address in message.removed or ():
        try:
            removed.update(tokens.suppressed(address, None))
        except AddressError:
            unreadable += 1
    # Listed and removed at once stays listed: the restricting reading.
    return InlineListing(listed, frozenset(removed), base), unreadable

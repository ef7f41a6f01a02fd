"""Do-not-call lists in memory: what a version is made of, and what binds beside it, keyed by address token.

A version in force is a stack of layers, the newest on top: a list from an event or a file, and the deltas on it. What
was published and is not in force (SEMANTICS rules 55 and 56) binds in addition, until a whole list that was taken as
late or later is in force. Holds tokens only; large lists are files (`contactgate.registry`). Never reads anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from contactgate.codec.tokens import Tokens
from contactgate.model.address import AddressError, normalise
from contactgate.model.control import UNREAD_DAY, RegistryEntry, RegistryPublished
from contactgate.model.forms import other_forms
from contactgate.model.world import Listing

BYTES: Final = 64 << 20
"""What one registry may take in memory, beside its files: about 260,000 numbers."""
FILES: Final = 32
"""How many files one registry may be made of: the list, its deltas, and lists that bind in addition."""
PLACES: Final = 16
"""How many places of unreadable entries are told."""
_ENTRY_BYTES: Final = 256  # a token, its day and its place in a table, measured as 230


def entry_tokens(tokens: Tokens, address: str, region: str | None = None) -> tuple[str, ...]:
    """Every token that an entry of a list binds: of a number, or of a mailbox, and then of its other written forms.

    A number without `+` is read in `region`, the policy's. Raises AddressError.
    """
    channel = "email" if "@" in address else "voice"
    plain = normalise(channel, address, region)
    return tuple(tokens.address(channel, form) for form in (plain, *other_forms(plain)))


class Overlay:
    """Listed and removed tokens, over whatever lies below."""

    __slots__ = ("listed", "removed")

    def __init__(self, listed: Mapping[str, int], removed: frozenset[str] = frozenset()) -> None:
        self.listed = listed
        self.removed = removed

    def __len__(self) -> int:
        return len(self.listed) + len(self.removed)

    def since(self, token: str) -> int | None:
        """Ordinal of the day of listing (0 when none was given); None when not listed here."""
        return self.listed.get(token)

    def over(self, below: Overlay) -> Overlay:
        """Both as one."""
        kept = {token: day for token, day in below.listed.items() if token not in self.removed}
        return Overlay({**kept, **self.listed}, (below.removed | self.removed) - self.listed.keys())


class Beside(NamedTuple):
    """A listing by a version that is not in force."""

    since: int
    as_of_ms: int
    version: str


class BesideFile(NamedTuple):
    """All listings of a file by a version that is not in force."""

    listing: Listing
    as_of_ms: int
    version: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A registry: the version in force and what binds beside it. Satisfies `model.world.Listing`."""

    layers: tuple[Listing, ...] = ()  # of the version in force, the newest first
    numbers: int = 0  # different addresses in it; never too few
    beside: Mapping[str, Beside] = field(default_factory=dict)
    files: tuple[BesideFile, ...] = ()  # beside it as well

    def since(self, token: str) -> int | None:
        """Ordinal of the day of listing (0 when none was given); None when not listed. Of several, the earliest."""
        found = self.in_force(token)
        if not self.beside and not self.files:
            return found
        days = [] if found is None else [found]
        if (other := self.beside.get(token)) is not None:
            days.append(other.since)
        days += [day for file in self.files if (day := file.listing.since(token)) is not None]
        return min(days, default=None)

    def in_force(self, token: str) -> int | None:
        """The same, asking the version in force alone."""
        for layer in self.layers:
            found = layer.since(token)
            if found is not None:
                return found
            if type(layer) is Overlay and token in layer.removed:
                return None
        return None

    def fits(self) -> bool:
        """Whether it stays within what one registry may take."""
        overlays = [layer for layer in self.layers if isinstance(layer, Overlay)]
        held = _ENTRY_BYTES * (len(self.beside) + sum(map(len, overlays)))
        return held <= BYTES and len(self.layers) - len(overlays) + len(self.files) <= FILES


def stacked(layer: Overlay, below: tuple[Listing, ...]) -> tuple[Listing, ...]:
    """The layer on top of others; small ones are made one, so that many deltas stay few layers."""
    while below and isinstance(below[0], Overlay) and len(below[0]) <= 2 * len(layer):
        layer, below = layer.over(below[0]), below[1:]
    return (layer, *below)


class Entries(NamedTuple):
    """What could be read of the entries of one event."""

    listed: dict[str, int]  # by token, the earliest day given; 0 = none
    numbers: frozenset[tuple[str, ...]]  # the tokens of each address
    removed: frozenset[tuple[str, ...]]
    unreadable: int
    places: tuple[str, ...]  # of the first unreadable ones

    @property
    def removed_tokens(self) -> frozenset[str]:
        """What the event takes off the list. Listed and removed at once stays listed: the restricting reading."""
        return frozenset(token for found in self.removed for token in found) - self.listed.keys()


def read(message: RegistryPublished, tokens: Tokens, region: str | None = None) -> Entries:
    """What an event itself lists and removes."""
    listed, numbers, bad = _listed(message.entries or (), tokens, region)
    places = [f"entries[{at}]" for at in bad[:PLACES]]
    removed: set[tuple[str, ...]] = set()
    unreadable = len(bad)
    for at, address in enumerate(message.removed or ()):
        try:
            removed.add(entry_tokens(tokens, address, region))
        except AddressError:
            unreadable += 1
            places.append(f"removed[{at}]")
    return Entries(listed, numbers, frozenset(removed), unreadable, tuple(places[:PLACES]))


def listings(entries: Iterable[RegistryEntry], tokens: Tokens, region: str | None = None) -> dict[str, int]:
    """The tokens of whatever can be read of some entries, with the earliest day given (0 = none)."""
    return _listed(entries, tokens, region)[0]


def _listed(
    entries: Iterable[RegistryEntry], tokens: Tokens, region: str | None
) -> tuple[dict[str, int], frozenset[tuple[str, ...]], list[int]]:
    listed: dict[str, int] = {}
    numbers: set[tuple[str, ...]] = set()
    bad = []
    for at, entry in enumerate(entries):
        if entry.since == UNREAD_DAY:
            bad.append(at)
        try:
            found = entry_tokens(tokens, entry.address, region)
        except AddressError:
            if entry.since != UNREAD_DAY:
                bad.append(at)
            continue
        numbers.add(found)
        # A day that cannot be read counts as none, which binds at once.
        day = max(entry.since or 0, 0)
        for token in found:
            listed[token] = min(day, listed.get(token, day))
    return listed, frozenset(numbers), bad

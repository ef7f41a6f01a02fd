"""What a published do-not-call list makes of a registry: in force whole, or beside the version before (rules 55, 56).

A list of which something cannot be read, that has lost more than half of its entries without saying so, or that
applies to another version than the one in force, is not in force: what it lists binds in addition to the version
before, which keeps its own age and so goes stale; what it removes stays. Everything follows from the events in their
order and the files that they name. Never opens a file and never looks at a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from contactgate.codec.listing import Beside, BesideFile, Entries, Listed, Overlay, read, stacked
from contactgate.codec.tokens import Tokens
from contactgate.errors import MalformedMessage
from contactgate.model.control import RegistryPublished
from contactgate.model.world import Listing, Opened, RegistryVersion


class Published(NamedTuple):
    """What came of one event: the registry from now on (None: as it was), and what was wrong with it."""

    registry: RegistryVersion | None
    fault: MalformedMessage | None = None


def closed(before: RegistryVersion | None, message: RegistryPublished) -> RegistryVersion | None:
    """The registry after a list that cannot be had here: a newer one exists, so nothing may pass until it is known."""
    if before is not None and before.as_of_ms > message.as_of:
        return None
    before = before or _nothing(message.registry)
    return msgspec.structs.replace(before, closed=True)


def publish(
    before: RegistryVersion | None,
    message: RegistryPublished,
    tokens: Tokens,
    opened: Opened | None,
    region: str | None = None,
) -> Published:
    """The registry after an event; `opened` is the file that it points to, if it points to one."""
    found = read(message, tokens, region)
    current = before or _nothing(message.registry)
    if message.kind == "snapshot" and current.as_of_ms > message.as_of:
        return Published(None, _unreadable(message, found, opened))  # a list that was taken later is in force
    held = _held(current)
    fault = _base_unknown(message, current) if message.kind == "delta" else None
    if fault is not None and _applied(message, current, held, found):
        return Published(None)
    fault = (
        fault or _unreadable(message, found, opened) or _differs(opened) or _shrinks(message, current, found, opened)
    )
    if fault is not None:
        after = beside(before, message.registry, message.version, message.as_of, found.listed, opened)
        if opened is not None and opened.differs:
            after = msgspec.structs.replace(after, closed=True)
        return Published(after, fault)
    after = _in_force(current, message, found, opened)
    if not _held(after).fits():
        return Published(msgspec.structs.replace(current, closed=True), _too_large())
    return Published(after)


def beside(
    before: RegistryVersion | None,
    registry: str,
    version: str,
    as_of_ms: int,
    listed: Mapping[str, int],
    opened: Opened | None = None,
) -> RegistryVersion:
    """The registry with more listings beside the version in force; closed once they are more than it may hold."""
    current = before or _nothing(registry)
    held = _held(current)
    more = dict(held.beside)
    for token, day in listed.items():
        old = more.get(token)
        if old is None:
            more[token] = Beside(day, as_of_ms, version)
        else:
            later = max(old[1:], (as_of_ms, version))
            more[token] = Beside(min(day, old.since), *later)
    files = held.files
    if opened is not None and opened.numbers:
        files = (*(f for f in files if f[1:] != (as_of_ms, version)), BesideFile(opened.listing, as_of_ms, version))
    after = Listed(held.layers, held.numbers, more, files)
    if not after.fits():
        return msgspec.structs.replace(current, closed=True)
    return msgspec.structs.replace(current, listing=after)


def _nothing(registry: str) -> RegistryVersion:
    return RegistryVersion(registry, "", 0, Listed(), closed=True)


def _held(version: RegistryVersion) -> Listed:
    listing = version.listing
    return listing if isinstance(listing, Listed) else Listed((listing,))


def _in_force(
    current: RegistryVersion, message: RegistryPublished, found: Entries, opened: Opened | None
) -> RegistryVersion:
    """The registry with this version in force, whole."""
    held = _held(current)
    delta = message.kind == "delta"
    layers: tuple[Listing, ...] = held.layers if delta else ()
    numbers = held.numbers if delta else 0
    if message.source is None or found.removed:
        layers = stacked(Overlay(found.listed, found.removed_tokens), layers)
        numbers += len([each for each in found.numbers if not (delta and _listed(held, each))])
        numbers -= _gone(held, found)
    if opened is not None:
        layers = (opened.listing, *layers)
        numbers += opened.numbers  # too many if some were listed before: a list is then rather found to shrink

    def stays(as_of_ms: int, version: str) -> bool:
        return version != message.version and (delta or as_of_ms > message.as_of)

    kept = {token: other for token, other in held.beside.items() if stays(*other[1:])}
    files = tuple(file for file in held.files if stays(*file[1:]))
    return RegistryVersion(
        message.registry,
        message.version,
        message.as_of,
        Listed(layers, numbers, kept, files),
        closed=delta and current.closed,
    )


def _listed(held: Listed, number: tuple[str, ...]) -> bool:
    return any(held.in_force(token) is not None for token in number)


def _gone(held: Listed, found: Entries) -> int:
    """How many numbers the event takes off the list."""
    return len([each for each in found.removed - found.numbers if _listed(held, each)])


def _applied(message: RegistryPublished, current: RegistryVersion, held: Listed, found: Entries) -> bool:
    """Whether this is the delta in force, told again."""
    return (
        (message.version, message.as_of) == (current.version, current.as_of_ms)
        and message.source is None
        and not found.unreadable
        and all(held.in_force(token) is not None for token in found.listed)
        and not any(_listed(held, each) for each in found.removed - found.numbers)
    )


def _base_unknown(message: RegistryPublished, current: RegistryVersion) -> MalformedMessage | None:
    if not current.version or current.version != message.base:
        words = "publish the snapshot or the deltas in between first; what it adds binds all the same"
        return MalformedMessage("registry.base_unknown", words)
    if message.as_of < current.as_of_ms:
        return MalformedMessage("registry.base_unknown", "`as_of` is before that of the version it applies to")
    return None


def _unreadable(message: RegistryPublished, found: Entries, opened: Opened | None) -> MalformedMessage | None:
    unreadable = found.unreadable + (opened.unreadable if opened else 0)
    read_at_all = len(found.numbers) + len(found.removed) + (opened.numbers if opened else 0)
    if not unreadable or (unreadable <= message.unreadable and read_at_all):
        return None
    lines = [f"line {line}" for line in opened.lines] if opened else []
    told = ", ".join([*found.places, *lines])
    more = ", …" if unreadable > len(found.places) + len(lines) else ""
    if not read_at_all:
        return MalformedMessage("registry.unreadable", f"nothing of it can be read ({told}{more}); is it another file?")
    words = f"{unreadable} of {unreadable + read_at_all} ({told}{more}); correct them, or accept them with `unreadable`"
    return MalformedMessage("registry.unreadable", words)


def _differs(opened: Opened | None) -> MalformedMessage | None:
    return MalformedMessage("registry.source_unavailable", opened.differs) if opened and opened.differs else None


def _shrinks(
    message: RegistryPublished, current: RegistryVersion, found: Entries, opened: Opened | None
) -> MalformedMessage | None:
    held = _held(current)
    if message.shrinks or not current.version:
        return None
    if message.kind == "delta":
        gone = _gone(held, found)
        if 2 * gone <= held.numbers:
            return None
        return MalformedMessage("registry.shrinks", f"removes {gone} of {held.numbers}; say `shrinks` if it is meant")
    numbers = len(found.numbers) + (opened.numbers if opened else 0)
    if 2 * numbers >= held.numbers:
        return None
    return MalformedMessage("registry.shrinks", f"{numbers} after {held.numbers}; say `shrinks` if it is meant")


def _too_large() -> MalformedMessage:
    words = "its lists and deltas take too much memory; publish a snapshot in a file"
    return MalformedMessage("registry.too_large", words)

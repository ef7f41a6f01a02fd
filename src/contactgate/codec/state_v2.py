"""The second layout of subject states, which is only read: what was written with it is rewritten when it changes.

    byte 0       version of the layout, 2
    bytes 1-6    open_until_ms, big-endian
    bytes 7-     msgpack array of five byte strings, empty if there is nothing: profile, grants, withdrawals, contacts,
                 seen. Each is msgpack again: the profile an array, the others an array (of 32 bit length) of facts.

As `codec.state`, but it does not hold when facts arrived, nor what a request asked for beyond what its approval needs;
and it holds the first decision on every request (`seen`), which is not read. Must never change: bytes of this layout
decode forever.
"""

from __future__ import annotations

from typing import Any, Final

from contactgate.codec.packing import OUTCOMES, address, identifier, shared, unpack, unpack_spans
from contactgate.codec.profile import NOBODY, read_profile
from contactgate.codec.state_v1 import as_asked
from contactgate.model.facts import EMPTY, FOREVER_MS, Contact, Grant, Profile, SubjectState, Withdrawal

VERSION: Final = 2
_HEADER_BYTES: Final = 7


def decode(raw: bytes) -> SubjectState:
    """The state behind the bytes; damaged bytes raise whatever they do."""
    profile, grants, withdrawals, contacts, seen = unpack(memoryview(raw)[_HEADER_BYTES:])
    if not (profile or grants or withdrawals or contacts or seen):
        return EMPTY
    return SubjectState(
        _profile(unpack(profile)) if profile else NOBODY,
        _grants(unpack(grants)) if grants else (),
        _withdrawals(unpack(withdrawals)) if withdrawals else (),
        _contacts(unpack(contacts)) if contacts else (),
    )


def _profile(row: list[Any]) -> Profile:
    base, facts, *others = row
    return read_profile(base, facts, others)


def _contacts(rows: list[list[Any]]) -> tuple[Contact, ...]:
    found: list[Contact] = []
    parts: list[tuple[Any, ...]] = []
    base = 0
    for time, name, valid, outcome, reported, shape, place, matters, *more in rows:
        time += base
        if not found:
            base = time
        part = parts[-shape] if type(shape) is int else shared(shape)
        parts.append(part)
        (
            recalled, channel, purpose, controller, requester, campaign, categories, jurisdictions, complaint, mode,
            matters_told, of_event, zones,
        ) = part if len(part) == 13 else (*part, ())  # fmt: skip
        text = name if type(name) is str else identifier(name)
        found.append(
            as_asked(
                Contact(
                    time,
                    "" if of_event else text,
                    0 if valid is None else time + valid,
                    None if outcome is None else OUTCOMES[outcome],
                    0 if reported is None else time + reported,
                    recalled,
                    channel,
                    purpose,
                    controller,
                    requester,
                    campaign,
                    () if matters is None else shared(matters),
                    None if place is None else found[-place].address if type(place) is int else address(place),
                    categories,
                    jurisdictions,
                    text if of_event else identifier(more[0]) if more else "",
                    complaint,
                    mode,
                    matters_told,
                    zones,
                )
            )
        )
    return tuple(found)


def _grants(rows: list[list[Any]]) -> tuple[Grant, ...]:
    found: list[Grant] = []
    parts: list[tuple[Any, ...]] = []
    base = 0
    for time, name, shape, effective, expires in rows:
        time += base
        if not found:
            base = time
        part = parts[-shape] if type(shape) is int else shared(shape)
        parts.append(part)
        controller, purposes, channels, recipients, categories, notice, evidence, windows = part
        found.append(
            Grant(
                time,
                controller,
                purposes,
                channels,
                recipients,
                categories,
                notice,
                evidence,
                None if effective is None else effective + time,
                None if expires is None else FOREVER_MS if expires is False else expires + time,
                unpack_spans(windows) if windows else (),
                identifier(name),
                time,
            )
        )
    return tuple(found)


def _withdrawals(rows: list[list[Any]]) -> tuple[Withdrawal, ...]:
    base = 0
    found: list[Withdrawal] = []
    for time, name, shape in rows:
        controller, purposes, channels, recipients = shared(shape)
        at_ms = time + base
        found.append(Withdrawal(at_ms, controller, purposes, channels, recipients, identifier(name), at_ms))
        base = found[0].time_ms
    return tuple(found)

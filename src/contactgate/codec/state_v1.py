"""The first layout of subject states, which is only read: what was written with it is rewritten when it changes.

    byte 0       version of the layout, 1
    bytes 1-6    open_until_ms, big-endian
    bytes 7-     msgpack array: [table, base_ms, profile, grants, withdrawals, contacts, seen]

`table` holds each distinct part once (codec.packing); how long an approval is valid is an integer in it. The other
five are flat arrays of integers: instants are relative to `base_ms`, None is nil, FOREVER_MS is false, parts are
indices into the table. A passed decision that is kept for the de-duplication horizon is the index of its approval
alone. Must never change: bytes of this layout must decode forever.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contactgate.codec.packing import OUTCOMES, address, identifier, shared, unpack, unpack_spans
from contactgate.codec.profile import NOBODY, read_profile
from contactgate.model.facts import (
    EMPTY,
    FOREVER_MS,
    Contact,
    Grant,
    Profile,
    SubjectState,
    Withdrawal,
)

VERSION: Final = 1
_HEADER_BYTES: Final = 7


def decode(raw: bytes) -> SubjectState:
    """The state behind the bytes; damaged bytes raise whatever they do."""
    table, base, person, given, taken, rows, decided = unpack(memoryview(raw)[_HEADER_BYTES:])
    if not (person or given or taken or rows or decided):
        return EMPTY
    contacts: list[Contact] = []
    at = 0
    end = len(rows)
    while at < end:
        time, name_at, valid, outcome, reported, shape, token, matters = rows[at : at + 8]
        at += 8
        part = shared(table[shape])
        ids = part[11]
        time += base
        name = table[name_at]
        if type(name) is bytes:
            name = identifier(name)
        event_id = ""
        if ids:
            name, event_id = "", name
        elif ids is False:
            event_id = identifier(table[rows[at]])
            at += 1
        (
            recalled,
            channel,
            purpose,
            controller,
            requester,
            campaign,
            categories,
            jurisdictions,
            complaint,
            mode,
            told,
        ) = part[:11]
        contacts.append(
            as_asked(
                Contact(
                    time,
                    name,
                    0 if valid is None else time + table[valid],
                    None if outcome is None else OUTCOMES[outcome],
                    0 if reported is None else time + reported,
                    recalled,
                    channel,
                    purpose,
                    controller,
                    requester,
                    campaign,
                    () if matters is None else shared(table[matters]),
                    None if token is None else address(table[token]),
                    categories,
                    jurisdictions,
                    event_id,
                    complaint,
                    mode,
                    told,
                )
            )
        )
    grants = []
    for at in range(0, len(given), 5):
        time, name_at, shape, effective, expires = given[at : at + 5]
        controller, purposes, channels, recipients, categories, notice, evidence, windows = shared(table[shape])
        grants.append(
            Grant(
                time + base,
                controller,
                purposes,
                channels,
                recipients,
                categories,
                notice,
                evidence,
                None if effective is None else effective + base,
                None if expires is None else FOREVER_MS if expires is False else expires + base,
                unpack_spans(windows) if windows else (),
                identifier(table[name_at]),
                time + base,
            )
        )
    withdrawals = []
    for at in range(0, len(taken), 3):
        controller, purposes, channels, recipients = shared(table[taken[at + 2]])
        name, at_ms = identifier(table[taken[at + 1]]), taken[at] + base
        withdrawals.append(Withdrawal(at_ms, controller, purposes, channels, recipients, name, at_ms))
    return SubjectState(
        NOBODY if person is None else _profile(person, table, base),
        tuple(grants),
        tuple(withdrawals),
        tuple(contacts),
    )


def as_asked(contact: Contact) -> Contact:
    """The contact with what its request asked for, as far as the first two layouts tell: they keep what counted."""
    if not contact.request_id:
        return contact
    matter = contact.matters[0] if contact.matters and not contact.matters_told else None
    return msgspec.structs.replace(contact, asked_matter=matter, asked_categories=contact.categories or None)


def _profile(person: list[Any], table: list[Any], base: int) -> Profile:
    facts, *others = person
    return read_profile(base, table[facts], others)

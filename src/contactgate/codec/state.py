"""Subject states as bytes: the values of the changelog and of RocksDB. All that knows their layout, with
`state_v1`, `state_v2` and `profile`.

    byte 0       version of the layout, 3
    bytes 1-6    open_until_ms, big-endian: until when an approval of this subject may be open, 0 = none. A store can
                 index subjects with open approvals without decoding them.
    bytes 7-     msgpack array of five byte strings, empty if there is nothing: profile, grants, withdrawals, contacts,
                 reports. Each is msgpack again: the profile an array, the others an array (of 32 bit length) of facts.

A fact is an array. Its time is relative to that of the first fact of its section, its other instants to its own; None
is nil, FOREVER_MS is false; identifiers, address tokens and the parts that many facts share are those of
`codec.packing`. Where a shared part or an address belongs may stand how many facts before this one the same stands, at
most LOOK_BACK.

INVARIANT (append): a fact's bytes depend on nothing that comes after it, so what is added to a section is appended to
its bytes, and sections that did not change are copied. The bytes are the same, whichever way they were made.

Nothing here may change meaning: `schemas/golden/` holds bytes that must decode forever; a new layout gets a new
version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from contactgate.codec import state_v1, state_v2
from contactgate.codec.packing import (
    OUTCOME_CODE,
    OUTCOMES,
    WORDS,
    address,
    identifier,
    pack,
    pack_address,
    pack_identifier,
    pack_shared,
    shared,
    unpack,
    unpack_spans,
)
from contactgate.codec.profile import NOBODY, pack_profile, read_profile
from contactgate.errors import StoreCorrupt
from contactgate.model.facts import (
    EMPTY,
    FOREVER_MS,
    Contact,
    Grant,
    Profile,
    Report,
    SubjectState,
    Withdrawal,
)

__all__ = ["HEADER_BYTES", "OUTCOMES", "VERSION", "WORDS", "decode", "encode", "open_until_ms"]

VERSION: Final = 3
HEADER_BYTES: Final = 7
LOOK_BACK: Final = 8

Row = Callable[[tuple[Any, ...], int], bytes]
"""The bytes of the fact at a place of its section."""


def encode(
    state: SubjectState, open_until_ms: int = 0, before: SubjectState | None = None, known: bytes | None = None
) -> bytes:
    """The bytes of a state. `open_until_ms` is `core.review.open_until` of it.

    `known` are the bytes of a state `before`, if there are any: what both have in common is not encoded again.
    """
    if before is None or known is None or known[0] != VERSION:
        before, profile, grants, withdrawals, contacts, reports = EMPTY, b"", b"", b"", b"", b""
    else:
        profile, grants, withdrawals, contacts, reports = unpack(memoryview(known)[HEADER_BYTES:])
    if state.profile is not before.profile:
        profile = pack_profile(state.profile)
    if state.grants is not before.grants:
        grants = _section(state.grants, _grant_row, before.grants, grants)
    if state.withdrawals is not before.withdrawals:
        withdrawals = _section(state.withdrawals, _withdrawal_row, before.withdrawals, withdrawals)
    if state.contacts is not before.contacts:
        contacts = _section(state.contacts, _contact_row, before.contacts, contacts)
    if state.reports is not before.reports:
        reports = _section(state.reports, _report_row, before.reports, reports)
    body = pack((profile, grants, withdrawals, contacts, reports))
    return b"\x03" + open_until_ms.to_bytes(6, "big") + body


def _section(facts: tuple[Any, ...], row: Row, before: tuple[Any, ...], known: bytes) -> bytes:
    if not facts:
        return b""
    done = len(before)
    rows = [row(facts, at) for at in range(done, len(facts))] if facts[:done] == before else None
    head = b"\xdd" + len(facts).to_bytes(4, "big")
    if rows is None:
        return head + b"".join([row(facts, at) for at in range(len(facts))])
    return head + known[5:] + b"".join(rows)


def _contact_row(contacts: tuple[Contact, ...], at: int) -> bytes:
    c = contacts[at]
    time_ms, request_id, event_id, token = c.time_ms, c.request_id, c.event_id, c.address
    valid_until_ms, outcome, outcome_ms = c.valid_until_ms, c.outcome, c.outcome_ms
    shape: int | bytes | None = None
    place: int | str | bytes | None = None
    for back in range(1, min(at, LOOK_BACK) + 1):
        other = contacts[at - back]
        if place is None and token is not None and other.address == token:
            place = back
        if shape is None and _alike(c, other):
            shape = back
    if shape is None:
        # Which ids there are: a request's alone, both, an event's alone.
        ids = (None if not event_id else False) if request_id else True
        part = (
            c.recalled, c.channel, c.purpose, c.controller, c.requester, c.campaign, c.categories, c.jurisdictions,
            c.complaint, c.mode, c.matters_told, ids, c.number_zones, c.asked_categories, c.asked_jurisdictions,
        )  # fmt: skip
        shape = pack_shared(part)
    if place is None and token is not None:
        place = pack_address(token)
    row = (
        time_ms - contacts[0].time_ms if at else time_ms,
        pack_identifier(request_id or event_id),
        valid_until_ms - time_ms if valid_until_ms else None,
        None if outcome is None else OUTCOME_CODE[outcome],
        outcome_ms - time_ms if outcome_ms else None,
        shape,
        place,
        pack_shared(c.matters) if c.matters else None,
    )
    if c.asked_matter != _matter(c.matters):
        return pack((*row, pack_identifier(event_id) if request_id else None, c.asked_matter))
    return pack((*row, pack_identifier(event_id)) if request_id and event_id else row)


def _matter(matters: tuple[str, ...]) -> str | None:
    """What the request asked about, if nothing else is stored: most name one matter, and that is talked about."""
    return matters[0] if len(matters) == 1 else None


def _alike(one: Contact, other: Contact) -> bool:
    """Whether two contacts share all that `_contact_row` puts into the shared part."""
    return (
        one.channel == other.channel
        and one.purpose == other.purpose
        and one.campaign == other.campaign
        and one.requester == other.requester
        and one.recalled == other.recalled
        and one.controller == other.controller
        and one.categories == other.categories
        and one.jurisdictions == other.jurisdictions
        and one.mode == other.mode
        and one.complaint is other.complaint
        and one.matters_told is other.matters_told
        and one.number_zones == other.number_zones
        and one.asked_categories == other.asked_categories
        and one.asked_jurisdictions == other.asked_jurisdictions
        and (not one.request_id) is (not other.request_id)
        and (not one.event_id) is (not other.event_id)
    )


def _grant_row(grants: tuple[Grant, ...], at: int) -> bytes:
    f = astuple(grants[at])
    time_ms, effective, expires, windows = f[0], f[8], f[9], f[10]
    shape: int | bytes | None = None
    for back in range(1, min(at, LOOK_BACK) + 1):
        other = astuple(grants[at - back])
        if other[1:8] == f[1:8] and other[10] == windows:
            shape = back
            break
    if shape is None:
        shape = pack_shared((*f[1:8], pack(windows) if windows else None))
    return pack(
        (
            time_ms - grants[0].time_ms if at else time_ms,
            pack_identifier(f[11]),
            shape,
            None if effective is None else effective - time_ms,
            None if expires is None else False if expires == FOREVER_MS else expires - time_ms,
            f[12] - time_ms,
        )
    )


def _withdrawal_row(withdrawals: tuple[Withdrawal, ...], at: int) -> bytes:
    f = astuple(withdrawals[at])
    since = f[0] - withdrawals[0].time_ms if at else f[0]
    return pack((since, pack_identifier(f[5]), pack_shared(f[1:5]), f[6] - f[0]))


def _report_row(reports: tuple[Report, ...], at: int) -> bytes:
    r = reports[at]
    return pack(
        (
            r.time_ms - reports[0].time_ms if at else r.time_ms,
            pack_identifier(r.request_id),
            r.decided_ms - r.time_ms,
            r.word,
            r.proven,
            None if r.matters is None else pack_shared(r.matters),
            pack_identifier(r.event_id),
            r.arrived_ms - r.time_ms,
            *((True,) if r.restricts_only else ()),
        )
    )


def open_until_ms(raw: bytes) -> int:
    """Until when an approval of an encoded subject may be open, without decoding it; 0 = none."""
    return int.from_bytes(raw[1:HEADER_BYTES], "big")


_DAMAGE: Final = (
    msgspec.MsgspecError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip
"""What reading damaged bytes as a layout can end in: a part of any msgpack type may stand in any place."""


_LAYOUTS: Final[dict[int, Callable[[bytes], SubjectState]]] = {
    state_v1.VERSION: state_v1.decode,
    state_v2.VERSION: state_v2.decode,
}


def decode(raw: bytes) -> SubjectState:
    """The state behind the bytes. Raises StoreCorrupt for anything `encode` did not make."""
    read = _decode if raw[:1] == b"\x03" else _LAYOUTS.get(raw[0]) if raw else None
    if read is None:
        raise StoreCorrupt("a subject's state has an unknown version; this worker is older than what wrote it")
    try:
        return read(raw)
    except _DAMAGE as error:
        raise StoreCorrupt("a subject's state is damaged") from error


def _decode(raw: bytes) -> SubjectState:
    profile, grants, withdrawals, contacts, reports = unpack(memoryview(raw)[HEADER_BYTES:])
    if not (profile or grants or withdrawals or contacts or reports):
        return EMPTY
    return SubjectState(
        _profile(unpack(profile)) if profile else NOBODY,
        _grants(unpack(grants)) if grants else (),
        _withdrawals(unpack(withdrawals)) if withdrawals else (),
        _contacts(unpack(contacts)) if contacts else (),
        _reports(unpack(reports)) if reports else (),
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
            matters_told, of_event, zones, asked_categories, asked_jurisdictions,
        ) = part  # fmt: skip
        text = name if type(name) is str else identifier(name)
        told = () if matters is None else shared(matters)
        found.append(
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
                told,
                None if place is None else found[-place].address if type(place) is int else address(place),
                categories,
                jurisdictions,
                text if of_event else identifier(more[0]) if more and more[0] is not None else "",
                complaint,
                mode,
                matters_told,
                zones,
                more[1] if len(more) > 1 else _matter(told),
                asked_categories,
                asked_jurisdictions,
            )
        )
    return tuple(found)


def _grants(rows: list[list[Any]]) -> tuple[Grant, ...]:
    found: list[Grant] = []
    parts: list[tuple[Any, ...]] = []
    base = 0
    for time, name, shape, effective, expires, arrived in rows:
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
                time + arrived,
            )
        )
    return tuple(found)


def _withdrawals(rows: list[list[Any]]) -> tuple[Withdrawal, ...]:
    base = 0
    found: list[Withdrawal] = []
    for time, name, shape, arrived in rows:
        at_ms = time + base
        controller, purposes, channels, recipients = shared(shape)
        found.append(Withdrawal(at_ms, controller, purposes, channels, recipients, identifier(name), at_ms + arrived))
        base = found[0].time_ms
    return tuple(found)


def _reports(rows: list[list[Any]]) -> tuple[Report, ...]:
    base = 0
    found: list[Report] = []
    for time, request_id, decided, word, proven, matters, event_id, arrived, *more in rows:
        at_ms = time + base
        found.append(
            Report(
                time_ms=at_ms,
                request_id=identifier(request_id),
                decided_ms=at_ms + decided,
                word=word,
                proven=proven,
                matters=None if matters is None else shared(matters),
                event_id=identifier(event_id),
                arrived_ms=at_ms + arrived,
                restricts_only=bool(more),
            )
        )
        base = found[0].time_ms
    return tuple(found)

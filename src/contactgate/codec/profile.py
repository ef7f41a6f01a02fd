"""Profiles as bytes, in every layout of subject states: a msgpack array of

    an instant, the latest that follows
    the part that many share: time zones, jurisdictions, flags, preferred hours
    when each of these four was learned, and when the person was erased, relative to that instant; nil if never
    wrong addresses
    relationships: controller, kind, date, until, id of the event, when it was learned
    when the erasure arrived, relative to the person's erasure; nil if there was none
    marks: word, whether it ends the flag, when it was said, relative to the first, and how much later that arrived
    addresses that the person closed, left out if there are none: when, relative to the first, address, shared part
    (controller, channel, purposes, whether by a complaint), id of the event, how much later it arrived

What there is none of is nil. The first layout keeps the first two elsewhere, and identifiers and address tokens as
text, which is read alike. The first two layouts end with the relationships: what arrived when was not kept, so it
counts as arrived when it was said, and the marks stood among the flags. Nothing here may change meaning, as
`codec.state` says.
"""

from __future__ import annotations

from typing import Any, Final, cast

from contactgate.codec.packing import (
    CODE,
    WORDS,
    address,
    identifier,
    pack,
    pack_address,
    pack_identifier,
    pack_shared,
    shared,
    unpack_spans,
)
from contactgate.model.facts import LASTING, Closure, Mark, Profile, Relation, Relationship

NOBODY: Final = Profile()


def pack_profile(p: Profile) -> bytes:
    """The bytes of a profile; none of `NOBODY`."""
    if p == NOBODY:
        return b""
    times = (p.timezones_ms, p.jurisdictions_ms, p.flags_ms, p.preferred_ms, p.erased_ms)
    base = max(*times, *[mark.time_ms for mark in p.marks])
    return pack(
        (
            base,
            pack_shared((p.timezones, p.jurisdictions, p.flags, pack(p.preferred) if p.preferred else None)),
            *[ms - base if ms else None for ms in times],
            [pack_address(token) for token in p.wrong_addresses] or None,
            [
                (
                    r.controller,
                    CODE.get(r.kind, r.kind),
                    r.date,
                    r.until,
                    pack_identifier(r.event_id),
                    r.time_ms - base if r.time_ms else None,
                )
                for r in p.relationships
            ]
            or None,
            p.erased_arrived_ms - p.erased_ms if p.erased_ms else None,
            [(CODE.get(m.word, m.word), m.ends, m.time_ms - base, m.arrived_ms - m.time_ms) for m in p.marks] or None,
            *([_closed(p.closed, base)] if p.closed else ()),
        )
    )


def _closed(closures: tuple[Closure, ...], base: int) -> list[tuple[Any, ...]]:
    return [
        (
            c.time_ms - base,
            pack_address(c.address),
            pack_shared((c.controller, c.channel, c.purposes, c.complained)),
            pack_identifier(c.event_id),
            c.arrived_ms - c.time_ms,
        )
        for c in closures
    ]


def _read_closed(rows: list[Any], base_ms: int) -> tuple[Closure, ...]:
    found = []
    for time, token, part, event_id, later_ms in rows:
        controller, channel, purposes, complained = shared(part)
        time_ms = time + base_ms
        found.append(
            Closure(
                time_ms=time_ms,
                address=address(token),
                controller=controller,
                channel=channel,
                purposes=purposes,
                event_id=identifier(event_id),
                complained=complained,
                arrived_ms=time_ms + later_ms,
            )
        )
    return tuple(found)


def read_profile(base_ms: int, facts: bytes, row: list[Any]) -> Profile:
    """The profile behind an unpacked array: its first two items, and the others."""
    timezones, jurisdictions, flags, preferred = shared(facts)
    zones_ms, jurisdictions_ms, flags_ms, preferred_ms, erased_ms, wrong, relations, *later = row

    def at(relative: int | None) -> int:
        return 0 if relative is None else relative + base_ms

    erased = at(erased_ms)
    if later:
        arrived, marked, *closed = later
        marks = tuple(
            [
                Mark(WORDS[word] if type(word) is int else word, ends, at(time), at(time) + later_ms)
                for word, ends, time, later_ms in marked or ()
            ]
        )
    else:
        arrived, closed = 0, []
        since = at(flags_ms)
        marks = tuple([Mark(flag, False, since, since) for flag in flags if flag in LASTING])
        flags = tuple([flag for flag in flags if flag not in LASTING])
    return Profile(
        timezones=timezones,
        timezones_ms=at(zones_ms),
        jurisdictions=jurisdictions,
        jurisdictions_ms=at(jurisdictions_ms),
        flags=flags,
        flags_ms=at(flags_ms),
        preferred=unpack_spans(preferred) if preferred else (),
        preferred_ms=at(preferred_ms),
        relationships=tuple(
            [
                Relationship(
                    controller,
                    cast("Relation", WORDS[kind]) if type(kind) is int else kind,
                    date,
                    until,
                    identifier(event_id),
                    at(time),
                )
                for controller, kind, date, until, event_id, time in relations or ()
            ]
        ),
        wrong_addresses=tuple([address(token) for token in wrong or ()]),
        erased_ms=erased,
        erased_arrived_ms=erased + arrived if erased else 0,
        marks=marks,
        closed=_read_closed(closed[0], base_ms) if closed else (),
    )

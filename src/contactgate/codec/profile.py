"""Profiles as bytes, in every layout of subject states: a msgpack array of

    an instant, the latest that follows
    the part that many share: time zones, jurisdictions, flags, preferred hours
    when each of these four was learned, and when the person was erased, relative to that instant; nil if never
    wrong addresses
    relationships: controller, kind, date, until, id of the event, when it was learned

What there is none of is nil. The first layout keeps the first two elsewhere, and identifiers and address tokens as
text, which is read alike. Nothing here may change meaning, as `codec.state` says.
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
from contactgate.model.facts import Profile, Relation, Relationship

NOBODY: Final = Profile()


def pack_profile(p: Profile) -> bytes:
    """The bytes of a profile; none of `NOBODY`."""
    if p == NOBODY:
        return b""
    times = (p.timezones_ms, p.jurisdictions_ms, p.flags_ms, p.preferred_ms, p.erased_ms)
    base = max(times)
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
        )
    )


def read_profile(base_ms: int, facts: bytes, row: list[Any]) -> Profile:
    """The profile behind an unpacked array: its first two items, and the others."""
    timezones, jurisdictions, flags, preferred = shared(facts)
    zones_ms, jurisdictions_ms, flags_ms, preferred_ms, erased_ms, wrong, relations = row
    return Profile(
        timezones=timezones,
        timezones_ms=0 if zones_ms is None else zones_ms + base_ms,
        jurisdictions=jurisdictions,
        jurisdictions_ms=0 if jurisdictions_ms is None else jurisdictions_ms + base_ms,
        flags=flags,
        flags_ms=0 if flags_ms is None else flags_ms + base_ms,
        preferred=unpack_spans(preferred) if preferred else (),
        preferred_ms=0 if preferred_ms is None else preferred_ms + base_ms,
        relationships=tuple(
            [
                Relationship(
                    controller,
                    cast("Relation", WORDS[kind]) if type(kind) is int else kind,
                    date,
                    until,
                    identifier(event_id),
                    0 if time is None else time + base_ms,
                )
                for controller, kind, date, until, event_id, time in relations or ()
            ]
        ),
        wrong_addresses=tuple([address(token) for token in wrong or ()]),
        erased_ms=0 if erased_ms is None else erased_ms + base_ms,
    )

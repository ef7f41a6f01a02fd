"""Subject states as bytes: the values of the changelog and of RocksDB. The only module that knows their layout.

    byte 0       version of the layout, 1
    bytes 1-6    open_until_ms, big-endian: until when an approval of this subject may be open, 0 = none. A store can
                 index subjects with open approvals without decoding them.
    bytes 7-     msgpack array: [table, base_ms, profile, grants, withdrawals, contacts, seen]

`table` holds each distinct part once: text as str, a canonical UUID or an address token as 16 bytes, how long an
approval is valid as an integer, anything else (the fields of a fact that many facts share) as the msgpack bytes of an
array whose words are small integers where WORDS knows them. The other five are flat arrays of integers: instants are
relative to `base_ms`, None is nil, FOREVER_MS is false, parts are indices into the table. A passed decision that is
kept for the de-duplication horizon is the index of its approval alone. Nothing here may change meaning:
`schemas/golden/` holds bytes that must decode for ever; a new layout gets a new version.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final, get_args

import msgspec
from msgspec.structs import astuple

from contactgate.errors import StoreCorrupt
from contactgate.model.facts import (
    EMPTY,
    FOREVER_MS,
    Contact,
    Grant,
    Outcome,
    Profile,
    Reason,
    Relationship,
    Seen,
    Span,
    SubjectState,
    Withdrawal,
)

VERSION: Final = 1
HEADER_BYTES: Final = 7
_CACHE: Final = 65_536

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder().decode
_unpack_spans: Final = msgspec.msgpack.Decoder(tuple[Span, ...]).decode

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
_OUTCOME_CODE: Final = {outcome: code for code, outcome in enumerate(OUTCOMES)}

# Append only: the place of a word is its code on disk. Outcomes are stored by their place in the `Outcome` list, too.
WORDS: Final = (  # noqa: SIM905
    "voice sms email mail marketing marketing.insurance marketing.credit marketing.investment marketing.savings "
    "marketing.claims_management collection service research basic account credit insurance investment "
    "live autodialled prerecorded written esign recorded_call web double_opt_in purchase inquiry contract "
    "minor deceased vulnerable business consent.missing consent.withdrawn consent.expired consent.recipient "
    "consent.not_yet_effective consent.data_category consent.evidence notice.unknown notice.outside "
    "address.suppressed subject.erased subject.minor subject.deceased subject.vulnerable party.unknown "
    "party.suspended party.agreement campaign.unknown campaign.not_approved campaign.paused campaign.mismatch "
    "request.not_before request.expired request.malformed policy.unknown_purpose policy.unavailable "
    "window.preferred window.unknown_zone US GB CN CA AU FR DE IN JP SG "
    "US-AL US-AK US-AZ US-AR US-CA US-CO US-CT US-DC US-DE US-FL US-GA US-HI US-IA US-ID US-IL US-IN US-KS US-KY "
    "US-LA US-MA US-MD US-ME US-MI US-MN US-MO US-MS US-MT US-NC US-ND US-NE US-NH US-NJ US-NM US-NV US-NY US-OH "
    "US-OK US-OR US-PA US-RI US-SC US-SD US-TN US-TX US-UT US-VA US-VT US-WA US-WI US-WV US-WY "
    "Asia/Shanghai America/New_York America/Chicago America/Denver America/Los_Angeles Europe/London Europe/Paris "
    "Europe/Berlin Australia/Sydney Asia/Kolkata Asia/Singapore Asia/Tokyo America/Toronto"
).split()
_CODE: Final = {word: code for code, word in enumerate(WORDS)}

_TOKEN: Final = re.compile(r"a1\.[A-Za-z0-9_-]{21}[AQgw]").fullmatch
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch

_packed: dict[tuple[Any, ...], bytes] = {}
_parts: dict[bytes, tuple[Any, ...]] = {}


def _coded(value: Any) -> Any:
    if isinstance(value, str):
        return _CODE.get(value, value)
    return [_coded(item) for item in value] if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return WORDS[value]
    return tuple([_plain(item) for item in value]) if isinstance(value, list) else value


def _shared(part: tuple[Any, ...]) -> bytes:
    """A part that many facts share, as the table holds it."""
    found = _packed.get(part)
    if found is None:
        found = _pack([_coded(item) for item in part])
        if len(_packed) >= _CACHE:
            _packed.clear()
        _packed[part] = found
    return found


def _part(packed: bytes) -> tuple[Any, ...]:
    found = _parts.get(packed)
    if found is None:
        found = tuple([_plain(item) for item in _unpack(packed)])
        if len(_parts) >= _CACHE:
            _parts.clear()
        _parts[packed] = found
    return found


_named: dict[str, bytes] = {}
_names: dict[bytes, str] = {}


def _identifier(text: str) -> str | bytes:
    """A canonical UUID as its 16 bytes, anything else as it is."""
    if len(text) != 36:
        return text
    found = _named.get(text)
    if found is None:
        if not _UUID(text):
            return text
        found = bytes.fromhex(text.replace("-", ""))
        if len(_named) >= _CACHE:
            _named.clear()
        _named[text] = found
    return found


def _text(part: str | bytes) -> str:
    if type(part) is str:
        return part
    found = _names.get(part)  # type: ignore[arg-type]
    if found is None:
        digits = part.hex()  # type: ignore[union-attr]
        found = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        if len(_names) >= _CACHE:
            _names.clear()
        _names[part] = found  # type: ignore[index]
    return found


_tokens: dict[str, bytes] = {}
_token_names: dict[bytes, str] = {}


def _address(token: str) -> str | bytes:
    """An address token as its 16 bytes, anything else as it is."""
    if len(token) != 25:
        return token
    found = _tokens.get(token)
    if found is None:
        if not _TOKEN(token):
            return token
        found = urlsafe_b64decode(token[3:] + "==")
        if len(_tokens) >= _CACHE:
            _tokens.clear()
        _tokens[token] = found
    return found


def _token(part: str | bytes) -> str:
    if type(part) is str:
        return part
    found = _token_names.get(part)  # type: ignore[arg-type]
    if found is None:
        found = "a1." + urlsafe_b64encode(part).decode("ascii")[:22]  # type: ignore[arg-type]
        if len(_token_names) >= _CACHE:
            _token_names.clear()
        _token_names[part] = found  # type: ignore[index]
    return found


def encode(state: SubjectState, open_until_ms: int = 0) -> bytes:
    """The bytes of a state. `open_until_ms` is `core.review.open_until` of it."""
    table: dict[str | bytes | int, int] = {}
    place = table.setdefault
    contacts, seens, grants, withdrawals = state.contacts, state.seen, state.grants, state.withdrawals
    base = contacts[-1].time_ms if contacts else grants[-1].time_ms if grants else 0
    approvals: dict[str, int] = {}
    rows: list[Any] = []
    for number, c in enumerate(contacts):
        f = astuple(c)
        time_ms, request_id, valid_until_ms, outcome, outcome_ms = f[:5]
        matters, address, event_id = f[11], f[12], f[15]
        approvals[request_id] = number
        # Which ids there are: a request's alone, both, an event's alone.
        ids = (None if not event_id else False) if request_id else True
        shape = f[5:11] + f[13:15] + f[16:] + (ids,)
        rows += (
            time_ms - base,
            place(_identifier(request_id or event_id), len(table)),
            place(valid_until_ms - time_ms, len(table)) if valid_until_ms else None,
            None if outcome is None else _OUTCOME_CODE[outcome],
            outcome_ms - time_ms if outcome_ms else None,
            place(_packed.get(shape) or _shared(shape), len(table)),
            None if address is None else place(_address(address), len(table)),
            None if not matters else place(_shared(matters), len(table)),
        )
        if ids is False:
            rows.append(place(_identifier(event_id), len(table)))
    given: list[Any] = []
    for g in grants:
        f = astuple(g)
        effective, expires, windows = f[8:11]
        shape = (*f[1:8], _pack(windows) if windows else None)
        given += (
            f[0] - base,
            place(_identifier(f[11]), len(table)),
            place(_packed.get(shape) or _shared(shape), len(table)),
            None if effective is None else effective - base,
            None if expires is None else False if expires == FOREVER_MS else expires - base,
        )
    taken: list[Any] = []
    for w in withdrawals:
        f = astuple(w)
        shape = f[1:5]
        taken += (
            f[0] - base,
            place(_identifier(f[5]), len(table)),
            place(_packed.get(shape) or _shared(shape), len(table)),
        )
    decided: list[Any] = []
    for s in seens:
        at = approvals.get(s.request_id)
        if at is not None and not s.reasons and s.next_eligible_ms is None:
            c = contacts[at]
            if c.time_ms == s.decided_ms and c.valid_until_ms == s.valid_until_ms:
                decided.append(at)
                continue
        decided.append(None)
        decided += (
            place(_identifier(s.request_id), len(table)),
            s.decided_ms - base,
            None if s.next_eligible_ms is None else s.next_eligible_ms - base,
            None if s.valid_until_ms is None else s.valid_until_ms - base,
            len(s.reasons),
        )
        for r in s.reasons:
            decided.append(place(_shared((r.rule, r.detail)), len(table)))
            decided.append(None if r.until_ms is None else r.until_ms - base)
    p = state.profile
    person = None if p == _NOBODY else _person(p, table, base)
    body = _pack((list(table), base, person, given, taken, rows, decided))
    return b"\x01" + open_until_ms.to_bytes(6, "big") + body


_NOBODY: Final = Profile()


def _person(p: Profile, table: dict[str | bytes | int, int], base: int) -> list[Any]:
    times = (p.timezones_ms, p.jurisdictions_ms, p.flags_ms, p.preferred_ms, p.erased_ms)
    facts = _shared((p.timezones, p.jurisdictions, p.flags, _pack(p.preferred) if p.preferred else None))
    return [
        table.setdefault(facts, len(table)),
        *(ms - base if ms else None for ms in times),
        list(p.wrong_addresses) or None,
        [
            [
                r.controller,
                _CODE.get(r.kind, r.kind),
                r.date,
                r.until,
                r.event_id,
                r.time_ms - base if r.time_ms else None,
            ]
            for r in p.relationships
        ]
        or None,
    ]


def open_until_ms(raw: bytes) -> int:
    """Until when an approval of an encoded subject may be open, without decoding it; 0 = none."""
    return int.from_bytes(raw[1:HEADER_BYTES], "big")


_DAMAGE: Final = (
    msgspec.MsgspecError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip
"""What reading damaged bytes as this layout can end in: a part of any msgpack type may stand in any place."""


def decode(raw: bytes) -> SubjectState:
    """The state behind the bytes. Raises StoreCorrupt for anything `encode` did not make."""
    if not raw or raw[0] != VERSION:
        raise StoreCorrupt("a subject's state has an unknown version; this worker is older than what wrote it")
    try:
        return _decode(raw)
    except _DAMAGE as error:
        raise StoreCorrupt("a subject's state is damaged") from error


def _decode(raw: bytes) -> SubjectState:
    table, base, person, given, taken, rows, decided = _unpack(memoryview(raw)[HEADER_BYTES:])
    if not (person or given or taken or rows or decided):
        return EMPTY
    contacts: list[Contact] = []
    at = 0
    end = len(rows)
    while at < end:
        time, identifier, valid, outcome, reported, shape, address, matters = rows[at : at + 8]
        at += 8
        part = _part(table[shape])
        ids = part[11]
        time += base
        name = table[identifier]
        if type(name) is bytes:
            name = _text(name)
        event_id = ""
        if ids:
            name, event_id = "", name
        elif ids is False:
            event_id = _text(table[rows[at]])
            at += 1
        contacts.append(
            Contact(  # type: ignore[call-arg]  # mypy does not count slices
                time,
                name,
                0 if valid is None else time + table[valid],
                None if outcome is None else OUTCOMES[outcome],
                0 if reported is None else time + reported,
                *part[:6],
                () if matters is None else _part(table[matters]),
                None if address is None else _token(table[address]),
                part[6],
                part[7],
                event_id,
                *part[8:11],
            )
        )
    grants = []
    for at in range(0, len(given), 5):
        time, identifier, shape, effective, expires = given[at : at + 5]
        controller, purposes, channels, recipients, categories, notice, evidence, windows = _part(table[shape])
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
                _unpack_spans(windows) if windows else (),
                _text(table[identifier]),
            )
        )
    withdrawals = []
    for at in range(0, len(taken), 3):
        controller, purposes, channels, recipients = _part(table[taken[at + 2]])
        withdrawals.append(
            Withdrawal(taken[at] + base, controller, purposes, channels, recipients, _text(table[taken[at + 1]]))
        )
    return SubjectState(
        _NOBODY if person is None else _profile(person, table, base),
        tuple(grants),
        tuple(withdrawals),
        tuple(contacts),
        _seen(decided, contacts, table, base) if decided else (),
    )


def _profile(person: list[Any], table: list[Any], base: int) -> Profile:
    facts, zones_ms, jurisdictions_ms, flags_ms, preferred_ms, erased_ms, wrong, relations = person
    timezones, jurisdictions, flags, preferred = _part(table[facts])
    return Profile(
        timezones,
        0 if zones_ms is None else zones_ms + base,
        jurisdictions,
        0 if jurisdictions_ms is None else jurisdictions_ms + base,
        flags,
        0 if flags_ms is None else flags_ms + base,
        _unpack_spans(preferred) if preferred else (),
        0 if preferred_ms is None else preferred_ms + base,
        tuple(
            [
                Relationship(
                    controller,
                    WORDS[kind] if type(kind) is int else kind,
                    date,
                    until,
                    event_id,
                    0 if time is None else time + base,
                )
                for controller, kind, date, until, event_id, time in relations or ()
            ]
        ),
        tuple(wrong or ()),
        0 if erased_ms is None else erased_ms + base,
    )


def _seen(decided: list[Any], contacts: list[Contact], table: list[Any], base: int) -> tuple[Seen, ...]:
    found: list[Seen] = []
    at = 0
    end = len(decided)
    while at < end:
        approval = decided[at]
        at += 1
        if approval is not None:
            c = contacts[approval]
            found.append(Seen(c.request_id, c.time_ms, (), None, c.valid_until_ms))
            continue
        identifier, time, eligible, valid, count = decided[at : at + 5]
        at += 5
        reasons = []
        for _ in range(count):
            rule, detail = _part(table[decided[at]])
            until = decided[at + 1]
            reasons.append(Reason(rule, detail, None if until is None else until + base))
            at += 2
        found.append(
            Seen(
                _text(table[identifier]),
                time + base,
                tuple(reasons),
                None if eligible is None else eligible + base,
                None if valid is None else valid + base,
            )
        )
    return tuple(found)

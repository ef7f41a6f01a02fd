"""Seed inputs of the fuzz targets: valid ones of every kind, so that mutation begins inside the grammar."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.targets import _SCRATCH, _SEALER
from tests.kit.gatekit import CANARY, COMPILED, NOW_MS, POLICY, TOKENS, at, granted, live, requested, withdrawn

from contactgate.codec import state
from contactgate.codec.seal import Sealed
from contactgate.codec.strict import TYPES
from contactgate.core.review import open_until
from contactgate.errors import MalformedMessage
from contactgate.gate.letters import DeadLetters
from contactgate.model.log import Position, Record
from contactgate.offline import Fold
from contactgate.partition.fold import Meta, encode_meta
from contactgate.registry import build

ROOT = Path(__file__).parents[2]
FOUND = Path(__file__).parent / "found"
EVENTS: list[dict[str, Any]] = [
    granted(
        evidence={"method": "web", "ref": "x"}, windows=[{"days": ["sat"], "from": "10:00", "to": "13:00"}],
        data_categories=["basic"], notice_id="n-1", effective_at=at(1), expires_at="9999-12-31T00:00:00Z",
    ),
    withdrawn(channels=["sms"], recipients=["bank"], purposes=["marketing"], controller="bank"),
    {
        "type": "subject.updated", "event_id": "u", "subject_id": "s-1", "time": at(1), "timezones": ["Asia/Tokyo"],
        "flags": ["minor"], "jurisdictions": ["US-FL"], "preferred_windows": [{"days": ["mon"], "to": "20:00"}],
    },
    {"type": "subject.erased", "event_id": "x", "subject_id": "s-1", "time": at(1)},
    {"type": "complaint.received", "event_id": "x", "subject_id": "s-1", "time": at(1), "channel": "voice"},
    {
        "type": "relationship.recorded", "event_id": "x", "subject_id": "s-1", "time": at(1), "controller": "bank",
        "kind": "inquiry", "date": "2026-01-10", "until": "2026-05-01",
    },
    requested(
        data_categories=["basic"], not_before=at(1), not_after=at(50), jurisdictions=["GB"], campaign_id="c",
        matter_id="m", mode="autodialled",
    ),
    {
        "type": "contact.outcome", "event_id": "o", "request_id": "r-1", "subject_id": "s-1", "time": at(40),
        "outcome": "unsubscribed", "matters": ["m"],
    },
    {
        "type": "contact.observed", "event_id": "o", "subject_id": "s-1", "time": at(40), "controller": "bank",
        "direction": "inbound", "channel": "voice", "purpose": "debt", "outcome": "answered", "address": CANARY,
    },
    {
        "type": "address.suppressed", "event_id": "x", "time": at(1), "address": CANARY, "channels": ["voice"],
        "controller": "bank", "purposes": ["marketing"], "campaigns": ["c"], "reason": "stop_reply",
        "expires_at": at(50), "also": [{"event_id": "y", "time": at(0)}],
    },
    {"type": "address.released", "event_id": "x", "time": at(1), "address": CANARY, "reason": "manual"},
    {
        "type": "notice.published", "event_id": "n", "time": at(1), "notice_id": "n-1", "version": 1,
        "controller": "bank", "purposes": ["marketing"], "recipients": ["bank"], "data_categories": ["basic"],
        "effective_at": at(1), "text_sha256": "0" * 64,
    },
    {
        "type": "party.updated", "event_id": "p", "time": at(2), "party_id": "bank", "status": "suspended",
        "agreements": [{"controller": "bank", "purposes": ["marketing"], "channels": ["voice"], "valid_from": at(1)}],
    },
    {
        "type": "campaign.updated", "event_id": "p", "time": at(2), "campaign_id": "c", "status": "paused",
        "controller": "bank", "requesters": ["bank"], "created_by": "ann", "approved_by": "bob", "valid_until": at(3),
    },
    {
        "type": "registry.published", "event_id": "q", "time": at(3), "registry": "us-ndnc", "version": "1",
        "as_of": at(3), "kind": "snapshot", "entries": [{"address": CANARY, "since": "2026-01-01"}],
    },
    {
        "type": "registry.published", "event_id": "q", "time": at(3), "registry": "us-ndnc", "version": "2",
        "as_of": at(3), "kind": "delta", "base": "1", "removed": [CANARY], "entries": [],
    },
    {
        "type": "registry.published", "event_id": "q", "time": at(3), "registry": "us-ndnc", "version": "2",
        "as_of": at(3), "kind": "snapshot", "source": {"uri": "file:///lists/a", "format": "snapshot", "count": 3},
    },
    {
        "type": "pause.set", "event_id": "p", "time": at(2), "pause_id": "p1", "reason": "x", "until": at(9),
        "scope": {"channels": ["voice"], "controllers": ["bank"]},
    },
    {"type": "pause.lifted", "event_id": "p", "time": at(2), "pause_id": "p1"},
    {"type": "policy.activated", "event_id": "pp", "time": at(1), "document": POLICY},
]  # fmt: skip
"""One of every message type, with every field that it may have."""

RICH_POLICY = """
policy: house
packs: [us-fed, us-fl]
approval_ttl: 15m
dedup_horizon: 7d
unreported: count
require: {campaign: false, party: false, notice: false}
purposes:
  marketing: {consent: opt_in, channels: {sms: {consent: opt_out}}}
  service: {consent: none}
caps:
  - {name: day, limit: 2, window: {sliding: 1d}, scope: [subject], counts: attempted}
  - {name: week, limit: 3, window: {days: 7, zone: subject}, scope: [subject, channel], channels: [voice]}
  - {name: month, limit: 9, window: {calendar: month, zone: UTC}, scope: [subject], purposes: [marketing]}
gaps: [{name: rest, of: 4h, scope: [subject]}]
cooloffs:
  - {name: no, after: [refused], for: 30d, scope: [subject, controller]}
  - {name: seven, after: [answered], for: {days: 7, first: next_day, zone: subject}, scope: [subject, matter]}
windows: [{name: house, channels: [voice], days: [mon, tue], from: "09:00", to: "20:00", zone: subject}]
registries: [{name: us-ndnc, channels: [voice], max_age: 31d, unless: [consent]}]
"""


def _lines(*events: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


@cache
def _decisions() -> list[bytes]:
    fold = Fold(COMPILED, TOKENS)
    lines = [granted(), requested(), requested("r-2"), withdrawn(), requested("r-3", 31)]
    made = [out for event in lines for out in fold.line(json.dumps(event).encode())]
    return [out for out in made if b'"contact.decided"' in out]


@cache
def _states() -> list[bytes]:
    """Encoded states of everything a subject can have."""
    gate, states, _ = live()
    found: set[bytes] = set()
    for number, event in enumerate(EVENTS):
        kind = TYPES[event["type"]]
        rec = Record(kind, 0, number, NOW_MS + 3_600_000, b"s-1", json.dumps(event).encode())
        if kind == "request":
            gate.request(rec, states, NOW_MS, Position(0, number, 0, 0, 0, 0))
        elif kind in {"consent", "outcome"}:
            gate.consent(rec, states) if kind == "consent" else gate.outcome(rec, states)
        known = states.get(b"s-1")
        found.add(state.encode(known, open_until(known, NOW_MS)))
    golden = (ROOT / "schemas/golden/state-v1.hex").read_text().split()
    return [*sorted(found), *(bytes.fromhex(text) for text in golden if len(text) % 2 == 0 and text.isalnum())]


def _documents(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(ROOT.glob(pattern))]


def _letters() -> list[bytes]:
    rec = Record("consent", 0, 7, NOW_MS, b"s-1", b'{"type":')
    fault = MalformedMessage("json.malformed", "not JSON at character 8")
    return [DeadLetters("/seed", _SEALER).letter(rec, fault).value, DeadLetters(None, None).letter(rec, fault).value,
            json.dumps({"sealed": _SEALER.seal("consent/0/7", Sealed(b"k", b"v", []))}).encode()]  # fmt: skip


def _snapshots() -> list[bytes]:
    target = _SCRATCH / "seed.registry"
    found = []
    for lines in (["+12125550001,2026-01-01", "+12125550002"], ["+12125550001"], []):
        build(lines, TOKENS, target, registry="us-ndnc", version="1")
        found.append(target.read_bytes())
    return found


def seeds(name: str) -> list[bytes]:
    """The seeds of a target: its grammar's valid inputs, what the hostile table holds, and old findings."""
    from tests.hostile.rows import ROWS

    return [*_valid(name), *(raw for raw in _hostile(name, ROWS) if len(raw) < 70_000), *findings(name)]


def findings(name: str) -> list[bytes]:
    """Inputs that once broke a target."""
    return [path.read_bytes() for path in sorted((FOUND / name).glob("*"))]


def _hostile(name: str, rows: Any) -> list[bytes]:
    if not name.startswith(("message-", "gate", "offline", "routing")):
        return []
    values = [shot.value for row in rows for shot in row.shots if isinstance(shot.value, bytes)]
    return [b"\x00\x00" + value for value in values] if name == "gate" else values


def _valid(name: str) -> list[bytes]:
    if name.startswith("message-"):
        kind = name.removeprefix("message-")
        return [json.dumps(event).encode() for event in EVENTS if TYPES[event["type"]] == kind]
    kinds = ("consent", "request", "outcome", "suppression", "control")
    match name:
        case "gate":
            keyed = {"consent": 0, "request": 0, "outcome": 0, "suppression": 4, "control": 3}
            return [
                bytes((kinds.index(kind), keyed[kind])) + json.dumps(event).encode()
                for event in EVENTS
                if (kind := TYPES[event["type"]])
            ]
        case "offline-lines":
            return [_lines(granted(), requested(), event, requested("r-2", 45)) for event in EVENTS]
        case "routing":
            return [json.dumps(event).encode() for event in EVENTS]
        case "state":
            return _states()
        case "meta":
            return [
                encode_meta(Meta()),
                encode_meta(
                    Meta(
                        seq=7,
                        prev="sha256:" + "0" * 64,
                        consent=1,
                        outcome=2,
                        request=3,
                        control=4,
                        suppression=5,
                        now_ms=NOW_MS,
                        review="all",
                        reviewed=b"s",
                    )
                ),
            ]
        case "policy":
            return [
                json.dumps(POLICY).encode(),
                RICH_POLICY.encode(),
                *_documents("src/contactgate/policy/packs/*.yaml"),
            ]
        case "policy-activated":
            return [json.dumps(POLICY).encode()]
        case "settings":
            return [
                b"bootstrap: a:9092\npartitions: 8\nclock: event\nlinger_ms: 15\nsession_timeout_s: 10.5\n",
                b"security_protocol: SASL_SSL\nsasl_mechanism: SCRAM-SHA-512\nsasl_username: a\nsasl_password: b\n",
                b"token_key: " + b"a" * 32 + b"\nseal_key: " + b"0f" * 32 + b"\ntoken_key_file: relative\n",
            ]
        case "cases":
            return _documents("tests/cases/packs/*.yaml") + [
                b"cases:\n  - name: a\n    events: [{type: consent.withdrawn, time: 2026-03-02T10:00:00Z}]\n    expect: [{request_id: r-1, verdict: block, rule: consent, next_eligible_at: null}]\n"
            ]
        case "call-list":
            return [
                b"client,last_call,calls\na,2026-01-31,3\nb,2026-02-01,1\n",
                b'\xef\xbb\xbfclient,last_call,calls\n"a,b",2026-01-31,3',
            ]
        case "registry-snapshot":
            return _snapshots()
        case "registry-lines":
            return [b"\n+12125550001,2026-01-01\n+12125550002\n", b"file:///etc/passwd\n", b"http://x/y\n+1\n"]
        case "dead-letter":
            return _letters()
        case "proof":
            return [*_decisions(), b"\n".join(_decisions())]
        case "chain-heads":
            link = {"seq": 1, "hash": "sha256:" + "0" * 64}
            return [json.dumps({"topic": "contact-decisions", "checked_at": at(1), "partitions": {"0": link}}).encode()]
        case "tail":
            stamp = NOW_MS.to_bytes(8, "big")
            shown = [*_decisions(), *_letters(), *(json.dumps(event).encode() for event in EVENTS), b"", b"{", b"[]"]
            return [stamp + b"s-1\0" + raw for raw in shown]
        case "address":
            return [
                *(
                    b"\x00" + text.encode()
                    for text in ("+1 (212) 555-0199", "tel:+12125550199;ext=3", "0044 (0)20 7946 0000", "+١٢١٢٥٥٥٠١٩٩")
                ),
                *(
                    b"\x02" + text.encode()
                    for text in (
                        "User@Example.com",
                        "ｕｓｅｒ＠ｅｘａｍｐｌｅ．ｃｏｍ",
                        "a@straße.de",
                        "a@xn--strae-oqa.de",
                        "mailto:é@x.fr",
                        "İ@x.tr",
                    )
                ),
                b"\x03Musterstr. 1, Berlin",
            ]
    raise KeyError(name)

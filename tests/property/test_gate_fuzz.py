"""Mutated messages through the fold and the live gate: one fate each, known reasons, nothing raised."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tests.kit.gatekit import CANARY, COMPILED, NOW_MS, POLICY, TOKENS, at, dead, granted, live, requested, withdrawn

from contactgate.codec.strict import REASONS, TYPES
from contactgate.core.world import World
from contactgate.gate import WorldFeed
from contactgate.model.log import Position, Record
from contactgate.offline import Fold

BASES: list[dict[str, Any]] = [
    granted(evidence={"method": "web", "ref": "x"}, windows=[{"days": ["sat"], "from": "10:00", "to": "13:00"}]),
    withdrawn(channels=["sms"], recipients=["bank"]),
    requested(data_categories=["basic"], not_after=at(50), jurisdictions=["GB"]),
    {"type": "address.suppressed", "event_id": "x", "time": at(1), "address": CANARY, "channels": ["voice"]},
    {"type": "address.released", "event_id": "x", "time": at(1), "address": CANARY},
    {"type": "pause.set", "event_id": "p", "time": at(2), "pause_id": "p1", "scope": {"channels": ["voice"]}},
    {"type": "party.updated", "event_id": "p", "time": at(2), "party_id": "bank", "status": "ended", "agreements": []},
    {"type": "campaign.updated", "event_id": "p", "time": at(2), "campaign_id": "c", "status": "paused"},
    {
        "type": "registry.published",
        "event_id": "q",
        "time": at(3),
        "registry": "us-ndnc",
        "version": "1",
        "as_of": at(3),
        "kind": "snapshot",
        "entries": [{"address": CANARY, "since": "2026-01-01"}],
    },
    {
        "type": "contact.outcome",
        "event_id": "o",
        "request_id": "r-1",
        "subject_id": "s-1",
        "time": at(40),
        "outcome": "unsubscribed",
    },
    {
        "type": "subject.updated",
        "event_id": "u",
        "subject_id": "s-1",
        "time": at(1),
        "timezones": ["UTC"],
        "flags": ["minor"],
        "preferred_windows": [{"days": ["mon"], "from": "08:00", "to": "20:00"}],
    },
    {"type": "policy.activated", "event_id": "pp", "time": at(1), "document": POLICY},
]
JUNK: list[Any] = [
    None, True, 0, -1, 1.5, 2**70, "", "x" * 200, "\x00", "\ud800", [], [[]], {}, {"a": 1}, ["a", 1], "*",
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-06-01T08:00:00Z", float("nan"),
]  # fmt: skip
PIECES = [b'"', b"{", b"}", b",", b":", b"\\u0000", b"\\ud800", b"\xff", b"\x00", b'"type":"consent.withdrawn",']


def mutations(base: dict[str, Any], chance: random.Random) -> list[bytes]:
    """Every field replaced by every piece of junk, and bytes changed, cut and put in."""
    found = [json.dumps({**base, name: junk}).encode() for name in base for junk in JUNK]
    whole = json.dumps(base).encode()
    for _ in range(150):
        raw = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(raw))
            match chance.randrange(3):
                case 0:
                    raw[place] = chance.randrange(256)
                case 1:
                    del raw[place : place + chance.randrange(1, 9)]
                case _:
                    raw[place:place] = chance.choice(PIECES)
        found.append(bytes(raw).replace(b"\n", b""))
    return found


@pytest.mark.parametrize("base", BASES, ids=[base["type"] for base in BASES])
def test_mutated_messages_have_one_fate_each(base: dict[str, Any]) -> None:
    """Nothing raises; a request gets one decision or one dead letter; reasons are known; no fault is ours."""
    chance = random.Random(base["type"])
    state = Fold(COMPILED, TOKENS)
    gate, states, _ = live()
    feed = WorldFeed(TOKENS, World(), source="/test", sealer=None)
    for number, raw in enumerate(mutations(base, chance)):
        made = [json.loads(out) for out in state.line(raw)]
        fates = [m for m in made if m["type"] in {"contact.decided", "dead.letter"}]
        assert len(fates) <= 1
        if base["type"] == "contact.requested" and raw.strip():
            assert len(fates) == 1
        reasons = {m["reason"] for m in made if m["type"] == "dead.letter"}
        kind = TYPES[base["type"]]
        rec = Record(kind, 0, number, NOW_MS, b"s-1", raw)
        if kind == "control":
            feed.control(rec)
        elif kind == "suppression":
            feed.suppression(rec)
        elif kind == "request":
            gate.request(rec, states, NOW_MS, Position(0, number, 0, 0, 0, 0))
        else:
            gate.consent(rec, states)
        reasons.update(json.loads(out.value)["reason"] for out in feed.out)
        feed.out.clear()
        reasons.update(dead(gate))
        assert reasons <= REASONS.keys() - {"processing.failed"}

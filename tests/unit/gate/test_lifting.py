"""What lifts what, from the bytes on: releases with a scope, pauses and their ends, late records, slow clocks."""

import json
from typing import Any

import pytest
from tests.kit.gatekit import (
    CANARY,
    NOW_MS,
    POLICY,
    TOKENS,
    at,
    granted,
    letters,
    live,
    record,
    requested,
    run,
    text,
    verdict,
    withdrawn,
)

from contactgate.core.world import World
from contactgate.gate import WorldFeed
from contactgate.model.instants import stamp

STOP = {"type": "address.suppressed", "event_id": "x-1", "time": at(10), "address": CANARY, "reason": "manual"}
FREE = {"type": "address.released", "event_id": "x-2", "time": at(20), "address": CANARY}
PAUSE = {"type": "pause.set", "event_id": "p-1", "time": at(10), "pause_id": "p-1", "reason": "incident"}
LIFT = {"type": "pause.lifted", "event_id": "p-2", "time": at(20), "pause_id": "p-1", "by": "ann"}


@pytest.mark.parametrize(
    ("events", "expected", "reasons"),
    [
        ([STOP, FREE], "pass", []),
        ([FREE, STOP], "block", []),  # it arrives later, and is stamped no more than clock_skew before
        ([FREE, {**STOP, "time": at(9)}], "pass", []),
        ([STOP, {**FREE, "time": at(10)}], "block", []),
        ([STOP, {**FREE, "time": at(5)}], "block", []),
        ([{**STOP, "channels": ["phone"]}, {**FREE, "channels": ["voice"]}], "pass", []),
        ([{**STOP, "channels": ["voice"]}, {**FREE, "channels": ["phone"]}], "block", ["scope.unknown_word"]),
        ([STOP, {**FREE, "channels": ["voice", "sms", "email", "mail"]}], "block", []),
        ([{**STOP, "purposes": ["marketing.x"]}, {**FREE, "purposes": ["marketing"]}], "pass", []),
        ([STOP, {**FREE, "channels": []}], "block", ["field.invalid"]),
        ([STOP, {**FREE, "events": ["x-1"]}], "pass", []),
        ([STOP, {**FREE, "events": ["x-9"]}], "block", []),
        ([STOP, {**FREE, "reasons": ["manual"]}], "pass", []),
        ([STOP, {**FREE, "reasons": ["hard_bounce"]}], "block", []),
        ([STOP, {**FREE, "controllers": ["bank"]}], "block", ["field.unknown"]),
        ([PAUSE, LIFT], "pass", []),
        ([LIFT, {**PAUSE, "time": at(5)}], "pass", []),
        ([LIFT, PAUSE], "block", []),
        ([PAUSE, {**LIFT, "time": at(5)}], "block", []),
        ([PAUSE, {k: v for k, v in LIFT.items() if k != "by"}], "block", ["field.missing"]),
        ([PAUSE, {**PAUSE, "event_id": "p-3", "time": at(15), "scope": {"channels": ["sms"]}}], "block", []),
        (
            [PAUSE, {**PAUSE, "event_id": "p-3", "time": at(15), "scope": {"channels": ["sms"]}, "by": "ann"}],
            "pass",
            [],
        ),
        ([PAUSE, {**PAUSE, "event_id": "p-3", "time": at(15), "until": at(16)}], "block", []),
        ([PAUSE, {**PAUSE, "event_id": "p-3", "time": at(15), "until": at(16), "by": "ann"}], "pass", []),
    ],
)
def test_only_what_is_newer_and_says_enough_lifts(
    events: list[dict[str, Any]], expected: str, reasons: list[str]
) -> None:
    """Offline, line after line; an event that is not understood whole lifts nothing and is a dead letter."""
    out = run(granted(), *events, requested(purpose="marketing.x"))
    assert (verdict(out), letters(out)) == (expected, reasons)


def test_an_older_policy_changes_nothing() -> None:
    """It comes late; the newer one stays in force, and there is no dead letter."""
    capped = {
        **POLICY,
        "caps": [{"name": "c", "limit": 0, "window": {"sliding": "1d"}, "scope": ["subject"], "counts": "approved"}],
    }
    new = {"type": "policy.activated", "event_id": "n", "time": at(20), "document": capped}
    old = {"type": "policy.activated", "event_id": "o", "time": at(1), "document": POLICY}
    out = run(granted(), new, old, requested())
    assert (verdict(out), letters(out)) == ("block", [])
    out = run(granted(), new, {**old, "time": at(21)}, requested())
    assert verdict(out) == "pass"


@pytest.mark.parametrize("when", ["9999-12-31T00:00:00Z", "1970-01-01T00:00:00Z", "soon", None])
def test_a_stop_whose_time_cannot_be_believed_counts_from_its_record(when: str | None) -> None:
    """Else nothing could ever lift it, or anything would; a release that is newer than the record does."""
    for stop, free in ((STOP, FREE), (PAUSE, LIFT)):
        world = World()
        feed = WorldFeed(TOKENS, world, source=None, sealer=None, keyed=False)
        put = feed.suppression if stop is STOP else feed.control
        kind = "suppression" if stop is STOP else "control"
        put(record(kind, {**stop, "time": when}))
        token = TOKENS.contactable("voice", CANARY).token
        assert len(feed.out) == 1
        assert [each.time_ms for each in (*world.suppressed(token), *world.pauses)] == [NOW_MS + 60_000]
        later = record(kind, {**free, "time": stamp(NOW_MS + 120_000)})
        put(type(later)(kind, 0, 1, NOW_MS + 180_000, None, later.value))
        assert (world.suppressed(token), world.pauses) == ((), ())


def test_a_restriction_that_loses_to_a_newer_permission_is_counted() -> None:
    """An opt-out, a flag, an erasure; once, and only where a permission that it reaches is newer."""
    gate, states, _ = live()
    gate.consent(record("consent", granted(time=at(5))), states)
    early = "2026-06-01T07:00:00Z"
    for number, (event, counted) in enumerate(
        (
            (withdrawn(time=at(5), channels=["voice"]), 0),
            (withdrawn(event_id="o", time=early, controller="insurer"), 0),
            (withdrawn(event_id="s", time=early, channels=["sms"]), 1),
            (withdrawn(event_id="s", time=early, channels=["sms"]), 1),
            ({"type": "subject.erased", "event_id": "x", "subject_id": "s-1", "time": early}, 2),
        )
    ):
        gate.consent(record("consent", event, offset=number), states)
        assert gate.superseded == counted


def test_a_stop_that_loses_is_told_and_asks_for_no_review() -> None:
    """Late and older than what lifts it by more than the skew."""
    world = World()
    feed = WorldFeed(TOKENS, world, source=None, sealer=None, keyed=False)
    early = "2026-06-01T07:00:00Z"
    party = {"type": "party.updated", "event_id": "a", "time": at(5), "party_id": "cc", "status": "active"}
    for first, late in (
        ((feed.suppression, {**FREE, "time": at(5)}), {**STOP, "time": early}),
        ((feed.control, {**LIFT, "time": at(5)}), {**PAUSE, "time": early}),
        ((feed.control, party), {**party, "event_id": "b", "status": "suspended", "time": early}),
    ):
        put, message = first
        put(record("control", message))
        change = put(record("control", late))
        assert change is not None
        assert (change.restricts, change.superseded) == (False, True)
    assert feed.out == []


def test_nothing_is_in_the_lines_of_a_world_that_changed() -> None:
    """A late pause recalls what is open at the latest time, not what was open when it was stamped."""
    ask = requested("r-1", 30)
    late = {**PAUSE, "time": at(31)}
    out = run(granted(), ask, requested("r-2", 90), late)
    assert [line["request_id"] for line in out if line["type"] == "contact.recalled"] == ["r-2"]
    assert json.loads(text(late))["time"] == at(31)

"""The gate on Kafka's records: keys, partitions, tombstones, times, seals, the chain, and the world's feed."""

from __future__ import annotations

import json

from tests.kit.gatekit import CANARY, NOW_MS, TOKENS, at, dead, granted, live, record, requested, text, withdrawn

from contactgate.codec.seal import Sealer
from contactgate.core.chain import verify
from contactgate.core.world import World
from contactgate.gate import WorldFeed
from contactgate.model.log import Position, murmur2
from contactgate.topics import Layout, topic_specs

SUPPRESSED = {"type": "address.suppressed", "event_id": "e-1", "time": at(10), "address": CANARY, "reason": "manual"}


def test_tombstones_and_keys_that_do_not_fit_are_refused() -> None:
    """No value, no key, an empty key, another key: each has its reason, on every subject topic."""
    gate, states, _ = live()
    for value, key, reason in (
        (None, b"s-1", "value.missing"),
        (granted(), None, "key.missing"),
        (granted(), b"", "key.missing"),
        (granted(), b"s-2", "key.mismatch"),
        (granted(), b"\xff", "key.mismatch"),
    ):
        gate.consent(record("consent", value, key), states)
        assert dead(gate) == [reason]
    gate.request(record("request", requested(), b"s-2"), states, NOW_MS, Position(0, 0, 0, 0, 0, 0))
    assert dead(gate) == ["key.mismatch"]
    assert not states.subjects


def test_an_opt_out_with_the_wrong_key_binds_both_subjects() -> None:
    """Which of the two was meant cannot be known, so neither is called."""
    gate, states, _ = live()
    for subject in ("s-1", "s-2"):
        gate.consent(record("consent", granted(subject_id=subject), subject.encode()), states)
    gate.consent(record("consent", withdrawn(subject_id="s-2"), b"s-1"), states)
    assert dead(gate) == ["key.mismatch"]
    for subject in ("s-1", "s-2"):
        ask = requested("r-" + subject, subject_id=subject)
        gate.request(record("request", ask, subject.encode()), states, NOW_MS, Position(0, 0, 0, 0, 0, 0))
    assert [json.loads(out.value)["verdict"] for out in gate.out if out.kind == "decision"] == ["block", "block"]


def test_the_partitioner_is_kafkas() -> None:
    """The hash is Kafka's murmur2 (vectors from Kafka's own UtilsTest)."""
    for data, expected in ((b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)):
        assert murmur2(data) == expected & 0x7FFFFFFF
    for data, expected in ((b"abc", 479470107), (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)):
        assert murmur2(data) == expected & 0x7FFFFFFF


def test_a_misplaced_opt_out_and_a_misplaced_request_are_carried() -> None:
    """A key on a partition that does not own it: the record goes on to the relay, and nothing is done with it here."""
    wrong = next(f"s-{n}" for n in range(99) if murmur2(f"s-{n}".encode()) % 8)
    gate, states, _ = live(strict_partition=8)
    gate.consent(record("consent", withdrawn(subject_id=wrong), wrong.encode()), states)
    assert [(out.kind, out.requester) for out in gate.out] == [("relay", "consent")]
    gate.out.clear()
    gate.request(
        record("request", requested(subject_id=wrong), wrong.encode()), states, NOW_MS, Position(0, 0, 0, 0, 0, 0)
    )
    assert [(out.kind, out.requester) for out in gate.out] == [("relay", "request")]
    assert not states.subjects


def test_times_that_nobody_can_mean_are_refused_and_restrictions_get_the_brokers() -> None:
    """A grant or request from 1999 or the day after tomorrow is refused; an opt-out is taken at the record's time."""
    gate, states, _ = live()
    for time in ("1999-12-31T23:59:59Z", "2026-06-02T08:11:01Z", "9999-01-01T00:00:00Z"):
        gate.consent(record("consent", granted(time=time)), states)
        gate.request(record("request", requested(time=time)), states, NOW_MS, Position(0, 0, 0, 0, 0, 0))
        assert dead(gate) == ["time.absurd", "time.absurd"]
        gate.consent(record("consent", withdrawn(time=time, event_id=time)), states)
        assert dead(gate) == ["time.absurd"]
    assert {w.time_ms for w in states.get(b"s-1").withdrawals} == {NOW_MS + 60_000}


def test_live_dead_letters_hold_the_record_sealed_and_nothing_in_clear() -> None:
    """The seal opens to the very bytes; neither letter nor headers nor key hold a part of the input."""
    gate, states, _ = live()
    value = text(requested(purpose=7, address=CANARY, note="canary-word"))
    gate.request(record("request", value, b"+12125550199", 77), states, NOW_MS, Position(0, 77, 0, 0, 0, 0))
    out, answer = gate.out
    assert b"canary-word" not in answer.value
    letter = json.loads(out.value)
    assert out.key is None
    assert b"canary-word" not in out.value
    assert b"5550199" not in out.value + b"".join(v for _, v in out.headers)
    opened = Sealer(b"s" * 32).open("request/0/77", letter["sealed"])
    assert (opened.key, opened.value) == (b"+12125550199", value)


def test_a_requester_without_a_topic_is_blocked_and_reserves_nothing() -> None:
    """An approval nobody can read is not given, also not when the request comes again."""
    gate, states, _ = live(requesters=frozenset({"callcentre"}))
    gate.consent(record("consent", granted()), states)
    for _ in range(2):
        gate.request(record("request", requested()), states, NOW_MS, Position(0, 0, 1, 0, 0, 0))
    made = [json.loads(out.value) for out in gate.out]
    assert [m["verdict"] for m in made] == ["block", "block"]
    assert [r["rule"] for r in made[0]["reasons"]] == ["party.unknown"]
    assert not states.get(b"s-1").contacts


def test_decisions_are_a_chain_and_approvals_say_nothing_about_the_person() -> None:
    """seq counts from 0, each record names the hash before it; an approval holds vendor-safe fields only."""
    gate, states, _ = live()
    gate.consent(record("consent", granted()), states)
    for number in range(3):
        gate.request(
            record("request", requested(f"r-{number}"), offset=number), states, NOW_MS, Position(0, number, 1, 0, 0, 0)
        )
    decisions = [out for out in gate.out if out.kind == "decision"]
    assert verify([out.value for out in decisions]).seq == 2
    approvals = [json.loads(out.value) for out in gate.out if out.kind == "approval"]
    assert all(
        set(a)
        == {"type", "approval_id", "approval_ref", "partition", "request_id", "subject_token", "channel", "valid_until"}
        for a in approvals
    )
    assert json.loads(decisions[0].value)["approval_ref"] == approvals[0]["approval_ref"]
    assert dict(decisions[0].headers).keys() >= {"ce_id", "ce_type", "ce_source", "ce_time"}


def test_control_records_are_keyed_and_nothing_is_removed_by_key() -> None:
    """A control record under a key that is not its own is refused, but a pause binds; no value changes nothing."""
    world = World()
    feed = WorldFeed(TOKENS, world, source="/test", sealer=None)
    pause = {"type": "pause.set", "event_id": "e-1", "time": at(0), "pause_id": "p-1"}
    feed.control(record("control", pause, b"pause:other"))
    assert [json.loads(out.value)["reason"] for out in feed.out] == ["key.mismatch"]
    assert {each.pause_id for each in world.pauses} == {"p-1", "other"}
    feed.out.clear()
    for key in (b"pause:p-1", b"party:x", b"policy:active", b"notice:n:1", b"registry:r:v", None):
        assert feed.control(record("control", None, key)) is None
    assert len(world.pauses) == 2
    token = TOKENS.contactable("voice", CANARY).token
    feed.suppression(record("suppression", SUPPRESSED, token.encode()))
    assert set(world.suppressions) == {token}
    assert feed.suppression(record("suppression", None, token.encode())) is None
    assert set(world.suppressions) == {token}
    assert {json.loads(out.value)["reason"] for out in feed.out} == {"value.missing"}
    assert len(feed.out) == 7


def test_suppressions_of_one_address_by_two_writers_both_bind_and_both_stay_in_the_log() -> None:
    """A second suppression adds to the first, and the topic is kept whole, so that a restart still reads both."""
    world = World()
    feed = WorldFeed(TOKENS, world, source="/test", sealer=None)
    token = TOKENS.contactable("voice", CANARY).token
    first = {**SUPPRESSED, "channels": ["voice"], "controller": "bank"}
    second = {**SUPPRESSED, "event_id": "e-2", "channels": ["sms"], "controller": "insurer"}
    for message in (first, second):
        feed.suppression(record("suppression", message, token.encode()))
    assert {s.controller for s in world.suppressions[token]} == {"bank", "insurer"}
    spec = next(s for s in topic_specs(Layout("", 4, (), 1)) if s.name == "address-suppressions")
    assert (spec.configs["cleanup.policy"], spec.configs["retention.ms"]) == ("delete", "-1")

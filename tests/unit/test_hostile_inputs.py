"""Hostile inputs through the gate: never a crash, never a pass, one dead letter each, and no opt-out that vanishes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contactgate.codec.seal import Sealer
from contactgate.codec.strict import REASONS
from contactgate.codec.tokens import Tokens
from contactgate.core.chain import GENESIS, verify
from contactgate.core.world import World
from contactgate.gate import Gate, Position, Record, WorldFeed, murmur2
from contactgate.offline import Fold, MemoryStates
from contactgate.policy.load import load_policy
from contactgate.topics import Layout, topic_specs

TOKENS = Tokens(b"k" * 32)
POLICY = {
    "policy": "hostile",
    "packs": [],
    "approval_ttl": "15m",
    "dedup_horizon": "7d",
    "unreported": "count",
    "require": {"campaign": False, "party": False, "notice": False},
    "purposes": {"marketing": {"consent": "opt_in"}, "service": {"consent": "opt_out"}, "debt": {"consent": "none"}},
}
COMPILED = load_policy(POLICY)
CANARY = "+12125550199"


def at(minute: int) -> str:
    """An instant of the day that all of these tests live in."""
    return f"2026-06-01T{8 + minute // 60:02d}:{minute % 60:02d}:00Z"


def granted(**changed: Any) -> dict[str, Any]:
    """A consent to marketing by voice and sms, given before everything else."""
    return {
        "type": "consent.granted",
        "event_id": "e-0",
        "subject_id": "s-1",
        "time": at(0),
        "controller": "bank",
        "purposes": ["marketing"],
        "channels": ["voice", "sms"],
        "recipients": ["bank", "callcentre"],
        **changed,
    }


def requested(request_id: str = "r-1", minute: int = 30, **changed: Any) -> dict[str, Any]:
    """A marketing call by the bank."""
    return {
        "type": "contact.requested",
        "request_id": request_id,
        "subject_id": "s-1",
        "time": at(minute),
        "requester": "bank",
        "controller": "bank",
        "purpose": "marketing",
        "channel": "voice",
        "address": CANARY,
        **changed,
    }


def text(message: dict[str, Any] | bytes) -> bytes:
    """A message as one line."""
    return message if isinstance(message, bytes) else json.dumps(message).encode()


def run(*lines: dict[str, Any] | bytes) -> list[dict[str, Any]]:
    """What the offline fold answers."""
    state = Fold(COMPILED, TOKENS)
    return [json.loads(out) for line in lines for out in state.line(text(line))]


def verdict(out: list[dict[str, Any]], request_id: str = "r-1") -> str:
    """The verdict on a request."""
    return next(o["verdict"] for o in out if o["type"] == "contact.decided" and o["request_id"] == request_id)


def letters(out: list[dict[str, Any]]) -> list[str]:
    """The reasons of all dead letters."""
    return [o["reason"] for o in out if o["type"] == "dead.letter"]


def withdrawn(**changed: Any) -> dict[str, Any]:
    """An opt-out of everything."""
    return {"type": "consent.withdrawn", "event_id": "e-1", "subject_id": "s-1", "time": at(10), **changed}


def test_the_request_that_everything_here_is_about_passes() -> None:
    """Without an opt-out the request passes: these tests would notice a gate that always blocks."""
    assert verdict(run(granted(), requested())) == "pass"


HALF_READABLE: list[tuple[str, dict[str, Any] | bytes]] = [
    ("bad channels", withdrawn(channels="voice")),
    ("channel of a wrong kind", withdrawn(channels=[7])),
    ("no channels", withdrawn(channels=[])),
    ("star channel", withdrawn(channels=["*"])),
    ("all channels in words", withdrawn(channels=["all"])),
    ("channel in capitals", withdrawn(channels=["VOICE"])),
    ("channel with a space", withdrawn(channels=[" voice"])),
    ("star purpose", withdrawn(purposes=["*"])),
    ("purpose in capitals", withdrawn(purposes=["Marketing"])),
    ("bad controller", withdrawn(controller={"name": "bank"})),
    ("empty controller", withdrawn(controller="")),
    ("any controller", withdrawn(controller="*")),
    ("bad recipients", withdrawn(recipients={})),
    ("no event_id", {k: v for k, v in withdrawn().items() if k != "event_id"}),
    ("event_id with a line end", withdrawn(event_id="e\n1")),
    ("no time", {k: v for k, v in withdrawn().items() if k != "time"}),
    ("naive time", withdrawn(time="2026-06-01T08:10:00")),
    ("second 60", withdrawn(time="2026-06-01T08:10:60Z")),
    ("24:00:00", withdrawn(time="2026-06-01T24:00:00Z")),
    ("dated 1970", withdrawn(time="1970-01-01T00:00:00Z")),
    ("dated 9999", withdrawn(time="9999-01-01T00:00:00Z")),
    ("type in capitals", withdrawn(type="Consent.Withdrawn")),
    ("type with a space", withdrawn(type="consent.withdrawn ")),
    ("NaN in it", text(withdrawn())[:-1] + b',"score":NaN}'),
    ("latin-1 in it", text(withdrawn())[:-1] + b',"said":"ARR\xcaT"}'),
    ("byte order mark", b"\xef\xbb\xbf" + text(withdrawn())),
    ("utf-16", text(withdrawn()).decode().encode("utf-16")),
    ("cut short", text(withdrawn())[:-1]),
    ("too large", text(withdrawn())[:-1] + b',"said":"' + b"x" * 70_000 + b'"}'),
    ("lone surrogate", withdrawn(said="\ud800")),
    ("too deep", text(withdrawn())[:-1] + b',"x":' + b"[" * 900 + b"]" * 900 + b"}"),
    ("duplicate type, grant last", text(withdrawn())[:-1] + b',"type":"consent.granted"}'),
    ("duplicate type by escape", text(withdrawn())[:-1] + b',"\\u0074ype":"consent.granted"}'),
    ("duplicate channels", text(withdrawn(channels=["mail"]))[:-1] + b',"channels":["voice"]}'),
    ("two documents", text(withdrawn()) + b" " + text(granted(event_id="e-9", time=at(20)))),
    ("erased without time", {"type": "subject.erased", "event_id": "e-1", "subject_id": "s-1"}),
    ("complaint by letter", {**withdrawn(type="complaint.received"), "channel": ["voice"]}),
    ("complaint everywhere", {**withdrawn(type="complaint.received"), "channel": "*"}),
    ("dead, zone bad", {**withdrawn(type="subject.updated"), "flags": ["deceased"], "timezone": 8}),
    ("minor among others", {**withdrawn(type="subject.updated"), "flags": ["minor", "tall"]}),
]


@pytest.mark.parametrize("event", [case[1] for case in HALF_READABLE], ids=[case[0] for case in HALF_READABLE])
def test_a_restricting_event_that_is_damaged_still_restricts(event: dict[str, Any] | bytes) -> None:
    """Whatever is wrong with an opt-out, it is one dead letter and the request after it is blocked (rule 28)."""
    out = run(granted(), event, requested())
    assert verdict(out) == "block"
    assert len(letters(out)) == 1
    assert set(letters(out)) <= REASONS.keys()


@pytest.mark.parametrize("event", [case[1] for case in HALF_READABLE], ids=[case[0] for case in HALF_READABLE])
def test_a_damaged_restriction_recalls_what_is_open(event: dict[str, Any] | bytes) -> None:
    """An approval that is open when a damaged opt-out comes is recalled."""
    line = text(event).replace(at(10).encode(), at(35).encode())
    out = run(granted(), requested(), line)
    assert verdict(out) == "pass"
    if b"1970" in line or b"08:10:00" in line:
        return  # its own, readable time lies before the approval's lines; judged above
    assert any(o["type"] == "contact.recalled" for o in out)


def test_a_damaged_opt_out_keeps_what_can_be_read_of_it() -> None:
    """Bad channels mean all channels, but the controller that was named stays the only one."""
    other = granted(controller="insurer", event_id="e-7", recipients=None)
    ask = requested("r-2", controller="insurer", requester="insurer")
    out = run(granted(), other, withdrawn(controller="bank", channels="voice"), requested(), ask)
    assert (verdict(out), verdict(out, "r-2")) == ("block", "pass")


def test_a_damaged_grant_permits_nothing() -> None:
    """A consent that cannot be read whole is a dead letter and no consent."""
    for bad in (
        granted(expires_at="31/12/2026"),
        granted(purposes="marketing"),
        granted(channels=[]),
        granted(time="2026-06-01T08:00:00"),
        text(granted())[:-1] + b',"purposes":["marketing"]}',
        granted(evidence="web"),
        granted(windows=[{"from": "25:00"}]),
    ):
        out = run(bad, requested())
        assert verdict(out) == "block"
        assert len(letters(out)) == 1


def test_a_later_valid_consent_revives_what_a_damaged_opt_out_took() -> None:
    """The widest reading has the time of its line: who consents again afterwards can be called again."""
    out = run(granted(), withdrawn(time="nonsense"), granted(event_id="e-5", time=at(20)), requested())
    assert verdict(out) == "pass"


def test_flags_of_a_damaged_update_never_lift_others() -> None:
    """A damaged update that names one flag keeps the flags that were known."""
    dead = {"type": "subject.updated", "event_id": "e-1", "subject_id": "s-1", "time": at(1), "flags": ["deceased"]}
    out = run(granted(), dead, {**dead, "event_id": "e-2", "time": at(2), "flags": ["minor", "?"]}, requested())
    rules = {r["rule"] for o in out if o["type"] == "contact.decided" for r in o["reasons"]}
    assert {"subject.deceased", "subject.minor"} <= rules


@pytest.mark.parametrize("outcome", ["unsubscribed", "complained"])
def test_a_hard_outcome_with_a_bad_time_binds(outcome: str) -> None:
    """An opt-out reported by a dialer counts although its time or its matters cannot be read."""
    for bad in ({"time": "nonsense"}, {"time": at(31), "matters": "debt"}, {"time": at(31), "event_id": ""}):
        end = {"type": "contact.outcome", "event_id": "o-1", "request_id": "r-1", "subject_id": "s-1"}
        out = run(granted(), requested(), {**end, "outcome": outcome, **bad}, requested("r-2", 40))
        assert (verdict(out), verdict(out, "r-2")) == ("pass", "block")
        assert len(letters(out)) == 1


def test_an_opt_out_reported_for_an_unknown_request_binds() -> None:
    """Which purpose it was about cannot be known any more, so it is read as all of them; and it is a dead letter."""
    end = {"type": "contact.outcome", "event_id": "o-1", "request_id": "r-9", "subject_id": "s-1", "time": at(20)}
    out = run(granted(), {**end, "outcome": "unsubscribed"}, requested())
    assert (verdict(out), letters(out)) == ("block", ["outcome.unknown_request"])
    out = run(granted(), {**end, "outcome": "answered"}, requested())
    assert (verdict(out), letters(out)) == ("pass", ["outcome.unknown_request"])


SUPPRESSED = {"type": "address.suppressed", "event_id": "e-1", "time": at(10), "address": CANARY, "reason": "manual"}
DAMAGED_SUPPRESSIONS: list[dict[str, Any] | bytes] = [
    {**SUPPRESSED, "expires_at": "31/12/2026"},
    {**SUPPRESSED, "channels": ["VOICE"]},
    {**SUPPRESSED, "channels": []},
    {**SUPPRESSED, "controller": 7},
    {**SUPPRESSED, "time": "yesterday"},
    {**SUPPRESSED, "event_id": None},
    {**SUPPRESSED, "campaigns": ["*"]},
    text(SUPPRESSED)[:-1] + b',"channels":["mail"],"channels":["voice"]}',
    text(SUPPRESSED)[:-1] + b',"address":"+442079460000"}',
]


@pytest.mark.parametrize("event", DAMAGED_SUPPRESSIONS)
def test_a_damaged_suppression_suppresses_and_is_a_dead_letter(event: dict[str, Any] | bytes) -> None:
    """A suppression whose address can be read binds for ever and everywhere, whatever else is wrong with it."""
    out = run(granted(), event, requested())
    assert verdict(out) == "block"
    assert len(letters(out)) == 1


def test_spellings_of_a_number_are_one_number() -> None:
    """A suppression given in one spelling binds requests in every other; what cannot be read blocks."""
    for spelling in ("+1 (212) 555-0199", "tel:+1-212-555-0199", "0012125550199", "+1 212 555 0199 ext. 3"):
        out = run(granted(), SUPPRESSED, requested(address=spelling))
        rules = {r["rule"] for o in out if o["type"] == "contact.decided" for r in o["reasons"]}
        assert rules & {"address.suppressed", "request.malformed"}, spelling
    for bad in ("12125550199", "hello", "+", "", "+1" * 200):
        assert verdict(run(granted(), requested(address=bad))) == "block"


@pytest.mark.parametrize(
    "bad",
    [
        {"pause_id": "p-1", "scope": {"channels": "voice"}},
        {"pause_id": "p-1", "scope": {"channels": []}},
        {"pause_id": "p-1", "scope": {"channels": ["VOICE"]}},
        {"pause_id": "p-1", "scope": "everything"},
        {"pause_id": "p-1", "until": "soon"},
        {"pause_id": "p-1", "time": "now"},
        {"pause_id": "p-1", "event_id": 3},
    ],
)
def test_a_damaged_pause_pauses(bad: dict[str, Any]) -> None:
    """A pause with a name stops at least everything that it would have stopped."""
    out = run(granted(), {"type": "pause.set", "event_id": "e-1", "time": at(10), **bad}, requested())
    assert verdict(out) == "block"
    assert len(letters(out)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "party.updated", "party_id": "bank", "status": "suspended", "agreements": "none"},
        {"type": "party.updated", "party_id": "bank", "status": "Ended"},
        {"type": "campaign.updated", "campaign_id": "c-1", "status": "paused", "channels": "voice"},
        {"type": "campaign.updated", "campaign_id": "c-1", "status": "closed", "time": 0},
    ],
)
def test_a_damaged_suspension_suspends(bad: dict[str, Any]) -> None:
    """A party or campaign that was to be stopped is stopped, whatever else cannot be read."""
    out = run(granted(), {"event_id": "e-1", "time": at(10), **bad}, requested(campaign_id="c-1"))
    assert verdict(out) == "block"
    assert len(letters(out)) == 1


def test_damaged_control_events_that_permit_do_nothing() -> None:
    """A notice, a party, a policy or a lifted pause that cannot be read changes nothing."""
    pause = {"type": "pause.set", "event_id": "e-1", "time": at(1), "pause_id": "p-1"}
    for bad in (
        {"type": "pause.lifted", "event_id": "e-2", "time": "now", "pause_id": "p-1"},
        {"type": "policy.activated", "event_id": "e-2", "time": at(2), "document": {"policy": "x", "caps": 3}},
        {
            "type": "policy.activated",
            "event_id": "e-2",
            "time": at(2),
            "policy": "sha256:" + "0" * 64,
            "document": POLICY,
        },
        {
            "type": "notice.published",
            "event_id": "e-2",
            "time": at(2),
            "notice_id": "n",
            "version": True,
            "controller": "b",
        },
    ):
        out = run(granted(), pause, bad, requested())
        assert verdict(out) == "block"
        assert len(letters(out)) == 1


def test_claims_inside_a_request_change_nothing() -> None:
    """Unknown fields are ignored: nobody talks the gate into a pass."""
    for claim in ({"override": True}, {"emergency": True}, {"test": True}, {"verdict": "pass"}, {"policy": "sha256:0"}):
        assert verdict(run(requested(**claim))) == "block"


def test_identifiers_cannot_collide_by_their_separators() -> None:
    """Tokens of (a|b, c) and (a, b|c) differ, for vendors and approvals."""
    assert TOKENS.subject("a|b", "c") != TOKENS.subject("a", "b|c")
    assert TOKENS.subject("1:a", "b") != TOKENS.subject("1", "a:b")
    assert TOKENS.approval("a", "b", 1) != TOKENS.approval("a:1:b", "", 1)
    assert TOKENS.address("voice", "x") == TOKENS.address("sms", "x") != TOKENS.address("email", "x")


def test_a_token_that_is_not_ours_blocks() -> None:
    """An address_token of another form, or of another address than the clear one, is request.malformed."""
    own = TOKENS.contactable("voice", CANARY).token
    for bad in (
        {"address": None, "address_token": "deadbeef"},
        {"address_token": TOKENS.address("voice", "+442079460000")},
    ):
        out = run(granted(), requested(**bad))
        assert [r["rule"] for r in out[-1]["reasons"]] == ["request.malformed"]
    assert verdict(run(granted(), requested(address=None, address_token=own))) == "pass"


# --- live: keys, partitions, seals ---------------------------------------------------------------------------------


def live(**options: Any) -> tuple[Gate, MemoryStates, World]:
    """A gate as the engine makes one."""
    world = World()
    world.activate(COMPILED)
    gate = Gate(TOKENS, world, partition=0, seq=0, prev=GENESIS, source="/test", sealer=Sealer(b"s" * 32), **options)
    return gate, MemoryStates(), world


NOW_MS = 1_780_301_400_000  # 2026-06-01T08:10:00Z


def record(topic: str, message: dict[str, Any] | bytes | None, key: bytes | None = b"s-1", offset: int = 0) -> Record:
    """A record as Kafka gives it."""
    return Record(topic, 0, offset, NOW_MS + 60_000, key, None if message is None else text(message))


def dead(gate: Gate) -> list[str]:
    """Reasons of the dead letters in a gate's output, which is then cleared."""
    found = [json.loads(out.value)["reason"] for out in gate.out if out.kind == "dead"]
    gate.out.clear()
    return found


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
    assert [json.loads(out.value)["verdict"] for out in gate.out] == ["block", "block"]


def test_the_partitioner_is_kafkas() -> None:
    """The hash is Kafka's murmur2 (vectors from Kafka's own UtilsTest)."""
    for data, expected in ((b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)):
        assert murmur2(data) == expected & 0x7FFFFFFF
    for data, expected in ((b"abc", 479470107), (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)):
        assert murmur2(data) == expected & 0x7FFFFFFF


def test_a_misplaced_opt_out_binds_and_a_misplaced_request_is_refused() -> None:
    """A key on a partition that does not own it: dead letter, and a restriction is applied where it is."""
    wrong = next(f"s-{n}" for n in range(99) if murmur2(f"s-{n}".encode()) % 8)
    gate, states, _ = live(strict_partition=8)
    gate.consent(record("consent", withdrawn(subject_id=wrong), wrong.encode()), states)
    assert dead(gate) == ["partition.wrong"]
    assert states.get(wrong.encode()).withdrawals
    gate.request(
        record("request", requested(subject_id=wrong), wrong.encode()), states, NOW_MS, Position(0, 0, 0, 0, 0, 0)
    )
    assert dead(gate) == ["partition.wrong"]


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
    (out,) = gate.out
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
    assert made[1]["duplicate"]
    assert not states.get(b"s-1").contacts


def test_decisions_are_a_chain_and_approvals_say_nothing_about_the_person() -> None:
    """seq counts from 0, each record names the hash before it; an approval holds six vendor-safe fields."""
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
        set(a) == {"type", "approval_id", "request_id", "subject_token", "channel", "valid_until"} for a in approvals
    )
    assert json.loads(decisions[0].value)["approval_id"] == approvals[0]["approval_id"]
    assert dict(decisions[0].headers).keys() >= {"ce_id", "ce_type", "ce_source", "ce_time"}


def test_control_records_are_keyed_and_tombstones_remove() -> None:
    """A control record under a key that is not its own is refused, but a pause binds; a tombstone lifts it."""
    world = World()
    feed = WorldFeed(TOKENS, world, source="/test", sealer=None)
    pause = {"type": "pause.set", "event_id": "e-1", "time": at(0), "pause_id": "p-1"}
    feed.control(record("control", pause, b"pause:other"))
    assert [json.loads(out.value)["reason"] for out in feed.out] == ["key.mismatch"]
    assert set(world.pauses) == {"p-1", "other"}
    for key in (b"pause:p-1", b"pause:other"):
        feed.control(record("control", None, key))
    assert not world.pauses
    token = TOKENS.contactable("voice", CANARY).token
    feed.suppression(record("suppression", SUPPRESSED, token.encode()))
    assert set(world.suppressions) == {token}
    feed.suppression(record("suppression", None, token.encode()))
    assert not world.suppressions


def test_preferred_hours_bind_the_channels_they_name() -> None:
    """Hours chosen for voice do not bind an e-mail, and bind a call; hours without channels bind everything."""
    chosen = {
        "type": "subject.updated",
        "event_id": "e-1",
        "subject_id": "s-1",
        "time": at(1),
        "timezone": "UTC",
        "preferred_windows": [{"channels": ["voice"], "from": "18:00", "to": "20:00"}],
    }
    ask = requested("r-2", channel="email", address="a@example.com")
    mailed = granted(channels=["email", "voice"])
    out = run(mailed, chosen, requested(), ask)
    assert (verdict(out), verdict(out, "r-2")) == ("block", "pass")
    out = run(mailed, {**chosen, "preferred_windows": [{"from": "18:00", "to": "20:00"}]}, requested(), ask)
    assert (verdict(out), verdict(out, "r-2")) == ("block", "block")


def test_suppressions_of_one_address_by_two_writers_both_bind_and_both_stay_in_the_log() -> None:
    """A second suppression adds to the first, and the topic is not compacted, so that a restart still reads both."""
    world = World()
    feed = WorldFeed(TOKENS, world, source="/test", sealer=None)
    token = TOKENS.contactable("voice", CANARY).token
    first = {**SUPPRESSED, "channels": ["voice"], "controller": "bank"}
    second = {**SUPPRESSED, "event_id": "e-2", "channels": ["sms"], "controller": "insurer"}
    for message in (first, second):
        feed.suppression(record("suppression", message, token.encode()))
    assert {s.controller for s in world.suppressions[token]} == {"bank", "insurer"}
    spec = next(s for s in topic_specs(Layout("", 4, (), 1)) if s.name == "address-suppressions")
    assert int(spec.configs["min.compaction.lag.ms"]) > 9 * 365 * 86_400_000

"""Who opts out by an outcome closes the address for everybody, and opens it again by a consent (SEMANTICS rule 43)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kit.gatekit import CANARY, COMPILED, NOW_MS, TOKENS, at, granted, letters, live, record, requested, run, text

from contactgate.codec.state import decode, encode
from contactgate.model.log import Position
from contactgate.names import Kind
from contactgate.offline import Fold

POSITION = Position(0, 0, 0, 0, 0, 0)


def asked(request_id: str, minute: int, subject: str = "s-1", **changed: Any) -> dict[str, Any]:
    """A request of the bank."""
    return requested(request_id, minute, subject_id=subject, **changed)


def both(**changed: Any) -> list[dict[str, Any]]:
    """Two records that may be one person: both consented."""
    return [granted(**changed), granted(event_id="e-00", subject_id="s-2", **changed)]


def outcome(word: str = "unsubscribed", minute: int = 31, event_id: str = "o-1", **changed: Any) -> dict[str, Any]:
    """What became of r-1."""
    said = {"event_id": event_id, "request_id": "r-1", "subject_id": "s-1", "time": at(minute), "outcome": word}
    return {"type": "contact.outcome", **said, **changed}


def verdicts(out: list[dict[str, Any]]) -> dict[str, str]:
    """Request -> verdict."""
    return {o["request_id"]: o["verdict"] for o in out if o["type"] == "contact.decided"}


@pytest.mark.parametrize("word", ["unsubscribed", "complained"])
def test_the_same_address_under_another_subject_is_stopped(word: str) -> None:
    """Its open approval is recalled, and the next request blocks as suppressed, without any dead letter."""
    out = run(*both(), asked("r-1", 30), asked("r-2", 30, "s-2"), outcome(word), asked("r-3", 40, "s-2"))
    assert verdicts(out) == {"r-1": "pass", "r-2": "pass", "r-3": "block"}
    assert [o["reason"] for o in out if o["type"] == "contact.recalled"] == ["suppressed"]
    assert {r["rule"] for o in out for r in o.get("reasons", [])} == {"address.suppressed"}
    assert letters(out) == []


def test_a_contact_that_was_observed_closes_the_address_too() -> None:
    """Whoever made the contact."""
    seen = {
        "type": "contact.observed", "event_id": "o-1", "subject_id": "s-1", "time": at(31), "controller": "bank",
        "channel": "voice", "purpose": "marketing", "outcome": "unsubscribed", "address": CANARY,
    }  # fmt: skip
    assert verdicts(run(*both(), seen, asked("r-2", 40, "s-2"))) == {"r-2": "block"}
    del seen["address"]
    assert verdicts(run(*both(), seen, asked("r-2", 40, "s-2"))) == {"r-2": "pass"}


def test_other_controllers_channels_purposes_and_outcomes_are_free() -> None:
    """A closure is of that controller, that channel, marketing and the contact's own purpose."""
    insurer = granted(event_id="e-7", subject_id="s-2", controller="insurer", recipients=["insurer"])
    other = asked("r-2", 40, "s-2", controller="insurer", requester="insurer")
    service, sms = asked("r-3", 40, "s-2", purpose="service"), asked("r-4", 40, "s-2", channel="sms")
    out = run(*both(), insurer, asked("r-1", 30), outcome(), other, service, sms)
    assert verdicts(out) == {"r-1": "pass", "r-2": "pass", "r-3": "pass", "r-4": "pass"}
    assert verdicts(run(*both(), asked("r-1", 30), outcome("refused"), asked("r-2", 40, "s-2")))["r-2"] == "pass"


def test_a_complaint_about_a_service_call_closes_it_for_marketing_and_that_service() -> None:
    """Rule 44 says what is withdrawn, and the address is closed for the same."""
    about = asked("r-1", 30, purpose="service")
    later = asked("r-2", 40, "s-2"), asked("r-3", 40, "s-2", purpose="service")
    assert verdicts(run(*both(), about, outcome("complained"), *later)) == {
        "r-1": "pass",
        "r-2": "block",
        "r-3": "block",
    }


def test_a_later_consent_of_the_same_subject_opens_what_she_closed() -> None:
    """For everybody who uses the address; a consent of somebody else, an earlier one or a narrower one does not."""
    closed = [*both(), asked("r-1", 30), outcome()]
    again = asked("r-2", 50), asked("r-3", 50, "s-2")
    opened = {"r-1": "pass", "r-2": "pass", "r-3": "pass"}
    assert verdicts(run(*closed, granted(event_id="g-2", time=at(45)), *again)) == opened
    for change in (
        {"subject_id": "s-2"},
        {"time": at(30)},
        {"channels": ["sms"]},
        {"purposes": ["marketing.insurance"]},
        {"controller": "insurer"},
        {"data_categories": ["everything there is"]},
    ):
        kept = granted(event_id="g-2", **{"time": at(45), **change})
        assert verdicts(run(*closed, kept, asked("r-3", 50, "s-2")))["r-3"] == "block", change


def test_suppressions_of_another_origin_stay() -> None:
    """Neither by hand nor by the other person: a consent opens exactly what was written for her."""
    by_hand = {
        "type": "address.suppressed", "event_id": "m-1", "time": at(5), "address": CANARY, "controller": "bank",
        "channels": ["voice"], "purposes": ["marketing"], "reason": "unsubscribed",
    }  # fmt: skip
    again = granted(event_id="g-2", time=at(45)), asked("r-3", 50)
    for minute in (31, 40):
        manual = {**by_hand, "time": at(minute)}
        assert verdicts(run(*both(), asked("r-1", 30), outcome(minute=35), manual, *again))["r-3"] == "block"
        assert verdicts(run(*both(), asked("r-1", 30), manual, outcome(minute=41), *again))["r-3"] == "block"
    second = asked("r-2", 30, "s-2"), outcome(event_id="o-2", request_id="r-2", subject_id="s-2")
    assert verdicts(run(*both(), asked("r-1", 30), *second, outcome(), *again))["r-3"] == "block"


def test_an_opt_out_after_the_consent_closes_again() -> None:
    """Another report of the same contact that is newer than the consent binds; a repetition of the old one does not."""
    start = [*both(), asked("r-1", 30), outcome(), granted(event_id="g-2", time=at(45))]
    assert verdicts(run(*start, outcome(), asked("r-3", 50, "s-2")))["r-3"] == "pass"
    assert verdicts(run(*start, outcome(minute=46, event_id="o-2"), asked("r-3", 50, "s-2")))["r-3"] == "block"


def test_an_opt_out_that_comes_late_is_judged_by_its_time() -> None:
    """One that is older than a consent by more than clocks may differ opens with it; a younger one binds."""
    start = [*both(), asked("r-1", 30), granted(event_id="g-2", time=at(55))]
    assert verdicts(run(*start, outcome(minute=31), asked("r-3", 56, "s-2")))["r-3"] == "pass"
    assert verdicts(run(*start, outcome(minute=50), asked("r-3", 56, "s-2")))["r-3"] == "block"


def test_an_erasure_ends_no_closure_and_a_consent_after_it_still_opens() -> None:
    """What was written for the person is not forgotten with the person."""
    erased = {"type": "subject.erased", "event_id": "x-1", "subject_id": "s-1", "time": at(40)}
    start = [*both(), asked("r-1", 30), outcome(), erased]
    assert verdicts(run(*start, asked("r-3", 50, "s-2")))["r-3"] == "block"
    assert verdicts(run(*start, granted(event_id="g-2", time=at(45)), asked("r-3", 50, "s-2")))["r-3"] == "pass"


def test_live_it_goes_through_the_relay_and_names_nobody() -> None:
    """One record each, for the topic of suppressions; the same outcome again writes nothing."""
    gate, states, _ = live()
    gate.consent(record(Kind.CONSENT, granted()), states)
    gate.request(record(Kind.REQUEST, asked("r-1", 10)), states, NOW_MS, POSITION)
    (approved,) = [json.loads(each.value) for each in gate.out if each.kind == Kind.APPROVAL]
    gate.out.clear()
    said = {**outcome(minute=10), "approval_id": approved["approval_id"]}
    for _ in range(2):
        gate.outcome(record(Kind.OUTCOME, said, offset=3), states)
    (out,) = [each for each in gate.out if each.kind == Kind.RELAY]
    assert out.requester == Kind.SUPPRESSION
    message = json.loads(out.value)
    assert out.key == message["address_token"].encode() == TOKENS.contactable("voice", CANARY).token.encode()
    assert b"s-1" not in out.value
    assert (message["reason"], message["purposes"], message["channels"]) == ("unsubscribed", ["marketing"], ["voice"])
    gate.out.clear()
    for event_id in ("g-2", "g-3"):
        gate.consent(record(Kind.CONSENT, granted(event_id=event_id, time=at(11))), states)
    (out,) = [each for each in gate.out if each.kind == Kind.RELAY]
    assert json.loads(out.value)["events"] == [message["event_id"]]


def test_closures_survive_encoding_and_are_bounded() -> None:
    """However often a contact is reported, a state keeps few of them, the latest, and stays what it is on disk."""
    fold = Fold(COMPILED, TOKENS)
    for line in (granted(), asked("r-1", 30), *(outcome(event_id=f"o-{n}", minute=31 + n // 10) for n in range(100))):
        fold.line(text(line))
    state = fold.states.get(b"s-1")
    assert len(state.profile.closed) == 16
    assert state.profile.closed[-1].event_id == "o-99"
    assert decode(encode(state, 0)) == state
    assert verdicts([json.loads(x) for x in fold.line(text(asked("r-2", 50)))]) == {"r-2": "block"}
    fold.line(text(granted(event_id="g-2", time=at(51))))
    assert verdicts([json.loads(x) for x in fold.line(text(asked("r-3", 52)))]) == {"r-3": "pass"}

"""Who may report on a contact: the holder of its sealed approval, and nobody else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kit.gatekit import COMPILED, NOW_MS, POLICY, TOKENS, at, granted, live, record, requested, text

from contactgate.codec.handles import Handle, Handles
from contactgate.codec.tokens import Tokens
from contactgate.gate import Gate
from contactgate.model.log import Position, Record, murmur2
from contactgate.offline import Fold, MemoryStates
from contactgate.policy.load import load_policy

OTHER = "+12125550123"


def report(**changed: Any) -> dict[str, Any]:
    """A report by handle; `approval_id` is for the test to give."""
    return {"type": "contact.outcome", "event_id": "o-1", "time": at(40), "outcome": "answered", **changed}


class Place:
    """A live gate in which s-1 has an approval, and the outcomes that it is given."""

    def __init__(self, **policy: Any) -> None:
        self.gate: Gate
        self.states: MemoryStates
        self.gate, self.states, world = live()
        world.activate(load_policy({**POLICY, **policy}) if policy else COMPILED)
        self.gate.consent(record("consent", granted()), self.states)
        self.gate.request(record("request", requested("r-1")), self.states, NOW_MS, Position(0, 0, 1, 0, 0, 0))
        outs = {out.kind: json.loads(out.value) for out in self.gate.out}
        self.approval, self.decision = outs["approval"], outs["decision"]
        self.gate.out.clear()

    def outcome(self, message: dict[str, Any] | bytes, key: bytes | None = None) -> list[str]:
        """The reasons of the dead letters that a record on contact-outcomes becomes."""
        self.gate.outcome(Record("outcome", 0, 0, NOW_MS + 1_800_000, key, text(message)), self.states)
        found = [json.loads(out.value).get("reason") for out in self.gate.out if out.kind == "dead"]
        self.gate.out.clear()
        return found

    @property
    def contact(self) -> Any:
        """What is known of the approval."""
        return self.states.get(b"s-1").contacts[0]


def test_a_handle_stands_on_the_approval_alone_and_the_decision_refers_to_it() -> None:
    """The reference is the digest of the handle; approval_id is no field of a decision."""
    place = Place()
    assert "approval_id" not in place.decision
    handles = Handles(TOKENS)
    assert handles.reference(place.approval["approval_id"]) == place.decision["approval_ref"]
    assert place.approval["approval_ref"] == place.decision["approval_ref"]
    assert handles.open(place.approval["approval_id"]) == Handle("s-1", "r-1", "bank", 0, NOW_MS)
    assert place.approval["partition"] == 0


@pytest.mark.parametrize("key", [None, b"s-1", b"anything", b"\xff"])
def test_a_handle_is_enough_under_any_key(key: bytes | None) -> None:
    """Neither subject nor request is needed, and the record's key does not matter."""
    place = Place()
    assert place.outcome(report(approval_id=place.approval["approval_id"], outcome="No-Answer"), key) == []
    assert place.contact.outcome == "no_answer"


def forged(handle: str) -> list[str]:
    """Handles that are none of this approval's: flipped, foreign, cut, of another approval, of the old kind."""
    other = Handles(Tokens(b"x" * 32)).seal(Handle("s-1", "r-1", "bank", 0, NOW_MS))
    flips = [handle[:at] + ("A" if handle[at] != "A" else "B") + handle[at + 1 :] for at in range(3, len(handle), 7)]
    return [*flips, other, handle[:-1], handle + "A", handle.upper(), "ap.", "ap.AAAA", "r-1", "ap-" + "0" * 32]


def test_what_is_no_handle_of_ours_changes_nothing() -> None:
    """It is a dead letter, whatever it says; an opt-out stops the marketing of the one subject that it names."""
    place = Place(outcomes_by="both")
    before = place.states.get(b"s-1")
    for handle in forged(place.approval["approval_id"]):
        for outcome in ("not_attempted", "answered", "complained", "SALE"):
            assert place.outcome(report(approval_id=handle, outcome=outcome)) == ["outcome.unknown_approval"], handle
            assert place.states.get(b"s-1") == before
            assert set(place.states.subjects) == {b"s-1"}
    place.outcome(report(approval_id="ap.x", outcome="complained", subject_id="s-2"))
    (withdrawal,) = place.states.get(b"s-2").withdrawals
    assert (withdrawal.controller, withdrawal.purposes, withdrawal.channels) == (None, ("marketing",), None)
    assert place.states.get(b"s-1") == before


def test_a_handle_counts_for_its_approval_alone() -> None:
    """What else the record names does not matter: the handle of s-1 reports nothing about s-2."""
    place = Place()
    handle = place.approval["approval_id"]
    assert place.outcome(report(approval_id=handle, subject_id="s-2", request_id="r-2", outcome="refused")) == []
    assert place.contact.outcome == "refused"
    assert set(place.states.subjects) == {b"s-1"}
    gone = Handles(TOKENS).seal(Handle("s-1", "r-1", "bank", 0, NOW_MS - 1))
    assert place.outcome(report(approval_id=gone)) == ["outcome.unknown_request"]


def test_without_a_handle_the_policy_says_what_counts() -> None:
    """By default it is unproven and changes no place; a migration accepts it; offline it always counts."""
    by_subject = report(subject_id="s-1", request_id="r-1", outcome="not_attempted")
    place, moving = Place(), Place(outcomes_by="both")
    assert place.outcome(by_subject, b"s-1") == ["outcome.unproven"]
    assert moving.outcome(by_subject, b"s-1") == []
    assert place.outcome(by_subject, b"s-2") == ["key.mismatch"]
    assert place.outcome(report(subject_id="s-1"), b"s-1") == ["field.missing"]
    fold = Fold(COMPILED, TOKENS)
    made = [json.loads(out) for line in (granted(), requested("r-1"), by_subject) for out in fold.line(text(line))]
    assert [each["type"] for each in made] == ["contact.decided", "contact.approved"]


def test_an_unproven_opt_out_withdraws_marketing_and_recalls() -> None:
    """In any spelling; the person's open approvals of marketing are recalled, by their handle."""
    place = Place()
    message = report(subject_id="s-1", request_id="never", outcome="S T O P", time=at(11))
    place.gate.outcome(Record("outcome", 0, 0, NOW_MS + 120_000, b"s-1", text(message)), place.states)
    recall, *told, letter = (json.loads(out.value) for out in place.gate.out)
    assert {each["type"] for each in told} == {"permission.withdrawn"}
    assert letter["reason"] == "outcome.unproven"
    assert recall["approval_id"] == place.approval["approval_id"]
    assert recall["approval_ref"] == place.approval["approval_ref"]


def test_a_broken_outcome_reaches_one_person_at_most() -> None:
    """2,900 keys opt nobody out; with a handle in it, its person alone."""
    place = Place()
    many = ",".join(f'"subject_id":"p-{number}"' for number in range(2_900))
    broken = f'{{"type":"contact.outcome","outcome":"unsubscribed",{many}}}'.encode()
    assert place.outcome(broken, b"s-9") == ["json.duplicate_key"]
    assert set(place.states.subjects) == {b"s-1"}
    handle = place.approval["approval_id"]
    with_handle = broken[:-1] + f',"approval_id":"{handle}"}}'.encode()
    assert place.outcome(with_handle, b"s-9") == ["json.duplicate_key"]
    assert set(place.states.subjects) == {b"s-1"}
    assert place.contact.outcome == "unsubscribed"


def test_what_does_not_belong_on_the_topic_restricts_one_person_and_erases_nothing() -> None:
    """A contact.observed that says no, and an erasure, stop; they feed no cap and drop no fact."""
    place = Place()
    observed = {
        "type": "contact.observed", "event_id": "e-5", "subject_id": "s-1", "time": at(40), "controller": "bank",
        "channel": "voice", "purpose": "service", "outcome": "unsubscribed",
    }  # fmt: skip
    assert place.outcome(observed, b"s-1") == ["type.wrong_topic"]
    (withdrawal,) = place.states.get(b"s-1").withdrawals
    assert withdrawal.purposes == ("marketing",)
    assert place.outcome({"type": "subject.erased", "event_id": "e-6", "subject_id": "s-1", "time": at(41)}, b"s-1")
    state = place.states.get(b"s-1")
    assert state.profile.erased_ms == 0
    assert len(state.contacts) == 1
    assert state.withdrawals[-1].purposes is None


def test_on_consent_events_an_observed_contact_counts() -> None:
    """Only the house's own systems write there; its word may be one of the policy's."""
    place = Place(outcomes={"SALE": "answered"})
    observed = {
        "type": "contact.observed", "event_id": "e-5", "subject_id": "s-1", "time": at(40), "controller": "bank",
        "channel": "voice", "purpose": "service", "outcome": "SALE",
    }  # fmt: skip
    for word, reasons in (("SALE", []), ("Hm", ["outcome.unknown_word"])):
        place.gate.consent(record("consent", {**observed, "event_id": word, "outcome": word}), place.states)
        assert [json.loads(out.value)["reason"] for out in place.gate.out] == reasons
        place.gate.out.clear()
    assert len(place.states.get(b"s-1").contacts) == 3


def test_an_approval_of_another_partition_is_carried_there_without_an_alert() -> None:
    """Its partition has the contact: the record goes there unchanged, once, under any key; alone, there is no other."""
    place = Place()
    subject = next(f"s-{number}" for number in range(99) if murmur2(f"s-{number}".encode()) % 8 == 5)
    message = text(report(approval_id=Handles(TOKENS).seal(Handle(subject, "r-1", "bank", 5, NOW_MS))))
    assert place.outcome(message) == ["partition.wrong"]
    gate, states, _ = live(strict_partition=8)
    gate.outcome(Record("outcome", 0, 0, NOW_MS, b"any", message), states)
    (carried,) = gate.out
    assert (carried.kind, carried.key, carried.value, carried.reason) == ("relay", subject.encode(), message, "")
    assert not states.subjects

"""What was reported of contacts, as a policy reads it: own words, words that nobody knows, reports without proof."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kit.corekit import MINUTE, T, person, request

from contactgate.core.apply import apply
from contactgate.core.decide import decide
from contactgate.core.hearing import MOST_REPORTS, heard
from contactgate.core.world import World
from contactgate.model.events import Erased, OutcomeReported
from contactgate.model.facts import SubjectState
from contactgate.policy.load import load_policy

HOUR = 60 * MINUTE
CAP = {"name": "c", "limit": 1, "window": {"sliding": "1d"}, "scope": ["subject"], "counts": "delivered"}


def world_of(**document: Any) -> World:
    """A world with this policy."""
    made = World()
    made.activate(
        load_policy(
            {
                "policy": "hearing", "require": {"campaign": False, "party": False, "notice": False},
                "purposes": {"marketing": {"consent": "opt_in"}}, "caps": [CAP], **document,
            }
        )
    )  # fmt: skip
    return made


def approved() -> SubjectState:
    """Somebody with an approval given at T."""
    decision, reserved = decide(request(request_id="q-1"), person(), world_of(), T)
    assert decision.passed
    return reserved


def reported(word: str, at: int = T + MINUTE, *, proven: bool = True, name: str = "", **more: Any) -> OutcomeReported:
    """A report in a word that no table knows."""
    return OutcomeReported(
        event_id=f"o-{word}-{at}{name}", request_id="q-1", time_ms=at, outcome=more.pop("outcome", None), matters=None,
        arrived_ms=at, word=word, proven=proven, decided_ms=T, **more,
    )  # fmt: skip


def verdict(events: list[Any], at: int = T + HOUR, request_id: str = "q-2", **document: Any) -> tuple[bool, list[str]]:
    """Whether another request passes after these events, and which rules fail."""
    world = world_of(**document)
    state = approved()
    for event in events:
        state, _ = apply(event, state, world, at)
    made, _ = decide(request(request_id=request_id), state, world, at)
    return made.passed, [reason.rule for reason in made.reasons]


@pytest.mark.parametrize("unreported", ["count", "release"])
def test_a_word_that_nobody_knows_keeps_the_place_until_a_policy_maps_it(unreported: str) -> None:
    """It keeps it after it lapsed and beside a known word; a policy that knows it is judged by what it means."""
    for events in ([reported("XYZZY")], [reported("XYZZY"), reported("", T + 9, outcome="busy")]):
        assert verdict(events, unreported=unreported) == (False, ["cap.c"])
    assert verdict([reported("XYZZY")], unreported=unreported, outcomes={"xyz-zy": "busy"})[0]
    assert verdict([reported("XYZZY")], unreported=unreported, outcomes={"XYZZY": "answered"})[1] == ["cap.c"]


def test_a_mapped_word_is_an_outcome_in_all_it_does() -> None:
    """It withdraws, suppresses a wrong number, gives a place back, and the request is then decided anew."""
    said = [reported("OUT")]
    assert "consent.withdrawn" in verdict(said, outcomes={"OUT": "unsubscribed"})[1]
    assert "address.suppressed" in verdict(said, outcomes={"OUT": "wrong_number"})[1]
    assert verdict(said, request_id="q-1", outcomes={"OUT": "not_attempted"})[0]
    assert "request.answered" in verdict(said, request_id="q-1", outcomes={"OUT": "busy"})[1]
    assert "request.answered" in verdict(said, request_id="q-1")[1]


def test_without_proof_only_marketing_is_withdrawn() -> None:
    """No place is kept or given back; an opt-out stops marketing of every controller, by any channel."""
    given_back = [reported("", proven=False, outcome="not_attempted", name="x")]
    assert verdict(given_back) == (False, ["cap.c"])
    assert verdict(given_back, outcomes_by="both")[0]
    assert verdict([reported("", proven=False, outcome="unsubscribed")])[1][0] == "consent.withdrawn"
    assert verdict([reported("OUT", proven=False)], outcomes={"OUT": "complained"})[1][0] == "consent.withdrawn"
    assert verdict([reported("OUT", proven=False)]) == (False, ["cap.c"])


def test_a_state_without_reports_is_the_same_object() -> None:
    """Hearing costs nothing where nothing is to be heard."""
    state = approved()
    assert heard(state, world_of().policy) is state


def test_what_is_heard_is_not_stored() -> None:
    """The state after a decision keeps the reports as they were made."""
    world = world_of(outcomes={"OUT": "unsubscribed"})
    state, _ = apply(reported("OUT"), approved(), world, T + HOUR)
    _, after = decide(request(request_id="q-2"), state, world, T + HOUR)
    assert after == state
    assert not state.withdrawals
    assert not any(contact.unclear for contact in after.contacts)


def test_reports_are_bounded_and_what_may_be_an_opt_out_is_not_lost() -> None:
    """Repetitions go first; of too many words those that go without a known meaning become opt-outs."""
    world = world_of()
    state: SubjectState = approved()
    for number in range(40):
        state, _ = apply(reported("SAME", T + number), state, world, T + HOUR)
    assert len(state.reports) <= MOST_REPORTS
    assert not state.withdrawals
    for number in range(40):
        state, _ = apply(reported(f"W{number}", T + number), state, world, T + HOUR)
    assert len(state.reports) == MOST_REPORTS
    assert state.withdrawals


def test_an_erasure_leaves_what_was_said_after_it() -> None:
    """A report of a contact that is gone only says what the person wants; what came before the erasure is gone."""
    world = world_of(outcomes={"OUT": "unsubscribed"})
    erased = Erased("x", T + 5 * MINUTE, T + 5 * MINUTE)
    before, after = reported("OUT"), reported("OUT", T + 9 * MINUTE)
    for events in ([before, erased], [erased, before]):
        state = approved()
        for event in events:
            state, _ = apply(event, state, world, T + HOUR)
        assert not state.reports
    for events in ([after, erased], [erased, after]):
        state = approved()
        for event in events:
            state, _ = apply(event, state, world, T + HOUR)
        (withdrawal,) = heard(state, world.policy).withdrawals
        assert withdrawal.purposes is None

"""Decisions as a whole: every reason, duplicates, broken rules, forgetting, dated plans, the first free instant."""

from typing import Any

import pytest
from tests.kit.corekit import (
    DAY,
    HOUR,
    MINUTE,
    HandMade,
    T,
    agreement,
    ask,
    consent,
    contact,
    lift,
    limits,
    party,
    pause,
    person,
    plan,
    request,
    rules,
    world,
)

from contactgate.core.decide import decide, prune
from contactgate.core.world import World
from contactgate.model.facts import EMPTY, Profile, Span, Withdrawal
from contactgate.policy.plan import Basis, Cap, CapWindow, CoolOff, Plan, Selector, WindowRule

ASKED: dict[str, Any] = {"asked_categories": ("basic",), "asked_jurisdictions": ("CN",)}
EVERYTHING = Withdrawal(T + 1, None, None, None, None, "w", T + 1)


def test_a_pass_says_until_when_and_leaves_the_id_to_the_codec() -> None:
    """A pass is valid for the approval TTL, has no reasons and no next instant."""
    decision = ask(world(), person())
    assert (decision.passed, decision.valid_until_ms, decision.next_eligible_ms) == (True, T + 15 * MINUTE, None)
    assert (decision.approved_ms, decision.duplicate) == (T, False)


def test_the_shortest_end_bounds_an_approval() -> None:
    """Consent expiry and not_after end an approval early."""
    assert ask(world(), person(grants=(consent(expires_ms=T + 5),))).valid_until_ms == T + 5
    assert ask(world(), person(), not_after_ms=T + 4).valid_until_ms == T + 4


def test_all_reasons_are_told_and_the_last_to_pass_decides() -> None:
    """Consent, cap and window fail together; the first free instant satisfies all of them."""
    made = world(
        caps=(Cap("cap.c", 1, CapWindow("sliding", DAY), (), Selector()),),
        windows=(WindowRule("house", (Span(from_ms=9 * HOUR, to_ms=10 * HOUR),)),),
    )
    state = person(grants=(consent(effective_ms=T + 2 * HOUR),), contacts=(contact(time_ms=T - 30 * MINUTE),))
    decision = ask(made, state)
    free = T - 30 * MINUTE + DAY  # half an hour after the window opened
    assert rules(decision) == ["consent.not_yet_effective", "cap.c", "window.house"]
    assert decision.next_eligible_ms == free
    assert rules(ask(made, state, free - 1)) == ["cap.c"]
    assert ask(made, state, free).passed


def test_what_was_found_to_fail_fails_for_a_clock_that_is_behind_too() -> None:
    """What parties and pauses say is remembered for all partitions of a worker, whose clocks do not move together."""
    made = world()
    made.parties["callcentre"] = party(agreement(), status="suspended")
    late, early = ask(made, person(), T), ask(made, person(), T - 1)
    assert "party.suspended" in rules(late)
    assert rules(early) == rules(late)


def test_one_rule_that_never_passes_makes_the_instant_null() -> None:
    """The other reasons keep their own instants."""
    decision = ask(
        world(caps=(Cap("cap.c", 1, CapWindow("sliding", DAY), (), Selector()),)),
        person(grants=(), contacts=(contact(),)),
    )
    assert [(reason.rule, reason.until_ms) for reason in decision.reasons] == [
        ("consent.missing", None),
        ("cap.c", T - HOUR + DAY),
    ]
    assert decision.next_eligible_ms is None


def test_without_a_policy_everything_blocks() -> None:
    """No policy: policy.unavailable, also for a request that passed elsewhere."""
    assert rules(ask(World(), person())) == ["policy.unavailable"]
    _, state = decide(request(), person(), world(), T)
    again, _ = decide(request(), state, World(), T + 1)
    assert (rules(again), again.approved_ms) == (["policy.unavailable"], None)


# --- duplicates ---------------------------------------------------------------------------------------------------


def test_a_duplicate_gets_its_approval_again_and_takes_no_place() -> None:
    """An open approval again, with its own end; a block is not remembered and passes when it may."""
    made = world(caps=(Cap("cap.c", 1, CapWindow("sliding", DAY), (), Selector()),))
    _, state = decide(request(), person(), made, T)
    again, after = decide(request(), state, made, T + MINUTE)
    assert (again.passed, again.duplicate, again.approved_ms, again.valid_until_ms) == (True, True, T, T + 15 * MINUTE)
    assert after == state
    blocked, after = decide(request(request_id="q-2"), state, made, T + 1)
    assert (blocked.next_eligible_ms, blocked.duplicate, after) == (T + DAY, False, state)
    again, after = decide(request(request_id="q-2"), after, made, T + DAY)
    assert (again.passed, again.duplicate) == (True, False)


def test_a_duplicate_is_known_until_the_horizon() -> None:
    """One millisecond before seven days it is a duplicate, at seven days it is decided again."""
    _, state = decide(request(), person(), world(), T)
    assert decide(request(), state, world(), T + 7 * DAY - 1)[0].duplicate
    assert not decide(request(), state, world(), T + 7 * DAY)[0].duplicate


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"requester": "bank"}, "requester"),
        ({"controller": "insurer"}, "controller"),
        ({"purpose": "collection"}, "purpose"),
        ({"channel": "sms"}, "channel"),
        ({"campaign": None}, "campaign_id"),
        ({"address": "a1.two"}, "address"),
        ({"categories": ("account", "basic")}, "data_categories"),
        ({"matter": "m-1"}, "matter_id"),
        ({"mode": "prerecorded"}, "mode"),
        ({"jurisdictions": ()}, "jurisdictions"),
    ],
)
def test_a_known_request_that_asks_for_something_else_conflicts(change: dict[str, Any], field: str) -> None:
    """Whichever field differs is named, no approval is repeated and nothing is kept (SEMANTICS rule 46)."""
    _, state = decide(request(), person(), world(), T)
    answer, after = decide(request(**change), state, world(), T + 1)
    assert rules(answer) == ["request.conflict"]
    assert f"`{field}`" in answer.reasons[0].detail
    assert (answer.duplicate, answer.approved_ms, after) == (False, None, state)


def test_what_may_change_of_a_known_request_is_when() -> None:
    """Its own time and the bounds of the contact are no part of what is asked for."""
    _, state = decide(request(), person(), world(), T)
    later = request(time_ms=T + 1, not_before_ms=T - 1, not_after_ms=T + DAY)
    assert decide(later, state, world(), T + 1)[0].duplicate


@pytest.mark.parametrize("outcome", ["answered", "no_answer", "refused", "abandoned"])
def test_an_approval_that_was_used_is_not_given_again(outcome: str) -> None:
    """Whatever became of it: the same request blocks until the horizon (SEMANTICS rule 47)."""
    used = person(contacts=(contact(time_ms=T, request_id="q-1", outcome=outcome, **ASKED),))
    decision, after = decide(request(), used, world(), T + 1)
    assert (rules(decision), decision.duplicate, after) == (["request.answered"], True, used)


def test_an_approval_that_lapsed_is_over() -> None:
    """One millisecond before its end it is repeated, at its end it is over."""
    _, state = decide(request(), person(), world(), T)
    assert decide(request(), state, world(), T + 15 * MINUTE - 1)[0].passed
    assert rules(decide(request(), state, world(), T + 15 * MINUTE)[0]) == ["request.answered"]


def test_an_approval_that_was_given_back_is_decided_anew() -> None:
    """`not_attempted`: the new pass takes a place of its own, and the newest approval is the one that is known."""
    back = person(contacts=(contact(time_ms=T, request_id="q-1", outcome="not_attempted", **ASKED),))
    decision, after = decide(request(), back, world(), T + 1)
    assert (decision.passed, decision.duplicate, decision.approved_ms) == (True, False, T + 1)
    assert [each.time_ms for each in after.contacts] == [T, T + 1]
    assert decide(request(), after, world(), T + 2)[0].approved_ms == T + 1


def test_an_approval_that_was_given_back_in_its_own_millisecond_is_not_given_twice() -> None:
    """An approval is known by its request and its millisecond: what is said of one would be said of both."""
    back = person(contacts=(contact(time_ms=T, request_id="q-1", outcome="not_attempted", **ASKED),))
    assert rules(decide(request(), back, world(), T)[0]) == ["request.answered"]
    assert decide(request(), back, world(), T + 1)[0].approved_ms == T + 1


def test_a_duplicate_of_a_pass_that_became_illegal_blocks() -> None:
    """An opt-out, a pause or a recall since the pass beats the echo, and is told beside it."""
    made = world()
    _, state = decide(request(), person(), made, T)
    withdrawn = person(withdrawals=(EVERYTHING,), contacts=state.contacts)
    decision, _ = decide(request(), withdrawn, made, T + 2)
    assert rules(decision) == ["request.answered", "consent.withdrawn"]
    assert (decision.duplicate, decision.approved_ms) == (True, None)
    made.put_pause(pause(pause_id="p"))
    assert rules(decide(request(), state, made, T + 2)[0]) == ["request.answered", "pause.p"]
    made.lift_pause("p", lift())
    recalled = contact(time_ms=T, request_id="q-1", outcome=None, outcome_ms=0, recalled="pause.p", **ASKED)
    was = person(contacts=(recalled,))
    assert rules(decide(request(), was, made, T + 2)[0]) == ["request.answered", "pause.p"]


# --- what breaks --------------------------------------------------------------------------------------------------


class Broken:
    """A value that raises when it is looked at."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_a_rule_that_raises_blocks_and_the_others_are_told() -> None:
    """The error names the rule; the verdict is a block without an instant; nothing gets out."""
    made = world(
        registries=(),
        caps=(
            Cap("cap.broken", 1, CapWindow("sliding", DAY), (), Selector()),
            Cap("cap.c", 1, CapWindow("sliding", DAY), (), Selector()),
        ),
    )
    assert rules(ask(made, person(contacts=(contact(),)))) == ["cap.broken", "cap.c"]
    [book] = [each for each in made.memo.values() if not isinstance(each, tuple)]
    [rule] = [rule for rule in book.rules if rule.name == "cap.broken"]
    rule._scope = Broken()
    decision = ask(made, person(contacts=(contact(),)))
    assert rules(decision) == ["rule.error:cap.broken", "cap.c"]
    assert decision.next_eligible_ms is None
    assert rules(ask(made, person(contacts=(contact(),)))) == ["rule.error:cap.broken", "cap.c"]


def test_a_broken_rule_never_turns_block_into_pass() -> None:
    """A rule that cannot be evaluated blocks a request that would pass otherwise."""
    made = world(registries=(), windows=(WindowRule("house", (Span(),)),))
    assert ask(made, person()).passed
    [book] = [each for each in made.memo.values() if not isinstance(each, tuple)]
    [rule] = [rule for rule in book.rules if rule.name == "window.house"]
    rule._times = Broken()
    assert rules(ask(made, person())) == ["rule.error:window.house"]


def test_a_policy_that_raises_blocks() -> None:
    """If the rules cannot be chosen the request blocks."""

    def fails(*_: object) -> Plan:
        raise RuntimeError("no plan")

    decision = ask(world(fails), person())
    assert rules(decision) == ["rule.error:policy"]
    assert decision.next_eligible_ms is None


# --- dated plans --------------------------------------------------------------------------------------------------


def test_the_first_free_instant_is_found_across_plans() -> None:
    """A block that ends at a date: the request passes from then on, and not before."""

    def dated(purpose: str, channel: str, mode: str, jurisdictions: tuple[str, ...], now_ms: int) -> Plan:
        strict = now_ms < T + DAY
        return plan(bases=(Basis("policy", "opt_in" if strict else "opt_out"),), until_ms=T + DAY if strict else None)

    made = world(dated)
    decision = ask(made, EMPTY)
    assert rules(decision) == ["consent.missing"]
    assert decision.next_eligible_ms == T + DAY
    assert rules(ask(made, EMPTY, T + DAY - 1)) == ["consent.missing"]
    assert ask(made, EMPTY, T + DAY).passed
    assert rules(ask(made, EMPTY, T)) == ["consent.missing"]  # a late line is judged by its own time


def test_an_approval_ends_where_another_plan_begins() -> None:
    """What will be forbidden at midnight is not approved beyond midnight."""
    assert ask(world(until_ms=T + 7), person()).valid_until_ms == T + 7


# --- forgetting ---------------------------------------------------------------------------------------------------


def test_old_contacts_and_requests_are_forgotten_when_deciding() -> None:
    """Past the horizon and the history they go; refusals, complaints and what the policy keeps stay."""
    old = T - 90 * DAY
    kept = contact(time_ms=old, outcome_ms=old, outcome="refused", valid_until_ms=0, request_id="kept")
    gone = contact(time_ms=old, outcome_ms=old, valid_until_ms=old, request_id="gone")
    edge = contact(time_ms=old + 1, outcome_ms=old + 1, valid_until_ms=old, request_id="new")
    state = person(contacts=(gone, kept, edge))
    policy = HandMade(plan(), limits())
    after = prune(state, policy, T)
    assert [each.request_id for each in after.contacts] == ["kept", "new"]
    policy.outcomes_kept_forever = frozenset(("no_answer",))
    assert [each.request_id for each in prune(state, policy, T).contacts] == ["gone", "kept", "new"]
    assert prune(after, policy, T) is after


def test_a_late_outcome_keeps_an_old_contact() -> None:
    """A cool-off counts from the outcome, and so does forgetting."""
    late = contact(time_ms=T - 91 * DAY, outcome_ms=T - DAY, outcome="answered")
    made = world(cooloffs=(CoolOff("cooloff.c", frozenset(("answered",)), "elapsed", 7 * DAY),))
    assert rules(ask(made, person(contacts=(late,)))) == ["cooloff.c"]


def test_jurisdictions_of_person_number_and_request_are_joined() -> None:
    """The plan is asked for all of them, sorted, with the country of each subdivision."""
    asked: list[tuple[str, ...]] = []

    def spy(purpose: str, channel: str, mode: str, jurisdictions: tuple[str, ...], now_ms: int) -> Plan:
        asked.append(jurisdictions)
        return plan()

    state = person(profile=Profile(jurisdictions=("US-FL",)))
    ask(world(spy), state, number_jurisdictions=("GB",), jurisdictions=("CN",))
    assert asked == [("CN", "GB", "US", "US-FL")]

"""What each event leaves behind, what it recalls, and that the order of events does not matter."""

import msgspec
import pytest
from tests.kit.corekit import (
    DAY,
    HOUR,
    MINUTE,
    T,
    ask,
    consent,
    contact,
    lift,
    pause,
    person,
    registry,
    release,
    request,
    rules,
    suppression,
    world,
)

from contactgate.core.apply import apply
from contactgate.core.decide import decide
from contactgate.core.review import open_until, review
from contactgate.core.world import World
from contactgate.model import events
from contactgate.model.facts import EMPTY, Profile, Span, SubjectState, Withdrawal
from contactgate.policy.plan import RegistryRule


def after(*told: events.SubjectEvent, state: SubjectState = EMPTY, made: World | None = None) -> SubjectState:
    """The state after several events."""
    for event in told:
        state, _ = apply(event, state, made or world(), T)
    return state


def opt_out(time_ms: int = T, event_id: str = "w", **scope: object) -> events.ConsentWithdrawn:
    """An opt-out from everything, or from a scope."""
    fields = {"controller": None, "purposes": None, "channels": None, "recipients": None, "arrived_ms": time_ms}
    return events.ConsentWithdrawn(Withdrawal(time_ms, event_id=event_id, **fields | scope))  # type: ignore[arg-type]


def approved(made: World | None = None, state: SubjectState | None = None, **changes: object) -> SubjectState:
    """Somebody with an open approval given at T."""
    decision, reserved = decide(request(**changes), state or person(), made or world(), T)
    assert decision.passed
    return reserved


# --- consent ------------------------------------------------------------------------------------------------------


def test_a_late_older_consent_never_revives_a_newer_withdrawal() -> None:
    """In whatever order they come, the withdrawal holds and the consent is not even kept."""
    given = events.GrantGiven(consent(time_ms=T - HOUR))
    assert after(given, opt_out()) == after(opt_out(), given)
    assert after(opt_out(), given).grants == ()
    assert after(opt_out(T - HOUR), given).grants == ()
    assert len(after(opt_out(T - HOUR - 1), given).grants) == 1


def test_a_withdrawal_of_a_part_keeps_the_consent() -> None:
    """Only a consent that is undone whole is dropped."""
    given = events.GrantGiven(consent())
    assert len(after(given, opt_out(channels=("voice",))).grants) == 1
    assert after(given, opt_out(channels=("voice", "sms"), purposes=("marketing",))).grants == ()
    assert len(after(given, opt_out(recipients=("bank",))).grants) == 1
    assert after(given, opt_out(recipients=("callcentre",))).grants == ()


def test_the_same_event_twice_changes_nothing() -> None:
    """Applying twice equals applying once, and the state is the very same object."""
    given = events.GrantGiven(consent())
    seen = events.ContactObserved("o", T, "bank", "voice", "marketing", "answered", T)
    complaint = events.ComplaintReceived("k", T, None, None, T)
    for event in (given, opt_out(), seen, complaint, events.Erased("e", T - DAY, T - DAY)):
        once = after(event)
        assert after(event, state=once) is once


def test_a_wider_newer_withdrawal_replaces_narrower_ones() -> None:
    """Only what still can matter is kept; of two equal ones the smaller event id."""
    narrow = opt_out(T - 86_400_001, "w1", channels=("voice",))
    assert len(after(narrow, opt_out()).withdrawals) == 1
    assert after(opt_out(), narrow) == after(narrow, opt_out())
    assert after(opt_out(event_id="a"), opt_out(event_id="b")) == after(opt_out(event_id="b"), opt_out(event_id="a"))


def test_an_opt_out_that_is_sent_again_does_not_arrive_again() -> None:
    """It is known by its event_id, though a wider one says all of it: a consent given between the two still counts."""
    narrow, wide = opt_out(T - 90, "w1", channels=("voice",)), opt_out(T - 80, "w2")
    given = events.GrantGiven(consent(time_ms=T - 50, event_id="g"))
    again = events.ConsentWithdrawn(msgspec.structs.replace(narrow.withdrawal, arrived_ms=T - 1))
    assert ask(world(), after(narrow, wide, given, again)).passed
    other = events.ConsentWithdrawn(msgspec.structs.replace(again.withdrawal, event_id="w3"))
    assert not ask(world(), after(narrow, wide, given, other)).passed


def test_more_than_thirty_two_opt_outs_are_folded_into_those_that_include_them() -> None:
    """What a person is said to have withdrawn over and over takes no more room than that."""
    many = [opt_out(T - 1_000 + n, f"w{n}", channels=("voice",)) for n in range(200)]
    kept = after(*many, opt_out(T, "all")).withdrawals
    assert len(kept) <= 33
    assert kept[-1].event_id == "all"


def test_of_a_repeated_consent_the_newest_eight_are_kept() -> None:
    """The newest may come from a clock that is ahead; under a notice all are kept, for its versions may differ."""
    times = [-9, -5, *range(1, 8)]
    repeated = [events.GrantGiven(consent(time_ms=T + at, event_id=str(at))) for at in times]
    for order in (repeated, repeated[::-1], [repeated[1], repeated[0], *repeated[2:]]):
        state = after(*order)
        assert [each.time_ms - T for each in state.grants] == times[1:]
        assert ask(world(), state).passed
    named = [events.GrantGiven(consent(notice_id="n", time_ms=at, event_id=str(at))) for at in (T - 3, T - 2, T - 1)]
    assert len(after(*named).grants) == 3


def test_consents_read_ahead_of_a_late_outcome_do_not_hide_what_an_approval_rests_on() -> None:
    """A partition that stalled reads its consents first: an outcome among them is still judged at its own time."""
    state = approved()
    told = [events.GrantGiven(consent(time_ms=T + at * MINUTE, event_id=f"g{at}")) for at in (4, 5, 6)]
    after_all, recalls = apply(opt_out(T + MINUTE, channels=("email",)), after(*told, state=state), world(), T + MINUTE)
    assert recalls == ()
    assert open_until(after_all, T + MINUTE) == open_until(state, T + MINUTE)


# --- the person ---------------------------------------------------------------------------------------------------


def test_an_update_merges_by_field_and_time() -> None:
    """Absent stays, null clears, an older event changes nothing, equal times join."""
    zone = events.ProfileUpdated("a", T, timezones=("Asia/Tokyo",))
    flags = events.ProfileUpdated("b", T + 1, flags=("vip",))
    state = after(zone, flags)
    assert (state.profile.timezones, state.profile.flags) == (("Asia/Tokyo",), ("vip",))
    assert after(events.ProfileUpdated("c", T + 2, timezones=()), state=state).profile.timezones == ()
    older = events.ProfileUpdated("d", T - 1, timezones=("Europe/Paris",))
    assert after(older, state=state) is state
    same = events.ProfileUpdated("e", T, timezones=("Europe/Paris",))
    assert after(zone, same) == after(same, zone)
    assert after(zone, same).profile.timezones == ("Asia/Tokyo", "Europe/Paris")


def test_preferred_hours_are_replaced_and_cleared() -> None:
    """An empty list clears them."""
    chosen = events.ProfileUpdated("a", T, preferred=(Span(from_ms=HOUR),))
    assert after(chosen).profile.preferred == (Span(from_ms=HOUR),)
    assert after(chosen, events.ProfileUpdated("b", T + 1, preferred=())).profile.preferred == ()


def test_relationships_are_kept_by_what_still_matters() -> None:
    """A later purchase replaces an earlier one, a newer record of a contract the older one; others stay as they are."""
    early = events.RelationshipRecorded("a", T, "bank", "purchase", 700_000, None)
    late = events.RelationshipRecorded("b", T + 1, "bank", "purchase", 700_009, None)
    assert after(early, late) == after(late, early)
    assert [each.event_id for each in after(early, late).profile.relationships] == ["b"]
    runs = events.RelationshipRecorded("c", T, "bank", "contract", 700_000, None)
    ended = events.RelationshipRecorded("d", T + 1, "bank", "contract", 700_000, 700_100)
    other = events.RelationshipRecorded("e", T, "bank", "contract", 700_001, None)
    assert after(runs, ended, other) == after(other, ended, runs)
    assert [each.event_id for each in after(runs, ended, other).profile.relationships] == ["d", "e"]


def test_an_erasure_drops_what_is_not_newer() -> None:
    """Facts of its time and before go, newer ones stay, and late older ones are not taken in."""
    state = approved(state=person(grants=(consent(), consent(time_ms=T + 2, event_id="g-2"))))
    erased, recalls = apply(events.Erased("e", T + 1, T + 1), state, world(), T + 3)
    assert [each.event_id for each in erased.grants] == ["g-2"]
    assert (erased.contacts, erased.reports, erased.profile.timezones, erased.profile.erased_ms) == ((), (), (), T + 1)
    assert [(each.rule, each.reason, each.approved_ms) for each in recalls] == [("subject.erased", "erased", T)]
    late = [
        events.GrantGiven(consent()),
        opt_out(),
        events.ProfileUpdated("u", T + 1, flags=("business",)),
        events.RelationshipRecorded("r", T + 1, "bank", "purchase", 1, None),
        events.ContactObserved("o", T + 1, "bank", "voice", "marketing", "answered", T + 1),
        events.ComplaintReceived("k", T + 1, None, None, T + 1),
        events.Erased("e0", T, T),
    ]
    for event in late:
        assert after(event, state=erased) is erased


# --- outcomes -----------------------------------------------------------------------------------------------------


def outcome(name: str, at: int = T + MINUTE, **changes: object) -> events.OutcomeReported:
    """An outcome of the request."""
    fields = {"matters": None, "arrived_ms": at} | changes
    return events.OutcomeReported(f"o-{name}-{at}", "q-1", at, name, **fields)  # type: ignore[arg-type]


def test_of_an_outcome_of_an_unknown_request_only_an_opt_out_counts() -> None:
    """Nobody can say what it was about, so it withdraws everything; without a handle the policy says how much."""
    assert after(outcome("answered")) == EMPTY
    (withdrawal,) = after(outcome("unsubscribed")).withdrawals
    assert (withdrawal.controller, withdrawal.purposes, withdrawal.channels) == (None, None, None)
    assert after(outcome("unsubscribed", proven=False)).reports[0].decided_ms == 0
    assert after(outcome("answered", proven=False)) == EMPTY


def test_the_more_restricting_outcome_holds_and_of_equal_ones_the_earliest() -> None:
    """Contradicting reports end the same way in every order."""
    state = approved()
    for one, other in ((outcome("answered"), outcome("refused", T + 9)), (outcome("busy"), outcome("busy", T + 9))):
        forth, back = after(one, other, state=state), after(other, one, state=state)
        assert forth == back
        assert (forth.contacts[0].outcome, forth.contacts[0].outcome_ms) == (other.outcome, T + 9)


def test_what_was_talked_about_replaces_what_was_asked() -> None:
    """Matters of an outcome replace the request's; several reports add up, in any order."""
    state = approved(matter="d0")
    assert after(outcome("busy"), state=state).contacts[0].matters == ("d0",)
    told = outcome("answered", matters=("d2", "d1"))
    assert after(told, state=state).contacts[0].matters == ("d1", "d2")
    more = outcome("answered", T + 9, matters=("d3",))
    plain = outcome("refused")
    assert after(told, more, plain, state=state) == after(plain, more, told, state=state)
    assert after(told, more, state=state).contacts[0].matters == ("d1", "d2", "d3")


@pytest.mark.parametrize("name", ["unsubscribed", "complained"])
def test_an_outcome_may_withdraw(name: str) -> None:
    """Unsubscribed and complained withdraw that controller, purpose and channel, and recall what is open."""
    state = approved(state=approved(), request_id="q-2")
    told, recalls = apply(outcome(name), state, world(), T + MINUTE)
    assert rules(ask(world(), told, T + HOUR, request_id="q-3")) == ["consent.withdrawn"]
    assert [(each.request_id, each.reason) for each in recalls] == [("q-2", "withdrawn")]


def test_a_wrong_number_is_suppressed_whatever_is_reported_later() -> None:
    """The address stays blocked for the person even if another outcome holds."""
    told = after(outcome("wrong_number"), outcome("refused"), state=approved())
    assert told.profile.wrong_addresses == ("a1.one",)
    assert rules(ask(world(), told, T + HOUR, request_id="q-3")) == ["address.suppressed"]


def test_an_observed_contact_may_withdraw_as_well() -> None:
    """What a person said on a line we did not decide binds."""
    told = after(events.ContactObserved("o", T, "bank", "voice", "marketing", "unsubscribed", T), state=person())
    assert rules(ask(world(), told, T + 1)) == ["consent.withdrawn"]


def test_a_complaint_withdraws_marketing_where_it_says() -> None:
    """Controller and channel named: only there; nothing named: everywhere; collection is not marketing."""
    here = after(events.ComplaintReceived("k", T, "bank", "voice", T), state=person())
    assert rules(ask(world(), here, T + 1)) == ["consent.withdrawn"]
    assert ask(world(), here, T + 1, channel="sms").passed
    everywhere = after(
        events.ComplaintReceived("k", T, None, None, T), state=person(grants=(consent(purposes=("collection",)),))
    )
    assert ask(world(), everywhere, T + 1, purpose="collection").passed


# --- recalls ------------------------------------------------------------------------------------------------------


def test_a_withdrawal_recalls_open_approvals_once() -> None:
    """The approval is marked, recalled once, and not again."""
    state, recalls = apply(opt_out(T + 1), approved(), world(), T + 2)
    assert [(each.request_id, each.requester, each.channel, each.reason) for each in recalls] == [
        ("q-1", "callcentre", "voice", "withdrawn")
    ]
    assert state.contacts[0].recalled == "consent.withdrawn"
    assert apply(opt_out(T + 3), state, world(), T + 4)[1] == ()


def test_only_open_approvals_are_recalled() -> None:
    """Not after valid_until, not after an outcome."""
    state = approved()
    assert apply(opt_out(T + 1), state, world(), T + 15 * MINUTE)[1] == ()
    assert len(apply(opt_out(T + 1), state, world(), T + 15 * MINUTE - 1)[1]) == 1
    assert apply(opt_out(T + 1), after(outcome("busy"), state=state), world(), T + 2)[1] == ()


def test_flags_recall() -> None:
    """A death or a minority reported after the approval recalls it, to the vendor as `person`."""
    _, recalls = apply(events.ProfileUpdated("u", T + 1, marked=("deceased",)), approved(), world(), T + 2)
    assert [(each.rule, each.reason) for each in recalls] == [("subject.deceased", "person")]


def test_changes_of_the_world_recall() -> None:
    """Pauses, suppressions, listings, parties and campaigns recall; windows and caps do not."""
    made = world(registries=(RegistryRule("dnc", 31),))
    made.put_registry(registry())
    state = approved(made)
    assert review(state, made, T + 1) == (state, ())
    assert made.put_pause(pause(pause_id="p")).restricts
    assert [each.reason for each in review(state, made, T + 1)[1]] == ["paused"]
    assert not made.lift_pause("p", lift()).restricts
    change = made.suppress(
        "a1.one",
        suppression(),
    )
    assert (change.restricts, change.tokens) == (True, frozenset({"a1.one"}))
    assert [each.reason for each in review(state, made, T + 1)[1]] == ["suppressed"]
    made.release("a1.one", release())
    assert made.put_registry(registry(**{"a1.one": 0})).restricts
    assert [each.reason for each in review(state, made, T + 1)[1]] == ["listed"]
    made.put_registry(registry())
    assert review(state, made, T + 1)[1] == ()


def test_how_long_a_subject_has_something_open() -> None:
    """The latest end of an open approval; nothing once it has lapsed, was recalled or reported."""
    state = approved()
    assert open_until(state, T) == T + 15 * MINUTE
    assert open_until(state, T + 15 * MINUTE) == 0
    assert open_until(after(outcome("busy"), state=state), T) == 0
    assert open_until(EMPTY, T) == 0


def test_a_contact_of_an_hour_ago_is_not_open() -> None:
    """Contacts with an outcome never come back."""
    assert open_until(person(contacts=(contact(),), profile=Profile()), T) == 0

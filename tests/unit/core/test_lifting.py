"""What is in force when records of one key come late, early, twice and too often (SEMANTICS rules 42, 45)."""

from itertools import permutations
from typing import Any

import pytest
from tests.kit.corekit import (
    DAY,
    HOUR,
    MINUTE,
    HandMade,
    T,
    agreement,
    campaign,
    consent,
    lift,
    limits,
    notice,
    party,
    pause,
    person,
    plan,
    release,
    request,
    rules,
    suppression,
    world,
)
from tests.kit.corekit import ask as asked

from contactgate.core import stops
from contactgate.core.holding import MOST
from contactgate.core.lifting import past
from contactgate.core.rule import context
from contactgate.core.rules.consent import notice_fault
from contactgate.core.world import World
from contactgate.policy.plan import MAX_CLOCK_SKEW_MS, Cap, CapWindow, Requirements, Selector, Words

NOW = T + 9 * DAY
SPOKEN = HandMade(plan(), limits())
SPOKEN.words = Words(
    channels=frozenset({"voice", "sms", "email", "mail"}),
    purposes=frozenset({"marketing", "service"}),
    named=frozenset({"marketing", "service"}),
    controllers=frozenset({"bank"}),
)
"""A policy that knows some words."""


def blocked(made: World, **changes: Any) -> list[str]:
    """The reasons against a call by the call centre some days later."""
    state = person(grants=(consent(expires_ms=None, notice_id=None),))
    return rules(asked(made, state, NOW, **changes))


# --- parties and campaigns ----------------------------------------------------------------------------------------


def test_an_older_record_of_a_party_loosens_nothing() -> None:
    """`active` that is stamped before a suspension does not end it, whichever is read first; a newer one does."""
    suspended = party(agreement(), status="suspended", at_ms=T)
    older = party(agreement(), at_ms=T - HOUR, arrived_ms=T + 1)
    for order in permutations((suspended, older)):
        made = world()
        for record in order:
            made.put_party(record)
        assert blocked(made) == ["party.suspended"]
        made.put_party(party(agreement(), at_ms=T + HOUR))
        assert blocked(made) == []


def test_of_equal_time_the_more_restricting_record_holds() -> None:
    """Of two records stamped alike both hold: what only one of them allows is not allowed."""
    made = world()
    made.put_party(party(agreement(), agreement(channels=("sms",)), at_ms=T))
    made.put_party(party(agreement(channels=None, purposes=("marketing.insurance",)), at_ms=T, event_id="other"))
    assert blocked(made) == []
    assert blocked(made, channel="sms") == []
    assert blocked(made, purpose="marketing") == ["party.agreement"]
    made.put_party(party(agreement(), status="ended", at_ms=T, event_id="third"))
    assert blocked(made) == ["party.suspended"]


def test_a_suspension_by_a_slow_clock_holds() -> None:
    """Stamped a little before the `active` that it follows; by more than the policy's skew it is simply older."""
    for minutes, holds in ((10, True), (11, False)):
        made = world()
        made.put_party(party(agreement(), at_ms=T))
        change = made.put_party(
            party(agreement(), status="suspended", at_ms=T - minutes * MINUTE, arrived_ms=T + MINUTE)
        )
        assert (blocked(made) == ["party.suspended"]) is holds
        assert (change.restricts, change.superseded) == (holds, not holds)


def test_a_permission_stamped_ahead_counts_from_its_arrival() -> None:
    """Local time written as UTC does not lift the next hours' suspensions."""
    made = world()
    made.put_party(party(agreement(), at_ms=T + 8 * HOUR, arrived_ms=T))
    made.put_party(party(agreement(), status="suspended", at_ms=T + HOUR))
    assert blocked(made) == ["party.suspended"]


def test_the_same_event_again_never_arrives_anew() -> None:
    """A suspension that came before `active` and is repeated after it was ended by it then, and stays ended."""
    early = party(agreement(), status="suspended", at_ms=T - 5 * MINUTE)
    again = party(agreement(), status="suspended", at_ms=T - 5 * MINUTE, arrived_ms=T + HOUR)
    made = world()
    for record in (early, party(agreement(), at_ms=T), again):
        made.put_party(record)
    assert blocked(made) == []


def test_an_older_record_of_a_campaign_loosens_nothing() -> None:
    """The same of campaigns; of two that hold, each must be approved by two people and be about the request."""
    made = world(limit=limits(requirements=Requirements(False, False, False, two_people=True)))
    made.put_campaign(campaign(status="paused", time_ms=T))
    made.put_campaign(campaign(time_ms=T - HOUR, arrived_ms=T + 1))
    assert blocked(made) == ["campaign.paused"]
    made.put_campaign(campaign(time_ms=T + HOUR))
    assert blocked(made) == []
    for number, changes in enumerate(({"approved_by": "ann"}, {"controller": "insurer"}, {"valid_until_ms": NOW})):
        made.put_campaign(campaign(time_ms=T + (2 + number) * HOUR))
        assert blocked(made) == []
        made.put_campaign(campaign(time_ms=T + (2 + number) * HOUR, event_id="x", **changes))
        assert blocked(made) == ["campaign.mismatch" if number == 1 else "campaign.not_approved"]


def test_more_records_than_are_kept_apart_restrict_as_much_as_all() -> None:
    """Records that arrive later and later with ever older times; the one suspension among them still binds."""
    made = world()
    made.put_party(party(agreement(), at_ms=T))
    for number in range(2 * MOST):
        status = "suspended" if number == 3 else "active"
        made.put_party(party(agreement(), status=status, at_ms=T - number * 1000, arrived_ms=T + number))
        assert blocked(made) == ([] if number < 3 else ["party.suspended"])
    assert len(made._parties["callcentre"]) <= MOST
    made.put_party(party(agreement(), at_ms=T + DAY))
    assert blocked(made) == []


# --- notices ------------------------------------------------------------------------------------------------------


def outside(made: World, given_ms: int) -> str | None:
    """What is wrong with the notice of a consent that was given then."""
    given = consent(notice_id="n-1", time_ms=given_ms)
    assert made.policy is not None
    return notice_fault(context(request(), person(), made, made.policy), given)


def test_an_older_record_of_a_version_widens_nothing() -> None:
    """A wider text of the same version that is stamped before does not hold; a newer one does."""
    narrow = notice(purposes=("service",), time_ms=T)
    made = world()
    made.put_notice(narrow)
    made.put_notice(notice(time_ms=T - HOUR, arrived_ms=T + 1))
    assert outside(made, T + 2) == "notice.outside"
    made.put_notice(notice(time_ms=T + 1))
    assert outside(made, T + 2) is None


def test_of_two_records_of_a_version_a_consent_must_lie_inside_each_that_may_hold() -> None:
    """Stamped alike with other starts: before the later start the older version may hold, or the new one."""
    made = world()
    made.put_notice(notice(purposes=("service",), effective_ms=T - 20 * DAY))
    wide = {"version": 2, "time_ms": T - DAY}
    made.put_notice(notice(event_id="a", effective_ms=T - 10 * DAY, **wide))
    made.put_notice(notice(event_id="b", effective_ms=T - 5 * DAY, **wide))
    assert outside(made, T - 21 * DAY) == "notice.unknown"
    assert outside(made, T - 7 * DAY) == "notice.outside"
    assert outside(made, T - DAY) is None
    made.put_notice(notice(event_id="c", effective_ms=T - 5 * DAY, recipients=(), **wide))
    assert outside(made, T - DAY) == "notice.outside"
    made.put_notice(notice(version=2, time_ms=T, effective_ms=T - 10 * DAY))
    assert outside(made, T - 7 * DAY) is None


def test_a_version_without_any_sure_start_is_unknown() -> None:
    """One record says it was in force, the other that it was not yet."""
    made = world()
    made.put_notice(notice(event_id="a", effective_ms=T - 9 * DAY))
    made.put_notice(notice(event_id="b", effective_ms=T - DAY))
    assert outside(made, T - 2 * DAY) == "notice.unknown"
    assert outside(made, T) is None


# --- policies -----------------------------------------------------------------------------------------------------


def capped(name: str, limit: int, skew_ms: int = 10 * MINUTE) -> HandMade:
    """A policy with a cap of that many."""
    cap = Cap(f"cap.{name}", limit, CapWindow("sliding", DAY), (), Selector())
    return HandMade(plan(caps=(cap,)), limits(clock_skew_ms=skew_ms), f"sha256:{name}")


def test_an_older_policy_does_not_replace_a_newer_one() -> None:
    """Late and older it changes nothing, and that is told; newer it does."""
    made = World()
    made.activate(capped("initial", 9))
    made.put_policy(capped("new", 0), T, T, "e-2")
    assert made.put_policy(capped("old", 9), T - HOUR, T + 1, "e-1").superseded
    assert blocked(made) == ["cap.new"]
    assert made.put_policy(capped("newer", 9), T + 1, T + 2, "e-3").restricts
    assert blocked(made) == []


def test_policies_that_are_stamped_alike_hold_together() -> None:
    """Equal times, or an older one that came later within the skew: a request must satisfy both."""
    for earlier_ms, arrived_ms, together in ((0, T, True), (5 * MINUTE, T + 1, True), (15 * MINUTE, T + 1, False)):
        made = World()
        made.put_policy(capped("one", 9), T, T, "e-1")
        made.put_policy(capped("two", 0), T - earlier_ms, arrived_ms, "e-2")
        assert blocked(made) == (["cap.two"] if together else [])
        made.put_policy(capped("three", 9), T + DAY, T + DAY, "e-3")
        assert blocked(made) == []


def test_too_many_policies_of_one_time_are_kept_as_one() -> None:
    """None of them is forgotten, until a newer one replaces all."""
    made = World()
    for number in range(20):
        made.put_policy(capped(f"p{number}", 0 if number == 0 else 9), T, T, f"e-{number}")
        assert blocked(made) == ["cap.p0"]
    assert len(made._activated) <= 8
    made.put_policy(capped("last", 9), T + DAY, T + DAY, "e-last")
    assert blocked(made) == []


def test_another_skew_puts_other_records_in_force() -> None:
    """What is in force follows from the facts and the policy of that moment, not from when they were read."""
    made = World()
    made.put_policy(capped("a", 9), T - DAY, T - DAY, "e-1")
    made.put_party(party(agreement(), at_ms=T))
    made.put_party(party(agreement(), status="suspended", at_ms=T - 15 * MINUTE, arrived_ms=T + 1))
    made.put_pause(pause(time_ms=T - 15 * MINUTE, arrived_ms=T + 1))
    made.lift_pause("p-1", lift(T))
    made.release("a1.one", release(T))
    made.suppress("a1.one", suppression(time_ms=T - 15 * MINUTE, arrived_ms=T + 1))
    assert blocked(made) == []
    assert made.put_policy(capped("b", 9, 20 * MINUTE), T, T, "e-2").restricts
    assert blocked(made) == ["address.suppressed", "pause.p-1", "party.suspended"]
    made.put_policy(capped("c", 9, 0), T + 1, T + 1, "e-3")
    assert blocked(made) == []


# --- pauses -------------------------------------------------------------------------------------------------------


def test_a_lift_ends_what_was_set_before_it_in_whatever_order() -> None:
    """And nothing that was set at the same instant or after."""
    for order in permutations((0, 1, 2)):
        for lifted_ms, stays in ((T, False), (T - 1, True), (T - 2, True), (T - 3, True)):
            made = world()
            steps = (
                lambda made=made: made.put_pause(pause(time_ms=T - 2, channels=("voice",))),
                lambda made=made: made.put_pause(pause(time_ms=T - 1, event_id="b", purposes=("marketing",))),
                lambda made=made, at=lifted_ms: made.lift_pause("p-1", lift(at, arrived_ms=T + DAY)),
            )
            for number in order:
                steps[number]()
            assert (blocked(made) == ["pause.p-1"]) is stays


@pytest.mark.parametrize(
    ("by", "time_ms", "narrowed"),
    [("ann", T + 1, True), (None, T + 1, False), ("ann", T, False), ("ann", T - HOUR, False)],
)
def test_a_pause_is_narrowed_only_by_a_newer_record_that_says_who(by: str | None, time_ms: int, narrowed: bool) -> None:
    """Otherwise the wider of both holds."""
    wide = pause()
    narrow = pause(time_ms=time_ms, by=by, channels=("sms",), event_id="narrow", arrived_ms=T + 2)
    for order in permutations((wide, narrow)):
        made = world()
        for record in order:
            made.put_pause(record)
        assert "pause.p-1" in blocked(made, channel="sms")
        assert (blocked(made) == []) is narrowed


def test_a_pause_is_shortened_only_by_a_newer_record_that_says_who() -> None:
    """An earlier end without a name does not end it."""
    made = world()
    made.put_pause(pause(until_ms=NOW + DAY))
    made.put_pause(pause(until_ms=NOW - DAY, time_ms=T + 1, event_id="b"))
    assert blocked(made) == ["pause.p-1"]
    made.put_pause(pause(until_ms=NOW - DAY, time_ms=T + 2, event_id="c", by="ann"))
    assert blocked(made) == []


def test_more_records_of_a_pause_than_are_kept_apart_stop_everything() -> None:
    """Until a newer lift ends it."""
    made = world()
    for number in range(2 * stops.MOST):
        made.put_pause(pause(time_ms=T + number, event_id=f"e-{number}", channels=("sms",)))
        assert blocked(made) == ([] if number < stops.MOST else ["pause.p-1"])
        assert len(made._paused["p-1"].stops) <= stops.MOST
    for number in range(2 * stops.MOST):
        made.lift_pause("p-1", lift(T + DAY - number, arrived_ms=T + DAY + number, event_id=f"l-{number}"))
        assert len(made._paused["p-1"].lifts) <= stops.MOST
    assert blocked(made) == []


def test_ended_pauses_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that still stop are not."""
    monkeypatch.setattr("contactgate.core.world._MAX_ENDED", 3)
    made = world()
    made.put_pause(pause(pause_id="stays"))
    for number in range(9):
        made.lift_pause(f"p-{number}", lift())
    assert set(made._paused) == {"stays", "p-7", "p-8"}


# --- suppressions -------------------------------------------------------------------------------------------------


def bound(made: World) -> list[str]:
    """The events of the suppressions in force."""
    return [each.event_id for each in made.suppressed("a1.one")]


SCOPED: dict[str, dict[str, Any]] = {
    "all": {},
    "sms": {"channels": ("sms",)},
    "phone": {"channels": ("phone",)},
    "fax": {"channels": ("fax",)},
    "bank": {"controller": "bank"},
    "BANK": {"controller": " BANK"},
    "insurance": {"purposes": ("marketing.insurance",)},
    "c-1": {"campaigns": ("c-1",)},
    "bounced": {"reason": "hard_bounce"},
    "both": {"channels": ("sms",), "controller": "bank"},
}


@pytest.mark.parametrize(
    ("scope", "lifted"),
    [
        ({}, set(SCOPED)),
        ({"channels": ("sms",)}, {"sms", "both"}),
        ({"channels": ("voice", "sms")}, {"sms", "both", "phone"}),
        ({"channels": ("phone",)}, set()),
        ({"channels": ("voice", "sms", "email", "mail")}, {"sms", "both", "phone"}),
        ({"controller": "bank"}, {"bank", "BANK", "both"}),
        ({"controller": "BANK"}, set()),
        ({"purposes": ("marketing",)}, {"insurance"}),
        ({"purposes": ("marketing.insurance.life",)}, set()),
        ({"purposes": ("promo",)}, set()),
        ({"campaigns": ("c-1", "c-2")}, {"c-1"}),
        ({"reasons": ("hard_bounce",)}, {"bounced"}),
        ({"events": ("sms", "fax")}, {"sms", "fax"}),
        ({"channels": ("sms",), "controller": "bank"}, {"both"}),
        ({"channels": ("sms",), "events": ("both", "bank")}, {"both"}),
    ],
)
def test_a_release_lifts_what_lies_wholly_inside_it(scope: dict[str, Any], lifted: set[str]) -> None:
    """As the words of the suppression are judged; with a word that nobody knows, or in another spelling, nothing."""
    made = World()
    made.activate(SPOKEN)
    for name, told in SCOPED.items():
        made.suppress("a1.one", suppression(event_id=name, **told))
    made.release("a1.one", release(**scope))
    assert set(SCOPED) - set(bound(made)) == lifted


def test_a_release_lifts_what_was_stamped_before_it_in_whatever_order() -> None:
    """Dated before the STOP and delivered after it, it lifts nothing; of equal scope the later STOP stays."""
    steps = [suppression(event_id="old", time_ms=T), suppression(event_id="new", time_ms=T + 2 * DAY)]
    freed = release(T + DAY)
    for order in permutations((*steps, freed)):
        made = world()
        for one in order:
            made.release("a1.one", one) if one is freed else made.suppress("a1.one", one)  # type: ignore[arg-type]
        assert bound(made) == ["new"]


def test_a_suppression_by_a_slow_clock_binds_and_a_repeated_one_does_not_again() -> None:
    """It came after the release; the same event came before it, and is only told again."""
    made = world()
    made.suppress("a1.one", suppression(event_id="first", time_ms=T - 5 * MINUTE))
    made.release("a1.one", release(T))
    assert made.suppress("a1.one", suppression(event_id="slow", time_ms=T - 5 * MINUTE, arrived_ms=T + 1)).restricts
    made.suppress("a1.one", suppression(event_id="first", time_ms=T - 5 * MINUTE, arrived_ms=T + 2))
    assert bound(made) == ["slow"]
    lost = made.suppress("a1.one", suppression(event_id="late", time_ms=T - HOUR, arrived_ms=T + 3))
    assert (lost.restricts, lost.superseded) == (False, True)


def test_a_release_judges_words_when_it_is_asked() -> None:
    """A word that becomes known makes a release count that was read before; one that becomes unknown, not any more."""
    made = World()
    made.activate(SPOKEN)
    made.suppress("a1.one", suppression(campaigns=("c-1",)))
    made.release("a1.one", release(campaigns=("c-1",)))
    assert bound(made) == []
    made.put_campaign(campaign(campaign_id="c-2"))
    assert bound(made) == ["stop"]
    made.put_campaign(campaign())
    assert bound(made) == []


def test_suppressions_of_different_origin_are_never_merged() -> None:
    """Released by its event, one person's goes and the other's stays; of one origin the later ones stay."""
    made = world()
    for number in range(20):
        origin = f"s-{number % 3}"
        made.suppress("a1.one", suppression(event_id=f"e-{number}", time_ms=T + number, origin=origin))
    assert {each.origin for each in made.suppressed("a1.one")} == {"s-0", "s-1", "s-2"}
    theirs = tuple(each.event_id for each in made.suppressed("a1.one") if each.origin == "s-1")
    made.release("a1.one", release(T + DAY, events=theirs))
    assert {each.origin for each in made.suppressed("a1.one")} == {"s-0", "s-2"}


@pytest.mark.parametrize("vary", ["channels", "campaigns", "reason", "origin"])
def test_more_suppressions_than_are_kept_apart_bind_as_much_as_all(vary: str) -> None:
    """At the bound they become one that reaches what all of them reach; no release by events lifts that one."""
    made = world()
    for number in range(3 * stops.MOST):
        value = f"w-{number}" if vary in ("reason", "origin") else (f"w-{number}",)
        made.suppress("a1.one", suppression(event_id=f"e-{number}", time_ms=T + number, **{vary: value}))
        assert len(made.suppressions["a1.one"]) <= stops.MOST
    assert "address.suppressed" in blocked(made, campaign="w-0", channel="voice")
    made.release("a1.one", release(T + DAY, events=tuple(f"e-{number}" for number in range(3 * stops.MOST))))
    assert "address.suppressed" in blocked(made, campaign="w-0", channel="voice")
    made.release("a1.one", release(T + DAY))
    assert bound(made) == []


def test_more_releases_than_are_kept_apart_lift_less() -> None:
    """The oldest is forgotten; what it lifted binds again rather than the reverse."""
    made = world()
    for number in range(2 * stops.MOST):
        made.release("a1.one", release(T + number, events=(f"e-{number}",), event_id=f"r-{number}"))
    assert len(made._releases["a1.one"]) == stops.MOST
    made.suppress("a1.one", suppression(event_id="e-0", time_ms=T - 1, arrived_ms=T - 1))
    made.suppress("a1.one", suppression(event_id=f"e-{2 * stops.MOST - 1}", time_ms=T - 1, arrived_ms=T - 1))
    assert bound(made) == ["e-0"]


def test_what_can_never_bind_again_is_forgotten() -> None:
    """A suppression that a release ended more than the largest skew before."""
    made = world()
    for number, earlier in enumerate((MAX_CLOCK_SKEW_MS + 1, MAX_CLOCK_SKEW_MS)):
        made.suppress("a1.one", suppression(event_id=f"e-{number}", time_ms=T - earlier))
    made.release("a1.one", release(T, reasons=("manual",)))
    assert [each.event_id for each in made.suppressions["a1.one"]] == ["e-1"]
    assert past(T - MAX_CLOCK_SKEW_MS - 1, T, T)
    assert not past(T - MAX_CLOCK_SKEW_MS, T, T)

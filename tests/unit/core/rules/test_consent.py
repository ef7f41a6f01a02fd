"""Which consents count, to the millisecond, and what is said when none does."""

from datetime import datetime

import pytest
from tests.kit.corekit import (
    DAY,
    HOUR,
    NOTHING_ASKED,
    OPT_OUT,
    T,
    ask,
    check_edge,
    consent,
    limits,
    notice,
    person,
    rules,
    world,
)

from contactgate.model.facts import EMPTY, FOREVER_MS, Profile, Relationship, SubjectState, Withdrawal
from contactgate.policy.plan import Basis, RelationPeriod, Requirements

ORDINAL_OF_T = 739_679  # 2026-03-04


def withdrawal(**changes: object) -> Withdrawal:
    """An opt-out of an hour ago from everything."""
    values = {
        "time_ms": T - HOUR,
        "controller": None,
        "purposes": None,
        "channels": None,
        "recipients": None,
        "event_id": "w",
    }
    made = values | changes
    return Withdrawal(**{"arrived_ms": made["time_ms"]} | made)  # type: ignore[arg-type]


def test_a_consent_that_covers_the_request_passes() -> None:
    """Controller, recipient, purpose path, channel and categories inside a consent: the request passes."""
    assert ask(world(), person()).passed


def test_no_consent_is_missing_for_ever() -> None:
    """Without any consent an opt-in purpose blocks, and no instant is given."""
    decision = ask(world(), EMPTY)
    assert rules(decision) == ["consent.missing"]
    assert decision.next_eligible_ms is None


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"recipients": None}, "consent.recipient"),
        ({"recipients": ("insurer",)}, "consent.recipient"),
        ({"categories": ("account",)}, "consent.data_category"),
        ({"categories": None}, "consent.data_category"),
        ({"controller": "insurer"}, "consent.missing"),
        ({"purposes": ("marketing.insurance.life",)}, "consent.missing"),
        ({"purposes": ("market",)}, "consent.missing"),
        ({"channels": ("email",)}, "consent.missing"),
    ],
)
def test_every_dimension_of_the_matrix_binds(changes: dict[str, object], rule: str) -> None:
    """A consent that does not cover one dimension does not count, and the reason names the dimension."""
    assert rules(ask(world(), person(grants=(consent(**changes),)))) == [rule]


def test_the_controller_itself_needs_no_recipient() -> None:
    """Recipients absent mean the controller alone; listed, the controller only if it is listed."""
    alone = person(grants=(consent(recipients=None),))
    assert ask(world(), alone, requester="bank").passed
    assert rules(ask(world(), person(), requester="bank")) == ["consent.recipient"]


def test_weaker_evidence_does_not_count() -> None:
    """Evidence that the basis does not name makes the consent count for nothing."""
    strict = world(bases=(Basis("policy", "opt_in", frozenset(("written",))),))
    assert rules(ask(strict, person())) == ["consent.evidence"]
    assert rules(ask(strict, person(grants=(consent(evidence=None),)))) == ["consent.evidence"]


def test_it_counts_from_effective_at_included_until_expires_at_excluded() -> None:
    """Both ends of a consent are exact to the millisecond."""
    state = person(grants=(consent(effective_ms=T + 5, expires_ms=T + 9),))
    check_edge(world(), state, T + 5, "consent.not_yet_effective")
    assert ask(world(), state, T + 8).passed
    expired = ask(world(), state, T + 9)
    assert rules(expired) == ["consent.expired"]
    assert expired.next_eligible_ms is None


def test_it_never_counts_before_it_was_given() -> None:
    """A consent with a time later than now does not count yet, even if its start is stated earlier."""
    check_edge(world(), person(grants=(consent(time_ms=T, effective_ms=T - DAY),)), T, "consent.not_yet_effective")


def test_a_stated_indefinite_period_has_no_default_end() -> None:
    """Only a consent that states no period gets the default one; the longest allowed binds both."""
    month = world(bases=(Basis("policy", "opt_in", default_months=1),))
    given = consent(time_ms=T - 40 * DAY)
    assert rules(ask(month, person(grants=(given,)))) == ["consent.expired"]
    assert ask(month, person(grants=(consent(time_ms=T - 40 * DAY, expires_ms=FOREVER_MS),))).passed
    capped = world(bases=(Basis("policy", "opt_in", max_months=1),))
    assert rules(ask(capped, person(grants=(consent(time_ms=T - 40 * DAY, expires_ms=FOREVER_MS),)))) == [
        "consent.expired"
    ]


def test_the_default_period_ends_with_a_local_date() -> None:
    """One month from 4 February in Shanghai is over when 4 March begins there."""
    month = world(bases=(Basis("policy", "opt_in", default_months=1),))
    given = person(grants=(consent(time_ms=T - 28 * DAY),))
    midnight = T - 10 * HOUR
    assert ask(month, given, midnight - 1).passed
    assert rules(ask(month, given, midnight)) == ["consent.expired"]


@pytest.mark.parametrize(
    ("given", "over"),
    [
        ("2026-08-20T08:00:00", "2027-08-20T22:00:00"),
        ("2026-08-19T22:30:00", "2027-08-20T22:00:00"),  # already the 20th in Paris
        ("2028-02-29T12:00:00", "2029-02-28T23:00:00"),
    ],
)
def test_a_year_with_its_anniversary_included_ends_with_that_date(given: str, over: str) -> None:
    """The whole anniversary counts, wherever the person is; that of 29 February is 28 February."""
    at, end = (int(datetime.fromisoformat(each + "Z").timestamp() * 1000) for each in (given, over))
    basis = Basis("fr", "opt_in", max_months=12, anniversary_zone="Europe/Paris")
    state = person(grants=(consent(time_ms=at),))
    assert ask(world(bases=(basis,)), state, end - 1).passed
    assert rules(ask(world(bases=(basis,)), state, end)) == ["consent.expired"]


def test_a_withdrawal_wins_at_equal_time_and_a_later_consent_revives() -> None:
    """Order is by event time; at equal time the withdrawal wins."""
    for given_at, expected in ((T - HOUR, ["consent.withdrawn"]), (T - HOUR + 1, [])):
        state = person(grants=(consent(time_ms=given_at),), withdrawals=(withdrawal(purposes=("marketing",)),))
        assert rules(ask(world(), state)) == expected


@pytest.mark.parametrize(
    ("changes", "reaches"),
    [
        ({}, True),
        ({"purposes": ("marketing",)}, True),
        ({"purposes": ("marketing.insurance",)}, True),
        ({"purposes": ("marketing.insurance.life",)}, False),
        ({"purposes": ("collection",)}, False),
        ({"controller": "insurer"}, False),
        ({"controller": "bank"}, True),
        ({"channels": ("sms",)}, False),
        ({"channels": ("voice",)}, True),
        ({"recipients": ("insurer",)}, False),
        ({"recipients": ("callcentre",)}, True),
    ],
)
@pytest.mark.parametrize("basis", [Basis("policy", "opt_in"), OPT_OUT])
def test_a_withdrawal_reaches_what_it_names_and_no_more(
    basis: Basis, changes: dict[str, object], reaches: bool
) -> None:
    """Absent fields of a withdrawal mean all; the others must all match; under opt-in and opt-out alike."""
    state = person(withdrawals=(withdrawal(**changes),))
    assert rules(ask(world(bases=(basis,)), state)) == (["consent.withdrawn"] if reaches else [])


def test_a_withdrawal_may_reach_every_purpose_by_law() -> None:
    """From a dated rule on an opt-out of one purpose reaches all of them on its channels."""
    revoking = world(bases=(Basis("us-fed", "opt_out", revokes_all_from_ms=T - HOUR),))
    assert rules(ask(revoking, person(withdrawals=(withdrawal(purposes=("service",)),)))) == ["consent.withdrawn"]
    older = withdrawal(purposes=("service",), time_ms=T - HOUR - 1)
    assert ask(revoking, person(withdrawals=(older,))).passed


def test_opt_out_passes_the_unknown_and_a_consent_that_counts_revives() -> None:
    """Under opt-out an unknown person passes; after a withdrawal only a newer consent that counts does."""
    free = world(bases=(OPT_OUT,))
    assert ask(free, EMPTY).passed
    back = person(grants=(consent(time_ms=T - 1),), withdrawals=(withdrawal(),))
    assert ask(free, back).passed
    weak = world(bases=(Basis("policy", "opt_out", frozenset(("written",))),))
    assert rules(ask(weak, back)) == ["consent.withdrawn"]


def test_none_looks_at_nothing() -> None:
    """A purpose without a basis of consent passes whatever was withdrawn."""
    assert ask(world(bases=(NOTHING_ASKED,)), SubjectState(withdrawals=(withdrawal(),))).passed


def test_every_source_must_be_satisfied() -> None:
    """The strictest of the house policy and the packs wins."""
    both = world(bases=(OPT_OUT, Basis("de", "opt_in", frozenset(("double_opt_in",)))))
    assert rules(ask(both, person())) == ["consent.evidence"]


def test_the_closest_consent_tells_the_reasons() -> None:
    """Of several consents the one that fails least is reported, the newest of those."""
    far = consent(recipients=("insurer",), categories=("account",), event_id="g-2", time_ms=T - 1)
    near = consent(recipients=("insurer",), event_id="g-3", time_ms=T - 2)
    assert rules(ask(world(), person(grants=(near, far)))) == ["consent.recipient"]


REQUIRED = limits(requirements=Requirements(campaign=False, party=False, notice=True))


def test_an_unknown_notice_blocks_if_the_policy_asks() -> None:
    """Without a known notice a consent counts only where notices are not required."""
    named = person(grants=(consent(notice_id="n-1"),))
    assert rules(ask(world(limit=REQUIRED), named)) == ["notice.unknown"]
    assert rules(ask(world(limit=REQUIRED), person())) == ["notice.unknown"]
    assert ask(world(), named).passed


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"purposes": None, "recipients": None, "categories": None}, None),
        ({"purposes": ("marketing.insurance",)}, "notice.outside"),
        ({"recipients": ("insurer",)}, "notice.outside"),
        ({"categories": ("basic",)}, "notice.outside"),
        ({"controller": "insurer"}, "notice.outside"),
        ({"effective_ms": T - DAY}, None),
        ({"effective_ms": T - DAY + 1}, "notice.unknown"),
        ({"expires_ms": T - DAY}, "notice.outside"),
        ({"expires_ms": T - DAY + 1}, None),
    ],
)
def test_a_consent_must_lie_inside_the_notice_in_force_when_it_was_given(
    changes: dict[str, object], rule: str | None
) -> None:
    """Purposes, recipients, categories and controller of the consent are inside the notice, or it does not count."""
    made = world(limit=REQUIRED)
    made.put_notice(notice(**changes))
    decision = ask(made, person(grants=(consent(notice_id="n-1"),)))
    assert rules(decision) == ([] if rule is None else [rule])


def test_a_widened_notice_does_not_widen_old_consents() -> None:
    """A consent is judged by the version in force when it was given, not by a later one."""
    made = world(limit=REQUIRED)
    made.put_notice(notice(purposes=("marketing.insurance",)))
    made.put_notice(notice(version=2, effective_ms=T - HOUR))
    assert rules(ask(made, person(grants=(consent(notice_id="n-1"),)))) == ["notice.outside"]
    assert ask(made, person(grants=(consent(notice_id="n-1", time_ms=T - 1),))).passed


def relation(**changes: object) -> SubjectState:
    """Somebody with a business relationship and no consent."""
    values = {"controller": "bank", "kind": "inquiry", "date": ORDINAL_OF_T - 31, "until": None, "event_id": "b"}
    known = Relationship(**values | changes)  # type: ignore[arg-type]
    return SubjectState(Profile(timezones=("Asia/Shanghai",), timezones_ms=1, relationships=(known,)))


def test_a_relationship_stands_in_for_consent_through_its_last_local_date() -> None:
    """An inquiry of 1 February exempts for one month, 1 March included, and not for another controller."""
    soft = world(bases=(Basis("ca", "opt_in", unless_relations=(RelationPeriod("inquiry", months=1),)),))
    second_of_march = T - 10 * HOUR - 2 * DAY
    assert ask(soft, relation(), second_of_march - 1).passed
    assert rules(ask(soft, relation(), second_of_march)) == ["consent.missing"]
    assert rules(ask(soft, relation(controller="insurer"), second_of_march - 1)) == ["consent.missing"]
    assert rules(ask(soft, relation(kind="purchase"), second_of_march - 1)) == ["consent.missing"]


def test_a_withdrawal_beats_a_relationship() -> None:
    """An opt-out ends what a relationship stood in for."""
    soft = world(bases=(Basis("ca", "opt_in", unless_relations=(RelationPeriod("inquiry", months=9),)),))
    known = relation()
    left = SubjectState(known.profile, withdrawals=(withdrawal(),))
    assert ask(soft, known).passed
    assert rules(ask(soft, left)) == ["consent.withdrawn"]


def test_a_contract_exempts_until_its_last_day_or_longer() -> None:
    """A running contract exempts; an ended one as long after its end as the rule says."""
    during = world(bases=(Basis("fr", "opt_in", unless_relations=(RelationPeriod("contract"),)),))
    after = world(bases=(Basis("us", "opt_in", unless_relations=(RelationPeriod("contract", after_end_months=1),)),))
    running = relation(kind="contract")
    ended = relation(kind="contract", until=ORDINAL_OF_T - 1)
    assert ask(during, running).passed
    assert rules(ask(during, ended)) == ["consent.missing"]
    assert ask(during, ended, T - 10 * HOUR - 1).passed
    assert ask(after, ended).passed

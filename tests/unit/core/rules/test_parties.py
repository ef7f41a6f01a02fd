"""The request, the person's flags, the requester, the campaign, pauses and suppressed addresses."""

import pytest
from tests.kit.corekit import (
    DAY,
    HOUR,
    NOTHING_ASKED,
    T,
    agreement,
    ask,
    campaign,
    check_edge,
    consent,
    lift,
    limits,
    party,
    pause,
    person,
    plan,
    release,
    rules,
    suppression,
    world,
)

from contactgate.core.world import World
from contactgate.model.facts import Mark, Profile
from contactgate.policy.plan import Requirements


def asks_for(**required: bool) -> World:
    """A world whose policy requires these to be known."""
    known = {"campaign": False, "party": False, "notice": False, "two_people": True}
    return world(limit=limits(requirements=Requirements(**known | required)))


def flagged(*flags: str) -> Profile:
    """Somebody with flags."""
    marks = tuple(Mark(flag, False, 1, 1) for flag in flags)
    return Profile(timezones=("Asia/Shanghai",), timezones_ms=1, marks=marks)


# --- the request --------------------------------------------------------------------------------------------------


def test_a_request_waits_for_its_own_time() -> None:
    """Before not_before it blocks until then."""
    check_edge(world(), person(), T + 7, "request.not_before", not_before_ms=T + 7)


def test_a_request_expires_at_not_after() -> None:
    """At not_after the request is expired forever; the millisecond before it passes."""
    assert ask(world(), person(), T - 1, not_after_ms=T).passed
    decision = ask(world(), person(), T, not_after_ms=T)
    assert rules(decision) == ["request.expired"]
    assert decision.next_eligible_ms is None


def test_what_would_pass_only_when_expired_never_passes() -> None:
    """A first free instant at or after not_after is no instant."""
    later = person(grants=(consent(effective_ms=T + HOUR),))
    assert ask(world(), later, not_after_ms=T + HOUR).next_eligible_ms is None
    assert ask(world(), later, not_after_ms=T + HOUR + 1).next_eligible_ms == T + HOUR


@pytest.mark.parametrize("channel", ["voice", "sms", "email"])
def test_a_request_without_a_readable_address_is_malformed(channel: str) -> None:
    """A channel that needs an address blocks without one; an address that cannot be read always does."""
    free = world(bases=(NOTHING_ASKED,))
    assert rules(ask(free, person(), channel=channel, address=None)) == ["request.malformed"]
    assert rules(ask(free, person(), address=None, address_fault=True)) == ["request.malformed"]
    assert ask(free, person(), channel="mail", address=None).passed


def test_an_unknown_purpose_blocks() -> None:
    """A purpose that neither the policy nor a pack names blocks forever."""
    assert rules(ask(world(bases=()), person())) == ["policy.unknown_purpose"]


def test_a_jurisdiction_without_a_pack_blocks_if_asked_for() -> None:
    """With `uncovered: block` the reason names the jurisdiction."""
    decision = ask(world(uncovered=("US-TX",)), person())
    assert rules(decision) == ["policy.unavailable"]
    assert "US-TX" in decision.reasons[0].detail


# --- the person ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "marketing", "vulnerable_blocks", "blocks"),
    [
        ("deceased", False, True, True),
        ("minor", True, True, True),
        ("minor", False, True, False),
        ("vulnerable", True, True, True),
        ("vulnerable", True, False, False),
        ("vulnerable", False, True, False),
        ("business", True, True, False),
    ],
)
def test_flags_block_as_the_text_says(flag: str, marketing: bool, vulnerable_blocks: bool, blocks: bool) -> None:
    """The dead are never contacted; minors get no marketing, nor do the vulnerable unless the policy says so."""
    made = world(plan(marketing=marketing, vulnerable_blocks=vulnerable_blocks))
    assert rules(ask(made, person(profile=flagged(flag)))) == ([f"subject.{flag}"] if blocks else [])


def test_an_erased_person_is_left_alone_until_a_newer_consent() -> None:
    """After an erasure only a consent given later that covers the request opens again, whatever the basis."""
    erased = Profile(erased_ms=T - DAY)
    for bases in ((NOTHING_ASKED,), plan().bases):
        made = world(bases=bases)
        assert "subject.erased" in rules(ask(made, person(profile=erased)))
        assert ask(made, person(profile=erased, grants=(consent(time_ms=T - DAY + 1),))).passed
        other = consent(time_ms=T - DAY + 1, purposes=("service",))
        assert "subject.erased" in rules(ask(made, person(profile=erased, grants=(other,))))


# --- the requester ------------------------------------------------------------------------------------------------


def test_an_unknown_party_blocks_only_if_required() -> None:
    """A requester nobody registered may do nothing where parties are required."""
    assert rules(ask(asks_for(party=True), person())) == ["party.unknown"]
    assert ask(asks_for(), person()).passed


@pytest.mark.parametrize("status", ["suspended", "ended"])
def test_a_known_party_must_be_active(status: str) -> None:
    """A suspended or ended party blocks, required or not."""
    made = asks_for()
    made.put_party(party(agreement(), status=status))
    assert rules(ask(made, person())) == ["party.suspended"]


@pytest.mark.parametrize(
    "changes",
    [{"controller": "insurer"}, {"purposes": ("collection",)}, {"channels": ("sms",)}, {"categories": ("account",)}],
)
def test_an_agreement_must_allow_the_request(changes: dict[str, object]) -> None:
    """Controller, purpose, channel and categories of the request lie inside one agreement."""
    made = asks_for()
    made.put_party(party(agreement(**changes)))
    assert rules(ask(made, person())) == ["party.agreement"]
    made.put_party(party(agreement(**changes), agreement(), at_ms=T - DAY))
    assert ask(made, person()).passed


def test_a_party_without_agreements_may_do_nothing() -> None:
    """No agreement allows nothing, not everything."""
    made = asks_for()
    made.put_party(party())
    assert rules(ask(made, person())) == ["party.agreement"]


def test_an_agreement_has_a_term() -> None:
    """valid_from is included and valid_until excluded; an approval does not outlive it."""
    made = asks_for()
    made.put_party(party(agreement(valid_from_ms=T, valid_until_ms=T + 5)))
    check_edge(made, person(), T, "party.agreement")
    assert ask(made, person(), T + 4).valid_until_ms == T + 5
    assert rules(ask(made, person(), T + 5)) == ["party.agreement"]


# --- the campaign -------------------------------------------------------------------------------------------------


def test_an_unknown_campaign_blocks_only_if_required() -> None:
    """So does a request that names none."""
    assert rules(ask(asks_for(campaign=True), person())) == ["campaign.unknown"]
    assert rules(ask(asks_for(campaign=True), person(), campaign=None)) == ["campaign.unknown"]
    assert ask(asks_for(), person(), campaign=None).passed


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"status": "draft"}, "campaign.not_approved"),
        ({"status": "closed"}, "campaign.not_approved"),
        ({"status": "paused"}, "campaign.paused"),
        ({"approved_by": "ann"}, "campaign.not_approved"),
        ({"approved_by": None}, "campaign.not_approved"),
        ({"approved_by": " \u0391nn "}, None),
        ({"approved_by": " ANN "}, "campaign.not_approved"),
        ({"approved_by": "\uff41\uff4e\uff4e"}, "campaign.not_approved"),
        ({"created_by": "\u00a0", "approved_by": "bob"}, "campaign.not_approved"),
        ({"controller": "insurer"}, "campaign.mismatch"),
        ({"requesters": ("bank",)}, "campaign.mismatch"),
        ({"purposes": ("collection",)}, "campaign.mismatch"),
        ({"channels": ("sms",)}, "campaign.mismatch"),
    ],
)
def test_a_known_campaign_binds(changes: dict[str, object], rule: str | None) -> None:
    """It is approved by somebody else than its creator, in any spelling, is not paused, and is about the request."""
    made = asks_for()
    made.put_campaign(campaign(**changes))
    assert rules(ask(made, person())) == ([] if rule is None else [rule])


def test_one_person_may_approve_where_the_policy_lets_them() -> None:
    """Two people are needed only if the policy asks for two."""
    made = asks_for(two_people=False)
    made.put_campaign(campaign(approved_by="ann"))
    assert ask(made, person()).passed


def test_a_campaign_has_a_term() -> None:
    """valid_from is included and valid_until excluded; an approval does not outlive it."""
    made = asks_for()
    made.put_campaign(campaign(valid_from_ms=T, valid_until_ms=T + 5))
    check_edge(made, person(), T, "campaign.not_approved")
    assert ask(made, person(), T + 4).valid_until_ms == T + 5
    assert rules(ask(made, person(), T + 5)) == ["campaign.not_approved"]


# --- pauses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "blocks"),
    [
        ({}, True),
        ({"controllers": ("bank",)}, True),
        ({"controllers": ("insurer",)}, False),
        ({"requesters": ("callcentre",)}, True),
        ({"requesters": ("bank",)}, False),
        ({"campaigns": ("c-1",)}, True),
        ({"campaigns": ("c-2",)}, False),
        ({"purposes": ("marketing",)}, True),
        ({"purposes": ("marketing.insurance.life",)}, False),
        ({"channels": ("voice",)}, True),
        ({"channels": ("sms",)}, False),
        ({"controllers": ("bank",), "channels": ("sms",)}, False),
    ],
)
def test_a_pause_stops_its_scope(scope: dict[str, tuple[str, ...]], blocks: bool) -> None:
    """All given fields must match; none given means everything."""
    made = world()
    made.put_pause(pause(**scope))
    assert rules(ask(made, person())) == (["pause.p-1"] if blocks else [])


def test_a_pause_ends_at_its_instant_or_when_lifted() -> None:
    """`until` is excluded; every pause that is on is reported, and the latest decides."""
    made = world()
    made.put_pause(pause(until_ms=T + 5))
    made.put_pause(pause(pause_id="p-2", until_ms=T + 9))
    assert rules(ask(made, person())) == ["pause.p-1", "pause.p-2"]
    check_edge(made, person(), T + 9, "pause.p-2")
    made.put_pause(pause(pause_id="p-3"))
    assert ask(made, person()).next_eligible_ms is None
    made.lift_pause("p-3", lift())
    assert ask(made, person(), T + 9).passed


# --- suppressions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "blocks"),
    [
        ({}, True),
        ({"channels": ("sms",)}, False),
        ({"channels": ("voice",), "controller": "bank"}, True),
        ({"channels": ("voice",), "controller": "insurer"}, False),
        ({"purposes": ("marketing",)}, True),
        ({"purposes": ("collection",)}, False),
        ({"campaigns": ("c-2",)}, False),
    ],
)
def test_a_suppressed_address_blocks_its_scope(scope: dict[str, object], blocks: bool) -> None:
    """All given fields must match, for everybody who uses the address; another address is free."""
    made = world()
    made.suppress("a1.one", suppression(**scope))
    assert rules(ask(made, person())) == (["address.suppressed"] if blocks else [])
    assert ask(made, person(), address="a1.two").passed


def test_a_suppression_expires_or_is_released() -> None:
    """expires_at is excluded; a release without a scope lifts every older one."""
    made = world()
    made.suppress("a1.one", suppression(expires_ms=T + 5))
    check_edge(made, person(), T + 5, "address.suppressed")
    made.suppress("a1.one", suppression(event_id="other"))
    assert ask(made, person()).next_eligible_ms is None
    made.release("a1.one", release())
    assert ask(made, person()).passed


def test_a_wrong_number_is_suppressed_for_the_person() -> None:
    """An address that was reported as somebody else's blocks forever, on every channel."""
    profile = Profile(timezones=("Asia/Shanghai",), timezones_ms=1, wrong_addresses=("a1.one",))
    decision = ask(world(), person(profile=profile), channel="sms")
    assert rules(decision) == ["address.suppressed"]
    assert decision.next_eligible_ms is None

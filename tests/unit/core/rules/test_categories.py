"""Which data categories a request asks for, and what of that nobody knows or the campaign is not for (rule 48)."""

from __future__ import annotations

import pytest
from tests.kit.corekit import (
    HandMade,
    T,
    agreement,
    ask,
    campaign,
    consent,
    limits,
    party,
    person,
    plan,
    request,
    rules,
    world,
)

from contactgate.core.decide import decide, request_of
from contactgate.core.review import review
from contactgate.core.rule import categories_of
from contactgate.core.world import World
from contactgate.policy.plan import Words


def ran(categories: tuple[str, ...] | None) -> World:
    """A world with a campaign for these categories."""
    made = world()
    made.put_campaign(campaign(categories=categories))
    return made


@pytest.mark.parametrize(
    ("of_campaign", "said", "judged"),
    [
        (None, (), ("basic",)),
        ((), (), ("basic",)),
        (("account", "credit"), (), ("account", "credit")),
        (("account", "credit"), ("account",), ("account",)),
        (None, ("credit",), ("credit",)),
    ],
)
def test_what_the_request_says_goes_before_what_its_campaign_says(
    of_campaign: tuple[str, ...] | None, said: tuple[str, ...], judged: tuple[str, ...]
) -> None:
    """And without both it is `basic`; the decision names what was judged."""
    made = ran(of_campaign)
    decision = ask(made, person(grants=(consent(categories=("account", "basic", "credit")),)), categories=said)
    assert decision.categories == judged
    assert decision.passed == (of_campaign != ())


def test_an_unknown_campaign_or_none_lends_no_categories() -> None:
    """`basic` is asked for, and a consent to something else does not cover it."""
    made = ran(("account",))
    for named in ("c-9", None):
        decision = ask(made, person(grants=(consent(categories=("account",)),)), campaign=named, categories=())
        assert (rules(decision), decision.categories) == (["consent.data_category"], ("basic",))


@pytest.mark.parametrize(("said", "wrong"), [(("account",), []), (("account", "credit"), ["credit"]), ((), [])])
def test_categories_outside_the_campaigns_are_a_mismatch(said: tuple[str, ...], wrong: list[str]) -> None:
    """It is told which."""
    made = ran(("account", "basic"))
    decision = ask(made, person(grants=(consent(categories=("account", "basic", "credit")),)), categories=said)
    assert rules(decision) == (["campaign.mismatch"] if wrong else [])
    assert all(word in decision.reasons[0].detail for word in wrong)


def test_an_agreement_must_cover_the_categories_of_the_campaign() -> None:
    """A request that says nothing does not get round the agreement."""
    made = ran(("account",))
    made.put_party(party(agreement(categories=("basic",))))
    assert rules(ask(made, person(), categories=())) == ["party.agreement"]


def test_a_category_that_nobody_knows_is_named() -> None:
    """Also where no consent is asked for, and where the campaign brings it in; the house's own are known."""
    chosen = HandMade(plan(bases=()), limits())
    chosen.words = Words(channels=frozenset(["voice"]), categories=frozenset(["basic", "health"]))
    made = World()
    made.activate(chosen)
    told = ask(made, person(), categories=("health", "shoes")).reasons
    reason = next(each for each in told if each.rule == "request.malformed")
    assert ("shoes" in reason.detail, "health" in reason.detail, reason.field) == (True, False, "data_categories")
    made.put_campaign(campaign(categories=("shoes",)))
    assert "request.malformed" in rules(ask(made, person(), categories=()))


def test_an_approval_keeps_what_was_judged_and_what_was_said() -> None:
    """A campaign that covers less recalls it; one that covers more does not, and the same request is the same."""
    made = ran(("account", "basic"))
    decision, state = decide(asked := request(categories=()), person(), made, T)
    assert decision.passed
    contact = state.contacts[-1]
    assert (contact.categories, contact.asked_categories) == (("account", "basic"), None)
    made.put_campaign(campaign(categories=("account", "basic", "credit")))
    assert review(state, made, T + 1)[1] == ()
    again, _ = decide(asked, state, made, T + 1)
    assert (again.duplicate, again.categories) == (True, ("account", "basic"))
    assert categories_of(request_of(contact), made) == ("account", "basic")
    made.put_campaign(campaign(categories=("account",)))
    assert [each.rule for each in review(state, made, T + 2)[1]] == ["campaign.mismatch"]

"""Which words are known, and what a written scope reaches."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kit.corekit import HandMade, agreement, campaign, limits, notice, party, plan

from contactgate.core.vocabulary import ALL, NOTHING_KNOWN, Scope, Unknown, Vocabulary
from contactgate.core.world import World
from contactgate.model.world import Agreement, Party
from contactgate.policy.load import load_policy

POLICY = {"policy": "p", "purposes": {"marketing": {"consent": "opt_in"}, "service": {"consent": "none"}}}


def words(*things: Any, **keys: Any) -> Vocabulary:
    """The vocabulary of a policy and of notices, parties and campaigns."""
    world = World()
    world.activate(load_policy({**POLICY, **keys}))
    for thing in things:
        put = {"Notice": world.put_notice, "Party": world.put_party, "Campaign": world.put_campaign}
        put[type(thing).__name__](thing)
    return world.vocabulary


def named(party_id: str, *agreements: Agreement, status: str = "active") -> Party:
    return Party(party_id, status, agreements)


def reached(*names: str) -> Scope:
    return Scope(frozenset(names), None)


def widest(word: str) -> Scope:
    return Scope(None, word)


@pytest.mark.parametrize(
    ("written", "scope"),
    [
        (None, ALL),
        (("sms",), reached("sms")),
        (("Phone", "SMS "), reached("voice", "sms")),
        (("fax", "sms"), widest("fax")),
        (("push",), reached("push")),
        (("PUSH",), reached("push")),
        (("whatsapp",), widest("whatsapp")),
        (("all",), widest("all")),
        ((), ALL),
    ],
)
def test_channels(written: tuple[str, ...] | None, scope: Scope) -> None:
    """Built-in channels in any spelling, those of the policy folded; an unknown one makes the field all."""
    assert words(channels=["push"]).channels(written) == scope


@pytest.mark.parametrize(
    ("written", "scope"),
    [
        ("marketing", reached("marketing")),
        ("Marketing ", reached("marketing")),
        ("marketing.loans", reached("marketing.loans")),
        ("marketing_insurance", widest("marketing_insurance")),
        ("*", widest("*")),
    ],
)
def test_purposes_are_prefixes_and_extensions_of_configured_ones(written: str, scope: Scope) -> None:
    """As long as nobody names an extension every extension is known."""
    assert words().purposes((written,)) == scope


def test_an_extension_beside_a_named_one_is_a_misspelling() -> None:
    """It counts as what it extends, and is told; below a named leaf everything is still known."""
    known = words(campaign(purposes=("marketing.insurance",)))
    assert known.purposes(("marketing.insurance",)) == reached("marketing.insurance")
    assert known.purposes(("marketing.insurence",)) == Scope(frozenset({"marketing"}), "marketing.insurence")
    assert known.purposes(("marketing.insurence.home",)) == Scope(frozenset({"marketing"}), "marketing.insurence.home")
    assert known.purposes(("marketing.insurance.home",)) == reached("marketing.insurance.home")
    assert known.purposes(("service.reminders",)) == reached("service.reminders")
    assert not known.knows_purpose("marketing.insurence")
    assert known.knows_purpose("marketing.insurance")


@pytest.mark.parametrize(
    "naming",
    [
        notice(purposes=("marketing.insurance",)),
        party(agreement(purposes=("marketing.insurance",))),
        campaign(purposes=("marketing.insurance",)),
    ],
)
def test_notices_agreements_and_campaigns_name_extensions(naming: Any) -> None:
    """Each of them alone closes the prefix."""
    assert not words(naming).knows_purpose("marketing.loans")


def test_a_prefix_that_only_a_campaign_names_is_not_known() -> None:
    """What the policy does not know is no purpose, whoever names it."""
    known = words(campaign(purposes=("promo.summer",)))
    assert known.purposes(("promo.winter",)) == widest("promo.winter")
    assert known.purposes(("promo",)) == widest("promo")


def test_the_filters_of_a_policy_name_purposes() -> None:
    """A cap on an extension closes the prefix as well."""
    cap = {"name": "c", "limit": 1, "window": {"sliding": "1d"}, "scope": ["subject"], "purposes": ["marketing.loans"]}
    assert not words(caps=[cap]).knows_purpose("marketing.lones")


def test_controllers_are_as_written_until_somebody_names_one() -> None:
    """Then another one means all."""
    assert words().controllers(("BANK ",)) == reached("bank")
    known = words(controllers=["bank", "Insurer"])
    assert known.controllers(("INSURER",)) == reached("insurer")
    assert known.controllers(("bank-ag",)) == widest("bank-ag")
    for naming in (notice(), campaign(controller="bank"), party(agreement(controller="bank"))):
        assert words(naming).controllers(("bank-ag",)) == widest("bank-ag")
    assert words(party()).controllers(("cc",)) == reached("cc")
    assert words().controllers(("everything",)) == widest("everything")


def test_recipients_are_parties_requesters_and_recipients() -> None:
    """A controller is one as well, but does not say by itself who else there is."""
    assert words(campaign(controller="bank", requesters=None)).recipients(("callcentre",)) == reached("callcentre")
    known = words(named("CC", agreement(controller="bank")))
    assert known.recipients(("cc",)) == reached("cc")
    assert known.recipients(("bank",)) == reached("bank")
    assert known.recipients(("callcentre",)) == widest("callcentre")
    assert words(campaign(requesters=("x",))).recipients(("y",)) == widest("y")
    assert words(notice(recipients=("x",))).recipients(("y",)) == widest("y")


def test_an_unknown_campaign_binds_as_written_and_is_told() -> None:
    """A campaign may be published after the pause that names it."""
    assert words().campaigns(("C-9",)) == reached("c-9")
    assert words(campaign(campaign_id="c-1")).campaigns(("C-9", "c-1")) == Scope(frozenset({"c-9", "c-1"}), "C-9")
    assert words(campaign(campaign_id="c-1")).campaigns(("all",)) == ALL


def test_a_grant_needs_every_word_exactly() -> None:
    """No synonym, no other case."""
    known = words(data_categories=["health"])
    assert known.unknown_in_grant(("voice",), ("marketing",), ("basic", "health")) is None
    assert known.unknown_in_grant(("voice",), ("marketing",), None) is None
    assert known.unknown_in_grant(("phone", "voice"), ("marketing",), None) == Unknown("channels", "phone")
    assert known.unknown_in_grant(("Voice",), ("marketing",), None) == Unknown("channels", "Voice")
    assert known.unknown_in_grant(("voice",), ("promo",), None) == Unknown("purposes", "promo")
    assert known.unknown_in_grant(("voice",), ("marketing",), ("shoes",)) == Unknown("data_categories", "shoes")


def test_the_first_unknown_word_is_told_with_its_field() -> None:
    """Of a restriction with several."""
    known = words(controllers=["bank"])
    assert known.unknown(channels=("sms",), controllers=("bank",)) is None
    assert known.unknown(channels=("fax",), purposes=("promo",)) == Unknown("channels", "fax")
    assert known.unknown(controllers=("bnak",)) == Unknown("controller", "bnak")


def test_without_a_policy_no_word_is_judged() -> None:
    """Everything is as written."""
    assert World().vocabulary is NOTHING_KNOWN
    assert NOTHING_KNOWN.unknown(channels=("fax",), purposes=("promo",), campaigns=("c",)) is None
    assert NOTHING_KNOWN.unknown_in_grant(("fax",), ("promo",), ("shoes",)) is None


def test_the_world_forgets_its_vocabulary_with_what_it_was_made_of() -> None:
    """Policies, notices, parties and campaigns change what is known; pauses and suppressions do not."""
    world = World()
    world.activate(HandMade(plan(), limits()))
    before = world.vocabulary
    assert world.vocabulary is before
    for change in (
        lambda: world.put_party(named("x")),
        lambda: world.put_campaign(campaign(campaign_id="x")),
        lambda: world.put_notice(notice(notice_id="x")),
        lambda: world.activate(HandMade(plan(), limits(), "sha256:other")),
    ):
        known = world.vocabulary
        change()
        assert world.vocabulary is not known


def test_stopped_parties_and_campaigns_are_found_in_any_spelling() -> None:
    """A suspension written in capitals is one of the party."""
    known = words(named("cc"), named("CC", status="suspended"), campaign(campaign_id="C-1", status="paused"))
    assert known.stopped_parties["cc"].party_id == "CC"
    assert known.stopped_campaigns["c-1"].campaign_id == "C-1"


def test_remembered_answers_are_bounded() -> None:
    """A stream of scopes that nobody repeats does not grow memory."""
    known = words()
    for number in range(20_000):
        known.channels((f"c{number}",))
        known.unknown_in_grant((f"c{number}",), ("marketing",), None)
    assert len(known._channel_scopes) <= 16_384
    assert len(known._grants) <= 16_384

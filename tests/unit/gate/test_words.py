"""Words at the gate: what is understood, what restricts at its widest, what permits nothing, and what is told of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kit.gatekit import CANARY, POLICY, TOKENS, at, granted, letters, requested, run, text, verdict, withdrawn

from contactgate.offline import Fold
from contactgate.policy.load import load_policy

PARTY = {"type": "party.updated", "event_id": "p-1", "time": at(0), "party_id": "callcentre", "status": "active"}
SUPPRESSED = {"type": "address.suppressed", "event_id": "x-1", "time": at(10), "address": CANARY}
PAUSE = {"type": "pause.set", "event_id": "x-1", "time": at(10), "pause_id": "p-1"}
LIFTED = {"type": "pause.lifted", "event_id": "l", "time": at(20), "pause_id": "p-1", "by": "ann"}
UPDATED = {"type": "subject.updated", "event_id": "x-1", "time": at(10), "subject_id": "s-1"}


def under(policy: dict[str, Any], *lines: dict[str, Any]) -> list[dict[str, Any]]:
    """What the fold answers under a policy of these keys beside the usual ones."""
    state = Fold(load_policy({**POLICY, **policy}), TOKENS)
    return [json.loads(out) for line in lines for out in state.line(text(line))]


def rules(out: list[dict[str, Any]]) -> set[str]:
    """Every reason of every decision."""
    return {r["rule"] for o in out if o["type"] == "contact.decided" for r in o["reasons"]}


@pytest.mark.parametrize(
    ("event", "voice", "sms"),
    [
        (withdrawn(channels=["Phone "]), "block", "pass"),
        (withdrawn(channels=["電話"]), "block", "pass"),
        (withdrawn(channels=["TXT"]), "pass", "block"),
        (withdrawn(type="opt_out", channels=["text"]), "pass", "block"),
        (withdrawn(type="consent.revoked"), "block", "block"),
        (withdrawn(controller=" BANK"), "block", "block"),
        (withdrawn(controller="insurer"), "pass", "pass"),
        (withdrawn(purposes=["Service"]), "pass", "pass"),
        ({**withdrawn(type="complaint.received"), "channel": "telephone"}, "block", "pass"),
        ({**SUPPRESSED, "channels": ["call"]}, "block", "pass"),
        ({**SUPPRESSED, "controller": "Bank"}, "block", "block"),
        ({**PAUSE, "scope": {"channels": ["SMS"]}}, "pass", "block"),
        ({**PAUSE, "scope": {"controllers": ["insurer"]}}, "pass", "pass"),
    ],
)
def test_another_spelling_is_the_word(event: dict[str, Any], voice: str, sms: str) -> None:
    """It restricts as the word does, no more and no less, and is no dead letter."""
    out = run(granted(), event, requested(), requested("r-2", channel="sms"))
    assert (verdict(out), verdict(out, "r-2")) == (voice, sms)
    assert letters(out) == []


@pytest.mark.parametrize(
    "event",
    [
        withdrawn(channels=["fax"]),
        withdrawn(channels=["mail", "fax"]),
        withdrawn(purposes=["promotions"]),
        withdrawn(recipients=["elsewhere"]),
        {**withdrawn(type="complaint.received"), "channel": "fax"},
        {**SUPPRESSED, "channels": ["fax"]},
        {**SUPPRESSED, "purposes": ["promotions"]},
        {**PAUSE, "scope": {"channels": ["fax"]}},
        {**PAUSE, "scope": {"requesters": ["elsewhere"]}},
        {**PAUSE, "scope": {"channel": ["mail"]}},
    ],
)
def test_an_unknown_word_restricts_at_its_widest(event: dict[str, Any]) -> None:
    """The field counts as absent, and the record is a dead letter that names field and word."""
    out = run(PARTY, granted(), event, requested())
    assert verdict(out) == "block"
    assert letters(out) == ["scope.unknown_word"]


def test_an_unknown_word_recalls_what_is_open() -> None:
    """It is applied at once, as any restriction is."""
    out = run(granted(), requested(), {**withdrawn(channels=["fax"]), "time": at(31)})
    assert [o["type"] for o in out if "recalled" in o["type"]] == ["contact.recalled"]


def test_a_detail_never_shows_what_may_be_an_address() -> None:
    """A word with an `@` or five digits is hidden, any other is cut."""
    for word in ("ann@example.com", "+12125550100", "x" * 128):
        out = run(granted(), withdrawn(channels=[word]))
        detail = next(o["detail"] for o in out if o["type"] == "dead.letter")
        assert word not in detail
        assert "channels" in detail


def test_controllers_are_judged_once_somebody_names_them() -> None:
    """Then a name that nobody knows means every controller."""
    named = {"controllers": ["bank", "insurer"]}
    out = under(named, granted(), withdrawn(controller="bank-ag"), requested())
    assert (verdict(out), letters(out)) == ("block", ["scope.unknown_word"])
    out = under(named, granted(), withdrawn(controller="INSURER"), requested())
    assert (verdict(out), letters(out)) == ("pass", [])


def test_kept_facts_are_judged_by_the_policy_in_force() -> None:
    """What another policy does not know restricts at its widest under it, and narrows again under the first."""

    def activated(minute: int, **keys: Any) -> dict[str, Any]:
        document = {**POLICY, **keys}
        return {"type": "policy.activated", "event_id": f"a-{minute}", "time": at(minute), "document": document}

    out = run(
        activated(0, channels=["push"]),
        granted(),
        withdrawn(channels=["push"]),
        requested(),
        activated(31),
        requested("r-2", 32),
        activated(33, channels=["push"]),
        requested("r-3", 34),
    )
    assert [verdict(out, name) for name in ("r-1", "r-2", "r-3")] == ["pass", "block", "pass"]


@pytest.mark.parametrize(
    "changed",
    [
        {"channels": ["voice", "phone"]},
        {"channels": ["Voice", "voice"]},
        {"purposes": ["marketing", "promotions"]},
        {"data_categories": ["basic", "shoes"]},
    ],
)
def test_a_consent_with_an_unknown_word_counts_for_nothing(changed: dict[str, Any]) -> None:
    """Grants read no synonyms; the dead letter says which word."""
    out = run(granted(**changed), requested())
    assert (verdict(out), letters(out)) == ("block", ["scope.unknown_word"])
    assert rules(out) == {"consent.missing"}


def test_an_extension_beside_a_named_one_is_unknown() -> None:
    """As a consent it counts for nothing, as a request it blocks, and an opt-out of it is one of what it extends."""
    campaign = {
        "type": "campaign.updated", "event_id": "c-1", "time": at(0), "campaign_id": "c-1", "status": "approved",
        "purposes": ["marketing.insurance"],
    }  # fmt: skip
    misspelt = "marketing.insurence"
    out = run(campaign, granted(), withdrawn(purposes=[misspelt]), requested(purpose="marketing.insurance"))
    assert (verdict(out), letters(out)) == ("block", ["scope.unknown_word"])
    out = run(campaign, granted(), requested(purpose=misspelt))
    assert (verdict(out), rules(out)) == ("block", {"policy.unknown_purpose"})
    out = run(campaign, granted(purposes=[misspelt]), requested(purpose=misspelt))
    assert rules(out) == {"policy.unknown_purpose", "consent.missing"}
    assert letters(out) == ["scope.unknown_word"]


def test_a_request_by_an_unknown_channel_is_malformed() -> None:
    """No restriction could meet it, not even one of the channel it was meant to be."""
    out = run({**SUPPRESSED, "channels": ["voice"]}, requested(purpose="debt", channel="phone"))
    assert (verdict(out), rules(out)) == ("block", {"request.malformed"})


@pytest.mark.parametrize(
    "key",
    ["expire_at", "valid_to", "until", "expiresAt", "Expires_At", "data_category", "recipient", "notice", "purpose"],
)
def test_a_consent_with_an_almost_right_key_is_malformed(key: str) -> None:
    """What the key says would be lost, so nothing of the consent counts."""
    out = run(granted(**{key: at(20)}), requested())
    assert (verdict(out), letters(out)) == ("block", ["field.near_miss"])


def test_keys_inside_objects_are_compared_as_well() -> None:
    """`day` in the hours of a consent would lift the hours of every day."""
    hours = {"day": ["sat"], "from": "10:00", "to": "13:00"}
    assert letters(run(granted(windows=[hours]))) == ["field.near_miss"]
    assert letters(run({**UPDATED, "preferred_windows": [hours]})) == ["field.near_miss"]
    assert letters(run(granted(evidence={"method": "web", "methods": "written"}))) == ["field.near_miss"]


@pytest.mark.parametrize("key", ["data_category", "Jurisdiction", "not-before", "notAfter", "deadline", "valid_until"])
def test_a_request_with_an_almost_right_key_is_answered_as_malformed(key: str) -> None:
    """It is decided and blocks, naming the key, and is no dead letter."""
    out = run(granted(), requested(**{key: at(40)}), requested("r-2"))
    assert (verdict(out), verdict(out, "r-2"), letters(out)) == ("block", "pass", [])
    told = [r["detail"] for o in out if o["type"] == "contact.decided" for r in o["reasons"]]
    assert len(told) == 1
    assert key in told[0]


def test_other_extra_fields_are_ignored() -> None:
    """A consent, a request and an update may carry what is none of ours."""
    extra = {"crm_id": "77", "first_seen": "2019", "lead_score": 7, "comment": "a: b"}
    out = run({**UPDATED, **extra}, granted(**extra), requested(**extra))
    assert (verdict(out), letters(out)) == ("pass", [])


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({**PARTY, "agreements": [{"controller": "bank", "channel": ["sms"]}]}, "field.unknown"),
        ({**PARTY, "valid_until": at(5)}, "field.unknown"),
        ({**LIFTED, "scope": {}}, "field.unknown"),
        ({**LIFTED, "by": None}, "field.invalid"),
        ({**LIFTED, "by": " "}, "field.invalid"),
        ({k: v for k, v in LIFTED.items() if k != "by"}, "field.missing"),
        ({**SUPPRESSED, "type": "address.released", "channel": "sms"}, "field.unknown"),
    ],
)
def test_an_unknown_key_of_what_permits_makes_it_nothing(event: dict[str, Any], reason: str) -> None:
    """An agreement, a lifting and a release say exactly what they say or do nothing."""
    out = run(granted(), PAUSE, {**SUPPRESSED, "time": at(5)}, event, requested())
    assert letters(out) == [reason]
    assert rules(out) == {"address.suppressed", "pause.p-1"}


def test_a_stop_with_an_unknown_key_stops() -> None:
    """A suspension binds whatever else stands in the record."""
    out = run(PARTY, {**PARTY, "event_id": "p-2", "status": "suspended", "suspended_by": "ann"},
              granted(), requested(requester="callcentre"))  # fmt: skip
    assert letters(out) == ["field.unknown"]
    assert "party.suspended" in rules(out)


def test_a_stop_under_another_spelling_stops() -> None:
    """`CALLCENTRE` suspended is the call centre suspended."""
    agreed = {**PARTY, "agreements": [{"controller": "bank"}]}
    stop = {**PARTY, "event_id": "p-2", "party_id": "CALLCENTRE", "status": "suspended"}
    assert verdict(run(agreed, granted(), requested(requester="callcentre"))) == "pass"
    assert rules(run(agreed, stop, granted(), requested(requester="callcentre"))) == {
        "party.suspended",
        "party.agreement",
    }


def test_flags_are_read_in_any_spelling() -> None:
    """已故 blocks everything, `underage` marketing; a flag that nobody knows blocks and is reported."""
    for word in ("dead", "已故", " Deceased"):
        out = run({**UPDATED, "flags": [word]}, requested(purpose="debt"))
        assert (rules(out), letters(out)) == ({"subject.deceased"}, [])
    out = run(granted(), {**UPDATED, "flags": ["underage", "tall"]}, requested())
    assert (rules(out), letters(out)) == ({"subject.minor", "subject.unknown_flag"}, ["scope.unknown_word"])
    out = under({"flags": ["vip"]}, granted(), {**UPDATED, "flags": ["VIP"]}, requested())
    assert (verdict(out), letters(out)) == ("pass", [])


def test_a_flag_is_removed_by_somebody() -> None:
    """Without `by`, or with a word that is no built-in flag, nothing is removed."""
    for event in ({"flags_removed": ["minor"]}, {"flags_removed": ["dead"], "by": "ann"}):
        assert letters(run({**UPDATED, **event})) in (["field.missing"], ["scope.unknown_word"])


def test_a_type_that_nobody_knows_is_told_if_it_names_somebody() -> None:
    """Of an address or a person; others are only unknown."""
    assert letters(run({**UPDATED, "type": "subject.merged"})) == ["type.unknown_subject"]
    assert letters(run({**SUPPRESSED, "type": "address.moved"})) == ["type.unknown_subject"]
    assert letters(run({"type": "weather.changed", "time": at(1)})) == ["type.unknown"]

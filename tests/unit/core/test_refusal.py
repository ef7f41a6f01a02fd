"""What a requester is told of a block: one word of five, the wrong field, a time on the quarter of an hour."""

from __future__ import annotations

import pytest
from tests.kit.corekit import HOUR, MINUTE, T

from contactgate.core.refusal import refusal
from contactgate.model.decision import Decision, Refusal
from contactgate.model.facts import Reason

BY_RULE = {
    "request.malformed": "malformed",
    "request.expired": "malformed",
    "request.conflict": "malformed",
    "request.answered": "malformed",
    "consent.missing": "not_permitted",
    "notice.outside": "not_permitted",
    "subject.erased": "not_permitted",
    "subject.unknown_flag": "not_permitted",
    "address.suppressed": "not_permitted",
    "registry.listed:us-ndnc": "not_permitted",
    "registry.stale:us-ndnc": "not_permitted",
    "window.unknown_zone": "not_permitted",
    "rule.error:cap.daily": "not_permitted",
    "party.agreement": "not_agreed",
    "campaign.paused": "not_agreed",
    "policy.unknown_purpose": "not_agreed",
    "policy.unavailable": "not_agreed",
    "pause.p-1": "paused",
    "request.not_before": "not_now",
    "window.hours": "not_now",
    "window.preferred": "not_now",
    "gap.two_hours": "not_now",
    "cap.daily": "not_now",
    "cooloff.after_refusal": "not_now",
}
ORDER = ("malformed", "not_permitted", "not_agreed", "paused", "not_now")


def blocked(*rules: str, first: int | None = T) -> Decision:
    """A block for these reasons."""
    return Decision(
        reasons=tuple(Reason(rule, "", None, f"of {rule}") for rule in rules),
        next_eligible_ms=first,
        valid_until_ms=None,
        decided_ms=T - HOUR,
    )


@pytest.mark.parametrize("rule", BY_RULE)
def test_each_reason_has_one_word(rule: str) -> None:
    """The field goes with `malformed` alone, the time with `not_now` alone."""
    word = BY_RULE[rule]
    told = refusal(blocked(rule))
    assert told == Refusal(word, f"of {rule}" if word == "malformed" else None, T if word == "not_now" else None)


@pytest.mark.parametrize("other", BY_RULE)
@pytest.mark.parametrize("rule", ["request.expired", "consent.missing", "party.unknown", "pause.p", "cap.daily"])
def test_of_several_the_first_word_is_told_whatever_their_order(rule: str, other: str) -> None:
    """malformed before not_permitted before not_agreed before paused before not_now."""
    expected = min(
        BY_RULE.get(rule, BY_RULE.get(rule.replace("unknown", "agreement"), "paused")), BY_RULE[other], key=ORDER.index
    )
    assert refusal(blocked(rule, other)).reason == refusal(blocked(other, rule)).reason == expected


@pytest.mark.parametrize(("first", "told"), [(T, T), (T + 1, T + 15 * MINUTE), (T - 1, T), (None, None)])
def test_the_time_is_rounded_up_to_the_quarter(first: int | None, told: int | None) -> None:
    """A time on the quarter stays as it is; a block without an end has none."""
    assert refusal(blocked("cap.daily", first=first)) == Refusal("not_now", None, told)

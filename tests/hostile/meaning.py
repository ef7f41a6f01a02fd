"""Rows 47-60: messages that are well formed and cannot be meant, or mean more than they say."""

from __future__ import annotations

from typing import Any

from tests.hostile.shots import (
    Row,
    Shot,
    ask,
    asked,
    consent,
    control,
    grant,
    opt_out,
    raw,
    suppress,
    suppression,
    tell,
    withdrawal,
)
from tests.kit.gatekit import POLICY, at

SEQUENCES = "tests/unit/gate/test_hostile_sequences.py::"
ACTIVE = b"policy:active"


def _limits(limit: Any = 3, **changed: Any) -> dict[str, Any]:
    cap = {
        "name": "c",
        "limit": limit,
        "window": {"sliding": "1d"},
        "scope": ["subject"],
        "counts": "approved",
        **changed,
    }
    caps = [{k: v for k, v in cap.items() if v is not ...}]
    return control("policy.activated", document={**POLICY, "caps": caps})


def _reported(outcome: Any) -> bytes:
    event = {"type": "contact.outcome", "event_id": "o-1", "request_id": "r-0", "subject_id": "s-1", "time": at(31)}
    return raw({**event, "outcome": outcome}) or b""


STOPS = ("stop", " Stop ", "ＳＴＯＰ", "S T O P", "STOP.", "UNSUBSCRIBE", "ARRÊT", "ST\u200dOP")
ROWS = [
    Row(47, "opt-in and opt-out of the same time", "The opt-out wins, in whichever order they come.", (
        opt_out("opt-out second", withdrawal(time=at(0)), "applied"),
        grant("opt-in again", consent(time=at(0)), "applied"),
    ), (SEQUENCES + "test_of_equal_times_the_opt_out_wins_in_both_orders",)),
    Row(48, "opt-outs dated 1970 and 9999, an opt-in dated ahead",
        "Dead letter; the opt-out binds from the time Kafka got it. An opt-in ahead of its record permits nothing.", (
        opt_out("1970", withdrawal(time="1970-01-01T00:00:00Z"), "time.absurd"),
        opt_out("9999", withdrawal(time="9999-12-31T23:59:59Z"), "time.absurd"),
        opt_out("0001", withdrawal(time="0001-01-01T00:00:00Z"), "time.absurd"),
        grant("an opt-in of 2099", consent(time="2099-01-01T00:00:00Z"), "time.absurd"),
    ), (SEQUENCES + "test_an_opt_in_dated_ahead_does_not_beat_a_later_opt_out",)),
    Row(49, "opt-in without proof of consent", "It counts only where no rule asks for proof; a pack that does blocks with `consent.evidence`.", (
        grant("evidence of a wrong kind", consent(evidence="by phone"), "field.invalid"),
        grant("evidence without method", consent(evidence={"ref": "x"}), "field.missing"),
    ), (SEQUENCES + "test_without_proof_a_pack_that_asks_for_it_blocks",)),
    Row(50, "opt-out for `*`, an unknown channel, no channel, 10,000 channels",
        "What could match nothing is read as everything, with a dead letter; other spellings of a channel are the channel.", (
        opt_out("star", withdrawal(channels=["*"]), "scope.suspicious"),
        opt_out("unknown", withdrawal(channels=["telepathy"]), "scope.unknown_word"),
        opt_out("in capitals", withdrawal(channels=["VOICE"]), "applied"),
        opt_out("a synonym", withdrawal(channels=["\u96fb\u8a71 "]), "applied"),
        opt_out("a synonym of another", withdrawal(channels=["Text"]), "applied", "pass"),
        opt_out("empty list", withdrawal(channels=[]), "field.invalid"),
        opt_out("10,000", withdrawal(channels=[f"c{n}" for n in range(9_999)] + ["voice"]), "message.too_large"),
        opt_out("thousands that fit", withdrawal(channels=[f"c{n}" for n in range(5_000)] + ["voice"]), "scope.unknown_word"),
        suppress("a suppression for star", suppression(channels=["*"]), "scope.suspicious"),
    )),
    Row(51, "spellings of STOP", "An outcome in the person's words is an opt-out (47 CFR 64.1200(a)(10)).", (
        *(Shot(f"{word!r} as outcome", "outcome", _reported(word), "outcome.unproven", "block") for word in STOPS[:-1]),
        Shot("STOP with a joiner as outcome", "outcome", _reported(STOPS[-1]), "identifier.invalid", "block"),
        Shot("another word as outcome", "outcome", _reported("stopped by to say hello"), "outcome.unproven", "pass"),
        Shot("nothing as outcome", "outcome", _reported(""), "identifier.invalid", "pass"),
        *(opt_out(f"{word!r} beside an opt-out", withdrawal(said=word), "applied") for word in STOPS),
    )),
    Row(52, "an opt-out in the same millisecond as the request, both orders", "Blocked, or approved and recalled: never a pass that stands.",
        runs=(SEQUENCES + "test_an_opt_out_in_the_same_millisecond_blocks_or_recalls",)),
    Row(53, "erasure, then a request, then an opt-in", "Blocked after the erasure; a consent given later counts.",
        runs=(SEQUENCES + "test_after_an_erasure_only_a_new_consent_permits",)),
    Row(54, "caps of 0, -1, 2^63, 1.5, none; windows of 0 s and 10^12 s; overlapping ones; a policy that removes itself",
        "Refused with every fault; the policy in force stays.", (
        *(tell(f"limit {limit}", _limits(limit), "policy.invalid", key=ACTIVE) for limit in (-1, 2**63, 1.5, None, ...)),
        tell("window of 0 s", _limits(window={"sliding": "0s"}), "policy.invalid", key=ACTIVE),
        tell("window of 10^12 s", _limits(window={"sliding": "1000000000000s"}), "policy.invalid", key=ACTIVE),
        tell("two of one name", control("policy.activated", document={**POLICY, "caps": [
            {"name": "c", "limit": 1, "window": {"sliding": w}, "scope": ["subject"], "counts": "approved"} for w in ("1d", "2d")
        ]}), "policy.invalid", key=ACTIVE),
        tell("no document", control("policy.activated", document=None), "field.invalid", key=ACTIVE),
        tell("an empty document", control("policy.activated", document={}), "policy.invalid", key=ACTIVE),
    ), (SEQUENCES + "test_a_cap_of_nought_blocks_everybody_and_a_policy_cannot_be_taken_away",)),
    Row(55, "a policy with a catastrophic regular expression", "A policy has no regular expressions: the field is refused.", (
        tell("in a rule", control("policy.activated", document={**POLICY, "match": "^([a-z.]+)+@"}), "policy.invalid", key=ACTIVE),
        ask("an address made for one", asked(channel="email", address="a." * 100 + "!"), "decided request.malformed"),
        ask("a number made for one", asked(address=" " * 300 + "x"), "decided request.malformed"),
    ), ("tests/property/test_fuzz_targets.py::test_no_message_costs_seconds",)),
    Row(56, "times: +23:59, +24:00, none, 24:00:00, second 60, 30 February, week dates",
        "Refused unless RFC 3339 with an offset; an opt-out binds.", (
        opt_out("+23:59", withdrawal(time="2026-06-01T08:10:00+23:59"), "applied", "pass"),
        *(opt_out(time, withdrawal(time=time), "time.invalid") for time in (
            "2026-06-01T08:10:00+24:00", "2026-06-01T08:10:00", "2026-06-01T24:00:00Z", "2026-06-01T08:10:60Z",
            "2026-02-30T08:10:00Z", "2026-W23-1T08:10:00Z", "1780301400", "2026-06-01",
        )),
        ask("a request without offset", asked(time="2026-06-01T08:10:00"), "time.invalid"),
        ask("a zone that does not exist", asked(not_after="2026-06-01T08:10:00 Mars/Base"), "time.invalid"),
    )),
    Row(57, "a request that claims `override`, `emergency`, `test`", "Ignored like every unknown field.", tuple(
        ask(claim, asked(controller="insurer", **{claim: True}), "decided consent.missing") for claim in ("override", "emergency", "test")
    )),
    Row(58, "one tenant's subject on another tenant's topic", "Consent is bound to controller and recipients: another's counts for nothing.", (
        ask("another controller", asked(controller="insurer"), "decided consent.missing"),
        ask("another requester", asked(requester="stranger"), "decided consent.recipient"),
    )),
    Row(59, "merging subjects in a circle", "There is no such message: subjects are never merged.", (
        grant("merge", {"type": "subject.merged", "event_id": "e", "subject_id": "s-1", "into": "s-1", "time": at(1)}, "type.unknown_subject"),
    )),
    Row(60, "a burst of cap + 100 requests in one batch", "Exactly as many pass as the cap allows.",
        runs=(SEQUENCES + "test_a_burst_never_exceeds_a_cap_and_uses_all_of_it",)),
]  # fmt: skip

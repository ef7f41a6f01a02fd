"""Hostile inputs that no single record shows: orders, bursts, duplicates, other spellings, proof of consent."""

from __future__ import annotations

from typing import Any

import pytest
from tests.hostile.identity import SAME, UNREADABLE
from tests.kit.gatekit import CANARY, NOW_MS, POLICY, TOKENS, at, granted, requested, run, text, verdict, withdrawn
from tests.unit.gate.test_hostile_table import Installation, fate

from contactgate.offline import Fold
from contactgate.policy.load import load_policy

DAY_MS = 86_400_000
SPELLED = [(row, *each) for row, many in SAME.items() for each in many]
REFUSED = [(row, *each) for row, many in UNREADABLE.items() for each in many]


def suppressed(channel: str, address: str) -> dict[str, Any]:
    """A suppression of an address on one channel."""
    event = {"type": "address.suppressed", "event_id": "e-1", "time": at(10), "address": address}
    return {**event, "channels": [channel]}


def told(out: list[dict[str, Any]]) -> set[str]:
    """What came of the last request: `pass`, its reasons, or the reason of its dead letter."""
    last = next(o for o in reversed(out) if o["type"] in {"contact.decided", "dead.letter"})
    if last["type"] == "dead.letter":
        return {last["reason"]}
    return {"pass"} if last["verdict"] == "pass" else {reason["rule"] for reason in last["reasons"]}


@pytest.mark.parametrize(("row", "channel", "known", "spelled"), SPELLED)
def test_a_suppressed_contact_is_blocked_in_every_spelling(row: int, channel: str, known: str, spelled: str) -> None:
    """Rows 61 to 69: one contact however it is spelled; characters that cannot be seen are refused in a request."""
    consent = granted(channels=[channel])
    ask = requested(channel=channel, address=spelled)
    refused = {"identifier.invalid"} if row == 67 else {"address.suppressed"}
    assert told(run(consent, ask)) == (refused if row == 67 else {"pass"})
    assert told(run(consent, suppressed(channel, known), ask)) == refused
    # And the other way round; there a character that cannot be seen makes a dead letter that binds.
    turned = run(consent, suppressed(channel, spelled), requested(channel=channel, address=known))
    assert told(turned) == {"address.suppressed"}


@pytest.mark.parametrize(("row", "channel", "known", "spelled"), [each for each in SPELLED if each[1] != "mail"])
def test_a_suppression_that_names_no_channel_binds_in_every_spelling(
    row: int, channel: str, known: str, spelled: str
) -> None:
    """Rows 61 to 69: what kind of address it is stands in the address, however that is spelled."""
    stop = {key: value for key, value in suppressed(channel, spelled).items() if key != "channels"}
    out = run(granted(channels=[channel]), stop, requested(channel=channel, address=known))
    assert told(out) == {"address.suppressed"}


@pytest.mark.parametrize(("row", "channel", "address"), REFUSED)
def test_an_address_that_cannot_be_read_never_passes(row: int, channel: str, address: str) -> None:
    """Rows 64 and 69 to 71: no fresh contact comes of an address that is no plain one."""
    out = run(granted(channels=[channel]), requested(channel=channel, address=address))
    assert told(out) <= {"request.malformed", "identifier.invalid"}


@pytest.mark.parametrize(
    ("known", "other"),
    [
        ("u@example.com", "u+tag@example.com"),
        ("u.v@example.com", "uv@example.com"),
        ("рорс@example.com", "popc@example.com"),  # the first wholly Cyrillic
    ],
)
def test_a_contact_that_only_looks_alike_is_another(known: str, other: str) -> None:
    """Rows 64 and 68: a suppression of one does not bind the other."""
    ask = requested(channel="email", address=other)
    assert verdict(run(granted(channels=["email"]), suppressed("email", known), ask)) == "pass"


def test_a_request_id_is_decided_once() -> None:
    """Row 40: the same record, another body, and after the horizon."""
    first = requested()
    out = run(granted(), first, first, requested(purpose="debt"), requested(channel="sms"))
    made = [o for o in out if o["type"] == "contact.decided"]
    told = [(o["verdict"], o["duplicate"]) for o in made]
    assert told == [("pass", False), ("pass", True), ("block", False), ("block", False)]
    approved = [o for o in out if o["type"] == "contact.approved"]
    assert [o.get("duplicate", False) for o in approved] == [False, True]
    assert len({o["approval_id"] for o in approved}) == 1
    late = requested(time="2026-07-08T08:30:00Z")
    made = [o for o in run(granted(), first, late) if o["type"] == "contact.decided"]
    assert [o.get("duplicate", False) for o in made] == [False, False]


def test_of_equal_times_the_opt_out_wins_in_both_orders() -> None:
    """Row 47: whichever comes first in the log."""
    same = withdrawn(time=at(0))
    assert verdict(run(granted(), same, requested())) == "block"
    assert verdict(run(same, granted(), requested())) == "block"


def test_an_opt_in_dated_ahead_does_not_beat_a_later_opt_out() -> None:
    """Row 48: 23 hours ahead is within what clocks and zones explain; the opt-out given after it still wins."""
    place = Installation()
    ahead = granted(time="2026-06-02T07:00:00Z")
    place.take("consent", text(ahead), b"s-1")
    assert (
        fate(place.take("consent", text(withdrawn(time="2026-06-01T08:20:00Z")), b"s-1", NOW_MS + 600_000)) == "applied"
    )
    assert place.ask("s-1", "r-1") == "block"


def test_without_proof_a_pack_that_asks_for_it_blocks() -> None:
    """Row 49: the Chinese financial pack asks for proof of consent."""
    policy = {**POLICY, "packs": ["cn", "cn-fin"]}
    ask = requested(jurisdictions=["CN"], address="+8613912345678", time="2026-06-03T02:00:00Z")
    for evidence, proved in ((None, False), ({"method": "written", "ref": "x"}, True)):
        given = granted() if evidence is None else granted(evidence=evidence)
        fold = Fold(load_policy(policy), TOKENS)
        out = [line for event in (given, ask) for line in fold.line(text(event))]
        assert (b"consent.evidence" not in b"".join(out)) is proved


def test_an_opt_out_in_the_same_millisecond_blocks_or_recalls() -> None:
    """Row 52: before the request it blocks; after it the approval is recalled."""
    same = withdrawn(time=at(30))
    assert verdict(run(granted(), same, requested())) == "block"
    out = run(granted(), requested(), same)
    answered, told = ["contact.decided", "contact.approved", "contact.recalled"], ["permission.withdrawn"] * 2
    assert [o["type"] for o in out] == answered + told


def test_after_an_erasure_only_a_new_consent_permits() -> None:
    """Row 53: erased, asked, consented again, asked again."""
    erased = {"type": "subject.erased", "event_id": "x", "subject_id": "s-1", "time": at(20)}
    again = granted(event_id="e-9", time=at(32))
    out = run(granted(), erased, requested(), again, requested("r-2", 40))
    assert (verdict(out), verdict(out, "r-2")) == ("block", "pass")


def test_a_cap_of_nought_blocks_everybody_and_a_policy_cannot_be_taken_away() -> None:
    """Row 54: a limit of 0 lets nothing pass; a record without a value changes nothing."""
    place = Installation()
    place.take("consent", text(granted()), b"s-1")
    assert fate(place.take("control", None, b"policy:active")) == "value.missing"
    assert place.ask("s-1", "r-1") == "pass"
    document = {"type": "policy.activated", "event_id": "p", "time": at(1), "document": {**POLICY, "caps": [_cap(0)]}}
    assert fate(place.take("control", text(document), b"policy:active")) == "applied"
    assert place.ask("s-1", "r-2") == "block"


def test_a_burst_never_exceeds_a_cap_and_uses_all_of_it() -> None:
    """Row 60: cap + 100 requests of one millisecond."""
    fold = Fold(load_policy({**POLICY, "caps": [_cap(7)]}), TOKENS)
    out = [made for n in range(107) for made in fold.line(text(requested(f"r-{n}", purpose="debt", address=CANARY)))]
    assert sum(b'"verdict":"pass"' in made for made in out) == 7
    assert sum(b'"contact.approved"' in made for made in out) == 7


def test_a_damaged_opt_out_reported_for_an_unknown_request_binds() -> None:
    """Row 51: neither the request nor all of the outcome can be read, and the opt-out in it still counts."""
    end = {"type": "contact.outcome", "event_id": "o-1", "request_id": "r-9", "subject_id": "s-1", "time": at(20)}
    for said in ("unsubscribed", "complained", "Unsubscribed", "STOP"):
        assert verdict(run(granted(), {**end, "outcome": said, "matters": "debt"}, requested())) == "block"
    assert verdict(run(granted(), {**end, "outcome": "answered", "matters": "debt"}, requested())) == "pass"


def _cap(limit: int) -> dict[str, Any]:
    return {"name": "c", "limit": limit, "window": {"sliding": "1d"}, "scope": ["subject"], "counts": "approved"}

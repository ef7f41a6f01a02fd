"""Lines that arrive late: older than what was decided already. Found by the comparison with the slow model."""

from __future__ import annotations

import json
from typing import Any

from contactgate.codec.tokens import Tokens
from contactgate.offline import fold
from contactgate.policy.load import load_policy

PERSON = {"subject_id": "s"}
NUMBER = "+12125550123"
REQUEST = {
    "type": "contact.requested",
    "request_id": "r-1",
    **PERSON,
    "time": "2026-06-01T12:00:00Z",
    "requester": "bank",
    "controller": "bank",
    "purpose": "marketing",
    "channel": "voice",
    "address": NUMBER,
}


def told(events: list[dict[str, Any]], **policy: Any) -> list[dict[str, Any]]:
    """The lines that come out."""
    document = {
        "policy": "late",
        "require": {"campaign": False, "party": False, "notice": False},
        "purposes": {"marketing": {"consent": "none"}},
        **policy,
    }
    tokens = Tokens(b"only for tests, 32 bytes or more.")
    return [json.loads(x) for x in fold((json.dumps(e).encode() for e in events), load_policy(document), tokens)]


def kinds(events: list[dict[str, Any]], **policy: Any) -> list[str]:
    """Their types."""
    return [line["type"] for line in told(events, **policy)]


def test_a_late_line_is_not_judged_before_the_approval() -> None:
    """A suppression that had ended before the approval was given does not recall it when an older line comes late."""
    suppressed = {"type": "address.suppressed", "event_id": "e-1", "time": "2026-06-01T09:00:00Z", "address": NUMBER}
    late = {"type": "subject.updated", "event_id": "e-2", **PERSON, "time": "2026-06-01T09:30:00Z", "flags": []}
    events = [{**suppressed, "expires_at": "2026-06-01T10:00:00Z"}, REQUEST, late]
    assert kinds(events) == ["contact.decided", "contact.approved"]


def test_a_late_contact_recalls_nothing() -> None:
    """A contact reported late forbids nothing: an approval that lapsed before a pause is not recalled by it."""
    pause = {"type": "pause.set", "event_id": "e-1", "time": "2026-06-01T18:00:00Z", "pause_id": "p-1", "scope": {}}
    late = {"type": "contact.observed", "event_id": "e-2", **PERSON, "time": "2026-06-01T11:00:00Z"}
    seen = {**late, "controller": "bank", "channel": "voice", "purpose": "marketing", "outcome": "answered"}
    assert kinds([REQUEST, pause, seen]) == ["contact.decided", "contact.approved"]


def test_a_withdrawal_beats_an_approval_decided_after_it() -> None:
    """A withdrawal that comes late, with a time before the approval, still recalls it while it is open."""
    events = [REQUEST, {"type": "consent.withdrawn", "event_id": "e-1", **PERSON, "time": "2026-06-01T11:59:00Z"}]
    opt_out = {"marketing": {"consent": "opt_out"}}
    made = ["contact.decided", "contact.approved", "contact.recalled", "permission.withdrawn"]
    assert kinds(events, purposes=opt_out) == made


def test_a_recall_is_remembered_as_long_as_the_request_may_come_again() -> None:
    """A duplicate of a recalled approval blocks within the horizon, however short the kept history of contacts is."""
    pause = {"event_id": "e-1", "pause_id": "p-1"}
    events = [
        REQUEST,
        {**pause, "type": "pause.set", "time": "2026-06-01T12:01:00Z", "scope": {}},
        {**pause, "type": "pause.lifted", "by": "ann", "time": "2026-06-01T13:00:00Z"},
        {**REQUEST, "request_id": "r-2", "time": "2026-06-04T12:00:00Z"},
        {**REQUEST, "time": "2026-06-05T12:00:00Z"},
    ]
    lines = [x for x in told(events, contact_history="1d", dedup_horizon="30d") if x["type"] == "contact.decided"]
    assert [(x["request_id"], x["verdict"]) for x in lines] == [("r-1", "pass"), ("r-2", "pass"), ("r-1", "block")]

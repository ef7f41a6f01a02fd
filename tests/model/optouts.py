"""What withdraws, for the slow model: opt-outs that were said, complaints, and outcomes that opt out (rules 19, 44).

Must never import contactgate.
"""

from __future__ import annotations

from tests.model import words
from tests.model.calendar import ms
from tests.model.rules import Event, covers

WITHDRAWING = ("unsubscribed", "complained")


def lost(event: Event, approvals: list[Event], erased: Event | None) -> bool:
    """Whether a report in a policy's own word is of a contact that is not known, or not any more."""
    if words.outcome(event["outcome"]) is not None:
        return False
    if event["type"] == "contact.observed":
        return erased is not None and ms(event["time"]) <= ms(erased["time"])
    return not any(a is event["of"] for a in approvals)


def withdrawals(mine: list[Event], policy: Event, approvals: list[Event], erased: Event | None) -> list[Event]:
    """Withdrawals said, complaints, and outcomes that withdraw."""
    found = [e for e in mine if e["type"] == "consent.withdrawn"]
    for e in mine:
        if e["type"] == "complaint.received":
            channels = [e["channel"]] if e.get("channel") else None
            found.append(
                {**_said(e), "controller": e.get("controller"), "purposes": ["marketing"], "channels": channels}
            )
        if e["type"] not in ("contact.outcome", "contact.observed"):
            continue
        if words.outcome(e["outcome"], policy) in WITHDRAWING:
            if lost(e, approvals, erased):
                found.append({**_said(e), "controller": None, "purposes": None, "channels": None})
            else:
                found.append(withdrawal_by(e, e["of"]["request"] if e["type"] == "contact.outcome" else e))
    return found


def withdrawal_by(event: Event, contact: Event) -> Event:
    return {
        **_said(event),
        "controller": contact["controller"],
        "purposes": [contact["purpose"]]
        if covers("marketing", contact["purpose"])
        else [contact["purpose"], "marketing"],
        "channels": [contact["channel"]],
    }


def _said(event: Event) -> Event:
    return {"time": event["time"], "arrived": event["arrived"]}


def includes(one: Event, other: Event) -> bool:
    """Whether an opt-out says all that another says, and not earlier."""
    fields = ("purposes", "channels", "recipients")
    return (
        outlasts(one, other)
        and one.get("controller") in (None, other.get("controller"))
        and all(
            one.get(f) is None
            or (other.get(f) is not None and all(any(covers(p, v) for p in one[f]) for v in other[f]))
            for f in fields
        )
    )


def outlasts(one: Event, other: Event) -> bool:
    """Whether of two restrictions the first holds whenever the other does, as far as time says."""
    return ms(one["time"]) >= ms(other["time"]) and bool(one["arrived"] >= other["arrived"])

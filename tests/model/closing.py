"""Addresses that people close by outcomes, and what their later consents open, for the slow model (SEMANTICS rule 43).

What the real thing writes to the topic of suppressions stands here as events of the history, named after whose they
are. Must never import contactgate.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.model import words
from tests.model.calendar import ms
from tests.model.optouts import WITHDRAWING, withdrawal_by
from tests.model.rules import Event, Known, any_covers, forgotten

Knowing = Callable[[str, list[Event], list[Event], Event], Known]


def written(history: list[Event], approvals: list[Event], policy: Event, know: Knowing) -> list[Event]:
    """The suppressions and releases that follow from the last event of a history."""
    event = history[-1]
    if event["type"] == "consent.granted":
        before = know(event["subject_id"], history[:-1], approvals, policy)
        late = before["erased"] is not None and ms(event["time"]) <= ms(before["erased"]["time"])
        if late or forgotten(before, event) or event["event_id"] in {g["event_id"] for g in before["grants"]}:
            return []
        mine = [e for e in history if e.get("whose") == event["subject_id"] and e["type"] == "address.suppressed"]
        return [_release(s, event, event["arrived"]) for s in mine if _opens(before, policy, event, s)]
    if (
        event["type"] not in ("contact.outcome", "contact.observed")
        or words.outcome(event["outcome"]) not in WITHDRAWING
    ):
        return []
    contact = event["of"]["request"] if event["type"] == "contact.outcome" else event
    subject, said = event["subject_id"], withdrawal_by(event, contact)
    if contact.get("address") is None:
        return []
    closed = {
        **said,
        "type": "address.suppressed",
        "event_id": f"{subject} {event['event_id']}",
        "whose": subject,
        "address": contact["address"],
        "reason": event["outcome"],
    }
    if any(e.get("whose") == subject and e["event_id"] == closed["event_id"] for e in history):
        return []
    after = know(subject, history, approvals, policy)
    newer = [g for g in after["grants"] if not forgotten(after, g) and _opens(after, policy, g, closed)]
    last = max(newer, key=lambda g: ms(g["time"]), default=None)
    return [closed] if last is None else [closed, _release(closed, last, event["arrived"])]


def _opens(known: Known, policy: Event, grant: Event, closed: Event) -> bool:
    """Whether a consent is later than a suppression and covers all of it, in words that are known."""
    return (
        ms(grant["time"]) > ms(closed["time"])
        and grant["controller"] == closed["controller"]
        and closed["channels"][0] in grant["channels"]
        and all(any_covers(grant["purposes"], purpose) for purpose in closed["purposes"])
        and words.grant_known(known, policy, grant)
    )


def _release(closed: Event, grant: Event, arrived: int) -> Event:
    return {
        "type": "address.released",
        "event_id": f"{closed['event_id']} {grant['event_id']}",
        "address": closed["address"],
        "events": [closed["event_id"]],
        "time": grant["time"],
        "arrived": arrived,
    }

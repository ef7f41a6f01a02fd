"""Which records of the world hold, for the slow model (SEMANTICS rules 42, 45). Must never import contactgate."""

from __future__ import annotations

from typing import Any

from tests.model.calendar import ms
from tests.model.rules import Event, lifted


def by_key(history: list[Event], kind: str, key: Any) -> dict[Any, list[Event]]:
    """The events of one kind, by what they are about."""
    found: dict[Any, list[Event]] = {}
    for e in history:
        if e["type"] == kind:
            found.setdefault(key(e), []).append(e)
    return found


def holding(told: list[Event], policy: Event) -> list[Event]:
    """The records of one key that hold: no newer one has lifted them."""
    return [e for e in told if not any(lifted(e, other, policy) for other in told)]


def policy_of(history: list[Event], now: Event) -> Event:
    """The policy in force: of those activated the one that is newer than all; histories have one such."""
    told = [e for e in history if e["type"] == "policy.activated"]
    return max(told, key=lambda e: ms(e["time"]))["document"] if told else now  # type: ignore[no-any-return]


def pauses(history: list[Event], policy: Event) -> list[Event]:
    """The records that set a pause and that neither its end nor a newer record that says who has lifted."""
    sets = [e for e in history if e["type"] == "pause.set"]
    ends = [e for e in history if e["type"] in ("pause.set", "pause.lifted") and e.get("by")]
    return [s for s in sets if not any(e["pause_id"] == s["pause_id"] and lifted(s, e, policy) for e in ends)]


def outlasts(one: Event, other: Event) -> bool:
    """Whether of two restrictions the first holds whenever the other does, as far as time says."""
    return ms(one["time"]) >= ms(other["time"]) and bool(one["arrived"] >= other["arrived"])


def said(event: Event) -> Event:
    """When an event was stamped and arrived."""
    return {"time": event["time"], "arrived": event["arrived"]}

"""Small hand-made policies, worlds, people and requests for tests of the core; defaults that pass every rule.

`T` is Wednesday 2026-03-04 02:00 UTC, 10:00 in Shanghai, where the default person lives.
"""

from __future__ import annotations

from typing import Any

from contactgate.core.decide import decide
from contactgate.core.world import World
from contactgate.model.decision import Decision
from contactgate.model.facts import Contact, Grant, Outcome, Profile, SubjectState
from contactgate.model.request import Request
from contactgate.model.world import (
    Agreement,
    Campaign,
    Lift,
    Notice,
    Party,
    Pause,
    RegistryVersion,
    Release,
    Suppression,
)
from contactgate.policy.plan import Basis, Limits, Plan, Requirements, Words

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
T = 1_772_589_600_000
OPT_IN = Basis("policy", "opt_in")
OPT_OUT = Basis("policy", "opt_out")
NOTHING_ASKED = Basis("policy", "none")


class HandMade:
    """A policy that has one plan for every request, or what a function says for each."""

    def __init__(self, plan: Any, limits: Limits, name: str = "sha256:test") -> None:
        self.hash = name
        self.limits = limits
        self.outcomes_kept_forever: frozenset[Outcome] = frozenset()
        self.words = Words()
        self._plan = plan

    def plan(self, purpose: str, channel: str, mode: str, jurisdictions: tuple[str, ...], now_ms: int) -> Plan:
        """The plan."""
        if callable(self._plan):
            made: Plan = self._plan(purpose, channel, mode, jurisdictions, now_ms)
            return made
        plan: Plan = self._plan
        return plan


class Listed:
    """A list of a few addresses."""

    def __init__(self, **since: int) -> None:
        self._since = since

    def since(self, token: str) -> int | None:
        """Ordinal of the day of listing."""
        return self._since.get(token)


def plan(**changes: Any) -> Plan:
    """A plan without any cap or window that asks for opt-in."""
    values: dict[str, Any] = {
        "bases": (OPT_IN,),
        "marketing": True,
        "vulnerable_blocks": True,
        "caps": (),
        "cooloffs": (),
        "windows": (),
        "registries": (),
        "needs_zone": False,
        "uncovered": (),
        "until_ms": None,
    }
    return Plan(**values | changes)


def limits(**changes: Any) -> Limits:
    """15 minutes, 7 days, 90 days; nothing else need be known."""
    values: dict[str, Any] = {
        "approval_ttl_ms": 15 * MINUTE,
        "dedup_horizon_ms": 7 * DAY,
        "contact_history_ms": 90 * DAY,
        "unreported_counts": True,
        "requirements": Requirements(campaign=False, party=False, notice=False),
    }
    return Limits(**values | changes)


def world(chosen: Any = None, limit: Limits | None = None, **changes: Any) -> World:
    """A world with a policy in force."""
    made = World()
    made.activate(HandMade(plan(**changes) if chosen is None else chosen, limit or limits()))
    return made


def request(**changes: Any) -> Request:
    """The call centre of the bank wants to call about insurance."""
    values: dict[str, Any] = {
        "request_id": "q-1",
        "subject_id": "s-1",
        "time_ms": T,
        "requester": "callcentre",
        "controller": "bank",
        "purpose": "marketing.insurance",
        "channel": "voice",
        "campaign": "c-1",
        "categories": ("basic",),
        "address": "a1.one",
        "jurisdictions": ("CN",),
    }
    return Request(**values | changes)


def consent(**changes: Any) -> Grant:
    """A consent of a day ago that covers the request."""
    values: dict[str, Any] = {
        "time_ms": T - DAY,
        "controller": "bank",
        "purposes": ("marketing",),
        "channels": ("sms", "voice"),
        "recipients": ("callcentre",),
        "categories": ("account", "basic"),
        "notice_id": None,
        "evidence": "web",
        "effective_ms": None,
        "expires_ms": None,
        "windows": (),
        "event_id": "g-1",
    }
    made = values | changes
    return Grant(**{"arrived_ms": made["time_ms"]} | made)


def contact(**changes: Any) -> Contact:
    """An approval of an hour ago that nobody answered."""
    values: dict[str, Any] = {
        "time_ms": T - HOUR,
        "request_id": "r-1",
        "valid_until_ms": T - 45 * MINUTE,
        "outcome": "no_answer",
        "outcome_ms": T - 59 * MINUTE,
        "recalled": None,
        "channel": "voice",
        "purpose": "marketing.insurance",
        "controller": "bank",
        "requester": "callcentre",
        "campaign": "c-1",
        "matters": (),
        "address": "a1.one",
        "categories": ("basic",),
        "jurisdictions": ("CN",),
        "event_id": "",
    }
    return Contact(**values | changes)


def person(*, profile: Profile | None = None, **changes: Any) -> SubjectState:
    """Somebody in Shanghai who consented."""
    values: dict[str, Any] = {
        "profile": profile or Profile(timezones=("Asia/Shanghai",), timezones_ms=T - 9 * DAY),
        "grants": (consent(),),
    }
    return SubjectState(**values | changes)


def notice(**changes: Any) -> Notice:
    """A notice that tells of everything the consent gives."""
    values: dict[str, Any] = {
        "notice_id": "n-1",
        "version": 1,
        "controller": "bank",
        "purposes": ("marketing",),
        "recipients": ("callcentre",),
        "categories": ("account", "basic"),
        "effective_ms": T - 30 * DAY,
        "time_ms": T - 30 * DAY,
        "event_id": "notice",
    }
    made = values | changes
    return Notice(**{"arrived_ms": made["time_ms"]} | made)


def party(*agreements: Agreement, status: str = "active", at_ms: int = T - 30 * DAY, **changes: Any) -> Party:
    """The call centre, told at an instant."""
    told = {"time_ms": at_ms, "arrived_ms": at_ms, "event_id": f"party-{at_ms}"}
    return Party("callcentre", status, agreements, **told | changes)  # type: ignore[arg-type]


def agreement(**changes: Any) -> Agreement:
    """What the bank allows the call centre."""
    values: dict[str, Any] = {
        "controller": "bank",
        "purposes": ("marketing",),
        "channels": ("voice",),
        "categories": ("basic",),
        "valid_from_ms": None,
        "valid_until_ms": None,
    }
    return Agreement(**values | changes)


def campaign(**changes: Any) -> Campaign:
    """An approved campaign that the request belongs to."""
    values: dict[str, Any] = {
        "campaign_id": "c-1",
        "status": "approved",
        "controller": "bank",
        "requesters": ("callcentre",),
        "purposes": ("marketing.insurance",),
        "channels": ("voice",),
        "created_by": "ann",
        "approved_by": "bob",
        "valid_from_ms": None,
        "valid_until_ms": None,
        "time_ms": T - 30 * DAY,
        "event_id": "campaign",
    }
    made = values | changes
    return Campaign(**{"arrived_ms": made["time_ms"]} | made)


def pause(**changes: Any) -> Pause:
    """A pause of everything, set at T."""
    values: dict[str, Any] = {"pause_id": "p-1", "time_ms": T, "event_id": "pause"}
    values |= dict.fromkeys(("until_ms", "controllers", "requesters", "campaigns", "purposes", "channels"))
    made = values | changes
    return Pause(**{"arrived_ms": made["time_ms"]} | made)


def lift(at_ms: int = T + 1, **changes: Any) -> Lift:
    """The end of a pause."""
    return Lift(**{"time_ms": at_ms, "arrived_ms": at_ms, "event_id": "lift"} | changes)


def suppression(**changes: Any) -> Suppression:
    """A suppression of everything, told at T."""
    values: dict[str, Any] = {"time_ms": T, "reason": "manual", "event_id": "stop"}
    values |= dict.fromkeys(("channels", "controller", "purposes", "campaigns", "expires_ms"))
    made = values | changes
    return Suppression(**{"arrived_ms": made["time_ms"]} | made)


def release(at_ms: int = T + 1, **changes: Any) -> Release:
    """A release of everything before."""
    values: dict[str, Any] = {"time_ms": at_ms, "arrived_ms": at_ms, "event_id": "release"}
    fields = ("channels", "controller", "purposes", "campaigns", "reasons", "events")
    return Release(**values | dict.fromkeys(fields) | changes)


def registry(as_of_ms: int = T, **since: int) -> RegistryVersion:
    """The list `dnc`, taken then, with these addresses listed on these days (ordinals)."""
    return RegistryVersion("dnc", "v-1", as_of_ms, Listed(**since))


def ask(made: World, state: SubjectState, now_ms: int = T, **changes: Any) -> Decision:
    """The decision on the request."""
    return decide(request(**changes), state, made, now_ms)[0]


def rules(decision: Decision) -> list[str]:
    """The codes of the reasons."""
    return [reason.rule for reason in decision.reasons]


def check_edge(made: World, state: SubjectState, edge_ms: int, rule: str, **changes: Any) -> None:
    """One millisecond before `edge_ms` the rule alone blocks until then; at it the request passes."""
    before = ask(made, state, edge_ms - 1, **changes)
    assert rules(before) == [rule]
    assert before.next_eligible_ms == edge_ms
    assert before.reasons[0].until_ms == edge_ms
    assert ask(made, state, edge_ms, **changes).passed

"""Caps, gaps, cool-offs, hours and the request's own bounds, for the slow model. Must never import contactgate."""

from __future__ import annotations

from typing import Any

from tests.model import addresses, words
from tests.model.calendar import DAY, duration, first_instant, local_date, ms, open_at, period, with_parts, zone_named
from tests.model.rules import (
    Event,
    Known,
    campaign,
    consent,
    erasure,
    flags,
    party,
    pauses,
    places_of,
    registries,
    selected,
    suppressions,
    valid_grants,
    zones_of,
)

SEVERITY = [
    "not_attempted",
    "not_connected",
    "busy",
    "no_answer",
    "ignored",
    "bounced",
    "voicemail",
    "abandoned",
    "delivered",
    "answered",
    "wrong_number",
    "refused",
    "unsubscribed",
    "complained",
]
CONVERSATION = {"answered", "refused", "unsubscribed", "complained"}
COUNTED = {
    "approved": set(SEVERITY) - {"not_attempted"},
    "attempted": set(SEVERITY) - {"not_attempted"},
    "connected": set(SEVERITY) - {"not_attempted", "busy", "not_connected"},
    "delivered": CONVERSATION | {"voicemail", "delivered"},
    "conversation": CONVERSATION,
}


def in_scope(rule: Event, request: Event, contact: Event, known: Known, policy: Event) -> bool:
    """Whether a contact shares every scope field with the request.

    Of a contact or complaint that others report, a field that the report leaves out is unknown, so it may be the same.
    """
    for field in rule.get("scope", ["subject"]):
        if field == "matter":
            unknown = contact["reported"] and not contact["matters"]
            if not unknown and request.get("matter_id") not in contact["matters"]:
                return False
        elif field != "subject":
            name = "campaign_id" if field == "campaign" else field
            unknown = contact["reported"] and contact.get(name) is None
            if not unknown and contact.get(name) != request.get(name):
                scope = {f"{field}s": [contact.get(name)]}
                if not (contact["reported"] and field in ("channel", "controller") and request.get(name)):
                    return False
                if not words.reaches(known, policy, scope, request):
                    return False
    return True


def lacks_scope(rule: Event, request: Event) -> bool:
    """Whether the rule's scope names a field the request does not have."""
    names = {"matter": "matter_id", "campaign": "campaign_id"}
    return any(request.get(names.get(f, f)) is None for f in rule.get("scope", []) if f != "subject")


def uses_place(contact: Event, counts: str, policy: Event, at: int) -> bool:
    """Whether a contact counts: open approvals always, then by outcome, then as `unreported` says."""
    if contact.get("unclear"):
        return True
    if contact["outcome"] is not None:
        return contact["outcome"] in COUNTED[counts]
    if contact["recalled"]:
        return False
    return at < contact["valid_until"] or policy.get("unreported", "count") == "count"


def rule_zones(window: Event, known: Known, request: Event) -> list[Any]:
    """The zones a rule counts local dates in; empty: the person's are unknown."""
    name = window.get("zone", "subject")
    return zones_of(known, request) if name == "subject" else [zone_named(name)]


def in_window(window: Event, zone: Any, contact: Event, at: int) -> bool:
    """Whether a contact counts at an instant; before it was made only if it is an open approval."""
    contact_at = contact["at"]
    if contact_at > at and contact["outcome"] is not None:
        return False
    if "sliding" in window:
        return at < contact_at + duration(window["sliding"])
    then, today = local_date(contact_at, zone), local_date(at, zone)
    if "days" in window:
        return (today - then).days < window["days"]
    start, _ = period(today, window["calendar"], window.get("week_starts", "mon"))
    return then >= start


def caps(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """No cap is full and no gap too short."""
    rules = [(f"cap.{c['name']}", c) for c in policy.get("caps") or []]
    rules += [
        (f"gap.{g['name']}", {**g, "limit": 1, "window": {"sliding": g["at_least"]}}) for g in policy.get("gaps") or []
    ]
    found = set()
    for code, rule in rules:
        if not selected(rule, request, places_of(known, request)):
            continue
        zones = [None] if "sliding" in rule["window"] else rule_zones(rule["window"], known, request)
        if lacks_scope(rule, request) or not zones:
            found.add(code)
            continue
        counted = [
            c
            for c in known["contacts"]
            if selected(rule, c, c["places"])
            and in_scope(rule, request, c, known, policy)
            and uses_place(c, rule.get("counts", "approved"), policy, at)
        ]
        if any(sum(in_window(rule["window"], z, c, at) for c in counted) >= rule["limit"] for z in zones):
            found.add(code)
    return found


def cooloff_starts(rule: Event, known: Known, policy: Event, request: Event) -> list[int]:
    """The instants at which the cool-off was set off."""
    times = sorted(
        c["outcome_at"]
        for c in known["contacts"] + known["complaints"]
        if c["outcome"] in rule["outcomes"]
        and selected(rule, c, c["places"])
        and in_scope(rule, request, c, known, policy)
    )
    if not rule.get("after"):
        return times
    within_ms = duration(rule["after"]["within"])
    return [t for t in times if sum(t - within_ms < other <= t for other in times) >= rule["after"]["count"]]


def cooloff_ends(rule: Event, started: int, zones: list[Any]) -> list[int]:
    """When a cool-off ends, by every zone it may be counted in; empty: never."""
    if rule["for"] == "forever":
        return []
    if isinstance(rule["for"], str):
        return [started + duration(rule["for"])]
    days = rule["for"]["days"] + (1 if rule["for"].get("first", "same_day") == "next_day" else 0)
    return [first_instant(local_date(started, z) + days * DAY, z) for z in zones]


def cooloffs(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """No cool-off is running."""
    found = set()
    for rule in policy.get("cooloffs") or []:
        if not selected(rule, request, places_of(known, request)):
            continue
        zones = rule_zones(rule["for"], known, request) if isinstance(rule["for"], dict) else []
        if lacks_scope(rule, request):
            found.add(f"cooloff.{rule['name']}")
            continue
        for started in cooloff_starts(rule, known, policy, request):
            ends = cooloff_ends(rule, started, zones)
            if started <= at and (
                not ends or at < max(ends)
            ):  # no end: forever, or nobody knows in which zone its days are counted
                found.add(f"cooloff.{rule['name']}")
    return found


# --- hours -----------------------------------------------------------------------------------------------------------


def windows(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """Every named window, and the person's own, is open in every zone the person may be in."""
    places = places_of(known, request)
    rules = [with_parts(w, places) for w in policy.get("windows") or [] if selected(w, request, places)]
    own = [with_parts(w, places) for w in known["profile"]["preferred"] if selected(w, request, places)]
    if not rules and not own:
        return set()
    zones = zones_of(known, request)
    if not zones:
        return {"window.unknown_zone"}
    found = set()
    lifting = [g for g in known["grants"] if g.get("windows")]
    lifted = lifting and any(
        g in lifting and open_at(g["windows"], zones, at) for g in valid_grants(known, policy, request, at)
    )
    for name in {w["name"] for w in rules}:
        if not lifted and not open_at([w for w in rules if w["name"] == name], zones, at):
            found.add(f"window.{name}")
    if own and not open_at(own, zones, at):
        found.add("window.preferred")
    return found


def times(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """The request's own bounds, and whether it can be read at all."""
    found = set()
    if request.get("not_before") and at < ms(request["not_before"]):
        found.add("request.not_before")
    if request.get("not_after") and at >= ms(request["not_after"]):
        found.add("request.expired")
    if request["channel"] in ("voice", "sms", "email") and not request.get("address"):
        found.add("request.malformed")
    if addresses.unknown_places(request.get("jurisdictions") or []):
        found.add("request.malformed")
    if addresses.unknown_places(known["profile"]["places"]):
        found.add("policy.unavailable")
    return found


RECALLING = (erasure, consent, flags, party, campaign, pauses, suppressions, registries)
LASTING = (*RECALLING, caps, cooloffs, times, words.request_words)
ALL = (*LASTING, windows)


def failing(rules: tuple[Any, ...], known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """The codes of every failing rule among these."""
    return set().union(*(rule(known, policy, request, at) for rule in rules))

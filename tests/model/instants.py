"""The instants of the slow model: everything that can change an answer, tried one after the other.

The next eligible instant is found by trying: every instant at which any rule can change is a candidate, tested in
order, and found right only if the millisecond before it blocks. Must never import contactgate.
"""

from __future__ import annotations

from datetime import date
from itertools import chain

from tests.model.calendar import (
    DAY,
    DAY_MS,
    duration,
    edges,
    first_instant,
    local_date,
    ms,
    period,
    zone_named,
)
from tests.model.frequency import (
    ALL,
    LASTING,
    cooloff_ends,
    cooloff_starts,
    failing,
    rule_zones,
    windows,
)
from tests.model.rules import Event, Known, grant_end, grant_start, purpose_rules, zones_of

HORIZON_MS = 400 * DAY_MS
WEEKS_MS = 15 * DAY_MS  # one zone's wall clock without holidays shows nothing after two weeks that it did not before
FAR_MS = ms("9999-01-01T00:00:00Z")


def _instants(known: Known, policy: Event, request: Event) -> set[int]:
    """Every instant at which a rule other than the hours can change."""
    found: set[int] = set()
    for g in known["grants"]:
        found.add(grant_start(g))
        if g.get("expires_at"):
            found.add(ms(g["expires_at"]))
        ends = [grant_end(known, policy, request, g, rule) for rule in purpose_rules(policy, request)]
        found.update(end for end in ends if end is not None)
    ranged = [a for told in known["parties"].values() for p in told for a in p.get("agreements") or []]
    ranged += [c for told in known["campaigns"].values() for c in told]
    for thing in ranged:
        found.update(ms(thing[k]) for k in ("valid_from", "valid_until") if thing.get(k))
    found.update(ms(p["until"]) for p in known["pauses"] if p.get("until"))
    found.update(ms(s["expires_at"]) for s in known["suppressions"] if s.get("expires_at"))
    found.update(ms(request[k]) for k in ("not_before", "not_after") if request.get(k))
    found.update(c["valid_until"] for c in known["contacts"] if "valid_until" in c)
    reported = known["contacts"] + known["complaints"]
    found.update(c[k] for c in reported for k in ("at", "outcome_at") if c.get(k) is not None)
    windows_of_caps = [c["window"] for c in policy.get("caps") or []]
    windows_of_caps += [{"sliding": g["at_least"]} for g in policy.get("gaps") or []]
    for window in windows_of_caps:
        for contact in known["contacts"]:
            found.update(_leaves(window, contact["at"], known, request))
    for rule in policy.get("cooloffs") or []:
        zones = rule_zones(rule["for"], known, request) if isinstance(rule["for"], dict) else []
        for started in cooloff_starts(rule, known, policy, request):
            found.update(cooloff_ends(rule, started, zones))
    places = zones_of(known, request) or [zone_named("Etc/GMT+12"), zone_named("Etc/GMT-14")]
    for zone in places:
        for relation in known["relationships"]:
            start = date.fromisoformat(relation["date"])
            found.update(first_instant(start + n * DAY, zone) for n in range(45))
        for rule in policy.get("registries") or []:
            days = duration(rule["max_age"]) // DAY_MS
            grace = duration(rule["grace"]) // DAY_MS if rule.get("grace") else 0
            for version in known["registries"]:
                for place in places:
                    found.add(first_instant(local_date(ms(version["as_of"]), place) + (days + 1) * DAY, zone))
                since = version["listed"].get(request.get("address"))
                if since is not None and since > date.min:
                    found.add(first_instant(since + grace * DAY, zone))
    return found


def _leaves(window: Event, contact_at: int, known: Known, request: Event) -> list[int]:
    """The instants at which a contact leaves a cap's window, by every zone."""
    if "sliding" in window:
        return [contact_at + duration(window["sliding"])]
    found = []
    for zone in rule_zones(window, known, request):
        day = local_date(contact_at, zone)
        after = (
            day + window["days"] * DAY
            if "days" in window
            else period(day, window["calendar"], window.get("week_starts", "mon"))[1]
        )
        found.append(first_instant(after, zone))
    return found


def _hours(known: Known, policy: Event, request: Event) -> list[Event]:
    """All hours that may matter: the policy's, the person's, and those named in consents."""
    return (
        (policy.get("windows") or [])
        + known["profile"]["preferred"]
        + [w for g in known["grants"] for w in g.get("windows") or []]
    )


def next_eligible(known: Known, policy: Event, request: Event, now: int) -> int | None:
    """The first instant from `now` at which every rule passes, if lists go on being refreshed; None: never."""
    known = {**known, "asked_at": now}
    starts = [now, *sorted(at for at in _instants(known, policy, request) if now < at < FAR_MS)]
    ends = [*starts[1:], starts[-1] + HORIZON_MS]
    for start, end in zip(starts, ends, strict=True):
        if failing(LASTING, known, policy, request, start):
            continue  # nothing but the hours changes before `end`
        hours, zones = _hours(known, policy, request), zones_of(known, request)
        ahead = WEEKS_MS if len(zones) == 1 and not any(w.get("holidays") for w in hours) else HORIZON_MS
        changes = edges(hours, zones, start, min(end, start + ahead), ("from",)) if hours and zones else iter(())
        for at in chain([start], changes):
            if not windows(known, policy, request, at):
                assert not failing(ALL, known, policy, request, at)
                assert at == now or failing(ALL, known, policy, request, at - 1)
                return at
    return None


def assumed(known: Known, policy: Event, request: Event, at: int) -> list[str]:
    """The lists that must be refreshed for the request to pass at that instant."""
    stale = [code for code in failing(ALL, known, policy, request, at) if code.startswith("registry.stale:")]
    return sorted(code.replace(".stale:", ".") for code in stale)


def valid_until(known: Known, policy: Event, request: Event, now: int) -> int:
    """The first instant at which hours, consent, agreement, campaign or the request itself end; at most the TTL."""
    latest = now + duration(policy.get("approval_ttl", "15m"))
    candidates = {at for at in _instants(known, policy, request) if now < at < latest}
    if zones_of(known, request):
        candidates.update(edges(_hours(known, policy, request), zones_of(known, request), now + 1, latest))
    ending = ("window.", "consent.", "notice.", "party.", "campaign.", "request.expired")
    for at in sorted(candidates):
        if any(code.startswith(ending) for code in failing(ALL, known, policy, request, at)):
            return at
    return latest

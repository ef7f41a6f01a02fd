"""Every decision rule of the slow model, each a function of (what is known, the request, an instant) to rule codes.

`known` is a plain dict the fold makes again for each request: profile, grants, withdrawals, contacts, complaints, the
world. Nothing is cached and nothing is clever. Must never import contactgate.
"""

from __future__ import annotations

from datetime import date
from itertools import product
from typing import Any

from tests.model import words
from tests.model.addresses import at_home, meant
from tests.model.calendar import (
    DAY,
    DAY_MS,
    NUMBER_PLACES,
    NUMBER_ZONES,
    duration,
    first_instant,
    local_date,
    ms,
    zone_named,
)

Known = dict[str, Any]
Event = dict[str, Any]


def covers(prefix: str, purpose: str) -> bool:
    """Whether a dotted path covers another."""
    return purpose == prefix or purpose.startswith(prefix + ".")


def any_covers(prefixes: list[str] | None, purpose: str) -> bool:
    """Whether one of them does; absent = all."""
    return prefixes is None or any(covers(prefix, purpose) for prefix in prefixes)


def among(value: str | None, allowed: list[str] | None) -> bool:
    """Whether a value is in the list; absent = all."""
    return allowed is None or value in allowed


def purpose_rules(policy: Event, request: Event) -> list[Event]:
    """What the longest configured prefix of the purpose asks: all of the lines for this channel and this mode."""
    known = [prefix for prefix in policy["purposes"] if covers(prefix, request["purpose"])]
    if not known:
        return []
    rule = policy["purposes"][max(known, key=len)]
    plain = {k: v for k, v in rule.items() if k not in ("channels", "mode")}
    by_channel = (rule.get("channels") or {}).get(request["channel"])
    by_mode = (rule.get("mode") or {}).get(request.get("mode") or "live")
    return [{**plain, **override} for override in (by_channel, by_mode) if override is not None] or [plain]


def selected(rule: Event, what: Event, places: set[str] | None) -> bool:
    """Whether a cap, gap, cool-off, window or registry is about such a request or contact; places None: anywhere."""
    here = rule.get("jurisdictions") is None or places is None or bool(places & set(rule["jurisdictions"]))
    if "places" not in what and not among(what.get("mode") or "live", rule.get("mode")):
        return False  # a mode selects the request, not what is counted
    # Of what others report a channel may be spelt in another way, or be one that nobody knows.
    spoken = words.channels([what["channel"]]) if what.get("reported") and what.get("channel") else [what["channel"]]
    asked = rule.get("channels")
    channel = asked is None or spoken is None or any(each in asked for each in spoken)
    return here and channel and any_covers(rule.get("purposes"), what["purpose"])


def places_of(known: Known, request: Event) -> set[str]:
    """The jurisdictions of the person, the number and the request together; a subdivision implies its country."""
    named = [*known["profile"]["places"], *(request.get("jurisdictions") or [])]
    if request["channel"] in ("voice", "sms"):
        named += NUMBER_PLACES.get(request.get("address", ""), [])
    return {*named, *(name.partition("-")[0] for name in named)}


def zones_of(known: Known, request: Event) -> list[Any]:
    """The zones the person may be in: their own if known, else those of the number; empty: unknown."""
    names = known["profile"]["zones"]
    if not names and request["channel"] in ("voice", "sms"):
        names = NUMBER_ZONES.get(request.get("address", ""), ())
    zones = [zone_named(name) for name in names]
    return [] if None in zones else zones


# --- consent ---------------------------------------------------------------------------------------------------------


def lifted(stop: Event, go: Event, policy: Event) -> bool:
    """Whether a permission is newer than a restriction: stamped later, and no clock that is slow can explain that."""
    if ms(stop["time"]) >= ms(go["time"]):
        return False
    skew = duration(policy.get("clock_skew", "10m"))
    return stop["arrived"] < go["arrived"] or ms(stop["time"]) < ms(go["time"]) - skew


def reaching(known: Known, policy: Event, request: Event) -> list[Event]:
    """The withdrawals that are about this request."""
    return [w for w in known["withdrawals"] if words.reaches(known, policy, words.of_one(w), request)]


def matching_grants(known: Known, policy: Event, request: Event) -> list[Event]:
    """Grants for this controller, purpose and channel."""
    return [
        g
        for g in known["grants"]
        if g["controller"] == request["controller"]
        and any_covers(g["purposes"], request["purpose"])
        and request["channel"] in g["channels"]
        and words.grant_known(known, policy, g)
    ]


def live_grants(known: Known, policy: Event, request: Event) -> list[Event]:
    """Of those the ones that are newer than every withdrawal that reaches the request."""
    stops = reaching(known, policy, request)
    return [g for g in matching_grants(known, policy, request) if all(lifted(w, g, policy) for w in stops)]


def forgotten(known: Known, grant: Event) -> bool:
    """Whether one withdrawal took back all of it: such a grant need not be kept, so no reason may tell of it."""
    recipients = [grant["controller"]] if grant.get("recipients") is None else grant["recipients"]
    return any(
        ms(w["time"]) >= ms(grant["time"])
        and among(grant["controller"], None if w.get("controller") is None else [w["controller"]])
        and all(any_covers(w.get("purposes"), p) for p in grant["purposes"])
        and all(among(c, w.get("channels")) for c in grant["channels"])
        and all(among(r, w.get("recipients")) for r in recipients)
        for w in known["withdrawals"]
    )


def notice_faults(known: Known, policy: Event, grant: Event) -> list[str]:
    """Whether the grant lies inside the version of its notice that was in force when it was given.

    Where several records of one version hold, whichever of them may be meant.
    """
    told: dict[int, list[Event]] = {}
    for n in known["notices"]:
        if n["notice_id"] == grant.get("notice_id"):
            told.setdefault(n["version"], []).append(n)
    if not told:
        return ["notice.unknown"] if policy["require"]["notice"] else []
    faults = {_notice_fault(versions, grant) for versions in product(*told.values())}
    return next(([fault] for fault in ("notice.unknown", "notice.outside") if fault in faults), [])


def _notice_fault(versions: tuple[Event, ...], grant: Event) -> str | None:
    started = [n for n in versions if ms(n.get("effective_at") or n["time"]) <= ms(grant["time"])]
    if not started:
        return "notice.unknown"
    notice = max(started, key=lambda n: (ms(n.get("effective_at") or n["time"]), n["version"]))
    recipients = grant["recipients"] if grant.get("recipients") is not None else [grant["controller"]]
    inside = (
        notice["controller"] == grant["controller"]
        and all(any_covers(notice.get("purposes"), purpose) for purpose in grant["purposes"])
        and all(r == grant["controller"] or among(r, notice.get("recipients")) for r in recipients)
        and all(among(c, notice.get("data_categories")) for c in grant.get("data_categories") or [])
    )
    return None if inside else "notice.outside"


def grant_start(grant: Event) -> int:
    """When the grant begins to hold: when it was given, or later if it says so."""
    return max(ms(grant["time"]), ms(grant.get("effective_at") or grant["time"]))


def month_date(day: date, months: int) -> date:
    """The first date on which some months from a date are over, counted forwards or backwards."""
    forward = months_after(day, months)
    return min(
        (forward - n * DAY for n in range(5) if months_after(forward - n * DAY, -months) >= day), default=forward
    )


def grant_end(known: Known, policy: Event, request: Event, grant: Event, rule: Event) -> int | None:
    """The end of the longest time for which a consent of this age holds; None: no period is set."""
    if "max_period" not in rule:
        return None
    months, given = int(rule["max_period"].removesuffix("mo")), ms(grant["time"])
    if rule.get("anniversary") == "included":
        zone = zone_named(policy.get("zone", "UTC"))
        assert zone is not None
        return first_instant(months_after(local_date(given, zone), months) + DAY, zone)
    zones = zones_of(known, request)
    if zones:
        return min(first_instant(month_date(local_date(given, zone), months), zone) for zone in zones)
    west, east = zone_named("Etc/GMT+12"), zone_named("Etc/GMT-14")
    assert west is not None
    assert east is not None
    return first_instant(month_date(local_date(given, west), months), east)


def grant_faults(known: Known, policy: Event, request: Event, grant: Event, rule: Event, at: int) -> list[str]:
    """Everything that keeps one live grant from allowing the request."""
    faults = notice_faults(known, policy, grant)
    recipients = grant.get("recipients")
    if request["requester"] not in ([grant["controller"]] if recipients is None else recipients):
        faults.append("consent.recipient")
    if not set(request.get("data_categories") or []) <= set(grant.get("data_categories") or []):
        faults.append("consent.data_category")
    evidence = rule.get("evidence")
    if evidence is not None and (grant.get("evidence") or {}).get("method") not in evidence:
        faults.append("consent.evidence")
    if at < grant_start(grant):
        faults.append("consent.not_yet_effective")
    end = grant_end(known, policy, request, grant, rule)
    if (grant.get("expires_at") and at >= ms(grant["expires_at"])) or (end is not None and at >= end):
        faults.append("consent.expired")
    return faults


def valid_grants(known: Known, policy: Event, request: Event, at: int) -> list[Event]:
    """The grants that allow the request at that instant."""
    rules = [rule for rule in purpose_rules(policy, request) if rule["consent"] != "none"] or [{}]
    return [
        g
        for g in live_grants(known, policy, request)
        if not any(grant_faults(known, policy, request, g, rule, at) for rule in rules)
    ]


def consent(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """The consent matrix."""
    rules = purpose_rules(policy, request)
    if not rules:
        return {"policy.unknown_purpose"}
    return set().union(*(_consent(known, policy, request, rule, at) for rule in rules))


def _consent(known: Known, policy: Event, request: Event, rule: Event, at: int) -> set[str]:
    if rule["consent"] == "none" or valid_grants(known, policy, request, at):
        return set()
    withdrawn = bool(reaching(known, policy, request))
    if rule["consent"] == "opt_out":
        return {"consent.withdrawn"} if withdrawn else set()
    live = live_grants(known, policy, request)
    grants = [g for g in matching_grants(known, policy, request) if not forgotten(known, g)]
    if not grants:
        return {"consent.withdrawn"} if withdrawn else {"consent.missing"}
    faults = []
    for g in grants:
        ended = [] if g in live else ["consent.withdrawn"]
        faults.append((grant_faults(known, policy, request, g, rule, at) + ended, g))
    fewest = min(len(found) for found, _ in faults)
    closest, _ = max((p for p in faults if len(p[0]) == fewest), key=lambda p: (ms(p[1]["time"]), p[1]["event_id"]))
    return set(closest)


def erasure(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """An erased person is not contacted until a newer consent covers the request."""
    erased = known["erased"]
    if erased is None or any(lifted(erased, g, policy) for g in valid_grants(known, policy, request, at)):
        return set()
    return {"subject.erased"}


def flags(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """Deceased blocks everything, minor and vulnerable block marketing."""
    barring = ["deceased"]
    if covers("marketing", request["purpose"]):
        barring += ["minor"] if policy.get("vulnerable") == "allow" else ["minor", "vulnerable"]
    marks = {flag: mark for flag, mark in known["profile"]["marks"].items() if flag in barring}
    found = {
        f"subject.{flag}"
        for flag, mark in marks.items()
        if any(not any(lifted(told, end, policy) for end in mark["ended"]) for told in mark["set"])
    }
    return found | ({"subject.unknown_flag"} if set(known["profile"]["flags"]) - {"business"} else set())


# --- who and what for ------------------------------------------------------------------------------------------------


def within(thing: Event, at: int) -> bool:
    """Whether the instant lies in [valid_from, valid_until)."""
    started = not thing.get("valid_from") or ms(thing["valid_from"]) <= at
    return started and not (thing.get("valid_until") and at >= ms(thing["valid_until"]))


def party(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """The requester is a known, active party with an agreement that allows this, whichever of its records is meant."""
    told = words.stopped(known["parties"], request["requester"], ("suspended", "ended"))
    if not told:
        return {"party.unknown"} if policy["require"]["party"] else set()
    found = {"party.suspended" for who in told if who["status"] != "active"}
    allowed = all(
        any(
            a["controller"] == request["controller"]
            and any_covers(a.get("purposes"), request["purpose"])
            and among(request["channel"], a.get("channels"))
            and all(among(c, a.get("data_categories")) for c in request.get("data_categories") or [])
            and within(a, at)
            for a in who.get("agreements") or []
        )
        for who in told
    )
    return found if allowed else found | {"party.agreement"}


def campaign(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """The campaign is known, approved by somebody else than its creator, running, and about this, in each record."""
    told = words.stopped(known["campaigns"], request.get("campaign_id"), ("paused", "closed"))
    if not told:
        return {"campaign.unknown"} if policy["require"]["campaign"] else set()
    found = set()
    status = max((what["status"] for what in told), key=["approved", "draft", "paused", "closed"].index)
    if status == "paused":
        found.add("campaign.paused")
    elif (
        status != "approved"
        or not all(within(what, at) for what in told)
        or (policy["require"]["two_people"] and not all(map(_two_people, told)))
    ):
        found.add("campaign.not_approved")
    fits = all(
        among(request["controller"], None if what.get("controller") is None else [what["controller"]])
        and among(request["requester"], what.get("requesters"))
        and any_covers(what.get("purposes"), request["purpose"])
        and among(request["channel"], what.get("channels"))
        and all(among(c, what.get("data_categories")) for c in request["data_categories"])
        for what in told
    )
    return found if fits else found | {"campaign.mismatch"}


def _two_people(what: Event) -> bool:
    made, approved = words.plain(what.get("created_by") or ""), words.plain(what.get("approved_by") or "")
    return bool(made and approved and made != approved)


def pauses(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """No pause in force covers the request."""
    found = set()
    for pause in known["pauses"]:
        hit = words.reaches(known, policy, pause.get("scope") or {}, request)
        if hit and not (pause.get("until") and at >= ms(pause["until"])):
            found.add(f"pause.{pause['pause_id']}")
    return found


def suppressions(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """Neither everybody nor this person has stopped contact to the address."""
    address = request.get("address")
    if address is None:
        return set()
    hit = address in known["wrong_addresses"] or any(
        address in meant(s, policy)
        and words.reaches(known, policy, words.of_one(s), request)
        and not any(
            address in meant(r, policy)
            and (not at_home(s) or r["region"] == policy.get("default_region"))
            and lifted(s, r, policy)
            and words.releases(known, policy, r, s)
            for r in known["releases"]
        )
        and not (s.get("expires_at") and at >= ms(s["expires_at"]))
        for s in known["suppressions"]
    )
    return {"address.suppressed"} if hit else set()


def months_after(day: date, months: int) -> date:
    """The same day some months later (or earlier), or the last day of that month if it has no such day."""
    index = day.year * 12 + day.month - 1 + months
    first = date(index // 12, index % 12 + 1, 1)
    return min(first + (day.day - 1) * DAY, (first + 31 * DAY).replace(day=1) - DAY)


def within_months(day: date, start: date, months: int) -> bool:
    """Whether a date is at most some months after another, counted forwards and backwards, whichever is shorter."""
    return day <= months_after(start, months) and months_after(day, -months) <= start


def related(known: Known, request: Event, rule: Event, at: int) -> bool:
    """Whether a business relationship exempts from a list, in every zone."""
    zones = zones_of(known, request) or [zone_named("Etc/GMT+12"), zone_named("Etc/GMT-14")]
    return any(
        all(_relation_holds(r, rule["relationships"].get(r["kind"]), local_date(at, z)) for z in zones)
        for r in known["relationships"]
        if r["controller"] == request["controller"]
    )


def _relation_holds(relation: Event, period: str | None, day: date) -> bool:
    start = date.fromisoformat(relation["date"])
    if period is None or day < start:
        return False
    if relation.get("until") and day > date.fromisoformat(relation["until"]):
        return False
    if period.endswith("mo"):
        return within_months(day, start, int(period[:-2]))
    return period == "running" or day <= start + int(period[:-1]) * DAY


def registries(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """Do-not-call lists are fresh and do not hold the number, unless consent lifts them."""
    found = set()
    zones = zones_of(known, request) or [zone_named("Etc/GMT+12"), zone_named("Etc/GMT-14")]  # somewhere on earth
    for rule in policy.get("registries") or []:
        if not selected(rule, request, places_of(known, request)) or "business" in known["profile"]["flags"]:
            continue
        if "consent" in rule.get("unless", []) and valid_grants(known, policy, request, at):
            continue
        if "relationship" in rule.get("unless", []) and related(known, request, rule, at):
            continue
        current = next((r for r in known["registries"] if r["registry"] == rule["name"]), None)
        if current is None:
            found.add(f"registry.stale:{rule['name']}")
            continue
        days = duration(rule["max_age"]) // DAY_MS
        taken = min(local_date(ms(current["as_of"]), z) for z in zones)
        # A forecast supposes that a list which was fresh when it was made stays so.
        looked = known.get("asked_at", at)
        if not current["in_force"] or max((local_date(looked, z) - taken).days for z in zones) > days:
            found.add(f"registry.stale:{rule['name']}")
        since = current["listed"].get(request.get("address"))
        grace = duration(rule["grace"]) // DAY_MS if rule.get("grace") else 0
        if since is not None and any(local_date(at, z) >= since + grace * DAY for z in zones):
            found.add(f"registry.listed:{rule['name']}")
    return found

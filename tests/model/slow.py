"""The fold of the slow model: `decide(events, policy)` scans the whole history again for every request.

Must never import contactgate.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.model import closing, standing, words
from tests.model.addresses import list_read, observed_address, place, request_read
from tests.model.answers import FIELDS, categories, malformed_fields, refusal
from tests.model.calendar import (
    duration,
    ms,
)
from tests.model.frequency import (
    ALL,
    RECALLING,
    SEVERITY,
    failing,
)
from tests.model.instants import assumed, next_eligible, valid_until
from tests.model.lists import registries
from tests.model.optouts import WITHDRAWING, includes, lost, outlasts, withdrawals
from tests.model.rules import Event, Known, places_of

LASTING_FLAGS = ("deceased", "minor", "vulnerable")


Watch = Callable[[Event, list[Event], list[Event], Event], None]


def decide(events: list[Event], policy: Event, watch: Watch | None = None) -> list[Event]:
    """One entry per decision and per recall, in order.

    A decision is {request_id, subject_id, verdict, rules, next_eligible, assumes, categories, told, valid_until,
    duplicate}, where `told` is what the requester of a block is told; a recall {recalled}.
    `watch` is called with every event that counts, the history with it, the approvals and the policy.
    """
    history: list[Event] = []
    approvals: list[Event] = []
    answers: list[Event] = []
    latest = 0
    for event in arrivals(events):
        now = ms(event["time"])
        latest = max(latest, now)
        if event["type"] == "contact.requested":
            answers.append(_answer(request_read(event, policy), now, history, approvals, policy))
            continue
        if event["type"] == "subject.updated" and event.get("flags_removed") and not event.get("by"):
            continue  # a dead letter
        if event["type"] == "registry.published":
            event = list_read(event, policy)
        if event["type"] == "address.released":
            event = {**event, "region": policy.get("default_region")}  # where a number without + was read for it
        if event["type"] == "contact.outcome" and not _approval(approvals, event):
            # An outcome for an unknown request is a dead letter; an opt-out in it still counts, at its widest.
            if words.outcome(event["outcome"]) is None:
                event = {**event, "of": None}  # only a policy can say what it means
            elif words.outcome(event["outcome"]) in WITHDRAWING:
                kept = ("subject_id", "time", "arrived", "n")
                event = {"type": "consent.withdrawn", **{k: event[k] for k in kept if k in event}}
            else:
                continue
        elif event["type"] == "contact.outcome":
            event = {**event, "of": _approval(approvals, event)[-1]}  # a request_id may come again after the horizon
        history.append(event)
        policy = standing.policy_of(history, policy)
        if watch is not None:
            watch(event, history, approvals, policy)
        answers.extend(_recalls(event, now if "subject_id" in event else latest, history, approvals, policy))
        for more in closing.written(history, approvals, policy, know):
            history.append(more)
            answers.extend(_recalls(more, latest, history, approvals, policy))
        if event["type"] == "subject.erased":
            approvals[:] = [a for a in approvals if a["subject_id"] != event["subject_id"] or a["decided"] > now]
    return answers


def arrivals(events: list[Event]) -> list[Event]:
    """The events, each with the place in the order of arrival at which its event_id came first."""
    first: dict[str, int] = {}
    return [
        {**event, "arrived": first.setdefault(event["event_id"], at) if "event_id" in event else at}
        for at, event in enumerate(events)
    ]


def _approval(approvals: list[Event], outcome: Event) -> list[Event]:
    same = ("subject_id", "request_id")
    return [a for a in approvals if all(a[k] == outcome[k] for k in same)]


# --- what is known ---------------------------------------------------------------------------------------------------


def know(subject: str, history: list[Event], approvals: list[Event], policy: Event) -> Known:
    """Everything known about a subject and the world, scanned from the whole history."""
    mine = [e for e in history if e.get("subject_id") == subject]
    erased = _erasure([e for e in mine if e["type"] == "subject.erased"])
    told = mine
    mine = [e for e in mine if erased is None or ms(e["time"]) > ms(erased["time"])]
    contacts = [_contact(a, mine, policy) for a in approvals if a["subject_id"] == subject]
    observed = {e["event_id"]: e for e in mine if e["type"] == "contact.observed"}
    contacts += [
        {
            **e,
            "at": ms(e["time"]),
            "outcome_at": ms(e["time"]),
            "outcome": words.outcome(e["outcome"], policy),
            "unclear": words.outcome(e["outcome"], policy) is None,
            "recalled": None,
            "matters": e.get("matters") or [],
            "reported": True,
            "places": None,
            "address": observed_address(e, policy),
        }
        for e in observed.values()
    ]
    complaints = {e["event_id"]: e for e in mine if e["type"] == "complaint.received"}
    return {
        "erased": erased,
        "profile": _profile(mine),
        "grants": [e for e in mine if e["type"] == "consent.granted"],
        "withdrawals": [
            w for w in withdrawals(told, policy, approvals, erased) if erased is None or not outlasts(erased, w)
        ],
        "contacts": contacts,
        "relationships": _relationships(mine),
        "complaints": [
            {
                **e,
                "outcome": "complained",
                "outcome_at": ms(e["time"]),
                "purpose": "marketing",
                "matters": [],
                "reported": True,
                "places": None,
            }
            for e in complaints.values()
        ],
        "wrong_addresses": {
            e["of"]["request"].get("address") if e["type"] == "contact.outcome" else observed_address(e, policy)
            for e in mine
            if e["type"] in ("contact.outcome", "contact.observed")
            and words.outcome(e["outcome"], policy) == "wrong_number"
            and not lost(e, approvals, erased)
        }
        - {None},
        "notices": [
            notice
            for told in standing.by_key(history, "notice.published", lambda e: (e["notice_id"], e["version"])).values()
            for notice in standing.holding(told, policy)
        ],
        "parties": {
            key: standing.holding(told, policy)
            for key, told in standing.by_key(history, "party.updated", lambda e: e["party_id"]).items()
        },
        "campaigns": {
            key: standing.holding(told, policy)
            for key, told in standing.by_key(history, "campaign.updated", lambda e: e["campaign_id"]).items()
        },
        "pauses": standing.pauses(history, policy),
        "suppressions": [e for e in history if e["type"] == "address.suppressed"],
        "releases": [e for e in history if e["type"] == "address.released"],
        "registries": registries(history),
    }


def _erasure(erasures: list[Event]) -> Event | None:
    """All erasures as one: the latest time, the latest arrival."""
    if not erasures:
        return None
    return {**max(erasures, key=lambda e: ms(e["time"])), "arrived": max(e["arrived"] for e in erasures)}


def _contact(approval: Event, mine: list[Event], policy: Event) -> Event:
    """An approval with the outcome that holds: the most restricting one reported, and of those the earliest."""
    request = approval["request"]
    reported = [e for e in mine if e["type"] == "contact.outcome" and e["of"] is approval]
    meant = [(words.outcome(e["outcome"], policy), e) for e in reported]
    known = [(SEVERITY.index(word), e) for word, e in meant if word is not None]
    rank, outcome = min(known, key=lambda each: (-each[0], ms(each[1]["time"])), default=(0, None))
    told = [m for _, e in known for m in e.get("matters") or []]
    matters = told or ([request["matter_id"]] if request.get("matter_id") else [])
    matters = matters + [m for word, e in meant if word is None for m in e.get("matters") or []]
    return {
        **request,
        "reported": False,
        "places": approval["places"],
        "at": approval["decided"],
        "valid_until": approval["valid_until"],
        "recalled": approval["recalled"],
        "outcome": outcome and SEVERITY[rank],
        "unclear": any(word is None for word, _ in meant),
        "outcome_at": outcome and ms(outcome["time"]),
        "matters": matters,
    }


def _profile(mine: list[Event]) -> Event:
    """Merged profile: per field the newest event that has it; null clears."""
    profile: Event = {"zones": [], "places": [], "flags": [], "preferred": [], "marks": {}}
    for e in sorted((e for e in mine if e["type"] == "subject.updated"), key=lambda e: ms(e["time"])):
        if "timezone" in e:
            profile["zones"] = [e["timezone"]] if e["timezone"] else []
        if "timezones" in e:
            profile["zones"] = e["timezones"] or []
        if "jurisdictions" in e:
            profile["places"] = [place(code) for code in e["jurisdictions"] or []]
        if "flags" in e:
            profile["flags"] = [flag for flag in words.flags(e["flags"] or []) if flag not in LASTING_FLAGS]
        if "preferred_windows" in e:
            profile["preferred"] = e["preferred_windows"] or []
    for flag in LASTING_FLAGS:
        told = [e for e in mine if e["type"] == "subject.updated" and flag in words.flags(e.get("flags") or [])]
        ended = [
            e for e in mine if e["type"] == "subject.updated" and e.get("by") and flag in (e.get("flags_removed") or [])
        ]
        if told:
            profile["marks"][flag] = {"set": told, "ended": ended}
    return profile


def _relationships(mine: list[Event]) -> list[Event]:
    """What was told last of every relationship of one kind and date."""
    told = sorted((e for e in mine if e["type"] == "relationship.recorded"), key=lambda e: ms(e["time"]))
    return list({(e["controller"], e["kind"], e["date"]): e for e in told}.values())


# --- decisions -------------------------------------------------------------------------------------------------------


def _answer(request: Event, now: int, history: list[Event], approvals: list[Event], policy: Event) -> Event:
    known = know(request["subject_id"], history, approvals, policy)
    horizon = duration(policy.get("dedup_horizon", "7d"))
    remembered = [a for a in _approval(approvals, request) if now < a["decided"] + horizon]
    if remembered:
        answer = _again(remembered[-1], request, now, known, policy)
        if answer is not None:
            return answer
    asked, request = request, {**request, "data_categories": categories(known, request)}
    rules = failing(ALL, known, policy, request, now)
    eligible = next_eligible(known, policy, request, now) if rules else None
    answer = {
        "request_id": request["request_id"],
        "subject_id": request["subject_id"],
        "decided": now,
        "verdict": "block" if rules else "pass",
        "rules": rules,
        "next_eligible": eligible,
        "assumes": [] if eligible is None else assumed(known, policy, request, eligible),
        "categories": request["data_categories"],
        "told": refusal(rules, malformed_fields(request), eligible) if rules else None,
        "valid_until": None if rules else valid_until(known, policy, request, now),
        "duplicate": False,
    }
    if not rules:
        places = places_of(known, request)
        approvals.append({**answer, "request": request, "asked": asked, "places": places, "recalled": None})
    return answer


def _again(approval: Event, request: Event, now: int, known: Known, policy: Event) -> Event | None:
    """The answer to the request of a remembered approval (rules 46 and 47); None: it is decided anew."""
    block = {
        "request_id": request["request_id"],
        "verdict": "block",
        "next_eligible": None,
        "assumes": [],
        "categories": categories(known, request),
        "told": None,
        "valid_until": None,
    }
    before, now_asked = _content(approval["asked"]), _content(request)
    if now_asked != before:
        field = next(f for f in FIELDS if before.get(f) != now_asked.get(f))
        told = {"reason": "malformed", "field": field, "retry_at": None}
        return {**block, "told": told, "rules": {"request.conflict"}, "duplicate": False}
    request = {**request, "data_categories": approval["request"]["data_categories"]}
    ids = (request["request_id"], approval["decided"])
    contact = next(c for c in known["contacts"] if (c.get("request_id"), c["at"]) == ids)
    if contact["outcome"] == "not_attempted" and not contact["unclear"] and now > contact["at"]:
        return None  # an approval is known by its request and its millisecond
    rules = {r for r in failing(RECALLING, known, policy, request, now) if not r.startswith("registry.stale")}
    unused = contact["outcome"] is None and not contact["unclear"]
    if unused and not approval["recalled"] and not rules and now < approval["valid_until"]:
        return {**{k: approval[k] for k in block}, "rules": set(), "duplicate": True}
    # Of a recall one cause is kept, whichever: any of them may be told beside what forbids now.
    told = {"reason": "malformed", "field": "request_id", "retry_at": None}
    causes = {"rules": {"request.answered"}, "perhaps": rules | set(approval["recalled"] or ())}
    return {**block, **causes, "categories": request["data_categories"], "told": told, "duplicate": True}


def _content(request: Event) -> Event:
    """What a request asks for, whatever it is called and whenever it comes."""
    free = ("event_id", "time", "arrived", "not_before", "not_after")
    asked = {k: v for k, v in request.items() if k not in free and v is not None}
    for name in ("data_categories", "jurisdictions"):
        asked[name] = sorted(set(asked.get(name) or []))
    return {**asked, "mode": asked.get("mode", "live")}


def _recalls(event: Event, now: int, history: list[Event], approvals: list[Event], policy: Event) -> list[Event]:
    """Recalls every open approval that is illegal after an event (the last of the history) that can make one so."""
    found = []
    for approval in approvals:
        if approval["recalled"] or now >= approval["valid_until"]:
            continue
        if event.get("subject_id", approval["subject_id"]) != approval["subject_id"]:
            continue
        if any(e["type"] == "contact.outcome" and e["of"] is approval for e in history):
            continue
        before = know(approval["subject_id"], history[:-1], approvals, policy)
        known = know(approval["subject_id"], history, approvals, policy)
        new_profile = event["type"] == "subject.updated" and event not in history[:-1]  # even if it says the same
        if "subject_id" in event and not new_profile and not _says_something(before, known):
            continue
        request = approval["request"]
        rules = failing(RECALLING, known, policy, request, max(now, approval["decided"]))
        rules = {r for r in rules if not r.startswith("registry.stale")}
        if rules:
            approval["recalled"] = rules
            found.append({"recalled": approval["request_id"]})
    return found


def _says_something(before: Known, after: Known) -> bool:
    """Whether an event told what can forbid: the profile, a relationship that ends, an erasure, a new opt-out."""
    if any(before[k] != after[k] for k in ("profile", "relationships", "wrong_addresses", "erased")):
        return True
    new = [w for w in after["withdrawals"] if w not in before["withdrawals"]]
    return any(not any(includes(known, w) for known in before["withdrawals"]) for w in new)

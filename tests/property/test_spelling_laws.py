"""Laws of restrictions whatever their words and their clocks: nothing that restricts is lost for how it was said.

250 examples each; `CONTACTGATE_LONG=1` (`make properties`) runs 10,000.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.property.effort import LONG, PATIENCE_S, examples
from tests.property.generators import histories
from tests.property.policies import DAY, HOUR, MINUTE, SPELT, Event, instant
from tests.property.test_laws import last_decision, last_request, quiet

pytestmark = [pytest.mark.timeout(PATIENCE_S)]
laws = settings(
    max_examples=examples(),
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
seeds = st.integers(0, 2**32)

WORDS = {
    "voice": ["Voice", " voice", "VOICE", "phone", "telephone", "電話", "ｖｏｉｃｅ", "fax"],
    "sms": ["SMS", "text", "Txt", "sms ", "pigeon"],
    "email": ["E-Mail", "EMAIL", "e-mail", "letterbox"],
    "mail": ["post", "Letter", "MAIL", "parcel"],
    "marketing": ["Marketing", "MARKETING ", "marketing.insurence", "promotions"],
    "marketing.insurance": ["Marketing.Insurance", "marketing.insurance ", "promotions"],
    "collection": ["Collection", "COLLECTION", "debts"],
    "bank": ["Bank", "BANK ", "ｂａｎｋ", "bank-ag"],
    "insurer": ["INSURER", " insurer", "the insurer"],
    "callcentre": ["CallCentre", "callcentre ", "call centre"],
    "c-1": ["C-1", " c-1"],
}
"""Each word in other spellings, the last of most unknown to everybody."""


def spelt(value: Any, rng: random.Random) -> Any:
    """A word, or a list of words, in another spelling of each; what has none stays."""
    if isinstance(value, list):
        return [spelt(each, rng) for each in value]
    return rng.choice(WORDS[value]) if value in WORDS else value


def respelt(event: Event, rng: random.Random) -> Event:
    """The same restriction in other words."""
    said = {
        key: spelt(value, rng) if key in ("controller", "channel", "channels", "purposes", "recipients") else value
        for key, value in event.items()
    }
    if "scope" in event:
        said["scope"] = {key: spelt(value, rng) for key, value in event["scope"].items()}
    if event.get("address") in SPELT:
        said["address"] = rng.choice(SPELT[event["address"]])
    return said


def restriction(request: Event, rng: random.Random, at: int) -> Event:
    """A restriction in plain words, perhaps about the request."""
    subject = {"subject_id": request["subject_id"]}
    some: Event = {}
    for key, values in (
        ("channels", ["voice", "sms", "email", request["channel"]]),
        ("purposes", ["marketing", "collection", "marketing.insurance"]),
    ):
        if rng.random() < 0.6:
            some[key] = rng.sample(values, rng.choice([1, 1, 2]))
    one = {"controller": rng.choice(["bank", "insurer"])} if rng.random() < 0.5 else {}
    named = {"recipients": [rng.choice(["bank", "callcentre"])]} if rng.random() < 0.3 else {}
    scope = {**some, **({"controllers": [one["controller"]]} if one else {})}
    address = rng.choice([n for n in SPELT if "@" not in n])
    kinds: list[Event] = [
        {"type": "consent.withdrawn", **subject, **some, **one, **named},
        {"type": "complaint.received", **subject, **one, "channel": request["channel"]},
        {"type": "pause.set", "pause_id": "p-extra", "scope": scope},
        {"type": "address.suppressed", "address": address, **some, **one},
    ]
    return {"event_id": "e-extra", "time": instant(at), **rng.choice(kinds)}


@laws
@given(histories(), seeds)
def test_no_spelling_lets_more_pass_than_the_plain_word(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """A restriction in another spelling, or in words that nobody knows, blocks whatever it blocks in plain words."""
    policy, events = drawn
    rng = random.Random(seed)
    at = quiet(events)
    request = last_request(events, at, seed)
    plain = restriction(request, rng, at)
    if plain["type"] == "address.suppressed" and rng.random() < 0.7:
        plain["address"] = request.get("address") or plain["address"]
    if last_decision([*events, plain, request], policy)["verdict"] == "block":
        assert last_decision([*events, respelt(plain, rng), request], policy)["verdict"] == "block"


@laws
@given(histories(), seeds)
def test_a_well_formed_restriction_never_frees(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """Whatever its scope, its words and its age, one more restriction turns no block into a pass."""
    policy, events = drawn
    rng = random.Random(seed)
    at = quiet(events)
    request = last_request(events, at, seed)
    extra = {**restriction(request, rng, at), "time": instant(at - rng.choice([0, MINUTE, HOUR, DAY, 9 * DAY]))}
    extra = respelt(extra, rng) if rng.random() < 0.5 else extra
    where = rng.randrange(len(events) + 1)
    assume(all(event["type"] != "contact.requested" for event in events[where:]) or extra["time"] > events[-1]["time"])
    if last_decision([*events, request], policy)["verdict"] == "block":
        assert last_decision([*events[:where], extra, *events[where:], request], policy)["verdict"] == "block"


def undoing(stop: Event, request: Event, at: int) -> Event:
    """What would undo a restriction if it were newer."""
    head = {"event_id": "e-undo", "time": instant(at), "by": "ann"}
    if stop["type"] == "pause.set":
        return {**head, "type": "pause.lifted", "pause_id": stop["pause_id"]}
    if stop["type"] == "address.suppressed":
        return {**head, "type": "address.released", "address": stop["address"], "reason": "x"}
    if stop["type"] == "party.updated":
        return {**stop, **head, "status": "active", "agreements": [{"controller": request["controller"]}]}
    if stop["type"] == "campaign.updated":
        return {**stop, **head, "status": "approved", "created_by": "ann", "approved_by": "bob"}
    if stop["type"] == "subject.updated":
        return {**head, "type": "subject.updated", "subject_id": stop["subject_id"], "flags_removed": stop["flags"]}
    return {
        **head,
        "type": "consent.granted",
        "subject_id": stop["subject_id"],
        "controller": request["controller"],
        "purposes": ["marketing", "collection"],
        "channels": ["voice", "sms", "email", "mail"],
        "recipients": ["bank", "callcentre", "insurer"],
        "data_categories": ["account", "basic"],
        "evidence": {"method": "written", "ref": "x"},
    }


@laws
@given(histories(), seeds)
def test_what_is_older_never_undoes_a_restriction(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """A release, an end, an active party, a consent that is as old or older: what was blocked before it is blocked.

    In whichever order the two come, and also if the older one comes twice.
    """
    policy, events = drawn
    rng = random.Random(seed)
    at = quiet(events)
    request = last_request(events, at, seed)
    subject = {"subject_id": request["subject_id"]}
    kinds: list[Event] = [
        {"type": "pause.set", "pause_id": "p-extra", "scope": {}},
        {"type": "address.suppressed", "address": request.get("address") or "+12125550123"},
        {"type": "party.updated", "party_id": request["requester"], "status": "suspended", "agreements": []},
        {"type": "campaign.updated", "campaign_id": request.get("campaign_id") or "c-1", "status": "paused"},
        {"type": "subject.updated", **subject, "flags": ["deceased"]},
        {"type": "subject.erased", **subject},
    ]
    stop = {"event_id": "e-stop", "time": instant(at - HOUR), **rng.choice(kinds)}
    undo = undoing(stop, request, at - HOUR - rng.choice([0, 1, MINUTE, DAY]))
    assume(last_decision([*events, stop, request], policy)["verdict"] == "block")
    for order in ([stop, undo], [undo, stop], [undo, stop, undo]):
        assert last_decision([*events, *order, request], policy)["verdict"] == "block"


@laws
@given(histories(), seeds)
def test_an_event_that_comes_again_changes_no_decision(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """Whatever was read before is read again much later, as it was, and nothing is decided otherwise.

    A list may not: it says how a registry is from then on. An outcome belongs to the approval of its time. What was
    erased is forgotten, and with it that it came before.
    """
    policy, events = drawn
    rng = random.Random(seed)
    at = quiet(events)
    request = last_request(events, at, seed)
    erased = {e["subject_id"] for e in events if e["type"] == "subject.erased"}
    once = ("contact.requested", "registry.published", "contact.outcome")
    again = [e for e in events if e["type"] not in once and e.get("subject_id") not in erased]
    assume(again)
    repeated = rng.sample(again, rng.randrange(1, min(4, len(again)) + 1))
    before = last_decision([*events, request], policy)
    assert last_decision([*events, *repeated, request], policy) == before

"""The demonstration's population: the same for the same seed, readable by the gate, varied enough to show rules."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from contactgate.codec.tokens import Tokens
from contactgate.demo.people import people
from contactgate.demo.population import REQUESTERS, Population

START_MS = 1_790_000_000_000


def test_the_same_seed_gives_the_same_bytes():
    """Two populations of one seed are equal to the byte; another seed gives another."""
    one, two, other = Population(7, 300, START_MS), Population(7, 300, START_MS), Population(8, 300, START_MS)
    for part in ("world", "history"):
        assert list(getattr(one, part)()) == list(getattr(two, part)())
    assert list(one.stream(500, 100.0)) == list(two.stream(500, 100.0))
    assert list(one.stream(500, 100.0)) != list(other.stream(500, 100.0))


def test_every_address_is_one_the_gate_can_read_and_place():
    """Numbers are placed in the person's own zone, e-mail and postal addresses are read."""
    tokens = Tokens(b"k" * 32)
    for person in people(3, 1_500):
        number = tokens.contactable("voice", person.phone)
        assert person.place.zone in number.zones
        assert person.place.country in number.jurisdictions
        tokens.contactable("email", person.email)
        tokens.contactable("mail", person.postal)


def test_people_live_where_some_may_always_be_called():
    """At every hour of the day 09:00 to 20:00 is open in one zone of the population and closed in another."""
    zones = {person.place.zone for person in people(1, 2_000)}
    for hour in range(24):
        at = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(hours=hour)
        open_ = {9 <= at.astimezone(ZoneInfo(zone)).hour < 20 for zone in zones}
        assert open_ == {True, False}, hour


def test_the_stream_has_three_requesters_opt_outs_and_every_sort_of_malformed_message():
    """The stream carries what the demonstration is to show; request ids of well-formed requests are unique."""
    steps = list(Population(1, 1_000, START_MS).stream(5_000, 1_000.0))
    ids = [step.request_id for step in steps if step.request_id]
    assert len(ids) == len(set(ids)) == 5_000
    asked = Counter(json.loads(step.routed.value)["requester"] for step in steps if step.request_id)
    assert set(REQUESTERS) < set(asked)
    types = Counter()
    unreadable = 0
    for step in steps:
        try:
            types[json.loads(step.routed.value)["type"]] += 1
        except ValueError:
            unreadable += 1
    assert types["consent.withdrawn"] > 20
    assert types["subject.erased"]
    assert types["contact.wanted"] == 1
    assert unreadable >= 2


def test_the_history_has_consents_of_different_breadth_and_people_not_to_be_called():
    """Grants differ in purposes, channels and recipients; there are minors, deceased, and preferred hours."""
    events = [json.loads(routed.value) for routed in Population(1, 3_000, START_MS).history()]
    grants = [event for event in events if event["type"] == "consent.granted"]
    assert len({(tuple(g["purposes"]), tuple(g["channels"]), tuple(g.get("recipients", ()))) for g in grants}) > 50
    flags = Counter(flag for event in events for flag in event.get("flags", ()))
    assert {"minor", "deceased", "vulnerable", "business"} == set(flags)
    assert any("preferred_windows" in event for event in events)
    assert any(event["type"] == "consent.withdrawn" for event in events)

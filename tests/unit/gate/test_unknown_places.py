"""A jurisdiction that is no code of ISO 3166, and the holidays of a part of a country, from message to decision."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contactgate.codec.tokens import Tokens
from contactgate.offline import fold
from contactgate.policy.load import load_policy

TOKENS = Tokens(b"only for tests, 32 bytes or more.")
OFFICE = [{"name": "office", "channels": ["voice"], "from": "09:00", "to": "20:00", "holidays": "FR"}]


def updated(time: str, **fields: Any) -> dict[str, Any]:
    """A fact about the person."""
    return {"type": "subject.updated", "event_id": f"e-{time}", "subject_id": "s", "time": time, **fields}


def asked(time: str, **fields: Any) -> dict[str, Any]:
    """A service call."""
    return {
        "type": "contact.requested", "request_id": f"r-{time}", "subject_id": "s", "time": time, "requester": "bank",
        "controller": "bank", "purpose": "service", "channel": "voice", "address": "+33639980123", **fields,
    }  # fmt: skip


def told(*events: dict[str, Any], **policy: Any) -> tuple[list[list[str]], list[str]]:
    """The rules that each decision failed, and the reasons of the dead letters."""
    document = {
        "policy": "places",
        "require": {"campaign": False, "party": False, "notice": False},
        "purposes": {"service": {"consent": "none"}},
        **policy,
    }
    lines = [json.loads(x) for x in fold((json.dumps(e).encode() for e in events), load_policy(document), TOKENS)]
    decided = [[reason["rule"] for reason in line["reasons"]] for line in lines if line["type"] == "contact.decided"]
    return decided, [line["reason"] for line in lines if line["type"] == "dead.letter"]


@pytest.mark.parametrize("code", ["Florida", "EU", "GBR", "US-XX", "gb"])
def test_a_person_of_an_unknown_place_is_left_alone(code: str) -> None:
    """The code is reported, kept with the event's time, and merged: another update leaves it, a newer list ends it."""
    decided, letters = told(
        updated("2026-03-01T00:00:00Z", jurisdictions=[code, "GB"]),
        updated("2026-03-02T00:00:00Z", timezone="Europe/Paris"),
        updated("2026-02-01T00:00:00Z", jurisdictions=["GB"]),
        asked("2026-03-03T12:00:00Z"),
        updated("2026-03-04T00:00:00Z", jurisdictions=["GB"]),
        asked("2026-03-05T12:00:00Z"),
    )
    assert decided == [["policy.unavailable"], []]
    assert letters == ["jurisdiction.unknown"]


def test_an_unknown_place_on_a_request_is_malformed() -> None:
    """The request says what it cannot mean; the person is not affected. `UK` is `GB`."""
    decided, letters = told(
        asked("2026-03-03T12:00:00Z", jurisdictions=["Narnia"]),
        asked("2026-03-03T12:00:01Z", jurisdictions=["UK"]),
    )
    assert decided == [["request.malformed"], []]
    assert letters == []


@pytest.mark.parametrize(
    ("place", "closed"),
    [("FR-57", True), ("FR-67", True), ("FR-68", True), ("FR-6AE", True), ("FR-IDF", False), ("FR", False)],
)
def test_holidays_of_a_part_bind_who_is_known_to_be_there(place: str, closed: bool) -> None:
    """Good Friday is a holiday in Alsace and Moselle, and an ordinary day elsewhere in France."""
    person = updated("2026-01-01T00:00:00Z", timezone="Europe/Paris", jurisdictions=[place])
    decided, _ = told(person, asked("2026-04-03T09:00:00Z"), windows=OFFICE)
    assert decided == [["window.office"] if closed else []]


@pytest.mark.parametrize(
    ("address", "day", "holidays", "closed"),
    [
        ("+33387000123", "2026-04-03", "FR", True),  # Metz, Good Friday
        ("+33388000123", "2026-04-03", "FR", True),  # Strasbourg
        ("+33140000123", "2026-04-03", "FR", False),  # Paris
        ("+33639980123", "2026-04-03", "FR", False),  # a mobile is not in doubt
        ("+4989123456", "2026-01-06", "DE", True),  # Munich, Epiphany
        ("+4930123456", "2026-01-06", "DE", False),  # Berlin
        ("+4930123456", "2026-03-09", "DE", False),
        ("+4915112345678", "2026-01-06", "DE", False),
    ],
)
def test_holidays_of_a_part_bind_its_fixed_lines(address: str, day: str, holidays: str, closed: bool) -> None:
    """Where the person's place is not known, the area of a fixed line tells it; a mobile tells nothing."""
    decided, _ = told(asked(f"{day}T09:00:00Z", address=address), windows=[OFFICE[0] | {"holidays": holidays}])
    assert decided == [["window.office"] if closed else []]


def test_hours_of_ones_own_know_the_part_too() -> None:
    """The holidays of preferred hours are those of the place where the person is."""
    hours = [{"from": "09:00", "to": "20:00", "holidays": "DE"}]
    for place, expected in (("DE-BY", ["window.preferred"]), ("DE-BE", [])):
        person = updated(
            "2026-01-01T00:00:00Z", timezone="Europe/Berlin", jurisdictions=[place], preferred_windows=hours
        )
        decided, _ = told(person, asked("2026-01-06T12:00:00Z"))
        assert decided == [expected]

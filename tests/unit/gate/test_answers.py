"""Every request whose requester and request_id can be read is answered on its requester's topic (SEMANTICS rule 49)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kit.gatekit import CANARY, NOW_MS, TOKENS, granted, live, record, requested, run, text, withdrawn

from contactgate.gate import Gate
from contactgate.model.log import Out, Position

TOLD = {"type", "request_id", "subject_token", "channel", "reason", "field", "retry_at"}
TOKEN = TOKENS.subject("bank", "s-1")


def refused(out: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The refusals among output lines, which tell nothing but what they may."""
    found = [line for line in out if line["type"] == "contact.refused"]
    assert all(line.keys() <= TOLD for line in found)
    return found


def asked(gate: Gate, states: Any, value: dict[str, Any] | bytes, key: bytes = b"s-1") -> list[Out]:
    """What comes of one request, live."""
    gate.request(record("request", value, key, 7), states, NOW_MS, Position(0, 7, 0, 0, 0, 0))
    made = list(gate.out)
    gate.out.clear()
    return made


def test_a_block_is_told_beside_its_decision_under_the_subjects_token() -> None:
    """Key, headers and id follow from the decision: made again they are the same."""
    gate, states, _ = live(requesters=frozenset({"bank"}))
    decision, answer = asked(gate, states, requested())
    assert (answer.kind, answer.requester, answer.key) == ("approval", "bank", TOKEN.encode())
    assert dict(answer.headers)["ce_id"] == b"0-0-refused"
    assert dict(answer.headers)["ce_type"] == b"contact.refused"
    assert json.loads(answer.value) == {
        "type": "contact.refused", "request_id": "r-1", "subject_token": TOKEN, "channel": "voice",
        "reason": "not_permitted",
    }  # fmt: skip
    assert json.loads(decision.value)["reasons"][0]["rule"] == "consent.missing"
    again, states, _ = live(requesters=frozenset({"bank"}))
    assert asked(again, states, requested())[1] == answer


def test_a_pass_has_an_approval_and_no_refusal() -> None:
    """Also when it comes again; once it is used, the same request is refused."""
    out = run(granted(), requested(), requested(minute=31))
    assert not refused(out)
    outcome = {
        "type": "contact.outcome", "event_id": "o", "request_id": "r-1", "subject_id": "s-1", "outcome": "answered",
        "time": "2026-06-01T08:32:00Z",
    }  # fmt: skip
    (told,) = refused(run(granted(), requested(), outcome, requested(minute=33)))
    assert (told["reason"], told["field"]) == ("malformed", "request_id")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"not_after": "2026-06-01T08:00:00Z"}, "not_after"),
        ({"address": "nobody"}, "address"),
        ({"address": None}, "address"),
        ({"channel": "Voice"}, "channel"),
        ({"data_categories": ["shoes"]}, "data_categories"),
        ({"data_category": ["basic"]}, "data_category"),
        ({"Jurisdiction": "GB"}, "Jurisdiction"),
        ({"jurisdictions": ["EUROPE"]}, "jurisdictions"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(changed: dict[str, Any], field: str) -> None:
    """A field, or the key as it was written, before anything about the person."""
    (told,) = refused(run(requested(**changed)))
    assert (told["reason"], told["field"]) == ("malformed", field)


@pytest.mark.parametrize(
    ("value", "field", "token", "channel"),
    [
        (requested(time=None), "time", TOKEN, "voice"),
        (requested(time="yesterday"), "time", TOKEN, "voice"),
        (requested(time="1999-01-01T00:00:00Z"), "time", TOKEN, "voice"),
        (requested(purpose=7), "purpose", TOKEN, "voice"),
        (requested(channel=["voice"]), "channel", TOKEN, None),
        (requested(data_categories="basic"), "data_categories", TOKEN, "voice"),
        (requested(subject_id=None), "subject_id", None, "voice"),
        ({k: v for k, v in requested().items() if k != "controller"}, "controller", TOKEN, "voice"),
        (requested(controller="a\u200bb"), "controller", TOKEN, "voice"),
        (text(requested())[:-1], None, TOKEN, "voice"),
        (text(requested())[:-1] + b',"score":NaN}', None, TOKEN, "voice"),
        (text(requested())[:-1] + b',"purpose":"service"}', None, TOKEN, "voice"),
        (text(requested()).replace(b'"', b"'"), None, TOKEN, "voice"),
        (text(requested()).replace(b'"requester"', b'"Requester"'), "Requester", TOKEN, "voice"),
    ],
)
def test_a_request_that_cannot_be_read_is_answered(
    value: Any, field: str | None, token: str | None, channel: str | None
) -> None:
    """As malformed, beside its dead letter, live and offline; with what could not be read left open."""
    gate, states, _ = live(requesters=frozenset({"bank"}))
    letter, answer = asked(gate, states, value)
    assert letter.kind == "dead"
    assert dict(answer.headers)["ce_id"] == b"request-0-7-refused"
    told = json.loads(answer.value)
    assert told["request_id"] == "r-1"
    assert (told["reason"], told.get("field")) == ("malformed", field)
    assert (told["subject_token"], told["channel"]) == (token, channel)
    assert CANARY.encode() not in answer.value
    assert told in refused(run(value))


@pytest.mark.parametrize(
    "value",
    [
        requested(requester=None),
        requested(request_id=7),
        requested(request_id="\u200b"),
        text(requested(requester="x")).replace(b'"x"', b'"\xff"'),
        text(requested())[:-1] + b',"requester":"callcentre"}',
        text(requested())[:-1] + b',"requester":"callcentre"',
        withdrawn(requester="bank", request_id="r-1", channels=7),
        b"{",
        None,
    ],
)
def test_who_asked_is_not_guessed(value: Any) -> None:
    """Two requesters, none, or one that cannot be read: there is nobody to answer; and no other message is answered."""
    gate, states, _ = live()
    assert [out.kind for out in asked(gate, states, value)] == ["dead"]


def test_a_requester_without_a_topic_is_not_answered() -> None:
    """Neither a block nor what cannot be read: a record for a topic that is not there would stop the partition."""
    gate, states, _ = live(requesters=frozenset({"callcentre"}))
    assert [out.kind for out in asked(gate, states, requested())] == ["decision"]
    assert [out.kind for out in asked(gate, states, requested(time=None))] == ["dead"]


def test_another_key_than_the_subject_is_told() -> None:
    """The requester learns that its record's key is wrong, and no more."""
    gate, states, _ = live()
    _, answer = asked(gate, states, requested(), b"s-2")
    told = json.loads(answer.value)
    assert (told["reason"], told["field"], told["subject_token"]) == ("malformed", "subject_id", TOKEN)


def test_a_decision_can_be_read_without_its_request() -> None:
    """Controller, purpose, categories and mode, as judged; what a forecast supposes only where it does."""
    (decision,) = (line for line in run(granted(), requested()) if line["type"] == "contact.decided")
    assert {name: decision[name] for name in ("controller", "purpose", "data_categories", "mode")} == {
        "controller": "bank", "purpose": "marketing", "data_categories": ["basic"], "mode": "live",
    }  # fmt: skip
    assert "assumes" not in decision

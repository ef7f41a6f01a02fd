"""What is refused before anything is decided: bytes, JSON, identifiers and instants (SEMANTICS rule 30)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contactgate.codec import strict
from contactgate.errors import MalformedMessage
from contactgate.model.instants import to_ms

REQUEST: dict[str, Any] = {
    "type": "contact.requested",
    "request_id": "r-1",
    "subject_id": "s-1",
    "time": "2026-01-31T09:30:00Z",
    "requester": "bank",
    "controller": "bank",
    "purpose": "marketing",
    "channel": "voice",
}
WITHDRAWN: dict[str, Any] = {
    "type": "consent.withdrawn",
    "event_id": "e-1",
    "subject_id": "s-1",
    "time": "2026-01-31T09:30:00Z",
}


def raw(message: dict[str, Any], **changed: Any) -> bytes:
    """The message as bytes with some fields changed; None as a value stays null."""
    return json.dumps({**message, **changed}).encode()


def reason(kind: str, value: bytes) -> str:
    """Why it is refused; "" if it is not."""
    try:
        strict.decode(kind, value)
    except MalformedMessage as fault:
        assert fault.reason in strict.REASONS
        return fault.reason
    return ""


DEEP = b'{"type":"contact.requested","x":' + b"[" * 31_000 + b"]" * 31_000 + b"}"
BYTES = [
    ("empty", b"", "json.malformed"),
    ("one byte", b"{", "json.malformed"),
    ("all 0xff", b"\xff" * 65_536, "json.not_utf8"),
    ("too large", b" " * 65_537, "message.too_large"),
    ("ten megabytes", b'"' + b"x" * 10_000_000 + b'"', "message.too_large"),
    ("overlong utf-8", b'{"a":"\xc0\xaf"}', "json.not_utf8"),
    ("invalid utf-8 in an unknown field", raw(REQUEST)[:-1] + b',"x":"\xff"}', "json.not_utf8"),
    ("byte order mark", b"\xef\xbb\xbf" + raw(REQUEST), "json.not_utf8"),
    ("utf-16", raw(REQUEST).decode().encode("utf-16"), "json.not_utf8"),
    ("utf-16 without mark", raw(REQUEST).decode().encode("utf-16-le"), "json.malformed"),
    ("utf-32", raw(REQUEST).decode().encode("utf-32-be"), "json.malformed"),
    ("two documents", raw(REQUEST) + raw(REQUEST), "json.malformed"),
    ("two lines", raw(REQUEST) + b"\n" + raw(REQUEST), "json.malformed"),
    ("trailing comma", raw(REQUEST)[:-1] + b",}", "json.malformed"),
    ("comment", b"/* */" + raw(REQUEST), "json.malformed"),
    ("single quotes", b"{'type':'contact.requested'}", "json.malformed"),
    ("array", b"[]", "json.not_an_object"),
    ("text", b'"contact.requested"', "json.not_an_object"),
    ("number", b"1", "json.not_an_object"),
    ("null", b"null", "json.not_an_object"),
    ("duplicate key", raw(REQUEST)[:-1] + b',"purpose":"service"}', "json.duplicate_key"),
    ("duplicate type", b'{"type":"consent.withdrawn",' + raw(REQUEST)[1:], "json.duplicate_key"),
    ("duplicate by escape", raw(REQUEST)[:-1] + b',"\\u0070urpose":"service"}', "json.duplicate_key"),
    ("duplicate below", raw(REQUEST)[:-1] + b',"x":{"a":1,"a":2}}', "json.duplicate_key"),
    ("duplicate with spaces", raw(REQUEST)[:-1] + b',"purpose" : "service"}', "json.duplicate_key"),
    ("NaN", raw(REQUEST)[:-1] + b',"x":NaN}', "json.malformed|json.number"),
    ("Infinity", raw(REQUEST)[:-1] + b',"x":-Infinity}', "json.malformed|json.number"),
    ("1e400", raw(REQUEST)[:-1] + b',"x":1e400}', "json.number"),
    ("4301 digits", raw(REQUEST)[:-1] + b',"x":' + b"9" * 4301 + b"}", "json.number"),
    ("deep", DEEP, "json.too_deep"),
    ("900 deep", raw(REQUEST)[:-1] + b',"x":' + b"[" * 900 + b"]" * 900 + b"}", "json.too_deep"),
    ("lone surrogate", raw(REQUEST, purpose="\ud800"), "json.surrogate"),
    ("lone surrogate elsewhere", raw(REQUEST, x="\udfff"), "json.surrogate"),
    ("raw control character", raw(REQUEST).replace(b"r-1", b"r\x01"), "json.malformed"),
    ("pickle", b"\x80\x04\x95.", "json.not_utf8"),
    ("avro", b"\x00\x00\x00\x00\x01abc", "json.malformed"),
    ("yaml", b"type: contact.requested", "json.malformed"),
    ("xml", b"<!DOCTYPE x><x/>", "json.malformed"),
]


@pytest.mark.parametrize(("value", "expected"), [case[1:] for case in BYTES], ids=[case[0] for case in BYTES])
def test_bytes_that_are_not_one_readable_object_are_refused(value: bytes, expected: str) -> None:
    """Every way of not being one JSON object with one reading has its reason."""
    assert reason("request", value) in expected.split("|")


FIELDS = [
    ("nul in an identifier", {"subject_id": "s\u0000"}, "identifier.invalid"),
    ("line end in an identifier", {"request_id": "r\n"}, "identifier.invalid"),
    ("delete", {"request_id": "r\u007f"}, "identifier.invalid"),
    ("right-to-left override", {"requester": "a\u202eb"}, "identifier.invalid"),
    ("zero width", {"controller": "a\u200bb"}, "identifier.invalid"),
    ("empty", {"controller": ""}, "identifier.invalid"),
    ("129 characters", {"subject_id": "x" * 129}, "identifier.invalid"),
    ("control character in a list", {"data_categories": ["basic\u0007"]}, "identifier.invalid"),
    ("number for text", {"subject_id": 7}, "field.invalid"),
    ("boolean for text", {"channel": True}, "field.invalid"),
    ("text for list", {"data_categories": "basic"}, "field.invalid"),
    ("null for required", {"purpose": None}, "field.missing"),
    ("unknown mode", {"mode": "robot"}, "field.invalid"),
    ("country as a number", {"jurisdictions": [49]}, "field.invalid"),
    ("country with line end", {"jurisdictions": ["GB\n"]}, "identifier.invalid"),
    ("naive", {"time": "2026-01-30T09:30:00"}, "time.invalid"),
    ("24:00:00", {"time": "2026-01-31T24:00:00Z"}, "time.invalid"),
    ("second 60", {"time": "2026-06-30T23:59:60Z"}, "time.invalid"),
    ("30 February", {"time": "2026-02-30T00:00:00Z"}, "time.invalid"),
    ("week date", {"time": "2026-W05-6T00:00:00Z"}, "time.invalid"),
    ("year 0", {"time": "0000-01-01T00:00:00Z"}, "time.invalid"),
    ("year 10000", {"time": "10000-01-01T00:00:00Z"}, "time.invalid"),
    ("offset of a day", {"time": "2026-01-31T00:00:00+24:00"}, "time.invalid"),
    ("epoch seconds", {"time": 1_769_850_000}, "field.invalid"),
    ("epoch as text", {"not_after": "1769850000"}, "time.invalid"),
    ("unknown type", {"type": "contact.wanted"}, "type.unknown_subject"),
    ("empty type", {"type": "", "never": 0}, "type.unknown_subject"),
    ("type in capitals", {"type": "Contact.Requested"}, "type.unknown_subject"),
    ("type with a space", {"type": "contact.requested "}, "type.unknown_subject"),
    ("type is a number", {"type": 1}, "type.missing"),
    ("another topic's type", {"type": "consent.withdrawn"}, "type.wrong_topic"),
]


@pytest.mark.parametrize(("changed", "expected"), [c[1:] for c in FIELDS], ids=[c[0] for c in FIELDS])
def test_a_bad_field_is_named_and_its_value_is_not(changed: dict[str, Any], expected: str) -> None:
    """A field of the wrong kind has its reason, and the detail never repeats what was sent."""
    value = raw(REQUEST, **changed)
    assert reason("request", value) == expected
    with pytest.raises(MalformedMessage) as caught:
        strict.decode("request", value)
    for sent in changed.values():
        if isinstance(sent, str) and len(sent) > 6 and "requested" not in sent:
            assert sent not in caught.value.detail


GOOD = [
    {"x": {"deep": [1, {"er": None}]}},
    {"override": True, "__class__": "x", "__proto__": {}, "__faust": {"ns": "x"}},
    {"campaign_id": None, "address": None, "data_categories": None, "not_after": None, "mode": None},
    {"purpose": "Реклама", "subject_id": "客户-1", "matter_id": "😀"},
    {"time": "2026-01-31T09:30:00.123456789+23:59"},
    {"time": "2026-01-31t09:30:00z"},
    {"channel": "carrier pigeon"},
    {"matter_id": 'a": b'},
    {"x": 2**63, "y": -0.0, "z": 1.5e300},
]


@pytest.mark.parametrize("changed", GOOD)
def test_odd_but_readable_messages_are_accepted(changed: dict[str, Any]) -> None:
    """Unknown fields are ignored, null means absent, names are in any script, offsets are any."""
    assert reason("request", raw(REQUEST, **changed)) == ""
    assert reason("request", json.dumps({**REQUEST, **changed}, ensure_ascii=False, indent=2).encode()) == ""


def test_a_missing_type_is_refused_on_every_topic() -> None:
    """A message without a type is never guessed to be of its topic's only type."""
    for kind in strict.DECODERS:
        assert reason(kind, raw({k: v for k, v in REQUEST.items() if k != "type"})) == "type.missing"


def test_instants_are_cut_to_the_millisecond_in_utc() -> None:
    """Parts of a millisecond are dropped towards the past and the offset is taken off."""
    message = strict.decode("request", raw(REQUEST, time="2026-01-31T09:30:00.1239+02:00"))
    assert to_ms(message.time) == 1_769_844_600_123


def test_an_empty_list_cannot_stand_for_nothing_in_a_withdrawal() -> None:
    """A withdrawal of an empty list of channels is refused here; its widest reading binds elsewhere."""
    assert reason("consent", raw(WITHDRAWN, channels=[])) == "field.invalid"
    assert reason("consent", raw(WITHDRAWN)) == ""

"""The counting proof of `codec.strict` holds: what the fast path accepts, the exact path accepts too."""

from __future__ import annotations

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contactgate.codec import strict
from contactgate.errors import MalformedMessage
from contactgate.model.messages import ConsentMessage, ContactRequested, OutcomeMessage, SuppressionMessage

KEYS = [
    *ContactRequested.__struct_fields__,
    "type",
    "extra",
    't":"',
    "\\u0074ype",
    "",
]
FULL = {
    "type": '"contact.requested"',
    "request_id": '"r-1"',
    "subject_id": '"s-1"',
    "time": '"2026-01-01T00:00:00Z"',
    "requester": '"bank"',
    "controller": '"bank"',
    "purpose": '"marketing"',
    "channel": '"voice"',
    "campaign_id": "null",
    "data_categories": '["basic"]',
    "matter_id": '"a\\":b"',
    "address": '"+12125550123"',
    "mode": '"live"',
}
texts = st.sampled_from(['":', '":"', " :", "\t:", "\\u0022:", "x", '\\"', ",", "é", "\\ud83d\\ude00"])
values = st.one_of(
    texts.map(lambda t: json.dumps(t, ensure_ascii=False)),
    st.sampled_from(["null", "1", '{"a":1}', '{"a":1,"a":2}', '["basic"]', '[{"x":[]}]', "1.5", "NaN", '"\\ud800"']),
)
spaces = st.sampled_from(["", "", "", " ", "\n", "\t", "\r"])


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """A request with keys dropped, doubled, escaped and added, and whitespace anywhere."""
    pairs = [(f'"{key}"', value) for key, value in FULL.items() if draw(st.integers(0, 20))]
    for _ in range(draw(st.integers(0, 3))):
        key = draw(st.sampled_from(KEYS))
        spelled = f'"{key}"' if key == "\\u0074ype" else json.dumps(key)
        pairs.insert(draw(st.integers(0, len(pairs))), (spelled, FULL.get(key) or draw(values)))
    parts = [f"{draw(spaces)}{key}{draw(spaces)}:{draw(spaces)}{value}" for key, value in pairs]
    return ("{" + ",".join(parts) + "}").encode()


@settings(max_examples=1500, deadline=None)
@given(objects())
def test_what_the_fast_path_accepts_has_one_reading(raw: bytes) -> None:
    """A decoded message has no duplicate key, and every value is the one a strict reader finds."""
    try:
        message = strict.decode("request", raw)
    except MalformedMessage as fault:
        assert fault.reason in strict.REASONS
        return
    found = strict.load(raw)
    for name in ("request_id", "subject_id", "purpose", "matter_id", "address", "campaign_id", "mode"):
        value = getattr(message, name)
        assert found.get(name) == (None if value is msgspec.UNSET else value)
    assert found["type"] == "contact.requested"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64), st.sampled_from(["consent", "request", "outcome", "suppression"]))
def test_any_bytes_are_a_message_or_a_known_reason(raw: bytes, kind: str) -> None:
    """Whatever the bytes, the answer is a message or a dead letter reason of the closed list."""
    with pytest.raises(MalformedMessage) as caught:
        strict.decode(kind, raw)
    assert caught.value.reason in strict.REASONS


def test_the_places_of_nested_objects_are_those_of_the_models() -> None:
    """Every struct inside a message is counted: a new one must be added to the proof's table."""
    for union in (ConsentMessage, OutcomeMessage, SuppressionMessage):
        for kind in get_args(union):
            nested = {
                index
                for index, field in enumerate(msgspec.structs.fields(kind))
                if any(name.__name__ in repr(field.type) for name in strict._NESTED)
            }
            assert nested == set(strict._NESTED_AT.get(kind, ()))


CONSENTS = [
    b'{"type":"consent.granted","event_id":"e","subject_id":"s","time":"2026-01-01T00:00:00Z","controller":"b",'
    b'"purposes":["m"],"channels":["voice"],"evidence":{%b},"windows":[%b]}' % parts
    for parts in (
        (b'"method":"web"', b'{"from":"10:00"}'),
        (b'"method":"web","method":"web"', b'{"from":"10:00"}'),
        (b'"method":"web","ref":"x"', b'{"from":"10:00"},{"to":"10:00","to":"11:00"}'),
        (b'"method":"web","other":1', b'{"from":"10:00","name":"x"}'),
        (b'"method":"web","other":1,"other":1', b""),
    )
]


@pytest.mark.parametrize("raw", CONSENTS)
def test_nested_duplicates_are_found(raw: bytes) -> None:
    """The count reaches into evidence and hours; unknown keys there are ignored, doubled ones refused."""
    try:
        strict.load(raw)
        expected = ""
    except MalformedMessage as fault:
        expected = fault.reason
    try:
        strict.decode("consent", raw)
        found = ""
    except MalformedMessage as fault:
        found = fault.reason
    assert found == expected


HIDDEN = b'{"type":"subject.erased","event_id":"e","subject_id":"s","time":"2026-01-01T%b"%b}'


@pytest.mark.parametrize("clock", [b"00\\u003a00\\u003a00Z", b"00:00:00Z", b"00:00:00+08:00"])
@pytest.mark.parametrize(
    "more", [b',"event_id":"f","event_id":"g"', b',"event_id" :"f"', b',"x":1,"x":2', b',"x":{"y":1,"y":2}']
)
def test_an_instant_that_hides_its_colons_hides_no_duplicate_key(clock: bytes, more: bytes) -> None:
    """Colons are counted, so an instant with fewer or more of them than usual must not make room for a key."""
    with pytest.raises(MalformedMessage) as caught:
        strict.decode("consent", HIDDEN % (clock, more))
    assert caught.value.reason == "json.duplicate_key"


@pytest.mark.parametrize("clock", ["T00:00Z", "T0000Z", "T00", "T00:00", ""])
def test_an_instant_has_two_colons(clock: str) -> None:
    """The proof counts on it: what is shorter than hours, minutes and seconds is no instant."""
    with pytest.raises(MalformedMessage) as caught:
        strict.decode("consent", HIDDEN.replace(b"T%b", b"%b") % (clock.encode(), b""))
    assert caught.value.reason == "time.invalid"

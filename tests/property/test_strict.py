"""The counting proof of `codec.strict` holds: what the fast path accepts, the exact path accepts too."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contactgate.codec import strict
from contactgate.errors import MalformedMessage
from contactgate.model.messages import ContactRequested

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

"""What a row of the hostile table is made of. Data only: `tests/unit/gate/test_hostile_table.py` shoots it at a gate."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.kit.gatekit import CANARY, TOKENS, at

Message = dict[str, Any] | bytes | None


class Shot(NamedTuple):
    """One hostile record, what becomes of it, and of the next request of the person it names.

    Before it the person consented; `after` is the verdict on a request that comes after it. `fate`: `applied`, or
    `decided pass`, `decided <rule>` of a request, or the reason of its dead letter.
    """

    label: str
    kind: str  # consent | request | outcome | control | suppression
    value: bytes | None
    fate: str
    after: str = "pass"
    key: bytes | None = b"s-1"
    timestamp_ms: int | None = None  # None: when it comes


class Row(NamedTuple):
    """One of the 92 hostile inputs of the reliability notes."""

    number: int
    name: str
    happens: str  # for the manual
    shots: tuple[Shot, ...] = ()
    runs: tuple[str, ...] = ()  # the tests that run what no single record shows
    why_not: str = ""  # why nothing of ours can meet it, with the source


def raw(message: Message) -> bytes | None:
    """Bytes of a message; text that UTF-8 cannot hold is escaped."""
    return message if message is None or isinstance(message, bytes) else json.dumps(message).encode()


def withdrawal(**changed: Any) -> dict[str, Any]:
    """An opt-out of everything."""
    return {"type": "consent.withdrawn", "event_id": "e-1", "subject_id": "s-1", "time": at(10), **changed}


def consent(**changed: Any) -> dict[str, Any]:
    """A consent to marketing by voice."""
    return {
        "type": "consent.granted", "event_id": "e-2", "subject_id": "s-1", "time": at(10), "controller": "bank",
        "purposes": ["marketing"], "channels": ["voice", "sms"], "recipients": ["bank", "callcentre"], **changed,
    }  # fmt: skip


def asked(**changed: Any) -> dict[str, Any]:
    """A request for a marketing call."""
    return {
        "type": "contact.requested", "request_id": "r-hostile", "subject_id": "s-1", "time": at(30),
        "requester": "bank", "controller": "bank", "purpose": "marketing", "channel": "voice", "address": CANARY,
        **changed,
    }  # fmt: skip


def suppression(**changed: Any) -> dict[str, Any]:
    """A suppression of the table's number."""
    return {"type": "address.suppressed", "event_id": "e-1", "time": at(10), "address": CANARY, **changed}


def control(kind: str, **changed: Any) -> dict[str, Any]:
    """A control event."""
    return {"type": kind, "event_id": "e-1", "time": at(10), **changed}


def with_field(message: dict[str, Any], field: bytes) -> bytes:
    """A message with one more field, given as it stands in the bytes."""
    return (raw(message) or b"")[:-1] + b"," + field + b"}"


def opt_out(label: str, value: Message, fate: str, after: str = "block", **changed: Any) -> Shot:
    """A damaged opt-out: a dead letter, and it binds."""
    return Shot(label, "consent", raw(value), fate, after, **changed)


def grant(label: str, value: Message, fate: str, after: str = "pass", **changed: Any) -> Shot:
    """A damaged consent: a dead letter and no consent; the person has an older one, so the next request passes."""
    return Shot(label, "consent", raw(value), fate, after, **changed)


def ask(label: str, value: Message, fate: str, after: str = "pass", **changed: Any) -> Shot:
    """A damaged request: a dead letter, or a block."""
    return Shot(label, "request", raw(value), fate, after, **changed)


def suppress(label: str, value: Message, fate: str, after: str = "block", **changed: Any) -> Shot:
    """A damaged suppression, under the token of the address."""
    return Shot(label, "suppression", raw(value), fate, after, key=changed.pop("key", TOKEN), **changed)


TOKEN = TOKENS.address("voice", CANARY).encode()


def tell(label: str, value: Message, fate: str, after: str = "pass", *, key: bytes) -> Shot:
    """A control event under its key."""
    return Shot(label, "control", raw(value), fate, after, key)

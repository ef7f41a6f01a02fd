"""Which topic a message goes to and under which Kafka key; nothing else about a message is judged here.

A line that cannot be routed is a `Misrouted` with words that say what to do. Must never change a message except that
the address of a suppression is replaced by its keyed token, so that no clear address reaches a compacted topic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from contactgate.codec.strict import TYPES
from contactgate.errors import ContactgateError
from contactgate.model.address import AddressError
from contactgate.names import CONTROL, REQUEST, SUPPRESSION, Kind

_CONTROL_KEY = {
    "notice.published": ("notice", "notice_id"),
    "party.updated": ("party", "party_id"),
    "campaign.updated": ("campaign", "campaign_id"),
    "pause.set": ("pause", "pause_id"),
    "pause.lifted": ("pause", "pause_id"),
}

Tokeniser = Callable[[str, tuple[str, ...] | None], tuple[str, ...]]
"""`(address, channels) -> tokens it may stand for`, with the operator's key; the same that the gate uses."""


class Misrouted(ContactgateError):
    """One message that has no topic or no key; the text says which and what to do."""


class Routed(NamedTuple):
    """One message on its way: the kind of topic, the Kafka key and the bytes to send."""

    kind: Kind
    key: bytes | None
    value: bytes
    partition: int | None = None  # None: where the key belongs; an outcome goes where its approval says


_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def route(line: bytes, tokens: Tokeniser | None = None) -> tuple[Routed, ...]:
    """Route one JSON message: one record, or one for each token of a suppressed address.

    Raises Misrouted. The value is `line` itself except for a tokenised suppression.
    """
    try:
        message = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Misrouted(f"this is not a JSON object: {error}; write one JSON object a line, in utf-8") from error
    if not isinstance(message, dict):
        raise Misrouted("this is JSON but not an object; write one JSON object a line")
    kind_of_message = message.get("type")
    if not isinstance(kind_of_message, str):
        raise Misrouted("field `type` is missing or is not a string; it chooses the topic")
    kind = TYPES.get(kind_of_message)
    if kind is None:
        known = ", ".join(sorted(TYPES))
        raise Misrouted(f"unknown type {kind_of_message[:64]!r}; known are {known}")
    if kind == CONTROL:
        return (Routed(kind, control_key(message).encode(), line),)
    if kind == SUPPRESSION:
        return _suppression(message, line, tokens)
    return (Routed(kind, _text(message, "subject_id").encode(), line),)


def loose_key(line: bytes) -> bytes | None:
    """The subject_id of a message that cannot be routed properly, if one is readable; for sending it as it is."""
    try:
        message = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    subject = message.get("subject_id") if isinstance(message, dict) else None
    return subject.encode() if isinstance(subject, str) and subject else None


def loose_kind(line: bytes) -> Kind:
    """The kind of topic for a message that cannot be routed properly: by its type if readable, else requests."""
    try:
        message = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return REQUEST
    kind = message.get("type") if isinstance(message, dict) else None
    return TYPES.get(kind, REQUEST) if isinstance(kind, str) else REQUEST


def control_key(message: dict[str, Any]) -> str:
    """The `kind:id` key of a control event; a record replaces the earlier one of the same key."""
    kind = message["type"]
    if kind == "policy.activated":
        return "policy:active"
    if kind == "registry.published":
        return f"registry:{_text(message, 'registry')}:{_text(message, 'version')}"
    prefix, field = _CONTROL_KEY[kind]
    return f"{prefix}:{_text(message, field)}"


def _suppression(message: dict[str, Any], line: bytes, tokens: Tokeniser | None) -> tuple[Routed, ...]:
    given = message.get("address_token")
    if isinstance(given, str) and given:
        return (Routed(SUPPRESSION, given.encode(), line),)
    address = _text(message, "address", "(or `address_token`) ")
    if tokens is None:
        raise Misrouted(
            "the key of a suppression is the keyed token of its address, and no token key is configured; "
            "configure the token key that the workers use, or give `address_token` instead of `address`"
        )
    channels = message.get("channels")
    named = tuple(name for name in channels if isinstance(name, str)) if isinstance(channels, list) else None
    if message.get("kind") == "postal":
        named = ("mail",)
    try:
        made = tokens(address, named)
    except AddressError as error:
        raise Misrouted("field `address` cannot be read; give a number in E.164 (+ and digits) or an e-mail") from error
    rest = {name: value for name, value in message.items() if name != "address"}
    return tuple(Routed(SUPPRESSION, token.encode(), _encode({**rest, "address_token": token})) for token in made)


def _text(message: dict[str, Any], field: str, extra: str = "") -> str:
    value = message.get(field)
    if not isinstance(value, str) or not value:
        raise Misrouted(f"field `{field}` {extra}is missing or is not a string; the Kafka key is made from it")
    return value

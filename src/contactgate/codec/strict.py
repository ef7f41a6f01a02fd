"""JSON bytes -> wire structs, strictly: what two readers could understand differently is refused (SEMANTICS rule 30).

A message is at most 64 KiB of UTF-8 without a byte order mark, one object, no duplicate key at any depth (however it is
spelled), no NaN or Infinity, no lone surrogate, at most 32 levels deep. Never raises anything but `MalformedMessage`,
and never puts input bytes into the text of one: they may hold an address.

Fast path. msgspec decodes into the struct of the message's `type`, which skips unknown keys and lets the last of
duplicate keys win. To prove that there were neither, count: `present` = the fields found in the struct, nested ones
included; `colons` = the colons in the bytes. Every occurrence of a key has a colon of its own, and `time`, which is
required, has at least two in it (14:13:20) if no backslash hides them, so  keys + 2 <= colons.  `present` counts
distinct known keys, so present <= keys.  Hence present + 2 == colons  =>  every key is known and occurs once. Of a text
with more colons (another instant, an offset, a nested object) `":` is counted instead: strings can only add to those,
too, and every key has one of its own if no whitespace stands before a colon. Anything else takes the exact path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, NoReturn

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from contactgate.errors import MalformedMessage
from contactgate.model import synonyms
from contactgate.model.messages import (
    AddressReleased,
    AddressSuppressed,
    ConsentGranted,
    ConsentMessage,
    Evidence,
    Hours,
    LiveSuppression,
    OutcomeMessage,
    RequestMessage,
    SubjectUpdated,
    SuppressionMessage,
)
from contactgate.names import Kind

MAX_BYTES: Final = 65_536
MAX_DEPTH: Final = 32
_MAX_DIGITS: Final = 400
_FREE_TEXT: Final = frozenset({"ref"})  # may hold anything; never matched, never emitted
_NESTED: Final = frozenset((Evidence, Hours, LiveSuppression))
_NESTED_AT: Final[dict[type, tuple[int, ...]]] = {
    kind: tuple(kind.__struct_fields__.index(name) for name in names)
    for kind, names in (
        (ConsentGranted, ("evidence", "windows")),
        (SubjectUpdated, ("preferred_windows",)),
        (AddressSuppressed, ("also",)),
    )
}
"""Where the structs of a message hold objects: the only places; a test compares them with the models."""
_NESTED_IN: Final[dict[tuple[type, str], tuple[type[msgspec.Struct], ...]]] = {
    (ConsentGranted, "evidence"): (Evidence,),
    (ConsentGranted, "windows"): (Hours,),
    (SubjectUpdated, "preferred_windows"): (Hours,),
}
_BACKSLASH: Final = 0x5C
_DELETE: Final = 0x7F

REASONS: Final[dict[str, str]] = {
    "value.missing": "the record has no value; that changes and removes nothing on any topic",
    "message.too_large": "the message is longer than 65,536 bytes",
    "json.not_utf8": "the bytes are not UTF-8, or begin with a byte order mark",
    "json.malformed": "the bytes are not one JSON document",
    "json.not_an_object": "the JSON document is not an object",
    "json.duplicate_key": "an object holds the same key twice",
    "json.too_deep": "objects and arrays are nested more than 32 deep",
    "json.number": "NaN, an infinity, or a number of more than 400 digits",
    "json.surrogate": "a string holds half of a surrogate pair",
    "type.missing": "there is no `type`, or it is not a string",
    "type.unknown": "no message of this type exists",
    "type.unknown_subject": "no message of this type exists, and it names a person or an address: nothing of it binds",
    "type.wrong_topic": "messages of this type belong on another topic",
    "field.missing": "a required field is absent or null",
    "field.unknown": "a key that no message of this type has, where a misspelt one would permit something",
    "field.near_miss": "a key that is almost a known one: what it says would be lost",
    "jurisdiction.unknown": "a code that ISO 3166 does not have; the person's requests block until it is corrected",
    "field.invalid": "a field's value is not of the kind it must be",
    "identifier.invalid": "an identifier is not 1 to 128 printable characters",
    "time.invalid": "an instant is not RFC 3339 with an offset",
    "time.absurd": "`time` is before 2000-01-01, or more than 24 hours after the record's timestamp",
    "key.missing": "the record has no key",
    "key.mismatch": "the record's key differs from the one its value calls for",
    "partition.wrong": "the record lies on a partition its key does not belong to",
    "scope.suspicious": "a restricting event names a scope that can match nothing (`*`, `all`, an empty list)",
    "scope.unknown_word": "a scope names a word that nobody knows: a restriction counts for all, a consent for nothing",
    "address.unreadable": "the address cannot be read, so nothing can be bound to it",
    "outcome.unknown_request": "no approval of this request is known; an opt-out binds all the same",
    "outcome.unknown_approval": "`approval_id` is none that this installation gave, or was changed on its way",
    "outcome.unproven": "it names a subject and a request, which proves nothing, and the policy asks for `approval_id`",
    "outcome.unknown_word": "neither an outcome nor one of the policy's `outcomes`; the contact keeps its place",
    "registry.source_unavailable": "the list that the event points to cannot be read here; the list counts as stale",
    "registry.base_unknown": "the version that a delta applies to is not the one in force",
    "registry.unreadable": "entries of the list cannot be read; the others bind beside the version before",
    "registry.shrinks": "the list loses more than half of its entries without saying so; the version before stays",
    "registry.too_large": "the registry takes too much memory; it counts as stale until a whole list in a file comes",
    "policy.invalid": "the policy document has faults",
    "policy.hash_mismatch": "the policy document does not have the hash that the event states",
    "processing.failed": "a fault of ours while this message was read or applied; the detail names its kind",
}
"""Every reason a dead letter may give, and what it means. Closed: `MalformedMessage` from here uses no other."""


class _Nothing(msgspec.Struct, tag_field="type", tag=""):
    """Makes a union of the one type of a topic (msgspec lets a lone struct come without its tag); none is."""

    never: Annotated[int, msgspec.Meta(gt=0, lt=0)]


_consent: Final = msgspec.json.Decoder(ConsentMessage)
_request: Final = msgspec.json.Decoder(RequestMessage | _Nothing)
_outcome: Final = msgspec.json.Decoder(OutcomeMessage | _Nothing)
_suppression: Final = msgspec.json.Decoder(SuppressionMessage)
_any: Final = msgspec.json.Decoder(ConsentMessage | RequestMessage | OutcomeMessage | SuppressionMessage)
_decode_any: Final = _any.decode
DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "consent": _consent,
    "request": _request,
    "outcome": _outcome,
    "suppression": _suppression,
}
TYPES: Final[dict[str, Kind]] = {
    "consent.granted": Kind.CONSENT,
    "consent.withdrawn": Kind.CONSENT,
    "subject.updated": Kind.CONSENT,
    "subject.erased": Kind.CONSENT,
    "complaint.received": Kind.CONSENT,
    "relationship.recorded": Kind.CONSENT,
    "contact.observed": Kind.CONSENT,
    "contact.requested": Kind.REQUEST,
    "contact.outcome": Kind.OUTCOME,
    "address.suppressed": Kind.SUPPRESSION,
    "address.released": Kind.SUPPRESSION,
    "notice.published": Kind.CONTROL,
    "party.updated": Kind.CONTROL,
    "campaign.updated": Kind.CONTROL,
    "policy.activated": Kind.CONTROL,
    "registry.published": Kind.CONTROL,
    "pause.set": Kind.CONTROL,
    "pause.lifted": Kind.CONTROL,
}
"""Which topic a message's `type` belongs on."""


def decode(kind: Kind, raw: bytes) -> Any:
    """The wire struct in `raw`, of a type that belongs on topic `kind`. Raises MalformedMessage."""
    if len(raw) > MAX_BYTES:
        raise MalformedMessage("message.too_large", f"{len(raw)} bytes; the limit is {MAX_BYTES}")
    try:
        message = DECODERS[kind].decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        renamed = _renamed(raw)
        if renamed is not None:
            return decode(kind, renamed)
        explain(kind, raw, error)
    return _proved(message, raw)


def _renamed(raw: bytes) -> bytes | None:
    """The message with the `type` that its synonym means (SEMANTICS rule 37); None if its type is none."""
    try:
        found = load(raw)
    except MalformedMessage:
        return None
    name = found.get("type")
    if not isinstance(name, str) or name in TYPES:
        return None
    meant = synonyms.restricting_type(name)
    if meant is None:
        return None
    return json.dumps({**found, "type": meant}, ensure_ascii=False).encode("utf-8")


class NearMiss(MalformedMessage):
    """A message that reads well but for a key that is almost one of its own; `message` is what it says without it."""

    def __init__(self, message: Any, key: str) -> None:
        super().__init__(
            "field.near_miss", f"the key {synonyms.shown(key)} is almost one that is known; correct it", key
        )
        self.message = message


_NEAR: Final = (ConsentGranted, RequestMessage, SubjectUpdated)
"""Messages that permit, or whose keys narrow what is permitted (SEMANTICS rule 39)."""


def near_miss(kind: type[msgspec.Struct], found: dict[str, Any]) -> str | None:
    """The first key of a message of this kind, at any depth, that is almost a known one; None if there is none."""
    known = kind.__struct_encode_fields__
    meant = synonyms.near_keys(("type", *known))
    for key, value in found.items():
        if key in known or (key == "type" and kind not in _NESTED):
            for nested in _NESTED_IN.get((kind, key), ()):
                for item in value if isinstance(value, list) else [value]:
                    if isinstance(item, dict) and (wrong := near_miss(nested, item)) is not None:
                        return wrong
        elif synonyms.key_form(key) in meant:
            return key
    return None


def decode_any(raw: bytes) -> Any:
    """The wire struct of a message about a subject or an address, whatever its topic; None if it is not a readable one.

    Raises MalformedMessage for one that reads well and is not allowed.
    """
    if len(raw) > MAX_BYTES:
        return None
    try:
        message = _decode_any(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    return _proved(message, raw)


def _proved(message: Any, raw: bytes) -> Any:
    # INVARIANT (one reading): what is accepted here is read the same by every JSON reader.
    values = astuple(message)
    present = len(values) + 1 - values.count(UNSET)
    escaped = _BACKSLASH in raw
    # `time` is the one instant that most messages hold; what others hold besides is counted below.
    if escaped or raw.count(b":") != present + 2:
        _prove_keys(message, values, present, raw)
    if escaped or _DELETE in raw or not raw.isascii():
        check_printable(message)
    return message


def _prove_keys(message: Any, values: tuple[Any, ...], present: int, raw: bytes) -> None:
    """Prove that every key is known and occurs once, or take the exact path, which refuses what occurs twice."""
    for place in _NESTED_AT.get(type(message), ()):
        present += _below(values[place])
    # `byte in raw` is eight times as fast as `bytes in raw`.
    if (
        present != raw.count(b'":')
        or (32 in raw and raw.find(b" :") >= 0)
        or (10 in raw and raw.find(b"\n:") >= 0)
        or (9 in raw and raw.find(b"\t:") >= 0)
        or (13 in raw and raw.find(b"\r:") >= 0)
    ):
        _check_keys(message, load(raw))


def _check_keys(message: Any, found: dict[str, Any]) -> None:
    kind = type(message)
    if kind in _NEAR:
        key = near_miss(kind, found)
        if key is not None:
            check_printable(message)
            raise NearMiss(message, key)
    elif kind is AddressReleased:
        unknown = next((key for key in found if key != "type" and key not in kind.__struct_fields__), None)
        if unknown is not None:
            raise MalformedMessage(
                "field.unknown", f"a release has no key {synonyms.shown(unknown)}; nothing is lifted", unknown
            )


def _below(item: Any) -> int:
    """How many keys of nested objects were present in the value of one field."""
    if not item:
        return 0
    number = 0
    for nested in item if type(item) is tuple else (item,):
        values = astuple(nested)
        number += len(values) - values.count(UNSET)
    return number


def check_printable(message: Any) -> None:
    """Refuse strings with characters that cannot be seen: an identifier must look like what it is."""
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if type(value) is str:
            if name not in _FREE_TEXT and not value.isprintable():
                raise _unprintable(name)
        elif type(value) is tuple:
            for item in value:
                if type(item) is str:
                    if not item.isprintable():
                        raise _unprintable(name)
                elif type(item) in _NESTED:
                    check_printable(item)
        elif type(value) in _NESTED:
            check_printable(value)


def _unprintable(name: str) -> MalformedMessage:
    return MalformedMessage("identifier.invalid", f"`{name}` holds a character that cannot be printed", name)


class _Duplicate(ValueError):
    pass


class _Number(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Duplicate
    return found


def _constant(_: str) -> NoReturn:
    raise _Number


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise _Number
    return int(text)


def _real(text: str) -> float:
    if len(text) > _MAX_DIGITS:
        raise _Number
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Number
    return value


# An unclosed string ends with the text: a pattern that asked for its end would begin again at every quote in it, and
# take 25 seconds for one message of escaped quotes.
_STRINGS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


def _depth(text: str) -> int:
    depth = deepest = 0
    for sign in re.findall(r"[\[\]{}]", _STRINGS.sub("", text)):
        depth += 1 if sign in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def load(raw: bytes) -> dict[str, Any]:
    """The exact path: one JSON object as a dict, or MalformedMessage with the reason."""
    if len(raw) > MAX_BYTES:
        raise MalformedMessage("message.too_large", f"{len(raw)} bytes; the limit is {MAX_BYTES}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessage("json.not_utf8", f"byte {error.start} is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise MalformedMessage("json.not_utf8", "begins with a byte order mark; send plain UTF-8")
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise MalformedMessage("json.too_deep", f"more than {MAX_DEPTH} levels")
    try:
        found = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_real
        )
    except _Duplicate:
        raise MalformedMessage(
            "json.duplicate_key", "a key occurs twice in one object; it can be read two ways"
        ) from None
    except _Number:
        raise MalformedMessage("json.number", "a number is NaN, infinite or longer than 400 digits") from None
    except json.JSONDecodeError as error:
        raise MalformedMessage("json.malformed", f"not JSON at character {error.pos}") from None
    except (ValueError, RecursionError):
        raise MalformedMessage("json.malformed", "not JSON") from None
    if not isinstance(found, dict):
        raise MalformedMessage("json.not_an_object", "the document is not an object")
    if "\\u" in text or "\\U" in text:
        try:
            json.dumps(found, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedMessage("json.surrogate", "a string holds half of a surrogate pair") from None
    return found


def topic_of(message: dict[str, Any]) -> str:
    """The topic kind of a loaded message. Raises MalformedMessage for a `type` that is missing or unknown."""
    name = message.get("type")
    if not isinstance(name, str):
        raise MalformedMessage("type.missing", "the message has no `type`")
    kind = TYPES.get(name) or TYPES.get(synonyms.restricting_type(name) or "")
    if kind is None:
        if any(isinstance(message.get(key), str) for key in ("subject_id", "address", "address_token")):
            raise MalformedMessage(
                "type.unknown_subject", "no message of this `type` exists, and it names a person or an address"
            )
        raise MalformedMessage("type.unknown", "no message of this `type` exists")
    return kind


def explain(kind: str, raw: bytes, error: Exception) -> NoReturn:
    """Say in our words, without the input's, why msgspec refused; always raises MalformedMessage."""
    found = load(raw)
    belongs = topic_of(found)
    if belongs != kind:
        raise MalformedMessage("type.wrong_topic", f"messages of this `type` belong on the {belongs} topic")
    for one in _NEAR:
        if one.__struct_config__.tag == found["type"] and (key := near_miss(one, found)) is not None:
            raise NearMiss(None, key)
    raise complaint(error)


def complaint(error: Exception) -> MalformedMessage:
    """msgspec's complaint as a dead letter reason; the field's place is given, its value is not."""
    text = str(error)
    place = re.search(r"`\$\.?([^`]*)`\s*$", text)
    where = f"`{place.group(1)}`" if place else "the message"
    field = (re.match(r"\w*", place.group(1)) or [""])[0] if place else ""
    if missing := re.match(r"Object missing required field `(\w+)`", text):
        return MalformedMessage(
            "field.missing", f"`{missing.group(1)}` is missing in {where}", field or missing.group(1)
        )
    reason, words = "field.invalid", "has a value that is not allowed"
    if "null" not in text.split("got ")[0] and "got `null`" in text:
        reason, words = "field.missing", "is null"
    elif "RFC3339" in text or "timezone" in text:
        reason, words = "time.invalid", "is not RFC 3339 with an offset (2026-01-31T09:30:00Z)"
    elif "`array` of length" in text:
        words = "is an empty list; leave it out to mean all"
    elif "length" in text:
        reason, words = "identifier.invalid", "is too short or too long"
    elif wanted := re.match(r"Expected `([^`]*)`, got `([^`]*)`", text):
        words = f"must be {wanted.group(1)}, not {wanted.group(2)}"
    return MalformedMessage(reason, f"{where} {words}", field or None)


def printable(words: Iterable[str]) -> bool:
    """Whether every word is an identifier: 1 to 128 printable characters."""
    return all(0 < len(word) <= 128 and word.isprintable() for word in words)

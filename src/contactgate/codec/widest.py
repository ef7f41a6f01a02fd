"""The widest reading of a restricting message that cannot be read whole (SEMANTICS rule 28): no opt-out may vanish.

A message that is refused for the dead letter topic is looked at once more, loosely. If it says that a person withdrew,
was erased, complained, is deceased or a minor, or that a contact ended in a refusal, then what *can* be read of it
binds: every field that cannot be read, and every field that could match nothing (`*`, `all`, an empty list), counts
as absent, which means "all". If even the JSON is broken or ambiguous, the words of its `type` anywhere in the bytes and
the subject in its key or in its bytes are enough. Too much is blocked then, which an operator sees and repairs; the
other error cannot be seen. Must never widen what permits: grants, releases and lifted pauses are not read here.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

import msgspec

from contactgate.codec.strict import MAX_BYTES
from contactgate.model import synonyms
from contactgate.model.instants import to_ms
from contactgate.model.messages import Instant
from contactgate.model.synonyms import folded

RESTRICTING: Final = ("consent.withdrawn", "subject.erased", "complaint.received")
_FLAG_KEY: Final = synonyms.key_form("flags")
RESTRICTING_OUTCOMES: Final[frozenset[str]] = frozenset(("complained", "unsubscribed", "refused", "wrong_number"))
_NO_WORDS: Final = synonyms.EVERYTHING | {""}

# What is not one JSON object is searched for the words of it, however they are quoted: JSON within a string, Python's
# or YAML's notation, UTF-16, MessagePack; of the latter the record's key tells the subject.
_TYPES: Final = (
    *RESTRICTING, "subject.updated", "contact.outcome", "contact.observed", "pause.set", "party.updated",
    "campaign.updated", "address.suppressed", "registry.published", "contact.requested",
)  # fmt: skip
_PAIRS: Final = re.compile(
    rb"\b(outcome|status|approval_id|subject_id|request_id|requester|channel|party_id|campaign_id|pause_id|address_token"
    rb"|address|registry)[\"']?\s*[:=]\s*"
    rb"(?:\"([^\"\x00-\x1f]{1,2400})\"|'([^'\x00-\x1f]{1,2400})'|([^\s\"',\[\]{}]{1,2400}))"
)
_FLAG_WORDS: Final = re.compile(rb"\b(minor|deceased|vulnerable)\b")


class Loose(NamedTuple):
    """What could be read of a message: every value a key has, top level only."""

    fields: dict[str, list[Any]]
    ambiguous: bool  # some key occurs twice, or the JSON is broken: only type and subject are believed

    def one(self, name: str) -> Any:
        """The value of a field, None when absent."""
        values = self.fields.get(name)
        return values[-1] if values else None


def suspicious(word: str) -> bool:
    """Whether a word of a scope means no limit, or nothing: nobody means it as it stands."""
    return folded(word) in _NO_WORDS


def wide_word(value: Any) -> str | None:
    """A readable identifier as it was written, else None, which means all."""
    if not isinstance(value, str) or not 0 < len(value) <= 128 or not value.isprintable() or suspicious(value):
        return None
    return value


def wide_words(value: Any) -> tuple[str, ...] | None:
    """Readable identifiers, sorted; None, which means all, when one of them is not readable or there is none."""
    if isinstance(value, str) or not isinstance(value, list) or not value:
        return None
    words = [wide_word(item) for item in value]
    return None if None in words else tuple(sorted({word for word in words if word is not None}))


def wide_time(value: Any) -> int | None:
    """A readable instant in milliseconds, else None."""
    if not isinstance(value, str):
        return None
    try:
        return to_ms(msgspec.convert(value, Instant))
    except (msgspec.ValidationError, ValueError):
        return None


class _Pairs(list[tuple[str, Any]]):
    pass


def _ambiguous(value: Any) -> bool:
    if isinstance(value, _Pairs):
        keys = [key for key, _ in value]
        return len(set(keys)) != len(keys) or any(_ambiguous(item) for _, item in value)
    return isinstance(value, list) and any(_ambiguous(item) for item in value)


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _plain(item) for key, item in value}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def loosely(raw: bytes) -> Loose:
    """Whatever can be read of a message that was refused; never raises.

    Of one that is too large only words are read, and but for its `type` only those of the first 64 KiB: reading all of
    it could hold up everybody else.
    """
    if len(raw) > MAX_BYTES:
        return _scraped(raw)
    try:
        found = json.loads(raw.decode("utf-8", "replace"), object_pairs_hook=_Pairs)
        if isinstance(found, _Pairs):
            fields: dict[str, list[Any]] = {}
            for key, value in found:
                fields.setdefault(key, []).append(_plain(value))
            return Loose(fields, ambiguous=_ambiguous(found) or "\ufffd" in str(fields.get("subject_id")))
    except (ValueError, RecursionError):
        pass
    return _scraped(raw)


def _scraped(raw: bytes) -> Loose:
    """The words of a message that is not one JSON object; too many rather than too few."""
    plain = raw.replace(b"\x00", b"").replace(b"\\", b"")  # UTF-16 of ASCII text; JSON within a string
    folded = plain.lower()
    fields = {"type": {word for word in _TYPES if word.encode() in folded}}
    if not fields["type"]:
        return Loose({}, ambiguous=True)
    for name, *spellings in _PAIRS.findall(plain[:MAX_BYTES]):
        fields.setdefault(name.decode("ascii"), set()).update(s.decode("utf-8", "replace") for s in spellings if s)
    fields["flags"] = {found.decode("ascii") for found in _FLAG_WORDS.findall(folded[:MAX_BYTES])}
    return Loose({name: sorted(values) for name, values in fields.items()}, ambiguous=True)


def types(loose: Loose) -> set[str]:
    """Every `type` the message may have: as it would be without capitals and stray spaces, and what that means."""
    said = {value for value in loose.fields.get("type", []) if isinstance(value, str)}
    meant = {synonyms.restricting_type(value) for value in said}
    return {value.strip().lower() for value in said} | {value for value in meant if value is not None}


def subjects(loose: Loose, key: str | None) -> tuple[str, ...]:
    """Everybody the message may be about: its key and its `subject_id`."""
    named = [key, *loose.fields.get("subject_id", [])]
    return tuple(sorted({n for n in named if isinstance(n, str) and 0 < len(n) <= 128 and n.isprintable()}))


def outcomes(loose: Loose) -> set[str]:
    """The restricting outcomes that the message may report."""
    said = {synonyms.outcome(value) for value in loose.fields.get("outcome", []) if isinstance(value, str)}
    return {outcome for outcome in said if outcome in RESTRICTING_OUTCOMES}


def own_outcome(loose: Loose) -> str | None:
    """The one word of an outcome that only a policy can read."""
    word = None if loose.ambiguous else wide_word(loose.one("outcome"))
    return word if word is not None and len(word) <= 64 and synonyms.outcome(word) is None else None


def approvals(loose: Loose) -> set[str]:
    """Every `approval_id` that the message names."""
    return {value for value in loose.fields.get("approval_id", []) if isinstance(value, str)}


def flags(loose: Loose) -> tuple[str, ...]:
    """The flags that restrict and that the message may set, in any spelling."""
    values = [item for key, items in loose.fields.items() if synonyms.key_form(key) == _FLAG_KEY for item in items]
    said = {flag for value in values for flag in (value if isinstance(value, list) else [value]) if wide_word(flag)}
    return tuple(sorted({meant for meant in map(synonyms.flag, said) if meant is not None}))

"""Control events and address suppressions: bytes -> values of the world, strictly; and their widest readings.

Never applies anything: `gate.WorldFeed` does. Error texts name fields, never their values.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

from pydantic import ValidationError

from contactgate.codec import listing, strict, widest
from contactgate.codec.tokens import Tokens, is_address_token
from contactgate.codec.widest import Loose, wide_time, wide_word, wide_words
from contactgate.errors import MalformedMessage
from contactgate.model import synonyms
from contactgate.model.address import AddressError
from contactgate.model.control import (
    CONTROL,
    CampaignUpdated,
    ControlMessage,
    NoticePublished,
    PartyUpdated,
    PauseLifted,
    PauseSet,
    PolicyActivated,
    RegistryPublished,
    entry,
)
from contactgate.model.world import Campaign, CampaignStatus, Party, PartyStatus, Pause, Suppression

_STOPS: Final = {
    "pause.set": ("pause", "pause_id"),
    "party.updated": ("party", "party_id"),
    "campaign.updated": ("campaign", "campaign_id"),
}
"""Control events that may restrict: the kind in the key, the field of the id."""

_PARTY_STOPS: Final[tuple[PartyStatus, ...]] = ("ended", "suspended")
_CAMPAIGN_STOPS: Final[tuple[CampaignStatus, ...]] = ("closed", "paused")
_STATUSES: Final[dict[str, tuple[str, ...]]] = {"party": _PARTY_STOPS, "campaign": _CAMPAIGN_STOPS}
"""The statuses that restrict; the first of those said holds. Without an entry: every one does."""


def decode(raw: bytes) -> ControlMessage:
    """One control event. Raises MalformedMessage."""
    found = strict.load(raw)
    if strict.topic_of(found) != "control":
        raise MalformedMessage("type.wrong_topic", "messages of this `type` do not belong on the control topic")
    if found["type"] not in CONTROL:
        found["type"] = synonyms.restricting_type(found["type"])
    return _validate(found)


def _validate(found: dict[str, Any]) -> ControlMessage:
    try:
        return CONTROL[found["type"]].model_validate(found)  # type: ignore[return-value]
    except ValidationError as error:
        raise complaint(error) from None


def complaint(error: ValidationError) -> MalformedMessage:
    """The first fault of a document as a dead letter reason; its value is not given."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not isinstance(part, str) or part.isidentifier())
    where = f"`{place}`" if place else "the message"
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        if first["loc"][0] == "scope" and len(first["loc"]) > 1:
            words = f"`scope` has no key {synonyms.shown(key)}: it counts as absent"
            return MalformedMessage("scope.unknown_word", words, key)
        return MalformedMessage(
            "field.unknown", f"there is no key {synonyms.shown(key)} here; correct or remove it", key
        )
    if first["type"] == "missing":
        return MalformedMessage("field.missing", f"{where} is missing")
    if "RFC 3339" in first["msg"]:
        return MalformedMessage("time.invalid", f"{where} must be RFC 3339 with an offset (2026-01-31T09:30:00Z)")
    if first["type"].startswith("string_too") or "printed" in first["msg"]:
        return MalformedMessage("identifier.invalid", f"{where} is not 1 to 128 printable characters")
    said = first["msg"].removeprefix("Value error, ").lower() if first["type"] == "value_error" else first["type"]
    return MalformedMessage("field.invalid", f"{where}: {said.replace('_', ' ')}")


def key_of(message: ControlMessage) -> tuple[str, ...]:
    """The keys a control record of this message may have; the first is what we write."""
    match message:
        case NoticePublished():
            # One key a version keeps every version through compaction; one key a notice keeps the last alone.
            return (f"notice:{message.notice_id}:{message.version}", f"notice:{message.notice_id}")
        case PartyUpdated():
            return (f"party:{message.party_id}",)
        case CampaignUpdated():
            return (f"campaign:{message.campaign_id}",)
        case PolicyActivated():
            return ("policy:active",)
        case RegistryPublished():
            return (f"registry:{message.registry}:{message.version}",)
        case PauseSet() | PauseLifted():
            return (f"pause:{message.pause_id}",)


def restrictions(raw: bytes, key: str | None, timestamp_ms: int) -> Iterator[Pause | Party | Campaign]:
    """What a refused control event still stops at its widest reading (SEMANTICS rule 28); usually nothing."""
    loose = widest.loosely(raw)
    for type_ in widest.types(loose) & _STOPS.keys():
        kind, id_field = _STOPS[type_]
        said = {s.strip().lower() for s in loose.fields.get("status", []) if isinstance(s, str)}
        if kind in _STATUSES and said.isdisjoint(_STATUSES[kind]):
            continue
        prefix, _, rest = (key or "").partition(":")
        named = {name for name in loose.fields.get(id_field, []) if wide_word(name)}
        if prefix == kind and wide_word(rest):
            named.add(rest)
        for name in sorted(named):
            if kind == "party":
                yield Party(name, next(status for status in _PARTY_STOPS if status in said), ())
            elif kind == "campaign":
                yield Campaign(
                    campaign_id=name,
                    status=next(status for status in _CAMPAIGN_STOPS if status in said),
                    controller=None,
                    requesters=None,
                    purposes=None,
                    channels=None,
                    created_by=None,
                    approved_by=None,
                    valid_from_ms=None,
                    valid_until_ms=None,
                )
            else:
                yield _pause(loose, name, timestamp_ms)


def _pause(loose: Loose, name: str, timestamp_ms: int) -> Pause:
    if loose.ambiguous:
        return Pause(
            pause_id=name,
            time_ms=timestamp_ms,
            until_ms=None,
            controllers=None,
            requesters=None,
            campaigns=None,
            purposes=None,
            channels=None,
        )
    scope = loose.one("scope")
    fields = scope if isinstance(scope, dict) else {}
    said = wide_time(loose.one("time"))
    return Pause(
        pause_id=name,
        time_ms=timestamp_ms if said is None else said,
        until_ms=wide_time(loose.one("until")),
        controllers=wide_words(fields.get("controllers")),
        requesters=wide_words(fields.get("requesters")),
        campaigns=wide_words(fields.get("campaigns")),
        purposes=wide_words(fields.get("purposes")),
        channels=wide_words(fields.get("channels")),
    )


def listings(
    raw: bytes, key: str | None, timestamp_ms: int, tokens: Tokens
) -> Iterator[tuple[str, str, int, dict[str, int]]]:
    """What a refused list still lists: (registry, version, when it was taken, day by token); usually nothing."""
    loose = widest.loosely(raw)
    if "registry.published" not in widest.types(loose):
        return
    kind, _, rest = (key or "").partition(":")
    named = {name for name in loose.fields.get("registry", []) if wide_word(name)}
    if kind == "registry" and wide_word(rest.partition(":")[0]):
        named.add(rest.partition(":")[0])
    said = [found for found in loose.fields.get("entries", []) if isinstance(found, list)]
    entries = [entry(each) for found in said for each in found]
    entries += [entry(address) for address in loose.fields.get("address", [])]  # words of what is no JSON
    listed = listing.listings(entries, tokens)
    as_of_ms = None if loose.ambiguous else wide_time(loose.one("as_of"))
    version = "" if loose.ambiguous else wide_word(loose.one("version")) or ""
    if listed:
        for name in sorted(named):
            yield name, version, min(timestamp_ms if as_of_ms is None else as_of_ms, timestamp_ms), listed


def suppressions(raw: bytes, key: str | None, timestamp_ms: int, tokens: Tokens) -> Iterator[tuple[str, Suppression]]:
    """What a refused suppression still suppresses at its widest reading: (token, suppression); usually nothing."""
    loose = widest.loosely(raw)
    if "address.suppressed" not in widest.types(loose):
        return
    bound = {key} if key and is_address_token(key) else set()
    bound.update(t for t in loose.fields.get("address_token", []) if isinstance(t, str) and is_address_token(t))
    channels = None if loose.ambiguous else wide_words(loose.one("channels"))
    for address in loose.fields.get("address", []):
        if isinstance(address, str):
            try:
                bound.update(tokens.bound(address, channels)[0])
            except AddressError:
                continue
    said = None if loose.ambiguous else wide_time(loose.one("time"))
    at_ms = timestamp_ms if said is None else said
    event_id = "unread-" + blake2b(raw, digest_size=12).hexdigest()
    if loose.ambiguous:
        widened = Suppression(
            time_ms=at_ms,
            channels=None,
            controller=None,
            purposes=None,
            campaigns=None,
            reason="manual",
            expires_ms=None,
            event_id=event_id,
        )
    else:
        widened = Suppression(
            time_ms=at_ms,
            channels=channels,
            controller=wide_word(loose.one("controller")),
            purposes=wide_words(loose.one("purposes")),
            campaigns=wide_words(loose.one("campaigns")),
            reason=wide_word(loose.one("reason")) or "manual",
            expires_ms=wide_time(loose.one("expires_at")),
            event_id=wide_word(loose.one("event_id")) or event_id,
        )
    for token in sorted(bound):
        yield token, widened

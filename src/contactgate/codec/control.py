"""Control events and address suppressions: bytes -> values of the world, strictly; and their widest readings.

Never applies anything: `gate.WorldFeed` does. Error texts name fields, never their values.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple

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
from contactgate.model.instants import DAY_MS
from contactgate.model.world import Campaign, CampaignStatus, Party, PartyStatus, Pause, Suppression

_STOPS: Final = {
    "pause.set": ("pause", "pause_id"),
    "party.updated": ("party", "party_id"),
    "campaign.updated": ("campaign", "campaign_id"),
}
"""Control events that may restrict: the kind in the key, the field of the id."""

_EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01
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


def restrictions(raw: bytes, key: str | None, timestamp_ms: int, arrived_ms: int) -> Iterator[Pause | Party | Campaign]:
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
        told = _Told(_stamped(loose, timestamp_ms), arrived_ms, _event_id(loose, raw))
        for name in sorted(named):
            if kind == "party":
                yield Party(name, next(status for status in _PARTY_STOPS if status in said), (), *told)
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
                    time_ms=told.time_ms,
                    arrived_ms=told.arrived_ms,
                    event_id=told.event_id,
                )
            else:
                yield _pause(loose, name, told)


class _Told(NamedTuple):
    """When a refused event was stamped and arrived, as far as it can be read, and what names it."""

    time_ms: int
    arrived_ms: int
    event_id: str


def _stamped(loose: Loose, timestamp_ms: int) -> int:
    """The event's own time; the record's if it cannot be read, or is one that nothing could lift."""
    said = None if loose.ambiguous else wide_time(loose.one("time"))
    return said if said is not None and _EARLIEST_MS <= said <= timestamp_ms + DAY_MS else timestamp_ms


def _event_id(loose: Loose, raw: bytes) -> str:
    said = None if loose.ambiguous else wide_word(loose.one("event_id"))
    return said or "unread-" + blake2b(raw, digest_size=12).hexdigest()


def _pause(loose: Loose, name: str, told: _Told) -> Pause:
    scope = None if loose.ambiguous else loose.one("scope")
    fields = scope if isinstance(scope, dict) else {}
    return Pause(
        pause_id=name,
        time_ms=told.time_ms,
        until_ms=None if loose.ambiguous else wide_time(loose.one("until")),
        controllers=wide_words(fields.get("controllers")),
        requesters=wide_words(fields.get("requesters")),
        campaigns=wide_words(fields.get("campaigns")),
        purposes=wide_words(fields.get("purposes")),
        channels=wide_words(fields.get("channels")),
        arrived_ms=told.arrived_ms,
        event_id=told.event_id,
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


def suppressions(
    raw: bytes, key: str | None, timestamp_ms: int, arrived_ms: int, tokens: Tokens
) -> Iterator[tuple[str, Suppression]]:
    """What a refused suppression still suppresses at its widest reading: (token, suppression); usually nothing."""
    loose = widest.loosely(raw)
    if "address.suppressed" not in widest.types(loose):
        return
    bound = {key} if key and is_address_token(key) else set()
    bound.update(t for t in loose.fields.get("address_token", []) if isinstance(t, str) and is_address_token(t))
    believed = {} if loose.ambiguous else loose.fields
    one = Loose(believed, ambiguous=False).one
    channels = wide_words(one("channels"))
    for address in loose.fields.get("address", []):
        if isinstance(address, str):
            try:
                bound.update(tokens.bound(address, channels)[0])
            except AddressError:
                continue
    widened = Suppression(
        time_ms=_stamped(loose, timestamp_ms),
        channels=channels,
        controller=wide_word(one("controller")),
        purposes=wide_words(one("purposes")),
        campaigns=wide_words(one("campaigns")),
        reason=wide_word(one("reason")) or "manual",
        expires_ms=wide_time(one("expires_at")),
        event_id=_event_id(loose, raw),
        arrived_ms=arrived_ms,
    )
    for token in sorted(bound):
        yield token, widened

"""Wire messages -> what the core takes: times become milliseconds, addresses become tokens, lists are sorted.

The clear address ends here. Raises MalformedMessage for values that are well formed but cannot be meant; what a rule
should judge (an unknown channel, an unreadable address of a request, an unloadable time zone) passes through to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, Final

from msgspec import UNSET, UnsetType

from contactgate.codec.handles import Handle
from contactgate.codec.tokens import Contactable, Tokens, is_address_token
from contactgate.codec.widest import suspicious
from contactgate.errors import MalformedMessage
from contactgate.model import events, messages, synonyms
from contactgate.model.address import AddressError
from contactgate.model.facts import FOREVER_MS, LASTING, Grant, Span, Withdrawal
from contactgate.model.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_ms
from contactgate.model.places import as_iso, unknown
from contactgate.model.request import Request
from contactgate.model.world import Release, Suppression

_DAYS: Final = {"mon": 0, "tue": 1, "wed": 2, "thu": 3, "fri": 4, "sat": 5, "sun": 6}
_UNREADABLE: Final = Contactable("", (), ())


def words(values: tuple[str, ...] | UnsetType | None) -> tuple[str, ...] | None:
    """Sorted without repeats; None for absent."""
    if type(values) is tuple and len(values) < 2:
        return values
    return None if values is None or values is UNSET else tuple(sorted(set(values)))


def optional_ms(instant: Any) -> int | None:
    """Milliseconds; None for absent."""
    return None if instant is None or instant is UNSET else to_ms(instant)


def _clock_ms(text: str) -> int:
    hours, minutes, *seconds = text.split(":")
    return int(hours) * HOUR_MS + int(minutes) * MINUTE_MS + int(seconds[0] if seconds else 0) * SECOND_MS


def spans(hours: Iterable[messages.Hours]) -> tuple[Span, ...]:
    """Hours as the core compares them."""
    return tuple(
        sorted(
            (
                Span(
                    days=tuple(sorted({_DAYS[day] for day in h.days or ()})),
                    from_ms=_clock_ms(h.from_) if h.from_ else 0,
                    to_ms=_clock_ms(h.to) if h.to else DAY_MS,
                    from_exclusive=bool(h.from_exclusive),
                    to_inclusive=bool(h.to_inclusive),
                    holidays=h.holidays or None,
                    channels=words(h.channels),
                )
                for h in hours
            ),
            key=lambda span: (span.days, span.from_ms, span.to_ms, span.holidays or "", span.channels or ()),
        )
    )


def _ordinal(day: str, name: str) -> int:
    try:
        return date.fromisoformat(day).toordinal()
    except ValueError:
        raise MalformedMessage("field.invalid", f"`{name}` is not a day of the calendar") from None


def contactable(
    tokens: Tokens, channel: str, address: str | None, token: str | None, region: str | None = None
) -> tuple[Contactable | None, bool]:
    """What an address given in clear, as a token, or both, stands for, and whether it cannot be read."""
    if address is None and token is None:
        return None, False
    found = None
    if address is not None:
        try:
            found = tokens.contactable(channel, address, region)
        except AddressError:
            return None, True
    if token is None:
        return found, False
    if not is_address_token(token) or (found is not None and token not in {found.token, *found.forms}):
        return None, True
    return found or Contactable(token, (), ()), False


def request(message: messages.ContactRequested, at_ms: int, tokens: Tokens, region: str | None = None) -> Request:
    """A contact request; `region` is the policy's, for a number without `+`."""
    channel, address = message.channel, message.address
    fault = False
    if address and not message.address_token:
        try:
            known = tokens.contactable(channel, address, region)
        except AddressError:
            known, fault = _UNREADABLE, True
    else:
        found, fault = contactable(
            tokens,
            channel,
            None if address is UNSET or address is None else address,
            message.address_token or None,
            region,
        )
        known = found or _UNREADABLE
    token, zones, number_jurisdictions, forms = known
    categories, jurisdictions = message.data_categories, message.jurisdictions
    not_before, not_after = message.not_before, message.not_after
    return Request(
        request_id=message.request_id,
        subject_id=message.subject_id,
        time_ms=at_ms,
        requester=message.requester,
        controller=message.controller,
        purpose=message.purpose,
        channel=channel,
        campaign=message.campaign_id or None,
        categories=(categories if len(categories) == 1 else tuple(sorted(set(categories)))) if categories else (),
        matter=message.matter_id or None,
        mode=message.mode or "live",
        address=token or None,
        address_fault=fault,
        number_zones=zones,
        number_jurisdictions=number_jurisdictions,
        not_before_ms=to_ms(not_before) if not_before else None,
        not_after_ms=to_ms(not_after) if not_after else None,
        jurisdictions=_places(jurisdictions) if jurisdictions else (),
        address_forms=forms,
    )


def grant(message: messages.ConsentGranted, at_ms: int, arrived_ms: int) -> Grant:
    """A consent."""
    expires = optional_ms(message.expires_at)
    return Grant(
        time_ms=at_ms,
        controller=message.controller,
        purposes=words(message.purposes) or (),
        channels=words(message.channels) or (),
        recipients=words(message.recipients),
        categories=words(message.data_categories),
        notice_id=message.notice_id or None,
        evidence=message.evidence.method if message.evidence else None,
        effective_ms=optional_ms(message.effective_at),
        expires_ms=None if expires is None else min(expires, FOREVER_MS),
        windows=spans(message.windows) if message.windows else (),
        event_id=message.event_id,
        arrived_ms=arrived_ms,
    )


def withdrawal(message: messages.ConsentWithdrawn, at_ms: int, arrived_ms: int) -> Withdrawal:
    """An opt-out."""
    refuse_everything("purposes", message.purposes)
    refuse_everything("channels", message.channels)
    refuse_everything("recipients", message.recipients)
    refuse_everything("controller", (message.controller,) if message.controller else None)
    return Withdrawal(
        time_ms=at_ms,
        controller=message.controller or None,
        purposes=words(message.purposes),
        channels=words(message.channels),
        recipients=words(message.recipients),
        event_id=message.event_id,
        arrived_ms=arrived_ms,
    )


def _places(codes: Iterable[str] | UnsetType | None) -> tuple[str, ...]:
    return tuple(sorted({as_iso(code) for code in codes})) if codes else ()


def unknown_places(event: events.SubjectEvent) -> MalformedMessage | None:
    """What the dead letter says of an event that names a place nobody knows, and is applied all the same."""
    if type(event) is events.ProfileUpdated and event.jurisdictions and unknown(event.jurisdictions):
        return MalformedMessage(
            "jurisdiction.unknown",
            "`jurisdictions` names a code that ISO 3166 does not have; requests block",
        )
    return None


def profile(message: messages.SubjectUpdated, at_ms: int, arrived_ms: int) -> events.ProfileUpdated:
    """Facts about the person; `timezones` beats `timezone` when both are given.

    Flags that restrict are read in any spelling; others are kept as written, and the policy judges them. Who removes
    a flag says so, and names it exactly: else nothing of the message is done but what restricts.
    """
    zones: tuple[str, ...] | None = None
    if message.timezones is not UNSET:
        zones = words(message.timezones) or ()
    elif message.timezone is not UNSET:
        zones = (message.timezone,) if message.timezone else ()
    flags = () if message.flags is UNSET else _flags(message.flags or ())
    removed = words(message.flags_removed) or ()
    if removed and not message.by:
        raise MalformedMessage("field.missing", "`by` is missing: who removes the flags", "by")
    if not synonyms.FLAGS.issuperset(removed):
        raise MalformedMessage(
            "scope.unknown_word",
            "`flags_removed` names a flag that is not built in; nothing is removed",
            "flags_removed",
        )
    return events.ProfileUpdated(
        event_id=message.event_id,
        time_ms=at_ms,
        timezones=zones,
        jurisdictions=None if message.jurisdictions is UNSET else _places(message.jurisdictions),
        flags=None if message.flags is UNSET else tuple([flag for flag in flags if flag not in LASTING]),
        preferred=None if message.preferred_windows is UNSET else spans(message.preferred_windows or ()),
        marked=tuple([flag for flag in flags if flag in LASTING]),
        unmarked=tuple([flag for flag in removed if flag in LASTING]),
        arrived_ms=arrived_ms,
    )


def _flags(written: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({flag if flag in synonyms.FLAGS else synonyms.flag(flag) or flag for flag in written}))


def complaint(message: messages.ComplaintReceived, at_ms: int, arrived_ms: int) -> events.ComplaintReceived:
    """A complaint."""
    refuse_everything("channel", (message.channel,) if message.channel else None)
    refuse_everything("controller", (message.controller,) if message.controller else None)
    return events.ComplaintReceived(
        message.event_id, at_ms, message.controller or None, message.channel or None, arrived_ms
    )


def relationship(message: messages.RelationshipRecorded, at_ms: int) -> events.RelationshipRecorded:
    """A business relationship."""
    return events.RelationshipRecorded(
        message.event_id,
        at_ms,
        message.controller,
        message.kind,
        _ordinal(message.date, "date"),
        _ordinal(message.until, "until") if message.until else None,
    )


def outcome(
    message: messages.ContactOutcome, at_ms: int, arrived_ms: int, handle: Handle | None, *, proven: bool
) -> events.OutcomeReported:
    """What became of the contact that a handle was given for, or else of the newest one of its request.

    `proven`: whether it counts whatever the policy says.
    """
    word = message.outcome
    return events.OutcomeReported(
        event_id=message.event_id,
        request_id=(message.request_id or "") if handle is None else handle.request_id,
        time_ms=at_ms,
        outcome=synonyms.outcome(word),
        matters=words(message.matters),
        arrived_ms=arrived_ms,
        word=word,
        decided_ms=None if handle is None else handle.decided_ms,
        proven=proven,
    )


def observed(message: messages.ContactObserved, at_ms: int, arrived_ms: int, tokens: Tokens) -> events.ContactObserved:
    """A contact that was not decided here; an address that cannot be read is unknown, and so any.

    But a wrong number is known as it was written: a policy may read it.
    """
    found, unread = contactable(tokens, message.channel, message.address or None, message.address_token or None)
    token = found.token if found else None
    if unread and message.outcome == "wrong_number" and message.address and not message.address_token:
        token = tokens.at_home(message.address)
    return events.ContactObserved(
        event_id=message.event_id,
        time_ms=at_ms,
        controller=message.controller,
        channel=message.channel,
        purpose=message.purpose,
        outcome=synonyms.outcome(message.outcome),
        arrived_ms=arrived_ms,
        requester=message.requester or None,
        campaign=message.campaign_id or None,
        address=token,
        matters=words(message.matters) or (),
        word=message.outcome,
    )


_EVENTS: Final[dict[type, Callable[[Any, int, int], events.SubjectEvent]]] = {
    messages.ConsentGranted: lambda *read: events.GrantGiven(grant(*read)),
    messages.ConsentWithdrawn: lambda *read: events.ConsentWithdrawn(withdrawal(*read)),
    messages.SubjectUpdated: profile,
    messages.SubjectErased: lambda message, at_ms, arrived_ms: events.Erased(message.event_id, at_ms, arrived_ms),
    messages.ComplaintReceived: complaint,
    messages.RelationshipRecorded: lambda message, at_ms, _: relationship(message, at_ms),
}


def event(message: Any, at_ms: int, arrived_ms: int, tokens: Tokens) -> events.SubjectEvent:
    """The domain event of a message of consent-events; `at_ms` is its `time`, `arrived_ms` when it came first."""
    if type(message) is messages.ContactObserved:
        return observed(message, at_ms, arrived_ms, tokens)
    return _EVENTS[type(message)](message, at_ms, arrived_ms)


def refuse_everything(name: str, values: Iterable[str] | UnsetType | None) -> None:
    """A restricting event must not name "everybody" as if that were somebody."""
    if values and any(map(suspicious, values)):
        raise MalformedMessage("scope.suspicious", f"`{name}` names `*`, `all` or nothing; leave it out for all")


def release(message: messages.AddressReleased, arrived_ms: int) -> Release:
    """What a release lifts."""
    return Release(
        time_ms=to_ms(message.time),
        channels=words(message.channels),
        controller=message.controller or None,
        purposes=words(message.purposes),
        campaigns=words(message.campaigns),
        reasons=words(message.reasons),
        events=words(message.events),
        event_id=message.event_id,
        arrived_ms=arrived_ms,
    )


def suppressions(message: messages.AddressSuppressed, arrived_ms: int) -> list[Suppression]:
    """The suppression and the further live ones of its record."""
    found: list[Suppression] = []
    items: list[messages.AddressSuppressed | messages.LiveSuppression] = [message, *(message.also or ())]
    for item in items:
        refuse_everything("channels", item.channels)
        refuse_everything("purposes", item.purposes)
        refuse_everything("campaigns", item.campaigns)
        refuse_everything("controller", (item.controller,) if item.controller else None)
        found.append(
            Suppression(
                time_ms=to_ms(item.time),
                channels=words(item.channels),
                controller=item.controller or None,
                purposes=words(item.purposes),
                campaigns=words(item.campaigns),
                reason=item.reason or "manual",
                expires_ms=optional_ms(item.expires_at),
                event_id=item.event_id,
                arrived_ms=arrived_ms,
                origin=message.origin or "",
            )
        )
    return found

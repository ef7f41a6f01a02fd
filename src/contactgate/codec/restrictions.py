"""The domain events that a refused message about a subject still means at its widest reading (SEMANTICS rule 28).

Pure function of the bytes, the key and the record's timestamp, so that replaying the log gives the same state. What the
loose reading believes, and why, is said in `codec.widest`. Never yields anything that permits.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, cast

from contactgate.codec import widest
from contactgate.codec.widest import Loose, wide_time, wide_word, wide_words
from contactgate.errors import MalformedMessage
from contactgate.model import events
from contactgate.model.facts import Outcome, Withdrawal


def restrictions(
    value: bytes, key: str | None, timestamp_ms: int, arrived_ms: int, fault: MalformedMessage
) -> Iterator[tuple[str, events.SubjectEvent]]:
    """(subject_id, event) for everybody and everything the message may restrict; empty for most messages."""
    loose = widest.loosely(value)
    named = widest.types(loose)
    if not named.intersection(("contact.outcome", "subject.updated", *widest.RESTRICTING)):
        return
    found = list(_events(loose, named, value, timestamp_ms, arrived_ms, fault))
    for subject_id in widest.subjects(loose, key):
        for event in found:
            yield subject_id, event


def _events(
    loose: Loose, named: set[str], value: bytes, timestamp_ms: int, arrived_ms: int, fault: MalformedMessage
) -> Iterator[events.SubjectEvent]:
    at_ms = timestamp_ms
    if not loose.ambiguous and fault.reason not in {"time.absurd", "time.invalid"}:
        said = wide_time(loose.one("time"))
        at_ms = timestamp_ms if said is None else said
    event_id = wide_word(loose.one("event_id"))
    if event_id is None or loose.ambiguous:
        event_id = "unread-" + blake2b(value, digest_size=12).hexdigest()
    if "consent.withdrawn" in named:
        yield events.ConsentWithdrawn(_withdrawal(loose, at_ms, event_id, arrived_ms))
    if "subject.erased" in named:
        yield events.Erased(event_id, at_ms, arrived_ms)
    if "complaint.received" in named:
        yield events.ComplaintReceived(event_id, at_ms, _word(loose, "controller"), _word(loose, "channel"), arrived_ms)
    if "subject.updated" in named and (flags := widest.flags(loose)):
        yield events.ProfileUpdated(event_id, at_ms, marked=flags, arrived_ms=arrived_ms)
    if "contact.outcome" in named:
        yield from _outcome(loose, at_ms, event_id, arrived_ms, fault)


def _word(loose: Loose, name: str) -> str | None:
    return None if loose.ambiguous else wide_word(loose.one(name))


def _everything(at_ms: int, event_id: str, arrived_ms: int) -> Withdrawal:
    return Withdrawal(
        time_ms=at_ms,
        controller=None,
        purposes=None,
        channels=None,
        recipients=None,
        event_id=event_id,
        arrived_ms=arrived_ms,
    )


def _withdrawal(loose: Loose, at_ms: int, event_id: str, arrived_ms: int) -> Withdrawal:
    if loose.ambiguous:
        return _everything(at_ms, event_id, arrived_ms)
    return Withdrawal(
        time_ms=at_ms,
        controller=wide_word(loose.one("controller")),
        purposes=wide_words(loose.one("purposes")),
        channels=wide_words(loose.one("channels")),
        recipients=wide_words(loose.one("recipients")),
        event_id=event_id,
        arrived_ms=arrived_ms,
    )


def _outcome(
    loose: Loose, at_ms: int, event_id: str, arrived_ms: int, fault: MalformedMessage
) -> Iterator[events.SubjectEvent]:
    """A hard outcome of a request that can be named is applied to it; an opt-out of one that cannot, to everything."""
    said = widest.outcomes(loose)
    request_id: Any = loose.one("request_id")
    readable = wide_word(request_id) is not None and not loose.ambiguous
    if readable and fault.reason != "outcome.unknown_request":
        for outcome in said:
            yield events.OutcomeReported(event_id, request_id, at_ms, cast("Outcome", outcome), None, arrived_ms)
    elif said.intersection(("unsubscribed", "complained")):
        yield events.ConsentWithdrawn(_everything(at_ms, event_id, arrived_ms))

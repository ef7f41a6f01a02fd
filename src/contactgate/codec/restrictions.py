"""The domain events that a refused message about a subject still means at its widest reading (SEMANTICS rule 28).

Pure function of the bytes, the key and the record's timestamp, so that replaying the log gives the same state. What the
loose reading believes, and why, is said in `codec.widest`. Never yields anything that permits.

INVARIANT (one person): who may write outcomes may be anyone, so a refused record of that topic reaches the person of
the handle that it shows, or else the one person that it names, and nobody if it names several. Of that person's caps,
cool-offs and history it changes nothing that a handle does not prove.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final, cast

import msgspec

from contactgate.codec import widest
from contactgate.codec.handles import Handle, Handles
from contactgate.codec.widest import Loose, wide_time, wide_word, wide_words
from contactgate.errors import MalformedMessage
from contactgate.model import events
from contactgate.model.facts import Outcome, Withdrawal
from contactgate.model.log import Record
from contactgate.names import Kind

_REPORTS: Final = ("contact.outcome", "contact.observed")
_OPT_OUTS: Final = ("unsubscribed", "complained")


class Widest:
    """The widest reading of refused records. `trusting`: a report needs no proof here (offline)."""

    def __init__(self, handles: Handles, *, trusting: bool) -> None:
        self._handles = handles
        self._trusting = trusting

    def restrictions(self, rec: Record, fault: MalformedMessage) -> Iterator[tuple[str, events.SubjectEvent]]:
        """(subject_id, event) for everybody and everything the record may restrict; empty for most records."""
        value, key = rec.value or b"", None if rec.key is None else rec.key.decode("utf-8", "replace")
        loose = widest.loosely(value)
        named = widest.types(loose)
        if not named.intersection((*_REPORTS, "subject.updated", *widest.RESTRICTING)):
            return
        handle = self._handle(loose)
        reads = _Reading(loose, named, rec, fault, handle)
        if rec.kind != Kind.OUTCOME:
            found = list(reads.binds(proven=True))
            for subject_id in (handle.subject_id,) if handle else widest.subjects(loose, key):
                for event in found:
                    yield subject_id, event
            return
        one = handle.subject_id if handle else _one(widest.subjects(loose, None) or widest.subjects(loose, key))
        if one is not None:
            for event in reads.binds(proven=handle is not None or self._trusting):
                yield one, event if self._trusting else reads.harmless(event)

    def _handle(self, loose: Loose) -> Handle | None:
        """The approval that the message names, if it names one alone."""
        opened = {self._handles.open(text) for text in widest.approvals(loose)} - {None}
        return opened.pop() if len(opened) == 1 else None


def _one(subjects: tuple[str, ...]) -> str | None:
    return subjects[0] if len(subjects) == 1 else None


class _Reading:
    """What can be read of one record."""

    def __init__(
        self, loose: Loose, named: set[str], rec: Record, fault: MalformedMessage, handle: Handle | None
    ) -> None:
        self._loose, self._named, self._fault, self._handle = loose, named, fault, handle
        self._arrived_ms = rec.arrived_ms
        self._at_ms = rec.arrived_ms
        if not loose.ambiguous and fault.reason not in {"time.absurd", "time.invalid"}:
            said = wide_time(loose.one("time"))
            self._at_ms = rec.arrived_ms if said is None else said
        event_id = wide_word(loose.one("event_id"))
        if event_id is None or loose.ambiguous:
            event_id = "unread-" + blake2b(rec.value or b"", digest_size=12).hexdigest()
        self._event_id = event_id

    def binds(self, *, proven: bool) -> Iterator[events.SubjectEvent]:
        """Everything it says. `proven`: whether what it reports of a contact counts."""
        named, at_ms, event_id, arrived_ms = self._named, self._at_ms, self._event_id, self._arrived_ms
        if "consent.withdrawn" in named:
            yield events.ConsentWithdrawn(self._withdrawal())
        if "subject.erased" in named:
            yield events.Erased(event_id, at_ms, arrived_ms)
        if "complaint.received" in named:
            yield events.ComplaintReceived(event_id, at_ms, self._word("controller"), self._word("channel"), arrived_ms)
        if "subject.updated" in named and (flags := widest.flags(self._loose)):
            yield events.ProfileUpdated(event_id, at_ms, marked=flags, arrived_ms=arrived_ms)
        if "contact.outcome" in named:
            yield from self._outcome(proven)
        if "contact.observed" in named and widest.outcomes(self._loose).intersection(_OPT_OUTS):
            yield events.ConsentWithdrawn(self._observed() if proven else self._all(("marketing",)))

    def harmless(self, event: events.SubjectEvent) -> events.SubjectEvent:
        """What may be believed of an event that its topic is not for: it stops, and touches no cap or cool-off."""
        if isinstance(event, events.Erased):
            return events.ConsentWithdrawn(self._all())
        if isinstance(event, events.ComplaintReceived):
            return events.ConsentWithdrawn(self._all(("marketing",)))
        return event

    def _word(self, name: str) -> str | None:
        return None if self._loose.ambiguous else wide_word(self._loose.one(name))

    def _all(self, purposes: tuple[str, ...] | None = None) -> Withdrawal:
        return Withdrawal(
            time_ms=self._at_ms,
            controller=None,
            purposes=purposes,
            channels=None,
            recipients=None,
            event_id=self._event_id,
            arrived_ms=self._arrived_ms,
        )

    def _withdrawal(self) -> Withdrawal:
        loose = self._loose
        if loose.ambiguous:
            return self._all()
        return msgspec.structs.replace(
            self._all(wide_words(loose.one("purposes"))),
            controller=wide_word(loose.one("controller")),
            channels=wide_words(loose.one("channels")),
            recipients=wide_words(loose.one("recipients")),
        )

    def _observed(self) -> Withdrawal:
        """An opt-out in a contact that was not decided here: what it was about, and marketing."""
        purpose, channel = self._word("purpose"), self._word("channel")
        return msgspec.structs.replace(
            self._all(None if purpose is None else tuple(sorted({purpose, "marketing"}))),
            controller=self._word("controller"),
            channels=None if channel is None else (channel,),
        )

    def _outcome(self, proven: bool) -> Iterator[events.SubjectEvent]:
        """A hard outcome is applied to its approval; an opt-out of one that cannot be named, to everything."""
        said = widest.outcomes(self._loose)
        request_id = self._word("request_id") if self._handle is None else self._handle.request_id
        if request_id is not None and self._fault.reason != "outcome.unknown_approval":
            own = widest.own_outcome(self._loose)
            for word in (*sorted(said), *((own,) if own else ())):
                yield events.OutcomeReported(
                    event_id=self._event_id,
                    request_id=request_id,
                    time_ms=self._at_ms,
                    outcome=cast("Outcome", word) if word in said else None,
                    matters=None,
                    arrived_ms=self._arrived_ms,
                    word=word,
                    decided_ms=None if self._handle is None else self._handle.decided_ms,
                    proven=proven,
                    restricts_only=True,
                )
        elif said.intersection(_OPT_OUTS):
            yield events.ConsentWithdrawn(self._all(None if proven else ("marketing",)))

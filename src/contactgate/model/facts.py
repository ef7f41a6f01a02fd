"""What is known about one subject: the value the changelog and RocksDB hold per subject_id.

Every type is frozen; `core` returns a new state instead of changing one, so a batch whose transaction fails leaves
nothing behind. Instants are integer milliseconds since 1970 UTC. The byte layout is owned by `codec`, not by this
module. Tuples are kept sorted as their comments say: equal states are equal values, whatever order events came in.

No fact can be part of a cycle, and a worker keeps a million of them: `gc=False` spares the collector from walking them,
which was a tenth of a decision.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from contactgate.model.instants import DAY_MS
from contactgate.model.request import Mode, Request

FOREVER_MS = 253402214400000
"""9999-12-31T00:00:00Z: a stated indefinite end (SEMANTICS rule 17)."""

Outcome = Literal[
    "not_attempted",
    "not_connected",
    "busy",
    "no_answer",
    "ignored",
    "bounced",
    "voicemail",
    "abandoned",
    "delivered",
    "answered",
    "wrong_number",
    "refused",
    "unsubscribed",
    "complained",
]
"""What may become of a contact, as it stands on the wire. `core.outcomes` says which of two reports holds, and
`codec.packing` which number it is on disk: the order here says nothing."""

Relation = Literal["purchase", "inquiry", "contract"]


class Span(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Hours on some weekdays, as local wall time; shared by policy windows, preferred windows and consent windows."""

    days: tuple[int, ...] = ()  # 0 = Monday .. 6 = Sunday; empty = every day
    from_ms: int = 0  # of the local day
    to_ms: int = DAY_MS  # of the local day; before from_ms = overnight, belongs to the day it starts on
    from_exclusive: bool = False
    to_inclusive: bool = False
    holidays: str | None = None  # `CN`, `AU-NSW`: closed on that calendar's public holidays
    channels: tuple[str, ...] | None = None  # sorted; a person's preferred hours only; None: all


class Grant(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One consent as given. It counts only if evidence, notice and time allow; that is judged at decision time."""

    time_ms: int
    controller: str
    purposes: tuple[str, ...]  # sorted dotted paths; `marketing` covers `marketing.insurance`
    channels: tuple[str, ...]  # sorted
    recipients: tuple[str, ...] | None  # sorted; None: the controller alone
    categories: tuple[str, ...] | None  # sorted data categories; None: none were named
    notice_id: str | None
    evidence: str | None  # method
    effective_ms: int | None
    expires_ms: int | None  # None: no period stated; FOREVER_MS: stated indefinite
    windows: tuple[Span, ...]  # hours this consent lifts the calling windows for
    event_id: str
    arrived_ms: int  # broker time of the record that first carried the event


class Withdrawal(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One opt-out. None in a field means all."""

    time_ms: int
    controller: str | None
    purposes: tuple[str, ...] | None
    channels: tuple[str, ...] | None
    recipients: tuple[str, ...] | None
    event_id: str
    arrived_ms: int  # broker time of the record that first carried the event


class Contact(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An approval and what became of it, or a contact we did not decide (`contact.observed`), or a complaint."""

    time_ms: int  # of the decision: a reserved place has the decision's time; of the event if observed
    request_id: str  # "" when observed
    valid_until_ms: int  # 0 when observed
    outcome: Outcome | None
    outcome_ms: int  # 0 without outcome
    recalled: str | None  # rule code that recalled it (`consent.withdrawn`)
    channel: str
    purpose: str
    controller: str
    requester: str
    campaign: str | None
    matters: tuple[str, ...]  # the request's matter, or those the outcome names
    address: str | None  # keyed token
    categories: tuple[str, ...]  # sorted; those judged, whether the request named them or not
    jurisdictions: tuple[str, ...]  # sorted, countries implied by subdivisions included
    event_id: str  # of the observed event or complaint; "" for approvals
    complaint: bool = False  # feeds cool-offs only, never caps
    mode: Mode = "live"  # of the request: a review of the open approval asks for the same plan
    matters_told: bool = False  # `matters` are those an outcome named, not the request's
    number_zones: tuple[str, ...] = ()  # of the request: a review counts local days as the decision did
    asked_matter: str | None = None  # as the request said it, and the next two: the same request must say them again
    asked_categories: tuple[str, ...] | None = None  # None: it named none
    asked_jurisdictions: tuple[str, ...] | None = None  # None: not known, the approval is of an older layout
    unclear: bool = False  # never stored, only `core.hearing` says so: what nobody understands was reported of it

    @property
    def is_observed(self) -> bool:
        """Whether this was not decided by us."""
        return not self.request_id

    @staticmethod
    def approved(
        request: Request, categories: tuple[str, ...], jurisdictions: tuple[str, ...], at_ms: int, valid_until_ms: int
    ) -> Contact:
        """The place that a pass reserves. `categories` and `jurisdictions` are all that apply, said or not.

        `at_ms` is the decision's time.
        """
        return Contact(
            time_ms=at_ms,
            request_id=request.request_id,
            valid_until_ms=valid_until_ms,
            outcome=None,
            outcome_ms=0,
            recalled=None,
            channel=request.channel,
            purpose=request.purpose,
            controller=request.controller,
            requester=request.requester,
            campaign=request.campaign,
            matters=() if request.matter is None else (request.matter,),
            address=request.address,
            categories=categories,
            jurisdictions=jurisdictions,
            event_id="",
            mode=request.mode,
            number_zones=request.number_zones,
            asked_matter=request.matter,
            asked_categories=request.categories or None,
            asked_jurisdictions=request.jurisdictions,
        )

    @staticmethod
    def observed(
        *,
        event_id: str,
        time_ms: int,
        outcome: Outcome | None,
        channel: str,
        purpose: str,
        controller: str,
        requester: str = "",
        campaign: str | None = None,
        matters: tuple[str, ...] = (),
        address: str | None = None,
        complaint: bool = False,
    ) -> Contact:
        """A contact that was not decided here, or a complaint. What it leaves out or empty is not known."""
        return Contact(
            time_ms=time_ms,
            request_id="",
            valid_until_ms=0,
            outcome=outcome,
            outcome_ms=0 if outcome is None else time_ms,
            recalled=None,
            channel=channel,
            purpose=purpose,
            controller=controller,
            requester=requester,
            campaign=campaign,
            matters=tuple(sorted(set(matters))),
            address=address,
            categories=(),
            jurisdictions=(),
            event_id=event_id,
            complaint=complaint,
        )


class Reason(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One failed rule: its code (SEMANTICS "Reason codes"), words for people, and when it alone would pass."""

    rule: str
    detail: str
    until_ms: int | None
    field: str | None = None  # of a request that is malformed: which field of it, as messages name it


class Report(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What was said of an approved contact in a way that only a policy can judge, so it is judged when deciding.

    The word may be the policy's own (`outcomes`), and without proof it counts only under `outcomes_by`.
    """

    time_ms: int
    request_id: str  # "": of an observed contact, that of the event
    decided_ms: int  # the contact's time; 0: no contact of this request is known
    word: str  # as reported
    proven: bool  # the report carried the approval's handle
    matters: tuple[str, ...] | None  # sorted; None: it named none
    event_id: str
    arrived_ms: int
    restricts_only: bool = False  # it could not be read whole: what it would give back counts for nothing


LASTING: Final = frozenset(("deceased", "minor", "vulnerable"))
"""Flags that no list of flags without them ends (SEMANTICS rule 37)."""


class Mark(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """That a person has a flag that only `flags_removed` ends, or, if `ends`, that she has it no longer."""

    word: str  # deceased | minor | vulnerable
    ends: bool
    time_ms: int
    arrived_ms: int


class Closure(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """That the person closed an address by an outcome, which a suppression of it says to everybody (rule 43)."""

    time_ms: int
    address: str  # keyed token
    controller: str
    channel: str
    purposes: tuple[str, ...]  # sorted
    event_id: str  # of the outcome
    complained: bool
    arrived_ms: int


class Relationship(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An established business relationship with one controller."""

    controller: str
    kind: Relation
    date: int  # proleptic ordinal of the local date (datetime.date.toordinal)
    until: int | None  # ordinal of the last day, None: open
    event_id: str
    time_ms: int = 0  # of the event: an erasure drops what is not newer than itself


class Profile(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Facts about the person that decide which rules bind. Each field carries the time of the event that set it."""

    timezones: tuple[str, ...] = ()
    timezones_ms: int = 0
    jurisdictions: tuple[str, ...] = ()  # sorted ISO 3166 codes as given
    jurisdictions_ms: int = 0
    flags: tuple[str, ...] = ()  # sorted, as written; not those of `marks`
    flags_ms: int = 0
    preferred: tuple[Span, ...] = ()
    preferred_ms: int = 0
    relationships: tuple[Relationship, ...] = ()
    wrong_addresses: tuple[str, ...] = ()  # sorted tokens reported as wrong numbers for this subject
    erased_ms: int = 0  # 0: never
    erased_arrived_ms: int = 0  # of several erasures the latest time and the latest arrival
    marks: tuple[Mark, ...] = ()  # sorted; of each word those that no other makes superfluous
    closed: tuple[Closure, ...] = ()  # sorted; an erasure leaves them, for it ends no suppression


class SubjectState(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """All of it. `EMPTY` is an unknown subject."""

    profile: Profile = Profile()
    grants: tuple[Grant, ...] = ()  # sorted by (time_ms, event_id)
    withdrawals: tuple[Withdrawal, ...] = ()  # sorted by (time_ms, event_id)
    contacts: tuple[Contact, ...] = ()  # sorted by (time_ms, request_id, event_id)
    reports: tuple[Report, ...] = ()  # sorted by (time_ms, event_id)


EMPTY = SubjectState()


def is_empty(state: SubjectState) -> bool:
    """Whether nothing is known: such a subject needs no record (its changelog record is a tombstone)."""
    return not (state.reports or state.contacts or state.grants or state.withdrawals) and state == EMPTY

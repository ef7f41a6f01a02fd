"""Folds one event about a person into what is known of them, and recalls what it makes illegal.

Equal sets of events give equal states, in whatever order they come; the same event twice changes nothing. So a value
says by itself whether it still matters. Nothing here is pruned by age: that happens when deciding, so that folding
never depends on when it was done. Never looks at a clock.

INVARIANT (latest word): a later event time wins, whenever the event comes; equal times restrict.
"""

from __future__ import annotations

import msgspec

from contactgate.core.closing import close
from contactgate.core.consents import grant, includes, withdraw, withdraws_more
from contactgate.core.decide import approval_of, is_open, with_contact
from contactgate.core.hearing import (
    by_complaint,
    everything,
    heard,
    marketing,
    opt_out,
    reports_after,
    told,
    with_report,
)
from contactgate.core.lifting import outlasts
from contactgate.core.outcomes import OPT_OUTS, RESTRICTING
from contactgate.core.review import recall, review
from contactgate.core.world import World
from contactgate.model.decision import Recall
from contactgate.model.events import (
    ComplaintReceived,
    ConsentWithdrawn,
    ContactObserved,
    Erased,
    GrantGiven,
    OutcomeReported,
    ProfileUpdated,
    RelationshipRecorded,
    SubjectEvent,
)
from contactgate.model.facts import (
    Contact,
    Mark,
    Outcome,
    Profile,
    Relationship,
    Report,
    Span,
    SubjectState,
)

_MARKS = 32
"""How many marks a person may have before they are folded into at most one of each sort (`_fewer`)."""

Applied = tuple[SubjectState, tuple[Recall, ...]]


def apply(event: SubjectEvent, state: SubjectState, world: World, now_ms: int) -> Applied:
    """The state after an event, and what it recalls. `now_ms` only says which approvals are still open."""
    if isinstance(event, GrantGiven):
        return grant(state, event.grant), ()
    if isinstance(event, Erased):
        return _erased(event, state, world, now_ms)
    after = _fold(event, state)
    same = after.profile is state.profile and not withdraws_more(state, after)
    if same and (after.reports is state.reports or not _says_more(state, after, world)):
        return after, ()  # only contacts changed, and those recall nothing
    return review(after, world, now_ms)


def _says_more(before: SubjectState, after: SubjectState, world: World) -> bool:
    """Whether reports that came say, as the policy reads them, what an approval may have to be recalled for."""
    known, now = heard(before, world.policy), heard(after, world.policy)
    new = [each for each in now.withdrawals if each not in known.withdrawals]
    return now.profile != known.profile or any(not any(includes(k, each) for k in known.withdrawals) for each in new)


def _fold(event: SubjectEvent, state: SubjectState) -> SubjectState:
    if isinstance(event, OutcomeReported):
        return outcome(state, event)
    if isinstance(event, ConsentWithdrawn):
        return withdraw(state, event.withdrawal)
    if isinstance(event, ProfileUpdated):
        return update(state, event)
    if isinstance(event, ContactObserved):
        return observe(state, event)
    if isinstance(event, ComplaintReceived):
        return complain(state, event)
    if isinstance(event, RelationshipRecorded):
        return relate(state, event)
    raise AssertionError(f"no such event: {type(event).__name__}")


# --- the person ---------------------------------------------------------------------------------------------------


def update(state: SubjectState, event: ProfileUpdated) -> SubjectState:
    """Merges facts about the person field by field; at equal times both hold, which restricts."""
    profile, at = state.profile, event.time_ms
    marks = _marked(profile, event) if event.marked or event.unmarked else profile.marks
    if at <= profile.erased_ms:
        if outlasts(profile.erased_ms, profile.erased_arrived_ms, at, event.arrived_ms):
            return state
        return _with_profile(state, msgspec.structs.replace(profile, marks=marks))
    timezones, timezones_ms = _merged(event.timezones, profile.timezones, profile.timezones_ms, at)
    jurisdictions, jurisdictions_ms = _merged(event.jurisdictions, profile.jurisdictions, profile.jurisdictions_ms, at)
    flags, flags_ms = _merged(event.flags, profile.flags, profile.flags_ms, at)
    preferred, preferred_ms = profile.preferred, profile.preferred_ms
    if event.preferred is not None and (at, _spans(event.preferred)) > (preferred_ms, _spans(preferred)):
        preferred, preferred_ms = event.preferred, at
    merged = msgspec.structs.replace(
        profile,
        timezones=timezones,
        timezones_ms=timezones_ms,
        jurisdictions=jurisdictions,
        jurisdictions_ms=jurisdictions_ms,
        flags=flags,
        flags_ms=flags_ms,
        preferred=preferred,
        preferred_ms=preferred_ms,
        marks=marks,
    )
    return _with_profile(state, merged)


def _marked(profile: Profile, event: ProfileUpdated) -> tuple[Mark, ...]:
    """The marks after an event that sets or ends some; one that an erasure outlasts is not kept."""
    marks = profile.marks
    told = [Mark(word, False, event.time_ms, event.arrived_ms) for word in event.marked]
    told += [Mark(word, True, min(event.time_ms, event.arrived_ms), event.arrived_ms) for word in event.unmarked]
    for one in told:
        if outlasts(profile.erased_ms, profile.erased_arrived_ms, one.time_ms, one.arrived_ms):
            continue
        if not any(_covers(known, one) for known in marks):
            others = [known for known in marks if not _covers(one, known)]
            marks = tuple(sorted((*others, one), key=msgspec.structs.astuple))
    return marks if len(marks) <= _MARKS else _fewer(marks)


def _covers(one: Mark, other: Mark) -> bool:
    """Whether a mark makes another one superfluous: of the same word and sort, and neither older nor earlier."""
    same = one.word == other.word and one.ends is other.ends
    return same and outlasts(one.time_ms, one.arrived_ms, other.time_ms, other.arrived_ms)


def _fewer(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """Too many marks as few: of what sets a flag the latest of all, of what ends it the one that counts from later."""
    found = []
    for word in sorted({mark.word for mark in marks}):
        sets = [mark for mark in marks if mark.word == word and not mark.ends]
        if sets:
            found.append(Mark(word, False, max(each.time_ms for each in sets), max(each.arrived_ms for each in sets)))
        found += [mark for mark in marks if mark.word == word and mark.ends][-1:]
    return tuple(found)


def _merged(
    given: tuple[str, ...] | None, known: tuple[str, ...], known_ms: int, at: int
) -> tuple[tuple[str, ...], int]:
    """One field of the person after an event that gives it, or does not, and since when it is so."""
    if given is None or at < known_ms:
        return known, known_ms
    return tuple(sorted({*given, *known} if at == known_ms else set(given))), at


def relate(state: SubjectState, event: RelationshipRecorded) -> SubjectState:
    """Keeps a relationship, unless a newer event says the same or later of it."""
    profile = state.profile
    if event.time_ms <= profile.erased_ms:
        return state
    one = Relationship(event.controller, event.kind, event.date, event.until, event.event_id, event.time_ms)
    if any(_outdates(known, one) for known in profile.relationships):
        return state
    others = [known for known in profile.relationships if not _outdates(one, known)]
    relationships = tuple(
        sorted((*others, one), key=lambda each: (each.controller, each.kind, each.date, each.time_ms))
    )
    return _with_profile(state, msgspec.structs.replace(profile, relationships=relationships))


def _outdates(one: Relationship, other: Relationship) -> bool:
    """Whether a record makes another superfluous: the same contract recorded later, a later purchase recorded later."""
    if one.controller != other.controller or one.kind != other.kind or one.time_ms < other.time_ms:
        return False
    if one.date != other.date and (one.kind == "contract" or one.date < other.date):
        return False
    if (one.time_ms, one.date) == (other.time_ms, other.date):
        return _least(one) <= _least(other)
    return True


def _least(relationship: Relationship) -> tuple[bool, int, str]:
    """Orders records of equal time and date: the one that ends first restricts most."""
    return (relationship.until is None, relationship.until or 0, relationship.event_id)


def _spans(spans: tuple[Span, ...]) -> list[tuple[object, ...]]:
    return [
        (
            span.days,
            span.from_ms,
            span.to_ms,
            span.from_exclusive,
            span.to_inclusive,
            span.holidays or "",
            span.channels or (),
        )
        for span in spans
    ]


def _with_profile(state: SubjectState, profile: Profile) -> SubjectState:
    if profile == state.profile:
        return state
    return SubjectState(profile, state.grants, state.withdrawals, state.contacts, state.reports)


def _erased(event: Erased, state: SubjectState, world: World, now_ms: int) -> Applied:
    """Drops every fact that is not newer than the erasure, and recalls what was approved on such facts."""
    at_ms, profile = event.time_ms, state.profile
    if outlasts(profile.erased_ms, profile.erased_arrived_ms, at_ms, event.arrived_ms):
        return state, ()
    gone = [each for each in heard(state, world.policy).contacts if each.time_ms <= at_ms]
    recalls = tuple(recall(contact, "subject.erased") for contact in gone if is_open(contact, now_ms))
    after, more = review(erase(state, at_ms, event.arrived_ms), world, now_ms)
    return after, recalls + more


def erase(state: SubjectState, at_ms: int, arrived_ms: int) -> SubjectState:
    """The state without every fact of that time or before; opt-outs that arrive later are no part of what is erased."""
    profile = state.profile
    erased_ms, erased_arrived_ms = max(profile.erased_ms, at_ms), max(profile.erased_arrived_ms, arrived_ms)
    contacts = tuple(each for each in state.contacts if each.time_ms > erased_ms)
    changed: dict[str, object] = {
        "erased_ms": erased_ms,
        "erased_arrived_ms": erased_arrived_ms,
        "relationships": tuple(each for each in profile.relationships if each.time_ms > erased_ms),
        "wrong_addresses": tuple(
            address
            for address in profile.wrong_addresses
            if any(each.address == address and _may_be_wrong(each) for each in contacts)
        ),
        "marks": tuple(
            each for each in profile.marks if not outlasts(erased_ms, erased_arrived_ms, each.time_ms, each.arrived_ms)
        ),
    }
    for name in ("timezones", "jurisdictions", "flags", "preferred"):
        if getattr(profile, f"{name}_ms") <= erased_ms:
            changed[name] = ()
            changed[f"{name}_ms"] = 0
    return SubjectState(
        msgspec.structs.replace(profile, **changed),
        tuple(each for each in state.grants if each.time_ms > erased_ms),
        tuple(
            each
            for each in state.withdrawals
            if not outlasts(erased_ms, erased_arrived_ms, each.time_ms, each.arrived_ms)
        ),
        contacts,
        reports_after(state.reports, erased_ms, erased_arrived_ms),
    )


def _may_be_wrong(contact: Contact) -> bool:
    """Whether a contact may have told of a wrong number; of an approval, a report that restricts more hides that."""
    return contact.outcome == "wrong_number" or (not contact.is_observed and contact.outcome in RESTRICTING)


# --- contacts -----------------------------------------------------------------------------------------------------


def outcome(state: SubjectState, event: OutcomeReported) -> SubjectState:
    """Commits or releases the place of an approval; what it says about the person's will binds at once.

    What only a policy can judge is kept as it was reported. Of a contact that is not known only an opt-out counts.
    """
    contact = approval_of(state, event.request_id, event.decided_ms)
    report = Report(
        time_ms=event.time_ms,
        request_id=event.request_id,
        decided_ms=0 if contact is None else contact.time_ms,
        word=event.word or event.outcome or "",
        proven=event.proven,
        matters=event.matters,
        event_id=event.event_id,
        arrived_ms=event.arrived_ms,
        restricts_only=event.restricts_only,
    )
    if event.outcome is None or not event.proven:
        if contact is None and event.outcome not in (None, *OPT_OUTS):
            return state
        return _noted(state, report, contact)
    if contact is None:
        return withdraw(state, everything(report)) if event.outcome in OPT_OUTS else state
    after = state
    counted = told(contact, event.outcome, event.time_ms, event.matters)
    if counted != contact:
        contacts = tuple(counted if each is contact else each for each in state.contacts)
        after = SubjectState(state.profile, state.grants, state.withdrawals, contacts, state.reports)
    return _heeded(after, contact, event.outcome, report)


def _noted(state: SubjectState, report: Report, contact: Contact | None) -> SubjectState:
    """Keeps a report for the policy to judge. Too many of one contact: what may be an opt-out becomes one."""
    profile = state.profile
    if outlasts(profile.erased_ms, profile.erased_arrived_ms, report.time_ms, report.arrived_ms):
        return state
    reports, gone = with_report(state.reports, report)
    if reports == state.reports:
        return state
    after = SubjectState(profile, state.grants, state.withdrawals, state.contacts, reports)
    for each in gone:
        proven = everything(each) if contact is None else opt_out(contact, each)
        after = withdraw(after, proven if each.proven else marketing(each))
    return after


def observe(state: SubjectState, event: ContactObserved) -> SubjectState:
    """Keeps a contact that was not decided here; what it says about the person's will binds at once."""
    if _known(state, event.event_id):
        return state
    contact = Contact.observed(
        event_id=event.event_id,
        time_ms=event.time_ms,
        outcome=event.outcome,
        channel=event.channel,
        purpose=event.purpose,
        controller=event.controller,
        requester=event.requester or "",
        campaign=event.campaign,
        matters=event.matters,
        address=event.address,
    )
    after = _with_contact(state, contact)
    report = Report(
        time_ms=event.time_ms,
        request_id="",
        decided_ms=contact.time_ms if contact in after.contacts else 0,
        word=event.word or event.outcome or "",
        proven=True,
        matters=event.matters or None,
        event_id=event.event_id,
        arrived_ms=event.arrived_ms,
    )
    if event.outcome is None:
        return _noted(after, report, contact)
    return _heeded(after, contact, event.outcome, report)


def _heeded(state: SubjectState, contact: Contact, said: Outcome, report: Report) -> SubjectState:
    """The state with what an outcome says about the person's will, and about the address."""
    if said in OPT_OUTS:
        return withdraw(close(state, contact, said, report), opt_out(contact, report))
    if said == "wrong_number" and contact.address is not None and report.time_ms > state.profile.erased_ms:
        wrong = tuple(sorted({*state.profile.wrong_addresses, contact.address}))
        return _with_profile(state, msgspec.structs.replace(state.profile, wrong_addresses=wrong))
    return state


def complain(state: SubjectState, event: ComplaintReceived) -> SubjectState:
    """Withdraws marketing for the controller and channel named, and feeds cool-offs."""
    if _known(state, event.event_id):
        return state
    contact = Contact.observed(
        event_id=event.event_id,
        time_ms=event.time_ms,
        outcome="complained",
        channel=event.channel or "",
        purpose="marketing",
        controller=event.controller or "",
        complaint=True,
    )
    return withdraw(_with_contact(state, contact), by_complaint(event))


def _known(state: SubjectState, event_id: str) -> bool:
    return any(contact.event_id == event_id for contact in state.contacts)


def _with_contact(state: SubjectState, contact: Contact) -> SubjectState:
    if contact.time_ms <= state.profile.erased_ms:
        return state
    contacts = with_contact(state.contacts, contact)
    return SubjectState(state.profile, state.grants, state.withdrawals, contacts, state.reports)

"""What was reported of contacts, as the policy in force reads it (SEMANTICS rules 41 and 60).

Facts keep a report as it was made: the word may be the dialer's own, and without an approval's handle anyone may have
made it up. `heard` is the state with every report judged; rules are asked about that. It is never stored.

INVARIANT (unproven reports only restrict): what no policy accepts changes no approval, cap or cool-off; at most it
withdraws marketing of the one person that it names. Must never look at a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from contactgate.core.lifting import outlasts
from contactgate.core.outcomes import OPT_OUTS, RESTRICTING, SEVERITY
from contactgate.core.world import Policy
from contactgate.model import synonyms
from contactgate.model.events import ComplaintReceived
from contactgate.model.facts import Contact, Outcome, Report, SubjectState, Withdrawal
from contactgate.policy.plan import covers

MOST_REPORTS: Final = 8
"""How many reports of one contact are kept, and of one person's contacts that are not known."""


def meaning(word: str, own: Mapping[str, Outcome]) -> Outcome | None:
    """What a reported word means: by itself, or by the policy's own words; None if nobody knows it."""
    return synonyms.outcome(word) or own.get(synonyms.squeezed(word))


def heard(state: SubjectState, policy: Policy | None) -> SubjectState:
    """The state as a policy reads it; the very same object if nothing was reported that needs reading."""
    if not state.reports or policy is None:
        return state
    by_subject, own = policy.limits.outcomes_by_subject, policy.words.outcomes
    found: list[Withdrawal] = []
    told: dict[tuple[str, int, str], list[tuple[Report, Outcome | None]]] = {}
    for report in state.reports:
        meant = meaning(report.word, own)
        if report.proven or by_subject:
            told.setdefault(_place(report), []).append((report, meant))
        elif meant in OPT_OUTS:
            found.append(marketing(report))
    contacts = list(state.contacts)
    wrong: set[str] = set()
    for at, contact in enumerate(contacts if told else ()):
        reports = told.get(_of(contact))
        if reports is None:
            continue
        contacts[at] = _reported(contact, reports)
        for report, meant in reports:
            if meant in OPT_OUTS:
                found.append(opt_out(contact, report))
            elif meant == "wrong_number" and contact.address is not None and report.time_ms > state.profile.erased_ms:
                wrong.add(contact.address)
    known = set(map(_of, contacts))
    for place, reports in told.items():
        if place not in known:
            found += [everything(report) for report, meant in reports if meant in OPT_OUTS]
    profile = state.profile
    if not wrong.issubset(profile.wrong_addresses):
        profile = msgspec.structs.replace(profile, wrong_addresses=tuple(sorted({*profile.wrong_addresses, *wrong})))
    erased = (profile.erased_ms, profile.erased_arrived_ms)
    found = [each for each in found if not outlasts(*erased, each.time_ms, each.arrived_ms)]
    withdrawals = state.withdrawals
    if found:
        withdrawals = tuple(sorted((*withdrawals, *found), key=lambda each: (each.time_ms, each.event_id)))
    return SubjectState(profile, state.grants, withdrawals, tuple(contacts), state.reports)


def _place(report: Report) -> tuple[str, int, str]:
    return report.request_id, report.decided_ms, "" if report.request_id else report.event_id


def _of(contact: Contact) -> tuple[str, int, str]:
    return contact.request_id, contact.time_ms, contact.event_id if contact.is_observed else ""


def _reported(contact: Contact, reports: Iterable[tuple[Report, Outcome | None]]) -> Contact:
    """The contact with all that counts of what was reported; a word that nobody knows keeps its place."""
    unclear = False
    perhaps: set[str] = set()
    for report, meant in reports:
        if meant is None:
            unclear = True
            perhaps.update(report.matters or ())
        elif meant in RESTRICTING or not report.restricts_only:
            contact = told(contact, meant, report.time_ms, report.matters)
    if not unclear:
        return contact
    return msgspec.structs.replace(contact, unclear=True, matters=tuple(sorted(perhaps.union(contact.matters))))


def told(contact: Contact, outcome: Outcome, at_ms: int, named: tuple[str, ...] | None) -> Contact:
    """The contact with an outcome: of several the one that restricts most holds, of equal ones the earliest."""
    matters, matters_told = contact.matters, contact.matters_told
    if named is not None:
        matters = tuple(sorted({*named, *matters} if matters_told else set(named)))
        matters_told = True
    if contact.outcome is not None:
        old, new = SEVERITY[contact.outcome], SEVERITY[outcome]
        if old > new or (old == new and contact.outcome_ms <= at_ms):
            outcome, at_ms = contact.outcome, contact.outcome_ms
    return msgspec.structs.replace(
        contact, outcome=outcome, outcome_ms=at_ms, matters=matters, matters_told=matters_told
    )


# --- what is withdrawn --------------------------------------------------------------------------------------------


def opt_out(contact: Contact, report: Report) -> Withdrawal:
    """What `unsubscribed` and `complained` withdraw: what the contact was about, and marketing (SEMANTICS rule 44)."""
    about = contact.purpose
    return _withdrawal(
        report,
        controller=contact.controller,
        purposes=(about,) if covers("marketing", about) else tuple(sorted((about, "marketing"))),
        channels=(contact.channel,),
    )


def marketing(report: Report) -> Withdrawal:
    """What an opt-out that nothing proves withdraws of the one person that it names."""
    return _withdrawal(report, purposes=("marketing",))


def by_complaint(event: ComplaintReceived) -> Withdrawal:
    """What a complaint withdraws: marketing, for the controller and the channel that it names."""
    return Withdrawal(
        time_ms=event.time_ms,
        controller=event.controller,
        purposes=("marketing",),
        channels=None if event.channel is None else (event.channel,),
        recipients=None,
        event_id=event.event_id,
        arrived_ms=event.arrived_ms,
    )


def everything(report: Report) -> Withdrawal:
    """What an opt-out withdraws whose contact is not known: nobody can say what it was about."""
    return _withdrawal(report)


def _withdrawal(
    report: Report,
    controller: str | None = None,
    purposes: tuple[str, ...] | None = None,
    channels: tuple[str, ...] | None = None,
) -> Withdrawal:
    return Withdrawal(
        time_ms=report.time_ms,
        controller=controller,
        purposes=purposes,
        channels=channels,
        recipients=None,
        event_id=report.event_id,
        arrived_ms=report.arrived_ms,
    )


# --- what is kept -------------------------------------------------------------------------------------------------


def with_report(reports: tuple[Report, ...], report: Report) -> tuple[tuple[Report, ...], list[Report]]:
    """The reports with one more, and those that had to go and may be opt-outs.

    Of one contact at most MOST_REPORTS are kept; first those go that say what others say, then what restricts least.
    """
    if any(msgspec.structs.replace(known, arrived_ms=report.arrived_ms) == report for known in reports):
        return reports, []
    about = [each for each in reports if _same_contact(each, report)]
    gone: list[Report] = []
    if len(about) >= MOST_REPORTS:
        kept = _essential([*about, report])
        while len(kept) > MOST_REPORTS:
            least = min(kept, key=lambda each: (_rank(each), *_order(each)))
            kept.remove(least)
            gone.append(least)
        others = [each for each in reports if not _same_contact(each, report)]
        return tuple(sorted((*others, *kept), key=_order)), [each for each in gone if _rank(each) >= _MAY_BE_OPT_OUT]
    return tuple(sorted((*reports, report), key=_order)), []


def reports_after(reports: tuple[Report, ...], erased_ms: int, erased_arrived_ms: int) -> tuple[Report, ...]:
    """What is left of reports after an erasure: those of a contact that is gone only say what the person wants."""
    kept = []
    for report in reports:
        if report.decided_ms > erased_ms:
            kept.append(report)
        elif not outlasts(erased_ms, erased_arrived_ms, report.time_ms, report.arrived_ms):
            kept.append(msgspec.structs.replace(report, decided_ms=0))
    return tuple(kept)


def _order(report: Report) -> tuple[int, str]:
    return report.time_ms, report.event_id


def _same_contact(one: Report, other: Report) -> bool:
    return one.decided_ms == other.decided_ms and (not one.decided_ms or _place(one) == _place(other))


_MAY_BE_OPT_OUT: Final = SEVERITY["unsubscribed"]


def _rank(report: Report) -> int:
    """How much a report may restrict; what a word of a policy means is not known here, so as much as an opt-out."""
    meant = synonyms.outcome(report.word)
    return _MAY_BE_OPT_OUT if meant is None else SEVERITY[meant]


def _essential(reports: list[Report]) -> list[Report]:
    """Of reports that say the same the earliest, which dates the outcome, and the latest, which dates an opt-out."""
    alike: dict[tuple[str, bool, bool], list[Report]] = {}
    for report in sorted(reports, key=_order):
        alike.setdefault((synonyms.squeezed(report.word), report.proven, report.restricts_only), []).append(report)
    kept = []
    for same in alike.values():
        named = sorted({matter for each in same for matter in each.matters or ()})
        matters = tuple(named) if named else same[0].matters
        kept.append(msgspec.structs.replace(same[0], matters=matters))
        if len(same) > 1:
            latest_ms = max(each.arrived_ms for each in same)
            kept.append(msgspec.structs.replace(same[-1], arrived_ms=latest_ms))
    return kept

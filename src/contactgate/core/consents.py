"""What is kept of consents and opt-outs, in whatever order they come: part of folding an event (`core.apply`).

Must never forget what may still hold under some policy, nor look at a clock.
"""

from __future__ import annotations

import msgspec

from contactgate.core.lifting import outlasts
from contactgate.model.facts import Grant, SubjectState, Withdrawal
from contactgate.policy.plan import MAX_CLOCK_SKEW_MS, covers

_REPEATS = 8
"""How many of the newest consents that say the same are kept.

The newest may have come from a clock that is ahead. And a partition that stalled reads its consents before outcomes
that are older: those are judged at their own time, when only what came before the newest was given.
"""

_OPT_OUTS = 32
"""How many opt-outs a person may have before those that others include are forgotten."""


def grant(state: SubjectState, given: Grant) -> SubjectState:
    """Keeps a consent, unless an erasure or a withdrawal of all of it is stamped as late, or it is known."""
    if given.time_ms <= state.profile.erased_ms or any(_same_event(given, known) for known in state.grants):
        return state
    for withdrawal in state.withdrawals:
        if _undoes(withdrawal, given):
            return state
    kept = state.grants
    repeated = [known for known in kept if _repeats(known, given)]
    if len(repeated) >= _REPEATS:
        oldest = min(repeated, key=_event_order)
        if _event_order(given) < _event_order(oldest):
            return state
        kept = tuple(known for known in kept if known is not oldest)
    if kept and _event_order(kept[-1]) > _event_order(given):
        grants = tuple(sorted((*kept, given), key=_event_order))
    else:
        grants = (*kept, given)
    return SubjectState(state.profile, grants, state.withdrawals, state.contacts, state.reports)


def withdraw(state: SubjectState, withdrawal: Withdrawal) -> SubjectState:
    """Keeps an opt-out, unless it says nothing that is not known, and drops every consent that it undoes."""
    profile = state.profile
    if outlasts(profile.erased_ms, profile.erased_arrived_ms, withdrawal.time_ms, withdrawal.arrived_ms):
        return state
    if any(_same_event(withdrawal, known) or _replaces(known, withdrawal) for known in state.withdrawals):
        return state
    others = [known for known in state.withdrawals if not _replaces(withdrawal, known)]
    if len(others) >= _OPT_OUTS:
        others = [each for each in others if not any(includes(other, each) for other in others if other is not each)]
    withdrawals = tuple(sorted((*others, withdrawal), key=_event_order))
    grants = tuple(given for given in state.grants if not _undoes(withdrawal, given))
    return SubjectState(state.profile, grants, withdrawals, state.contacts, state.reports)


def _replaces(one: Withdrawal, other: Withdrawal) -> bool:
    """Whether an opt-out may be forgotten for another that says as much.

    Not while clocks may differ by more than lies between the two: by its event_id it is known when it is sent again,
    and so does not come after a consent that it came before.
    """
    return one.time_ms - other.time_ms > MAX_CLOCK_SKEW_MS and includes(one, other)


def withdraws_more(before: SubjectState, after: SubjectState) -> bool:
    """Whether an opt-out was kept that no other one includes."""
    known = before.withdrawals
    return after.withdrawals is not known and any(
        not any(includes(one, each) for one in known) for each in after.withdrawals if each not in known
    )


def _same_event(one: Grant | Withdrawal, other: Grant | Withdrawal) -> bool:
    """Whether both are one event. It counts as arrived when it was first carried, however often it comes again."""
    return one.event_id == other.event_id and msgspec.structs.replace(one, arrived_ms=other.arrived_ms) == other


def _event_order(fact: Grant | Withdrawal) -> tuple[int, str]:
    return (fact.time_ms, fact.event_id)


def _undoes(withdrawal: Withdrawal, given: Grant) -> bool:
    """Whether an opt-out reaches everything that a consent covers, and is not older, whichever arrived first."""
    recipients = (given.controller,) if given.recipients is None else given.recipients
    return (
        withdrawal.time_ms >= given.time_ms
        and (withdrawal.controller is None or withdrawal.controller == given.controller)
        and _within(given.channels, withdrawal.channels)
        and _within(recipients, withdrawal.recipients)
        and _purposes_within(given.purposes, withdrawal.purposes)
    )


def includes(one: Withdrawal, other: Withdrawal) -> bool:
    """Whether an opt-out says all that another says, and is not older nor arrived earlier.

    Of two equal ones the smaller event id stays.
    """
    if not outlasts(one.time_ms, one.arrived_ms, other.time_ms, other.arrived_ms):
        return False
    inside = (
        (one.controller is None or one.controller == other.controller)
        and (one.channels is None or (other.channels is not None and _within(other.channels, one.channels)))
        and (one.recipients is None or (other.recipients is not None and _within(other.recipients, one.recipients)))
        and (one.purposes is None or (other.purposes is not None and _purposes_within(other.purposes, one.purposes)))
    )
    if not inside:
        return False
    return not (one.event_id > other.event_id and includes(other, one))


def _repeats(one: Grant, other: Grant) -> bool:
    """Whether two consents say exactly the same. Not under a notice: which version was in force then is the point."""
    return (
        one.notice_id is None
        and other.notice_id is None
        and one.controller == other.controller
        and one.purposes == other.purposes
        and one.channels == other.channels
        and one.recipients == other.recipients
        and one.categories == other.categories
        and one.evidence == other.evidence
        and one.windows == other.windows
        and one.expires_ms == other.expires_ms
        and one.effective_ms == other.effective_ms
    )


def _within(inner: tuple[str, ...], outer: tuple[str, ...] | None) -> bool:
    return outer is None or all(each in outer for each in inner)


def _purposes_within(inner: tuple[str, ...], outer: tuple[str, ...] | None) -> bool:
    return outer is None or all(any(covers(prefix, each) for prefix in outer) for each in inner)

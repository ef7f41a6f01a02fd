"""Whether a restriction about a person changed nothing because a permission is newer (SEMANTICS rule 45).

It is news, for the sender's clock may be slow by more than the policy allows for, and never the effect: what holds is
judged whenever a request is decided.
"""

from __future__ import annotations

from contactgate.core.lifting import lifted
from contactgate.core.world import World
from contactgate.model.facts import Grant, Mark, SubjectState, Withdrawal
from contactgate.model.synonyms import folded
from contactgate.policy.plan import covers


def superseded(before: SubjectState, after: SubjectState, world: World) -> bool:
    """Whether what an event made of a state holds a new restriction that a newer permission lifts, at least in part."""
    policy = world.policy
    if policy is None:
        return False
    skew_ms = policy.limits.clock_skew_ms
    if after.withdrawals is not before.withdrawals:
        told = [each for each in after.withdrawals if each not in before.withdrawals]
        if any(_ends(each, grant, world, skew_ms) for each in told for grant in after.grants):
            return True
    was, now = before.profile, after.profile
    if now.marks != was.marks:
        marks = [each for each in now.marks if not each.ends and each not in was.marks]
        if any(_removes(end, mark, skew_ms) for mark in marks for end in now.marks):
            return True
    if (now.erased_ms, now.erased_arrived_ms) == (was.erased_ms, was.erased_arrived_ms):
        return False
    return any(
        lifted(now.erased_ms, now.erased_arrived_ms, grant.time_ms, grant.arrived_ms, skew_ms) for grant in after.grants
    )


def _ends(withdrawal: Withdrawal, grant: Grant, world: World, skew_ms: int) -> bool:
    """Whether an opt-out is about something that a newer consent gives."""
    if not lifted(withdrawal.time_ms, withdrawal.arrived_ms, grant.time_ms, grant.arrived_ms, skew_ms):
        return False
    known = world.vocabulary
    controllers = known.controller(withdrawal.controller).names
    channels, purposes = known.channels(withdrawal.channels).names, known.purposes(withdrawal.purposes).names
    return (
        (controllers is None or folded(grant.controller) in controllers)
        and (channels is None or not channels.isdisjoint(grant.channels))
        and (purposes is None or any(covers(p, g) or covers(g, p) for p in purposes for g in grant.purposes))
    )


def _removes(end: Mark, mark: Mark, skew_ms: int) -> bool:
    """Whether a newer removal ends a flag."""
    same = end.ends and end.word == mark.word
    return same and lifted(mark.time_ms, mark.arrived_ms, end.time_ms, end.arrived_ms, skew_ms)

"""Addresses that a person closed by an outcome, and what of it a later consent opens again (SEMANTICS rule 43).

`unsubscribed` and `complained` bind everybody who uses the address, so a suppression of it is written beside the
opt-out. What was so written for a person is kept in the profile, so that a later consent releases it and nothing else.
Which suppressions and releases are to be written is output, and looks at the words that are known; what is kept does
not. Must never forget a closure because of a consent: what a release is worth is judged where the suppression is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from contactgate.core.hearing import opt_out
from contactgate.core.world import World
from contactgate.model.events import GrantGiven, SubjectEvent
from contactgate.model.facts import Closure, Contact, Grant, Outcome, Report, SubjectState
from contactgate.policy.plan import covers

MOST: Final = 64
"""Closures kept of one person; the oldest are forgotten first, and then only a release by hand opens them."""
_EQUAL: Final = 16
"""Closures kept of one scope, more than suppressions of one scope are kept apart."""

Binds = Callable[[Closure], bool]


class Opening(NamedTuple):
    """Suppressions of one address that a consent releases, and the instant that the release is stamped with."""

    address: str
    closures: tuple[Closure, ...]
    time_ms: int
    event_id: str  # of the consent


def close(state: SubjectState, contact: Contact, said: Outcome, report: Report) -> SubjectState:
    """The state with the address of a contact closed by its outcome; as it was if no address is known."""
    if contact.address is None:
        return state
    withdrawn, profile = opt_out(contact, report), state.profile
    one = Closure(
        time_ms=report.time_ms,
        address=contact.address,
        controller=contact.controller,
        channel=contact.channel,
        purposes=withdrawn.purposes or (),
        event_id=report.event_id,
        complained=said == "complained",
        arrived_ms=report.arrived_ms,
    )
    if any(_same(one, known) for known in profile.closed):
        return state
    closed = sorted((*profile.closed, one), key=msgspec.structs.astuple)
    alike = [each for each in closed if _scope(each) == _scope(one)]
    if len(alike) > _EQUAL:
        closed.remove(alike[0])
    profile = msgspec.structs.replace(profile, closed=tuple(closed[-MOST:]))
    return SubjectState(profile, state.grants, state.withdrawals, state.contacts, state.reports)


def _scope(one: Closure) -> tuple[object, ...]:
    return (one.address, one.controller, one.channel, one.purposes)


def _same(one: Closure, other: Closure) -> bool:
    """Whether both are of one event. It counts as arrived when it was first carried."""
    return one == msgspec.structs.replace(other, arrived_ms=one.arrived_ms)


def closures(before: SubjectState, after: SubjectState) -> list[Closure]:
    """What an event closed: each is to be written as a suppression."""
    old, new = before.profile.closed, after.profile.closed
    return [] if new is old else [each for each in new if each not in old]


def openings(
    event: SubjectEvent, before: SubjectState, after: SubjectState, world: World, binds: Binds
) -> list[Opening]:
    """What consents release after an event: a new consent of what was closed, or a known one of what it closed late.

    `binds`: whether the suppression of a closure is known to bind. A consent that was there before has released the
    same already, unless its suppression still binds.
    """
    found: dict[str, list[Closure]] = {}
    if isinstance(event, GrantGiven):
        given = event.grant
        if not after.profile.closed or after.grants is before.grants or not _counts(given, world):
            return []
        for each in after.profile.closed:
            if _opens(given, each) and (
                binds(each) or not any(_opens(known, each) and _counts(known, world) for known in before.grants)
            ):
                found.setdefault(each.address, []).append(each)
        return [Opening(address, tuple(each), _since(given), given.event_id) for address, each in sorted(found.items())]
    late = []
    for each in closures(before, after):
        newer = [known for known in after.grants if _opens(known, each) and _counts(known, world)]
        if newer:
            last = max(newer, key=lambda known: (_since(known), known.event_id))
            late.append(Opening(each.address, (each,), _since(last), last.event_id))
    return late


def _since(given: Grant) -> int:
    """From when a consent lifts: one stamped ahead of its arrival counts from its arrival."""
    return min(given.time_ms, given.arrived_ms)


def _opens(given: Grant, closed: Closure) -> bool:
    """Whether a consent is newer than a closure and covers all of it. Clocks are judged with the suppression."""
    return (
        _since(given) > closed.time_ms
        and given.controller == closed.controller
        and closed.channel in given.channels
        and all(any(covers(prefix, each) for prefix in given.purposes) for each in closed.purposes)
    )


def _counts(given: Grant, world: World) -> bool:
    return world.vocabulary.unknown_in_grant(given.channels, given.purposes, given.categories) is None

"""Which records of one key hold, when several were told (SEMANTICS rules 42, 45).

A record of a party, a campaign or a version of a notice both permits and restricts. It is over when a newer one lifts
it (`core.lifting`); until then every one of them holds, and only what all of them permit is permitted. In which order
they were read makes no difference. Must never forget a record that may still hold, unless another restricts as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Final, Protocol, TypeVar

import msgspec

from contactgate.core.lifting import lifted, past, settled
from contactgate.model.synonyms import folded
from contactgate.model.world import Agreement, Campaign, CampaignStatus, Notice, Party, PartyStatus
from contactgate.policy.plan import covers

MOST: Final = 64
"""How many records of one key are kept apart; more are kept as one that restricts as much as all of them."""
_AGREEMENTS: Final = 4_096
"""How many pairs of agreements are compared; of more none holds."""

_PARTY: Final[tuple[PartyStatus, ...]] = ("active", "suspended", "ended")
_CAMPAIGN: Final[tuple[CampaignStatus, ...]] = ("approved", "draft", "paused", "closed")


class Told(Protocol):
    """A fact with when it was stamped, when it first arrived, and in which event."""

    @property
    def time_ms(self) -> int: ...
    @property
    def arrived_ms(self) -> int: ...
    @property
    def event_id(self) -> str: ...


Fact = TypeVar("Fact", bound=Told)


def same_event(one: Any, other: Any) -> bool:
    """Whether both are one event. It counts as arrived when it was first carried, however often it comes again."""
    return bool(one.event_id == other.event_id and msgspec.structs.replace(one, arrived_ms=other.arrived_ms) == other)


def added(known: tuple[Fact, ...], one: Fact) -> tuple[Fact, ...]:
    """The facts with one more, in order of time; the very tuple that was given if it is known."""
    for each in known:
        if same_event(each, one):
            if each.arrived_ms <= one.arrived_ms:
                return known
            known = tuple(other for other in known if other is not each)
            break
    if not known:
        return (one,)
    return tuple(sorted((*known, one), key=_order))


def _order(fact: Told) -> tuple[int, str, int]:
    return (fact.time_ms, fact.event_id, fact.arrived_ms)


def kept(known: tuple[Fact, ...], one: Fact, fold: Callable[[Sequence[Fact]], Fact]) -> tuple[Fact, ...]:
    """The records of one key with one more, without those that can never hold again; `fold` makes one of too many.

    The very tuple that was given if it is known.
    """
    facts = added(known, one)
    if facts is known:
        return known
    if len(facts) > 1:
        facts = lasting(facts, facts)
    if len(facts) > MOST:
        facts = unsettled(facts, facts)
    return facts if len(facts) <= MOST else (fold(facts),)


def lasting(stops: tuple[Fact, ...], goes: Sequence[Told]) -> tuple[Fact, ...]:
    """Those that nothing has ended for good, whatever the skew and whatever comes again."""
    return tuple(s for s in stops if not any(past(s.time_ms, go.time_ms, go.arrived_ms) for go in goes))


def unsettled(stops: tuple[Fact, ...], goes: Sequence[Told]) -> tuple[Fact, ...]:
    """Those that nothing has ended whatever the skew, as long as none of them is repeated."""
    return tuple(
        s for s in stops if not any(settled(s.time_ms, s.arrived_ms, go.time_ms, go.arrived_ms) for go in goes)
    )


def is_lifted(stop: Told, goes: Sequence[Told], skew_ms: int) -> bool:
    """Whether one of the others is newer than a record."""
    return any(lifted(stop.time_ms, stop.arrived_ms, go.time_ms, go.arrived_ms, skew_ms) for go in goes)


def holding(facts: tuple[Fact, ...], skew_ms: int) -> tuple[Fact, ...]:
    """The records that hold: those that none of the others lifts. At least one does."""
    if len(facts) < 2:
        return facts
    return tuple(each for each in facts if not is_lifted(each, facts, skew_ms))


# --- what several records permit together -------------------------------------------------------------------------


def party_of(records: Sequence[Party]) -> Party:
    """One party for several records of it: what all of them permit, the latest time and the latest arrival."""
    return records[0] if len(records) == 1 else reduce(_met_party, records)


def _met_party(one: Party, other: Party) -> Party:
    pairs = len(one.agreements) * len(other.agreements)
    met = [_met(a, b) for a in one.agreements for b in other.agreements] if pairs <= _AGREEMENTS else []
    return msgspec.structs.replace(
        _later(one, other),
        status=max(one.status, other.status, key=_PARTY.index),
        agreements=tuple(dict.fromkeys(each for each in met if each is not None)),
        arrived_ms=max(one.arrived_ms, other.arrived_ms),
    )


def _met(one: Agreement, other: Agreement) -> Agreement | None:
    if one.controller != other.controller:
        return None
    return Agreement(
        controller=one.controller,
        purposes=_narrower(one.purposes, other.purposes),
        channels=_common(one.channels, other.channels),
        categories=_common(one.categories, other.categories),
        valid_from_ms=_latest(one.valid_from_ms, other.valid_from_ms),
        valid_until_ms=_earliest(one.valid_until_ms, other.valid_until_ms),
    )


def campaign_of(records: Sequence[Campaign]) -> Campaign:
    """One campaign for several records of it, likewise."""
    return records[0] if len(records) == 1 else reduce(_met_campaign, records)


def _met_campaign(one: Campaign, other: Campaign) -> Campaign:
    later = _later(one, other)
    approved = later if two_people(one) and two_people(other) else None
    requesters = _common(one.requesters, other.requesters)
    controller = one.controller if other.controller is None else other.controller
    if one.controller not in (None, controller):
        requesters = ()  # for two controllers: nobody may run it for either
    return msgspec.structs.replace(
        later,
        status=max(one.status, other.status, key=_CAMPAIGN.index),
        controller=controller,
        requesters=requesters,
        purposes=_narrower(one.purposes, other.purposes),
        channels=_common(one.channels, other.channels),
        created_by=approved and approved.created_by,
        approved_by=approved and approved.approved_by,
        valid_from_ms=_latest(one.valid_from_ms, other.valid_from_ms),
        valid_until_ms=_earliest(one.valid_until_ms, other.valid_until_ms),
        categories=_common(one.categories, other.categories),
        arrived_ms=max(one.arrived_ms, other.arrived_ms),
    )


def two_people(campaign: Campaign) -> bool:
    """Whether somebody else than who made a campaign approved it; one person is one in any spelling (rule 61)."""
    made, approved = folded(campaign.created_by or ""), folded(campaign.approved_by or "")
    return made != approved and "" not in (made, approved)


def notice_of(records: Sequence[Notice]) -> Notice:
    """One version for too many records of it: a notice that covers nothing."""
    last = max(records, key=_order)
    return msgspec.structs.replace(
        last,
        purposes=(),
        recipients=(),
        categories=(),
        effective_ms=min(each.effective_ms for each in records),
        arrived_ms=max(each.arrived_ms for each in records),
    )


Dated = TypeVar("Dated", Party, Campaign)


def _later(one: Dated, other: Dated) -> Dated:
    return max(one, other, key=_order)


def _common(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What is in both lists; None is all."""
    if one is None or other is None:
        return other if one is None else one
    return tuple(each for each in one if each in other)


def _narrower(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The dotted paths that lie below a path of both lists; None is all."""
    if one is None or other is None:
        return other if one is None else one
    inside = [each for each in one if any(covers(above, each) for above in other)]
    inside += [each for each in other if any(covers(above, each) for above in one)]
    return tuple(dict.fromkeys(inside))


def _latest(one: int | None, other: int | None) -> int | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _earliest(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)

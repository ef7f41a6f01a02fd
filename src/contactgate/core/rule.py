"""What every rule is, and the context it is asked in.

A rule answers from which instant at or after t it passes (`passes_from`): it holds at t exactly when that is t. Most
rules hold most of the time, so each also says in one answer whether it holds and how long it certainly goes on doing so
(`sure_until`). `decide`, `next_eligible`, `review` and `explain` ask nothing else, so they cannot disagree. Instants
are integer milliseconds; `NEVER` stands for "not as long as nothing else happens".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from contactgate.core.time.zones import Zone, zone
from contactgate.core.world import Policy, World
from contactgate.model.facts import Profile, Reason, SubjectState
from contactgate.model.request import Request
from contactgate.policy.plan import Limits

NEVER = 1 << 62
"""Later than every instant: the rule does not pass again as long as nothing else happens."""

BASIC = ("basic",)
"""What a contact is made with if nobody says otherwise: name and address."""

CONTACTS, WITHDRAWALS, PERSONAL, UNPLACED = 1, 2, 4, 8
"""Bits: which facts are known about a person.

    CONTACTS     contacts, decided or observed
    WITHDRAWALS  opt-outs
    PERSONAL     flags, an erasure, or hours of their own
    UNPLACED     no time zone is known
"""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What requester, campaign and pauses say of a kind of request at every t with since <= t < till."""

    since: int
    till: int
    sure: int  # until when all of them surely hold; -NEVER if one fails
    first: int  # from when those that fail pass, each alone
    reasons: tuple[Reason, ...]  # empty: all hold


_NO_INSTANT = Standing(since=0, till=0, sure=0, first=0, reasons=())


class Kind:
    """What is remembered of all requests that have requester, purpose and the like in common."""

    __slots__ = ("book", "standing")

    def __init__(self, book: Any) -> None:
        self.book = book  # a `core.rulebook.Rulebook`, which is made of rules
        self.standing = _NO_INSTANT


class Context(msgspec.Struct):
    """One request, the person's state and the world, with the jurisdictions and zones that follow from them."""

    request: Request
    state: SubjectState
    profile: Profile
    world: World
    policy: Policy
    zones: tuple[Zone, ...] | None  # None: unknown
    prefixes: frozenset[str]  # every dotted path that covers the purpose of the request
    categories: tuple[str, ...]  # the data categories it asks for, said or not; sorted
    memo: dict[int, Any]  # what a rule found out, by the identity of what it asked with
    kind: Kind | None = None

    @property
    def limits(self) -> Limits:
        """Times that hold for every request."""
        return self.policy.limits

    @property
    def jurisdictions(self) -> tuple[str, ...]:
        """All that apply to the request, sorted."""
        request = self.request
        return union(self.profile.jurisdictions, request.number_jurisdictions, request.jurisdictions)

    def covered_by(self, purposes: tuple[str, ...]) -> bool:
        """Whether one of these dotted paths covers the purpose of the request."""
        return not self.prefixes.isdisjoint(purposes)


def context(request: Request, state: SubjectState, world: World, policy: Policy) -> Context:
    """The context of a request."""
    profile = state.profile
    zones = zones_of(profile.timezones or request.number_zones)
    return Context(
        request=request,
        state=state,
        profile=profile,
        world=world,
        policy=policy,
        zones=zones,
        prefixes=prefixes(request.purpose),
        categories=request.categories or categories_of(request, world),
        memo={},
    )


def categories_of(request: Request, world: World) -> tuple[str, ...]:
    """The data categories a request asks for: those it names, else its campaign's, else `basic` (SEMANTICS rule 48)."""
    if request.categories:
        return request.categories
    campaign = None if request.campaign is None else world.campaigns.get(request.campaign)
    return BASIC if campaign is None else campaign.categories or BASIC


@lru_cache(maxsize=65_536)
def prefixes(purpose: str) -> frozenset[str]:
    """Every dotted path that covers a purpose: itself and all it lies below."""
    parts = purpose.split(".")
    return frozenset(".".join(parts[: length + 1]) for length in range(len(parts)))


@lru_cache(maxsize=65_536)
def union(*lists: tuple[str, ...]) -> tuple[str, ...]:
    """All jurisdictions of several lists, sorted, with the country of every subdivision."""
    codes = {code for each in lists for code in each}
    return tuple(sorted(codes | {code.partition("-")[0] for code in codes}))


@lru_cache(maxsize=65_536)
def zones_of(names: tuple[str, ...]) -> tuple[Zone, ...] | None:
    """The zones of these names; None if there are none or if one of them cannot be loaded (SEMANTICS rule 11)."""
    found = tuple(each for each in map(zone, names) if each is not None)
    return found if found and len(found) == len(names) else None


class Rule:
    """One rule as the core asks it. A subclass answers the same whatever it was asked before.

    INVARIANT (one answer): for every t, passes_from(ctx, t) >= t; every instant before it fails; it itself passes.
    sure_until(ctx, t) is t exactly if it fails at t, and then it passes at every instant from t until there.
    """

    name = ""  # for `rule.error:<name>`
    words = "holds"  # why it holds, if that is always the same
    about = 0  # which facts could make it fail (bits above); a person with none of them always passes. 0: always ask
    recalls = False  # an open approval that fails it is recalled (SEMANTICS rule 26)
    opens = False  # its passing comes and goes with the clock: calling hours
    standing = False  # it looks at the requester, the campaign and the world only, and only time ends its holding
    assumes = ""  # what a forecast supposes if this rule holds now and would fail by then by age alone; empty: nothing
    bounds = False  # an approval is not valid for longer than it holds; `sure_until` is exact then

    def passes_from(self, ctx: Context, t: int) -> int:
        """The first instant at or after t at which this rule alone passes, or NEVER."""
        raise AssertionError("a rule must say when it passes")

    def sure_until(self, ctx: Context, t: int) -> int:
        """t if it fails at t; else until when it certainly goes on holding as time alone passes."""
        raise AssertionError("a rule must say for how long it certainly holds")

    def supposed(self, ctx: Context, t: int) -> bool:
        """Whether a forecast made at t may suppose that it goes on holding (SEMANTICS rule 51)."""
        return False

    def holds_until(self, ctx: Context, t: int) -> int:
        """When it stops holding, for people; NEVER if that says nothing. Asked only if it holds at t."""
        return self.sure_until(ctx, t) if self.bounds else NEVER

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        """Why it fails at t, in words without any address, given when it passes first. Asked only if it fails at t."""
        raise AssertionError("a rule must say why it fails")

    def holds_because(self, ctx: Context, t: int) -> str:
        """Why it holds at t, in words without any address."""
        return self.words

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        """The facts it looked at, one line each: what, of when, from which event."""
        return ()


def until(instant: int) -> int | None:
    """NEVER as None, for what leaves the core."""
    return None if instant >= NEVER else instant

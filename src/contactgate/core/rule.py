"""What every rule is, and the context it is asked in.

A rule is asked one question: from which instant at or after t does it pass (`passes_from`)? It holds at t exactly when
the answer is t. `decide`, `next_eligible`, `review` and `explain` all ask this one question, so they cannot disagree.
Instants are integer milliseconds; `NEVER` stands for "not as long as nothing else happens".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from contactgate.core.world import Policy, World
from contactgate.core.zones import Zone, zone
from contactgate.model.facts import Reason, SubjectState
from contactgate.model.request import Request

NEVER = 1 << 62
"""Later than every instant: the rule does not pass again as long as nothing else happens."""


class Context:
    """One request, the person's state and the world, with the jurisdictions and zones that follow from them."""

    __slots__ = (
        "jurisdictions",
        "limits",
        "memo",
        "policy",
        "prefixes",
        "profile",
        "request",
        "state",
        "world",
        "zones",
    )

    def __init__(self, request: Request, state: SubjectState, world: World, policy: Policy) -> None:
        profile = state.profile
        self.request = request
        self.state = state
        self.profile = profile
        self.world = world
        self.policy = policy
        self.limits = policy.limits
        self.jurisdictions = union(profile.jurisdictions, request.number_jurisdictions, request.jurisdictions)
        self.zones = zones_of(profile.timezones or request.number_zones)  # None: unknown
        self.prefixes = prefixes(request.purpose)
        self.memo: dict[int, Any] = {}  # what a rule found out, by the identity of what it asked with

    def covered_by(self, purposes: tuple[str, ...]) -> bool:
        """Whether one of these dotted paths covers the purpose of the request."""
        return not self.prefixes.isdisjoint(purposes)


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
    """One rule as the core asks it. A subclass answers `passes_from`, the same whatever it was asked before.

    INVARIANT (one answer): for every t, passes_from(ctx, t) >= t; every instant before it fails; it itself passes.
    """

    name = ""  # for `rule.error:<name>`
    words = "holds"  # why it holds, if that is always the same
    personal = False  # it passes if the person has no flags, was not erased, and chose no hours
    recalls = False  # an open approval that fails it is recalled (SEMANTICS rule 26)
    opens = False  # its passing comes and goes with the clock: calling hours
    standing = False  # it looks at the requester, the campaign and the world only, and only time ends its holding
    bounds = False  # an approval is not valid for longer than it holds

    def passes_from(self, ctx: Context, t: int) -> int:
        """The first instant at or after t at which this rule alone passes, or NEVER."""
        raise AssertionError("a rule must say when it passes")

    def holds_until(self, ctx: Context, t: int) -> int:
        """When it stops holding as time alone passes; NEVER if it does not. Asked only if it holds at t."""
        return NEVER

    def steady(self, ctx: Context, t: int) -> bool:
        """Whether it surely holds at every instant after t as time alone passes. Asked only if it holds at t."""
        return False

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

"""What the core remembers between decisions never changes one: not for another person, not for another clock.

500 histories; `CONTACTGATE_LONG=1` (`make properties`) tries 10,000.
"""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property.agreement import TOKENS, compiled
from tests.property.effort import PATIENCE_S, examples
from tests.property.generators import history

from contactgate.core.decide import decide
from contactgate.core.world import World
from contactgate.gate import gate as partition
from contactgate.model.decision import Decision
from contactgate.model.facts import SubjectState
from contactgate.model.request import Request
from contactgate.offline import Fold

pytestmark = [pytest.mark.timeout(PATIENCE_S)]

JUMPS = (0, 1, 2, 1_000, 60_000, 3_600_000, 25_200_000, 86_400_000, 432_000_000, 3_456_000_000)
"""How far the clocks of two askers may lie apart, in milliseconds: up to forty days."""


REMEMBERED = {"memo", "kinds", "_vocabulary", "_in_force"}
"""What a world has found out of its tables."""


def without_memory(world: World) -> World:
    """The same tables, nothing remembered."""
    fresh = World()
    for name in World.__slots__:
        if name not in REMEMBERED:
            setattr(fresh, name, getattr(world, name))
    return fresh


@settings(max_examples=examples(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_what_was_asked_before_changes_no_answer(seed: int) -> None:
    """A world that has decided much says the same as one that has decided nothing, at any instant."""
    rng = random.Random(seed)
    policy, events = history(seed)
    fold = Fold(compiled(policy), TOKENS)

    def compared(request: Request, state: SubjectState, world: World, now_ms: int) -> tuple[Decision, SubjectState]:
        for _ in range(3):
            at_ms = max(0, now_ms + rng.choice((-1, 1)) * rng.choice(JUMPS))
            assert decide(request, state, world, at_ms) == decide(request, state, without_memory(world), at_ms)
        return decide(request, state, world, now_ms)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "decide", compared)
        for event in events:
            fold.line(json.dumps(event).encode())

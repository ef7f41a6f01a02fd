"""The decision core against a second, slow, independently written model, on random policies and histories.

Two thousand histories here; `CONTACTGATE_LONG=1` (`make properties`) compares a hundred thousand on two processes.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from tests.property.agreement import compare, differences
from tests.property.effort import LONG, PATIENCE_S
from tests.property.generators import histories, history
from tests.property.policies import Event

HISTORIES = 100_000 if LONG else 2_000
pytestmark = [pytest.mark.timeout(PATIENCE_S)]


@pytest.mark.slow
def test_core_agrees_with_slow_model() -> None:
    """Verdict, reasons, next eligible instant, validity and recalls are the model's, on every random history."""
    counts, disagreeing = compare(0, HISTORIES, jobs=2)
    assert counts["histories"] == HISTORIES
    assert disagreeing == [], "see one with: python -m tests.property.agreement --seed N"


@pytest.mark.parametrize("seed", [48128, 72939, 75683, 77580])
def test_a_review_counts_local_days_as_the_decision_did(seed: int) -> None:
    """On the day a listing begins to bind, an open approval is recalled when that day begins where the number may be.

    These histories once recalled some hours too early: the stored approval had forgotten the zones of the number.
    """
    policy, events = history(seed)
    assert differences(events, policy) == []


@settings(
    max_examples=10_000 if LONG else 100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(histories())
def test_core_agrees_with_slow_model_shrinking(drawn: tuple[Event, list[Event]]) -> None:
    """The same on histories that Hypothesis draws, so that a disagreement is reported short."""
    policy, events = drawn
    assert differences(events, policy) == []

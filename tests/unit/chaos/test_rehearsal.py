"""The population of the chaos runs against the gate in memory: the judge agrees, and sees bugs."""

from __future__ import annotations

import pytest
from tests.chaos.checker import check
from tests.chaos.rehearsal import Rehearsal


@pytest.mark.slow
def test_the_judge_agrees_with_the_gate_about_everything_that_the_workload_says() -> None:
    """Thousands of messages of every kind, without a fault: no promise is broken, and every situation was met."""
    verdict = check(Rehearsal(1).play(1_500))
    assert verdict.broken == (), [f for f in verdict.findings if not f.held]
    assert set(verdict.unreached) <= {"aborted_transactions"}

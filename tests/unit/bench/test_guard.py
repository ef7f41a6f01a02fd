"""The guard of speed: a decision's CPU in relation to the same job in plain Python, measured in the same process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.guard import BOUNDS

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_decision_costs_no_more_than_its_bound() -> None:
    """CPU a decision over the yardstick's stays within the bounds; a second try forgives one unlucky measurement."""
    for attempt in (1, 2):
        done = subprocess.run(
            [sys.executable, "-m", "bench.guard"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=280
        )
        assert done.returncode == 0, done.stderr
        measured = json.loads(done.stdout)
        over = {way: round(ratio, 2) for way, ratio in measured.items() if ratio > BOUNDS[way]}
        if not over:
            break
        assert attempt == 1, f"dearer than the bound: {over}, allowed {BOUNDS}"

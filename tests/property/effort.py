"""How many examples a law is tried with: 250 in `make test`, always the same; 10,000 others in `make properties`."""

from __future__ import annotations

import os

LONG = os.environ.get("CONTACTGATE_LONG") == "1"


def examples(usual: int = 250) -> int:
    """How many."""
    return max(10_000, usual) if LONG else usual


PATIENCE_S = 7_200 if LONG else 240

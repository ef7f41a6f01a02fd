"""The order of severity: complete, and as docs/semantics.md tells it in rule 32."""

import re
from pathlib import Path
from typing import get_args

from contactgate.core.outcomes import BY_SEVERITY, RESTRICTING, SEVERITY
from contactgate.core.rules.caps import COUNTED
from contactgate.model.facts import Outcome

SEMANTICS = Path(__file__).parents[3] / "docs" / "semantics.md"


def test_every_outcome_has_a_rank() -> None:
    """Of two reports of any outcomes one is the more restricting."""
    assert sorted(BY_SEVERITY) == sorted(get_args(Outcome))
    assert len(SEVERITY) == len(BY_SEVERITY)


def test_the_order_is_the_documented_one() -> None:
    """Rule 32 lists the outcomes in the order in which they are compared."""
    told = re.search(r"^32\..*?\(`(.*?)`\)", SEMANTICS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert told is not None
    assert tuple(told.group(1).split()) == BY_SEVERITY


def test_what_is_never_forgotten_ranks_highest() -> None:
    """No forgettable outcome can replace one that must stay known."""
    assert set(BY_SEVERITY[-len(RESTRICTING) :]) == RESTRICTING


def test_a_cap_of_attempts_keeps_the_place_of_every_contact_that_was_made() -> None:
    """Only `not_attempted` gives a place back, whatever outcomes there are."""
    assert COUNTED["approved"] == COUNTED["attempted"] == set(get_args(Outcome)) - {"not_attempted"}

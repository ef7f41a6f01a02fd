"""Control messages as values: what a scope can say."""

from __future__ import annotations

import pytest

from contactgate.model.control import PauseScope


@pytest.mark.parametrize("name", PauseScope.model_fields)
def test_a_pause_with_an_empty_list_names_nobody(name: str) -> None:
    """Whichever list it is: a field of the scope that is added later counts as well."""
    assert PauseScope.model_validate({name: []}).names_nobody
    assert not PauseScope.model_validate({name: ["one"]}).names_nobody
    assert not PauseScope().names_nobody

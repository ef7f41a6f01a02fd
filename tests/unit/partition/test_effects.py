"""The protocol between a partition's task and what carries its effects out, as types."""

from __future__ import annotations

import re
from typing import Any, get_args, get_type_hints

import pytest

from contactgate.engine.driver import Driver
from contactgate.model.log import Bounds
from contactgate.names import Kind
from contactgate.partition import effects as fx

EFFECTS = [kind for kind in vars(fx).values() if isinstance(kind, type) and fx.Effect in kind.__bases__]


def _result(effect: type[fx.Effect[Any]]) -> Any:
    """The R of `class X(Effect[R])`."""
    (base,) = effect.__orig_bases__  # type: ignore[attr-defined]
    return get_args(base)[0]


@pytest.mark.parametrize("effect", EFFECTS, ids=[effect.__name__ for effect in EFFECTS])
def test_the_driver_returns_what_the_effect_promises(effect: type[fx.Effect[Any]]) -> None:
    """The task is typed by `Effect[R]`; the driver's method of the same name gives exactly that."""
    name = re.sub(r"(?<!^)([A-Z])", r"_\1", effect.__name__).lower()
    hints = get_type_hints(getattr(Driver, f"_{name}"))
    assert hints.pop("return") == _result(effect)
    assert list(hints.values()) == [effect]


def test_asking_hands_on_the_effect_the_result_and_the_failure() -> None:
    """`ask` is one step of the task: nothing is added before, between or after."""
    steps = fx.ask(fx.ReadEnd(Kind.CHANGELOG))
    assert next(steps) == fx.ReadEnd(Kind.CHANGELOG)
    with pytest.raises(StopIteration) as ended:
        steps.send(Bounds(3, 9))
    assert ended.value.value == Bounds(3, 9)
    failing = fx.ask(fx.Now())
    next(failing)
    with pytest.raises(fx.StopAsked):
        failing.throw(fx.StopAsked())

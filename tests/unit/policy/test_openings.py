"""What `policy check` warns of."""

from __future__ import annotations

from typing import Any

import pytest

from contactgate.policy.load import load_policy
from contactgate.policy.openings import openings

REGISTRY = {"max_age": "31d", "channels": ["voice"]}


def places(**keys: Any) -> list[str]:
    found = list(openings(load_policy({"policy": "p", **keys}).document))
    assert all(fault.message and fault.message[-1] != "." and "\n" not in fault.message for fault in found)
    return [fault.place for fault in found]


def test_a_policy_of_defaults_opens_nothing() -> None:
    """There is no warning without a reason."""
    assert places() == []
    assert places(require={"campaign": True}, registries=[{"name": "house-2026", **REGISTRY}]) == []


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"registries": [{"name": "us-ndncc", **REGISTRY}]}, "registries[0].name"),
        ({"outcomes_by": "both"}, "outcomes_by"),
        ({"outcomes_by": "subject"}, "outcomes_by"),
        ({"clock_skew": 0}, "clock_skew"),
        ({"clock_skew": "0m"}, "clock_skew"),
        ({"unreported": "release"}, "unreported"),
        ({"require": {"campaign": False}}, "require.campaign"),
        ({"require": {"party": False}}, "require.party"),
        ({"require": {"notice": False}}, "require.notice"),
        ({"dedup_horizon": "10m"}, "dedup_horizon"),
    ],
)
def test_every_opening_is_told_with_its_place(keys: dict[str, Any], place: str) -> None:
    """Each is one warning, and the policy stays valid."""
    assert places(**keys) == [place]

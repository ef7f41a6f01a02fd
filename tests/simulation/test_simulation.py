"""The engine under simulated faults, the checker under seeded bugs and doctored histories."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from tests.simulation.bugs import BUGS
from tests.simulation.campaign import campaign, catch_all, digest, digests
from tests.simulation.checker import check
from tests.simulation.known import broadcast_letters
from tests.simulation.run import Simulation

SEEDS = 10_000


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_ten_thousand_seeds_keep_every_promise() -> None:
    """Under crashes, zombies, lost and late answers no promise breaks, and every case that matters was seen."""
    result = campaign(0, SEEDS)
    assert result.green, result.text()


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_every_seeded_bug_is_caught() -> None:
    """Each deliberate fault of task, driver or gate turns the checker red within a few thousand seeds."""
    missed = [name for name, _, caught, _ in catch_all(wanted=1) if not caught]
    assert len(BUGS) >= 25
    assert not missed


def test_a_seed_gives_the_same_history_in_any_process() -> None:
    """Nothing but the seed decides: another process with another hash seed gives the same bytes."""
    seeds = [3, 4, 5, 6]
    assert [digest(seed) for seed in seeds] == digests(seeds)


@pytest.fixture(scope="module")
def history() -> dict[str, Any]:
    """A history without violations that has passes, blocks by the cap, dead letters and recalls."""
    for seed in range(2_000):
        found = Simulation(seed).run()
        txns = [txn for partition in found["partitions"].values() for txn in partition["txns"]]
        approvals = [value for txn in txns for _, _, value in txn["approvals"]]
        if (
            any(b"contact.recalled" in value for value in approvals)
            and any(txn["dead"] for txn in txns)
            and any(b"cap.ten_minutes" in value for txn in txns for _, _, value in txn["decisions"])
            and not check(found)
        ):
            return found
    raise AssertionError("no such history among 2,000 seeds")


def _txn(history: dict[str, Any], what: str, holds: bytes = b"") -> tuple[dict[str, Any], int]:
    """The first transaction with such an output, and the place of the output in it."""
    for partition in history["partitions"].values():
        for txn in partition["txns"]:
            for place, (_, _, value) in enumerate(txn[what]):
                if holds in value:
                    return txn, place
    raise AssertionError(f"no {what} with {holds!r}")


def _lose_decision(history: dict[str, Any]) -> None:
    txn, place = _txn(history, "decisions")
    del txn["decisions"][place]


def _repeat_decision(history: dict[str, Any]) -> None:
    txn, place = _txn(history, "decisions")
    txn["decisions"].append(txn["decisions"][place])


def _edit_decision(history: dict[str, Any]) -> None:
    txn, place = _txn(history, "decisions", b'"verdict":"block"')
    offset, key, value = txn["decisions"][place]
    txn["decisions"][place] = offset, key, value.replace(b'"verdict":"block"', b'"verdict":"pass"')


def _lose_approval(history: dict[str, Any]) -> None:
    txn, place = _txn(history, "approvals", b"contact.approved")
    del txn["approvals"][place]


def _lose_recall(history: dict[str, Any]) -> None:
    txn, place = _txn(history, "approvals", b"contact.recalled")
    del txn["approvals"][place]


def _recall_twice(history: dict[str, Any]) -> None:
    txn, place = _txn(history, "approvals", b"contact.recalled")
    txn["approvals"].append(txn["approvals"][place])


def _lose_letter(history: dict[str, Any]) -> None:
    txn, place = _txn(history, "dead")
    del txn["dead"][place]


def _cut_letter(history: dict[str, Any]) -> None:
    txn, place = _txn(history, "dead")
    offset, key, value = txn["dead"][place]
    head, _, _ = value.partition(b'"sealed":"')
    txn["dead"][place] = offset, key, head + b'"sealed":"AA=="}'


def _lose_transaction(history: dict[str, Any]) -> None:
    partition = history["partitions"][0]
    del partition["txns"][-2]


def _other_state(history: dict[str, Any]) -> None:
    states = history["partitions"][0]["changelog"]
    states[min(states)] = b"\x01other"


def _other_store(history: dict[str, Any]) -> None:
    history["partitions"][0]["store"][b"nobody"] = b"\x01"


def _more_acknowledged(history: dict[str, Any]) -> None:
    for op in history["ops"]:
        if op["topic"] == "request" and op["offset"] is not None:
            op["acked"] = (10_000, 0, 0, 0)


def _positions_elsewhere(history: dict[str, Any]) -> None:
    history["partitions"][0]["txns"][0]["offsets"] = {}


def _not_drained(history: dict[str, Any]) -> None:
    history["drained"] = False


@pytest.mark.parametrize(
    ("doctor", "invariant"),
    [
        (_lose_decision, "I6"),
        (_repeat_decision, "I6"),
        (_edit_decision, "I11"),
        (_lose_approval, "I21"),
        (_lose_recall, "I22"),
        (_recall_twice, "I22"),
        (_lose_letter, "I8"),
        (_cut_letter, "I8"),
        (_lose_transaction, "I6"),
        (_other_state, "I14"),
        (_other_store, "I14"),
        (_more_acknowledged, "I1"),
        (_positions_elsewhere, "I7"),
        (_not_drained, "I20"),
    ],
)
def test_the_checker_names_what_a_doctored_history_breaks(history: dict[str, Any], doctor: Any, invariant: str) -> None:
    """A clean history with one thing lost, repeated or changed is red, by the right invariant among others."""
    doctored = copy.deepcopy(history)
    doctor(doctored)
    assert invariant in {found for found, _ in check(doctored)}


def test_the_checker_imports_nothing_of_the_product() -> None:
    """The judge shares no code with what it judges."""
    for judge in (check, broadcast_letters):
        source = Path(judge.__code__.co_filename).read_text(encoding="utf-8").splitlines()
        assert not [line for line in source if line.startswith(("import", "from")) and "contactgate" in line]

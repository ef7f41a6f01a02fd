"""The benchmark's report: medians, ratios, the table, and what of a page it may rewrite."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from bench import observe, report
from bench.bout import decided_again, differences
from bench.contenders import everyone


def _turn(contender: str, repeat: int, **figures: float) -> dict[str, Any]:
    return {"contender": contender, "repeat": repeat, "figures": figures}


TURNS = [
    _turn("contactgate", 0, cpu_us=20.0, rate1_p99_ms=30.0),
    _turn("contactgate", 1, cpu_us=10.0, rate1_p99_ms=20.0),
    _turn("contactgate", 2, cpu_us=12.0, rate1_p99_ms=25.0),
    _turn("faust", 0, cpu_us=600.0),
]


def test_a_summary_is_medians_extremes_and_ratios() -> None:
    """The median stands for the repeats, and is put in relation to contactgate's."""
    found = report.summary(TURNS)
    assert found["contactgate"]["cpu_us"] == {"median": 12.0, "min": 10.0, "max": 20.0, "ratio": 1.0}
    assert found["faust"]["cpu_us"]["ratio"] == 50.0
    assert found["faust"]["per_core_s"]["median"] == pytest.approx(1e6 / 600)
    assert "rate1_p99_ms" not in found["faust"]


def test_the_table_says_what_was_not_sustained() -> None:
    """A figure that a contender does not have is a dash; a figure that nobody has is no row."""
    rows = report.table({"summary": report.summary(TURNS)}).splitlines()
    assert "| contactgate | Faust, agent and Table |" in rows[0]
    assert next(row for row in rows if "p99 at 1,000/s" in row).endswith("| 25 (20–30) | – |")
    assert next(row for row in rows if "CPU a decision, µs" in row).endswith("| 12.0 (10.0–20.0) | 600.0 · 50× |")
    assert not any("p99.9 at 5,000/s" in row for row in rows)


def test_only_what_is_between_the_markers_is_rewritten() -> None:
    """The rest of a page stays as it is, and rewriting again changes nothing more."""
    page = "before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n"
    once = report.rewrite(page, "new")
    assert once == "before\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nafter\n"
    assert report.rewrite(once, "new") == once


@pytest.mark.parametrize("page", [
    "no marker", "<!-- bench:begin --> only the first", "<!-- bench:end --><!-- bench:begin -->",
    "<!-- bench:begin --><!-- bench:end --><!-- bench:begin --><!-- bench:end -->",
])  # fmt: skip
def test_a_page_without_its_markers_is_left_alone(page: str) -> None:
    """Nothing is guessed: the page needs exactly one pair of markers."""
    with pytest.raises(ValueError, match="exactly one"):
        report.rewrite(page, "new")


def test_every_difference_of_two_contenders_is_told() -> None:
    """Another verdict, another set of reasons and one decision too many are differences; not being asked is none."""
    ours = {("r-1", 0): ("pass", ()), ("r-2", 0): ("block", ("cap.daily",)), ("r-3", 0): ("pass", ())}
    assert differences(ours, ours) == []
    assert differences(ours, {("r-1", 0): ("pass", ())}) == []
    assert differences(ours, {**ours, ("other-1", 0): ("pass", ())}) == []
    assert differences({**ours, ("r-3", 1): ("pass", ())}, ours) == ["r-3: decided 2 times by one of them"]
    theirs = {("r-1", 0): ("block", ("cap.daily",)), ("r-1", 1): ("pass", ()), ("r-2", 0): ("block", ("window.hours",))}
    assert differences(ours, theirs) == [
        "r-1: pass  | block cap.daily",
        "r-2: block cap.daily | block window.hours",
        "r-1: decided 2 times by one of them",
    ]


def test_a_second_decision_is_told_apart_from_another_one() -> None:
    """Decisions beyond the reference's of a request; a repetition that was sent and an unknown request are none."""
    ours = {("r-1", 0): ("pass", ()), ("r-1", 1): ("pass", ()), ("r-2", 0): ("pass", ())}
    theirs = {**ours, ("r-1", 2): ("pass", ()), ("r-2", 1): ("block", ()), ("other-1", 0): ("pass", ())}
    again = decided_again(ours, theirs)
    assert again == {("r-1", 2), ("r-2", 1)}
    assert differences(ours, {place: theirs[place] for place in theirs.keys() - again}) == []
    assert {each.name for each in everyone() if each.decides and not each.exact} == {"bytewax", "faust"}


def test_names_of_contenders_are_their_own() -> None:
    """Topics and state directories are named after contenders, so no two share a name; contactgate comes first."""
    names = [each.name for each in everyone()]
    assert len(set(names)) == len(names)
    assert names[0] == "contactgate"


def test_cpu_and_memory_of_a_process_are_read() -> None:
    """CPU time grows with work, as the system itself counts it, and the peak memory of a process is not nothing."""
    before = observe.cpu_s(os.getpid())
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert observe.cpu_s(os.getpid()) - before >= 0.05
    assert observe.peak_bytes(os.getpid()) > 1_000_000

"""The report of a chaos run: what it measures is right, and what it shows stands in one file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.chaos import handmade
from tests.chaos.checker import check
from tests.chaos.history import History
from tests.chaos.report import write
from tests.chaos.stories import asked, consented, passed_after_opt_out, whole
from tests.chaos.timeline import measure, quantile


def placed(history: History, directory: Path) -> History:
    """The history in a directory of its own."""
    shutil.copy(Path(handmade.__file__).with_name("policy.yaml"), directory)
    history.directory = directory
    return history


def fault(number: int, kind: str, phase: str, at_ms: int, **details: object) -> dict[str, object]:
    """A line of faults.jsonl."""
    return {"fault": number, "kind": kind, "target": "w1", "phase": phase, "wall_ms": at_ms, "mono_ns": 0, **details}


def test_the_report_is_one_file_with_everything(tmp_path: Path) -> None:
    """Promises, counters that are missing and the picture are in the page itself, which loads nothing."""
    history = placed(whole().history(), tmp_path)
    verdict = check(history)
    page = write(history, verdict).read_text(encoding="utf-8")
    assert all(finding.promise in page for finding in verdict.findings)
    assert all(name in page for name in verdict.unreached)
    assert "data:image/png;base64," in page
    assert "http" not in page.partition("<body>")[0] + page.rpartition("base64,")[2].partition("'")[2]
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_a_broken_promise_is_shown_with_an_example(tmp_path: Path) -> None:
    """A red run says so at the top, and which request it was below."""
    history = placed(passed_after_opt_out().history(), tmp_path)
    page = write(history, check(history)).read_text(encoding="utf-8")
    assert "class='state red'" in page
    assert "request 0 passed" in page


def test_recovery_counts_from_the_first_request_that_waited() -> None:
    """A kill without traffic takes no time; a kill with a request waiting takes until its decision."""
    tale = asked(consented(), 1).commit("pass")
    killed_ms = tale.now_ms + 100
    tale.wait(2_000).ask("waits")
    tale.wait(3_000).commit("pass")
    history = tale.history()
    history.faults += [
        fault(1, "worker.kill", "begin", killed_ms, partitions=[0]),
        fault(1, "worker.kill", "end", killed_ms + 500),
        fault(2, "broker.kill", "begin", killed_ms + 4_000),
    ]
    found = measure(history)
    assert [(each.seconds, each.alone) for each in found.recoveries] == [(3.0, False)]
    assert [span.end_s is None for span in found.spans] == [False, True]
    assert sum(found.asked) == sum(found.decided) == 2
    assert max(found.lag) == 1


def test_a_run_without_requests_has_an_empty_timeline(tmp_path: Path) -> None:
    """A run that failed before its first request still gets its report."""
    history = placed(consented().history(), tmp_path)
    history.faults.append(fault(1, "worker.kill", "begin", 5, partitions=[0]))
    assert write(history, check(history)).exists()


@pytest.mark.parametrize(("part", "value"), [(0.5, 2.0), (0.99, 4.0), (1.0, 4.0), (0.0, 1.0)])
def test_a_quantile_is_one_of_the_values(part: float, value: float) -> None:
    """No interpolation: a maximum that is reported was measured."""
    assert quantile([4.0, 1.0, 3.0, 2.0], part) == value

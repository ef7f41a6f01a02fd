"""A figure that two pages could give differently stands on one of them, or is the same on both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md"), ROOT / "Makefile"])
TARGET = r"make (?:test|chaos(?:-long|-bugs)?|simulate|properties|fuzz|bench)\b"
TOLD = re.compile(
    rf"{TARGET}[^|\n]*(?:\||#)[^\n]*?((?:about |several |half an )?(?:[\d]+ )?(?:minute|hour|seconds?|ms)\w*\b)"
)


def durations(text: str) -> Iterator[str]:
    """Lines that say how long a target of the Makefile takes: in a table or behind a `#`."""
    for line in text.splitlines():
        if TOLD.search(line):
            yield line


def performance() -> dict[str, list[str]]:
    """The rows of the first table of docs/performance.md: measured and aim, by what they are of."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8").split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return {what: [measured, aim] for what, _, measured, aim in rows}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_how_long_a_target_takes_is_said_on_one_page(page: Path) -> None:
    """Durations of the tests are in docs/promises.md, those of the benchmark in bench/README.md, and nowhere else."""
    found = list(durations(page.read_text(encoding="utf-8")))
    if page == ROOT / "docs" / "promises.md":
        assert len(found) >= 6
    elif page == ROOT / "bench" / "README.md":
        assert all("make bench" in line for line in found)
    else:
        assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "    make chaos                 # faults against a real cluster: about 20 minutes",
        "| `make properties` | 100,000 random histories | several hours |",
        "    make simulate SEEDS=n      # lives of the engine: 11 ms a seed",
    ],
)
def test_a_duration_is_seen(line: str) -> None:
    """The forms in which pages have given them."""
    assert list(durations(line))


def test_the_readme_tells_the_speed_and_the_aim_of_the_page_on_performance() -> None:
    """Decisions a second: rounded to hundreds as measured, and the aim as it stands."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ((rate, aim),) = re.findall(r"about ([\d,]+) requests a second on two shared cores; the aim is ([\d,]+)", readme)
    measured, wanted = performance()["decisions a second on a backlog"]
    assert aim == wanted
    assert int(rate.replace(",", "")) == round(int(measured.replace(",", "")), -2)


def test_aims_of_latency_agree() -> None:
    """The two tables of docs/performance.md that have an aim for p99 at 1,000 requests a second have the same."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    (aim,) = (row[1] for what, row in performance().items() if "8 partitions, p50 / p99" in what)
    assert re.findall(r"^\| (p99) at 1,000/s at most (\d+ ms) \|", text, re.MULTILINE) == [tuple(aim.split(" ", 1))]

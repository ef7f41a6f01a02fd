"""Every rule that a promise rests on has a name, stands at one place, and can be found from the promise."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.chaos.verdict import PROMISES

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "contactgate"
_NAMED = re.compile(r"INVARIANT\s+(?:#\s+)?\(([^)]*)\)(:?)")
_KEPT = re.compile(r"([a-z ]+) \(`([\w/]+\.py)`\)")
_NUMBER = re.compile(r"\bI\d+b?\b")
_REPORTED = re.compile(r'(?:bad\(|append\(\()\s*"([^"]+)"')
_ROW = re.compile(r"^    ([a-z ]+?)  +([\w/]+\.py)$", re.MULTILINE)


def _stated() -> list[tuple[str, str]]:
    """Name and file of each definition: the name has a colon behind it."""
    return [(name, file) for name, file, defined in _mentions(SOURCE) if defined]


def _mentions(folder: Path) -> list[tuple[str, str, bool]]:
    return [
        (found[1], str(path.relative_to(folder)), bool(found[2]))
        for path in sorted(folder.rglob("*.py"))
        for found in _NAMED.finditer(path.read_text(encoding="utf-8"))
    ]


def _promises() -> dict[str, list[tuple[str, str]]]:
    """What keeps each promise, by its number: names and files."""
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    table = text.partition("## Promised")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    assert rows[0][-1] == "kept by"
    return {number: _KEPT.findall(kept) for number, _, _, kept in rows[2:]}


def test_every_invariant_is_stated_once() -> None:
    """A rule with two texts is two rules, and one of them is out of date."""
    names = Counter(name for name, _ in _stated())
    assert {name: count for name, count in names.items() if count != 1} == {}
    assert len(names) > 20


def test_every_mention_of_an_invariant_is_of_one_that_is_stated() -> None:
    """Citations resolve, in the source and in the tests."""
    known = {name for name, _ in _stated()}
    mentioned = [*_mentions(SOURCE), *_mentions(ROOT / "tests")]
    unknown = {(name, file) for name, file, _ in mentioned if name not in known}
    assert {(name, file) for name, file in unknown if not file.endswith("test_promises.py")} == set()


def test_every_word_invariant_is_followed_by_a_name() -> None:
    """None slips through because of how it is written."""
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert len(re.findall(r"\bINVARIANT\b(?!`)", text)) == len(_NAMED.findall(text)), path


def test_every_promise_names_what_keeps_it_and_where() -> None:
    """Each row, I1 to I22, names at least one rule with the file that states it."""
    promises, stated = _promises(), dict(_stated())
    numbers = [number for row in promises for number in re.findall(r"I\d+\b", row)]
    assert [int(number[1:]) for number in numbers] == list(range(1, 23))
    for number, kept in promises.items():
        assert kept, f"{number} is kept by nothing"
        for name, file in kept:
            assert stated.get(name.strip()) == file, f"{number}: {name}"


def test_the_partition_lists_what_the_promises_rest_on() -> None:
    """The head of the package is the index: the rules that promises name, each with its file."""
    listed = _ROW.findall((SOURCE / "partition" / "__init__.py").read_text(encoding="utf-8"))
    assert len(listed) == len(dict(listed))
    assert dict(listed) == {name.strip(): file for kept in _promises().values() for name, file in kept}


def test_both_judges_name_their_checks_by_the_promises() -> None:
    """One numbering: what a judge reports is a number of docs/promises.md, and what it cannot judge is said there."""
    numbers = {number for row in _promises() for number in _NUMBER.findall(row)}
    assert set(PROMISES) == numbers - {"I19"}  # tried with ACLs, not judged from the topics
    used = {
        folder: {
            name
            for path in sorted((ROOT / "tests" / folder).glob("*.py"))
            for name in _REPORTED.findall(path.read_text(encoding="utf-8"))
        }
        for folder in ("chaos", "simulation")
    }
    assert len(used["chaos"]) > 15
    assert len(used["simulation"]) > 8
    assert used["chaos"] <= set(PROMISES)
    assert used["simulation"] <= numbers


def test_the_page_of_the_simulation_lists_what_its_judge_checks() -> None:
    """The table of docs/simulation.md and the head of the checker name exactly the numbers that it can report."""
    checker = (ROOT / "tests" / "simulation" / "checker.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8").partition("## What is checked")[2]
    rows = [line.split("|")[1] for line in page.partition("\n## ")[0].splitlines() if line.startswith("| I")]
    head, _, code = checker.partition("from __future__")
    judged = set(re.findall(r'"(I\d+b?)"', code))
    assert {number for row in rows for number in _NUMBER.findall(row)} == judged
    assert set(re.findall(r"\bI\d+b?(?=  )", head)) == judged


def test_no_rule_is_cited_by_a_number() -> None:
    """A number says nothing to the reader: the code has names, and the promises' numbers are the judges' alone."""
    found = [
        path
        for path in sorted(SOURCE.rglob("*.py"))
        if re.search(r"\b[RI][1-9]\d?b?\b", path.read_text(encoding="utf-8"))
    ]
    assert found == []

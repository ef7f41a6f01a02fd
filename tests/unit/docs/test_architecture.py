"""docs/architecture.md names files, functions, effects and packages that exist, and leaves no package out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from contactgate.names import APPROVALS, TOPICS, Kind

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "src" / "contactgate"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([a-z_/0-9]+\.py):([A-Za-z_][A-Za-z_0-9.]*)`", PAGE)))
FILES = sorted(set(re.findall(r"`([a-z_/0-9]+\.py)[`:]", PAGE)))
FOLDERS = sorted(set(re.findall(r"`((?:[a-z_0-9]+/)+)`", PAGE)))
CHANGES = ("outcome word", "rule", "policy pack", "policy field", "message field", "state layout", "command", "setting")
CHANGES += ("alert", "topic", "effect", "promise")


def _defined(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """What a module or class defines by name: functions, classes, constants."""
    found: dict[str, ast.stmt] = {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign):
            found |= {target.id: statement for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = statement
    return found


def _resolves(path: Path, name: str) -> bool:
    """Whether the module at a path defines a name, `Class.method` included."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for part in name.split("."):
        found = _defined(body).get(part)
        if found is None:
            return False
        body = found.body if isinstance(found, ast.ClassDef) else []
    return True


@pytest.mark.parametrize("place", NAMED, ids=":".join)
def test_every_function_that_the_page_names_exists(place: tuple[str, str]) -> None:
    """A `file:function` of the page is defined in that file."""
    file, name = place
    assert (SOURCES / file).is_file(), f"{file} does not exist"
    assert _resolves(SOURCES / file, name), f"{file} defines no {name}"


@pytest.mark.parametrize("file", FILES)
def test_every_file_that_the_page_names_exists(file: str) -> None:
    """Below src/contactgate, or from the root of the tree."""
    assert (SOURCES / file).is_file() or (ROOT / file).is_file()


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_that_the_page_names_exists(folder: str) -> None:
    """Below src/contactgate, or from the root of the tree."""
    assert (SOURCES / folder).is_dir() or (ROOT / folder).is_dir()


def test_every_kind_of_change_has_its_place() -> None:
    """Each is described once, by names that the tests above look up; the questions ask for no other."""
    listed = PAGE.split("## Where each kind of change is made", 1)[1].split("\n## ", 1)[0].split("\n- ")[1:]
    described = {re.match(r"\*\*An? (.*)\.\*\*", each)[1]: each for each in listed}  # type: ignore[index]
    assert sorted(described) == sorted(CHANGES)
    assert [kind for kind, text in described.items() if not re.search(r"`[\w/]+(\.py|/)|\]\(", text)] == []
    (asked,) = re.findall(r"^\| How do I add an? (.*)\? \|", PAGE, re.MULTILINE)
    named = re.split(r", an? ", asked)
    assert [kind for kind in named if not any(kind in each for each in CHANGES)] == []


def test_every_question_is_answered_by_a_place() -> None:
    """An answer names a file, or leads to the page or the section that does."""
    table = PAGE.split("## Questions a newcomer asks", 1)[1]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 12
    assert [question for question, answer in rows if not re.search(r"`[\w/]+\.py|\]\(", answer)] == []


def test_a_name_that_is_not_there_is_noticed() -> None:
    """The test of this test: a method under a wrong class does not resolve."""
    file = SOURCES / "partition" / "task.py"
    assert _resolves(file, "PartitionTask.run")
    assert not _resolves(file, "run")
    assert not _resolves(file, "PartitionTask.walk")


def test_every_package_has_its_place_on_the_page() -> None:
    """Whatever lies directly below src/contactgate is in the table of what lives where."""
    table = PAGE.split("## What lives where", 1)[1].split("\n## ", 1)[0]
    packages = {f"{path.parent.name}/" for path in SOURCES.glob("*/__init__.py")}
    modules = {path.name for path in SOURCES.glob("*.py")} - {"__init__.py"}
    assert {name for name in packages | modules if f"`{name}`" not in table} == set()


def test_the_picture_and_its_table_have_every_topic() -> None:
    """The topics of an installation are all drawn, and all listed with key and cleanup."""
    picture, table = PAGE.split("```text\n", 1)[1].split("```", 1)
    topics = {*TOPICS.values(), f"{APPROVALS}<requester>"}
    assert {name for name in topics - {TOPICS[Kind.TASKS]} if name not in picture} == set()
    listed = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }
    assert topics - listed == set()


def test_every_effect_of_the_steps_exists() -> None:
    """The tables of opening and of a transaction speak of effects by their real names."""
    effects = ast.parse((SOURCES / "partition" / "effects.py").read_text(encoding="utf-8")).body
    steps = re.findall(r"^\| [1-7] \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert len(steps) == 6 + 7
    for cell in steps:
        if not cell.startswith("none"):
            assert set(re.findall(r"`(\w+)`", cell)) <= set(_defined(effects)), cell

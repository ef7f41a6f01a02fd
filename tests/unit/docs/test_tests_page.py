"""tests/README.md says what is there: the folders, the kits, and what each restatement of the rules may import."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
ROOT = TESTS.parent
PAGE = (TESTS / "README.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The cells of a section's table, row by row, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def named(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_folder_is_in_the_table() -> None:
    """A suite that nobody wrote down is run by nobody."""
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert {named(row[0])[0] for row in table("Folders")} == folders


def test_every_kit_is_in_the_table() -> None:
    """Each kit once, in the page and at the head of the package."""
    kits = {path.name for path in (TESTS / "kit").glob("*.py")} - {"__init__.py"}
    listed = [named(row[0])[0] for row in table("Kits")]
    assert {name.removeprefix("kit/") for name in listed if name.startswith("kit/")} == kits
    assert len(listed) == len(set(listed))
    assert all((TESTS / name).is_file() for name in listed)
    head = ast.get_docstring(ast.parse((TESTS / "kit" / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert {f"{name}.py" for name in re.findall(r"^    (\w+)  +", head, re.MULTILINE)} == kits


@pytest.mark.parametrize("row", table("The rules, written down again"), ids=lambda row: named(row[0])[0])
def test_a_restatement_imports_only_what_the_page_allows(row: list[str]) -> None:
    """What it judges cannot excuse itself: no module of the product, and no other restatement, slips in."""
    allowed = [*named(row[3]), *sys.stdlib_module_names]
    assert row[3].startswith("the standard library")
    files = [
        file
        for name in named(row[0])
        for file in ((ROOT / name).rglob("*.py") if name.endswith("/") else [ROOT / name])
    ]
    own = [name.removesuffix("/").replace("/", ".") for name in named(row[0]) if name.endswith("/")]
    assert files
    for file in files:
        for module in imported(file):
            assert any(module == name or module.startswith(f"{name}.") for name in (*allowed, *own)), (file, module)


def test_there_are_five_restatements() -> None:
    """A sixth one, or one that is gone, is a decision and changes the page."""
    assert len(table("The rules, written down again")) == 5

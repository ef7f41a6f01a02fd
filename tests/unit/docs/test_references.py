"""What docstrings and comments of the source refer to is there: modules and names, pages, rules of semantics.md."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "src" / "contactgate"
FILES = sorted(SOURCES.rglob("*.py"))
PACKAGES = sorted(
    {path.parent.name for path in SOURCES.glob("*/__init__.py")} - {"broker", "policy"}
)  # begin other words, too
DOTTED = re.compile(
    rf"(?<![\w./-])(?:contactgate\.)?((?:{'|'.join(PACKAGES)})(?:\.[a-z_]\w*)+(?:\.[A-Z]\w*)?)(?![\w(/-])"
)
RULES = re.compile(r"SEMANTICS rules? (\d+)(?: (?:to|and) (\d+))?")
NUMBERED = set(re.findall(r"^(\d+)\. ", (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8"), re.MULTILINE))


def words(text: str) -> str:
    """The comments and docstrings of a module, without its code."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(token.string for token in tokens if token.string.startswith(("#", '"""')))


def faults(text: str) -> Iterator[str]:
    """References of a module's words that lead nowhere."""
    said = words(text)
    for name in DOTTED.findall(said):
        if not _resolves(name.split(".")):
            yield f"there is no {name}"
    for page in re.findall(r"(?<![\w{}])((?:[\w-]+/)*[\w-]+\.md)\b", said):
        if not ((ROOT / page).is_file() or (ROOT / "docs" / page).is_file()):
            yield f"there is no page {page}"
    for number in (each for found in RULES.findall(said) for each in found if each):
        if number not in NUMBERED:
            yield f"semantics.md has no rule {number}"


def _resolves(parts: list[str]) -> bool:
    """Whether a dotted name below contactgate is a package, a module, or defined in one."""
    for at in range(len(parts), 0, -1):
        path = SOURCES.joinpath(*parts[:at])
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if file.is_file():
            return not parts[at:] or _defines(file, parts[at])
    return False


def _defines(file: Path, name: str) -> bool:
    names: set[str] = set()
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(statement.name)
            case ast.Assign():
                names |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=constant)):
                names.add(constant)
            case ast.ImportFrom():
                names |= {alias.asname or alias.name for alias in statement.names}
    return name in names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCES)))
def test_every_reference_leads_somewhere(file: Path) -> None:
    """A module that moved, a page that went and a rule that was renumbered take their mentions along."""
    assert list(faults(file.read_text(encoding="utf-8"))) == []


def test_a_dead_reference_is_seen() -> None:
    """A missing module, name, page and rule; what is code, and what is there, is not."""
    good = '"""codec.strict, `core.judge.ask`, docs/proof.md, promises.md, SEMANTICS rules 1 to 8."""\nx = codec.none\n'
    bad = '"""`codec.admit`,\nDESIGN.md"""\n# core.judge.Nobody, SEMANTICS rule 999'
    assert list(faults(good)) == []
    assert list(faults(bad)) == [
        "there is no codec.admit",
        "there is no core.judge.Nobody",
        "there is no page DESIGN.md",
        "semantics.md has no rule 999",
    ]

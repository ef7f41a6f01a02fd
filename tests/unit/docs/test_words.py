"""The house words hold: what docs/style.md writes in bold in its left column stands nowhere in the source or the docs.

Reads whole files: names, comments, messages and docstrings; finds what is broken over two lines.
The texts of packs are left out: they are part of the hash of every policy that names one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STYLE = ROOT / "docs" / "style.md"
FOLDERS = (("src", "*.py"), ("docs", "*.md"), ("bench", "*.py"), ("tools", "*.py"), ("news", "*.md"), ("examples", "*"))
FILES = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "bench" / "README.md"]
FILES += [file for folder, kind in FOLDERS for file in (ROOT / folder).rglob(kind) if file.is_file() and file != STYLE]
HEADING = "| not | but | example |"


def refused(style: str) -> dict[str, str]:
    """What may not be written, in lower case, and what to write instead: the bold words of the table's rows."""
    rows = style.split(HEADING, 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {word.lower(): instead for words, instead, _ in cells for word in re.findall(r"\*\*([^*]+)\*\*", words)}


WORDS = refused(STYLE.read_text(encoding="utf-8"))
FOUND = re.compile(
    r"\b(" + "|".join(r"[\s#>*]+".join(map(re.escape, word.split())) for word in WORDS) + r")\b", re.IGNORECASE
)


def faults(text: str) -> Iterator[tuple[int, str]]:
    """Line and advice for every refused word of a text."""
    for found in FOUND.finditer(text):
        word = " ".join(re.split(r"[\s#>*]+", found[0].lower()))
        yield 1 + text.count("\n", 0, found.start()), f"`{word}`: write {WORDS[word]}"


def test_the_table_is_read() -> None:
    """Every row gives its replacement; rows without bold words are advice that no machine can check."""
    assert len(WORDS) >= 18
    assert all(WORDS.values())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_refused_word_is_written(file: Path) -> None:
    """Each fault is shown as file, line and what to write instead."""
    text = file.read_text(encoding="utf-8")
    assert [f"{file.relative_to(ROOT)}:{line}: {said}" for line, said in faults(text)] == []


@pytest.mark.parametrize("word", WORDS)
def test_a_refused_word_is_seen(word: str) -> None:
    """Every one, in any case, in a sentence and over two lines of a comment, with its line and replacement."""
    said = f"`{word}`: write {WORDS[word]}"
    assert list(faults(f"one\ntwo {word}, three")) == [(2, said)]
    assert list(faults(word.capitalize())) == [(1, said)]
    assert list(faults("# " + "\n    # ".join(word.split()))) == [(1, said)]
    assert list(faults(f"x{word}x")) == []


def test_the_glossary_explains_each_word_once() -> None:
    """A word with two meanings would be two words."""
    rows = re.findall(r"^\| ([a-z][^|]*) \|", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    terms = Counter(term.strip() for row in rows for term in row.split(" / "))
    assert len(terms) > 60
    assert [term for term, times in terms.items() if times > 1] == []

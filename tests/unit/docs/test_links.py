"""Every link of the documentation leads to a file, folder or anchor of this repository, and the site has all pages.

Reads the pages as the forge shows them, without mkdocs; `make docs` checks the same for the site.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.site_links import rewritten

ROOT = Path(__file__).parents[3]
FOLDERS = ("docs", "examples", "bench", "tests", ".github", "news")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
PAGES = [page for page in PAGES if not {"node_modules", "target", "results"} & set(page.relative_to(ROOT).parts)]
FENCED = re.compile(r"^( *)(```|~~~).*?^\1\2", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors that a forge gives to a page's headings."""
    seen: Counter[str] = Counter()
    found = set()
    for title in HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def links(text: str) -> list[str]:
    """Where the links and pictures of a page lead, those in code left out."""
    return LINK.findall(CODE.sub("", FENCED.sub("", text)))


def dead(page: Path) -> Iterator[str]:
    """Links of a page that lead nowhere in this repository."""
    for target in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page if not path else (page.parent / path).resolve()
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """A file that moved or a heading that was renamed takes its links along."""
    assert list(dead(page)) == []


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    """The check tells a missing file and a missing anchor from good ones, and looks into no code."""
    (tmp_path / "there.md").write_text("# One `word`, two\n\n# Twice\n\n# Twice\n", encoding="utf-8")
    page = tmp_path / "page.md"
    good = "[a](there.md) [b](there.md#one-word-two) [c](there.md#twice-1) `[x](no.md)` [w](https://example.org)"
    page.write_text(f"{good} [d](gone.md) [e](there.md#gone) [f](#gone)\n\n```\n[x](no.md)\n```\n", encoding="utf-8")
    assert list(dead(page)) == ["gone.md", "there.md#gone", "#gone"]


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    """A page that nobody can reach on the site is not documentation."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = set(_pages(site["nav"]))
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert there - set(site["not_in_nav"].split()) == listed


def _pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from _pages(inner)


def test_links_out_of_docs_lead_to_the_forge_on_the_site() -> None:
    """The site has only docs/; what lies beside it is linked where it can be read, and nothing else is touched."""
    text = "[a](../CONTRIBUTING.md#security) [b](running.md#settings) [c](https://example.org) ![e](assets/a.svg)"
    assert rewritten(text, "index.md", "https://forge/x/") == text.replace(
        "../CONTRIBUTING.md#security", "https://forge/x/blob/main/CONTRIBUTING.md#security"
    )
    deeper = "[a](../../README.md) [b](../running.md)"
    assert rewritten(deeper, "decisions/0001.md", "https://forge/x") == deeper.replace(
        "../../README.md", "https://forge/x/blob/main/README.md"
    )

"""requirements.lock: complete, hashed, and free of any package index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]


def canonical(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_direct_dependency_is_locked() -> None:
    """A dependency added to pyproject.toml without `make lock` is found here, not on a fresh machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))
    missing = {canonical(re.split(r"[<>=\[]", word)[0]) for word in wanted} - {canonical(name) for name in locked}
    assert not missing, f"run `make lock`: {sorted(missing)}"


def test_every_locked_package_has_hashes_and_no_index_is_named() -> None:
    """What is installed is what was locked, wherever the machine gets its packages from."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^--", text, re.MULTILINE)
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        assert (
            not block.strip()
            or block.startswith("#")
            or re.match(r"[\w.-]+==\S+ \\\n +--hash=sha256:[0-9a-f]{64}", block)
        ), block[:80]

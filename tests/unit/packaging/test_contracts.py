"""The import contracts of pyproject.toml turn red when they are broken, tried on a copy of the source tree.

A contract that nobody has seen fail may be written so that it cannot: a misspelt package, a forgotten option.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LAYERS, DECIDES, PARTITION = "layers", "pure", "partition-is-pure"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The source tree and its contracts, to be changed."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def add(copy: Path, module: str, line: str) -> None:
    """A line at the end of a module of the copy, which is begun if it does not exist."""
    path = copy / "src" / "contactgate" / module
    before = path.read_text(encoding="utf-8") if path.exists() else '"""A new module."""\n'
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")


def found(copy: Path, *contracts: str) -> str:
    """What lint-imports prints when one of these contracts is broken; "" when all are kept."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--no-cache",
            "--no-logo",
            *(word for contract in contracts for word in ("--contract", contract)),
        ],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    kept, broken = f"Contracts: {len(contracts)} kept, 0 broken.", f"{len(contracts) - 1} kept, 1 broken."
    assert (broken if done.returncode else kept) in done.stdout, done.stdout
    return done.stdout if done.returncode else ""


def test_the_tree_as_it_is_keeps_them(copy: Path) -> None:
    """Green before the change: what turns red below does so because of the line that is added."""
    assert found(copy, LAYERS, DECIDES, PARTITION) == ""


@pytest.mark.parametrize("line", ["import asyncio", "from asyncio import Event", "def wait():\n    import asyncio"])
def test_an_event_loop_in_the_partition_is_found(copy: Path, line: str) -> None:
    """However it is imported, and also where only a call would import it."""
    add(copy, "partition/task.py", line)
    assert "contactgate.partition.task -> asyncio" in found(copy, PARTITION)


def test_an_event_loop_behind_a_new_module_is_found(copy: Path) -> None:
    """The partition imports a module that may import asyncio; the chain is shown."""
    add(copy, "codec/patience.py", "import asyncio")
    add(copy, "partition/fold.py", "from contactgate.codec import patience")
    told = found(copy, DECIDES, PARTITION)
    assert "contactgate.partition.fold -> contactgate.codec.patience" in told
    assert "contactgate.codec.patience -> asyncio" in told


def test_a_clock_in_what_decides_is_found(copy: Path) -> None:
    """Also in a module that is new."""
    add(copy, "core/rules/moment.py", "import time")
    assert "contactgate.core.rules.moment -> time" in found(copy, DECIDES)


def test_an_arrow_that_points_up_is_found(copy: Path) -> None:
    """The core may not know the gate."""
    add(copy, "core/decide.py", "from contactgate.gate import records")
    assert "contactgate.core is not allowed to import contactgate.gate" in found(copy, LAYERS)

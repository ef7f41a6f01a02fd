"""docs/proof.md: the script for checking without our code finds what it must, and the commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kit.proofkit import eventful
from typer.testing import CliRunner

from contactgate.cli.main import app

PAGE = (Path(__file__).parents[3] / "docs" / "proof.md").read_text(encoding="utf-8")


def script(directory: Path) -> Path:
    """The page's script as a file."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    path = directory / "check_chain.py"
    path.write_text(source, encoding="utf-8")
    return path


def run(directory: Path, lines: list[bytes]) -> subprocess.CompletedProcess[str]:
    """The script on one partition's records, isolated from everything that is installed."""
    records = directory / "p0.jsonl"
    records.write_bytes(b"".join(line + b"\n" for line in lines))
    command = [sys.executable, "-I", "-S", str(script(directory)), str(records)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """Decisions as the gate made them."""
    return [value for _, _, value in eventful().decisions]


def test_the_script_imports_only_hashlib_json_and_sys(tmp_path):
    """Nothing of ours can excuse itself, and an auditor can read all of it."""
    source = script(tmp_path).read_text()
    assert re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE) == ["hashlib", "json", "sys"]
    assert len(source.splitlines()) <= 32


def test_the_script_finds_a_whole_chain_whole(lines, tmp_path):
    """Status 0, and the head that our own command prints."""
    result = run(tmp_path, lines)
    assert result.returncode == 0, result.stderr
    assert f"whole: {len(lines)} decisions, head sha256:" in result.stdout


@pytest.mark.parametrize(
    ("mutate", "words"),
    [
        (lambda lines: [*lines[:9], lines[9].replace(b"dialer", b"dealer"), *lines[10:]], "was edited"),
        (lambda lines: lines[:9] + lines[10:], "missing"),
        (lambda lines: [*lines[:9], lines[8], *lines[9:]], "repeated"),
        (lambda lines: [*lines[:9], lines[10], lines[9], *lines[11:]], "out of order"),
        (lambda lines: lines[1:], "missing"),
    ],
)
def test_the_script_finds_mutations(lines, tmp_path, mutate, words):
    """An edit, a gap, a repetition, a swap and a lost start end with status 1 and the line."""
    result = run(tmp_path, mutate(lines))
    assert result.returncode == 1
    assert words in result.stderr


def test_the_commands_of_the_page_exist():
    """Every `contactgate …` line of the page names a command and options that it has."""
    found = re.findall(r"^contactgate ([^#\n]+)", PAGE, re.MULTILINE)
    assert len(found) >= 9
    for line in found:
        words = line.split()
        depth = 2 if words[0] == "dead-letters" else 1
        shown = CliRunner().invoke(app, [*words[:depth], "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0, line
        for option in (word for word in words if word.startswith("--")):
            assert option in shown.output, line

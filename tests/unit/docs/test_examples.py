"""What README.md and examples/ show runs as it stands, and gives what they say. Needs no Kafka.

Runs the blocks of shell with bash, where `contactgate` is the command of this very Python.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
KEYED = ("approval_id", "approval_ref", "subject_token", "policy", "prev", "hash")
MOST_WORDS = 700
FENCE = re.compile(r"^ *```(\w*)\n.*?^ *```$", re.MULTILINE | re.DOTALL)
ANYWHERE = {"sh", "console", "yaml", "jsonc"}  # test_commands, test_policy, test_messages
READ = {
    "json": {"README.md", "docs/registries.md"},  # what a command printed: below
    "text": {"docs/registries.md", "docs/architecture.md"},  # the same; and a picture, whose topics are compared
    "python": {"docs/proof.md"},  # test_proof
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every fenced block of a page, in order."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def run(script: str, folder: Path) -> str:
    """What a script prints when bash runs it in a folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def comparable(text: str) -> list[dict[str, object]]:
    """Output lines without what depends on the token key and on the versions of zone data."""
    return [{k: v for k, v in json.loads(line).items() if k not in KEYED} for line in text.splitlines()]


@pytest.mark.slow
def test_the_session_of_the_readme_prints_what_it_shows(tmp_path: Path) -> None:
    """A newcomer who copies the first block sees the second one, byte for byte."""
    (shell, script), (_, shown) = blocks(ROOT / "README.md")[:2]
    assert shell == "sh"
    assert run(script, tmp_path) == shown


def test_no_block_is_of_a_kind_that_no_test_reads() -> None:
    """Each fenced block is a command, a policy or a message, or its page has a test that reads it."""
    pages = [*ROOT.glob("*.md"), *(page for name in ("docs", "examples", "bench", "news") for page in _below(name))]
    found = {(kind, str(page.relative_to(ROOT))) for page in pages for kind in FENCE.findall(page.read_text("utf-8"))}
    assert {(kind, page) for kind, page in found if page not in READ.get(kind, {page})} == set()
    assert {kind for kind, _ in found} <= ANYWHERE | set(READ)


def _below(name: str) -> list[Path]:
    return [page for page in (ROOT / name).rglob("*.md") if not {"results", "target"} & set(page.parts)]


def test_the_readme_is_short() -> None:
    """It has at most 700 words, counted as `wc -w` counts them: what is longer belongs to docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MOST_WORDS


@pytest.mark.slow
def test_every_command_of_the_examples_ends_well(tmp_path: Path) -> None:
    """Each block of shell in examples/README.md runs beside the files that it names."""
    (tmp_path / "decide").symlink_to(EXAMPLES / "decide")
    (tmp_path / "policy").symlink_to(EXAMPLES / "policy")
    scripts = [text for language, text in blocks(EXAMPLES / "README.md") if language == "sh"]
    assert len(scripts) == 2
    for script in scripts:
        run(script, tmp_path)


@pytest.mark.slow
def test_the_example_of_decide_gives_what_lies_beside_it(tmp_path: Path) -> None:
    """Every decision, approval, recall and dead letter is the expected one, apart from what depends on the key."""
    run(f"contactgate decide --policy {EXAMPLES}/decide/house.yaml {EXAMPLES}/decide/events.jsonl --out out", tmp_path)
    made = (tmp_path / "out").read_text(encoding="utf-8")
    assert comparable(made) == comparable((EXAMPLES / "decide" / "expected.jsonl").read_text(encoding="utf-8"))


def test_the_example_of_decide_shows_every_kind_of_answer() -> None:
    """A pass, blocks by consent, cap, gap, cool-off, window and registry, a recall and a dead letter are all there."""
    lines = [json.loads(line) for line in (EXAMPLES / "decide" / "expected.jsonl").read_text("utf-8").splitlines()]
    rules = {reason["rule"].split(":")[0].split(".")[0] for line in lines for reason in line.get("reasons", [])}
    assert {"cap", "gap", "cooloff", "window", "registry"} <= rules
    kinds = {line["type"] for line in lines}
    assert kinds == {
        "contact.decided",
        "contact.approved",
        "contact.refused",
        "contact.recalled",
        "permission.withdrawn",
        "dead.letter",
    }
    assert {line["verdict"] for line in lines if line["type"] == "contact.decided"} == {"pass", "block"}


@pytest.mark.slow
def test_the_page_on_lists_does_what_it_says(tmp_path: Path) -> None:
    """A list gets into force offline step by step, and prints what docs/registries.md shows."""
    script, shown = "", []
    for language, text in blocks(ROOT / "docs" / "registries.md"):
        if language == "sh":
            script += text
        else:
            script += "echo ----\n"
            shown.append(text)
    printed = run(script, tmp_path).split("----\n")
    assert len(printed) == len(shown) + 1
    for part, text in zip(printed, shown, strict=False):
        assert part.endswith(text)

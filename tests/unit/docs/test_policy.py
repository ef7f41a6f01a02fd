"""Every policy in the docs and in examples/ holds, and nothing of the document is left unexplained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contactgate.cli.policy import app
from contactgate.policy.document import PolicyDoc
from contactgate.policy.load import load_policy

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "writing-a-policy.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
BLOCKS = [part.split("```", 1)[0] for page in PAGES for part in page.read_text("utf-8").split("```yaml\n")[1:]]
FILES = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "examples").rglob("*.yaml"))]
TOGETHER = "".join(page.read_text("utf-8") for page in PAGES)
SHELL = re.findall(r"\.yaml <<'END'\n(.*?)^END$", TOGETHER, re.MULTILINE | re.DOTALL)
EXAMPLES = [text for text in (*BLOCKS, *FILES) if "\ncases:" in text]
POLICIES = [text for text in (*BLOCKS, *FILES, *SHELL) if re.search(r"^policy: [a-z]", text, re.MULTILINE)]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs_as_it_stands(number: int, tmp_path: Path) -> None:
    """Each is a whole file for `contactgate policy test`, and every case in it holds."""
    file = tmp_path / "example.yaml"
    file.write_text(EXAMPLES[number], encoding="utf-8")
    result = CliRunner().invoke(app, ["test", str(file)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("number", range(len(POLICIES)))
def test_a_policy_alone_is_valid(number: int) -> None:
    """Each can be put into force."""
    assert load_policy(POLICIES[number]).hash.startswith("sha256:")


def test_no_policy_is_left_out() -> None:
    """Every block of YAML with a policy in it is an example or a policy alone, so that none goes stale."""
    assert [text for text in BLOCKS if "policy:" in text and text not in EXAMPLES and text not in POLICIES] == []
    assert EXAMPLES
    assert POLICIES


def test_every_kind_of_rule_has_an_example() -> None:
    """No section of a policy is without one."""
    together = "".join(EXAMPLES)
    for section in ("purposes", "caps", "gaps", "cooloffs", "windows", "registries", "relationships", "packs"):
        assert f"  {section}:" in together


def test_every_key_of_a_policy_is_explained() -> None:
    """Also those without an example."""
    for key in PolicyDoc.model_fields:
        assert f"`{key}`" in TEXT, key

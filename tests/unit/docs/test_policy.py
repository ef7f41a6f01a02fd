"""The examples of docs/writing-a-policy.md and of the README hold, and nothing of the document is left unexplained."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from contactgate.cli.policy import app
from contactgate.policy.document import PolicyDoc

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "writing-a-policy.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = [part.split("```", 1)[0] for text in (TEXT, README) for part in text.split("```yaml\n")[1:]]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs_as_it_stands(number: int, tmp_path: Path) -> None:
    """Each is a whole file for `contactgate policy test`, and every case in it holds."""
    file = tmp_path / "example.yaml"
    file.write_text(EXAMPLES[number], encoding="utf-8")
    result = CliRunner().invoke(app, ["test", str(file)])
    assert result.exit_code == 0, result.output


def test_every_kind_of_rule_has_an_example() -> None:
    """No section of a policy is without one."""
    together = "".join(EXAMPLES)
    for section in ("purposes", "caps", "gaps", "cooloffs", "windows", "registries", "relationships", "packs"):
        assert f"  {section}:" in together


def test_every_key_of_a_policy_is_explained() -> None:
    """Also those without an example."""
    for key in PolicyDoc.model_fields:
        assert f"`{key}`" in TEXT, key

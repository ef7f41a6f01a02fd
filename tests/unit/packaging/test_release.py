"""What a release rests on: one version, a changelog by version, well-formed news, a package with a public list."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml
from tools.check_news import NEWS, fragment_faults, main, subject_faults

import contactgate

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_what_the_package_offers_is_a_list() -> None:
    """A name that appears in or leaves the public package is a decision, not an accident."""
    public = {name for name in vars(contactgate) if not name.startswith("_")}
    submodules = {path.stem for path in (ROOT / "src/contactgate").iterdir()}
    assert contactgate.__all__ == ["__version__"]
    assert public <= submodules


def test_the_version_stands_in_one_place() -> None:
    """pyproject.toml takes it from the package, so that no two files can differ."""
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/contactgate/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", contactgate.__version__)


def test_the_changelog_begins_with_this_version() -> None:
    """Versions and dates only go down the page, and the newest is the one that is installed."""
    entries = re.findall(r"^## (\d+)\.(\d+)\.(\d+) \((\d{4}-\d{2}-\d{2})\)$", CHANGELOG, re.MULTILINE)
    assert len(entries) == CHANGELOG.count("\n## ")
    versions = [tuple(map(int, entry[:3])) for entry in entries]
    days = [date.fromisoformat(entry[3]) for entry in entries]
    assert ".".join(map(str, versions[0])) == contactgate.__version__
    assert versions == sorted(versions, reverse=True)
    assert days == sorted(days, reverse=True)


def test_every_fragment_of_news_is_well_formed() -> None:
    """What `make changelog` will collect has a type, an issue or a word, and whole sentences."""
    assert main([]) == 0
    assert (NEWS / "README.md").is_file()


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("12.added.md", "`contactgate x` does y.\n", None),
        ("+stalled-partition.fixed.md", "A partition stalled. It now goes on.\n", None),
        ("12.feature.md", "It does y.\n", "the name must be"),
        ("notes.md", "It does y.\n", "the name must be"),
        ("12.added.md", "does y\n", "full stop"),
        ("12.added.md", "", "full stop"),
        ("12.added.md", "word " * 80 + "end.\n", "at most 400"),
        ("12.added.md", "- one.\n- two.\n", "one paragraph"),
        ("12.added.md", "One.\n\nTwo.\n", "one paragraph"),
    ],
)
def test_the_form_of_a_fragment(tmp_path: Path, name: str, text: str, fault: str | None) -> None:
    """A wrong name, no sentence, too many words, a list and two paragraphs are refused with the reason."""
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    found = fragment_faults(file)
    assert found == [] if fault is None else any(fault in line for line in found)


def test_the_subject_of_a_commit_is_short(tmp_path: Path) -> None:
    """At most 72 characters and no full stop, as the commit-msg hook tests it; merges are left alone."""
    assert subject_faults(["x" * 72]) == []
    assert len(subject_faults(["x" * 73, "docs: a full stop."])) == 2
    message = tmp_path / "COMMIT_EDITMSG"
    for text, status in ((f"{'x' * 73}\n\nbody", 1), ("short\n\n" + "y" * 100, 0), ("Merge " + "z" * 90, 0)):
        message.write_text(text, encoding="utf-8")
        assert main(["--subject", str(message)]) == status


def test_the_forge_runs_the_two_commands() -> None:
    """A pull request must pass `make check` and `make test`, the commands that every developer has."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step["run"].strip() for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert {"make check", "make test"} <= set(steps)
    assert set(re.findall(r"^make .*$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)) <= set(steps)


def test_hooks_before_a_commit_need_no_network() -> None:
    """Every hook is a command of the environment that is there already: nothing is fetched and run unseen."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert all(hook["language"] == "system" and hook["entry"].startswith(".venv/bin/") for hook in hooks)
    scripts = [word for hook in hooks for word in hook["entry"].split() if word.startswith("tools/")]
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)


@pytest.mark.parametrize("form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda form: form.stem)
def test_a_form_for_issues_is_complete(form: Path) -> None:
    """The forge shows each form: it has a name, a description and, where it has fields, unique ones with a label."""
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.stem == "config":
        assert content["contact_links"]
        return
    assert content["name"]
    assert content["description"]
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields) > 0

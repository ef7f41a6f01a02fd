"""Every command that the documentation shows exists, with the options that it is shown with.

Reads blocks of shell (fenced, or indented and beginning with a command of ours) and, for `contactgate` and `make`, code
in running text. docs/cli.md is made from the command line and has a test of its own. Runs nothing: what can run offline
is run by tests/unit/docs/test_examples.py.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from tools.cli_docs import commands

ROOT = Path(__file__).parents[3]
FOLDERS = (ROOT, ROOT / "docs", ROOT / "examples", ROOT / "bench")
PAGES = sorted(page for folder in FOLDERS for page in folder.glob("*.md") if page.name != "cli.md")
COMMANDS = {entry.path: entry.command for entry in commands()}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"\$[({](?:if |or )?\$?\(?([A-Z]+)\)", MAKEFILE))
FOREIGN = {"cat", "cd", "chmod", "cp", "curl", "docker", "echo", "export", "git", "grep", "jcmd", "kcat", "mkdir"}
FOREIGN |= {"openssl", "printf", "py-spy", "rm", "sed", "tail", "wc"}
OURS = ("contactgate", "make", "python", "python3", ".venv/bin/", ".ci/")
FENCE = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANY_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"<<-?'?(\w+)'?(.*?)\n.*?^\1$", re.MULTILINE | re.DOTALL)


def shell(text: str) -> Iterator[str]:
    """The lines of shell of a page, continued ones joined, without the contents of files that they write."""
    for block in FENCE.findall(text):
        yield from _lines(HEREDOC.sub(r"\2", block))
    for block in re.findall(r"(?:^(?: {4}.*)?\n)+", ANY_FENCE.sub("", text), re.MULTILINE):
        yield from (line for line in _lines(block) if line.startswith(OURS) or re.match(r"[A-Z_]+=\S+ ", line))


def _lines(block: str) -> Iterator[str]:
    for line in re.sub(r"\\\n|\|\n", lambda found: found[0][0].replace("\\", " "), block).splitlines():
        yield line.strip().removeprefix("$ ")


def spoken(text: str) -> list[str]:
    """Code in running text that begins as a command of ours; what stands for several (`a|b`, `a, b`) is left out."""
    prose = ANY_FENCE.sub("", text)
    found = re.findall(r"`((?:contactgate|make) [a-z][^`\n]*)`", prose)
    return [code for code in found if not re.search(r"[|,…]", code)]


def calls(line: str) -> Iterator[list[str]]:
    """The commands of one line: split at pipes, semicolons and substitutions, without redirections and assignments."""
    words = shlex.shlex(line, posix=True, punctuation_chars=";|&<>()")
    words.whitespace_split = True
    call: list[str] = []
    for word in words:
        if set(word) <= set(";|&()"):
            yield from _call(call)
            call = []
        else:
            call.append(word)
    yield from _call(call)


def _call(words: list[str]) -> Iterator[list[str]]:
    words = words[: next((at for at, word in enumerate(words) if set(word) <= set("<>")), len(words))]
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    if words:
        yield words


def fault(call: list[str]) -> str | None:
    """What is wrong with one command; None when nothing is."""
    name, *rest = call
    name = name.removeprefix(".venv/bin/")
    if name == "contactgate":
        return _contactgate(rest)
    if name == "make":
        return _make(rest)
    if name in {"python", "python3"}:
        return _python(rest)
    if name.startswith(".ci/"):
        return None if (ROOT / name).is_file() else f"there is no {name}"
    known = name in FOREIGN or name in {"pytest", "ruff", "mypy"} or re.match(r"[A-Z$]", name)
    return None if known else f"{name} is no command of ours or of FOREIGN"


def _make(words: list[str]) -> str | None:
    for word in words:
        name = word.strip("[]").partition("=")[0]
        if name not in (VARIABLES if "=" in word else TARGETS):
            return f"the Makefile has no {name}"
    return None


def _python(words: list[str]) -> str | None:
    name = words[1] if words[0] == "-m" else words[0]
    if name == "check_chain.py":  # a page holds its source
        return None
    path = ROOT / name.replace(".", "/") if words[0] == "-m" else ROOT / name
    files = [file for file in (path, path.with_suffix(".py"), path / "__main__.py") if file.is_file()]
    if not files:
        return f"there is no {name}"
    known = set(re.findall(r'"(--[a-z-]+)"', files[0].read_text(encoding="utf-8")))
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    return f"{name} has no option {unknown[0]}" if unknown else None


def _contactgate(words: list[str]) -> str | None:
    path, at = "contactgate", 0
    while at < len(words) and f"{path} {words[at]}" in COMMANDS:
        path, at = f"{path} {words[at]}", at + 1
    if at == 0:
        return f"there is no command {' '.join(words)}"
    if getattr(COMMANDS[path], "commands", None) and at < len(words):
        return f"{path} has no {words[at]}"
    options = {name: p for p in COMMANDS[path].params for name in (*p.opts, *p.secondary_opts) if name.startswith("-")}
    while at < len(words):
        word, at = words[at], at + 1
        if not word.startswith("--") or word == "--help":
            continue
        name, given, value = word.partition("=")
        if name not in options:
            return f"{path} has no option {name}"
        if not options[name].is_flag and not given:
            value, at = words[at] if at < len(words) else "", at + 1
        if complaint := _value(path, name, options[name], value):
            return complaint
    return None


def _value(path: str, name: str, option: Any, value: str) -> str | None:
    kind = option.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum) and value not in {str(member.value) for member in kind}:
        return f"{path} {name} cannot be {value}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_exists(page: Path) -> None:
    """Commands, options, choices, make targets and their variables, modules and scripts are the ones there are."""
    text = page.read_text(encoding="utf-8")
    lines = [*shell(text), *spoken(text)]
    wrong = [(line, said) for line in lines for call in calls(line) if (said := fault(call)) is not None]
    assert wrong == []


def test_every_command_is_shown_somewhere() -> None:
    """A command that only its own help knows is not documented; and a check that finds no commands would find none."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    shown = " ; ".join(line for text in texts for line in (*shell(text), *spoken(text)))
    leaves = [path for path, command in COMMANDS.items() if not getattr(command, "commands", None)]
    assert [path for path in leaves if not re.search(rf"{path}\b", shown)] == []


@pytest.mark.parametrize(
    "line",
    [
        "contactgate polcy check house.yaml",
        "contactgate policy chek house.yaml",
        "contactgate verify --rederiv",
        "X=1 contactgate publish events.jsonl --on-error=ignore",
        "cat a | contactgate decide --polcy house.yaml -",
        "sum=$(contactgate registry bild a b)",
        "make tests",
        "make simulate SEED_COUNT=3",
        "python tools/none.py",
        "python -m tests.none",
        "python -m tests.simulation --sed 42",
        "python bench/guard.py --none",
        "frobnicate",
    ],
)
def test_a_command_that_does_not_exist_is_seen(line: str) -> None:
    """Misspelt commands, options, choices, targets, variables, modules and scripts are faults, wherever in a line."""
    assert [said for call in calls(line) if (said := fault(call)) is not None]

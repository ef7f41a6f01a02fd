"""`contactgate decide` and `explain --offline` from outside: files, pipes, exit statuses, what they must not say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from contactgate.cli import main

POLICY = """
policy: cli
require: {campaign: false, party: false, notice: false}
purposes:
  marketing: {consent: opt_in}
"""
GRANT = {
    "type": "consent.granted",
    "event_id": "e-1",
    "subject_id": "s-1",
    "time": "2026-06-01T08:00:00Z",
    "controller": "bank",
    "purposes": ["marketing"],
    "channels": ["voice"],
    "data_categories": ["basic"],
}
ASK = {
    "type": "contact.requested",
    "request_id": "r-1",
    "subject_id": "s-1",
    "time": "2026-06-01T09:00:00Z",
    "requester": "bank",
    "controller": "bank",
    "purpose": "marketing",
    "channel": "voice",
    "address": "+12125550123",
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A policy and three lines, the last of which is no JSON."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "events.jsonl").write_text("\n".join((json.dumps(GRANT), json.dumps(ASK), "", "{broken")))
    return str(tmp_path / "policy.yaml"), str(tmp_path / "events.jsonl")


def run(*arguments: str, **environment: str) -> Result:
    """The command in this process: starting one costs more than all that it decides here."""
    return CliRunner().invoke(main.app, arguments, env=environment)


def piped(*arguments: str, stdin: bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command as people run it."""
    return subprocess.run(
        [sys.executable, "-c", "from contactgate.cli.main import app; app()", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def objects(raw: bytes) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in raw.splitlines()]


def test_decide_answers_line_by_line_and_ends_with_0(files: tuple[str, str], tmp_path: Path) -> None:
    """A file, a pipe and --out give the same decisions, an approval, and a dead letter for the broken line."""
    policy, events = files
    key = {"CONTACTGATE_TOKEN_KEY": "k" * 32}
    from_file = run("decide", "--policy", policy, events, **key)
    from_pipe = piped("decide", "--policy", policy, "-", stdin=Path(events).read_bytes(), **key)
    to_file = run("decide", "--policy", policy, "--out", str(tmp_path / "out"), events, **key)
    assert (from_file.exit_code, from_pipe.returncode, to_file.exit_code) == (0, 0, 0)
    assert from_file.stdout_bytes == from_pipe.stdout == (tmp_path / "out").read_bytes()
    assert [o["type"] for o in objects(from_pipe.stdout)] == ["contact.decided", "contact.approved", "dead.letter"]
    assert objects(from_pipe.stdout)[2]["original"] == "{broken"


def test_tokens_follow_the_key(files: tuple[str, str], tmp_path: Path) -> None:
    """The same key gives the same output, another key other tokens; a key that is too short is refused."""
    policy, events = files
    (tmp_path / "a.key").write_bytes(b"a" * 32)
    (tmp_path / "b.key").write_bytes(b"b" * 32)
    (tmp_path / "c.key").write_bytes(b"c")

    def under(name: str) -> Result:
        return run("decide", "--policy", policy, "--key-file", str(tmp_path / name), events)

    first, again, other, short = (under(name) for name in ("a.key", "a.key", "b.key", "c.key"))
    assert first.stdout == again.stdout != other.stdout
    assert short.exit_code == 2
    assert "at least 32 bytes" in short.stderr


def test_a_wrong_policy_ends_with_2_and_tells_every_fault(files: tuple[str, str], tmp_path: Path) -> None:
    """Nothing is decided under a policy that has faults."""
    (tmp_path / "bad.yaml").write_text("policy: x\ncap: []\nunreported: maybe\n")
    done = run("decide", "--policy", str(tmp_path / "bad.yaml"), files[1])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "cap" in done.stderr
    assert "unreported" in done.stderr


def test_explain_tells_every_rule_and_no_address(files: tuple[str, str]) -> None:
    """The explanation names the consent event it relied on; an unknown request is said to be unknown."""
    policy, events = files
    found = run("explain", "--offline", "--policy", policy, "--events", events, "r-1")
    assert found.exit_code == 0
    assert "e-1" in found.stdout
    assert "5550123" not in found.stdout
    missing = run("explain", "--offline", "--policy", policy, "--events", events, "r-9")
    assert missing.exit_code == 1


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_every_command_has_help(name: str) -> None:
    """Every command of the table can be loaded and says what it does."""
    result = CliRunner().invoke(main.app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output

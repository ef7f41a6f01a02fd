"""`contactgate replay-calls` on an excerpt of a real call list: offline and live agree with the dates, line by line."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from contactgate.broker import Bootstrap
from contactgate.cli import replay_calls as module
from contactgate.cli.replay_calls import replay_calls

EXCERPT = Path(__file__).parents[1] / "data" / "bank-calls-excerpt.csv"
LAST = "1183 requests, 517 passed, 666 blocked"

app = typer.Typer()
app.command()(replay_calls)


def run(*args: str):
    """The command's result."""
    return CliRunner().invoke(app, [str(arg) for arg in args], env={"COLUMNS": "200"})


def test_offline_equals_what_the_dates_allow():
    """The passes equal the cap computed from the file alone; the last line counts, the table explains."""
    result = run(EXCERPT, "--cap", "3", "--window", "30d", "--offline")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == LAST
    assert "3 of 3 within 30 days" in result.output
    assert "equal, request by request" in result.output


@pytest.mark.parametrize(("cap", "window"), [(0, "30d"), (1, "1d"), (2, "36h"), (5, "7d"), (50, "400d")])
def test_other_caps_and_windows_agree_too(cap, window):
    """Equality is not special to three in thirty days."""
    result = run(EXCERPT, "--cap", cap, "--window", window, "--offline")
    assert result.exit_code == 0, result.output


def test_a_difference_ends_with_status_one(monkeypatch):
    """When the gate and the dates disagree the command says how often, and fails."""
    monkeypatch.setattr(module, "allowed", lambda *_: {"call-1-1"})
    result = run(EXCERPT, "--offline")
    assert result.exit_code == 1
    assert "NOT EQUAL: 516 requests: they passed, but by their dates the cap forbids them" in result.output
    assert result.output.splitlines()[-1] == LAST


def test_the_requests_can_be_kept(tmp_path):
    """--requests-out writes the very requests, in time order, for other tools."""
    result = run(EXCERPT, "--offline", "--requests-out", tmp_path / "requests.jsonl")
    assert result.exit_code == 0, result.output
    times = [json.loads(line)["time"] for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert len(times) == 1183
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--window", "soon"), "30d or 36h"),
        (("--window", "0d"), "no length of time"),
        (("--window", "2000d"), "longer than 400d"),
    ],
)
def test_a_window_that_cannot_be_is_refused(args, words):
    """A wrong window is told what to write."""
    result = run(EXCERPT, "--offline", *args)
    assert result.exit_code == 1
    assert words in result.output


def test_a_malformed_list_is_refused_whole(tmp_path):
    """A wrong row stops the replay before anything is decided, with its line number."""
    file = tmp_path / "calls.csv"
    file.write_text(EXCERPT.read_text() + "x,2008-02-30,cellular,1,-1,0,no\n")
    result = run(file, "--offline")
    assert result.exit_code == 1
    assert "line 308: last_call is not a date; write YYYY-MM-DD" in result.output
    assert "nothing was replayed" in result.output


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_live_equals_what_the_dates_allow(kafka: Bootstrap, monkeypatch):
    """Through two workers on a real broker with event time as the clock, the result is the same to the request."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka.address)
    result = run(EXCERPT, "--cap", "3", "--window", "30d")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == LAST
    assert "event" in result.output or "own time as the clock" in result.output

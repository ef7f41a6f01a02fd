"""`contactgate demo` on a real broker, small: the story is told, a worker is killed, every promise is judged."""

import pytest
import typer
from typer.testing import CliRunner

from contactgate.broker import Bootstrap
from contactgate.cli import demo as module
from contactgate.cli.demo import demo
from contactgate.demo.audit import Finding

app = typer.Typer()
app.command()(demo)

SMALL = ("--subjects", "400", "--requests", "3000", "--rate", "250", "--seed", "5")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_tells_its_story_and_every_promise_holds(kafka: Bootstrap, monkeypatch):
    """Opt-out, recall, kill and takeover happen, the audit reads the topics, and the exit status is 0."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka.address)
    result = CliRunner().invoke(app, SMALL, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    for words in (
        "first decision:", "p-anna opts out of everything", "the next request", "anna-r2 block (consent.withdrawn)",
        "the open approval of anna-r1 was recalled: withdrawn", "is killed with SIGKILL", "has taken over",
        "p-carl opts out; that producer hashes with CRC32", "'s opt-out was carried to its own: carl-r1 is recalled",
        "carl-r2 block (consent.withdrawn)", "is refused: not_now, retry_at", "under the same id: contact.approved",
        "held   every request has exactly one decision or dead letter", "held   what lies in a wrong partition",
        "held   no clear address in any output",
        "promises held",
    ):  # fmt: skip
        assert words in result.output, result.output


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_broken_promise_ends_with_status_one(kafka: Bootstrap, monkeypatch, tmp_path):
    """Whatever the audit finds broken is named and the exit status is 1."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka.address)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # a broken run leaves its logs behind
    monkeypatch.setattr(module, "judge", lambda *_: [Finding("caps hold", held=False, detail="r-1 is number 4")])
    result = CliRunner().invoke(app, ["--subjects", "60", "--requests", "200", "--rate", "400"], env={"COLUMNS": "200"})
    assert result.exit_code == 1, result.output
    assert "BROKEN caps hold: r-1 is number 4" in result.output

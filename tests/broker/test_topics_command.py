"""`contactgate topics`: what an operator sees and which exit status a script gets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result
from typer.testing import CliRunner

from contactgate.broker import Bootstrap
from contactgate.cli.topics import app

Topics = Callable[..., Result]


@pytest.fixture
def topics(kafka: Bootstrap, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Topics:
    """Run `contactgate topics …` on the test's own prefix."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka.address)
    monkeypatch.setenv("COLUMNS", "250")

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--prefix", topic_prefix])

    return run


def test_create_check_describe(topics: Topics, topic_prefix: str) -> None:
    """Topics are created once, checked with exit status 0, and described with their settings."""
    assert topics("check").exit_code == 1
    assert topics("describe").exit_code == 1
    made = topics("create", "--partitions", "2", "--requester", "dialer-1")
    assert made.exit_code == 0, made.output
    assert made.stdout.count("created") == made.stdout.count(topic_prefix)
    assert topics("create").exit_code == 0
    assert topics("check").exit_code == 0
    shown = topics("describe")
    assert f"{topic_prefix}approvals.dialer-1" in shown.stdout
    assert "LogAppendTime" in shown.stdout


def test_a_later_requester_takes_the_partition_count_of_the_rest(topics: Topics, topic_prefix: str) -> None:
    """`topics create --requester NAME` on an installation of three partitions makes a topic of three."""
    topics("create", "--partitions", "3", "--requester", "a")
    later = topics("create", "--requester", "b")
    assert later.exit_code == 0, later.output
    assert later.stdout.count("created") == 1
    assert topics("check").exit_code == 0
    row = next(line for line in topics("describe").stdout.splitlines() if f"{topic_prefix}approvals.b" in line)
    assert "│ 3 " in row


def test_differences_are_told_with_what_to_do(topics: Topics) -> None:
    """Asking for another partition count than exists ends with status 1 and every difference on standard error."""
    topics("create", "--partitions", "2")
    for command in ("create", "check"):
        told = topics(command, "--partitions", "4")
        assert told.exit_code == 1
        assert "contact-requests has partitions=2, needs 4" in told.stderr
        assert "Traceback" not in told.output


def test_bad_words_are_refused_before_anything_is_created(topics: Topics) -> None:
    """An impossible requester name or partition count ends with a message and creates nothing."""
    assert "does not make a legal topic name" in topics("create", "--requester", "call centre").stderr
    assert topics("create", "--partitions", "0").exit_code == 2
    assert topics("describe").exit_code == 1


def test_no_broker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a dead address the command says so and ends with status 1."""
    told = CliRunner().invoke(app, ["check", "--bootstrap", "nowhere"])
    assert told.exit_code == 1
    assert "host:port" in told.stderr

"""`contactgate tail` on a real broker: only what is committed, in words or as JSON."""

import json

import pytest
import typer
from kafka import KafkaProducer
from tests.kit.wire import Wire
from typer.testing import CliRunner

from contactgate.broker import Bootstrap
from contactgate.cli.tail import tail
from contactgate.topics import Layout, TopicAdmin, topic_specs

app = typer.Typer()
app.command()(tail)

BLOCK = {
    "type": "contact.decided", "request_id": "r-1", "subject_id": "s-1", "requester": "callcentre-7",
    "channel": "voice", "verdict": "block",
    "reasons": [{"rule": "cap.voice_7d", "detail": "3 of 3 in 7 days", "until": "2026-11-30T10:00:00Z"}],
    "next_eligible_at": "2026-11-30T10:00:00Z", "approval_ref": None, "valid_until": None, "duplicate": False,
}  # fmt: skip
PASS = {
    **BLOCK, "request_id": "r-2", "verdict": "pass", "reasons": [], "next_eligible_at": None, "approval_ref": "ar-1",
    "valid_until": "2026-11-22T10:15:00.000Z",
}  # fmt: skip
DEAD = {
    "type": "dead.letter", "reason": "json.broken", "detail": "not JSON", "topic": "contact-requests", "partition": 2,
    "offset": 7, "sealed": "QUJD" * 20,
}  # fmt: skip


@pytest.fixture
def topics(kafka: Bootstrap, topic_prefix: str) -> str:
    """The topics of an installation under the test's prefix."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(prefix=topic_prefix, partitions=1, requesters=("callcentre-7",))))
    return topic_prefix


def run(kafka: Bootstrap, prefix: str, *args: str):
    """The command's result on a wide terminal."""
    arguments = [*args, "--bootstrap", kafka.address, "--prefix", prefix, "--until-end"]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})


def put(wire: Wire, topic: str, *messages: object) -> None:
    """Append messages as JSON."""
    wire.produce(topic, [(b"k", json.dumps(message).encode()) for message in messages])


def test_decisions_are_told_in_words(kafka, wire, topics):
    """A block names its rules and when it would pass; a pass says until when."""
    put(wire, topics + "contact-decisions", BLOCK, PASS)
    block, passed = run(kafka, topics, "decisions").output.splitlines()
    assert "BLOCK r-1 s-1 voice by callcentre-7" in block
    assert "cap.voice_7d 3 of 3 in 7 days" in block
    assert "eligible 2026-11-30T10:00:00Z" in block
    assert "PASS  r-2" in passed
    assert "until 10:15:00 UTC" in passed


def test_approvals_recalls_and_dead_letters_are_told_in_words(kafka, wire, topics):
    """A dialer's topic shows approvals and recalls; a sealed dead letter is shown as sealed."""
    approved = {
        "type": "contact.approved", "approval_id": "ap.secret", "approval_ref": "ar-1", "partition": 0,
        "request_id": "r-2", "subject_token": "s1.x",
        "channel": "voice", "valid_until": "2026-11-22T10:15:00.000Z",
    }  # fmt: skip
    recalled = {**approved, "type": "contact.recalled", "reason": "withdrawn"}
    put(wire, topics + "approvals.callcentre-7", approved, recalled)
    put(wire, topics + "dead-letters", DEAD)
    first, second = run(kafka, topics, "approvals.callcentre-7").output.splitlines()
    assert "APPROVED r-2 ar-1 voice" in first
    assert "RECALLED r-2 ar-1: withdrawn" in second
    dead = run(kafka, topics, "dead").output
    assert "DEAD json.broken from contact-requests 2@7: not JSON · sealed, 60 bytes" in dead
    assert "QUJD" not in dead


def test_an_address_in_an_input_is_not_put_on_the_screen(kafka, wire, topics):
    """Requests are shown without their address."""
    put(wire, topics + "contact-requests", {"type": "contact.requested", "request_id": "r", "address": "+442079460018"})
    shown = run(kafka, topics, "requests").output
    assert "not shown: address" in shown
    assert "7946" not in shown


def test_strange_records_are_shown_for_what_they_are(kafka, wire, topics):
    """Tombstones, bytes that are no JSON and half a decision are one line each and no traceback."""
    records = [(b"k", None), (b"k", b"\xff\x00"), (b"k", b"[1]"), (b"k", b'{"type":"contact.decided"}'), (None, b"{}")]
    wire.produce(topics + "contact-decisions", records)
    lines = run(kafka, topics, "decisions").output.splitlines()
    assert len(lines) == 5
    assert "removed (tombstone)" in lines[0]
    assert "2 bytes that are not JSON" in lines[1]


def test_json_gives_one_object_a_line(kafka, wire, topics):
    """--json --max gives that many records, each with where it lies and what it says."""
    put(wire, topics + "contact-decisions", BLOCK, PASS, BLOCK)
    first, second = run(kafka, topics, "decisions", "--json", "--max", "2").output.splitlines()
    assert json.loads(first)["value"] == BLOCK
    assert {key: json.loads(second)[key] for key in ("partition", "offset", "key")} == {
        "partition": 0, "offset": 1, "key": "k",
    }  # fmt: skip


def test_what_an_aborted_transaction_wrote_is_never_shown(kafka, wire, topics):
    """Read committed: records of an aborted transaction do not appear, those around it do."""
    put(wire, topics + "contact-decisions", BLOCK)
    producer = KafkaProducer(bootstrap_servers=kafka.address, transactional_id=f"{topics}tx")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topics + "contact-decisions", key=b"k", value=json.dumps({**BLOCK, "request_id": "ghost"}).encode())
    producer.flush()
    producer.abort_transaction()
    producer.close()
    put(wire, topics + "contact-decisions", PASS)
    shown = run(kafka, topics, "decisions").output
    assert "ghost" not in shown
    assert len(shown.splitlines()) == 2


def test_a_topic_that_does_not_exist_is_named(kafka, topics):
    """The error says which topic is missing and how to see those that are not."""
    result = run(kafka, topics, "approvals.nobody")
    assert result.exit_code == 1
    assert f"there is no topic {topics}approvals.nobody" in result.output

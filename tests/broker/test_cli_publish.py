"""`contactgate publish` and `policy activate` on a real broker: every line arrives once, under its key, or is named."""

import json
from pathlib import Path

import pytest
import typer
from kafka.partitioner.default import murmur2
from tests.kit.wire import Wire
from typer.testing import CliRunner

from contactgate.broker import Bootstrap
from contactgate.cli.publish import activate, publish
from contactgate.demo.population import Population
from contactgate.topics import Layout, TopicAdmin, topic_specs

PARTITIONS = 4
POLICY = Path(__file__).parents[2] / "src" / "contactgate" / "demo" / "policy.yaml"

app = typer.Typer()
app.command()(publish)
app.command()(activate)


@pytest.fixture
def topics(kafka: Bootstrap, topic_prefix: str) -> str:
    """The topics of an installation under the test's prefix."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(prefix=topic_prefix, partitions=PARTITIONS)))
    return topic_prefix


def run(kafka: Bootstrap, prefix: str, *args: str, stdin: bytes | None = None):
    """The command's result, with its output and errors."""
    return CliRunner().invoke(app, [*args, "--bootstrap", kafka.address, "--prefix", prefix], input=stdin)


def write(path: Path, *lines: bytes) -> str:
    """A file of lines; its name."""
    path.write_bytes(b"\n".join(lines) + b"\n")
    return str(path)


def test_every_message_goes_to_its_topic_under_its_key(kafka, wire: Wire, topics, tmp_path):
    """A population from a file is on its topics byte for byte, in the partition a Java client would choose."""
    population = Population(1, 200, 1_790_000_000_000)
    sent = [*population.world(), *population.history()]
    result = run(kafka, topics, "publish", write(tmp_path / "all.jsonl", *(routed.value for routed in sent)))
    assert result.exit_code == 0, result.output
    assert f"{len(sent):,} published, 0 bad lines" in result.output
    consents = wire.consume(topics + "consent-events")
    assert sorted((r.key, r.value) for r in consents) == sorted((r.key, r.value) for r in sent if r.kind == "consent")
    assert all(r.partition == (murmur2(r.key) & 0x7FFFFFFF) % PARTITIONS for r in consents)
    control = wire.consume(topics + "control-events")
    assert [(r.key, r.value) for r in control] == [(r.key, r.value) for r in sent if r.kind == "control"]


GOOD = (
    b'{"type":"contact.requested","request_id":"%d","subject_id":"s-1","time":"2026-03-02T15:00:00Z","requester":"bank",'
    b'"controller":"bank","purpose":"service","channel":"voice","address":"+442079460018"}'
)


@pytest.mark.parametrize("by_stdin", [False, True])
def test_nothing_is_sent_of_a_file_with_a_bad_line(kafka, wire: Wire, topics, tmp_path, by_stdin):
    """Every bad line is named with what is wrong, whole messages and not only their route, before anything is sent."""
    lines = [
        GOOD % 1,
        b'{"type":"contact',
        (GOOD % 3).replace(b'"purpose":"service",', b""),
        b'{"type":"consent.withdrawn","event_id":"e","subject_id":"s-1","time":"2026-03-02T15:00:00Z","channels":[]}',
        (GOOD % 5).replace(b"2026-03", b"2096-03"),
    ]
    file = write(tmp_path / "some.jsonl", *lines)
    result = (
        run(kafka, topics, "publish", "-", stdin=b"\n".join(lines)) if by_stdin else run(kafka, topics, "publish", file)
    )
    assert result.exit_code == 1
    assert "line 1:" not in result.output
    assert "line 2: this is not a JSON object" in result.output
    assert "line 3: field.missing" in result.output
    assert "line 4:" in result.output
    assert "line 5: time.absurd" in result.output
    assert "4 bad lines; nothing is published" in result.output
    assert wire.consume(topics + "contact-requests") == []


def test_a_stream_is_sent_line_by_line_and_ends_at_a_bad_one(kafka, wire: Wire, topics):
    """`--stream` does not wait for the end of its input: what came before the bad line is published, and it says so."""
    result = run(kafka, topics, "publish", "-", "--stream", stdin=GOOD % 1 + b"\n" + GOOD % 2 + b"\n[]\n" + GOOD % 4)
    assert result.exit_code == 1
    assert "line 3: this is JSON but not an object" in result.output
    assert "2 records before it are published" in result.output
    ids = [json.loads(r.value)["request_id"] for r in wire.consume(topics + "contact-requests")]
    assert ids == ["1", "2"]


def test_bad_lines_can_be_skipped_but_not_in_silence(kafka, wire: Wire, topics, tmp_path):
    """Skipping sends every good line, names every bad one and ends with status 1."""
    file = write(tmp_path / "some.jsonl", GOOD % 1, b"[]", b'{"type":"contact.requested"}', GOOD % 4)
    result = run(kafka, topics, "publish", file, "--on-error", "skip")
    assert result.exit_code == 1
    assert "line 2:" in result.output
    assert "line 3:" in result.output
    assert "2 published, 2 bad lines skipped" in result.output
    assert len(wire.consume(topics + "contact-requests")) == 2


def test_bad_lines_can_be_sent_as_they_are(kafka, wire: Wire, topics, tmp_path):
    """Sending on keeps the raw bytes, under key and topic as far as readable, for the gate to dead-letter."""
    bad = [b"\xff\xfe", b'{"type":"consent.wanted","subject_id":"s-9"}', b'{"type":"consent.granted"}']
    result = run(kafka, topics, "publish", write(tmp_path / "some.jsonl", *bad), "--on-error", "send")
    assert result.exit_code == 0, result.output
    requests = {(r.key, r.value) for r in wire.consume(topics + "contact-requests")}
    assert requests == {(None, bad[0]), (b"s-9", bad[1])}
    assert [(r.key, r.value) for r in wire.consume(topics + "consent-events")] == [(None, bad[2])]


def test_standard_input_is_read_and_blank_lines_are_nothing(kafka, wire: Wire, topics):
    """`publish -` reads standard input; Windows line ends and blank lines do no harm."""
    result = run(kafka, topics, "publish", "-", stdin=GOOD % 1 + b"\r\n\r\n\n" + GOOD % 2)
    assert result.exit_code == 0, result.output
    assert [r.value for r in wire.consume(topics + "contact-requests")] == [GOOD % 1, GOOD % 2]


def test_a_policy_is_activated_with_its_hash_and_document(kafka, wire: Wire, topics):
    """Activation publishes policy.activated under policy:active with the hash and the whole document."""
    result = run(kafka, topics, "activate", str(POLICY))
    assert result.exit_code == 0, result.output
    (record,) = wire.consume(topics + "control-events")
    event = json.loads(record.value)
    assert record.key == b"policy:active"
    assert f"active: {event['policy']}" in result.output
    assert event["document"]["policy"] == "demo-house"


def test_a_wrong_policy_is_not_activated_and_all_its_faults_are_told(kafka, wire: Wire, topics, tmp_path):
    """Every fault of the document is named with its place, and nothing is published."""
    file = tmp_path / "wrong.yaml"
    file.write_text("policy: p\ncaps:\n  - {name: a, limit: -1, window: {sliding: 7d}, scope: [subject]}\nfoo: 1\n")
    result = run(kafka, topics, "activate", str(file))
    assert result.exit_code == 1
    assert "caps[0].limit" in result.output
    assert "foo" in result.output
    assert wire.consume(topics + "control-events") == []


def test_a_missing_topic_and_a_missing_file_are_errors_that_say_what_to_do(kafka, topic_prefix, tmp_path):
    """No topic: create it. No file: name one. Never a traceback."""
    missing = run(kafka, topic_prefix, "publish", str(tmp_path / "none.jsonl"))
    assert missing.exit_code == 1
    assert "there is no file" in missing.output
    result = run(kafka, topic_prefix, "publish", write(tmp_path / "one.jsonl", GOOD % 1))
    assert result.exit_code == 1
    assert "contactgate topics create" in result.output


def test_with_the_token_key_a_suppression_is_sent_by_its_token(kafka, wire: Wire, topics, tmp_path, monkeypatch):
    """With the workers' key a suppression that names an address is keyed by its token; the address is gone."""
    message = b'{"type":"address.suppressed","event_id":"e","time":"2026-11-22T10:00:00Z","address":"+442079460018"}'
    file = write(tmp_path / "stop.jsonl", message)
    without = run(kafka, topics, "publish", file)
    assert without.exit_code == 1
    assert "configure the token key" in without.output
    (tmp_path / "key").write_bytes(b"k" * 32)
    monkeypatch.setenv("CONTACTGATE_TOKEN_KEY_FILE", str(tmp_path / "key"))
    assert run(kafka, topics, "publish", file).exit_code == 0
    (record,) = wire.consume(topics + "address-suppressions")
    assert record.key.startswith(b"a1.")
    assert json.loads(record.value)["address_token"] == record.key.decode()
    assert b"7946" not in record.value

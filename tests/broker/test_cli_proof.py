"""`verify`, `explain` and `dead-letters` on what a real worker left on a real broker."""

from __future__ import annotations

import json
import re
import secrets
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kafka import KafkaProducer
from tests.kit.wire import Record, Wire
from typer.testing import CliRunner

from contactgate.broker import Bootstrap
from contactgate.cli.main import app
from contactgate.client.feed import Feed
from contactgate.client.letters import RESUBMITS
from contactgate.client.routing import Routed, route
from contactgate.demo.workers import Workers
from contactgate.policy.load import load_policy
from contactgate.topics import Layout, TopicAdmin, topic_specs

PARTITIONS = 2
SUBJECTS = 12
POLICY = {
    "policy": "proof", "require": {"campaign": False, "party": False, "notice": False},
    "approval_ttl": "15m", "dedup_horizon": "1d", "unreported": "count",
    "purposes": {"service": {"consent": "opt_out"}},
    "caps": [{"name": "day", "limit": 2, "window": {"sliding": "1d"}, "scope": ["subject"]}],
}  # fmt: skip
BROKEN = b'{"type":"contact.requested","request_id":"r-broken","subject_id":"s-1","address":"secret@mail.example"'


class Log(NamedTuple):
    """Topics that a worker has decided, and the keys it did it with."""

    address: str
    prefix: str
    environment: dict[str, str]

    def run(self, *args: str, prefix: str | None = None, **environment: str) -> Any:
        """A command's result."""
        options = ["--bootstrap", self.address, "--prefix", self.prefix if prefix is None else prefix]
        return CliRunner().invoke(app, [*args, *options], env={**self.environment, **environment})


def now() -> str:
    """This instant as messages write it."""
    return datetime.now(UTC).isoformat()


def request(name: str, subject: str, **fields: Any) -> bytes:
    """One request."""
    message = {
        "type": "contact.requested", "request_id": name, "subject_id": subject, "time": now(), "requester": "dialer",
        "controller": "bank", "purpose": "service", "channel": "email", "address": f"{subject}@mail.example", **fields,
    }  # fmt: skip
    return json.dumps(message).encode()


def wait_for(wire: Wire, topic: str, count: int, workers: Workers) -> list[Record]:
    """The topic's records once there are this many."""
    deadline = time.monotonic() + 90
    while len(found := wire.consume(topic)) < count:
        workers.check()
        assert time.monotonic() < deadline, f"{len(found)} of {count} on {topic}"
        time.sleep(0.2)
    return found


def control(message: dict[str, Any]) -> Routed:
    """A control event under its key."""
    (routed,) = route(json.dumps({"event_id": secrets.token_hex(4), "time": now(), **message}).encode())
    return routed


@pytest.fixture(scope="module")
def log(kafka: Bootstrap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """Two partitions with passes, caps, an opt-out that recalls, a pause and a dead letter, decided by one worker."""
    directory = tmp_path_factory.mktemp("proof")
    prefix = f"proof-{secrets.token_hex(4)}-"
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(prefix=prefix, partitions=PARTITIONS, requesters=("dialer",))))
    decisions = prefix + "contact-decisions"
    with (
        Wire(kafka.address) as wire,
        Feed(kafka.address, prefix=prefix) as feed,
        Workers(kafka.address, prefix, directory) as workers,
    ):
        feed.send_now(control({"type": "policy.activated", "policy": load_policy(POLICY).hash, "document": POLICY}))
        workers.start(1)
        for turn in range(3):
            for number in range(SUBJECTS):
                (routed,) = route(request(f"r-{number}-{turn}", f"s-{number}"))
                feed.send(routed)
            feed.flush()
            wait_for(wire, decisions, SUBJECTS * (turn + 1), workers)
            if turn == 0:
                withdrawn = {
                    "type": "consent.withdrawn", "event_id": "w", "subject_id": "s-3", "time": now(),
                }  # fmt: skip
                (routed,) = route(json.dumps(withdrawn).encode())
                feed.send_now(routed)
                pause = {"type": "pause.set", "pause_id": "stop", "scope": {"channels": ["sms"]}}
                feed.send_now(control(pause))
        producer = KafkaProducer(bootstrap_servers=kafka.address)
        producer.send(prefix + "contact-requests", key=b"s-1", value=BROKEN, headers=[("trace", b"t-1")]).get(15)
        producer.close()
        wait_for(wire, prefix + "dead-letters", 1, workers)
        keys = {name: str(directory / f"{name}.key") for name in ("token", "seal")}
        environment = {f"CONTACTGATE_{name.upper()}_KEY_FILE": path for name, path in keys.items()}
        yield Log(kafka.address, prefix, environment)


def test_what_a_worker_decided_is_whole_and_derived_again(log: Log):
    """Every chain is whole and every decision comes out of the log again, byte for byte."""
    result = log.run("verify", "--rederive")
    assert result.exit_code == 0, result.output
    assert f"whole: {3 * SUBJECTS} decisions of {PARTITIONS} partitions" in result.output
    assert result.output.count("derived again and equal") == PARTITIONS
    assert "DIFFERS" not in result.output
    broken = log.run("verify", "--rederive", CONTACTGATE_TOKEN_KEY_FILE=log.environment["CONTACTGATE_SEAL_KEY_FILE"])
    assert broken.exit_code == 1
    assert "approval_ref: recorded" in broken.output
    assert "were the token key" in broken.output


def test_one_partition_can_be_verified_without_any_key(log: Log):
    """The chain alone needs no secret: an auditor gets read access and nothing else."""
    result = CliRunner().invoke(
        app, ["verify", "--partition", "1", "--bootstrap", log.address, "--prefix", log.prefix], env={}
    )
    assert result.exit_code == 0, result.output
    assert "of 1 partitions" in result.output
    assert "partition 0" not in result.output


def test_the_script_of_the_docs_agrees_on_real_decisions(log: Log, tmp_path: Path):
    """kcat and thirty lines of Python that share no code with us come to the same head."""
    topic = log.prefix + "contact-decisions"
    raw = tmp_path / "p0.jsonl"
    command = ["kcat", "-b", log.address, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q"]
    command += ["-X", "isolation.level=read_committed"]
    raw.write_bytes(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    page = Path(__file__).parents[2] / "docs" / "proof.md"
    (source,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "check_chain.py").write_text(source)
    script = [sys.executable, "-I", "-S", str(tmp_path / "check_chain.py"), str(raw)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (head,) = re.findall(r"head (sha256:\w+)", done.stdout)
    assert head in log.run("verify", "--partition", "0").output


def copy(log: Log, wire: Wire, mutate: Any) -> str:
    """The decisions under another prefix, changed on the way; the prefix."""
    prefix = f"copy-{secrets.token_hex(4)}-"
    with TopicAdmin(log.address) as admin:
        admin.create(topic_specs(Layout(prefix=prefix, partitions=PARTITIONS, requesters=("dialer",))))
    for partition in range(PARTITIONS):
        found = [r for r in wire.consume(log.prefix + "contact-decisions") if r.partition == partition]
        records = [(r.key, r.value) for r in found]
        wire.produce(prefix + "contact-decisions", mutate(records) if partition == 1 else records, partition=partition)
    return prefix


def test_a_changed_topic_is_found_and_the_place_is_named(log: Log, wire: Wire):
    """An edited verdict: status 1, the partition and the offset; the other partition is still told to be whole."""

    def edit(records: list[Any]) -> list[Any]:
        key, value = records[2]
        other = value.replace(b'"dialer"', b'"dealer"')
        return [*records[:2], (key, other), *records[3:]]

    result = log.run("verify", prefix=copy(log, wire, edit))
    assert result.exit_code == 1
    assert "BROKEN partition 1, offset 2: record 2 (seq 2) was edited" in result.output
    assert "NOT WHOLE" in result.output


def test_a_cut_tail_is_found_against_the_checkpoint(log: Log, wire: Wire, tmp_path: Path):
    """The heads written before say what is missing now; on a fault they are not overwritten."""
    prefix = copy(log, wire, lambda records: records)
    heads = tmp_path / "heads.json"
    first = log.run("verify", "--head", str(heads), prefix=prefix)
    assert first.exit_code == 0, first.output
    written = heads.read_bytes()
    assert set(json.loads(written)["partitions"]) == {"0", "1"}
    assert log.run("verify", "--head", str(heads), prefix=prefix).exit_code == 0
    cut = copy(log, wire, lambda records: records[:-2])
    foreign = log.run("verify", "--head", str(heads), prefix=cut)
    assert foreign.exit_code == 1
    assert "give its own file" in foreign.output
    heads.write_bytes(written := written.replace(prefix.encode(), cut.encode()))
    result = log.run("verify", "--head", str(heads), prefix=cut)
    assert result.exit_code == 1
    assert "its tail was cut off" in result.output
    assert heads.read_bytes() == written


def test_a_request_is_explained_from_the_log(log: Log):
    """Who was asked, what was recorded, the positions, and every rule with what it rests on; no address in it."""
    blocked = log.run("explain", "r-3-1")
    assert blocked.exit_code == 0, blocked.output
    assert "recorded   block" in blocked.output
    assert "derived    again from the log: equal" in blocked.output
    assert "[FAILS] consent.withdrawn" in blocked.output
    assert "@" not in blocked.output
    passed = log.run("explain", "r-4-1", "--subject", "s-4")
    assert passed.exit_code == 0, passed.output
    assert "request r-4-1 passes" in passed.output
    capped = json.loads(log.run("explain", "r-4-2", "--subject", "s-4", "--json").output)
    failing = [rule for rule in capped["explanation"]["rules"] if not rule["holds"]]
    assert [rule["rule"] for rule in failing] == ["cap.day"]
    assert any("r-4-0" in fact for fact in failing[0]["facts"])


def test_a_request_without_a_decision_is_told_what_became_of_it(log: Log):
    """A dead letter is named with its reason; an unknown id says that nothing has it."""
    dead = log.run("explain", "r-broken")
    assert dead.exit_code == 1
    assert "became dead letter request-" in dead.output
    assert "json.malformed" in dead.output
    unknown = log.run("explain", "r-nobody")
    assert unknown.exit_code == 1
    assert "no decision and no request has this request_id" in unknown.output
    assert log.run("explain", "r-4-1", "--subject", "s-5").exit_code == 1


def test_dead_letters_are_listed_without_their_contents(log: Log):
    """Name, place and reason are shown; the address in the message is not."""
    result = log.run("dead-letters", "list", "--json", "--reason", "json.")
    assert result.exit_code == 0, result.output
    letter = json.loads(result.output.splitlines()[0])
    assert (letter["topic"], letter["reason"]) == ("contact-requests", "json.malformed")
    assert "secret" not in log.run("dead-letters", "list").output
    assert "0 dead letters" in log.run("dead-letters", "list", "--topic", "consent-events").output


def name_of(log: Log) -> str:
    """The name of the broken request's letter."""
    lines = log.run("dead-letters", "list", "--json", "--reason", "json.malformed").output.splitlines()
    return json.loads(lines[0])["name"]


def test_a_dead_letter_is_opened_with_the_key_and_not_without(log: Log, tmp_path: Path):
    """The operator gets the very bytes, in a file for his eyes only, with a warning; others get nothing."""
    name = name_of(log)
    out = tmp_path / "letter"
    result = log.run("dead-letters", "open", name, "--out", str(out))
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == BROKEN
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "in clear" in result.output
    assert log.run("dead-letters", "open", name, "--out", str(out)).exit_code == 1
    assert log.run("dead-letters", "open", name).stdout_bytes == BROKEN
    wrong = tmp_path / "wrong.key"
    wrong.write_text("0" * 64)
    refused = log.run("dead-letters", "open", name, CONTACTGATE_SEAL_KEY_FILE=str(wrong))
    assert refused.exit_code == 1
    assert "wrong key" in refused.output
    assert "secret" not in refused.output
    assert "there is no dead letter" in log.run("dead-letters", "open", "request-0-99999").output


def test_a_repaired_letter_is_sent_again_and_decided(log: Log, wire: Wire, tmp_path: Path):
    """What would fail again is not sent; the repaired message goes to its topic with a header naming the letter."""
    name = name_of(log)
    refused = log.run("dead-letters", "resubmit", name)
    assert refused.exit_code == 1
    assert "would be a dead letter again (json.malformed" in refused.output
    repaired = tmp_path / "repaired"
    repaired.write_bytes(request("r-broken", "s-1") + b"\n")
    before = len(wire.consume(log.prefix + "contact-requests"))
    result = log.run("dead-letters", "resubmit", name, "--value", str(repaired))
    assert result.exit_code == 0, result.output
    assert f"{RESUBMITS}: {name}" in result.output
    sent = [r for r in wire.consume(log.prefix + "contact-requests") if RESUBMITS in r.headers]
    assert len(wire.consume(log.prefix + "contact-requests")) == before + 1
    assert [(r.key, r.value, r.headers[RESUBMITS]) for r in sent] == [
        (b"s-1", repaired.read_bytes().strip(), name.encode())
    ]
    deadline = time.monotonic() + 90
    while log.run("explain", "r-broken", "--subject", "s-1").exit_code:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert "cap.day" in log.run("explain", "r-broken", "--subject", "s-1").output


def test_original_headers_come_back_with_a_resubmitted_message(log: Log, wire: Wire):
    """The original bytes, forced: same key, same value, and the headers that the record had."""
    name = name_of(log)
    result = log.run("dead-letters", "resubmit", name, "--force")
    assert result.exit_code == 0, result.output
    assert "the original bytes sent" in result.output
    again = [r for r in wire.consume(log.prefix + "contact-requests") if r.value == BROKEN]
    assert len(again) == 2
    assert again[0].key == again[1].key == b"s-1"
    assert again[1].headers == {**again[0].headers, RESUBMITS: name.encode()}
    assert again[0].headers == {"trace": b"t-1"}


def test_explain_offline_tells_the_same_from_files(tmp_path: Path):
    """Policy and events in files: the line, its verdict and the rules; without them it says what it needs."""
    policy, events = tmp_path / "policy.json", tmp_path / "events.jsonl"
    policy.write_text(json.dumps(POLICY))
    started = datetime(2026, 11, 22, 11, tzinfo=UTC)
    lines = [request(f"r-{i}", "s", time=(started + timedelta(minutes=i)).isoformat()) for i in range(3)]
    events.write_bytes(b"\n".join([b"", *lines, b"{broken"]))
    files = ["--offline", "--policy", str(policy), "--events", str(events)]
    result = CliRunner().invoke(app, ["explain", "r-2", *files])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("line 4: block\n")
    assert "[FAILS] cap.day" in result.output
    assert "line 2: pass" in CliRunner().invoke(app, ["explain", "r-0", *files]).output
    assert CliRunner().invoke(app, ["explain", "r-9", *files]).exit_code == 1
    lacking = CliRunner().invoke(app, ["explain", "r-2", "--offline"])
    assert lacking.exit_code == 1
    assert "--policy and --events" in lacking.output

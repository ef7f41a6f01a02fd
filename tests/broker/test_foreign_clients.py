"""kcat as a campaign system and as a dialer would use it: publishes keyed requests, reads approvals read_committed.

kcat speaks through librdkafka, which shares no code with any client used elsewhere here. A missing kcat fails
these tests, as a missing broker does.
"""

import json
import subprocess
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.partitioner.default import murmur2
from tests.wire import Wire

from contactgate.broker import Bootstrap
from contactgate.client.feed import Feed
from contactgate.client.routing import route
from contactgate.demo.workers import Workers
from contactgate.policy.load import load_policy
from contactgate.topics import Layout, TopicAdmin, topic_specs

PARTITIONS = 4
POLICY = {
    "policy": "kcat", "require": {"campaign": False, "party": False, "notice": False},
    "approval_ttl": "15m", "dedup_horizon": "1d", "unreported": "count",
    "purposes": {"service": {"consent": "opt_out"}},
}  # fmt: skip


@pytest.fixture
def topics(kafka: Bootstrap, topic_prefix: str) -> str:
    """The topics of an installation with one dialer."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(prefix=topic_prefix, partitions=PARTITIONS, requesters=("mailhouse-2",))))
    return topic_prefix


def kcat(*args: str, stdin: bytes = b"") -> bytes:
    """kcat's output; it fails the test when kcat fails."""
    done = subprocess.run(["kcat", *args], input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def request(number: int) -> tuple[str, str]:
    """A subject and its request, as kcat -K sends them. No token can hold a tilde, so "s~" in one is a leak."""
    subject = f"s~{number}"
    message = {
        "type": "contact.requested", "request_id": f"r-{number}", "subject_id": subject,
        "time": "2026-11-22T10:00:00Z", "requester": "mailhouse-2", "controller": "bank",
        "purpose": "service.statement", "channel": "email", "address": f"{subject}@mail.example",
    }  # fmt: skip
    return subject, json.dumps(message)


def publish(kafka: Bootstrap, topic: str, count: int) -> None:
    """Send requests exactly as the README says."""
    lines = "".join(f"{key}\t{value}\n" for key, value in map(request, range(count)))
    kcat(
        "-b", kafka.address, "-P", "-t", topic, "-K", "\t", "-X", "topic.partitioner=murmur2_random", "-X",
        "enable.idempotence=true", stdin=lines.encode(),
    )  # fmt: skip


def read(kafka: Bootstrap, topic: str) -> list[dict]:
    """Everything committed on a topic, as the README says."""
    out = kcat("-b", kafka.address, "-C", "-t", topic, "-e", "-q", "-X", "isolation.level=read_committed")
    return [json.loads(line) for line in out.splitlines()]


def test_kcat_with_murmur2_puts_requests_where_java_clients_do(kafka, wire: Wire, topics):
    """With topic.partitioner=murmur2_random every key lies in the partition that the gate expects it in."""
    publish(kafka, topics + "contact-requests", 60)
    records = wire.consume(topics + "contact-requests", count=60)
    assert all(record.partition == (murmur2(record.key) & 0x7FFFFFFF) % PARTITIONS for record in records)
    assert sorted((record.key.decode(), record.value.decode()) for record in records) == sorted(map(request, range(60)))


def test_kcat_by_default_puts_them_elsewhere(kafka, wire: Wire, topics):
    """librdkafka's own default hashes with CRC32: the reason for the setting, and why the gate checks the partition."""
    lines = "".join(f"{key}\t{value}\n" for key, value in map(request, range(60)))
    kcat("-b", kafka.address, "-P", "-t", topics + "contact-requests", "-K", "\t", stdin=lines.encode())
    records = wire.consume(topics + "contact-requests", count=60)
    assert any(record.partition != (murmur2(record.key) & 0x7FFFFFFF) % PARTITIONS for record in records)


def test_kcat_reads_what_is_committed_and_nothing_else(kafka, topics):
    """With isolation.level=read_committed an aborted approval is invisible."""
    producer = KafkaProducer(bootstrap_servers=kafka.address, transactional_id=f"{topics}tx")
    producer.init_transactions()
    for word in ("kept", "aborted"):
        producer.begin_transaction()
        producer.send(topics + "approvals.mailhouse-2", key=b"k", value=json.dumps({"word": word}).encode())
        producer.flush()
        producer.commit_transaction() if word == "kept" else producer.abort_transaction()
    producer.close()
    assert read(kafka, topics + "approvals.mailhouse-2") == [{"word": "kept"}]


def test_requests_by_kcat_are_decided_and_kcat_reads_the_approvals(kafka, wire: Wire, topics, tmp_path: Path):
    """From kcat through a live worker to kcat: one approval for each request, without the subject or the address."""
    event = {
        "type": "policy.activated", "event_id": "p", "time": "2026-11-22T09:00:00Z",
        "policy": load_policy(POLICY).hash, "document": POLICY,
    }  # fmt: skip
    with Feed(kafka.address, prefix=topics) as feed, Workers(kafka.address, topics, tmp_path / "workers") as workers:
        (routed,) = route(json.dumps(event).encode())
        feed.send_now(routed)
        workers.start(1)
        publish(kafka, topics + "contact-requests", 40)
        deadline = time.monotonic() + 90
        while len(approvals := read(kafka, topics + "approvals.mailhouse-2")) < 40:
            workers.check()
            assert time.monotonic() < deadline, f"{len(approvals)} approvals"
            time.sleep(0.3)
    assert {approval["request_id"] for approval in approvals} == {f"r-{number}" for number in range(40)}
    for approval in approvals:
        assert set(approval) == {"type", "approval_id", "request_id", "subject_token", "channel", "valid_until"}
        assert "s~" not in approval["subject_token"]
    assert all(record.headers["ce_type"] for record in wire.consume(topics + "approvals.mailhouse-2"))

"""kcat and kafkajs as a campaign system and a dialer would use them: publish keyed requests, read approvals.

kcat speaks through librdkafka and kafkajs is JavaScript: neither shares code with a client used elsewhere here. A
missing one fails these tests, as a missing broker does; `make test` installs both.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.partitioner.default import murmur2
from tests.kit.wire import Wire

from contactgate.broker import Bootstrap
from contactgate.client.feed import Feed
from contactgate.client.routing import route
from contactgate.demo.workers import Workers
from contactgate.policy.load import load_policy
from contactgate.topics import Layout, TopicAdmin, topic_specs

PARTITIONS = 4
KAFKAJS = Path(__file__).with_name("kafkajs")
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


def output(*command: str, kafka: Bootstrap, stdin: bytes = b"") -> bytes:
    """What a client prints; it fails the test when the client fails."""
    environment = {**os.environ, "KAFKA_BOOTSTRAP": kafka.address}
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=90, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def kcat(kafka: Bootstrap, *args: str, stdin: bytes = b"") -> bytes:
    """One run of kcat."""
    return output("kcat", "-b", kafka.address, *args, kafka=kafka, stdin=stdin)


def kafkajs(kafka: Bootstrap, *args: str, stdin: bytes = b"") -> bytes:
    """One run of the small program beside this file that uses kafkajs."""
    assert (KAFKAJS / "node_modules").is_dir(), "kafkajs is not installed; `make system-tests` does it"
    return output("node", str(KAFKAJS / "client.js"), *args, kafka=kafka, stdin=stdin)


def request(number: int) -> tuple[str, str]:
    """A subject and its request, as kcat -K sends them. No token can hold a tilde, so "s~" in one is a leak."""
    subject = f"s~{number}"
    message = {
        "type": "contact.requested", "request_id": f"r-{number}", "subject_id": subject,
        "time": "2026-11-22T10:00:00Z", "requester": "mailhouse-2", "controller": "bank",
        "purpose": "service.statement", "channel": "email", "address": f"{subject}@mail.example",
    }  # fmt: skip
    return subject, json.dumps(message)


def lines(count: int) -> bytes:
    """Requests, a key, a tab and JSON a line."""
    return "".join(f"{key}\t{value}\n" for key, value in map(request, range(count))).encode()


def kcat_publish(kafka: Bootstrap, topic: str, count: int) -> None:
    """Send requests exactly as the README says."""
    murmur = ("-X", "topic.partitioner=murmur2_random", "-X", "enable.idempotence=true")
    kcat(kafka, "-P", "-t", topic, "-K", "\t", *murmur, stdin=lines(count))


def kafkajs_publish(kafka: Bootstrap, topic: str, count: int) -> None:
    """Send requests with kafkajs as it is: its own partitioner is the one that the gate expects."""
    kafkajs(kafka, "publish", topic, stdin=lines(count))


def kcat_read(kafka: Bootstrap, topic: str, count: int) -> list[dict]:
    """At least `count` committed records and whatever else there is by then, as the README says."""
    deadline = time.monotonic() + 90
    while True:
        out = kcat(kafka, "-C", "-t", topic, "-e", "-q", "-X", "isolation.level=read_committed")
        if len(found := [json.loads(line) for line in out.splitlines()]) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {count} records"
        time.sleep(0.3)


def kafkajs_read(kafka: Bootstrap, topic: str, count: int) -> list[dict]:
    """The first `count` committed records."""
    return [json.loads(line) for line in kafkajs(kafka, "read", topic, str(count)).splitlines()]


PUBLISH = pytest.mark.parametrize("publish", [kcat_publish, kafkajs_publish], ids=["kcat", "kafkajs"])
READ = pytest.mark.parametrize("read", [kcat_read, kafkajs_read], ids=["kcat", "kafkajs"])
CLIENT = pytest.mark.parametrize(
    ("publish", "read"), [(kcat_publish, kcat_read), (kafkajs_publish, kafkajs_read)], ids=["kcat", "kafkajs"]
)
Publish = Callable[[Bootstrap, str, int], None]
Read = Callable[[Bootstrap, str, int], list[dict]]


@PUBLISH
def test_requests_lie_where_java_clients_put_them(kafka: Bootstrap, wire: Wire, topics: str, publish: Publish) -> None:
    """Every key lies in the partition that the gate expects it in: kcat by its setting, kafkajs by default."""
    publish(kafka, topics + "contact-requests", 60)
    records = wire.consume(topics + "contact-requests", count=60)
    assert all(record.partition == (murmur2(record.key) & 0x7FFFFFFF) % PARTITIONS for record in records)
    assert sorted((record.key.decode(), record.value.decode()) for record in records) == sorted(map(request, range(60)))


def test_kcat_by_default_puts_them_elsewhere(kafka: Bootstrap, wire: Wire, topics: str) -> None:
    """librdkafka's own default hashes with CRC32: the reason for the setting, and why the gate checks the partition."""
    kcat(kafka, "-P", "-t", topics + "contact-requests", "-K", "\t", stdin=lines(60))
    records = wire.consume(topics + "contact-requests", count=60)
    assert any(record.partition != (murmur2(record.key) & 0x7FFFFFFF) % PARTITIONS for record in records)


@READ
def test_what_is_committed_is_read_and_nothing_else(kafka: Bootstrap, topics: str, read: Read) -> None:
    """Read committed, an aborted approval between two committed ones is invisible."""
    producer = KafkaProducer(bootstrap_servers=kafka.address, transactional_id=f"{topics}tx")
    producer.init_transactions()
    for word in ("first", "aborted", "second"):
        producer.begin_transaction()
        producer.send(topics + "approvals.mailhouse-2", key=b"k", value=json.dumps({"word": word}).encode())
        producer.flush()
        producer.abort_transaction() if word == "aborted" else producer.commit_transaction()
    producer.close()
    assert read(kafka, topics + "approvals.mailhouse-2", 2) == [{"word": "first"}, {"word": "second"}]


@CLIENT
def test_requests_are_decided_and_the_approvals_read(
    kafka: Bootstrap, wire: Wire, topics: str, tmp_path: Path, publish: Publish, read: Read
) -> None:
    """From the client through a live worker to the client: one approval for each request, without the subject."""
    event = {
        "type": "policy.activated", "event_id": "p", "time": "2026-11-22T09:00:00Z",
        "policy": load_policy(POLICY).hash, "document": POLICY,
    }  # fmt: skip
    with Feed(kafka.address, prefix=topics) as feed, Workers(kafka.address, topics, tmp_path / "workers") as workers:
        (routed,) = route(json.dumps(event).encode())
        feed.send_now(routed)
        workers.start(1)
        publish(kafka, topics + "contact-requests", 40)
        approvals = read(kafka, topics + "approvals.mailhouse-2", 40)
        workers.check()
    assert sorted(approval["request_id"] for approval in approvals) == sorted(f"r-{number}" for number in range(40))
    for approval in approvals:
        assert set(approval) == {
            "type",
            "approval_id",
            "approval_ref",
            "partition",
            "request_id",
            "subject_token",
            "channel",
            "valid_until",
        }
        assert "s~" not in approval["subject_token"]
    assert all(record.headers["ce_type"] for record in wire.consume(topics + "approvals.mailhouse-2"))

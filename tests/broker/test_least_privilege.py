"""Invariant I19: every principal may do on a real cluster what docs/access.md says, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import AlterConfigsRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)
from tests.kit.fleet import SECRETS, WorkerProcess, wait_until

from contactgate.broker.cluster import ready_install
from contactgate.broker.node import Node, Voter, free_ports
from contactgate.topics import Layout, TopicAdmin, topic_specs

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PAGE = Path(__file__).parents[2] / "docs" / "access.md"
PREFIX = "least-"
LAYOUT = Layout(PREFIX, partitions=1, requesters=("dialer", "other"))
TOPICS = sorted(spec.name.removeprefix(PREFIX) for spec in topic_specs(LAYOUT))
NOBODY = "nobody"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
WHO = ("capture", "campaigns", "dialer", "compliance", "operator", "auditor", "worker", NOBODY)
OPERATIONS = {"Read": ACLOperation.READ, "Write": ACLOperation.WRITE, "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS}
POLICY = {
    "policy": "least", "packs": [], "approval_ttl": "15m", "dedup_horizon": "7d", "unreported": "count",
    "require": {"campaign": False, "party": False, "notice": False}, "purposes": {"service": {"consent": "opt_out"}},
}  # fmt: skip
DENIED_TOPIC, DENIED_GROUP, DENIED_CLUSTER, DENIED_ID = 29, 30, 31, 53
Rights = set[tuple[str, str, str, str]]  # who, kind, name, operation


def rights() -> Rights:
    """The table of the page."""
    found: Rights = set()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        who, what, may = ([*line.strip("|").split("|"), "", "", ""])[:3]
        if who.strip() in WHO:
            kind = "topic" if what.strip().startswith("topic") else "group" if "group" in what else "id"
            names = re.findall(r"`([^`]+)`", what)
            found |= {(who.strip(), kind, name, each.strip()) for name in names for each in may.split(",")}
    return found


def password(who: str) -> str:
    """Everybody has one."""
    return f"canary-{who}-password"


class Guarded:
    """A node that lets nobody do anything but the administrator."""

    def __init__(self, node: Node, plain: str, sasl: str) -> None:
        self.node, self.plain, self.sasl = node, plain, sasl

    def options(self, who: str) -> dict[str, Any]:
        """How a client of kafka-python or aiokafka becomes a principal."""
        if who == NOBODY:
            return {"bootstrap_servers": self.plain}
        return {
            "bootstrap_servers": self.sasl, "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN",
            "sasl_plain_username": who, "sasl_plain_password": password(who),
        }  # fmt: skip


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """An own node with an authorizer, the topics, and the rights of the page."""
    plain, controller, sasl = free_ports(3)
    users = " ".join(f'user_{who}="{password(who)}"' for who in ("admin", *WHO))
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    jaas = f'{module} username="admin" password="{password("admin")}" {users};'
    listeners = f"PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl}"
    overrides = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "inter.broker.listener.name": "SASL",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": f"{SCRAM} required;",
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": jaas,
        "listener.name.controller.plain.sasl.jaas.config": jaas,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:admin",
    }
    me = Voter(1, plain, controller)
    with tempfile.TemporaryDirectory(prefix="contactgate-guarded-") as name:
        node = Node(ready_install(), Path(name) / "node-1", me, (me,), "TGVhc3Rwcml2aWxlZ2VzMQ", overrides=overrides)
        place = Guarded(node, f"127.0.0.1:{plain}", f"127.0.0.1:{sasl}")
        try:
            node.finish_format(node.format())
            node.launch()
            node.wait_ready(frozenset({1}))
            config = {key: value for key, value in place.options("admin").items() if key != "bootstrap_servers"}
            with TopicAdmin(place.sasl, client_config=config) as topics:
                topics.create(topic_specs(LAYOUT))
            admin = KafkaAdminClient(**place.options("admin"))
            worker = UserScramCredentialUpsertion("worker", "SCRAM-SHA-256", password("worker"))
            assert admin.alter_user_scram_credentials([worker]) == {"worker": None}
            told = admin.create_acls([_acl(*right) for right in sorted(rights())])
            assert len(told["succeeded"]) == len(rights()), told
            admin.close()
            wait_until(lambda: asyncio.run(_knows(place)), lambda: "the broker knows the rights")
            yield place
        finally:
            node.stop()


async def _knows(guarded: Guarded) -> bool:
    return ("auditor", "topic", "contact-decisions", "Read") in await _tried(guarded, "auditor")


def _acl(who: str, kind: str, name: str, may: str) -> ACL:
    types = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "id": ResourceType.TRANSACTIONAL_ID}
    style = ACLResourcePatternType.PREFIXED if kind == "id" else ACLResourcePatternType.LITERAL
    pattern = ResourcePattern(types[kind], PREFIX + name, style)
    return ACL(f"User:{who}", "*", OPERATIONS[may], ACLPermissionType.ALLOW, pattern)


def _publish(guarded: Guarded, who: str, topic: str, key: bytes | None, message: dict[str, Any]) -> None:
    """One acknowledged record of a principal."""
    producer = KafkaProducer(**guarded.options(who), enable_idempotence=True, acks="all")
    producer.send(PREFIX + topic, key=key, value=json.dumps(message).encode()).get(timeout=60)
    producer.close(timeout=10)


def test_everybody_works_with_these_rights_alone(guarded: Guarded, tmp_path: Path) -> None:
    """Compliance's policy, campaigns' requests, the dialer's outcome, capture's opt-out, and the recalls."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    policy = {"type": "policy.activated", "event_id": "p", "time": moment, "document": POLICY}
    _publish(guarded, "compliance", "control-events", b"policy:active", policy)
    for request_id, subject in (("r1", "s"), ("r2", "s"), ("r3", "t")):
        request = {
            "type": "contact.requested", "request_id": request_id, "subject_id": subject, "time": moment,
            "requester": "dialer", "controller": "bank", "purpose": "service", "channel": "voice",
            "address": f"+1212555019{subject == 's':d}",
        }  # fmt: skip
        _publish(guarded, "campaigns", "contact-requests", subject.encode(), request)
    worker = WorkerProcess(tmp_path)
    worker.secrets = {
        **SECRETS, "CONTACTGATE_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "CONTACTGATE_SASL_MECHANISM": "SCRAM-SHA-256",
        "CONTACTGATE_SASL_USERNAME": "worker", "CONTACTGATE_SASL_PASSWORD": password("worker"),
    }  # fmt: skip
    consumer = KafkaConsumer(**guarded.options("dialer"), isolation_level="read_committed", enable_auto_commit=False)
    approvals = TopicPartition(f"{PREFIX}approvals.dialer", 0)
    consumer.assign([approvals])
    consumer.seek(approvals, 0)
    told: dict[str, dict[str, dict[str, Any]]] = {"contact.approved": {}, "contact.recalled": {}}

    def hears(kind: str, *request_ids: str) -> bool:
        for records in consumer.poll(timeout_ms=200).values():
            for message in (json.loads(record.value) for record in records):
                if message["type"] in told:
                    told[message["type"]][message["request_id"]] = message
        assert worker.process is None or worker.process.poll() is None, worker
        return told[kind].keys() >= set(request_ids)

    try:
        worker.start("--bootstrap", guarded.sasl, "--prefix", PREFIX)
        wait_until(lambda: hears("contact.approved", "r1", "r2", "r3"), lambda: f"the approvals are read: {worker}")
        approval = told["contact.approved"]["r1"]
        outcome = {
            "type": "contact.outcome", "event_id": "o", "time": moment, "outcome": "unsubscribed",
            "approval_id": approval["approval_id"],
        }  # fmt: skip
        opt_out = {"type": "consent.withdrawn", "event_id": "w", "time": moment, "subject_id": "t"}
        _publish(guarded, "dialer", "contact-outcomes", None, outcome)
        _publish(guarded, "capture", "consent-events", b"t", opt_out)
        wait_until(lambda: hears("contact.recalled", "r2", "r3"), lambda: f"the recalls are read: {worker}")
        wait_until(lambda: worker.get("/readyz")[0] == 200, lambda: f"the worker is ready: {worker}")
        assert worker.stop() == 0
        log = worker.log.read_text()
        assert "uthoriz" not in log, "it asked for nothing that it may not"
    finally:
        consumer.close()
        worker.kill()


def _batch() -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    builder.append(0, 1_790_000_000_000, b"k", os.urandom(8), [])
    return bytes(builder.build())


async def _tried(guarded: Guarded, who: str) -> Rights:
    """Every operation on everything, one request each: what was not denied."""
    done: Rights = set()
    client = AIOKafkaClient(**guarded.options(who))
    await client.bootstrap()
    try:
        for topic in TOPICS:
            name = PREFIX + topic
            fetch: Any = await client.send(1, FetchRequest(0, 0, 1, 0, [(name, [(0, 0, 1 << 20)])]))
            if fetch.topics[0][1][0][1] != DENIED_TOPIC:
                done.add((who, "topic", topic, "Read"))
            produce: Any = await client.send(1, ProduceRequest(None, -1, 10_000, [(name, [(0, _batch())])]))
            if produce.topics[0][1][0][1] != DENIED_TOPIC:
                done.add((who, "topic", topic, "Write"))
            alter: Any = await client.send(1, AlterConfigsRequest([(2, name, [("retention.ms", "1")])], True))
            if alter.resources[0][0] not in (DENIED_TOPIC, DENIED_CLUSTER):
                done.add((who, "topic", topic, "Alter"))
        for group in ("contactgate", "contactgate.relay"):
            beat: Any = await client.send(1, HeartbeatRequest(PREFIX + group, -1, ""))
            if beat.error_code != DENIED_GROUP:
                done.add((who, "group", group, "Read"))
        begun: Any = await client.send(1, InitProducerIdRequest(PREFIX + "contactgate-0", 10_000))
        if begun.error_code != DENIED_ID:
            done.add((who, "id", "contactgate-", "Write"))
    finally:
        await client.close()
    return done


@pytest.mark.parametrize("who", WHO)
def test_every_cell_of_the_matrix_is_as_the_page_says(guarded: Guarded, who: str) -> None:
    """Reading, writing and altering every topic, the worker's groups and its transactional id, for each."""
    written = {right for right in rights() if right[0] == who and right[3] != "DescribeConfigs"}
    assert asyncio.run(_tried(guarded, who)) == written
    assert bool(written) is (who != NOBODY)


def test_a_right_too_many_turns_the_matrix_red(guarded: Guarded) -> None:
    """The seeded bug: somebody lets the dialer write consents, and the matrix shows exactly that."""
    admin = KafkaAdminClient(**guarded.options("admin"))
    extra = ("dialer", "topic", "consent-events", "Write")
    written = {right for right in rights() if right[0] == "dialer"}
    try:
        admin.create_acls([_acl(*extra)])
        wait_until(lambda: asyncio.run(_tried(guarded, "dialer")) - written == {extra}, lambda: "the right is seen")
    finally:
        admin.delete_acls([_acl(*extra)])
        admin.close()

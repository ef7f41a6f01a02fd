"""How the engine makes aiokafka clients, and the one place where aiokafka's exceptions become ours.

`EngineSettings` is everything the engine needs to know; the composition root fills it from the settings. Faust gets the
same addresses and credentials. It must never log a credential.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiokafka.errors as kafka_errors
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient

from contactgate.engine.headers import read_any_headers
from contactgate.engine.task import Limits
from contactgate.engine.unwrapped import as_it_is, unwrap_records
from contactgate.errors import BrokerError, BrokerUnavailable, ContactgateError, Fenced, Halted

MIB = 1 << 20
INPUT_MAX_BYTES = 2 * MIB  # R6: above max.message.bytes of the input topics
METADATA_MS = 15_000  # aiokafka asks again no sooner after a question that failed; its default is five minutes
CHANGELOG_MAX_BYTES = 8 * MIB  # R6: above max.message.bytes of the changelog


@dataclass(frozen=True, slots=True)
class Security:
    """How to reach a protected cluster; `password` never shows in a repr."""

    protocol: str = "PLAINTEXT"  # PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
    mechanism: str | None = None  # PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client."""
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self.ssl_context is not None:
            options["ssl_context"] = self.ssl_context
        if self.mechanism is not None:
            options["sasl_mechanism"] = self.mechanism
            options["sasl_plain_username"] = self.username
            options["sasl_plain_password"] = self.password
        return options


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Everything one worker's engine needs to know."""

    bootstrap: str
    state_dir: Path  # of this worker alone: one directory a partition is made in it
    app_id: str = "contactgate"
    prefix: str = ""
    partitions: int = 8
    worker_id: str = "worker"
    cluster_id: str = ""
    changelog_topic_id: str = ""
    security: Security = field(default_factory=Security)
    limits: Limits = field(default_factory=Limits)
    linger_ms: int = 15  # between two transactions of a busy partition
    facts_linger_ms: int = 50  # consents and outcomes without requests wait this long for company
    buffer: int = 10_000  # records held in memory per partition and input
    barrier_timeout_s: float = 10.0
    fetch_max_wait_ms: int = 50
    transaction_timeout_ms: int = 20_000
    request_timeout_ms: int = 10_000
    session_timeout_s: float = 6.0
    heartbeat_s: float = 1.0
    rebalance_timeout_s: float = 30.0
    instance_id: str | None = None  # static membership
    pages_host: str = "127.0.0.1"
    pages_port: int = 6066  # 0: none
    compression: str | None = None
    read_barrier: bool = True  # False exists for the test that shows what the barrier prevents

    def topic(self, kind: str) -> str:
        """The full name of a topic by what it is to the engine."""
        return self.prefix + TOPICS[kind]

    def transactional_id(self, partition: int) -> str:
        """Fixed for ever: the fencing of a partition's owners hangs on it."""
        return f"{self.prefix}{self.app_id}-{partition}"

    @property
    def group_id(self) -> str:
        """The consumer group that the input positions are committed to (Faust's group as well)."""
        return f"{self.prefix}{self.app_id}"


TOPICS = {
    "consent": "consent-events",
    "request": "contact-requests",
    "outcome": "contact-outcomes",
    "control": "control-events",
    "suppression": "address-suppressions",
    "decision": "contact-decisions",
    "dead": "dead-letters",
    "changelog": "subjects-changelog",
    "metrics": "ops-metrics",
    "alerts": "ops-alerts",
    "tasks": "tasks",
}


def consumer(settings: EngineSettings, *, max_bytes: int, committed: bool = True, **options: Any) -> AIOKafkaConsumer:
    """A consumer without a group. Where it stands is ours to say: an offset that is gone is an error, never a jump.

    Its records have an offset, a timestamp, a key, a value and headers, and nothing else (`engine.unwrapped`).
    """
    read_any_headers()
    unwrap_records()
    return AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap,
        client_id=f"{settings.app_id}-{settings.worker_id}",
        enable_auto_commit=False,
        auto_offset_reset="none",
        value_deserializer=as_it_is,
        isolation_level="read_committed" if committed else "read_uncommitted",
        max_partition_fetch_bytes=max_bytes,
        fetch_max_wait_ms=options.pop("fetch_max_wait_ms", settings.fetch_max_wait_ms),
        request_timeout_ms=settings.request_timeout_ms,
        metadata_max_age_ms=METADATA_MS,
        **settings.security.client_options(),
        **options,
    )


def transactional_client(settings: EngineSettings, partition: int) -> AIOKafkaClient:
    """The connections of one partition's transactions."""
    return AIOKafkaClient(
        bootstrap_servers=settings.bootstrap,
        client_id=f"{settings.app_id}-{settings.worker_id}-{partition}",
        request_timeout_ms=settings.request_timeout_ms,
        metadata_max_age_ms=METADATA_MS,
        **settings.security.client_options(),
    )


def plain_producer(settings: EngineSettings) -> AIOKafkaProducer:
    """For metrics and alerts: no transaction, no order with anything."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap,
        client_id=f"{settings.app_id}-{settings.worker_id}-ops",
        request_timeout_ms=settings.request_timeout_ms,
        metadata_max_age_ms=METADATA_MS,
        linger_ms=20,
        **settings.security.client_options(),
    )


def translate(error: BaseException, what: str) -> ContactgateError:
    """aiokafka's exception as ours. Anything unknown is a BrokerError: the task opens again and nothing is assumed."""
    if isinstance(error, ContactgateError):
        return error
    if isinstance(error, kafka_errors.ProducerFenced | kafka_errors.InvalidProducerEpoch):
        return Fenced("another worker has taken over this partition's transactional id")
    if isinstance(error, kafka_errors.RecordTooLargeError):
        # R6: aiokafka steps over such a record.
        return Halted(f"a record is larger than the fetch size while {what}; lower max.message.bytes of the topic")
    if isinstance(error, kafka_errors.OffsetOutOfRangeError):
        return Halted(f"the next offset to read is gone while {what}: unread input was deleted")
    if isinstance(error, kafka_errors.KafkaConnectionError | kafka_errors.KafkaTimeoutError | TimeoutError):
        return BrokerUnavailable(f"no answer from Kafka while {what}: {type(error).__name__}")
    return BrokerError(f"{type(error).__name__} while {what}: {error}")

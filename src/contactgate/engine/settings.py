"""Everything one worker's engine needs to know; the composition root fills it from the settings.

Must never read a file or the environment, and never show a password.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contactgate.names import TOPICS, Kind
from contactgate.partition.task import Limits


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

    def topic(self, kind: Kind) -> str:
        """The full name of a topic by what it is to the engine."""
        return self.prefix + TOPICS[kind]

    def transactional_id(self, partition: int) -> str:
        """INVARIANT (fixed id): a partition's id is the same on every worker and never changes; fencing rests on it."""
        return f"{self.prefix}{self.app_id}-{partition}"

    @property
    def group_id(self) -> str:
        """The consumer group that the input positions are committed to (Faust's group as well)."""
        return f"{self.prefix}{self.app_id}"

"""Everything one worker's engine needs to know, made of the operator's settings in one place.

Must never read a file or the environment, and never show a password.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from contactgate.names import TOPICS, Kind
from contactgate.partition.task import Limits
from contactgate.settings import Security, Settings

_HEARTBEATS = 6  # in a session
_HEARTBEAT_S = (0.5, 3.0)


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

    @classmethod
    def from_settings(
        cls, settings: Settings, *, partitions: int, cluster_id: str, changelog_topic_id: str, pages_port: int
    ) -> Self:
        """What an operator set, with what was found: the cluster and its topics, and a port that is free.

        The one place where a setting gets its meaning in the engine. Raises ContactgateError when the TLS files cannot
        be used.
        """
        least_s, most_s = _HEARTBEAT_S
        return cls(
            bootstrap=settings.bootstrap,
            state_dir=settings.state_dir,
            app_id=settings.app_id,
            prefix=settings.prefix,
            partitions=partitions,
            worker_id=settings.worker_id,
            cluster_id=cluster_id,
            changelog_topic_id=changelog_topic_id,
            security=settings.security(),
            limits=Limits(
                batch=settings.batch,
                cache=settings.cache,
                event_time=settings.clock == "event",
                accept_gap=settings.accept_gap,
            ),
            linger_ms=settings.linger_ms,
            barrier_timeout_s=settings.barrier_timeout_s,
            session_timeout_s=settings.session_timeout_s,
            heartbeat_s=max(least_s, min(most_s, settings.session_timeout_s / _HEARTBEATS)),
            instance_id=settings.instance_id,
            pages_host=settings.pages_host,
            pages_port=pages_port,
        )

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

    @property
    def relay_group_id(self) -> str:
        """The consumer group that the relay's places are committed to."""
        return f"{self.group_id}.relay"

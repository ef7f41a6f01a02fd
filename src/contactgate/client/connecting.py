"""How clients connect to read, and what is said when no broker answers.

Consumers read read_committed and belong to no group: they must never commit offsets or change anything.
"""

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from contactgate.client.patch_headers import read_any_headers
from contactgate.errors import BrokerError, BrokerUnavailable


def connect(bootstrap: str, client_config: dict[str, Any] | None, *, fetch_max_wait_ms: int) -> Any:
    """A connected consumer that nothing is assigned to. Raises BrokerUnavailable."""
    read_any_headers()
    try:
        return KafkaConsumer(
            bootstrap_servers=bootstrap.split(","),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=fetch_max_wait_ms,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            max_poll_records=5_000,
            allow_auto_create_topics=False,
            bootstrap_timeout_ms=15_000,
            **(client_config or {}),
        )
    except KafkaError as error:
        raise unreachable(bootstrap, error) from error


def unreachable(bootstrap: str, error: KafkaError) -> BrokerUnavailable:
    """What to raise when a client cannot connect."""
    return BrokerUnavailable(
        f"no broker answers at {bootstrap} ({type(error).__name__}); start one with `contactgate dev kafka up` "
        "or name yours with --bootstrap; of a protected one check security_protocol, sasl_* and tls_*"
    )


def numbers_of(consumer: Any, topic: str) -> list[int]:
    """The partitions of a topic. Raises BrokerError when there is none."""
    found = consumer.partitions_for_topic(topic)
    if not found:
        raise BrokerError(f"there is no topic {topic}; `contactgate topics describe` lists what there is")
    return sorted(found)

"""How the engine makes aiokafka clients, and the one place where aiokafka's exceptions become ours.

Faust gets the same addresses and credentials. It must never log a credential.
"""

from __future__ import annotations

import aiokafka.errors as kafka_errors
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient

from contactgate.engine.kafka.patches import as_it_is, read_any_headers, unwrap_records
from contactgate.engine.settings import EngineSettings
from contactgate.errors import BrokerError, BrokerUnavailable, ContactgateError, Fenced, Halted

MIB = 1 << 20
# INVARIANT (every record fits): a fetch is larger than the topic's max.message.bytes; aiokafka skips what is larger.
INPUT_MAX_BYTES = 2 * MIB
METADATA_MS = 15_000  # aiokafka retries a failed lookup no sooner; its default is five minutes
CHANGELOG_MAX_BYTES = 8 * MIB


def consumer(
    settings: EngineSettings, *, max_bytes: int, committed: bool = True, **options: int | str
) -> AIOKafkaConsumer:
    """A consumer, without a group unless `group_id` is among the options.

    INVARIANT (never a jump): where it stands is ours to say; an offset that is gone is an error.

    Its records have an offset, a timestamp, a key, a value and headers, and nothing else (`patches.unwrap_records`).
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
        # see INVARIANT (every record fits)
        return Halted(f"a record is larger than the fetch size while {what}; lower max.message.bytes of the topic")
    if isinstance(error, kafka_errors.OffsetOutOfRangeError):
        return Halted(f"the next offset to read is gone while {what}: unread input was deleted")
    if isinstance(error, kafka_errors.KafkaConnectionError | kafka_errors.KafkaTimeoutError | TimeoutError):
        return BrokerUnavailable(f"no answer from Kafka while {what}: {type(error).__name__}")
    return BrokerError(f"{type(error).__name__} while {what}: {error}")

"""Producing to the input topics as any Java client would: murmur2 of the key, acks=all, idempotent, lz4.

Every send is acknowledged or reported: `Feed.flush` raises if one record was refused. Must never drop a record quietly
and never keep a message once it is acknowledged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from contactgate.client.connecting import unreachable
from contactgate.client.routing import Routed
from contactgate.errors import BrokerError, BrokerUnavailable
from contactgate.names import INPUTS


class Acknowledged(NamedTuple):
    """Where Kafka put a record and the timestamp it has there."""

    partition: int
    offset: int
    timestamp_ms: int


class Feed:
    """One producer for all input topics of one prefix. Not for transactions; the engine has its own."""

    def __init__(
        self, bootstrap: str, *, prefix: str = "", linger_ms: int = 5, client_config: dict[str, Any] | None = None
    ) -> None:
        self.prefix = prefix
        self.sent = 0
        self.acknowledged = 0
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap.split(","),
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                linger_ms=linger_ms,
                batch_size=128 * 1024,
                allow_auto_create_topics=False,
                max_block_ms=6_000,
                bootstrap_timeout_ms=15_000,
                **(client_config or {}),
            )
        except KafkaError as error:
            raise unreachable(bootstrap, error) from error

    def topic(self, kind: str) -> str:
        """The full name of the input topic of this kind."""
        return self.prefix + INPUTS[kind]

    def send(self, routed: Routed, done: Callable[[Acknowledged], None] | None = None) -> None:
        """Queue one record; `done` is called from the producer's thread once it is acknowledged."""
        self.send_to(self.topic(routed.kind), routed.key, routed.value, done, partition=routed.partition)

    def send_to(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        done: Callable[[Acknowledged], None] | None = None,
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> None:
        """Queue one record for a topic by its full name; the timestamp counts on topics that keep the sender's."""
        self._raise()
        try:
            future = self._producer.send(topic, key=key, value=value, timestamp_ms=timestamp_ms, partition=partition)
        except KafkaError as error:
            raise BrokerError(
                f"topic {topic} cannot be written ({type(error).__name__}); create it with `contactgate topics create`"
            ) from error
        self.sent += 1

        def succeeded(metadata: Any) -> None:
            with self._lock:
                self.acknowledged += 1
            if done is not None:
                done(Acknowledged(metadata.partition, metadata.offset, metadata.timestamp))

        future.add_callback(succeeded)
        future.add_errback(self._failed)

    def send_now(self, routed: Routed, timeout_s: float = 15.0) -> Acknowledged:
        """Send one record and wait until Kafka has acknowledged it."""
        got: list[Acknowledged] = []
        event = threading.Event()

        def done(acknowledged: Acknowledged) -> None:
            got.append(acknowledged)
            event.set()

        self.send(routed, done)
        if not event.wait(timeout_s):
            self._raise()
            raise BrokerUnavailable(f"kafka did not acknowledge a record within {timeout_s:g} s; it may still arrive")
        return got[0]

    def flush(self, timeout_s: float = 60.0) -> None:
        """Wait until every record is acknowledged. Raises BrokerError if one was refused or time ran out."""
        try:
            self._producer.flush(timeout=timeout_s)
        except KafkaError as error:
            raise BrokerUnavailable(f"not every record was acknowledged within {timeout_s:g} s; send again") from error
        self._raise()

    def close(self) -> None:
        """Flush what is queued and let go of the connections."""
        self._producer.close(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _failed(self, error: BaseException) -> None:
        self._failure = self._failure or error

    def _raise(self) -> None:
        if self._failure is not None:
            raise BrokerError(
                f"kafka refused a record ({type(self._failure).__name__}); {self.acknowledged} of {self.sent} were "
                "acknowledged; look at the broker and send the rest again"
            ) from self._failure

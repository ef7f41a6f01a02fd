"""Dead letters on their topic: found, named, and given back to the topic their message came from.

A letter's name is that of the record it stands for (`request-3-1017`): the same after a crash, and unique. What a
letter seals is opened elsewhere. Never shows contents, and never resends without a header that names the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from contactgate.client.history import Found
from contactgate.errors import BrokerError, BrokerUnavailable
from contactgate.names import DEAD_LETTERS

LETTERS: Final = DEAD_LETTERS
RESUBMITS: Final = "contactgate_resubmits"
"""Header of a record that was sent again: the name of the dead letter it replaces."""


class Letter(NamedTuple):
    """One dead letter; `kind`, `partition` and `offset` say which record it stands for."""

    kind: str  # consent | request | outcome | control | suppression
    partition: int
    offset: int
    time: str
    reason: str
    detail: str
    at: str  # where the letter itself lies: partition/offset of dead-letters
    sealed: str  # "": too large to be kept; the record itself is still on its topic

    @property
    def name(self) -> str:
        """`request-3-1017`."""
        return f"{self.kind}-{self.partition}-{self.offset}"

    @property
    def place(self) -> str:
        """What its seal is bound to."""
        return f"{self.kind}/{self.partition}/{self.offset}"


class _Wire(msgspec.Struct):
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    time: str
    sealed: str = ""


_decode: Final = msgspec.json.Decoder(_Wire).decode


def read_letters(records: Iterable[Found]) -> Iterator[Letter]:
    """The letters among records; a record that is none is passed over."""
    for found in records:
        try:
            wire = _decode(found.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        at = f"{found.partition}/{found.offset}"
        yield Letter(
            kind=wire.topic,
            partition=wire.partition,
            offset=wire.offset,
            time=wire.time,
            reason=wire.reason,
            detail=wire.detail,
            at=at,
            sealed=wire.sealed,
        )


class Resent(NamedTuple):
    """Where a message lies now."""

    topic: str
    partition: int
    offset: int


def resubmit(
    bootstrap: str,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes]],
    letter: str,
    client_config: dict[str, Any] | None = None,
) -> Resent:
    """Send one message to its topic again and wait until Kafka has it. The default partitioner places it by its key."""
    kept = [(name, content) for name, content in headers if name != RESUBMITS]
    try:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap.split(","),
            acks="all",
            enable_idempotence=True,
            allow_auto_create_topics=False,
            max_block_ms=15_000,
            bootstrap_timeout_ms=15_000,
            **(client_config or {}),
        )
    except KafkaError as error:
        raise BrokerUnavailable(
            f"no broker answers at {bootstrap} ({type(error).__name__}); nothing was sent. check the address, "
            "and of a protected cluster security_protocol, sasl_* and tls_*"
        ) from error
    try:
        sent = producer.send(topic, key=key, value=value, headers=[*kept, (RESUBMITS, letter.encode())]).get(timeout=30)
    except KafkaError as error:
        raise BrokerError(
            f"kafka did not acknowledge the message on {topic} ({type(error).__name__}); check whether it arrived "
            f"(header {RESUBMITS}) before sending it again"
        ) from error
    finally:
        producer.close(timeout=10)
    return Resent(topic, sent.partition, sent.offset)

"""Every exception contactgate raises on purpose, in one tree.

    ContactgateError
    ├── DocumentError            a document people write is wrong; carries every fault with its place
    │   ├── PolicyError          a policy, pack or case file
    │   └── SettingsError        settings, keys, environment
    ├── MalformedMessage         one message cannot be processed as it stands: it becomes a dead letter
    ├── BrokerError              Kafka refused, or cannot be reached
    │   ├── BrokerUnavailable
    │   ├── TopicsDiffer         topics exist but not as the design needs them
    │   ├── Fenced               another worker owns this partition now
    │   ├── BarrierTimeout       the order barrier could not be passed in time: nothing is decided
    │   └── Halted               going on could break a promise: the worker stops until an operator acts
    ├── StoreError               the local state
    │   ├── StoreCorrupt         move aside and rebuild from the changelog
    │   └── StoreForeign         the directory belongs to another application, cluster or partition
    └── ChainBroken              the audit chain of decisions has a gap, an edit or a reorder

A decision is a value and never an exception. Foreign exceptions (aiokafka, kafka-python, rocksdict, pydantic) are
translated at the one edge that calls the library. Messages never contain an address or a phone number.
"""

from __future__ import annotations

from typing import NamedTuple


class ContactgateError(Exception):
    """Base of every error contactgate raises on purpose; the text says what was wrong and what to do."""


class Fault(NamedTuple):
    """One fault of a document: its place (`caps[2].window`) and what is wrong and what to do."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class DocumentError(ContactgateError):
    """A document people write is wrong. `faults` holds all of them, not only the first."""

    def __init__(self, title: str, faults: tuple[Fault, ...]) -> None:
        self.title = title
        self.faults = faults
        super().__init__("\n".join([title, *(f"  {fault}" for fault in faults)]))


class PolicyError(DocumentError):
    """A policy, a pack or a file of cases is wrong."""


class SettingsError(DocumentError):
    """Settings, key files or environment variables are wrong."""


class MalformedMessage(ContactgateError):
    """One message that becomes a dead letter. `reason` is a code from a closed list (`json.duplicate_key`).

    `field`: the key or field that is wrong, where one is.
    """

    def __init__(self, reason: str, detail: str, field: str | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.field = field
        super().__init__(f"{reason}: {detail}")


class BrokerError(ContactgateError):
    """Kafka refused a call or answered with an error that is not retried."""


class BrokerUnavailable(BrokerError):
    """No broker answered in time."""


class TopicsDiffer(BrokerError):
    """Topics exist but differ from what the design needs; the text lists every difference."""


class Fenced(BrokerError):
    """Another worker has taken over this partition's transactional id; this one must stop deciding it."""


class BarrierTimeout(BrokerError):
    """The order barrier was not passed before its deadline; the batch is held, nothing is decided."""


class Halted(BrokerError):
    """Going on could break a promise (lost changelog, lost input): the worker stops until an operator acts."""


class StoreError(ContactgateError):
    """The local state of a partition cannot be read or written."""


class StoreCorrupt(StoreError):
    """The local state is damaged: it is moved aside and rebuilt from the changelog."""


class StoreForeign(StoreError):
    """The directory belongs to another application, cluster or partition."""


class ChainBroken(ContactgateError):
    """The audit chain has a gap, an edit or a reorder; the text names the first bad position."""

"""What people on duty are alerted to: every kind of alert, how urgent it is, and what to do.

One table; a kind that is not in it cannot be made. Advice never names a subject, an address or a request.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Severity(StrEnum):
    """How soon somebody must look."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


_CRITICAL, _WARNING, _INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO


class AlertKind(StrEnum):
    """The word on ops-alerts and in the metrics, with its severity and its advice."""

    BARRIER_TIMEOUT = (
        "barrier.timeout",
        _CRITICAL,
        "requests are held, none is decided; look for a hanging transaction or an unreachable leader",
    )
    FENCED = "fenced", _WARNING, "another worker decides this partition now; nothing to do unless it repeats"
    TASK_RESTART = "task.restart", _WARNING, "the partition recovers by itself; look at the broker if it repeats"
    TASK_FAILED = "task.failed", _CRITICAL, "the partition is tried again; look at the worker's log"
    STORE_CORRUPT = (
        "store.corrupt",
        _CRITICAL,
        "the partition rebuilds its state from the changelog; check the disk",
    )
    STORE_REBUILT = "store.rebuilt", _WARNING, "nothing to do"
    STORE_FOREIGN = "store.foreign", _CRITICAL, "point the worker at its own state directory"
    HALTED = "halted", _CRITICAL, "the worker stopped to keep its promises; an operator must act as the detail says"
    INPUT_GAP = "input.gap", _CRITICAL, "input was deleted before it was read; find out what was lost"
    POSITIONS_DIFFER = (
        "positions.differ",
        _WARNING,
        "someone moved the group's committed positions; they are not used",
    )
    POLICY_REJECTED = (
        "policy.rejected",
        _CRITICAL,
        "the former policy stays in force; correct the document and publish it again",
    )
    INPUT_MISROUTED = (
        "input.misrouted",
        _WARNING,
        "records take a detour; set partitioner=murmur2_random in the producer (librdkafka and what is made from it)",
    )
    RELAY_BEHIND = (
        "relay.behind",
        _CRITICAL,
        "records that lay in a wrong partition, opt-outs among them, are not in force yet; look at the broker",
    )
    RESTRICTION_WIDENED = (
        "restriction.widened",
        _CRITICAL,
        "it stops more than was written: look at its dead letter, declare its word or publish a known one",
    )
    RESTRICTION_SUPERSEDED = (
        "restriction.superseded",
        _WARNING,
        "an opt-out, stop or pause came late and does not bind: a newer permission does; look at its sender's clock",
    )
    DEAD_LETTERS = "dead.letters", _WARNING, "look with `contactgate dead-letters list` and correct who sends them"
    PRODUCER_ROTATED = "producer.rotated", _INFO, "routine"
    WORKER_STARTED = "worker.started", _INFO, "nothing to do"
    WORKER_STOPPED = "worker.stopped", _INFO, "nothing to do"

    severity: Severity
    advice: str

    def __new__(cls, word: str, severity: Severity, advice: str) -> Self:
        """One row of the table."""
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.severity = severity
        kind.advice = advice
        return kind

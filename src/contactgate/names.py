"""Every topic's name, once: what a topic is to contactgate (`Kind`), and what it is called on the cluster.

A full name is the installation's prefix and one of these. Must never be written out anywhere else, and must never
depend on settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """What a topic is to the engine, the gate and the proof."""

    CONSENT = "consent"
    REQUEST = "request"
    OUTCOME = "outcome"
    CONTROL = "control"
    SUPPRESSION = "suppression"
    DECISION = "decision"
    APPROVAL = "approval"  # one topic for each requester: `approvals_topic`
    DEAD = "dead"
    CHANGELOG = "changelog"
    RELAY = "relay"  # what is to be appended to an input, before it is
    METRICS = "metrics"
    ALERTS = "alerts"
    TASKS = "tasks"
    UNKNOWN = "unknown"  # offline: a line whose type belongs on no topic


CONSENT: Final = Kind.CONSENT
REQUEST: Final = Kind.REQUEST
OUTCOME: Final = Kind.OUTCOME
CONTROL: Final = Kind.CONTROL
SUPPRESSION: Final = Kind.SUPPRESSION

CONSENT_EVENTS: Final = "consent-events"
CONTACT_REQUESTS: Final = "contact-requests"
CONTACT_OUTCOMES: Final = "contact-outcomes"
CONTROL_EVENTS: Final = "control-events"
ADDRESS_SUPPRESSIONS: Final = "address-suppressions"
CONTACT_DECISIONS: Final = "contact-decisions"
DEAD_LETTERS: Final = "dead-letters"
SUBJECTS_CHANGELOG: Final = "subjects-changelog"
RELAY: Final = "relay"
OPS_METRICS: Final = "ops-metrics"
OPS_ALERTS: Final = "ops-alerts"
TASKS: Final = "tasks"
APPROVALS: Final = "approvals."

TOPICS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.CONSENT: CONSENT_EVENTS,
        Kind.REQUEST: CONTACT_REQUESTS,
        Kind.OUTCOME: CONTACT_OUTCOMES,
        Kind.CONTROL: CONTROL_EVENTS,
        Kind.SUPPRESSION: ADDRESS_SUPPRESSIONS,
        Kind.DECISION: CONTACT_DECISIONS,
        Kind.DEAD: DEAD_LETTERS,
        Kind.CHANGELOG: SUBJECTS_CHANGELOG,
        Kind.RELAY: RELAY,
        Kind.METRICS: OPS_METRICS,
        Kind.ALERTS: OPS_ALERTS,
        Kind.TASKS: TASKS,
    }
)
"""Every topic that has one name."""

INPUTS: Final[Mapping[str, str]] = MappingProxyType(
    {kind: TOPICS[kind] for kind in (Kind.CONSENT, Kind.REQUEST, Kind.OUTCOME, Kind.CONTROL, Kind.SUPPRESSION)}
)
"""The topics that people and systems write to, by kind; a kind that came as text may be looked up too."""


def approvals_topic(prefix: str, requester: str) -> str:
    """The topic on which `requester` reads its approvals and recalls."""
    return f"{prefix}{APPROVALS}{requester}"


def requester_of(prefix: str, topic: str) -> str | None:
    """The requester whose approvals a topic holds; None for any other topic."""
    head = prefix + APPROVALS
    return topic.removeprefix(head) if topic.startswith(head) else None

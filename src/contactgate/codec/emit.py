"""What we publish, as bytes: decisions, approvals, recalls, dead letters, and their CloudEvents headers.

Instants go out as RFC 3339 UTC with milliseconds and `Z`. Nothing here decides. A decision's JSON ends in `"hash"`,
which is spliced on after the rest is encoded (core.chain), so that the hash covers exactly the bytes before it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from contactgate.core import chain
from contactgate.core.told import Told
from contactgate.model.decision import SEMANTICS, Decision, Recall, Refusal
from contactgate.model.facts import Reason
from contactgate.model.instants import stamp
from contactgate.model.log import Headers
from contactgate.model.messages import (
    ContactApproved,
    ContactDecided,
    ContactRecalled,
    ContactRefused,
    DeadLetter,
    PermissionWithdrawn,
    WirePosition,
    WireReason,
)
from contactgate.model.request import Request

_encode: Final = msgspec.json.Encoder().encode


def reasons(failed: tuple[Reason, ...]) -> list[WireReason]:
    """Failed rules as published."""
    return [
        WireReason(rule, detail, None if until_ms is None else stamp(until_ms))
        for rule, detail, until_ms, _ in map(astuple, failed)
    ]


def decision(
    request: Request,
    made: Decision,
    approval_ref: str | None,
    policy: str | None,
    position: WirePosition,
    seq: int,
    prev: str,
) -> tuple[bytes, str]:
    """One record of contact-decisions and its hash, which is the next record's `prev`."""
    eligible, until = made.next_eligible_ms, made.valid_until_ms
    body = _encode(
        ContactDecided(
            request_id=request.request_id,
            subject_id=request.subject_id,
            requester=request.requester,
            campaign_id=request.campaign,
            channel=request.channel,
            controller=request.controller,
            purpose=request.purpose,
            data_categories=made.categories,
            mode=request.mode,
            verdict="block" if made.reasons else "pass",
            reasons=reasons(made.reasons) if made.reasons else [],
            next_eligible_at=None if eligible is None else stamp(eligible),
            assumes=made.assumes or UNSET,
            approval_ref=approval_ref,
            valid_until=None if until is None else stamp(until),
            decided_at=stamp(made.decided_ms),
            policy=policy,
            position=position,
            duplicate=made.duplicate,
            seq=seq,
            prev=prev,
            semantics=SEMANTICS,
        )
    )
    # INVARIANT (hash what is sent): the hash covers the body as it stands in the record, byte for byte.
    digest = chain.link(prev, body)
    return body[:-1] + b',"hash":"' + digest.encode() + b'"}', digest


def approval(
    made: Decision, request: Request, approval_id: str, approval_ref: str, partition: int, subject_token: str
) -> bytes:
    """One `contact.approved` for the requester's own topic."""
    return _encode(
        ContactApproved(
            approval_id=approval_id,
            approval_ref=approval_ref,
            partition=partition,
            request_id=request.request_id,
            subject_token=subject_token,
            channel=request.channel,
            valid_until=stamp(made.valid_until_ms or made.decided_ms),
            duplicate=made.duplicate or UNSET,
        )
    )


def refusal(request_id: str, subject_token: str | None, channel: str | None, told: Refusal) -> bytes:
    """One `contact.refused` for the requester's own topic."""
    return _encode(
        ContactRefused(
            request_id,
            subject_token,
            channel,
            told.reason,
            told.field or UNSET,
            UNSET if told.retry_ms is None else stamp(told.retry_ms),
        )
    )


def recall(recalled: Recall, approval_id: str, approval_ref: str, partition: int, subject_token: str) -> bytes:
    """One `contact.recalled` for the topic its approval went to."""
    return _encode(
        ContactRecalled(approval_id, approval_ref, partition, recalled.request_id, subject_token, recalled.reason)
    )


def withdrawn(lost: Told, subject_token: str) -> bytes:
    """One `permission.withdrawn` for the requester's own topic."""
    controller, channels, purposes = lost.controller, lost.channels, lost.purposes
    return _encode(
        PermissionWithdrawn(
            controller=UNSET if controller is None else controller,
            subject_token=subject_token,
            channels=UNSET if channels is None else channels,
            purposes=UNSET if purposes is None else purposes,
            time=stamp(lost.time_ms),
        )
    )


def dead(letter: DeadLetter) -> bytes:
    """One dead letter."""
    return _encode(letter)


class CloudEvents:
    """CloudEvents 1.0 attributes in Kafka's binary binding; constant parts are built once."""

    def __init__(self, source: str) -> None:
        self._source = ("ce_source", source.encode())
        self._version = ("ce_specversion", b"1.0")
        self._types: dict[str, tuple[str, bytes]] = {}
        self._at_ms = -1
        self._time = ("ce_time", b"")

    def headers(self, type_: str, event_id: str, at_ms: int) -> Headers:
        """Headers of one record we emit."""
        kind = self._types.get(type_)
        if kind is None:
            kind = self._types[type_] = ("ce_type", type_.encode())
        if at_ms != self._at_ms:  # one for a whole batch
            self._at_ms, self._time = at_ms, ("ce_time", stamp(at_ms).encode())
        return [("ce_id", event_id.encode()), kind, self._source, self._time, self._version]

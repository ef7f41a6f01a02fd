"""What we publish, as bytes: decisions, approvals, recalls, dead letters, and their CloudEvents headers.

Instants go out as RFC 3339 UTC with milliseconds and `Z`. Nothing here decides. A decision's JSON ends in `"hash"`,
which is spliced on after the rest is encoded (core.chain), so that the hash covers exactly the bytes before it.
"""

from __future__ import annotations

from datetime import date
from typing import Final

import msgspec
from msgspec.structs import astuple

from contactgate.core import chain
from contactgate.model.decision import Decision, Recall
from contactgate.model.facts import Reason
from contactgate.model.log import Headers
from contactgate.model.messages import (
    ContactApproved,
    ContactDecided,
    ContactRecalled,
    DeadLetter,
    WirePosition,
    WireReason,
)
from contactgate.model.request import Request

_encode: Final = msgspec.json.Encoder().encode
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_CACHE: Final = 8_192
_instants: dict[int, str] = {}
_days: dict[int, str] = {}
_MINUTES: Final = tuple(f"{number // 60:02d}:{number % 60:02d}:" for number in range(1_440))
_SECONDS: Final = tuple(f"{number:02d}." for number in range(60))
_THOUSANDTHS: Final = tuple(f"{number:03d}Z" for number in range(1000))


def instant(at_ms: int) -> str:
    """`2026-03-31T16:00:00.000Z`."""
    text = _instants.get(at_ms)  # a batch has one decision time, and few ends of calling hours
    if text is not None:
        return text
    day, rest = divmod(at_ms, 86_400_000)
    head = _days.get(day)
    if head is None:
        head = date.fromordinal(_EPOCH_DAY + day).isoformat() + "T"
        if len(_days) >= _CACHE:
            _days.clear()
        _days[day] = head
    text = head + _MINUTES[rest // 60_000] + _SECONDS[rest % 60_000 // 1000] + _THOUSANDTHS[rest % 1000]
    if len(_instants) >= _CACHE:
        _instants.clear()
    _instants[at_ms] = text
    return text


def reasons(failed: tuple[Reason, ...]) -> list[WireReason]:
    """Failed rules as published."""
    return [
        WireReason(rule, detail, None if until_ms is None else instant(until_ms))
        for rule, detail, until_ms in map(astuple, failed)
    ]


def decision(
    request: Request,
    made: Decision,
    approval_id: str | None,
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
            verdict="block" if made.reasons else "pass",
            reasons=reasons(made.reasons) if made.reasons else [],
            next_eligible_at=None if eligible is None else instant(eligible),
            approval_id=approval_id,
            valid_until=None if until is None else instant(until),
            decided_at=instant(made.decided_ms),
            policy=policy,
            position=position,
            duplicate=made.duplicate,
            seq=seq,
            prev=prev,
        )
    )
    # INVARIANT (hash what is sent): the hash covers the body as it stands in the record, byte for byte.
    digest = chain.link(prev, body)
    return body[:-1] + b',"hash":"' + digest.encode() + b'"}', digest


def approval(made: Decision, request: Request, approval_id: str, subject_token: str) -> bytes:
    """One `contact.approved` for the requester's own topic."""
    return _encode(
        ContactApproved(
            approval_id,
            request.request_id,
            subject_token,
            request.channel,
            instant(made.valid_until_ms or made.decided_ms),
        )
    )


def recall(recalled: Recall, approval_id: str, subject_token: str) -> bytes:
    """One `contact.recalled` for the topic its approval went to."""
    return _encode(ContactRecalled(approval_id, recalled.request_id, subject_token, recalled.reason))


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
            self._at_ms, self._time = at_ms, ("ce_time", instant(at_ms).encode())
        return [("ce_id", event_id.encode()), kind, self._source, self._time, self._version]

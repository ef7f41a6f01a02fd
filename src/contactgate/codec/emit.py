"""What we publish, as bytes: decisions, approvals, recalls, dead letters, and their CloudEvents headers.

Instants go out as RFC 3339 UTC with milliseconds and `Z`. Nothing here decides. A decision's JSON ends in `"hash"`,
which is spliced on after the rest is encoded (core.chain), so that the hash covers exactly the bytes before it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from contactgate.core import chain
from contactgate.model.facts import Reason
from contactgate.model.messages import (
    ContactApproved,
    ContactDecided,
    ContactRecalled,
    DeadLetter,
    WirePosition,
    WireReason,
)
from contactgate.model.request import Decision, Recall, Request

Headers = list[tuple[str, bytes]]

_encode: Final = msgspec.json.Encoder().encode
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS: dict[int, str] = {}
_SECONDS_MAX: Final = 8_192
_THOUSANDTHS: Final = tuple(f"{number:03d}Z" for number in range(1000))


def instant(at_ms: int) -> str:
    """`2026-03-31T16:00:00.000Z`."""
    second, thousandth = divmod(at_ms, 1000)
    text = _SECONDS.get(second)
    if text is None:
        text = (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.")
        if text[0] != "2":  # strftime does not pad years below 1000
            text = text.rjust(20, "0")
        if len(_SECONDS) >= _SECONDS_MAX:
            _SECONDS.clear()
        _SECONDS[second] = text
    return text + _THOUSANDTHS[thousandth]


def reasons(failed: tuple[Reason, ...]) -> list[WireReason]:
    """Failed rules as published."""
    return [WireReason(r.rule, r.detail, None if r.until_ms is None else instant(r.until_ms)) for r in failed]


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
            request.request_id,
            request.subject_id,
            request.requester,
            request.campaign,
            request.channel,
            "block" if made.reasons else "pass",
            reasons(made.reasons) if made.reasons else [],
            None if eligible is None else instant(eligible),
            approval_id,
            None if until is None else instant(until),
            instant(made.decided_ms),
            policy,
            position,
            made.duplicate,
            seq,
            prev,
        )
    )
    # INVARIANT (hash what is sent): the hash covers the body as it stands in the record, byte for byte.
    digest = chain.link(prev, body)
    return b'%b,"hash":"%b"}' % (body[:-1], digest.encode()), digest


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

    def headers(self, type_: str, event_id: str, at_ms: int) -> Headers:
        """Headers of one record we emit."""
        kind = self._types.get(type_)
        if kind is None:
            kind = self._types[type_] = ("ce_type", type_.encode())
        return [("ce_id", event_id.encode()), kind, self._source, ("ce_time", instant(at_ms).encode()), self._version]

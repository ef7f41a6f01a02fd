"""The job's policy in ordinary Python, for the peers that are written in Python: a state of dicts and lists.

Written the way somebody would write it by hand on top of a stream library. Used by the Faust, quixstreams and bytewax
peers. Knows nothing of contactgate and imports nothing of it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000
HORIZON_MS = 7 * DAY_MS
HISTORY_MS = 30 * DAY_MS
TTL_MS = 15 * 60_000
FOREVER_MS = 1 << 62
GENESIS = "sha256:" + "0" * 64
FIELDS = ("request_id", "channel", "requester", "controller", "campaign_id", "purpose", "address", "data_categories")
"""What a contact keeps of its request after the time; with any of it changed, a repeated request is a conflict."""
_KEY = b"bench-key-of-thirty-two-bytes-00"

State = dict[str, Any]


class Registry:
    """A sorted list of numbers in memory."""

    def __init__(self, path: Path) -> None:
        self._numbers = [int(line) for line in path.read_text(encoding="ascii").split()]

    def __contains__(self, number: str) -> bool:
        value = int(number)
        at = bisect_left(self._numbers, value)
        return at < len(self._numbers) and self._numbers[at] == value


def millis(text: str) -> int:
    """An RFC 3339 instant in milliseconds."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp() * 1000)


def new_state() -> State:
    """Of a person of whom nothing is known."""
    return {"zone": None, "consents": {}, "withdrawn": {}, "contacts": []}


def apply(state: State, event: dict[str, Any]) -> None:
    """A consent event."""
    kind = event["type"]
    if kind == "subject.updated":
        state["zone"] = event["timezone"]
        return
    at_ms = millis(event["time"])
    if kind == "consent.granted":
        expires = event.get("expires_at")
        expires_ms = FOREVER_MS if expires is None else millis(expires)
        for channel in event["channels"]:
            for recipient in event["recipients"]:
                old = state["consents"].get(f"{channel}/{recipient}")
                if old is None or old[0] <= at_ms:
                    state["consents"][f"{channel}/{recipient}"] = [at_ms, expires_ms]
    elif kind == "consent.withdrawn":
        for channel in event["channels"]:
            state["withdrawn"][channel] = max(at_ms, state["withdrawn"].get(channel, 0))


def decide(state: State, request: dict[str, Any], registry: Registry) -> tuple[list[str], int | None]:
    """The reasons against a request, none when it passes, and when it was approved before. Changes the state.

    The second is None unless the request came again; a block is not remembered.
    """
    now_ms = millis(request["time"])
    asked = [request[name] for name in FIELDS]
    for contact in reversed(state["contacts"]):
        if contact[1] == asked[0] and now_ms - contact[0] < HORIZON_MS:
            if contact[1:] != asked:
                return ["request.conflict"], None
            return [] if now_ms < contact[0] + TTL_MS else ["request.answered"], contact[0]
    channel, requester = request["channel"], request["requester"]
    reasons = []
    consent = state["consents"].get(f"{channel}/{requester}")
    if (withdrawn_ms := state["withdrawn"].get(channel)) is not None and (
        consent is None or withdrawn_ms >= consent[0]
    ):
        reasons.append("consent.withdrawn")
    elif consent is None:
        reasons.append("consent.missing")
    elif now_ms >= consent[1]:
        reasons.append("consent.expired")
    day_ms = now_ms - now_ms % DAY_MS
    voice = written = today = 0
    kept = []
    for contact in state["contacts"]:
        at_ms, _, its_channel, its_requester, *_ = contact
        if now_ms - at_ms >= HISTORY_MS:
            continue
        kept.append(contact)
        if its_channel == "voice":
            voice += now_ms - at_ms < 7 * DAY_MS
        else:
            written += its_requester == requester
        today += at_ms >= day_ms
    if channel == "voice":
        if voice >= 2:
            reasons.append("cap.voice_7d")
        zone = state["zone"]
        if zone is None:
            reasons.append("window.unknown_zone")
        else:
            local = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(zone))
            if local.weekday() == 6 or not 9 <= local.hour < 20:
                reasons.append("window.hours")
        if request["address"] in registry:
            reasons.append("registry.listed:us-ndnc")
    elif written >= 3:
        reasons.append("cap.written_30d")
    if today >= 2:
        reasons.append("cap.daily")
    if not reasons:
        kept.append([now_ms, *asked])
    state["contacts"] = kept
    return reasons, None


def decision(
    request: dict[str, Any], reasons: list[str], before_ms: int | None, seq: int, prev: str
) -> tuple[dict[str, Any], str]:
    """What is published of a decision, chained to the one before it in the partition, and its hash.

    `before_ms`: when the request was approved, if it came again; None otherwise.
    """
    out: dict[str, Any] = {
        "type": "contact.decided",
        "request_id": request["request_id"],
        "subject_id": request["subject_id"],
        "requester": request["requester"],
        "channel": request["channel"],
        "verdict": "block" if reasons else "pass",
        "reasons": [{"rule": rule} for rule in reasons],
        "decided_at": request["time"],
        "seq": seq,
        "prev": prev,
    }
    if before_ms is not None:
        out["duplicate"] = True
    if not reasons:
        out["approval_id"] = approval_id(request)
        out["valid_until"] = _until(request, before_ms)
    digest = "sha256:" + hashlib.sha256(json.dumps(out, separators=(",", ":")).encode()).hexdigest()
    out["hash"] = digest
    return out, digest


def approval(request: dict[str, Any], before_ms: int | None) -> dict[str, Any]:
    """What the vendor is given: a token of the person that only this vendor knows, and no address.

    A request that came again gets the same again, marked.
    """
    token = hmac.new(_KEY, f"{request['requester']}:{request['subject_id']}".encode(), hashlib.sha256).hexdigest()[:32]
    out: dict[str, Any] = {
        "type": "contact.approved",
        "approval_id": approval_id(request),
        "request_id": request["request_id"],
        "subject_token": token,
        "channel": request["channel"],
        "valid_until": _until(request, before_ms),
    }
    if before_ms is not None:
        out["duplicate"] = True
    return out


def approval_id(request: dict[str, Any]) -> str:
    """The same whenever the decision is made again."""
    return "ap-" + hashlib.sha256(f"{request['subject_id']}:{request['request_id']}".encode()).hexdigest()[:32]


def _until(request: dict[str, Any], before_ms: int | None) -> str:
    if before_ms is None:
        approved = datetime.fromisoformat(request["time"])
    else:
        approved = datetime.fromtimestamp(before_ms / 1000, UTC)
    return (approved + timedelta(milliseconds=TTL_MS)).isoformat(timespec="milliseconds")

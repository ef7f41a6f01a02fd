"""The requests and the policy that a replay of a call list puts before the gate.

Must never put anything of the list into a request but the client's number, the day and the count.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import timedelta
from hashlib import blake2b

import msgspec

from contactgate.calls.list import Call


def request(call: Call) -> bytes:
    """The request for one call: consent none, by voice, the number known only as a token."""
    return msgspec.json.encode(
        {
            "type": "contact.requested",
            "request_id": call.request_id,
            "subject_id": f"client-{call.client}",
            "time": f"{call.day.isoformat()}T10:00:00Z",
            "requester": "bank",
            "controller": "bank",
            "purpose": "marketing.deposit",
            "channel": "voice",
            "address_token": _token(call.client),
        }
    )


def policy(cap: int, window: timedelta) -> dict[str, object]:
    """The policy of a replay: one sliding cap, nothing else asked."""
    seconds = int(window.total_seconds())
    sliding = f"{seconds // 86_400}d" if seconds % 86_400 == 0 else f"{seconds}s"
    return {
        "policy": "replay-calls",
        "packs": [],
        "approval_ttl": "15m",
        "dedup_horizon": "1d",
        "unreported": "count",
        "require": {"campaign": False, "party": False, "notice": False},
        "purposes": {"marketing": {"consent": "none"}},
        "caps": [
            {"name": "calls", "limit": cap, "window": {"sliding": sliding}, "scope": ["subject"], "counts": "approved"}
        ],
    }


def _token(client: str) -> str:
    """The list names no number: something of the form of an address token stands for it, one per client."""
    return "a1." + urlsafe_b64encode(blake2b(client.encode(), digest_size=16).digest()).decode()[:22]

"""What came out of a replay, by request: passed, blocked and why, or something else.

Must never judge whether a verdict is right: that is `calls.oracle`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode


@dataclass
class Verdicts:
    """What came out, by request."""

    passed: set[str] = field(default_factory=set)
    blocked: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    example: dict[str, str] = field(default_factory=dict)
    other: Counter[str] = field(default_factory=Counter)
    twice: int = 0

    def take(self, value: bytes) -> None:
        """Count one output record."""
        message = _decode(value)
        if message["type"] != "contact.decided":
            if message["type"] == "dead.letter":
                self.other[f"dead letter: {message['reason']}"] += 1
            return
        request_id = message["request_id"]
        self.twice += request_id in self.passed or request_id in self.blocked
        (self.passed if message["verdict"] == "pass" else self.blocked).add(request_id)
        for reason in message["reasons"]:
            self.reasons[reason["rule"]] += 1
            self.example.setdefault(reason["rule"], _example(message, reason))


def _example(message: dict[str, Any], reason: dict[str, Any]) -> str:
    until = f", eligible from {reason['until']}" if reason.get("until") else ""
    return f"{message['request_id']} on {message['decided_at'][:10]}: {reason['detail']}{until}"

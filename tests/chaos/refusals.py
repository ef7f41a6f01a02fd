"""What requesters are told of a block: one word, what is malformed, when to ask again. Part of the checker."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from tests.chaos.reading import instant
from tests.chaos.verdict import Findings

_QUARTER_MS = 900_000
_WORDS = {
    "request": "malformed",
    "party": "not_agreed",
    "campaign": "not_agreed",
    "policy": "not_agreed",
    "pause": "paused",
}
_LATER = ("cap", "gap", "cooloff", "window")
_ORDER = ("malformed", "not_permitted", "not_agreed", "paused", "not_now")
_FIELDS = {"type", "request_id", "subject_token", "channel", "reason"}
_MORE = {"malformed": "field", "not_now": "retry_at"}


def word(rule: str) -> str:
    """The word for one rule."""
    first = rule.partition(".")[0]
    return "not_now" if first in _LATER else _WORDS.get(first, "not_permitted")


class Refusals:
    """The refusals of one partition, to be taken one by one as their blocks are walked."""

    def __init__(self, partition: int, found: Findings) -> None:
        self._partition = partition
        self._found = found
        self._sent: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)

    def _bad(self, name: str, text: str) -> None:
        self._found.bad(name, f"partition {self._partition}: {text}")

    def keep(self, requester: str, message: dict[str, Any]) -> None:
        """One `contact.refused`, as a dialer got it."""
        reason = message.get("reason")
        if not _FIELDS <= set(message) <= _FIELDS | {_MORE.get(str(reason), "reason")} or reason not in _ORDER:
            self._bad("I21", f"a refusal of {message.get('request_id')} has the fields {sorted(message)}")
        self._sent[requester, str(message.get("request_id"))].append(message)

    def of_block(self, decision: dict[str, Any], field: str | None) -> None:
        """A decision that blocks is told once, by its first word and by nothing more. `field`: what is malformed."""
        sent = self._sent.get((decision["requester"], decision["request_id"]))
        self._found.looked["I21"] += 1
        if not sent:
            self._bad("I21", f"the block of {decision['request_id']} was not told to {decision['requester']}")
            return
        message = sent.pop(0)
        rules = [reason["rule"] for reason in decision["reasons"]]
        reason = min((word(rule) for rule in rules), key=_ORDER.index)
        eligible = decision["next_eligible_at"]
        expected = {"reason": reason, "channel": decision["channel"]}
        if reason == "malformed":
            expected["field"] = field
        if reason == "not_now" and eligible is not None:
            expected["retry_at"] = -(-instant(eligible) // _QUARTER_MS) * _QUARTER_MS
        told = {name: message.get(name) for name in expected}
        if "retry_at" in expected:
            told["retry_at"] = instant(message.get("retry_at") or "")
        if told != expected or ("retry_at" in message) != ("retry_at" in expected):
            self._bad("I21", f"the block of {decision['request_id']} by {rules} was told as {message}, not {expected}")

    def of_letter(self, value: bytes | None) -> None:
        """A request that is a dead letter is told as malformed, if who asked and what can be read of it."""
        try:
            asked = json.loads(value or b"")
            requester, request_id = asked["requester"], asked["request_id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        sent = self._sent.get((requester, request_id))
        if not sent or sent.pop(0)["reason"] != "malformed":
            self._bad("I21", f"the unreadable request {request_id} was not told to {requester} as malformed")

    def rest(self) -> None:
        """What is left was told of nothing, unless who asked can be read of bytes that are no message."""
        for (requester, request_id), left in self._sent.items():
            if any(message["reason"] != "malformed" for message in left):
                self._bad("I21", f"{requester} was refused {request_id} {len(left)} times without a block")

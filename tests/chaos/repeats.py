"""Requests whose name was approved before: the same answer, none any more, or a conflict (rules 46 and 47).

Part of the checker; written from docs/semantics.md alone.
"""

from __future__ import annotations

from typing import Any

from tests.chaos.outputs import Outputs, recall_word
from tests.chaos.reading import instant
from tests.chaos.rules import Contact
from tests.chaos.verdict import Findings


def is_again(known: Contact | None, asked: dict[str, Any], at_ms: int) -> bool:
    """Whether a request is answered by an approval of its name; of one that was given back only in its millisecond."""
    if known is None or (known.outcome == "not_attempted" and known.at_ms < at_ms):
        return False
    return known.differs(asked) is None


class Repeats:
    """Judges one such request."""

    def __init__(self, found: Findings, outputs: Outputs, name: str) -> None:
        self._found = found
        self._outputs = outputs
        self._name = name
        found.looked["I3"] += 1

    def _bad(self, name: str, text: str) -> None:
        self._found.bad(name, f"{self._name} {text}")

    def conflict(self, decision: dict[str, Any], field: str) -> None:
        """The name of an approval, for something else: a block that says what differs, and nothing beside it."""
        self._found.seen["request_conflicts"] += 1
        reasons = decision["reasons"]
        if decision["verdict"] == "pass":
            self._bad("I1", f"has the name of an approval and another {field}, and passed")
        elif [reason["rule"] for reason in reasons] != ["request.conflict"]:
            self._bad("I3", f"has the name of an approval and another {field}, and was blocked by {reasons}")
        elif f"`{field}`" not in reasons[0]["detail"]:
            self._bad("I3", f"has the name of an approval and another {field}: {reasons[0]['detail']}")

    def answer(
        self, decision: dict[str, Any], contact: Contact, forbidden: set[str], told: set[str], now_ms: int
    ) -> None:  # fmt: skip
        """While its approval is open a repetition gets the same again; after that nothing, and why it was recalled."""
        self._found.seen["duplicates_answered"] += 1
        passed = decision["verdict"] == "pass"
        is_open = contact.open(now_ms)
        if is_open and not forbidden:
            same = decision["approval_ref"] == contact.approval_id
            if not passed or not same or instant(decision["valid_until"] or "") != contact.until_ms:
                self._bad("I3", "repeats a pass and was not answered by the same approval")
            if passed:
                self._outputs.repeated(decision, contact.request)
            return
        self._found.seen["requests_answered"] += 1
        causes = {recall_word(word) for word in forbidden} if is_open else set()
        if contact.recalled is not None:
            causes = {contact.recalled}
        self._found.seen["echo_blocked"] += bool(causes)
        if passed:
            self._bad("I1" if causes else "I3", "repeats a pass that is over, and passed")
        elif {recall_word(word) for word in told} != causes | {"request.answered"}:
            self._bad("I10", f"repeats a pass that is over: {sorted(told)}, not answered and {sorted(causes)}")

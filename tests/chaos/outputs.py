"""What one partition put out: decisions, approvals, recalls, and the changelog's account of its transactions.

Part of the checker: finds what is wrong with the records themselves and knows no rule.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import msgspec
from tests.chaos.history import APPROVALS, CHANGELOG, DECISIONS, History, Record
from tests.chaos.refusals import Refusals
from tests.chaos.verdict import Findings

META = b"\0meta"
_decode = msgspec.json.Decoder().decode
_WORDS = {"consent": "withdrawn", "address": "suppressed", "pause": "paused", "subject": "person"}
_APPROVED = {
    "type",
    "approval_id",
    "approval_ref",
    "partition",
    "request_id",
    "subject_token",
    "channel",
    "valid_until",
}
_RECALLED = {"type", "approval_id", "approval_ref", "partition", "request_id", "subject_token", "reason"}
_WITHDRAWN = {"type", "controller", "subject_token", "channels", "purposes", "time"}


class Meta(msgspec.Struct, frozen=True):
    """What a transaction stood at after it."""

    seq: int = 0
    prev: str = ""
    consent: int = 0
    outcome: int = 0
    request: int = 0
    control: int = 0
    suppression: int = 0
    now_ms: int = 0
    review: str = ""
    reviewed: bytes = b""


class Approval(NamedTuple):
    """One `contact.approved`, as a dialer got it."""

    requester: str
    message: dict[str, Any]
    event_id: bytes | None


class Recall(NamedTuple):
    """One recall, as the dialer got it."""

    approval_id: str
    reason: str
    topic: str


def recall_word(rule: str) -> str:
    """The vendor-safe word of a rule or a family of rules."""
    return "erased" if rule == "subject.erased" else _WORDS.get(rule.partition(".")[0], rule)


def family(rule: str) -> str:
    """Consent has one answer here, whatever the reason says of it."""
    return "consent" if rule.startswith(("consent.", "notice.")) else rule


class Outputs:
    """The outputs of one partition, to be taken away one by one as the walk finds their cause."""

    def __init__(self, history: History, partition: int, found: Findings) -> None:
        self._partition = partition
        self._found = found
        self.changelog = history.records(CHANGELOG, partition)
        decode = msgspec.json.Decoder(Meta).decode
        self.metas = [decode(r.value) for r in self.changelog if r.key == META and r.value is not None]
        self.states = self._states()
        self.decisions: dict[int, dict[str, Any]] = {}
        self.approved: dict[str, list[Approval]] = defaultdict(list)
        self.again: dict[str, list[Approval]] = defaultdict(list)  # those that say that they repeat one
        self.refusals = Refusals(partition, found)
        self._ids: dict[str, bytes | None] = {}  # of approvals that were given: their CloudEvents id
        self.recalls: dict[int, dict[str, Recall]] = defaultdict(dict)  # by the time of their transaction
        self._tokens: dict[tuple[str, str], str] = {}
        self._named: dict[str, tuple[str, str]] = {}
        self._read_decisions(history.records(DECISIONS, partition))
        for topic in history.topics():
            if topic.startswith(APPROVALS):
                self._read_approvals(topic, history.records(topic, partition))

    def _bad(self, name: str, text: str) -> None:
        self._found.bad(name, f"partition {self._partition}: {text}")

    def _states(self) -> list[dict[bytes, bytes]]:
        """The states that each transaction wrote: in the changelog they stand before its meta record."""
        found: list[dict[bytes, bytes]] = [{}]
        for record in self.changelog:
            if record.key == META:
                found.append({})
            else:
                found[-1][record.key or b""] = record.value or b""
        if found[-1]:
            self._bad("I7", f"{len(found[-1])} states at the changelog's end belong to no transaction")
        return found

    def _read_decisions(self, records: list[Record]) -> None:
        last = -1
        for record in records:
            decision = _decode(record.value or b"{}")
            offset = decision["position"]["request"]
            self._found.looked["I3"] += 1
            if offset in self.decisions:
                self._bad("I3", f"request {offset} was decided twice")
            elif offset <= last:
                self._bad("I9", f"request {offset} was decided after {last}")
            self.decisions[offset] = decision
            last = max(last, offset)
        self._found.looked["I9"] += len(records)

    def _read_approvals(self, topic: str, records: list[Record]) -> None:
        for record in records:
            message = _decode(record.value or b"{}")
            fields, kind = set(message), message.get("type")
            if kind == "contact.refused":
                self.refusals.keep(topic.removeprefix(APPROVALS), message)
                continue
            if kind == "permission.withdrawn" and {"subject_token", "time"} <= fields <= _WITHDRAWN:
                continue  # who must be told is the model's question (tests/property)
            again = kind == "contact.approved" and message.get("duplicate") is True
            allowed = _APPROVED | {"duplicate"} if again else _APPROVED if kind == "contact.approved" else _RECALLED
            if fields != allowed:
                self._bad("I21", f"{topic}/{record.offset} is a {kind} with the fields {sorted(fields)}")
                if not {"approval_ref", "reason"} <= fields and not fields >= _APPROVED:
                    continue
            if kind == "contact.approved":
                one = Approval(topic.removeprefix(APPROVALS), message, dict(record.headers).get("ce_id"))
                (self.again if again else self.approved)[message["approval_ref"]].append(one)
                continue
            recall = Recall(message["approval_ref"], message["reason"], topic)
            if recall.approval_id in self.recalls[record.timestamp_ms]:
                self._bad("I22", f"{recall.approval_id} was recalled twice")
            self.recalls[record.timestamp_ms][recall.approval_id] = recall

    def approval(self, decision: dict[str, Any], asked: dict[str, Any]) -> None:
        """Take the approval of a pass: there is one, for its requester, and it tells what the decision tells."""
        name = decision["approval_ref"]
        sent = self.approved.pop(name, [])
        self._found.looked["I21"] += 1
        if [each.requester for each in sent] != [asked["requester"]]:
            self._bad("I21", f"{name} of a pass was sent to {[each.requester for each in sent]}")
        for each in sent:
            self._ids[name] = each.event_id
            self._compare(name, each.message, decision, asked)

    def repeated(self, decision: dict[str, Any], asked: dict[str, Any]) -> None:
        """Take one repetition of an approval: it says so, and is the same event."""
        name = decision["approval_ref"] or ""
        self._found.looked["I21"] += 1
        if not self.again.get(name):
            self._bad("I21", f"{name} was given again and not sent again")
            return
        sent = self.again[name].pop(0)
        if not self.again[name]:
            del self.again[name]
        if sent.requester != asked["requester"]:
            self._bad("I21", f"{name} was sent again to {sent.requester}")
        if sent.event_id != self._ids.get(name):
            self._bad("I21", f"{name} was sent again as another event")
        self._compare(name, sent.message, decision, asked)

    def _compare(self, name: str, message: dict[str, Any], decision: dict[str, Any], asked: dict[str, Any]) -> None:
        requester, subject_id = asked["requester"], asked["subject_id"]
        if any(message[each] != decision[each] for each in ("request_id", "channel", "valid_until")):
            self._bad("I21", f"{name} differs from its decision")
        token, whose = message["subject_token"], (requester, subject_id)
        if self._tokens.setdefault(whose, token) != token or self._named.setdefault(token, whose) != whose:
            self._bad("I21", f"{name}: the subject's token is not its own, or changes")
        if not token or subject_id in token:
            self._bad("I21", f"{name} names the subject")

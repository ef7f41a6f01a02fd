"""Everything the topics of one run hold, read once and committed only: what the audit judges. Judges nothing itself."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from contactgate.client.reading import Reading
from contactgate.demo.times import millis
from contactgate.names import (
    CONSENT_EVENTS,
    CONTACT_DECISIONS,
    CONTACT_OUTCOMES,
    CONTACT_REQUESTS,
    DEAD_LETTERS,
    OPS_ALERTS,
    OPS_METRICS,
    SUBJECTS_CHANGELOG,
    approvals_topic,
    requester_of,
)

_decode = msgspec.json.Decoder().decode
_ORIGIN = "cg-origin"  # the header of a record that was carried
_REFUSED = {"type", "request_id", "subject_token", "channel", "reason", "field", "retry_at"}
Place = tuple[int, int]
"""Partition and offset of a request."""
Copy = tuple[int, bytes]
"""Partition of a record that was carried there, and the sealed header that says from where."""


@dataclass
class OptOut:
    """Something that forbids from `appended_ms` on: a withdrawal, an erasure, an outcome that withdraws."""

    time_ms: int
    appended_ms: int
    controller: str | None
    purposes: list[str] | None
    channels: list[str] | None
    recipients: list[str] | None

    def covers(self, request: dict[str, Any]) -> bool:
        """Whether it reaches this request; what needs no consent is reached by none."""
        purpose = request["purpose"]
        if purpose.split(".")[0] == "collection":
            return False
        return (
            self.controller in {None, request["controller"]}
            and (self.channels is None or request["channel"] in self.channels)
            and (self.recipients is None or request["requester"] in self.recipients)
            and (self.purposes is None or any(purpose == p or purpose.startswith(p + ".") for p in self.purposes))
        )


@dataclass
class Passed:
    """One decision that passed, and the request it answers."""

    request_id: str
    subject_id: str
    approval_id: str
    decided_ms: int
    valid_until_ms: int
    requested_ms: int  # when Kafka appended the request
    request: dict[str, Any]


@dataclass
class Evidence:
    """What was found, in the order of the topics."""

    requesters: tuple[str, ...] = ()  # who has a topic of its own
    requests: dict[Place, tuple[int, dict[str, Any] | None]] = field(default_factory=dict)
    opt_outs: dict[str, list[OptOut]] = field(default_factory=lambda: defaultdict(list))
    grants: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))  # times, arrivals
    outcomes: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    decided: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    dead: dict[Place, int] = field(default_factory=lambda: defaultdict(int))
    dead_consents: int = 0
    dead_reasons: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    passed: list[Passed] = field(default_factory=list)  # without the answers to requests that came again
    blocked: int = 0
    blocks: Counter[tuple[str, str]] = field(default_factory=Counter)  # requester, request_id
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)  # the same, as the requesters were told
    refusals: Counter[str] = field(default_factory=Counter)  # by the word they were told
    told_too_much: list[str] = field(default_factory=list)  # refusals that tell more than a requester may know
    echoed: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # approval -> passes that repeat it
    reasons: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    chains: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    approved: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # approval -> requesters
    repeated: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # those marked as a duplicate
    recalled: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    clear: list[str] = field(default_factory=list)  # where an address was found in clear; never the address
    outputs: int = 0
    carried: dict[tuple[bytes, bytes], list[Copy]] = field(default_factory=lambda: defaultdict(list))
    misplaced: list[tuple[int, list[Copy]]] = field(default_factory=list)  # where it lay, and what was made of it


Read = Callable[[list[str]], Iterable[Any]]
"""Full topic names -> their committed records, with the attributes of kafka-python's ConsumerRecord."""


def from_kafka(bootstrap: str) -> Read:
    """Reads whole topics up to their present end. What it returns raises BrokerError when one cannot be read."""

    def read(topics: list[str]) -> Iterator[Any]:
        reading = Reading(bootstrap, topics, from_beginning=True)
        try:
            yield from reading.to_the_end(120)
        finally:
            reading.close()

    return read


def gather(read: Read, prefix: str, requesters: tuple[str, ...]) -> Evidence:
    """Read every topic of a run: inputs first, so that outputs can be held against them."""
    found = Evidence(requesters)
    by_id: dict[str, dict[str, Any]] = {}
    addresses: set[bytes] = set()

    def records(*names: str) -> Iterable[Any]:
        return read([prefix + name for name in names])

    for record in records(CONTACT_REQUESTS):
        request = _object(record.value)
        if request is not None and isinstance(request.get("address"), str):
            addresses.add(request["address"].encode())
        found.requests[record.partition, record.offset] = (record.timestamp, request)
        if request is not None and isinstance(request.get("request_id"), str):
            by_id.setdefault(request["request_id"], request)
    approvals = map(_decode, (rec.value for rec in records(*(approvals_topic("", each) for each in requesters))))
    approved = {each["approval_id"]: each["request_id"] for each in approvals if each["type"] == "contact.approved"}
    for record in _in_place(found, list(records(CONSENT_EVENTS)), records(CONTACT_OUTCOMES)):
        message = _object(record.value)
        if message is not None:
            _input(found, message, record.timestamp, approved, by_id)
    clear = _Clear(addresses)
    for record in records(
        CONTACT_DECISIONS, DEAD_LETTERS, SUBJECTS_CHANGELOG, OPS_METRICS, OPS_ALERTS,
        *(approvals_topic("", requester) for requester in requesters),
    ):  # fmt: skip
        found.outputs += 1
        if clear.stands_in(record):
            found.clear.append(f"{record.topic} {record.partition}@{record.offset}")
        name = record.topic[len(prefix) :]
        if name == CONTACT_DECISIONS:
            _decision(found, record)
        elif (requester := requester_of("", name)) is not None:
            _approval(found, record, requester)
        elif name == DEAD_LETTERS:
            letter = _decode(record.value)
            found.dead_reasons[letter["reason"]] += 1
            found.dead_consents += letter["topic"].endswith((CONSENT_EVENTS, "consent"))
            if letter["topic"].endswith((CONTACT_REQUESTS, "request")):
                found.dead[letter["partition"], letter["offset"]] += 1
    return found


def _in_place(found: Evidence, consents: list[Any], outcomes: Iterable[Any]) -> Iterator[Any]:
    """All of them but those that lay in a wrong partition and were carried: they are in force where their copy lies."""
    for record in consents:
        if (origin := dict(record.headers or ()).get(_ORIGIN)) is not None:
            found.carried[record.key, record.value].append((record.partition, origin))
    for record in (*consents, *outcomes):
        copies = found.carried.get((record.key, record.value))
        if copies is not None and _ORIGIN not in dict(record.headers or ()):
            found.misplaced.append((record.partition, copies))
        else:
            yield record


def _object(value: bytes | None) -> dict[str, Any] | None:
    try:
        message = _decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return message if isinstance(message, dict) else None


def _input(
    found: Evidence,
    message: dict[str, Any],
    appended_ms: int,
    approved: dict[str, str],  # handle -> request
    by_id: dict[str, dict[str, Any]],
) -> None:
    kind, subject, time_ms = message["type"], message.get("subject_id", ""), millis(message["time"])
    if kind == "consent.granted":
        found.grants[subject].append((time_ms, appended_ms))
    elif kind == "consent.withdrawn":
        scope = [message.get(name) for name in ("controller", "purposes", "channels", "recipients")]
        found.opt_outs[subject].append(OptOut(time_ms, appended_ms, *scope))
    elif kind == "subject.erased":
        found.opt_outs[subject].append(OptOut(time_ms, appended_ms, None, None, None, None))
    elif kind == "contact.outcome":
        request_id = approved.get(message.get("approval_id", ""), "")
        found.outcomes[request_id].append((appended_ms, message["outcome"]))
        request = by_id.get(request_id)
        if request is not None and message["outcome"] in {"unsubscribed", "complained"}:
            scope = [request["controller"], [request["purpose"], "marketing"], [request["channel"]], None]
            found.opt_outs[request["subject_id"]].append(OptOut(time_ms, appended_ms, *scope))


def _decision(found: Evidence, record: Any) -> None:
    found.chains[record.partition].append(record.value)
    decision = _decode(record.value)
    place = (decision["position"]["partition"], decision["position"]["request"])
    found.decided[place] += 1
    if decision["verdict"] != "pass":
        found.blocked += 1
        if decision["requester"] in found.requesters:
            found.blocks[decision["requester"], decision.get("request_id", "")] += 1
        for reason in decision["reasons"]:
            found.reasons[reason["rule"]] += 1
        return
    if decision["duplicate"]:
        found.echoed[decision["approval_ref"]] += 1
        return
    appended_ms, request = found.requests.get(place, (0, None))
    found.passed.append(
        Passed(
            request_id=decision["request_id"],
            subject_id=decision["subject_id"],
            approval_id=decision["approval_ref"],
            decided_ms=millis(decision["decided_at"]),
            valid_until_ms=millis(decision["valid_until"]),
            requested_ms=appended_ms,
            request=request or {},
        )
    )


def _approval(found: Evidence, record: Any, requester: str) -> None:
    message = _decode(record.value)
    if message["type"] == "contact.approved":
        sent = found.repeated if message.get("duplicate") else found.approved
        sent[message["approval_ref"]].append(requester)
    elif message["type"] == "contact.refused":
        found.refused[requester, message["request_id"]] += 1
        found.refusals[message["reason"]] += 1
        if not message.keys() <= _REFUSED or ("retry_at" in message and message["reason"] != "not_now"):
            found.told_too_much.append(message["request_id"])
    elif message["type"] == "contact.recalled":
        found.recalled[message["approval_ref"]].append((record.timestamp, message["reason"]))


class _Clear:
    """Finds addresses that went in among what came out: numbers and e-mails exactly, postal ones by their street."""

    def __init__(self, addresses: set[bytes]) -> None:
        self._numbers = {address.lstrip(b"+") for address in addresses if address.startswith(b"+")}
        self._emails = {address.lower() for address in addresses if b"@" in address}
        streets = {
            address.partition(b" ")[2] for address in addresses if not address.startswith(b"+") and b"@" not in address
        }
        self._streets = re.compile(b"|".join(re.escape(street) for street in sorted(streets) if street) or b"(?!)")

    _digits = re.compile(rb"\d{7,15}")
    _mail = re.compile(rb"[a-z0-9._+-]{1,64}@[a-z0-9.-]{3,}", re.IGNORECASE)

    def stands_in(self, record: Any) -> bool:
        """Whether the key, the value or a header of a record holds one."""
        parts = [record.key or b"", record.value or b"", *(value for _, value in record.headers or ())]
        return any(self._in(part) for part in parts)

    def _in(self, part: bytes) -> bool:
        if any(number in self._numbers for number in self._digits.findall(part)):
            return True
        if b"@" in part and any(email.lower() in self._emails for email in self._mail.findall(part)):
            return True
        return self._streets.search(part) is not None

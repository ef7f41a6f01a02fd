"""The common job: one policy, one registry, and a seeded stream of events that every contender is given.

The policy is small enough to be written again in each peer, and the stream is made so that every one of them must reach
the same verdicts: consents precede the requests they concern, all times are the events' own, and every phase of a run
has people of its own, so that a slow peer may be given less of one phase without changing another. Reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

import msgspec

POLICY = """\
policy: bench
approval_ttl: 15m
dedup_horizon: 7d
unreported: count
require: {campaign: false, party: false, notice: false}
purposes:
  marketing: {consent: opt_in}
caps:
  - {name: voice_7d, limit: 2, window: {sliding: 7d}, scope: [subject, channel], channels: [voice]}
  - {name: written_30d, limit: 3, window: {sliding: 30d}, scope: [subject, requester], channels: [email, sms]}
  - {name: daily, limit: 2, window: {calendar: day, zone: UTC}, scope: [subject]}
windows:
  - {name: hours, channels: [voice], days: [mon, tue, wed, thu, fri, sat], from: "09:00", to: "20:00"}
registries:
  - {name: us-ndnc, channels: [voice], max_age: 365d}
"""
REGISTRY = "us-ndnc"
REQUESTERS = ("callcentre-7", "mailhouse-2")
CHANNELS = ("voice", "email", "sms")
DAY_MS = 86_400_000
EPOCH_MS = 1_740_960_000_000  # Monday 2025-03-03; daylight saving time begins in the United States on the 9th
PHASE_DAYS = 10
_ZONES = ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Phoenix")
_AREAS = ("212", "312", "415", "713", "305")
_QUIET = 0.02  # of requests: a consent of somebody whom nobody asks about comes in between
_REPEATED = 0.005  # of requests: sent twice

_encode = msgspec.json.Encoder().encode


class Message(NamedTuple):
    """What is sent: `topic` without its prefix."""

    topic: str
    key: bytes
    value: bytes
    time_ms: int
    request: int = -1  # number of the request in its phase; -1: none


class Phase(NamedTuple):
    """A part of a run with people of its own."""

    name: str
    number: int
    requests: int
    subjects: int

    @property
    def start_ms(self) -> int:
        """When its event time begins."""
        return EPOCH_MS + self.number * PHASE_DAYS * DAY_MS


class Job(NamedTuple):
    """One seeded job of several phases."""

    seed: int
    phases: tuple[Phase, ...]

    def phase(self, name: str) -> Phase:
        """The phase of that name."""
        return next(phase for phase in self.phases if phase.name == name)

    @property
    def subjects(self) -> int:
        """How many people there are."""
        return sum(phase.subjects for phase in self.phases)

    def consents(self) -> Iterator[Message]:
        """Every person's profile and consents, from before the first request."""
        for phase in self.phases:
            random = _random(self.seed, "consents", phase.name)
            for number in range(phase.subjects):
                yield from _history(phase, number, random)

    def requests(self, name: str, limit: int | None = None) -> Iterator[Message]:
        """The first `limit` requests of a phase with what comes in between, in the order they are sent."""
        phase = self.phase(name)
        random = _random(self.seed, "requests", name)
        hot = max(1, phase.subjects // 50)
        step_ms = PHASE_DAYS * DAY_MS / phase.requests
        for number in range(phase.requests if limit is None else min(limit, phase.requests)):
            now_ms = phase.start_ms + int(number * step_ms)
            person = random.randrange(hot) if random.random() < 0.1 else random.randrange(phase.subjects)
            message = _request(phase, person, number, now_ms, random)
            yield message
            draw = random.random()
            if draw < _REPEATED:
                yield message
            elif draw < _REPEATED + _QUIET:
                yield _grant(f"quiet-{name}-{number}", f"q-{name}-{number}", now_ms, CHANNELS)

    def world(self, policy_hash: str, document: dict[str, Any], source: dict[str, Any]) -> Iterator[Message]:
        """Contactgate's control events: the policy and where the registry's file lies."""
        before_ms = EPOCH_MS - DAY_MS
        yield _message("control-events", b"policy:active", before_ms, {
            "type": "policy.activated", "event_id": "c-1", "time": stamp(before_ms),
            "policy": policy_hash, "document": document,
        })  # fmt: skip
        yield _message("control-events", b"registry:us-ndnc:bench", before_ms, {
            "type": "registry.published", "event_id": "c-2", "time": stamp(before_ms), "registry": REGISTRY,
            "version": "bench", "as_of": stamp(before_ms), "kind": "snapshot", "source": source,
        })  # fmt: skip

    def listed(self, count: int) -> list[str]:
        """`count` numbers of the registry, in order; a tenth of the people are among them."""
        numbers = {phone(phase, n) for phase in self.phases for n in range(phase.subjects) if n % 10 == 3}
        random = _random(self.seed, "registry", "")
        while len(numbers) < count:
            numbers.add(f"+1{random.choice(_AREAS)}{random.randrange(2_000_000, 10_000_000)}")
        return sorted(numbers)


def stamp(time_ms: int) -> str:
    """An instant as the messages write it."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def phone(phase: Phase, number: int) -> str:
    """A person's telephone number; different for everybody of a job."""
    index = phase.number * 2_000_000 + number
    area, local = divmod(index, 7_900_000)
    return f"+1{_AREAS[area % len(_AREAS)]}{2_000_000 + (local * 7_919) % 7_900_000}"


def subject(phase: Phase, number: int) -> str:
    """A person's identifier."""
    return f"{phase.name}-s{number:07d}"


def _random(seed: int, *parts: str) -> Random:
    return Random(":".join((str(seed), *parts)))


def _message(topic: str, key: bytes, time_ms: int, fields: dict[str, Any], request: int = -1) -> Message:
    return Message(topic, key, _encode(fields), time_ms, request)


def _history(phase: Phase, number: int, random: Random) -> Iterator[Message]:
    name = subject(phase, number)
    at_ms = EPOCH_MS - (1 + number % 50) * DAY_MS
    yield _message("consent-events", name.encode(), at_ms, {
        "type": "subject.updated", "event_id": f"u-{name}", "subject_id": name, "time": stamp(at_ms),
        "timezone": random.choice(_ZONES),
    })  # fmt: skip
    draw = random.random()
    if draw < 0.06:
        return
    expires_ms = phase.start_ms + 5 * DAY_MS if draw < 0.11 else None
    yield _grant(name, f"g-{name}", at_ms + 1000, ("voice",) if 0.11 <= draw < 0.19 else CHANNELS, expires_ms)
    if 0.19 <= draw < 0.30:
        yield _message("consent-events", name.encode(), at_ms + 2000, {
            "type": "consent.withdrawn", "event_id": f"w-{name}", "subject_id": name, "time": stamp(at_ms + 2000),
            "controller": "bank", "channels": ["voice"] if draw < 0.25 else list(CHANNELS),
        })  # fmt: skip
    if draw < 0.29:
        return
    if draw < 0.32:
        yield _grant(name, f"h-{name}", at_ms + 3000, CHANNELS)


def _grant(name: str, event_id: str, time_ms: int, channels: tuple[str, ...], expires_ms: int | None = None) -> Message:
    fields: dict[str, Any] = {
        "type": "consent.granted", "event_id": event_id, "subject_id": name, "time": stamp(time_ms),
        "controller": "bank", "purposes": ["marketing"], "channels": list(channels), "recipients": list(REQUESTERS),
        "data_categories": ["basic"], "evidence": {"method": "web", "ref": f"form-{event_id}"},
    }  # fmt: skip
    if expires_ms is not None:
        fields["expires_at"] = stamp(expires_ms)
    return _message("consent-events", name.encode(), time_ms, fields)


def _request(phase: Phase, person: int, number: int, now_ms: int, random: Random) -> Message:
    name = subject(phase, person)
    draw = random.random()
    channel = "voice" if draw < 0.6 else "email" if draw < 0.8 else "sms"
    address = f"{name}@example.com" if channel == "email" else phone(phase, person)
    return _message("contact-requests", name.encode(), now_ms, {
        "type": "contact.requested", "request_id": f"{phase.name}-{number:07d}", "subject_id": name,
        "time": stamp(now_ms), "requester": REQUESTERS[random.random() < 0.3], "controller": "bank",
        "campaign_id": "c-1", "purpose": "marketing", "channel": channel, "address": address,
        "data_categories": ["basic"],
    }, number)  # fmt: skip

"""Events a second of `contactgate decide`, as a user runs it: a mixed stream of a bank in a file, one process.

`python bench/offline.py [events] [--subjects N] [--keep FILE]`. Half of the events are requests, a fifth outcomes of
approved calls, the rest consents, opt-outs, facts about people, complaints and contacts made elsewhere; 60 days go by.
Prints wall and CPU time of the process and of an empty run, and what is left for each event.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from contactgate.codec.tokens import Tokens
from contactgate.offline import Fold
from contactgate.policy.load import load_policy

START_MS = 1_790_000_000_000
DAY_MS = 86_400_000
DAYS = 60
POLICY: dict[str, Any] = {
    "policy": "bank",
    "packs": [],
    "approval_ttl": "15m",
    "dedup_horizon": "7d",
    "unreported": "count",
    "require": {"campaign": False, "party": False, "notice": False},
    "purposes": {
        "marketing": {"consent": "opt_in", "evidence": ["written", "web"]},
        "service": {"consent": "opt_out"},
        "collection": {"consent": "none"},
    },
    "caps": [
        {
            "name": "voice_7d", "limit": 3, "window": {"sliding": "7d"}, "scope": ["subject", "channel"],
            "channels": ["voice"], "counts": "attempted",
        },
        {
            "name": "daily", "limit": 5, "window": {"calendar": "day", "zone": "UTC"}, "scope": ["subject"],
            "counts": "attempted",
        },
    ],
    "cooloffs": [{"name": "after_refusal", "outcomes": ["refused"], "for": "60d", "scope": ["subject", "controller"]}],
    "windows": [{"name": "calling_hours", "channels": ["voice", "sms"], "from": "08:00", "to": "21:00"}],
}  # fmt: skip
PURPOSES = ("marketing.insurance", "marketing.credit", "service.statement", "collection")
OUTCOMES = ("no_answer", "answered", "voicemail", "busy", "refused", "wrong_number", "delivered")

_encode = msgspec.json.Encoder().encode


def lines(events: int, subjects: int, seed: int = 1) -> Iterator[bytes]:
    """The stream. It is folded while it is made: only calls that were approved have outcomes."""
    random = Random(seed)
    fold = Fold(load_policy(POLICY), Tokens(b"k" * 32))
    approved: deque[tuple[str, str]] = deque()
    for number in range(events):
        at_ms = START_MS + number * DAYS * DAY_MS // events
        draw = random.random()
        if draw < 0.2 and approved:
            subject, request_id = approved.popleft()
            message: dict[str, Any] = {
                "type": "contact.outcome", "event_id": f"o-{number}", "request_id": request_id, "subject_id": subject,
                "time": stamp(at_ms), "outcome": random.choices(OUTCOMES, (40, 25, 15, 10, 3, 1, 6))[0],
            }  # fmt: skip
        elif draw < 0.5:
            message = _fact(random, f"c-{random.randrange(subjects):07d}", number, at_ms)
        else:
            message = _request(random, f"c-{random.randrange(subjects):07d}", at_ms)
        line = _encode(message)
        for out in fold.line(line):
            if b'"contact.approved"' in out and len(approved) < 10_000:
                approved.append((message["subject_id"], message["request_id"]))
        yield line


def stamp(at_ms: int) -> str:
    """RFC 3339, as most systems write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms // 1000)) + f".{at_ms % 1000:03d}Z"


def _number(subject: str) -> str:
    return f"+1{('212', '312', '213')[int(subject[-1]) % 3]}555{int(subject[2:]) % 10_000:04d}"


def _uuid(random: Random) -> str:
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _request(random: Random, subject: str, at_ms: int) -> dict[str, Any]:
    channel = random.choice(("voice", "voice", "sms", "email"))
    message = {
        "type": "contact.requested", "request_id": _uuid(random), "subject_id": subject, "time": stamp(at_ms),
        "requester": random.choice(("callcentre-7", "bank")), "controller": "bank",
        "purpose": random.choice(PURPOSES), "channel": channel, "campaign_id": f"c-2026-{random.randrange(20):02d}",
        "address": f"{subject}@post.example" if channel == "email" else _number(subject),
        "data_categories": ["basic"],
    }  # fmt: skip
    if message["purpose"] == "collection":
        message["matter_id"] = f"debt-{subject}"
    return message


def _fact(random: Random, subject: str, number: int, at_ms: int) -> dict[str, Any]:
    draw = random.random()
    head = {"event_id": f"e-{number}", "subject_id": subject, "time": stamp(at_ms)}
    if draw < 0.6:
        return {
            "type": "consent.granted", **head, "controller": "bank", "purposes": ["marketing"],
            "channels": ["voice", "sms", "email"], "recipients": ["bank", "callcentre-7"],
            "data_categories": ["basic"], "notice_id": "n-2026",
            "evidence": {"method": "web", "ref": f"doc-{number}"},
        }  # fmt: skip
    if draw < 0.8:
        zone = random.choice(("America/New_York", "America/Chicago", "America/Los_Angeles"))
        return {"type": "subject.updated", **head, "timezone": zone, "jurisdictions": ["US"]}
    if draw < 0.9:
        return {
            "type": "consent.withdrawn", **head, "controller": "bank",
            "channels": [random.choice(("voice", "sms", "email"))],
        }  # fmt: skip
    if draw < 0.94:
        return {"type": "complaint.received", **head, "controller": "bank", "channel": "sms"}
    if draw < 0.97:
        return {
            "type": "relationship.recorded", **head, "controller": "bank", "kind": "purchase", "date": stamp(at_ms)[:10]
        }  # fmt: skip
    return {
        "type": "contact.observed", **head, "controller": "bank", "channel": "voice", "purpose": "service",
        "outcome": "answered", "direction": "inbound", "address": _number(subject),
    }  # fmt: skip


def run(policy: Path, events: Path, out: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds of one `contactgate decide`, and the largest resident set of any so far, in MiB."""
    command = [str(Path(sys.executable).with_name("contactgate")), "decide", "--policy", str(policy)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    subprocess.run([*command, "--out", str(out), str(events)], check=True)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("events", type=int, nargs="?", default=200_000)
    parser.add_argument("--subjects", type=int, default=20_000)
    parser.add_argument("--keep", type=Path, help="write the stream here and its policy beside it, and measure nothing")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        place = given.keep.parent if given.keep else Path(directory)
        events, policy, empty = given.keep or place / "events.jsonl", place / "policy.json", place / "empty.jsonl"
        policy.write_text(json.dumps(POLICY), encoding="utf-8")
        with events.open("wb") as sink:
            sink.writelines(line + b"\n" for line in lines(given.events, given.subjects))
        if given.keep:
            return
        empty.write_bytes(b"")
        _, idle, _ = run(policy, empty, place / "out")
        wall, spent, memory = run(policy, events, place / "out")
        made = (place / "out").read_bytes().count(b"\n")
        print(
            f"{given.events:,} events of {given.subjects:,} people gave {made:,} lines in {wall:.1f} s "
            f"({spent:.1f} s CPU, {idle:.1f} of them to start; {memory:.0f} MiB): {given.events / wall:,.0f} a second "
            f"as a whole, {(spent - idle) / given.events * 1e6:.1f} us CPU an event, "
            f"{given.events / (spent - idle):,.0f} a second and core"
        )


if __name__ == "__main__":
    main()

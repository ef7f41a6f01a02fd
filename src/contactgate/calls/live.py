"""The live half of `contactgate replay-calls`: topics of its own, two workers, event time as the clock.

Uses the cluster that KAFKA_BOOTSTRAP names, else an embedded one for the length of the replay. Must never touch topics
of another prefix.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from contactgate import broker
from contactgate.calls.list import Call
from contactgate.calls.requests import request
from contactgate.client.feed import Feed
from contactgate.client.reading import Reading
from contactgate.demo.times import DAY_MS, stamp
from contactgate.demo.workers import Workers
from contactgate.errors import BrokerUnavailable
from contactgate.names import CONTACT_DECISIONS, CONTACT_REQUESTS, CONTROL_EVENTS, DEAD_LETTERS
from contactgate.policy.load import load_policy
from contactgate.topics import Layout, TopicAdmin, topic_specs

PARTITIONS = 8
WORKERS = 2
_SILENCE_S = 120.0
_SAY_EVERY_S = 5.0


def replay_live(
    calls: list[Call], document: dict[str, object], take: Callable[[bytes], None], say: Callable[[str], Any]
) -> None:
    """Publish the calls as requests in time order and hand every decision and dead letter to `take`."""
    prefix = f"replay-{secrets.token_hex(3)}."
    layout = Layout(prefix=prefix, partitions=PARTITIONS, requesters=("bank",), event_time=True)
    with broker.bootstrap_or_start() as found, tempfile.TemporaryDirectory(prefix="contactgate-replay-") as directory:
        with TopicAdmin(found.address) as admin:
            admin.create(topic_specs(layout))
        say(f"kafka at {found.address}, topics {prefix}*, {WORKERS} workers, the requests' own time as the clock")
        with Workers(found.address, prefix, Path(directory), event_time=True) as workers:
            for number in range(1, WORKERS + 1):
                workers.start(number)
            _publish(found.address, prefix, calls, document)
            say(f"{len(calls):,} requests are published")
            _take_all(found.address, prefix, len(calls), take, say, workers.check)


def _publish(address: str, prefix: str, calls: list[Call], document: dict[str, object]) -> None:
    before_ms = calls[0].time_ms - DAY_MS
    event = {
        "type": "policy.activated", "event_id": "policy-replay", "time": stamp(before_ms),
        "policy": load_policy(document).hash, "document": document,
    }  # fmt: skip
    with Feed(address, prefix=prefix, linger_ms=20) as feed:
        value = msgspec.json.encode(event)
        feed.send_to(prefix + CONTROL_EVENTS, b"policy:active", value, timestamp_ms=before_ms)
        feed.flush()
        topic = prefix + CONTACT_REQUESTS
        for call in calls:
            feed.send_to(topic, f"client-{call.client}".encode(), request(call), timestamp_ms=call.time_ms)
        feed.flush(120)


def _take_all(
    address: str,
    prefix: str,
    wanted: int,
    take: Callable[[bytes], None],
    say: Callable[[str], Any],
    check: Callable[[], None],
) -> None:
    reading = Reading(address, [prefix + CONTACT_DECISIONS, prefix + DEAD_LETTERS], from_beginning=True)
    try:
        taken, started = 0, time.monotonic()
        last = said = started
        while taken < wanted:
            records = reading.poll(200)
            now = time.monotonic()
            for record in records:
                take(record.value)
            taken += len(records)
            if records:
                last = now
            elif now - last > _SILENCE_S:
                raise BrokerUnavailable(f"only {taken:,} of {wanted:,} decisions came, none for {_SILENCE_S:g} s")
            if now - said > _SAY_EVERY_S:
                said = now
                say(f"{taken:,} decided, {taken / (now - started):,.0f} a second")
            check()
        for record in reading.poll(500):  # one too many would show here
            take(record.value)
    finally:
        reading.close()

"""One worker under load: requests at a fixed rate with each decision's latency, then a backlog as fast as it can.

Latency is a decision's arrival at a read_committed consumer minus Kafka's append time of its request. Measures the
whole path with exactly-once, the audit chain and the demonstration's full policy on, on topics of its own. Must never
touch another installation's topics.
"""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.table import Table

from contactgate.client.feed import Acknowledged, Feed
from contactgate.client.reading import Reading
from contactgate.client.routing import Routed
from contactgate.demo.population import REQUESTERS, Population
from contactgate.demo.tally import quantile
from contactgate.demo.times import millis, stamp
from contactgate.demo.workers import Workers
from contactgate.errors import BrokerUnavailable
from contactgate.load.watching import Watcher
from contactgate.names import CONTACT_DECISIONS, CONTROL_EVENTS
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read
from contactgate.topics import Layout, TopicAdmin, topic_specs

_decode = msgspec.json.Decoder().decode
_WARM_UP_S = 3.0
_LINGER_MS = 10  # of the load generator, before the append that latency is counted from


class Arrival(NamedTuple):
    """One decision: the partition and offset of its request, when it was made, when a consumer saw it."""

    partition: int
    offset: int
    decided_ms: int
    seen_ms: int


class Arrivals(Watcher[Arrival]):
    """Decisions as a foreign consumer sees them."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        super().__init__(_watch, bootstrap, prefix)

    def wait(self, count: int, timeout_s: float, check: Callable[[], None]) -> None:
        """Until `count` have come. Raises BrokerUnavailable after the timeout, and whatever `check` raises."""
        deadline = time.monotonic() + timeout_s
        while (come := self.count) < count:
            check()
            if not self.alive or time.monotonic() > deadline:
                raise BrokerUnavailable(f"{come:,} of {count:,} decisions came within {timeout_s:g} s")
            time.sleep(0.05)


def _watch(bootstrap: str, prefix: str, count: Any, ready: Any, stop: Any, pipe: Any) -> None:
    """The consumer's process: note when each decision is seen, decode when all is over."""
    reading = Reading(bootstrap, [prefix + CONTACT_DECISIONS], from_beginning=True, fetch_max_wait_ms=500)
    ready.set()
    seen: list[tuple[bytes, int]] = []
    while not stop.is_set():
        records = reading.poll(200)
        now_ms = time.time_ns() // 1_000_000
        seen.extend((record.value, now_ms) for record in records)
        count.value = len(seen)
    reading.close()
    pipe.send([_arrival(value, now_ms) for value, now_ms in seen])


def _arrival(value: bytes, now_ms: int) -> Arrival:
    decision = _decode(value)
    position = decision["position"]
    return Arrival(position["partition"], position["request"], millis(decision["decided_at"]), now_ms)


def measure(
    address: str,
    directory: Path,
    rate: float,
    seconds: float,
    backlog: int,
    subjects: int,
    partitions: int,
    say: Callable[[str], None],
) -> Table:
    prefix = f"load-{secrets.token_hex(3)}."
    with TopicAdmin(address) as admin:
        admin.create(topic_specs(Layout(prefix=prefix, partitions=partitions, requesters=REQUESTERS)))
    population = Population(1, subjects, time.time_ns() // 1_000_000)
    requests = (
        step.routed
        for step in population.stream(int(rate * (seconds + _WARM_UP_S)) + backlog + 1, rate)
        if step.request_id is not None
    )
    table = Table(
        "measured on one worker", "value", title=f"{os.cpu_count()} cores shared with broker and load generator"
    )
    table.columns[1].justify = "right"
    with Workers(address, prefix, directory) as workers, Feed(address, prefix=prefix, linger_ms=_LINGER_MS) as feed:
        workers.start(1)
        _prepare(feed, prefix, population)
        arrivals = Arrivals(address, prefix)
        try:
            first = next(requests)
            feed.send(first)
            arrivals.wait(1, 120, workers.check)
            say(f"{subjects:,} people are known; {rate:,.0f} requests a second for {seconds:g} s …")
            appended: dict[tuple[int, int], int] = {}
            started = time.monotonic()
            count = int(rate * (seconds + _WARM_UP_S))
            for number in range(count):
                ahead = started + number / rate - time.monotonic()
                if ahead > 0:
                    time.sleep(ahead)
                feed.send(next(requests), _noting(appended) if number >= rate * _WARM_UP_S else None)
            feed.flush()
            sent_rate = count / (time.monotonic() - started)
            arrivals.wait(1 + count, 120, workers.check)
            waited, took = _latencies(appended, arrivals.stop())
            table.add_row("requests a second sent", f"{sent_rate:,.0f}")
            for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("worst", 1.0)):
                table.add_row(f"append to committed decision read, {name}", f"{quantile(took, part):,.0f} ms")
            table.add_row("of which until it is decided, p50", f"{quantile(waited, 0.5):,.0f} ms")
            if backlog:
                say(f"a backlog of {backlog:,} requests …")
                decided = _saturate(address, prefix, feed, workers, requests, backlog)
                table.add_row("decisions a second on a backlog", f"{decided:,.0f}")
        finally:
            arrivals.end()
    return table


def _prepare(feed: Feed, prefix: str, population: Population) -> None:
    text = files("contactgate.demo").joinpath("policy.yaml").read_text(encoding="utf-8")
    event = {
        "type": "policy.activated", "event_id": "policy-load", "time": stamp(population.start_ms),
        "policy": load_policy(text).hash, "document": read(text, "the policy is wrong"),
    }  # fmt: skip
    feed.send_to(prefix + CONTROL_EVENTS, b"policy:active", msgspec.json.encode(event))
    for routed in (*population.world(), *population.history()):
        feed.send(routed)
    feed.flush(120)


def _latencies(appended: dict[tuple[int, int], int], seen: list[Arrival]) -> tuple[list[int], list[int]]:
    """From append to decided, and from append to seen; each in order."""
    waited, took = [], []
    for arrival in seen:
        append_ms = appended.get((arrival.partition, arrival.offset))
        if append_ms is not None:
            waited.append(arrival.decided_ms - append_ms)
            took.append(arrival.seen_ms - append_ms)
    return sorted(waited), sorted(took)


def _noting(appended: dict[tuple[int, int], int]) -> Callable[[Acknowledged], None]:
    def note(acknowledged: Acknowledged) -> None:
        appended[acknowledged.partition, acknowledged.offset] = acknowledged.timestamp_ms

    return note


def _saturate(
    address: str, prefix: str, feed: Feed, workers: Workers, requests: Iterator[Routed], backlog: int
) -> float:
    """Decisions a second from the first committed one to the last, by the end offsets alone: no reader takes a core."""
    workers.stop()
    for routed in itertools.islice(requests, backlog):
        feed.send(routed)
    feed.flush(300)
    reading = Reading(address, [prefix + CONTACT_DECISIONS], from_beginning=False)
    try:
        base = reading.ends()
        workers.start(1)
        deadline = time.monotonic() + 60
        while (first := reading.ends() - base) == 0:
            if time.monotonic() > deadline:
                workers.check()
                raise BrokerUnavailable("the worker decided nothing within 60 s of its start")
            time.sleep(0.02)
        began = time.monotonic()
        while (decided := reading.ends() - base) < backlog:
            if time.monotonic() > began + 600:
                raise BrokerUnavailable(f"only {decided:,} of {backlog:,} decisions came within ten minutes")
            time.sleep(0.05)
        return (backlog - first) / max(time.monotonic() - began, 0.001)
    finally:
        reading.close()

"""One run of the demonstration against running workers: world, history, stream, scenes, quiet end.

Talks to Kafka only, like any campaign system; the one thing it may do to a worker is kill it. The order of the scenes
is: the stream; in its middle one person opts out through a producer that chooses wrong partitions, another one through
one that does not; then one worker is killed; at the end a probe in every partition shows that all that was sent before
was applied.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import msgspec

from contactgate.client.feed import Acknowledged, Feed
from contactgate.client.reading import Reading
from contactgate.client.routing import Routed
from contactgate.demo.dialers import Dialers
from contactgate.demo.population import REQUESTERS, Population
from contactgate.demo.tally import Tally
from contactgate.demo.times import DAY_MS, stamp
from contactgate.errors import BrokerError, BrokerUnavailable
from contactgate.model.log import murmur2
from contactgate.names import CONSENT, CONTACT_DECISIONS, CONTROL_EVENTS, DEAD_LETTERS, REQUEST

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_ANNA = "p-anna"
_PATIENCE = 1.6  # times the planned length of the stream
_TAKEOVER_S = 15.0  # requests of this many seconds may be undecided


@dataclass(frozen=True)
class Sizes:
    """How much is streamed."""

    requests: int
    rate: float
    partitions: int


class Run:
    """The parts of one run; `now_ms` is the wall clock, `say` tells the story, `check` raises when a worker died."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        population: Population,
        sizes: Sizes,
        tally: Tally,
        now_ms: Callable[[], int],
        say: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._population = population
        self._sizes = sizes
        self._tally = tally
        self._now_ms = now_ms
        self._say = say
        self._check_workers = check
        self._stop = threading.Event()
        self._answers: dict[str, dict[str, Any]] = {}  # decisions of the scenes and probes
        self._failure: BaseException | None = None
        self._feed = Feed(bootstrap, prefix=prefix)
        self._dialers = Dialers(self._feed, bootstrap, prefix, REQUESTERS, population.seed, now_ms)
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.malformed = 0  # requests that were sent malformed
        self.broken: list[str] = []  # what the scenes showed to be wrong

    def prepare(self, policy: dict[str, Any], timeout_s: float = 90) -> None:
        """Publish policy and world, wait for a first decision, publish everybody's history; all is acknowledged."""
        event = {"type": "policy.activated", "event_id": "policy-demo", "time": stamp(self._now_ms()), **policy}
        self._feed.send_to(self._prefix + CONTROL_EVENTS, b"policy:active", _encode(event))
        world = list(self._population.world())
        for routed in world:
            self._feed.send(routed)
        self._feed.flush()
        self._say(f"a policy and {len(world)} notices, parties, campaigns and lists are published")
        self._watcher.start()
        self._dialers.start()
        self._first_decision(timeout_s)
        count = 0
        for routed in self._population.history():
            self._feed.send(routed)
            count += 1
            if count % 1_000 == 0:
                self._check()
        self._feed.flush()
        self._say(f"{count:,} consent events of {len(self._population.people):,} people are published")

    def _first_decision(self, timeout_s: float) -> None:
        """Ask about one person of whom nothing is known yet, and wait for the answer: the workers are up."""
        self._ask("demo-first", self._population.people[0].subject_id, "insurer", "email")
        self._await(lambda: "demo-first" in self._answers, timeout_s, "the first decision")
        self._say(f"first decision: {_words(self._answers['demo-first'])}")

    def stream(self, kill: Callable[[], str]) -> None:
        """Send the stream at its rate; an opt-out in a wrong partition, one in its own, and the kill come in between.

        A machine too slow for the rate gets less: what is undecided is bounded, and so is the time.
        """
        parts = ((0.15, self._misplaced), (0.3, self._opt_out), (0.5, lambda: self._kill(kill)))
        waiting = [(part, threading.Thread(target=self._scene, args=(scene,), daemon=True)) for part, scene in parts]
        scenes = [thread for _, thread in waiting]
        planned_s = self._sizes.requests / self._sizes.rate
        started, number = time.monotonic(), 0
        for step in self._population.stream(self._sizes.requests, self._sizes.rate):
            if step.request_id is not None:
                passed_s = time.monotonic() - started
                if passed_s > planned_s * _PATIENCE:
                    break
                if waiting and max(number / self._sizes.requests, passed_s / planned_s / _PATIENCE) >= waiting[0][0]:
                    waiting.pop(0)[1].start()
                ahead = started + number / self._sizes.rate - time.monotonic()
                if ahead > 0.005:
                    time.sleep(ahead)
                self._hold_back(started + planned_s * _PATIENCE)
                number += 1
                self._tally.sent(step.request_id, self._now_ms())
            self.malformed += step.malformed and step.routed.kind == REQUEST
            self._feed.send(step.routed)
            self._check()
        self._feed.flush()
        seconds = time.monotonic() - started
        fewer = "" if number == self._sizes.requests else f" (of {self._sizes.requests:,}: this machine is busy)"
        self._say(f"{number:,} requests are sent{fewer}, {number / seconds:,.0f} a second")
        for _, thread in waiting:  # a stream too short to reach them
            thread.start()
        for thread in scenes:
            thread.join(120)

    def _hold_back(self, until: float) -> None:
        """Wait while more is undecided than a take-over explains."""
        while self._tally.open > self._sizes.rate * _TAKEOVER_S and time.monotonic() < until:
            self._check()
            time.sleep(0.05)

    def settle(self, timeout_s: float) -> None:
        """Wait until every request is decided and, by a probe in each partition, every event before it applied."""
        self._await(lambda: self._tally.undecided(self._now_ms() + 1) == 0, timeout_s, "the last decisions")
        self._dialers.stop()
        self._feed.flush()
        covered: set[int] = set()
        probes = []
        for number, person in enumerate(self._population.people):
            if len(covered) == self._sizes.partitions:
                break
            probes.append(f"demo-probe-{number}")
            covered.add(self._ask(probes[-1], person.subject_id, "insurer", "email").partition)
        self._await(lambda: all(probe in self._answers for probe in probes), timeout_s, "the probes' decisions")
        self._say(f"every event is applied; {self._dialers.reported:,} outcomes were reported by the dialers")

    def close(self) -> None:
        """Stop the threads and let go of the connections."""
        self._stop.set()
        self._dialers.stop()
        if self._watcher.ident is not None:
            self._watcher.join(5)
        self._feed.close()

    def _misplaced(self) -> None:
        """Carl opts out through a producer with librdkafka's partitioner: in the wrong partition, and it binds."""
        partitions = self._sizes.partitions
        names = (f"p-carl{number or ''}" for number in itertools.count())
        carl = next(name for name in names if murmur2(name.encode()) % partitions != crc32(name.encode()) % partitions)
        self._feed.send_now(Routed(CONSENT, carl.encode(), _encode(self._grant(carl, "carl-1"))))
        self._dialers.left_alone.add("carl-r1")
        self._ask("carl-r1", carl, "insurer", "email")
        self._await(lambda: "carl-r1" in self._dialers.approved, 60, "the approval of carl-r1")
        opt_out = {
            "type": "consent.withdrawn",
            "event_id": "carl-2",
            "subject_id": carl,
            "time": stamp(self._now_ms()),
        }
        wrong = crc32(carl.encode()) % partitions
        self._feed.send_now(Routed(CONSENT, carl.encode(), _encode(opt_out), wrong))
        acknowledged = time.monotonic()
        self._say(f"{carl} opts out; that producer hashes with CRC32: it lies in partition {wrong}, not in {carl}'s")
        self._await(lambda: "carl-r1" in self._dialers.recalled, 60, "the recall of carl-r1")
        took = (time.monotonic() - acknowledged) * 1000
        self._say(f"{carl}'s opt-out was carried to its own: carl-r1 is recalled, {took:.0f} ms after it")
        self._ask("carl-r2", carl, "insurer", "email")
        self._await(lambda: "carl-r2" in self._answers, 60, "the decision on carl-r2")
        self._say(f"and {carl}'s next request: {_words(self._answers['carl-r2'])}")
        if self._answers["carl-r2"]["verdict"] != "block":
            self.broken.append("a request passed after an opt-out that was carried")

    def _grant(self, subject_id: str, event_id: str) -> dict[str, Any]:
        """Somebody agrees to e-mails of the insurer, since yesterday."""
        return {
            "type": "consent.granted", "event_id": event_id, "subject_id": subject_id,
            "time": stamp(self._now_ms() - DAY_MS), "controller": "insurer", "purposes": ["marketing"],
            "channels": ["email"], "data_categories": ["basic"], "notice_id": "n-insurer-2026",
            "evidence": {"method": "double_opt_in"},
        }  # fmt: skip

    def _opt_out(self) -> None:
        """Anna agrees, is approved, opts out; her open approval is recalled and the next request blocked."""
        self._feed.send_now(Routed(CONSENT, _ANNA.encode(), _encode(self._grant(_ANNA, "anna-1"))))
        self._dialers.left_alone.add("anna-r1")
        self._ask("anna-r1", _ANNA, "insurer", "email")
        self._await(lambda: "anna-r1" in self._dialers.approved, 60, "the approval of anna-r1")
        self._say(f"{_ANNA} agreed to e-mail: request anna-r1 is approved, {self._dialers.approved['anna-r1']}")
        opt_out = {
            "type": "consent.withdrawn",
            "event_id": "anna-2",
            "subject_id": _ANNA,
            "time": stamp(self._now_ms()),
        }
        self._feed.send_now(Routed(CONSENT, _ANNA.encode(), _encode(opt_out)))
        acknowledged = time.monotonic()
        self._say(f"{_ANNA} opts out of everything; kafka has acknowledged it")
        self._ask("anna-r2", _ANNA, "insurer", "email")
        self._await(lambda: "anna-r2" in self._answers, 60, "the decision on anna-r2")
        answer = self._answers["anna-r2"]
        took = (time.monotonic() - acknowledged) * 1000
        self._say(f"the next request, {took:.0f} ms after the opt-out: {_words(answer)}")
        if answer["verdict"] != "block":
            self.broken.append("a request passed after an acknowledged opt-out")
        self._await(lambda: "anna-r1" in self._dialers.recalled, 60, "the recall of anna-r1")
        self._say(f"the open approval of anna-r1 was recalled: {self._dialers.recalled['anna-r1']}")

    def _kill(self, kill: Callable[[], str]) -> None:
        """One worker dies without a word; wait until all that was sent by then, and a little later, is decided."""
        self._say(kill())
        killed, killed_ms = time.monotonic(), self._now_ms()
        self._await(
            lambda: self._tally.undecided(killed_ms + 1_000) == 0 and time.monotonic() > killed + 2, 90, "takeover"
        )
        took = time.monotonic() - killed
        self._say(
            f"the other worker has taken over: all that was asked before the kill is decided, {took:.1f} s after it"
        )

    def _scene(self, scene: Callable[[], None]) -> None:
        try:
            scene()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            self._failure = self._failure or error

    def _ask(self, request_id: str, subject_id: str, requester: str, channel: str) -> Acknowledged:
        message = {
            "type": "contact.requested", "request_id": request_id, "subject_id": subject_id,
            "time": stamp(self._now_ms()), "requester": requester, "controller": "insurer", "campaign_id": "c-renewal",
            "purpose": "marketing.insurance", "channel": channel, "address": f"{subject_id}@mail.example",
            "data_categories": ["basic"],
        }  # fmt: skip
        self._tally.sent(request_id, self._now_ms())
        return self._feed.send_now(Routed(REQUEST, subject_id.encode(), _encode(message)))

    def _watch(self) -> None:
        try:
            topics = [self._prefix + CONTACT_DECISIONS, self._prefix + DEAD_LETTERS]
            reading = Reading(self._bootstrap, topics, from_beginning=True, fetch_max_wait_ms=50)
            try:
                while not self._stop.is_set():
                    for record in reading.poll(100):
                        self._seen(_decode(record.value))
            finally:
                reading.close()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            self._failure = self._failure or error

    def _seen(self, message: dict[str, Any]) -> None:
        if message["type"] == "dead.letter":
            self._tally.dead()
            return
        request_id = message["request_id"]
        self._tally.decided(request_id, [reason["rule"] for reason in message["reasons"]], self._now_ms())
        if request_id.startswith(("anna-", "carl-", "demo-")):
            self._answers[request_id] = message

    def _await(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            self._check()
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"{what} did not come within {timeout_s:g} s; see the workers' logs")
            time.sleep(0.02)

    def _check(self) -> None:
        self._check_workers()
        failure = self._failure or self._dialers.failure
        if failure is not None:
            raise (
                failure if isinstance(failure, BrokerError) else BrokerError(f"the demonstration stopped: {failure!r}")
            )


def _words(decision: dict[str, Any]) -> str:
    reasons = ", ".join(reason["rule"] for reason in decision["reasons"])
    return f"{decision['request_id']} {decision['verdict']}" + (f" ({reasons})" if reasons else "")

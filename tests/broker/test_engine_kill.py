"""Real workers killed and frozen at random moments under load: nothing lost, nothing twice, nothing wrongly decided.

Judged from the topics and from what the clients were told, by a rule of its own that shares nothing with the gate.
"""

from __future__ import annotations

import collections
import functools
import random
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from tests.kit.fleet import Fleet, WorkerProcess, wait_until
from tests.kit.retold import same_as_replay
from tests.kit.wire import Record, Wire

from contactgate.broker import Bootstrap
from contactgate.client.feed import Feed
from contactgate.client.reading import Reading
from contactgate.client.routing import Routed, route
from contactgate.demo.times import stamp
from contactgate.names import CONSENT, OUTCOME, REQUEST
from contactgate.policy.load import load_policy
from contactgate.topics import Layout, TopicAdmin, topic_specs

PARTITIONS = 4
SUBJECTS = 6_000
TOTAL = 100_000
RATE = 1_000
KILLS, FREEZES = 10, 2
LIMIT = 12
POLICY = {
    "policy": "kill", "require": {"campaign": False, "party": False, "notice": False},
    "approval_ttl": "2h", "dedup_horizon": "1d", "unreported": "count", "outcomes_by": "both",
    "purposes": {"marketing": {"consent": "opt_in"}},
    "caps": [{"name": "few", "limit": LIMIT, "window": {"sliding": "1d"}, "scope": ["subject"], "counts": "attempted"}],
}  # fmt: skip

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def _now() -> str:
    return stamp(time.time_ns() // 1_000_000)


class Sent(NamedTuple):
    """A request and what its sender knew of the subject when it was sent."""

    subject: str
    granted: bool  # the consent was acknowledged
    opted_out: bool  # the opt-out was acknowledged
    earlier: int  # requests of the same subject that were sent before


class Load:
    """A campaign system and a preference centre: requests, late consents and opt-outs."""

    def __init__(self, feed: Feed) -> None:
        self.sent: dict[str, Sent] = {}
        self._feed = feed
        self._random = random.Random(7)
        self._granted: set[str] = set()  # acknowledged
        self._opted_out: set[str] = set()  # acknowledged
        self._asked_out: set[str] = set()  # sent
        self._asked: collections.Counter[str] = collections.Counter()

    def consents(self) -> None:
        """Nine of ten subjects agree before the first request; all acknowledged."""
        for number in range(SUBJECTS * 9 // 10):
            self._grant(f"s~{number}")
        self._feed.flush()

    def run(self, over: threading.Event) -> None:
        """At a fixed rate until TOTAL requests are sent and the faults are over."""
        began, subjects = time.monotonic(), self._random
        while len(self.sent) < TOTAL or not over.is_set():
            for _ in range(50):
                self._request(f"s~{subjects.randrange(SUBJECTS)}")
            if subjects.random() < 0.7:
                self._opt_out(f"s~{subjects.randrange(SUBJECTS)}")
            if subjects.random() < 0.2:
                self._grant(f"s~{subjects.randrange(SUBJECTS)}")
            time.sleep(max(0.0, len(self.sent) / RATE - (time.monotonic() - began)))
        self._feed.flush(120)

    def last(self) -> None:
        """Some more requests, in every partition, so that whatever else was sent is read before these are decided."""
        for _ in range(200):
            self._request(f"s~{self._random.randrange(SUBJECTS)}")
        self._feed.flush()

    def _request(self, subject: str) -> None:
        request_id = f"q{len(self.sent)}"
        known = Sent(subject, subject in self._granted, subject in self._opted_out, self._asked[subject])
        self.sent[request_id] = known
        self._asked[subject] += 1
        value = _encode(
            {
                "type": "contact.requested", "request_id": request_id, "subject_id": subject, "time": _now(),
                "requester": "dialer", "controller": "bank", "purpose": "marketing.loans", "channel": "email",
                "address": f"{subject}@mail.example",
            }
        )  # fmt: skip
        self._feed.send(Routed(REQUEST, subject.encode(), value))

    def _grant(self, subject: str) -> None:
        if subject in self._asked_out:
            return  # a later consent would revive; here an opt-out is forever
        value = _encode(
            {
                "type": "consent.granted", "event_id": f"g-{subject}", "subject_id": subject, "time": _now(),
                "controller": "bank", "purposes": ["marketing"], "channels": ["email"], "recipients": ["dialer"],
                "data_categories": ["basic"],
            }
        )  # fmt: skip
        self._feed.send(Routed(CONSENT, subject.encode(), value), lambda _: self._granted.add(subject))

    def _opt_out(self, subject: str) -> None:
        self._asked_out.add(subject)
        value = _encode(
            {"type": "consent.withdrawn", "event_id": f"w-{subject}", "subject_id": subject, "time": _now()}
        )
        self._feed.send(Routed(CONSENT, subject.encode(), value), lambda _: self._opted_out.add(subject))


class Dialer:
    """Reads its approvals as they come and reports on some: attempted, or not, which gives the place back."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._feed = Feed(bootstrap, prefix=prefix)
        self._reading = Reading(bootstrap, [f"{prefix}approvals.dialer"], from_beginning=True)

    def run(self, load: Load, over: threading.Event) -> None:
        """Until told that it is over."""
        choice = random.Random(13)
        with self._feed as feed:
            while not over.is_set():
                for record in self._reading.poll(100):
                    if choice.random() < 0.06 and b'"contact.approved"' in record.value:
                        request_id = _decode(record.value)["request_id"]
                        subject = load.sent[request_id].subject
                        value = _encode(
                            {
                                "type": "contact.outcome", "event_id": f"o-{request_id}", "request_id": request_id,
                                "subject_id": subject, "time": _now(),
                                "outcome": choice.choice(("answered", "not_attempted")),
                            }
                        )  # fmt: skip
                        feed.send(Routed(OUTCOME, subject.encode(), value))
            feed.flush()
        self._reading.close()


def faults(fleet: Fleet) -> collections.Counter[str]:
    """Kill and freeze workers that are deciding, at random moments; how many of each."""
    moments = random.Random(11)
    plan = ["kill"] * KILLS
    for index in range(FREEZES):
        plan.insert((index + 1) * len(plan) // (FREEZES + 1), "freeze")
    done: collections.Counter[str] = collections.Counter()
    for fault in plan:
        time.sleep(moments.uniform(0.5, 3.0))
        wait_until(lambda: any(worker.running() for worker in fleet.values()), lambda: f"a worker decides: {fleet}")
        name = moments.choice([name for name, worker in fleet.items() if worker.running()] or sorted(fleet))
        (other,) = (worker for each, worker in fleet.items() if each != name)
        if fault == "kill":
            fleet[name].kill()
            if done["kill"] % 4 == 3:
                shutil.rmtree(fleet[name].state)
                done["wiped"] += 1
            if done["kill"] % 3 == 0:
                _taken_over(other)
            fleet.start(name)
        else:
            fleet[name].signal(signal.SIGSTOP)
            _taken_over(other)
            fleet[name].signal(signal.SIGCONT)
        done[fault] += 1
    return done


def _taken_over(other: WorkerProcess) -> None:
    """The session of the one that is gone ran out, and the other decides every partition."""
    wait_until(lambda: other.running() == set(range(PARTITIONS)), lambda: f"the other one takes over: {other}")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_and_frozen_workers_lose_repeat_and_wrongly_decide_nothing(
    kafka: Bootstrap, topic_prefix: str, wire: Wire, tmp_path: Path
) -> None:
    """10 SIGKILLs, 2 zombies, wiped stores, 100,000 requests: a right decision each, chains and states as replayed."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(topic_prefix, partitions=PARTITIONS, requesters=("dialer",))))
    event = {
        "type": "policy.activated", "event_id": "p", "time": _now(), "policy": load_policy(POLICY).hash,
        "document": POLICY,
    }  # fmt: skip
    faults_over, load_over = threading.Event(), threading.Event()
    with (
        Feed(kafka.address, prefix=topic_prefix) as feed,
        Fleet(tmp_path, ("w1", "w2"), "--bootstrap", kafka.address, "--prefix", topic_prefix) as fleet,
        ThreadPoolExecutor(2) as clients,
    ):
        load, dialer = Load(feed), Dialer(kafka.address, topic_prefix)
        feed.send_now(*route(_encode(event)))
        load.consents()
        fleet.start()
        wait_until(lambda: all(worker.running() for worker in fleet.values()), lambda: f"both decide: {fleet}")
        try:
            running = [clients.submit(load.run, faults_over), clients.submit(dialer.run, load, load_over)]
            done = faults(fleet)
            faults_over.set()
            running[0].result(600)
        finally:
            faults_over.set()
            load_over.set()
        running[1].result(60)
        load.last()
        wait_until(
            lambda: wire.read_by(topic_prefix + "contactgate", topic_prefix + "contact-requests"),
            lambda: f"all requests are decided: {fleet}",
            900,
        )
        fleet.stop()
    read = functools.cache(lambda name: wire.consume(topic_prefix + name))
    # A run in which no fault hit an open transaction would prove nothing.
    raw = wire.consume(topic_prefix + "approvals.dialer", committed=False)
    aborted = len(raw) - len(read("approvals.dialer"))
    assert aborted > 0
    assert (done["kill"], done["freeze"], done["wiped"]) == (KILLS, FREEZES, 2)
    assert read("dead-letters") == []
    facts = Facts(read("consent-events"), read("contact-outcomes"))
    passed = _check_decisions(load, facts, read("contact-decisions"))
    _check_approvals(facts, passed, read("approvals.dialer"))
    assert same_as_replay(read, topic_prefix, PARTITIONS, ("dialer",)) >= SUBJECTS * 9 // 10


class Facts:
    """Offsets of what the inputs say of each subject and approval; of each kind the first."""

    def __init__(self, consents: list[Record], outcomes: list[Record]) -> None:
        self.granted: dict[str, int] = {}
        self.opted_out: dict[str, int] = {}
        self.outcome: dict[str, tuple[int, str]] = {}
        for record in consents:
            message = _decode(record.value or b"")
            known = self.granted if message["type"] == "consent.granted" else self.opted_out
            known.setdefault(message["subject_id"], record.offset)
        for record in outcomes:
            message = _decode(record.value or b"")
            self.outcome[message["request_id"]] = (record.offset, message["outcome"])

    def freed(self, request_id: str, read: int) -> bool:
        """Whether an outcome below this position gave the place back."""
        offset, outcome = self.outcome.get(request_id, (read, ""))
        return outcome == "not_attempted" and offset < read


def _check_decisions(load: Load, facts: Facts, decisions: list[Record]) -> dict[str, str]:
    """One decision a request, as the inputs at its recorded positions demand and as its sender may expect.

    Returns the subject of every request that passed.
    """
    times: collections.Counter[str] = collections.Counter()
    passed: dict[str, list[str]] = collections.defaultdict(list)
    wrong, late, needless = [], [], []
    seen: collections.Counter[str] = collections.Counter()
    for record in decisions:
        decision = _decode(record.value or b"")
        request_id, subject, position = decision["request_id"], decision["subject_id"], decision["position"]
        times[request_id] += 1
        sent = load.sent[request_id]
        assert subject == sent.subject
        rules = {reason["rule"] for reason in decision["reasons"]}
        if facts.opted_out.get(subject, position["consent"]) < position["consent"]:
            expected = {"consent.withdrawn"} | (rules & {"cap.few"})  # recalls gave places back
        else:
            expected = set()
            if facts.granted.get(subject, position["consent"]) >= position["consent"]:
                expected.add("consent.missing")
            if sum(not facts.freed(each, position["outcome"]) for each in passed[subject]) >= LIMIT:
                expected.add("cap.few")
        seen.update(rules)
        if rules != expected or (decision["verdict"] == "pass") != (not expected):
            wrong.append((request_id, rules, expected))
        if decision["verdict"] == "pass":
            passed[subject].append(request_id)
            late += [request_id] * sent.opted_out
        elif sent.granted and sent.earlier < LIMIT and subject not in facts.opted_out:
            needless.append(request_id)
    assert [each for each, count in times.items() if count > 1] == []
    assert set(times) == set(load.sent)
    assert wrong == []
    assert late == []
    assert needless == []
    # The run put all of it to the test.
    assert min(seen["consent.withdrawn"], seen["consent.missing"], seen["cap.few"]) > 500
    assert max(len(each) for each in passed.values()) > LIMIT  # only a place that was given back makes this possible
    assert sum(sent.opted_out for sent in load.sent.values()) > 500
    assert sum(sent.granted and sent.earlier < LIMIT for sent in load.sent.values()) > TOTAL // 4
    return {request_id: subject for subject, requests in passed.items() for request_id in requests}


def _check_approvals(facts: Facts, passed: dict[str, str], approvals: list[Record]) -> None:
    """One approval a pass; an opt-out recalls what it finds open, once, and nothing else is recalled.

    The dialer is told of everybody who opted out after it had an approval.
    """
    told: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for record in approvals:
        assert b"mail.example" not in (record.value or b"")
        message = _decode(record.value or b"")
        told[message["type"]][message.get("request_id") or message["subject_token"]] += 1
    assert told["contact.approved"] == dict.fromkeys(passed, 1)
    recalled = told["contact.recalled"]
    assert set(recalled.values()) == {1}
    open_till_then = {each for each, subject in passed.items() if subject in facts.opted_out} - set(facts.outcome)
    assert open_till_then <= set(recalled)
    assert all(passed[each] in facts.opted_out for each in recalled)
    assert len(open_till_then) > 500
    assert len(told["permission.withdrawn"]) >= len({passed[each] for each in open_till_then})

"""One contender's turn: people and consents, a backlog at full speed, two steady rates, a cold start; then its figures.

Every turn has topics and a state directory of its own, and writes the same input to them. Nothing of a contender is
left running when a turn ends, however it ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench import contenders, feeding, observe
from bench.contenders import Contender, Place
from bench.job import POLICY, REQUESTERS, Job, Message
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read
from contactgate.registry import build
from contactgate.topics import Layout, TopicAdmin, topic_specs

_DONE_S = 90.0  # without a single decision: it will not come any more
_MIDDLE, _ALL = (0.3, 0.9), (0.0, 1.0)  # of a backlog: the stretch that is measured
_HEADROOM = 1.15  # a rate is tried only when the backlog was decided so much faster
_SETTLE_S = 2.0  # of a steady rate, not counted


Verdicts = dict[tuple[str, int], tuple[str, tuple[str, ...]]]
"""By request and how many times it was decided before: the verdict and the rules that failed."""


class Plan(NamedTuple):
    """Sizes of a turn."""

    job: Job
    partitions: int
    rates: tuple[tuple[str, float], ...]  # phase, requests a second


class Turn:
    """One contender's turn. `figures`, `verdicts` and `took_s` (seconds of each part) are whole when `run` returns."""

    def __init__(self, contender: Contender, plan: Plan, place: Place, log: Path) -> None:
        self.figures: dict[str, float] = {}
        self.verdicts: Verdicts = {}
        self.took_s: dict[str, float] = {}
        self._contender = contender
        self._plan = plan
        self._place = place
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._sent: dict[tuple[str, int], int] = {}

    def run(self) -> None:
        """Everything in order. Raises RuntimeError with the end of the contender's log when it dies or stalls."""
        place, job = self._place, self._plan.job
        with self._timed("prepare"):
            create_topics(place)
            if self._contender.kind == "contactgate":
                feeding.preload(place.bootstrap, place.prefix, world(job, place))
            feeding.preload(place.bootstrap, place.prefix, job.consents())
            reader = observe.Reader(place.bootstrap, place.prefix + "contact-decisions")
        try:
            with self._timed("learn"):
                self._learn()
            with self._timed("backlog"):
                known = self._saturate(reader)
            for phase, rate in self._plan.rates:
                with self._timed(phase):
                    known = self._steady(reader, phase, rate, known)
            assert self._process is not None
            self.figures["memory_mb"] = observe.peak_bytes(self._process.pid) / 1e6
            self._end()
            if self._contender.decides and self._contender.restores:
                with self._timed("cold"):
                    self._weigh()
                    self._cold(reader, known)
            with self._timed("conclude"):
                self._conclude(reader.stop())
        finally:
            reader.end()
            self._end()
            shutil.rmtree(place.state, ignore_errors=True)
            feeding.remove(place.bootstrap, place.prefix)  # so that the next one's broker is as this one's was

    @contextlib.contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.took_s[part] = round(time.monotonic() - began, 1)

    # --- processes ------------------------------------------------------------------------------------------------

    def _start(self) -> int:
        began_ns = time.time_ns()
        self._process = self._contender.start(self._place, self._log)
        return began_ns

    def _end(self) -> None:
        if self._process is not None:
            contenders.stop(self._process)
            self._process = None

    def _check(self) -> None:
        if self._process is not None and (code := self._process.poll()) is not None:
            raise RuntimeError(self._told(f"ended with status {code}"))

    def _told(self, words: str) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        return "\n".join([f"{self._contender.name} {words}; its log ends:", *lines])

    def _wait(self, reader: observe.Reader, count: int) -> None:
        if not reader.wait(count, _DONE_S, self._check):
            raise RuntimeError(self._told(f"made {reader.count:,} of {count:,} decisions and no more"))

    # --- parts of a turn ------------------------------------------------------------------------------------------

    def _learn(self) -> None:
        """Everybody's consents, before the first request; then stop, so that what comes next is a warm start."""
        self._start()
        group = self._place.prefix + self._contender.group
        topic = self._place.prefix + "consent-events"
        least, since = 1 << 62, time.monotonic()
        while (lag := feeding.lag(self._place.bootstrap, group, topic)) != 0:
            self._check()
            if lag < least:
                least, since = lag, time.monotonic()
            if time.monotonic() - since > _DONE_S:
                raise RuntimeError(self._told(f"has not read {lag} consents and reads no more"))
            time.sleep(0.2)
        if not self._contender.restores:
            time.sleep(3)  # until what was read is in a snapshot
        self._end()

    def _saturate(self, reader: observe.Reader) -> int:
        """A backlog: CPU and time of its middle, when caches and compilers are warm."""
        place, job = self._place, self._plan.job
        phase = job.phase("backlog")
        limit = max(500, int(phase.requests * self._contender.share))
        count = feeding.preload(place.bootstrap, place.prefix, job.requests("backlog", limit))
        started_ns = self._start()
        assert self._process is not None
        pid = self._process.pid
        # A floor runs further and further ahead of the reader: all of it is what can be compared with its CPU.
        window = _MIDDLE if self._contender.decides else _ALL
        self.figures |= stretch(
            count,
            lambda so_far: self._wait(reader, so_far),
            lambda: reader.count,
            lambda: observe.cpu_s(pid),
            window=window,
        )
        self.figures["warm_started_ns"] = started_ns
        return count

    def _steady(self, reader: observe.Reader, phase: str, rate: float, known: int) -> int:
        """A fixed rate; nothing when the contender cannot keep up with it."""
        if self.figures["decisions_per_s"] < rate * _HEADROOM:
            return known
        assert self._process is not None
        cpu = observe.cpu_s(self._process.pid)
        sent = feeding.pace(self._place.bootstrap, self._place.prefix, self._plan.job, phase, rate)
        self._wait(reader, known + len(sent))
        self.figures[f"{phase}_cpu_us"] = (observe.cpu_s(self._process.pid) - cpu) / len(sent) * 1e6
        times: dict[str, int] = defaultdict(int)
        settled_ns = sent[0][1] + int(_SETTLE_S * 1e9)
        for request_id, sent_ns in sent:
            if sent_ns >= settled_ns:
                self._sent[request_id, times[request_id]] = sent_ns
            times[request_id] += 1
        return known + len(sent)

    def _weigh(self) -> None:
        job = self._plan.job
        self.figures["state_bytes"] = observe.state_bytes(self._place.state) / job.subjects

    def _cold(self, reader: observe.Reader, known: int) -> None:
        """Without its local state, from starting the process until every partition has decided."""
        shutil.rmtree(self._place.state, ignore_errors=True)
        count = feeding.preload(self._place.bootstrap, self._place.prefix, self._plan.job.requests("cold"))
        self.figures["cold_started_ns"] = self._start()
        self._wait(reader, known + count)
        self._end()

    # --- figures --------------------------------------------------------------------------------------------------

    def _conclude(self, seen: list[observe.Seen]) -> None:
        times: dict[str, int] = defaultdict(int)
        took: dict[str, list[float]] = defaultdict(list)
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for decision in seen:
            request_id = decision.request_id
            place = (request_id, times[request_id])
            times[request_id] += 1
            if self._contender.decides:
                self.verdicts[place] = (decision.verdict, decision.reasons)
            phase = request_id.partition("-")[0]
            first.setdefault(phase, decision.seen_ns)
            last[phase] = decision.seen_ns
            if (sent_ns := self._sent.get(place)) is not None:
                took[phase].append((decision.seen_ns - sent_ns) / 1e6)
        for phase, each in took.items():
            each.sort()
            for name, part in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
                self.figures[f"{phase}_{name}_ms"] = each[min(len(each) - 1, int(len(each) * part))]
        self.figures["warm_start_s"] = (first["backlog"] - self.figures.pop("warm_started_ns")) / 1e9
        if "cold" in last:
            self.figures["cold_start_s"] = (last["cold"] - self.figures.pop("cold_started_ns")) / 1e9


def stretch(
    count: int,
    wait: Callable[[int], None],
    decided: Callable[[], int],
    cpu_s: Callable[[], float],
    *,
    known: int = 0,
    window: tuple[float, float] = _MIDDLE,
) -> dict[str, float]:
    """CPU and speed between two instants in the middle of a backlog of `count`.

    At both of them about as much is decided and not yet committed. Up to the end it would be decided for nothing: what
    was on its way at the first instant has been paid for before.
    """
    wait(known + max(1, int(count * window[0])))
    first, cpu, began = decided(), cpu_s(), time.perf_counter()
    wait(known + int(count * window[1]))
    last, spent, took = decided(), cpu_s() - cpu, time.perf_counter() - began
    wait(known + count)
    number = max(last - first, 1)  # a tiny backlog may be committed at once
    return {"decisions_per_s": number / took, "cpu_us": spent / number * 1e6}


def create_topics(place: Place) -> None:
    """Contactgate's topics, for every contender alike; times are the messages' own."""
    with TopicAdmin(place.bootstrap) as admin:
        layout = Layout(prefix=place.prefix, partitions=place.partitions, requesters=REQUESTERS, event_time=True)
        admin.create(topic_specs(layout))


def world(job: Job, place: Place) -> list[Message]:
    """Contactgate's policy and registry as control events; the peers have theirs in their code and arguments."""
    document: Any = read(POLICY, "the policy is wrong")
    source = {"uri": (place.registry / "numbers.snapshot").resolve().as_uri(), "format": "snapshot"}
    return list(job.world(load_policy(POLICY).hash, document, source))


def differences(reference: Verdicts, other: Verdicts) -> list[str]:
    """Where two contenders' verdicts differ, over every request that both were given; one line each."""
    found = []
    for place in sorted(reference.keys() & other.keys()):
        if reference[place] != other[place]:
            (verdict, reasons), (its_verdict, its_reasons) = reference[place], other[place]
            name = place[0] + (" (again)" if place[1] else "")
            found.append(f"{name}: {verdict} {', '.join(reasons)} | {its_verdict} {', '.join(its_reasons)}")
    for request_id, number in sorted(reference.keys() ^ other.keys()):
        # What only one of them was given is no difference; an answer more or less to what both were given is.
        if (request_id, 0) in reference and (request_id, 0) in other:
            found.append(f"{request_id}: decided {number + 1} times by one of them")
    return found


def decided_again(reference: Verdicts, other: Verdicts) -> set[tuple[str, int]]:
    """Decisions of `other` beyond the reference's number of them: what a contender that is at least once may make."""
    return {place for place in other.keys() - reference.keys() if (place[0], 0) in reference}


def registry(job: Job, count: int, directory: Path) -> Path:
    """The registry's files, made once for a seed and a size: a list of numbers, and contactgate's snapshot of it."""
    key = msgspec.json.encode([job.seed, count, [tuple(phase) for phase in job.phases]])
    home = directory / f"registry-{hashlib.sha256(key).hexdigest()[:16]}"
    if not (home / "numbers.snapshot").exists():
        home.mkdir(parents=True, exist_ok=True)
        lines = job.listed(count)
        (home / "numbers.txt").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        build(lines, contenders.tokens(), home / "numbers.snapshot", registry="us-ndnc", version="bench")
    return home

"""`make bench-scaling`: what a decision costs with more workers, more people, more partitions; how long restarts take.

`python -m bench.scaling [--quick] [--huge] [--docs]`. The state of many people is not decided into being, which would
take hours: a worker decides about a few, and their states are written to the changelog under many names, which a worker
then restores as it would restore its own. CPU is what is compared: it says the same on a busy machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench import bout, contenders, feeding, observe, report
from bench.contenders import Place
from bench.job import DAY_MS, EPOCH_MS, PHASE_DAYS, Job, Phase, subject
from contactgate import broker
from contactgate.partition.fold import META_KEY, Meta, encode_meta

ROOT = Path(__file__).resolve().parent.parent
_MODELS = 2_000  # people whose states are copied
_DECIDED_MS = EPOCH_MS + PHASE_DAYS * DAY_MS  # when they were last decided about
_PROBES = 20  # requests a partition that tell when it decides
_LEAST = 3_000  # requests a partition of a backlog
_STANDS_S = 300.0
_TOLD_S = 0.5  # of restoring: less is lost in what a start takes anyway
_OURS = contenders.everyone()[0]

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("people", "people", "{:,.0f}"),
    ("partitions", "partitions", "{:,.0f}"),
    ("workers", "workers", "{:,.0f}"),
    ("cpu_us", "CPU a decision, µs", "{:,.0f}"),
    ("decisions_per_s", "decisions/s", "{:,.0f}"),
    ("cold_s", "cold start, s", "{:,.1f}"),
    ("restored_per_s", "people restored/s", "{:,.0f}"),
    ("restore_cpu_us", "CPU a person restored, µs", "{:,.1f}"),
    ("warm_s", "warm start, s", "{:,.1f}"),
    ("memory_mb", "peak memory, MB", "{:,.0f}"),
    ("state_bytes", "state a subject, bytes", "{:,.0f}"),
)


class Case(NamedTuple):
    """One measurement."""

    people: int
    partitions: int
    workers: int
    backlog: int


def cases(quick: bool, huge: bool, scale: float = 1.0) -> list[Case]:
    """People first, the least as what a start costs by itself; then partitions, then workers."""
    backlog = int((16_000 if quick else 60_000) * scale)
    people = [4_000, 40_000] if quick else [10_000, 100_000, 1_000_000]
    if huge:
        people.append(10_000_000)
    middle = people[1]
    found = [Case(each, 8, 1, backlog) for each in people]
    found += [Case(middle, each, 1, backlog) for each in ((4, 16) if quick else (4, 16, 64))]
    found.append(Case(middle, 8, 2, backlog))
    # A transaction carries up to 1,000 requests of a partition: the stretch that is measured holds several of each.
    return [case._replace(backlog=max(case.backlog, int(_LEAST * case.partitions * scale))) for case in found]


class Measurement:
    """One case on topics and directories of its own."""

    def __init__(self, case: Case, bootstrap: str, directory: Path, listed: Path, models: list[bytes]) -> None:
        self._case = case
        name = f"n{case.people}-{case.partitions}-{case.workers}"
        self._place = Place(bootstrap, f"{name}.", directory / name, listed, case.partitions, "")
        self._log = directory / f"{name}.log"
        self._models = models
        self._job = _job(case)
        self._running: list[subprocess.Popen[bytes]] = []

    def run(self) -> dict[str, float]:
        """Fill, cold start, backlog on a warm start; the figures."""
        case, place = self._case, self._place
        figures: dict[str, float] = {**case._asdict()}
        bout.create_topics(place)
        feeding.preload(place.bootstrap, place.prefix, bout.world(self._job, place))
        fill(place, self._job.phase("grown"), self._models)
        reader = observe.Reader(place.bootstrap, place.prefix + "contact-decisions")
        try:
            figures["cold_s"] = self._until_all_decide(reader, "cold")
            figures["cold_cpu_s"] = self._cpu_s()
            self._stop()
            figures["warm_s"] = self._until_all_decide(reader, "warm")
            figures |= self._backlog(reader)
            figures["memory_mb"] = sum(observe.peak_bytes(each.pid) for each in self._running) / 1e6
            self._stop()
            if case.workers == 1:  # several keep standby copies of each other's
                figures["state_bytes"] = observe.state_bytes(place.state) / case.people
        finally:
            reader.end()
            self._stop()
            shutil.rmtree(place.state, ignore_errors=True)
            feeding.remove(place.bootstrap, place.prefix)
        return figures

    def _until_all_decide(self, reader: observe.Reader, phase: str) -> float:
        wanted = reader.count + self._send(phase)
        began = time.perf_counter()
        self._start()
        self._wait(reader, wanted)
        return time.perf_counter() - began

    def _backlog(self, reader: observe.Reader) -> dict[str, float]:
        """As in a bout. The workers are stopped while it is written."""
        self._stop()
        known = reader.count
        count = self._send("grown")
        self._start()
        return bout.stretch(
            count, lambda so_far: self._wait(reader, so_far), lambda: reader.count, self._cpu_s, known=known
        )

    def _start(self) -> None:
        for number in range(self._case.workers):
            home = self._place._replace(state=self._place.state / str(number))
            self._running.append(_OURS.start(home, self._log))

    def _send(self, phase: str) -> int:
        return feeding.preload(self._place.bootstrap, self._place.prefix, self._job.requests(phase))

    def _cpu_s(self) -> float:
        return sum(observe.cpu_s(each.pid) for each in self._running)

    def _wait(self, reader: observe.Reader, count: int) -> None:
        if not reader.wait(count, _STANDS_S + self._case.people / 10_000, self._check):
            raise RuntimeError(f"{reader.count:,} of {count:,} decisions came and no more; {self._tail()}")

    def _check(self) -> None:
        for each in self._running:
            if (code := each.poll()) is not None:
                raise RuntimeError(f"a worker ended with status {code}; {self._tail()}")

    def _tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        return "\n".join(["its log ends:", *lines])

    def _stop(self) -> None:
        for each in self._running:
            contenders.stop(each)
        self._running = []


def _job(case: Case) -> Job:
    probes = _PROBES * case.partitions
    return Job(2, (
        Phase("grown", 3, case.backlog, case.people),
        Phase("cold", 1, probes, probes),
        Phase("warm", 2, probes, probes),
    ))  # fmt: skip


def models(bootstrap: str, directory: Path, listed: Path) -> list[bytes]:
    """States of people whom a worker has known for ten days."""
    place = Place(bootstrap, "models.", directory / "models", listed, 1, "")
    job = Job(2, (Phase("model", 0, 4 * _MODELS, _MODELS),))
    bout.create_topics(place)
    feeding.preload(bootstrap, place.prefix, bout.world(job, place))
    feeding.preload(bootstrap, place.prefix, job.consents())
    log = directory / "models.log"
    process = _OURS.start(place, log)
    reader = observe.Reader(bootstrap, place.prefix + "contact-decisions")
    try:
        deadline = time.monotonic() + _STANDS_S
        while feeding.lag(bootstrap, place.prefix + _OURS.group, place.prefix + "consent-events"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker that makes the models failed; its log is {log}")
            time.sleep(0.2)
        count = feeding.preload(bootstrap, place.prefix, job.requests("model"))
        if not reader.wait(count, _STANDS_S, lambda: None):
            raise RuntimeError(f"the worker that makes the models has stalled; its log is {log}")
    finally:
        reader.end()
        contenders.stop(process)
    names = {subject(job.phases[0], number).encode() for number in range(_MODELS)}
    found = feeding.newest(bootstrap, place.prefix + "subjects-changelog")
    return [value for key, value in sorted(found.items()) if key in names]


def fill(place: Place, phase: Phase, states: list[bytes]) -> None:
    """The changelog of `phase.subjects` people, and what a partition stood at: nothing read, nothing decided."""
    meta = encode_meta(Meta(now_ms=_DECIDED_MS))
    pairs = ((subject(phase, number).encode(), states[number % len(states)]) for number in range(phase.subjects))
    metas = [(partition, META_KEY, meta) for partition in range(place.partitions)]
    feeding.fill(place.bootstrap, place.prefix + "subjects-changelog", pairs, metas, EPOCH_MS)


def table(found: list[dict[str, float]]) -> str:
    """The Markdown table."""
    rows = ["| " + " | ".join(words for _, words, _ in COLUMNS) + " |", "|" + "---:|" * len(COLUMNS)]
    for figures in found:
        cells = [form.format(figures[name]) if name in figures else "–" for name, _, form in COLUMNS]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--scale", type=float, default=1.0, help="of the backlog; under 1 only shows that it works")
    parser.add_argument("--huge", action="store_true", help="10 million people as well: 10 GB of disk, ten minutes")
    parser.add_argument(
        "--people", help="only these, comma separated, with 8 partitions and a worker; the least comes first"
    )
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--out", type=Path, help="result file; default: bench/results/scaling-<time>.json")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is stopped in order
    directory = Path(tempfile.mkdtemp(prefix="contactgate-scaling-"))
    out = given.out or ROOT / "bench" / "results" / time.strftime("scaling-%Y%m%dT%H%M%SZ.json", time.gmtime())
    out.parent.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, float]] = []
    failures: list[dict[str, Any]] = []
    load_before = os.getloadavg()
    try:
        listed = bout.registry(Job(2, (Phase("grown", 3, 1, 1_000),)), 100_000, ROOT / ".cache" / "bench")
        with broker.DevKafka(directory / "kafka", heap_mb=1024) as kafka:
            states = models(kafka.bootstrap, directory, listed)
            chosen = cases(given.quick, given.huge, given.scale)
            if given.people:
                chosen = [chosen[0], *(chosen[0]._replace(people=int(each)) for each in given.people.split(","))]
            for case in chosen:
                began = time.monotonic()
                try:
                    figures = Measurement(case, kafka.bootstrap, directory, listed, states).run()
                except Exception as error:  # noqa: BLE001 - the others' figures must not end with one case's fault
                    print(f"{case}: no result: {error}", file=sys.stderr, flush=True)
                    failures.append({**case._asdict(), "error": str(error)})
                else:
                    found.append(figures | _restoring(figures, found))
                    told = {name: round(value, 1) for name, value in found[-1].items()}
                    print(told, f"({time.monotonic() - began:.0f} s)", flush=True)
                result = {"quick": given.quick, "load_before": load_before, "measured": found, "failures": failures}
                out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    text = table(found)
    print(f"\n{text}\n\nwritten: {out}")
    if given.docs and found:
        page = ROOT / "docs" / "performance.md"
        page.write_text(report.rewrite(page.read_text(encoding="utf-8"), text, "scaling"), encoding="utf-8")
    return 1 if failures else 0


def _restoring(figures: dict[str, float], before: list[dict[str, float]]) -> dict[str, float]:
    """What restoring took beyond what a start costs by itself: the first case's, of as many partitions and workers."""
    if not before or any(figures[name] != before[0][name] for name in ("partitions", "workers")):
        return {}
    restoring_s = figures["cold_s"] - before[0]["cold_s"]
    if restoring_s <= _TOLD_S:
        return {}
    spent_s = figures["cold_cpu_s"] - before[0]["cold_cpu_s"]
    people = figures["people"] - before[0]["people"]
    return {"restored_per_s": people / restoring_s, "restore_cpu_us": spent_s / people * 1e6}


if __name__ == "__main__":
    sys.exit(main())

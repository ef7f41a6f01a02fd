"""`make bench`: every contender in turn on one broker, repeated; verdicts compared; results, plot and table written.

`python -m bench.run [--quick] [--repeat N] [--only NAME,NAME]`. A turn that fails costs its own figures and no others;
results are written after every turn. Ends with status 1 when a turn failed or two contenders decided differently. Must
never leave a process behind.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench import bout, contenders, report
from bench.job import Job, Phase
from contactgate import broker

ROOT = Path(__file__).resolve().parent.parent
_SHOWN = 10
_KEPT = 1_000  # differences in the result file


def plan(quick: bool, partitions: int, seed: int, scale: float = 1.0) -> bout.Plan:
    """Sizes: a quick run ends in about five minutes, a full one in less than thirty for a repeat of three."""
    seconds = 6 if quick else 12
    full = {"backlog": 24_000 if quick else 90_000, "rate1": 1_000 * seconds, "rate5": 5_000 * (seconds - 2)}
    requests = {name: int(count * scale) for name, count in full.items()}
    phases = [Phase(name, number, count, max(100, count // 6)) for number, (name, count) in enumerate(requests.items())]
    phases.append(Phase("cold", len(phases), 50 * partitions, 50 * partitions))
    return bout.Plan(Job(seed, tuple(phases)), partitions, (("rate1", 1_000.0), ("rate5", 5_000.0)))


def main() -> int:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, one repeat, a registry of 100,000")
    parser.add_argument("--repeat", type=int, help="turns of each contender (3; quick: 1)")
    parser.add_argument("--minutes", type=float, default=0.0, help="no turn begins later than this; default: all begin")
    parser.add_argument("--only", default="", help="names of contenders, comma separated; the first is the reference")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes; under 1 only shows that it works")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peers-python", default=str(ROOT / ".venv-bench" / "peers" / "bin" / "python"))
    parser.add_argument("--out", type=Path, help="result file; default: bench/results/<time>.json")
    parser.add_argument("--docs", action="store_true", help="put the result into docs/performance.md and docs/bench/")
    parser.add_argument("--keep-logs", type=Path, help="directory for the contenders' logs; default: a temporary one")
    given = parser.parse_args()
    repeat = given.repeat or (1 if given.quick else 3)
    names = [name for name in given.only.split(",") if name]
    chosen = [each for each in contenders.everyone() if not names or each.name in names]
    if unknown := set(names) - {each.name for each in chosen}:
        parser.error(f"no such contender: {', '.join(sorted(unknown))}")
    the_plan = plan(given.quick, given.partitions, given.seed, given.scale)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is stopped in order
    directory = Path(tempfile.mkdtemp(prefix="contactgate-bench-"))
    logs = given.keep_logs or directory
    logs.mkdir(parents=True, exist_ok=True)
    out = given.out or ROOT / "bench" / "results" / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    out.parent.mkdir(parents=True, exist_ok=True)
    count = 100_000 if given.quick else 1_000_000
    result: dict[str, Any] = {
        "quick": given.quick,
        "machine": _machine(),
        "load_before": os.getloadavg(),
        "commit": _commit(),
        "partitions": given.partitions,
        "registry": count,
        "phases": [phase._asdict() for phase in the_plan.job.phases],
    }
    began = time.monotonic()
    course = Course(the_plan, chosen, logs)
    try:
        listed = bout.registry(the_plan.job, count, ROOT / ".cache" / "bench")
        with broker.DevKafka(directory / "kafka", heap_mb=1024) as kafka:
            place = contenders.Place(kafka.bootstrap, "", directory, listed, given.partitions, given.peers_python)
            for _ in course.run(place, repeat):
                _write(out, result, course)
                if given.minutes and time.monotonic() - began > 60 * given.minutes:
                    break
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if not course.turns:
        return 1
    result = _write(out, result, course)
    print(f"\n{report.section(result)}\n\n{(time.monotonic() - began) / 60:.1f} minutes; written: {out}")
    if given.docs and not course.differences:
        report.put(out)
    return 1 if course.failures or course.differences else 0


class Course:
    """Every contender's turn, repeated: figures, and the verdicts of each against those that were met before."""

    def __init__(self, plan: bout.Plan, chosen: list[contenders.Contender], logs: Path) -> None:
        self.turns: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        self.differences: list[str] = []
        self.compared = 0
        self._plan = plan
        self._chosen = chosen
        self._logs = logs
        self._known: bout.Verdicts = {}

    def run(self, place: contenders.Place, repeat: int) -> Iterator[None]:
        """Turn after turn; `place` is where: each has a prefix and a directory of its own there."""
        for number in range(repeat):
            first = number % len(self._chosen)  # nobody is always first, when the machine is cool and the broker young
            for contender in (*self._chosen[first:], *self._chosen[:first]):
                name = f"{number}-{contender.name}"
                self._turn(contender, number, place._replace(prefix=f"b{name}.", state=place.state / f"state-{name}"))
                yield

    def _turn(self, contender: contenders.Contender, number: int, place: contenders.Place) -> None:
        began, load = time.monotonic(), os.getloadavg()[0]
        turn = bout.Turn(contender, self._plan, place, self._logs / f"{contender.name}.log")
        told = {"contender": contender.name, "repeat": number, "load": load}
        try:
            turn.run()
        except Exception as error:  # noqa: BLE001 - an hour's figures must not end with one contender's fault
            print(f"{contender.name}: no result: {error}", file=sys.stderr, flush=True)
            self.failures.append({**told, "error": str(error)})
            return
        if self._known and not contender.exact:
            again = bout.decided_again(self._known, turn.verdicts)
            turn.figures["decided_again"] = len(again)
            for place in again:
                del turn.verdicts[place]
        self.turns.append({**told, "figures": turn.figures, "took_s": turn.took_s})
        print(report.line(contender, turn.figures, time.monotonic() - began), flush=True)
        if not contender.decides:
            return
        if self._known:
            self.compared += len(turn.verdicts)
        if different := bout.differences(self._known, turn.verdicts):
            print(f"{len(different):,} verdicts of {contender.name} differ from those before:", file=sys.stderr)
            print("\n".join(f"  {each}" for each in different[:_SHOWN]), file=sys.stderr, flush=True)
            self.differences += [f"{contender.name}: {each}" for each in different]
        self._known = turn.verdicts | self._known  # what one was not given is compared among the others


def _write(out: Path, result: dict[str, Any], course: Course) -> dict[str, Any]:
    """What is known so far."""
    result = {
        **result,
        "verdicts_compared": course.compared,
        "differences": course.differences[:_KEPT],
        "failures": course.failures,
        "turns": course.turns,
        "summary": report.summary(course.turns),
    }
    out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return result


def _machine() -> dict[str, Any]:
    model = ""
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {"cpus": os.cpu_count(), "model": model, "python": platform.python_version(), "kafka": broker.KAFKA_VERSION}


def _commit() -> str:
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return said.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

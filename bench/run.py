"""`make bench`: every contender in turn on one broker, repeated; verdicts compared; results, plot and table written.

`python -m bench.run [--quick] [--repeat N] [--only NAME,NAME]`. Ends with status 1 when two contenders decide
differently. Must never leave a process behind.
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
from pathlib import Path
from typing import Any

import msgspec

from bench import bout, contenders, report
from bench.job import Job, Phase
from contactgate import broker

ROOT = Path(__file__).resolve().parent.parent
_SHOWN = 10


def plan(quick: bool, partitions: int, seed: int, scale: float = 1.0) -> bout.Plan:
    """Sizes: a quick run ends in about five minutes, a full one in about thirty for a repeat of three."""
    seconds = 6 if quick else 15
    full = {"backlog": 24_000 if quick else 150_000, "rate1": 1_000 * seconds, "rate5": 5_000 * (seconds - 1)}
    requests = {name: int(count * scale) for name, count in full.items()}
    phases = [Phase(name, number, count, max(100, count // 6)) for number, (name, count) in enumerate(requests.items())]
    phases.append(Phase("cold", len(phases), 50 * partitions, 50 * partitions))
    return bout.Plan(Job(seed, tuple(phases)), partitions, (("rate1", 1_000.0), ("rate5", 5_000.0)))


def main() -> int:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, one repeat, a registry of 100,000")
    parser.add_argument("--repeat", type=int, help="turns of each contender (3; quick: 1)")
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
    turns: list[dict[str, Any]] = []
    compared = 0
    try:
        listed = bout.registry(the_plan.job, 100_000 if given.quick else 1_000_000, ROOT / ".cache" / "bench")
        load_before = os.getloadavg()
        with broker.DevKafka(directory / "kafka", heap_mb=1024) as kafka:
            reference: tuple[str, Any] | None = None
            for number in range(repeat):
                first = number % len(chosen)  # nobody is always first, when the machine is cool and the broker young
                for contender in (*chosen[first:], *chosen[:first]):
                    began = time.monotonic()
                    place = contenders.Place(
                        kafka.bootstrap, f"b{number}-{contender.name}.", directory / f"state-{number}-{contender.name}",
                        listed, given.partitions, given.peers_python,
                    )  # fmt: skip
                    turn = bout.Turn(contender, the_plan, place, logs / f"{contender.name}.log")
                    turn.run()
                    turns.append(
                        {
                            "contender": contender.name,
                            "repeat": number,
                            "load": os.getloadavg()[0],
                            "figures": turn.figures,
                        }
                    )
                    print(report.line(contender, turn.figures, time.monotonic() - began), flush=True)
                    if not contender.decides:
                        continue
                    if reference is None:
                        reference = (contender.name, turn.verdicts)
                        continue
                    compared += len(turn.verdicts)
                    if different := bout.differences(reference[1], turn.verdicts):
                        print(f"{len(different):,} verdicts of {contender.name} differ from {reference[0]}'s:")
                        print("\n".join(f"  {each}" for each in different[:_SHOWN]))
                        return 1
                    reference[1].update(turn.verdicts)  # what the first was not given is compared among the others
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    result = {
        "quick": given.quick,
        "machine": _machine(),
        "load_before": load_before,
        "commit": _commit(),
        "partitions": given.partitions,
        "registry": 100_000 if given.quick else 1_000_000,
        "phases": [phase._asdict() for phase in the_plan.job.phases],
        "verdicts_compared": compared,
        "turns": turns,
        "summary": report.summary(turns),
    }
    out = given.out or ROOT / "bench" / "results" / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    print(f"\n{compared:,} verdicts compared, no difference\n")
    print(report.table(result))
    if given.docs:
        report.put(out)
    print(f"written: {out}")
    return 0


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

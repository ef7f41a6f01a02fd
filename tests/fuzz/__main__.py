"""Runs the fuzz targets under atheris, each in a process of its own; exit 1 when one was broken.

    python -m tests.fuzz --seconds 60            every target, 60 seconds each
    python -m tests.fuzz --seconds 60 state meta these alone
    python -m tests.fuzz --replay FILE state     one input, without atheris

What a target has learned stays in .fuzz/corpus/<target>, an input that broke it is left in .fuzz/broken/<target>.
Needs the extra `fuzz`. An input whose fault is repaired belongs in tests/fuzz/found/<target>; its name says why.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

HOME = Path(".fuzz")


def one(name: str, seconds: int) -> None:
    """Fuzz one target in this process; atheris ends it."""
    import atheris

    # What is not ours and has long branches of its own only slows a run down.
    with atheris.instrument_imports(include=["contactgate"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.seeds import seeds

    target = TARGETS[name]
    corpus, broken = HOME / "corpus" / name, HOME / "broken" / name
    for folder in (corpus, broken):
        folder.mkdir(parents=True, exist_ok=True)
    for raw in seeds(name):
        (corpus / sha256(raw).hexdigest()[:32]).write_bytes(raw)
    atheris.Setup(
        [
            sys.argv[0], f"-max_total_time={seconds}", f"-max_len={target.max_len}", f"-artifact_prefix={broken}/",
            "-timeout=10", "-rss_limit_mb=1500", "-verbosity=1", str(corpus),
        ],
        target.run,
    )  # fmt: skip
    atheris.Fuzz()


def every(names: list[str], seconds: int) -> int:
    """Fuzz the targets one after the other; the number that was broken."""
    bad = 0
    print(f"{'target':<20} {'executions':>12} {'a second':>9}  outcome")
    for name in names:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", "--one", "--seconds", str(seconds), name],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        said = done.stdout + done.stderr
        counts = [int(count) for count in re.findall(r"^#(\d+)\s", said, re.MULTILINE)]
        total = max(counts, default=0)
        broken = sorted(path for path in (HOME / "broken" / name).glob("*") if path.is_file())
        outcome = "whole" if done.returncode == 0 else f"BROKEN ({len(broken)} inputs in {HOME / 'broken' / name})"
        print(f"{name:<20} {total:>12,} {total // max(1, seconds):>9,}  {outcome}", flush=True)
        if done.returncode:
            bad += 1
            told = [line for line in said.splitlines() if not line.startswith(("#", "INFO", "WARNING"))]
            print("\n".join(f"    {line}" for line in told[:40]), flush=True)
    return bad


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fuzz every decoder, guided by coverage.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--replay", type=Path, help="run one input through the named target and stop")
    parser.add_argument("targets", nargs="*", help="default: all")
    given = parser.parse_args()
    if given.one:
        one(given.targets[0], given.seconds)
        return 0
    from tests.fuzz.targets import TARGETS

    unknown = set(given.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if given.replay is not None:
        TARGETS[given.targets[0]].run(given.replay.read_bytes())
        return 0
    return 1 if every(given.targets or list(TARGETS), given.seconds) else 0


if __name__ == "__main__":
    raise SystemExit(main())

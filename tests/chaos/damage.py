"""Damage to a worker's state directories while the worker is dead: wiped, flipped, cut, emptied, an old copy put back.

Each function takes the state directory and a seeded random generator and tells what it did, "" when there was nothing
to damage. Must never be used on the state of a running worker.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path


def stores(state: Path) -> list[Path]:
    """The RocksDB directories of a worker, one a partition."""
    return sorted(path for path in state.glob("p[0-9]*") if path.is_dir() and "." not in path.name)


def wipe(state: Path, rng: random.Random) -> str:
    """Everything is gone."""
    shutil.rmtree(state, ignore_errors=True)
    return "deleted"


def _pick(state: Path, rng: random.Random, *patterns: str) -> Path | None:
    found = [
        path
        for store in stores(state)
        for pattern in patterns
        for path in store.glob(pattern)
        if path.is_file() and path.stat().st_size
    ]
    return rng.choice(sorted(found)) if found else None


def flip(state: Path, rng: random.Random) -> str:
    """One byte in the middle of a table, a write-ahead log or a manifest is another."""
    path = _pick(state, rng, *rng.choice((("*.sst",), ("*.log",), ("MANIFEST-*",), ("*.sst", "*.log", "MANIFEST-*"))))
    if path is None:
        return ""
    with path.open("r+b") as file:
        at = rng.randrange(path.stat().st_size)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << rng.randrange(8))]))
    return f"flipped {path.parent.name}/{path.suffix or path.name}"


def cut(state: Path, rng: random.Random) -> str:
    """A table, a log or a manifest ends too early."""
    path = _pick(state, rng, *rng.choice((("*.sst",), ("*.log",), ("MANIFEST-*",))))
    if path is None:
        return ""
    with path.open("r+b") as file:
        file.truncate(rng.randrange(path.stat().st_size))
    return f"truncated {path.parent.name}/{path.suffix or path.name}"


def garble(state: Path, rng: random.Random) -> str:
    """CURRENT is rubbish, a manifest is empty, or a table is missing."""
    path = _pick(state, rng, *rng.choice((("CURRENT",), ("MANIFEST-*",), ("*.sst", "CURRENT"))))
    if path is None:
        return ""
    if path.suffix == ".sst":
        path.unlink()
        return f"removed {path.parent.name}/.sst"
    path.write_bytes(b"" if rng.random() < 0.5 else b"rubbish\n")
    return f"overwrote {path.parent.name}/{path.name}"


DAMAGES = (wipe, flip, cut, garble)

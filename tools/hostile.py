"""Writes docs/hostile-inputs.md from the table that the tests shoot; `--check` says whether it differs.

python tools/hostile.py            write it
python tools/hostile.py --check    exit 1 when the page is not what the table says
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "hostile-inputs.md"
SECTIONS = {1: "Bytes and JSON", 31: "Kafka", 47: "Meaning", 61: "Identity", 73: "HTTP"}
HEAD = """# Hostile inputs

What happens to 92 kinds of input that were made to crash the gate, to stall it, to make it pass what it must block, or
to make it forget an opt-out. `tools/hostile.py` writes this page from the table in `tests/hostile/`, which
`make test` runs: each record through a live gate, between two requests of a neighbour who must not notice, with the
restrictive reading asserted by the next request of the person it names. What only a broker shows is run against one.

Everywhere: no crash, no stall, one fate for every record (an applied event, a decision, the relay, or a
[dead letter](dead-letters.md) with a reason of the closed list), and none of the input in what is reported. An
opt-out that can be read in part binds at its widest reading; a consent that cannot be read whole permits nothing.

`applied` and `decided …` are fates, too; the others are the reasons of dead letters. *Records* counts the table's own
records of the row; *tests* are further ones.
"""
TAIL = """
## Fuzzing

`make fuzz SECONDS=n` runs every decoder for n seconds under atheris, guided by coverage, from the seeds and the records
of this table: messages of each topic, control events, the gate with any key, offline lines, stored states, meta
records, policies, settings, cases, call lists, registry files, dead letters, proofs, chain heads, routing, the
terminal's view, addresses. A decoder may answer or raise its one declared exception; an input that makes it do
anything else is left in `.fuzz/broken/<target>`, and the command ends with 1. `make test` runs the same targets over
seeds, old findings and mutations of them, and 64 KiB and 1 MiB of repeated fragments, none of which may cost seconds.

## What this does not cover

- A payload that is compressed or encoded as a whole (gzip, base64) is not looked into: it is a dead letter, no opt-out.
- Of a message above 64 KiB only the words of its type, and those of its first 64 KiB, are read for an opt-out.
- An opt-out on a wrong partition is in force only when the relay has appended it to its own: moments, not instantly.
- Kafka must unpack a compression bomb to refuse it: who may write can take a broker its memory for a moment.
- Stored states have no checksum of their own: RocksDB's and Kafka's protect them.
"""


def page() -> str:
    """The page as the table has it."""
    sys.path.insert(0, str(ROOT))
    rows = importlib.import_module("tests.hostile.rows").ROWS
    lines = [HEAD]
    for row in rows:
        if row.number in SECTIONS:
            lines += [f"## {SECTIONS[row.number]}", "", "| # | input | what happens | fates | records | tests |"]
            lines += ["|---|---|---|---|---|---|"]
        fates = ", ".join(f"`{fate}`" for fate in sorted({shot.fate for shot in row.shots}))
        tests = ", ".join(f"`{name.rpartition('::')[2].partition('[')[0]}`" for name in row.runs)
        happens = row.happens + (f" ({row.why_not}.)" if row.why_not else "")
        lines.append(f"| {row.number} | {row.name} | {happens} | {fates} | {len(row.shots) or ''} | {tests} |")
        if row.number + 1 in SECTIONS:
            lines.append("")
    return "\n".join(lines) + "\n" + TAIL


def main() -> int:
    """Write the page, or compare it."""
    wanted = page()
    if "--check" in sys.argv[1:]:
        differs = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted
        if differs:
            print(f"{PAGE.relative_to(ROOT)} is not what the table says; run: python tools/hostile.py")
        return int(differs)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

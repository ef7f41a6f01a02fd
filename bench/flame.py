"""Flame graphs of a worker and of the broker: `python -m bench.flame STACKS OUT.svg [--title WORDS] [--thread NAME]`.

STACKS is what `py-spy record --format raw` writes (a line a stack, frames from the outermost, `;` between them, then
how often it was seen), or a recording of the JVM (`jcmd PID JFR.start duration=30s settings=profile filename=A.jfr`).
Width is the share of samples; what is narrower than 1/300 is left out. It reads what others measured and
must never attach to a process itself.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from html import escape
from pathlib import Path

Stacks = Counter[tuple[str, ...]]
"""How often each stack was seen; the outermost frame comes first."""

_WIDTH, _ROW, _LETTER = 1_200, 17, 6.6  # pixels
_LEAST = 1 / 300
_PLACE = re.compile(r" \((?:.*/)?([^/()]+\.py)(?::\d+)?\)$")
_LINE = re.compile(r"^\s+([\w.$<>/+]+)\(.*line:", re.MULTILINE)
_THREAD = re.compile(r'sampledThread = "([^"]*)"')
_COLOURS = ("#8fc3b2", "#a8cfc2", "#e3c08d", "#ecd3ae", "#c5d3cd")
_HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="monospace" font-size="11">'


def collapsed(text: str) -> Stacks:
    """Stacks of py-spy's raw format: functions with their file's name, without directories and line numbers."""
    found: Stacks = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        found[tuple(_PLACE.sub(r" (\1)", frame) for frame in stack.split(";"))] += int(count)
    return found


def recorded(text: str, thread: str = "") -> Stacks:
    """Stacks of `jfr print --events jdk.ExecutionSample`; the thread without its numbers is the outermost frame."""
    found: Stacks = Counter()
    for event in text.split("jdk.ExecutionSample {")[1:]:
        named = _THREAD.search(event)
        name = re.sub(r"-?\d+", "", named[1]) if named else "?"
        if thread in name:
            found[name, *reversed([_short(frame) for frame in _LINE.findall(event)])] += 1
    return found


def _short(frame: str) -> str:
    """Class and method without the package; what the compiler made of a lambda by its place."""
    parts = re.sub(r"\$*anonfun\$+|\$adapted|\$\d+", "", frame).split(".")
    return ".".join(parts[-2:])


def svg(stacks: Stacks, title: str) -> str:
    """The picture: the outermost frames at the bottom. Raises ValueError when there is no sample."""
    total = sum(stacks.values())
    if not total:
        raise ValueError("there is no sample in it")
    boxes: list[tuple[int, float, float, str]] = []
    _boxes(stacks, total, 0, 0.0, boxes)
    height = (max((depth for depth, _, _, _ in boxes), default=0) + 3) * _ROW
    drawn = [
        _HEAD.format(_WIDTH, height),
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="4" y="13">{escape(title)}; {total:,} samples</text>',
    ]
    for depth, left, share, name in boxes:
        x, y, width = left * _WIDTH, height - (depth + 1) * _ROW, share * _WIDTH
        colour = _COLOURS[sum(name.encode()) % len(_COLOURS)]
        shown = name[: max(0, int((width - 4) / _LETTER))]
        words = f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(shown)}</text>' if len(shown) > 2 else ""
        size = f'x="{x:.1f}" y="{y}" width="{max(width - 0.5, 0.5):.1f}" height="{_ROW - 1}"'
        drawn.append(f'<g><title>{escape(name)} {share:.1%}</title><rect {size} fill="{colour}"/>{words}</g>')
    return "\n".join([*drawn, "</svg>\n"])


def _boxes(stacks: Stacks, total: int, depth: int, left: float, boxes: list[tuple[int, float, float, str]]) -> None:
    below: dict[str, Stacks] = {}
    for stack, count in stacks.items():
        if stack:
            below.setdefault(stack[0], Counter())[stack[1:]] += count
    for name, rest in sorted(below.items()):
        share = sum(rest.values()) / total
        if share >= _LEAST:
            boxes.append((depth, left, share, name))
            _boxes(rest, total, depth + 1, left, boxes)
        left += share


def main() -> int:
    """Draw one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stacks", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--title", default="")
    parser.add_argument("--thread", default="", help="of a JVM's recording: only threads whose name holds this")
    given = parser.parse_args()
    if given.stacks.suffix == ".jfr":
        command = ["jfr", "print", "--events", "jdk.ExecutionSample", "--stack-depth", "64", str(given.stacks)]
        stacks = recorded(subprocess.run(command, capture_output=True, text=True, check=True).stdout, given.thread)
    else:
        stacks = collapsed(given.stacks.read_text(encoding="utf-8"))
    given.out.write_text(svg(stacks, given.title), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

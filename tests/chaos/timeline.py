"""What happened when: requests and decisions a second, lag, waiting times, faults and recoveries; and the plot of it.

Measured from the dumped topics and the journal of faults alone. Decisions carry the time their worker decided them at
(its own clock, which a clock fault may move), requests the broker's. Must never judge.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import msgspec
from matplotlib.ticker import FuncFormatter, NullFormatter
from tests.chaos.history import DECISIONS, REQUESTS, History

mpl.use("Agg")

_BLUE, _ORANGE, _GREEN, _RED, _GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#666666"


class Span(NamedTuple):
    """One fault, in seconds since the start of the run; `end` None: it is an instant."""

    fault: str
    kind: str
    target: str
    begin_s: float
    end_s: float | None
    begin_ms: int
    partitions: tuple[int, ...]
    details: dict[str, Any]


class Recovery(NamedTuple):
    """From a worker's death until its partition decided again; `alone`: no other fault began in between."""

    fault: str
    target: str
    partition: int
    seconds: float
    alone: bool


class _Place(msgspec.Struct):
    request: int


class _Decided(msgspec.Struct):
    position: _Place


_decode = msgspec.json.Decoder(_Decided).decode


@dataclass
class Timeline:
    """Series by whole seconds since `start_ms`."""

    start_ms: int = 0
    length_s: int = 1
    asked: list[int] = field(default_factory=list)
    decided: list[int] = field(default_factory=list)
    lag: list[int] = field(default_factory=list)
    waited_p99: list[float] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)


def quantile(values: list[float], part: float) -> float:
    """The smallest value that so much of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(part * len(ordered)) - 1))] if ordered else math.nan


def measure(history: History) -> Timeline:
    """Everything the plot and the report's tables need."""
    partitions = history.partitions(REQUESTS)
    asked = {p: [(r.offset, r.timestamp_ms) for r in history.records(REQUESTS, p)] for p in partitions}
    decided = {
        p: [(_decode(r.value or b"{}").position.request, r.timestamp_ms) for r in history.records(DECISIONS, p)]
        for p in partitions
    }
    times = [at for rows in asked.values() for _, at in rows]
    if not times:
        return Timeline(spans=_spans(history, 0))
    start, end = min(times), max(*times, *(at for rows in decided.values() for _, at in rows))
    found = Timeline(start, min((end - start) // 1000 + 1, 24 * 3600))
    found.asked, found.decided = [0] * found.length_s, [0] * found.length_s
    waits: dict[int, list[float]] = defaultdict(list)
    for partition in partitions:
        appended = dict(asked[partition])
        for _, at in asked[partition]:
            found.asked[_second(found, at)] += 1
        for offset, at in decided[partition]:
            second = _second(found, at)
            found.decided[second] += 1
            if offset in appended:
                waits[second].append((at - appended[offset]) / 1000)
    behind = 0
    for second in range(found.length_s):
        behind += found.asked[second] - found.decided[second]
        found.lag.append(max(0, behind))
        found.waited_p99.append(quantile(waits[second], 0.99))
    found.spans = _spans(history, start)
    found.recoveries = _recoveries(found.spans, asked, decided)
    return found


def _second(found: Timeline, at_ms: int) -> int:
    return min(max(0, (at_ms - found.start_ms) // 1000), found.length_s - 1)


def _spans(history: History, start_ms: int) -> list[Span]:
    ends = {line["fault"]: line["wall_ms"] for line in history.faults if line["phase"] == "end"}
    known = {"fault", "kind", "target", "phase", "wall_ms", "mono_ns", "partitions"}
    spans = []
    for line in history.faults:
        if line["phase"] == "end":
            continue
        end_ms = ends.get(line["fault"]) if line["phase"] == "begin" else None
        spans.append(
            Span(
                str(line["fault"]), line["kind"], str(line["target"]), (line["wall_ms"] - start_ms) / 1000,
                None if end_ms is None else (end_ms - start_ms) / 1000, line["wall_ms"],
                tuple(line.get("partitions", ())), {k: v for k, v in line.items() if k not in known},
            )
        )  # fmt: skip
    return sorted(spans, key=lambda span: span.begin_s)


def _recoveries(
    spans: list[Span], asked: dict[int, list[tuple[int, int]]], decided: dict[int, list[tuple[int, int]]]
) -> list[Recovery]:
    """For each killed worker's partitions: how long the next request had to wait for its decision."""
    found = []
    begins = sorted(span.begin_ms for span in spans)
    latest: dict[int, list[int]] = {}
    for partition, rows in decided.items():
        highest, tops = 0, []
        for _, at in rows:
            highest = max(highest, at)
            tops.append(highest)
        latest[partition] = tops
    for span in spans:
        if span.kind != "worker.kill":
            continue
        for partition in span.partitions:
            rows, requests = decided.get(partition, []), asked.get(partition, [])
            at = bisect_right(latest.get(partition, []), span.begin_ms)
            if at >= len(rows):
                continue
            before = rows[at - 1][0] if at else -1
            waiting = bisect_right(requests, (before, 1 << 62))
            since_ms = max(span.begin_ms, requests[waiting][1]) if waiting < len(requests) else span.begin_ms
            first_ms = rows[at][1]
            others = bisect_right(begins, first_ms) - bisect_right(begins, span.begin_ms)
            seconds = max(0.0, (first_ms - since_ms) / 1000)
            found.append(Recovery(span.fault, span.target, partition, seconds, others == 0))
    return found


def plot(found: Timeline, path: Path, title: str) -> None:
    """Faults in lanes above; requests, decisions, lag and waiting times below, on one axis of time."""
    import matplotlib.pyplot as plt

    kinds = sorted({span.kind for span in found.spans})
    heights = [max(1.2, 0.28 * len(kinds)), 2.2, 1.6, 1.6]
    figure, axes = plt.subplots(
        4,
        1,
        sharex=True,
        figsize=(14, 1.2 + sum(heights)),
        gridspec_kw={"height_ratios": heights},
        layout="constrained",
    )
    figure.suptitle(title, fontsize=12, x=0.01, ha="left", fontweight="bold")
    _lanes(axes[0], found, kinds)
    seconds = list(range(len(found.decided)))
    axes[1].fill_between(
        seconds, found.asked, step="mid", color=_GREY, alpha=0.3, linewidth=0, label="requests appended"
    )
    axes[1].step(seconds, found.decided, where="mid", color=_BLUE, linewidth=0.9, label="decisions")
    axes[1].set_ylabel("a second")
    axes[1].legend(loc="upper right", fontsize=8, framealpha=0.9, ncols=2)
    axes[2].fill_between(seconds, found.lag, step="mid", color=_ORANGE, alpha=0.8, linewidth=0)
    axes[2].set_ylabel("requests not\nyet decided")
    axes[3].plot(seconds, found.waited_p99, color=_GREEN, linewidth=0.9, marker=".", markersize=3)
    axes[3].set_yscale("log")
    axes[3].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[3].yaxis.set_minor_formatter(NullFormatter())
    axes[3].set_ylabel("append to decision,\np99 of a second (s)")
    axes[3].set_xlabel("seconds since the first request")
    for axis in axes[1:]:
        axis.grid(visible=True, axis="both", color="#dddddd", linewidth=0.5)
        axis.set_axisbelow(True)
        for span in found.spans:
            if span.kind.startswith("broker."):
                axis.axvspan(span.begin_s, span.end_s or span.begin_s + 0.5, color=_RED, alpha=0.12, linewidth=0)
    for axis in axes[1:3]:
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    last = max([found.length_s, *(span.end_s or span.begin_s for span in found.spans)])
    axes[0].set_xlim(-0.01 * last, 1.01 * last)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _lanes(axis: Any, found: Timeline, kinds: list[str]) -> None:
    for lane, kind in enumerate(kinds):
        those = [span for span in found.spans if span.kind == kind]
        color = _RED if kind.startswith("broker.") else _BLUE if kind.startswith("worker.") else _ORANGE
        bars = [(span.begin_s, max(0.4, span.end_s - span.begin_s)) for span in those if span.end_s is not None]
        axis.broken_barh(bars, (lane - 0.3, 0.6), color=color, alpha=0.45, linewidth=0)
        axis.plot([span.begin_s for span in those], [lane] * len(those), "|", color=color, markersize=7)
    counts = {kind: sum(span.kind == kind for span in found.spans) for kind in kinds}
    axis.set_yticks(range(len(kinds)), [f"{kind} × {counts[kind]}" for kind in kinds], fontsize=8)
    axis.set_ylim(len(kinds) - 0.4, -0.6) if kinds else axis.set_yticks([])
    axis.set_title("faults injected" if kinds else "no faults injected", loc="left", fontsize=9)
    axis.grid(visible=True, axis="x", color="#dddddd", linewidth=0.5)
    axis.set_axisbelow(True)

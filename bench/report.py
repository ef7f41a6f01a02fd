"""What a result file says, as a table and a plot. `python -m bench.report RESULT [--docs]`.

`--docs` copies the result to docs/bench/latest.json, draws docs/bench/latest.png and rewrites docs/performance.md
between its two markers, and nothing else of it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from bench.contenders import Contender, everyone

ROOT = Path(__file__).resolve().parent.parent
FIGURES: tuple[tuple[str, str, str], ...] = (
    ("cpu_us", "CPU a decision, µs", "{:,.1f}"),
    ("per_core_s", "decisions/s a core", "{:,.0f}"),
    ("decisions_per_s", "decisions/s", "{:,.0f}"),
    ("rate1_p50_ms", "p50 at 1,000/s, ms", "{:,.0f}"),
    ("rate1_p99_ms", "p99 at 1,000/s, ms", "{:,.0f}"),
    ("rate1_p999_ms", "p99.9 at 1,000/s, ms", "{:,.0f}"),
    ("rate1_cpu_us", "CPU a decision at 1,000/s, µs", "{:,.0f}"),
    ("rate5_p50_ms", "p50 at 5,000/s, ms", "{:,.0f}"),
    ("rate5_p99_ms", "p99 at 5,000/s, ms", "{:,.0f}"),
    ("rate5_p999_ms", "p99.9 at 5,000/s, ms", "{:,.0f}"),
    ("memory_mb", "peak memory, MB", "{:,.0f}"),
    ("state_bytes", "state a subject, bytes", "{:,.0f}"),
    ("warm_start_s", "warm start, s", "{:,.1f}"),
    ("cold_start_s", "cold start, s", "{:,.1f}"),
    ("decided_again", "decided a second time", "{:,.0f}"),
)
"""Name in the result file, words, format; in the order of the table."""


def summary(turns: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Median, least and most of every figure of every contender, and the median's ratio to contactgate's.

    `per_core_s` is what one core would decide: a million over the CPU of a decision.
    """
    gathered: dict[str, dict[str, list[float]]] = {}
    for turn in turns:
        of = gathered.setdefault(turn["contender"], {})
        for name, value in turn["figures"].items():
            of.setdefault(name, []).append(value)
        if turn["figures"]["cpu_us"]:  # the system counts in ticks of 10 ms; a tiny run may have none
            of.setdefault("per_core_s", []).append(1e6 / turn["figures"]["cpu_us"])
    found = {
        contender: {
            name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
            for name, values in figures.items()
        }
        for contender, figures in gathered.items()
    }
    ours = found.get("contactgate", {})
    for figures in found.values():
        for name, figure in figures.items():
            if name in ours and ours[name]["median"]:
                figure["ratio"] = figure["median"] / ours[name]["median"]
    return found


def line(contender: Contender, figures: dict[str, float], took_s: float) -> str:
    """One turn in a line, for the terminal."""
    told = [f"{words} {form.format(figures[name])}" for name, words, form in FIGURES if name in figures]
    return f"{contender.name}: {'; '.join(told)} ({took_s:.0f} s)"


def table(result: dict[str, Any]) -> str:
    """The Markdown table: a row a figure, a column a contender; median, least to most, ratio to contactgate."""
    found = result["summary"]
    columns = [each for each in everyone() if each.name in found]
    rows = [
        "| | " + " | ".join(each.title for each in columns) + " |",
        "|---|" + "---:|" * len(columns),
        "| guarantee | " + " | ".join(each.guarantee for each in columns) + " |",
    ]
    for name, words, form in FIGURES:
        cells = [_cell(found[each.name].get(name), form, each.name) for each in columns]
        if any(cell != "–" for cell in cells):
            rows.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(figure: dict[str, float] | None, form: str, name: str) -> str:
    if figure is None:
        return "–"
    text = form.format(figure["median"])
    low, high = form.format(figure["min"]), form.format(figure["max"])
    if low != high:
        text += f" ({low}–{high})"
    if name != "contactgate" and "ratio" in figure:
        text += f" · {figure['ratio']:.2g}×"
    return text


def section(result: dict[str, Any]) -> str:
    """What stands between the markers: under what conditions, and the table."""
    machine, phases = result["machine"], {phase["name"]: phase for phase in result["phases"]}
    repeats = Counter(turn["contender"] for turn in result["turns"])
    least, most = min(repeats.values()), max(repeats.values())
    subjects = sum(phase["subjects"] for phase in result["phases"])
    turns = f"{most} turn{'s' if most > 1 else ''}" if least == most else f"{least} to {most} turns"
    conditions = (
        f"Measured by `make bench{' QUICK=1' if result['quick'] else ''}` at commit `{result['commit'][:12]}`: "
        f"{machine['cpus']} cores ({machine['model'] or 'unnamed'}) shared by broker, generator, reader and contender, "
        f"Apache Kafka {machine['kafka']}, {result['partitions']} partitions, {subjects:,} people, a registry of "
        f"{result['registry']:,} numbers, a backlog of {phases['backlog']['requests']:,} requests; {turns} "
        f"of each, one after the other. Load average before: {result['load_before'][0]:.1f}."
    )
    differed = len(result["differences"])
    legend = (
        f"Median (least–most) · ratio to contactgate. {result['verdicts_compared']:,} verdicts with their reasons were "
        f"compared; {f'{differed:,}' if differed else 'none'} differed. –: not sustained, or not applicable."
    )
    for failure in result["failures"]:
        legend += f" Turn {1 + failure['repeat']} of {failure['contender']} failed."
    picture = "![the same figures as a plot](bench/latest.png)"
    return "\n\n".join([conditions, legend, table(result), picture])


def rewrite(page: str, text: str, name: str = "bench") -> str:
    """The page with `text` between the markers of `name`. Raises ValueError unless it has exactly one pair."""
    opening, closing = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, begin, rest = page.partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end or opening in after or closing in before + after:
        raise ValueError(f"the page needs exactly one {opening} and, after it, one {closing}")
    return f"{before}{opening}\n{text}\n{closing}{after}"


def plot(result: dict[str, Any], path: Path) -> None:
    """Bars with least and most: CPU a decision, latency at 1,000 a second, peak memory, cold start."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    found = result["summary"]
    columns = [each for each in everyone() if each.name in found]
    shown = ("cpu_us", "rate1_p99_ms", "memory_mb", "cold_start_s")
    words = {name: text for name, text, _ in FIGURES}
    figure, axes = plt.subplots(1, len(shown), figsize=(16, 0.5 * len(columns) + 1.6), sharey=True)
    for axis, name in zip(axes, shown, strict=True):
        for at, each in enumerate(columns):
            if (value := found[each.name].get(name)) is None:
                continue
            spread = [[value["median"] - value["min"]], [value["max"] - value["median"]]]
            colour = "#1f6f5c" if each.name == "contactgate" else "#b9c4c0" if each.decides else "#e4e4e4"
            axis.barh(at, value["median"], xerr=spread, color=colour, capsize=2)
            axis.annotate(f" {value['median']:,.4g}", (value["max"], at), va="center", fontsize=8)
        axis.set_title(words[name], fontsize=9)
        axis.set_xscale("log" if name in {"cpu_us", "rate1_p99_ms"} else "linear")
        axis.margins(x=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(columns)), [each.name for each in columns], fontsize=9)
    axes[0].invert_yaxis()
    figure.tight_layout(w_pad=2.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def put(path: Path) -> None:
    """Put a result into the documentation: the file itself, its plot, and the text between the markers."""
    result = _read(path)
    place = ROOT / "docs" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    (place / "latest.json").write_bytes(path.read_bytes())
    plot(result, place / "latest.png")
    page = ROOT / "docs" / "performance.md"
    page.write_text(rewrite(page.read_text(encoding="utf-8"), section(result)), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    result["summary"] = summary(result["turns"])
    return result


def main() -> int:
    """Show a result, or put it into the documentation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--docs", action="store_true", help="rewrite docs/performance.md and docs/bench/")
    given = parser.parse_args()
    print(section(_read(given.result)))
    if given.docs:
        put(given.result)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The readable report of a chaos run: one HTML file without anything outside it, and the timeline as PNG beside it.

`write(history, verdict)` puts report.html and timeline.png into the history's directory. Shows, never judges.
"""

from __future__ import annotations

import argparse
import base64
import html
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.chaos.checker import check
from tests.chaos.history import History, load
from tests.chaos.timeline import Recovery, Timeline, measure, plot, quantile
from tests.chaos.verdict import Verdict

_SAYS = {
    "green": "Every promise held, and every situation that had to occur did.",
    "red": "At least one promise was broken.",
    "invalid": "No promise was broken, but a situation that had to occur did not: this run proves too little.",
}
_LAST_WORDS = (
    "<p class='soft'>Made from the history in this directory alone. The checker shares no code with contactgate; "
    "<code>python -m tests.chaos.report DIRECTORY</code> makes it again.</p>"
)
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1a1a1a;max-width:1180px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .2rem} h2{font-size:1.1rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;width:100%;font-size:14px} th,td{text-align:left;padding:.25rem .6rem;
border-bottom:1px solid #e3e3e3;vertical-align:top} th{font-weight:600;background:#f6f6f6}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.state{display:inline-block;padding:.15rem .7rem;border-radius:.3rem;color:#fff;font-weight:600}
.green{background:#00704f}.red{background:#b3310a}.invalid{background:#8a5a00}
.broken td{background:#fdeae4}.missing td{background:#fdf3dc}
img{width:100%;height:auto;border:1px solid #e3e3e3} code{font-size:13px;word-break:break-word} .soft{color:#555}
"""


def write(history: History, verdict: Verdict) -> Path:
    """The report; returns where it lies."""
    found = measure(history)
    picture = history.directory / "timeline.png"
    name = str(history.meta.get("phase", history.directory.name))
    plot(found, picture, f"{name}: {verdict.state}, seed {history.meta.get('seed', '?')}")
    page = _page(history, verdict, found, name, base64.b64encode(picture.read_bytes()).decode("ascii"))
    path = history.directory / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _page(history: History, verdict: Verdict, found: Timeline, name: str, picture: str) -> str:
    facts = {**history.meta, "length": f"{found.length_s} s"}
    shown = ("seed", "nodes", "partitions", "subjects", "rate", "length", "group")
    told = ", ".join(f"{key} {facts[key]}" for key in shown if key in facts)
    parts = [
        f"<h1>Chaos run {html.escape(name)} <span class='state {verdict.state}'>{verdict.state}</span></h1>",
        f"<p>{_SAYS[verdict.state]} <span class='soft'>{html.escape(told)}</span></p>",
        f"<img alt='faults, requests, decisions, lag and waits over time' src='data:image/png;base64,{picture}'>",
        "<h2>Promises</h2>", _promises(verdict),
        "<h2>Recovery after SIGKILL of a worker</h2>", _recovery(found.recoveries),
        "<h2>Faults</h2>", _faults(found),
        "<h2>What the run has seen</h2>", _counters(verdict),
        _LAST_WORDS,
    ]  # fmt: skip
    head = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Chaos run {html.escape(name)}</title>"
    return f"{head}<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"


def _table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], numbers: frozenset[int]) -> str:
    """Rows of (css class, cells); `numbers`: columns that are set to the right. Cells are escaped here."""

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if at in numbers else ''}>{html.escape(value)}</{tag}>"
            for at, value in enumerate(values)
        )

    body = "".join(f"<tr class='{kind}'>{cells('td', values)}</tr>" for kind, values in rows)
    return f"<table><tr>{cells('th', head)}</tr>{body}</table>"


def _promises(verdict: Verdict) -> str:
    rows = [
        ("" if f.held else "broken", (f.name, f.promise, f"{f.checked:,}", "held" if f.held else "broken", f.detail))
        for f in verdict.findings
    ]
    return _table(("", "promise", "cases looked at", "verdict", "violations, the first five"), rows, frozenset({2}))


def _recovery(recoveries: list[Recovery]) -> str:
    alone = [each for each in recoveries if each.alone]
    rows = [("", _quantiles(name, those)) for name, those in (
        ("all", recoveries),
        ("no other fault began before the first decision", alone),
    )]  # fmt: skip
    slowest = sorted(recoveries, key=lambda each: -each.seconds)[:5]
    words = "; ".join(f"{each.seconds:.1f} s fault {each.fault}, {each.target}, p{each.partition}" for each in slowest)
    return (
        "<p class='soft'>From the kill (or the first request after it) until the first decision on each partition that "
        "the worker decided; whether a standby, another worker or the same one took it.</p>"
        + _table(("", "kills", "partitions", "p50", "p90", "p99", "longest"), rows, frozenset(range(1, 7)))
        + (f"<p class='soft'>Slowest: {html.escape(words)}</p>" if words else "")
    )


def _quantiles(name: str, those: list[Recovery]) -> tuple[str, ...]:
    seconds = [each.seconds for each in those]
    told = [quantile(seconds, part) for part in (0.5, 0.9, 0.99, 1.0)]
    kills = len({each.fault for each in those})
    return (name, f"{kills:,}", f"{len(those):,}", *("–" if math.isnan(each) else f"{each:.2f} s" for each in told))


def _faults(found: Timeline) -> str:
    counts = Counter(span.kind for span in found.spans)
    lengths = {
        kind: [span.end_s - span.begin_s for span in found.spans if span.kind == kind and span.end_s is not None]
        for kind in counts
    }
    rows = [
        ("", (kind, f"{count:,}", f"{sum(lengths[kind]) / len(lengths[kind]):.1f} s" if lengths[kind] else "–"))
        for kind, count in sorted(counts.items())
    ]
    return _table(("kind", "how often", "mean length"), rows, frozenset({1, 2}))


def _counters(verdict: Verdict) -> str:
    rows = [("missing", (name, "never")) for name in verdict.unreached]
    rows += [("", (name, f"{count:,}")) for name, count in sorted(verdict.counters.items()) if count]
    return _table(("situation", "how often"), rows, frozenset({1}))


def main() -> None:
    """`python -m tests.chaos.report DIRECTORY`: check the history again and write its report."""
    reader = argparse.ArgumentParser()
    reader.add_argument("directory", type=Path)
    history = load(reader.parse_args().directory)
    verdict = check(history)
    print(write(history, verdict), verdict.state)


if __name__ == "__main__":
    main()

"""docs/running.md names every setting with its default, every alert with its severity, and every metric; no other."""

from __future__ import annotations

import re
from pathlib import Path

from contactgate.model.alerts import AlertKind
from contactgate.ops.metrics import WorkerMeter, exposition
from contactgate.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "running.md").read_text(encoding="utf-8")


def _rows(heading: str) -> list[list[str]]:
    """The cells of every table row under a heading, header and rule left out."""
    (part,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
    return [row for row in cells if re.fullmatch(r"`[^`]+`", row[0])]


def _shown(value: object) -> str:
    """A default as the page writes it."""
    if value is None:
        return "none"
    if value == "":
        return ""
    if isinstance(value, float):
        value = f"{value:g}"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_every_setting_is_there_with_its_default() -> None:
    """Name and default of each field of Settings, in the same order."""
    rows = [(row[0].strip("`"), row[1]) for row in _rows("Settings")]
    assert rows == [(name, _shown(field.default)) for name, field in Settings.model_fields.items()]


def test_every_alert_is_there_with_its_severity() -> None:
    """All kinds a worker raises; the most urgent first."""
    rows = [(row[0].strip("`"), row[1]) for row in _rows("Alerts")]
    assert dict(rows) == {kind.value: kind.severity.value for kind in AlertKind}
    assert len(rows) == len(AlertKind)
    rank = ["critical", "warning", "info"]
    assert [rank.index(severity) for _, severity in rows] == sorted(rank.index(severity) for _, severity in rows)


def test_every_metric_and_page_is_there() -> None:
    """The families that Prometheus gets, by the names it stores them under."""
    listed = [row[0].strip("`") for row in _rows("Health")]
    families = re.findall(r"^# TYPE (\S+)", exposition(WorkerMeter("w"))().decode(), re.MULTILINE)
    assert {name for name in listed if not name.startswith("/")} == set(families)
    assert {name for name in listed if name.startswith("/")} == {"/livez", "/readyz", "/metrics"}

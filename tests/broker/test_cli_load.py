"""`contactgate dev load` on a real broker, small: it measures what it says and leaves nothing running."""

import pytest
from typer.testing import CliRunner

from contactgate.broker import Bootstrap
from contactgate.cli.dev import app


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_latency_and_throughput_are_measured_and_printed(kafka: Bootstrap, monkeypatch):
    """A table gives the rate that was sent, latency quantiles in order, and decisions a second on a backlog."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka.address)
    args = ["load", "--rate", "100", "--seconds", "1", "--backlog", "600", "--subjects", "60", "--partitions", "2"]
    result = CliRunner().invoke(app, args, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]
    values = {name: float(value.split()[0].replace(",", "")) for name, value in rows}
    assert 0 < values["requests a second sent"] <= 101
    quantiles = [values[f"append to committed decision read, {name}"] for name in ("p50", "p90", "p99", "worst")]
    assert quantiles == sorted(quantiles)
    assert values["of which until it is decided, p50"] <= quantiles[0]
    assert values["decisions a second on a backlog"] > 0

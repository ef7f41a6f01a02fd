"""Metrics and alerts: what a worker counts, what a record of a second says, and what Prometheus gets."""

from __future__ import annotations

import msgspec
import pytest

from contactgate.model.alerts import AlertKind, Severity
from contactgate.model.log import Out
from contactgate.ops.alerts import News, alert
from contactgate.ops.metrics import WorkerMeter, exposition, quantile
from contactgate.partition.life import MOVES, IllegalMove, Life


def _decision(verdict: str, *rules: str, duplicate: bool = False) -> Out:
    value = {"type": "contact.decided", "verdict": verdict, "reasons": [{"rule": rule} for rule in rules]}
    return Out("decision", "r", b"k", msgspec.json.encode({**value, "duplicate": duplicate}), [])


def test_a_record_counts_its_period_and_keeps_totals_of_partitions_that_moved_away() -> None:
    """Counts are of the period, `decided_total` of the worker's life, no matter which worker owns the partition now."""
    meter = WorkerMeter("w1")
    one = meter.partition(0)
    one.move(Life.RUNNING)
    one.committed([_decision("pass"), _decision("block", "cap.a", "pause.b"), Out("dead", None, None, b"{}", [])], 0.01)
    one.barrier(0.002)
    one.arrived(0.02)
    first = msgspec.json.decode(meter.record(1_000, 1.0))
    assert (first["decided"], first["passed"], first["dead_letters"]) == (2, 1, 1)
    assert first["blocked"] == {"cap.a": 1, "pause.b": 1}
    assert first["running"] == [0]
    assert first["barrier_wait_ms"] == {"p50": 2.0, "p99": 2.0}
    meter.drop(0)
    meter.partition(1).committed([_decision("block", "cap.a", duplicate=True)], 0.01)
    second = msgspec.json.decode(meter.record(2_000, 1.0))
    assert (second["decided"], second["passed"], second["duplicates"], second["decided_total"]) == (1, 0, 1, 3)


def test_recalls_are_counted_and_approvals_are_not() -> None:
    """Only `contact.recalled` counts."""
    meter = WorkerMeter("w1").partition(0)
    approvals = [Out("approval", "r", b"t", b'{"type":"contact.%s"}' % word, []) for word in (b"approved", b"recalled")]
    meter.committed(approvals, 0.01)
    assert (meter.recalled, meter.decided, meter.transactions) == (1, 0, 1)


def test_prometheus_gets_counters_gauges_and_quantiles() -> None:
    """The text format holds every family, with no label that could name a person."""
    meter = WorkerMeter("w1")
    meter.alerts[AlertKind.FENCED] += 2
    part = meter.partition(3)
    part.move(Life.RUNNING)
    part.lag = 7
    part.committed([_decision("block", "cap.a")], 0.5)
    text = exposition(meter)().decode()
    assert "contactgate_decided_total 1.0" in text
    assert 'contactgate_blocked_total{rule="cap.a"} 1.0' in text
    assert 'contactgate_alerts_total{kind="fenced"} 2.0' in text
    assert 'contactgate_lag{partition="3"} 7.0' in text
    assert 'contactgate_commit_seconds{quantile="0.99"} 0.5' in text


def test_quantiles_are_nearest_rank() -> None:
    """Of nothing 0; of a hundred values p99 is the last."""
    assert quantile([], 0.5) == 0.0
    assert quantile(range(100), 0.5) == 50
    assert quantile(range(100), 0.99) == 99


def _letter(reason: str, *, restricts: bool = False) -> Out:
    return Out("dead", None, None, b"{}", [], reason, restricts)


def test_dead_letters_and_carried_records_are_counted_by_reason_and_input() -> None:
    """For people on duty what matters is why, and which producer."""
    meter = WorkerMeter("w1")
    part = meter.partition(0)
    carried = Out("relay", "consent", b"k", b"{}", [], "input.misrouted")
    part.committed([_letter("json.malformed"), _letter("json.malformed"), _letter("key.missing"), carried], 0.1)
    part.relay_lag, meter.behind_s = 3, 1.5
    record = msgspec.json.decode(meter.record(1_000, 1.0))
    assert (record["dead_letters"], record["carried"], record["relay_lag"]) == (3, 1, 3)
    assert record["dead_reasons"] == {"json.malformed": 2, "key.missing": 1}
    text = exposition(meter)().decode()
    assert "contactgate_dead_total 3.0" in text
    assert 'contactgate_dead_letters_total{reason="json.malformed"} 2.0' in text
    assert 'contactgate_carried_total{input="consent"} 1.0' in text
    assert 'contactgate_relay_lag{partition="0"} 3.0' in text
    assert "contactgate_relay_behind_seconds 1.5" in text


def test_committed_outputs_are_one_alert_a_kind_and_minute() -> None:
    """The first at once, then what there was in a minute; a restriction that was widened is not among the others."""
    news = News()
    assert news.due(0.0) == []
    news.note([_letter("json.malformed"), _letter("key.missing", restricts=True), _letter("partition.wrong")])
    news.note([Out("relay", "request", b"k", b"{}", [], "input.misrouted"), Out("relay", "consent", b"k", b"{}", [])])
    assert news.due(0.0) == [
        (AlertKind.DEAD_LETTERS, "1 records: json.malformed 1"),
        (AlertKind.INPUT_MISROUTED, "2 records: partition.wrong 1, request 1"),
        (AlertKind.RESTRICTION_WIDENED, "1 records: key.missing 1"),
    ]
    news.note([_letter("json.malformed")] * 4 + [_letter("id.invalid")])
    assert news.due(59.0) == []
    assert news.due(60.0) == [(AlertKind.DEAD_LETTERS, "5 records: id.invalid 1, json.malformed 4")]
    news.note([_letter("id.invalid")])
    assert news.due(61.0) == []
    assert news.due(62.0, last=True) == [(AlertKind.DEAD_LETTERS, "1 records: id.invalid 1")]
    assert news.due(999.0) == []


def test_every_kind_of_alert_has_a_severity_and_an_advice() -> None:
    """Nobody on duty gets an alert without advice on what to do."""
    assert all(isinstance(kind.severity, Severity) and kind.advice for kind in AlertKind)
    record = msgspec.json.decode(alert("w1", AlertKind.BARRIER_TIMEOUT, "partition 3: late", 5))
    assert (record["kind"], record["severity"]) == ("barrier.timeout", "critical")
    assert "held" in record["advice"]


def test_an_alert_of_an_unknown_kind_cannot_be_made() -> None:
    """A word with a slip in it is an error where it is written, not a warning at night."""
    with pytest.raises(ValueError, match="corupt"):
        AlertKind("store.corupt")  # type: ignore[call-arg]


def test_a_partition_moves_only_as_its_life_allows() -> None:
    """Every pair of states: the legal moves are made, staying is no move, everything else is refused."""
    for now in Life:
        for to in Life:
            meter = WorkerMeter("w1").partition(0)
            meter.begin(now)
            if to is now or to in MOVES[now]:
                meter.move(to)
                assert meter.life is to
            else:
                with pytest.raises(IllegalMove, match=f"{now} cannot become {to}"):
                    meter.move(to)
                assert meter.life is now


def test_a_partition_that_decided_never_stands_by_and_one_that_stopped_stays_so() -> None:
    """The two rules that the drawing in `partition.life` is there for."""
    assert all(Life.STANDBY not in MOVES[now] for now in Life)
    assert not MOVES[Life.STOPPED]

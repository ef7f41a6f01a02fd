"""What one worker counts: decisions, reasons, lag, barrier waits, latencies; as a record a second and for Prometheus.

Meters are plain counters that the engine feeds; nothing here waits, sends or looks at a clock. No label ever holds a
subject, an address or a request id.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from contactgate.model.alerts import AlertKind
from contactgate.names import Kind
from contactgate.partition.life import Life, moved

_RECENT = 2_048


class _Reason(msgspec.Struct):
    rule: str


class _Decided(msgspec.Struct):
    verdict: str
    reasons: list[_Reason] = []
    duplicate: bool = False


_decode = msgspec.json.Decoder(_Decided).decode
_PASS = b'"verdict":"pass"'


class Published(Protocol):
    """An output record, as far as a meter reads it."""

    @property
    def kind(self) -> str: ...
    @property
    def value(self) -> bytes: ...
    @property
    def requester(self) -> str | None: ...
    @property
    def reason(self) -> str: ...


def quantile(values: Iterable[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank); 0.0 for none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class PartitionMeter:
    """Counters of one partition since the worker took it."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self._life = Life.STARTING
        self.decided = 0
        self.passed = 0
        self.duplicates = 0
        self.blocked: Counter[str] = Counter()
        self.dead: Counter[str] = Counter()  # dead letters by reason
        self.carried: Counter[str] = Counter()  # records given to the relay, by the input they are appended to
        self.superseded = 0  # restrictions that a newer permission kept from binding
        self.recalled = 0
        self.transactions = 0
        self.waiting = 0  # requests read and not yet decided
        self.lag = 0  # requests appended and not yet decided
        self.relay_lag = 0  # records on the relay's topic and not yet appended to their input
        self.barrier_s: deque[float] = deque(maxlen=_RECENT)
        self.commit_s: deque[float] = deque(maxlen=_RECENT)
        self.append_s: deque[float] = deque(maxlen=_RECENT)  # from a request's append to its committed decision

    @property
    def life(self) -> Life:
        """Where the partition stands."""
        return self._life

    def begin(self, life: Life) -> None:
        """A new life begins, as a standby or starting."""
        self._life = life

    def move(self, to: Life) -> None:
        """The partition moves on. Raises IllegalMove."""
        self._life = moved(self._life, to)

    def barrier(self, seconds: float) -> None:
        """One barrier was passed."""
        self.barrier_s.append(seconds)

    def committed(self, outs: Iterable[Published], seconds: float) -> None:
        """One transaction was committed; `seconds` from its begin."""
        self.transactions += 1
        self.commit_s.append(seconds)
        for out in outs:
            if out.kind == Kind.DECISION:
                self.decided += 1
                if _PASS in out.value:
                    self.passed += 1
                    if b'"duplicate":true' in out.value:
                        self.duplicates += 1
                else:
                    decided = _decode(out.value)
                    self.duplicates += decided.duplicate
                    self.blocked.update(reason.rule for reason in decided.reasons)
            elif out.kind == Kind.APPROVAL:
                self.recalled += b"contact.recalled" in out.value
            elif out.kind == Kind.RELAY:
                self.carried[out.requester or ""] += 1
            else:
                self.dead[out.reason] += 1

    def arrived(self, seconds: float) -> None:
        """A request was decided and committed this long after it was appended."""
        self.append_s.append(seconds)


class WorkerMeter:
    """All partitions of one worker; `record` gives the ops-metrics record of the last period."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.partitions: dict[int, PartitionMeter] = {}
        self.alerts: Counter[AlertKind] = Counter()
        self.superseded = 0  # of pauses, suppressions, parties, campaigns and policies
        self.behind_s = 0.0  # age of the oldest record that the relay works on
        self._before: Counter[str] = Counter()
        self._gone: Counter[str] = Counter()  # totals of partitions that moved away

    def partition(self, number: int) -> PartitionMeter:
        """A fresh meter for a partition this worker takes."""
        if (old := self.partitions.get(number)) is not None:
            self._gone.update(_totals(old))
        meter = self.partitions[number] = PartitionMeter(number)
        return meter

    def drop(self, number: int) -> None:
        """The partition moved away; its totals stay."""
        if (old := self.partitions.pop(number, None)) is not None:
            self._gone.update(_totals(old))

    def totals(self) -> Counter[str]:
        """Counts since the worker started; blocked reasons as `blocked.<rule>`."""
        total = Counter(self._gone)
        total["superseded"] += self.superseded
        for meter in self.partitions.values():
            total.update(_totals(meter))
        return total

    def record(self, now_ms: int, seconds: float) -> bytes:
        """One JSON object: counts of the period, gauges of now."""
        total = self.totals()
        period = total - self._before
        self._before = total
        meters = list(self.partitions.values())
        return msgspec.json.encode(
            {
                "type": "worker.metrics",
                "worker": self.worker,
                "time_ms": now_ms,
                "period_s": round(seconds, 3),
                "decided": period["decided"],
                "passed": period["passed"],
                "blocked": _part(period, "blocked."),
                "duplicates": period["duplicates"],
                "dead_letters": period["dead"],
                "dead_reasons": _part(period, "dead."),
                "carried": period["carried"],
                "relay_lag": sum(meter.relay_lag for meter in meters),
                "recalled": period["recalled"],
                "superseded": period["superseded"],
                "transactions": period["transactions"],
                "decided_total": total["decided"],
                "lag": sum(meter.lag for meter in meters),
                "running": sorted(meter.partition for meter in meters if meter.life is Life.RUNNING),
                "standby": sorted(meter.partition for meter in meters if meter.life is Life.STANDBY),
                "barrier_wait_ms": _spread(meter.barrier_s for meter in meters),
                "commit_ms": _spread(meter.commit_s for meter in meters),
                "append_to_commit_ms": _spread(meter.append_s for meter in meters),
            }
        )


def _totals(meter: PartitionMeter) -> Counter[str]:
    names = ("decided", "passed", "duplicates", "recalled", "superseded", "transactions")
    counts = Counter({name: getattr(meter, name) for name in names})
    counts["dead"], counts["carried"] = meter.dead.total(), meter.carried.total()
    for head, parts in (("blocked", meter.blocked), ("dead", meter.dead), ("carried", meter.carried)):
        counts.update({f"{head}.{name}": count for name, count in parts.items()})
    return counts


def _part(total: Counter[str], head: str) -> dict[str, int]:
    """The counts whose names begin so, by the rest of their names."""
    return {key[len(head) :]: count for key, count in sorted(total.items()) if key.startswith(head)}


def _spread(series: Iterable[Iterable[float]]) -> dict[str, float]:
    values = [value for part in series for value in part]
    return {"p50": round(quantile(values, 0.5) * 1000, 2), "p99": round(quantile(values, 0.99) * 1000, 2)}


class _Collector:
    """Reads the meters whenever Prometheus asks."""

    def __init__(self, meter: WorkerMeter) -> None:
        self._meter = meter

    def collect(self) -> Iterator[Metric]:
        total = self._meter.totals()
        for name, words in (
            ("decided", "decisions committed"),
            ("passed", "requests that passed"),
            ("duplicates", "requests seen before"),
            ("dead", "messages that became dead letters"),
            ("recalled", "approvals recalled"),
            ("superseded", "opt-outs, stops and pauses that do not bind because a permission is newer"),
            ("transactions", "Kafka transactions committed"),
        ):
            yield CounterMetricFamily(f"contactgate_{name}", words, value=total[name])
        for head, label, words in (
            ("blocked", "rule", "failed rules of blocked requests"),
            ("dead_letters", "reason", "messages that became dead letters, by reason"),
            ("carried", "input", "records that lay in a wrong partition and were given to the relay"),
        ):
            family = CounterMetricFamily(f"contactgate_{head}", words, labels=[label])
            for name, count in _part(total, f"{head.removesuffix('_letters')}.").items():
                family.add_metric([name], count)
            yield family
        alerts = CounterMetricFamily("contactgate_alerts", "alerts raised", labels=["kind"])
        for kind, count in sorted(self._meter.alerts.items()):
            alerts.add_metric([kind], count)
        yield alerts
        lag = GaugeMetricFamily("contactgate_lag", "requests appended and not yet decided", labels=["partition"])
        running = GaugeMetricFamily("contactgate_running", "1: this worker decides the partition", labels=["partition"])
        for number, meter in sorted(self._meter.partitions.items()):
            lag.add_metric([str(number)], meter.lag)
            running.add_metric([str(number)], float(meter.life is Life.RUNNING))
        yield lag
        yield running
        relay = GaugeMetricFamily("contactgate_relay_lag", "carried records not appended yet", labels=["partition"])
        for number, meter in sorted(self._meter.partitions.items()):
            relay.add_metric([str(number)], meter.relay_lag)
        yield relay
        yield GaugeMetricFamily(
            "contactgate_relay_behind_seconds",
            "age of the oldest record the relay works on",
            value=self._meter.behind_s,
        )
        spreads: tuple[tuple[str, str, Callable[[PartitionMeter], Iterable[float]]], ...] = (
            ("barrier_wait", "wait at the order barrier", lambda meter: meter.barrier_s),
            ("commit", "begin to end of a transaction", lambda meter: meter.commit_s),
            ("append_to_commit", "append of a request to its committed decision", lambda meter: meter.append_s),
        )
        for name, words, series in spreads:
            values = [value for meter in self._meter.partitions.values() for value in series(meter)]
            gauge = GaugeMetricFamily(f"contactgate_{name}_seconds", words, labels=["quantile"])
            for share in (0.5, 0.99):
                gauge.add_metric([str(share)], quantile(values, share))
            yield gauge


def exposition(meter: WorkerMeter) -> Callable[[], bytes]:
    """A function that renders the worker's metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    collector: Any = _Collector(meter)
    registry.register(collector)
    return lambda: bytes(generate_latest(registry))

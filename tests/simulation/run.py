"""One simulated life from one seed: a cluster, workers, clients, faults; then healing, draining, and the history.

Nothing here looks at a real clock, starts a thread, or draws from anything but `random.Random(seed)`. The history is
plain data (dicts, tuples, bytes) for `checker.check`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation.clients import Clients, token_of
from tests.simulation.host import Crash, Host, Worker
from tests.simulation.kit import KITS, Kit
from tests.simulation.log import Cluster, Entry
from tests.simulation.pump import Pump
from tests.simulation.replay import replay

from contactgate.errors import BrokerError
from contactgate.model.log import Record, murmur2
from contactgate.partition.fold import META_KEY
from contactgate.partition.task import Limits, PartitionTask

START_MS = 1_772_445_600_000  # 2026-03-02T10:00:00Z
TOMBSTONE_MS = 3_600_000
DRAIN_STEPS = 3_000


@dataclass(frozen=True)
class Make:
    """What a seeded bug replaces."""

    task: type[PartitionTask] = PartitionTask
    host: type[Host] = Host
    pump: type[Pump] = Pump
    kit: Kit | None = None


class Simulation:
    """One life."""

    def __init__(self, seed: int, make: Make | None = None, *, tracing: bool = False) -> None:
        self.seed = seed
        self.rng = rng = Random(seed)
        self.make = make or Make()
        self.tracing = tracing
        self.lines: list[str] = []
        self.counters: Counter[str] = Counter()
        self.alerts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.ops: list[dict[str, Any]] = []
        self.delayed: list[tuple[str, int]] = []
        self.step = 0
        kit = rng.choice(("small", "small", "small", "small", "small", "small", "packed", "real"))
        self.kit = self.make.kit or KITS[kit]
        self.partitions = rng.choice((1, 1, 2))
        self.error_rate = rng.choice((0.0, 0.02, 0.06, 0.12))
        self.crash_rate = rng.choice((0.0, 0.005, 0.015, 0.04))
        self.move_rate = rng.choice((0.0, 0.02, 0.06))
        self.jump_rate = rng.choice((0.0, 0.0, 0.02))
        self.slow_facts = rng.random() < 0.5
        self.world_rate = rng.choice((0.05, 0.3, 1.0))  # how eagerly workers read the broadcast topics
        # Facts held in memory. Drawn apart, so that it changes nothing else about a seed.
        self.room = Random(~seed).choice((1, 3, 10_000, 10_000))
        self.pump_rate = Random(~seed).choice((0.5, 0.5, 0.05))  # how eagerly the relay works
        self.healing = False
        skew_ms = rng.choice((0, 0, 1_000, 20_000))
        self.length = rng.randrange(80, 220)
        self.long_at = rng.randrange(30, self.length) if rng.random() < 0.06 else None
        self.limits = Limits(
            batch=rng.choice((1, 2, 3, 50)),
            cache=rng.choice((2, 4, 100)),
            rotate_records=rng.choice((15, 40, 1_000_000)),
            heartbeat_ms=rng.choice((400, 5_000, 43_200_000)),
            tombstone_ms=TOMBSTONE_MS,
        )
        self.cluster = Cluster(self.partitions)
        self.cluster.now = START_MS
        self.workers = [Worker(self, n) for n in range(rng.choice((2, 2, 3)))]
        for worker in self.workers:
            worker.skew_ms = rng.randrange(-skew_ms, skew_ms + 1)
        self.assignment: dict[int, tuple[int, int | None]] = {}
        self.clients = Clients(self, self.partitions)
        if self.clients.astray_rate:  # what is carried needs two partitions to work
            self.length *= 3

    def owner(self, key: bytes) -> int:
        """The partition of a key."""
        return murmur2(key) % self.partitions

    # --- telling --------------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """A line of the trace."""
        if self.tracing:
            self.lines.append(f"{self.step:4d} {self.cluster.now - START_MS:8d} {text}")

    def fatal(self, text: str) -> None:
        """A task ended in a way that needs an operator: never right here."""
        self.note(f"FATAL {text}")
        self.faults.append(text)

    # --- the life -------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """All of it; the history."""
        rng = self.rng
        self.clients.begin()
        for worker in self.workers:
            worker.start()
        for p in range(self.partitions):
            self._assign(p)
        for worker in self.workers:
            worker.hear()
        for step in range(1, self.length + 1):
            self.step = step
            self.cluster.now += rng.randrange(1, 60)
            draw = rng.random()
            if draw < 0.72:
                self._step_worker(rng.choice(self.workers))
            elif draw < 0.92:
                self.clients.act()
            else:
                self._happen()
            if self.step == self.long_at:
                self._long()
        drained = self._drain()
        return self._history(drained)

    def _long(self) -> None:
        """A partition moves away, subjects are forgotten elsewhere, all is down for long, the partition comes back."""
        rates = self.error_rate, self.crash_rate
        self.error_rate = self.crash_rate = 0.0
        self._quiet()
        owners = {p: owner for p, (owner, _) in self.assignment.items()}
        for p in owners:
            self._move(p, None)
            self.assignment[p] = self.assignment[p][0], None
        self.clients.forget_all()
        self._quiet()
        for p in owners:
            self._compact(p)
        self._jump(long=True)
        for p, owner in owners.items():
            if self.rng.random() < 0.7:
                self.assignment[p] = owner, None
        self.error_rate, self.crash_rate = rates

    def _quiet(self) -> None:
        """Everybody hears the assignment, and works for a while."""
        for worker in self.workers:
            if not worker.up:
                worker.start()
            worker.hear()
        for _ in range(40):
            self.cluster.now += 1
            for worker in self.workers:
                worker.converge()
                worker.read_world()
                for host in worker.hosts.values():
                    host.step()

    def _assign(self, p: int) -> None:
        """Somebody owns a partition; perhaps somebody stands by."""
        numbers = [worker.number for worker in self.workers]
        owner = self.rng.choice(numbers)
        others = [number for number in numbers if number != owner]
        self.assignment[p] = owner, self.rng.choice([*others, None])

    def _step_worker(self, worker: Worker) -> None:
        if not worker.up:
            worker.down_for -= 1
            if worker.down_for <= 0:
                worker.start()
                worker.hear()
            return
        worker.converge()
        if self.rng.random() < 0.2:
            worker.read_world()
        if not worker.hosts:
            return
        host = self.rng.choice(list(worker.hosts.values()))
        try:
            host.step()
            for each in worker.hosts.values():
                each.carry()
        except Crash:
            self._crash(worker)

    def _crash(self, worker: Worker) -> None:
        rng = self.rng
        worker.crash()
        worker.down_for = rng.choice((1, 3, 10))
        for disk in worker.disks.values():
            fate = rng.random()
            if fate < 0.15 and disk.journal:
                disk.rewind(rng.randrange(len(disk.journal)))  # power loss, or an old copy
            elif fate < 0.22:
                disk.wipe()
            elif fate < 0.28:
                disk.damaged = True
                self.counters["store damaged"] += 1
        if rng.random() < 0.6:
            self._move_from(worker)

    def _move_from(self, worker: Worker) -> None:
        """The group gives a worker's partitions to others, its standby first."""
        for p, (owner, standby) in list(self.assignment.items()):
            if owner == worker.number:
                self._move(p, standby)

    def _move(self, p: int, to: int | None) -> None:
        owner, _ = self.assignment[p]
        others = [w.number for w in self.workers if w.number != owner]
        new = to if to is not None else self.rng.choice(others)
        self.assignment[p] = new, self.rng.choice([n for n in (owner, None) if n != new])
        self.note(f"partition {p} moves {owner} -> {new}, standby {self.assignment[p][1]}")
        # Some hear of it at once, some later: until then they are zombies.
        for worker in self.workers:
            if worker.up and self.rng.random() < 0.6:
                worker.hear()

    def _happen(self) -> None:
        """Something that nobody asked for."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.25:
            for worker in self.workers:
                if worker.up and rng.random() < 0.7:
                    worker.hear()
        elif draw < 0.45:
            self._deliver()
        elif draw < 0.6:
            self.cluster.write_markers(count=1)
        elif draw < 0.75:
            self._compact(rng.randrange(self.partitions))
        elif rng.random() < self.move_rate * 10:
            self._move(rng.randrange(self.partitions), None)
        elif rng.random() < self.error_rate:
            if self.cluster.expire(f"gate-{rng.randrange(self.partitions)}"):
                self.counters["transaction timed out"] += 1
        elif rng.random() < self.error_rate:
            disk = rng.choice([d for w in self.workers for d in w.disks.values()] or [None])
            if disk is not None:
                disk.damaged = True
                self.counters["store damaged"] += 1
        elif rng.random() < self.jump_rate * 10:
            self._jump(long=False)

    def _jump(self, *, long: bool) -> None:
        """Time passes at once; a long time only while nobody reads the changelog, as all workers are down."""
        self.note("time jumps")
        if long:
            self.clients.forget_ids()
            for worker in self.workers:
                if worker.up:
                    self._crash(worker)
        self.cluster.now += 2 * TOMBSTONE_MS if long else self.rng.choice((200_000, 620_000))
        if long:
            for p in range(self.partitions):
                self._compact(p)

    def _compact(self, p: int) -> None:
        part = self.cluster.part("changelog", p)
        upto = part.hw - self.rng.choice((0, 0, 1, 4))
        self.counters["tombstone removed"] += part.compact(upto, self.cluster.now, TOMBSTONE_MS + 600_000)
        self.counters["compaction"] += 1

    def _deliver(self) -> None:
        """EndTxn requests that were on their way arrive now."""
        delayed, self.delayed = self.delayed, []
        for name, epoch in delayed:
            try:
                self.cluster.end(name, epoch, commit=True)
                self.note(f"a late commit of {name} epoch {epoch} took effect")
                self.counters["late commit that took effect"] += 1
            except BrokerError as error:  # refused: nobody is there to be told
                self.note(f"a late commit of {name} epoch {epoch}: {error}")
                self.counters["late commit refused"] += 1

    # --- healing --------------------------------------------------------------------------------------------------

    def _drain(self) -> bool:
        """No more faults, no more clients; whether everything was processed in time."""
        self.note("heal")
        self.healing = True
        self.error_rate = self.crash_rate = 0.0
        self.slow_facts, self.world_rate, self.pump_rate = False, 1.0, 1.0
        self._deliver()
        while self.clients.txns:
            self.clients.settle()
        for op in self.clients.retry:
            self.clients.request(*op)
        for worker in self.workers:
            if not worker.up:
                worker.start()
            worker.hear()
        start, control, suppression = self.step, self.cluster.part("control", 0), self.cluster.part("suppression", 0)
        for step in range(start + 1, start + DRAIN_STEPS):
            self.step = step
            self.cluster.now += 1
            self.cluster.write_markers()  # what is committed is seen in the end, whoever writes next
            busy = False
            for worker in self.workers:
                worker.converge()
                if worker.broadcast.control < control.hw or worker.broadcast.suppression < suppression.hw:
                    worker.read_world()
                for host in list(worker.hosts.values()):
                    if host.promoted or host.stopping:
                        host.step()
                        host.carry()
                for p, host in list(worker.hosts.items()):
                    if p in worker.active and not self._settled(host):
                        busy = True
                    if host.stopping:
                        busy = True
                if any(p not in worker.hosts for p in worker.active):
                    busy = True
            if not busy:
                return True
        return False

    def _origins(self, topic: str, number: int) -> dict[int, tuple[str, int, int]]:
        """Of each carried record by its offset: kind, partition and offset that it comes from."""
        gate = self.kit.gate(self.kit.world(), number, 0, "", self.partitions)
        found = {}
        for entry in self.cluster.part(topic, number).entries:
            headers = dict(entry.headers)
            kind = headers.get("cg-target", topic.encode()).decode()
            if not entry.marker and headers:
                rec = Record(kind, number, entry.offset, entry.ts, entry.key, entry.value, 0, list(entry.headers))
                if (origin := gate.origin(rec)) is not None:
                    found[entry.offset] = (str(origin.kind), origin.partition, origin.offset)
        return found

    def _settled(self, host: Host) -> bool:
        """Everything read, decided, reviewed; two idle ticks with nothing to do; no heartbeat half written."""
        fold, part = host.task.fold, self.cluster.part
        if fold is None or host.pump is None or (self.partitions > 1 and not host.pump.idle):
            return False
        if host.idle < 2 or fold.reviewing or self.cluster.is_open(host.transactional_id):
            return False
        ends = tuple(part(topic, host.partition).hw for topic in ("consent", "outcome", "request"))
        return (
            tuple(fold.meta.positions) == ends
            and host.worker.broadcast.control == part("control", 0).hw
            and host.worker.broadcast.suppression == part("suppression", 0).hw
        )

    # --- the history ----------------------------------------------------------------------------------------------

    def _history(self, drained: bool) -> dict[str, Any]:
        self.cluster.write_markers()
        if any(part.open for part in self.cluster.parts.values()):
            self.faults.append("a transaction is open after the end")
        partitions = {p: self._partition(p) for p in range(self.partitions)}
        part = self.cluster.part
        replayed = {
            p: replay(
                self.kit,
                p,
                self.partitions,
                [txn["meta_bytes"] for txn in partitions[p]["txns"]],
                {topic: part(topic, p).entries for topic in ("consent", "outcome", "request")}
                | {topic: part(topic, 0).entries for topic in ("control", "suppression")},
            )
            for p in partitions
        }
        self.counters["aborted transaction"] += self.cluster.aborted
        return {
            "seed": self.seed,
            "end_ms": self.cluster.now,
            "drained": drained,
            "faults": self.faults,
            "alerts": dict(self.alerts),
            "ops": self.ops,
            "tokens": {s.name: token_of(s.address) for s in self.clients.everybody},
            "inputs": {
                **{
                    (topic, p): _visible(part(topic, p).entries)
                    for topic in ("consent", "outcome", "request")
                    for p in partitions
                },
                **{(topic, 0): _visible(part(topic, 0).entries) for topic in ("control", "suppression")},
            },
            "owners": {s.name: s.partition for s in self.clients.everybody},
            "origins": {
                (topic, p): self._origins(topic, p)
                for topic in ("consent", "outcome", "request", "relay")
                for p in partitions
            },
            "partitions": partitions,
            "replayed": replayed,
            "loose": [
                (topic, number, entry.offset)
                for (topic, number), each in self.cluster.parts.items()
                if topic in ("changelog", "decision", "approval", "dead", "relay")
                for entry in each.entries
                if entry.txn is None
            ],
        }

    def _partition(self, p: int) -> dict[str, Any]:
        part = self.cluster.part
        txns: dict[Any, dict[str, Any]] = {}
        for entry in part("changelog", p).entries:
            if entry.committed:
                txn = txns.setdefault(entry.txn or entry.offset, _empty(entry))
                if entry.key == META_KEY:
                    txn["metas"] += 1
                    txn["meta_bytes"] = entry.value
                else:
                    txn["states"].append((entry.key, entry.value))
        for topic, kind in (("decision", "decisions"), ("approval", "approvals"), ("dead", "dead"), ("relay", "relay")):
            number = p if topic in ("decision", "relay") else 0
            for entry in part(topic, number).entries:
                if entry.committed:
                    if entry.txn in txns:
                        txns[entry.txn][kind].append((entry.offset, entry.key, entry.value))
                    elif topic in ("decision", "relay"):
                        txns.setdefault(entry.txn or entry.offset, _empty(entry))[kind].append(
                            (entry.offset, entry.key, entry.value)
                        )
        owner = self.workers[self.assignment[p][0]]
        disk = owner.disks.get(p)
        latest = part("changelog", p).latest()
        latest.pop(META_KEY, None)
        return {
            "txns": list(txns.values()),
            "changelog": latest,
            "store": {} if disk is None else dict(disk.states),
            "offsets": self.cluster.offsets.get(p),
            "ends": tuple(part(topic, p).hw for topic in ("consent", "outcome", "request")),
        }


def _empty(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.txn.number if entry.txn else None,
        "offsets": dict(entry.txn.offsets) if entry.txn else {},
        "metas": 0,
        "meta_bytes": b"",
        "states": [],
        "decisions": [],
        "approvals": [],
        "dead": [],
        "relay": [],
    }


def _visible(entries: list[Entry]) -> list[tuple[int, int, bytes | None, bytes | None]]:
    return [(e.offset, e.ts, e.key, e.value) for e in entries if e.committed]


def simulate(seed: int, make: Make | None = None) -> tuple[dict[str, Any], Counter[str]]:
    """The history of one seed, and what happened in it."""
    sim = Simulation(seed, make)
    return sim.run(), sim.counters

"""Simulated workers: each hosts real partition tasks and carries out their effects on the simulated log and disks.

A `Host` is the counterpart of `engine.driver.Driver`, a `Worker` of `engine.worker.Worker`: one effect a step, so that
anything may happen between two effects. The places where a seeded bug differs are methods of their own.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.lane import Lane
from tests.simulation.log import Part
from tests.simulation.pump import Pump
from tests.simulation.shelf import Disk

from contactgate.errors import (
    BarrierTimeout,
    BrokerError,
    BrokerUnavailable,
    ContactgateError,
    Fenced,
    StoreError,
)
from contactgate.model.log import Bounds, Record
from contactgate.partition import effects as fx
from contactgate.partition.broadcast import Broadcast
from contactgate.partition.task import PartitionTask

if TYPE_CHECKING:
    from tests.simulation.run import Simulation


class NotYet(Exception):
    """The effect waits: it is tried again at the host's next step."""


class Crash(Exception):
    """The worker's process is killed here."""


class Host:
    """One partition on one worker."""

    def __init__(self, sim: Simulation, worker: Worker, partition: int, *, standby: bool) -> None:
        self.sim = sim
        self.rng: Random = sim.rng
        self.worker = worker
        self.partition = partition
        self.standby = standby
        self.promoted = not standby
        self.stopping = False
        self.done = False
        self.pause = 0  # steps before this one may be started again
        self.epoch: int | None = None  # of the producer; None: there is none
        self.lanes: dict[str, Lane] = {}
        self.ends: tuple[int, int, int, int] | None = None  # the barrier's answer, asked after the fetch
        self.pump: Pump | None = None  # while inputs are read
        self.waits = 0
        self.idle = 0  # empty inputs in a row
        self.task: PartitionTask = sim.make.task(
            partition, worker.make_gate, worker.broadcast, sim.kit.codec, sim.limits
        )
        self.disk: Disk = worker.disks.setdefault(partition, Disk())
        self.steps = self.task.run(standby=standby)
        self.effect: fx.Effect | None = None
        self._do = {
            fx.StoreOpen: self.store_open,
            fx.StoreWrite: self.store_write,
            fx.InitProducer: self.init_producer,
            fx.DropProducer: self.drop_producer,
            fx.ReadEnd: self.read_end,
            fx.FetchChangelog: self.fetch_changelog,
            fx.Committed: self.committed,
            fx.StartInputs: self.start_inputs,
            fx.NextInput: self.next_input,
            fx.Barrier: self.barrier,
            fx.Begin: self.begin,
            fx.Produce: self.produce,
            fx.SendOffsets: self.send_offsets,
            fx.Commit: self.commit,
            fx.Sleep: self.sleep,
            fx.Now: self.now,
            fx.Alert: self.alert,
        }
        self._advance(lambda: next(self.steps))

    # --- one step -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """For the trace."""
        return f"w{self.worker.number}p{self.partition}{'s' if not self.promoted else ''}"

    def step(self) -> None:
        """Carry out the pending effect. Raises Crash."""
        effect, sim = self.effect, self.sim
        if self.done or effect is None:
            return
        kind = type(effect)
        if sim.rng.random() < sim.crash_rate:
            sim.note(f"{self.name} crash before {kind.__name__}")
            self._count_crash(effect, after=False)
            raise Crash
        try:
            result = self._do[kind](effect)
        except NotYet:
            return
        except (ContactgateError, fx.StopAsked) as error:
            fault = error
            sim.note(f"{self.name} {kind.__name__} -> {type(fault).__name__}: {fault}")
            self._advance(lambda: self.steps.throw(fault))
        else:
            if sim.tracing:
                sim.note(f"{self.name} {_brief(effect)} -> {_brief(result)}")
            if sim.rng.random() < sim.crash_rate:
                sim.note(f"{self.name} crash after {kind.__name__}")
                self._count_crash(effect, after=True)
                raise Crash
            self._advance(lambda: self.steps.send(result))

    def carry(self) -> None:
        """Perhaps a step of the pump. Raises Crash."""
        sim, pump = self.sim, self.pump
        if pump is None or pump.idle or sim.partitions == 1 or sim.rng.random() > sim.pump_rate:
            return
        for after in (False, True):
            if sim.rng.random() < sim.crash_rate:
                sim.note(f"{pump.name} crash {'after' if after else 'before'} a step")
                sim.counters["crash"] += 1
                sim.counters["crash of the relay"] += 1
                raise Crash
            if not after:
                pump.step()

    def _count_crash(self, effect: fx.Effect, *, after: bool) -> None:
        counters = self.sim.counters
        counters["crash"] += 1
        kind = type(effect)
        if (kind is fx.Commit and after) or (kind is fx.StoreWrite and not after and self.task.ready):
            counters["crash between commit and store write"] += 1
        elif kind is fx.FetchChangelog or (kind is fx.StoreWrite and not self.task.ready):
            counters["crash during restore"] += 1

    def _advance(self, move: Any) -> None:
        try:
            self.effect = move()
        except StopIteration:
            self._end()
        except Fenced:
            self.sim.counters["fenced producer"] += 1
            self.pause = 6
            self._end()
        except ContactgateError as error:
            self.sim.fatal(f"{self.name}: {type(error).__name__}: {error}")
            self._end()

    def _end(self) -> None:
        self.done = True
        self.effect = None
        self.pump = None

    def fail(self, before: bool = True) -> None:
        """Perhaps a broker error here."""
        if self.rng.random() < self.sim.error_rate:
            raise BrokerUnavailable("no answer" if before else "the answer was lost")

    def stop_here(self) -> None:
        """A stop is heeded here."""
        if self.stopping:
            raise fx.StopAsked

    # --- store ----------------------------------------------------------------------------------------------------

    def store_open(self, effect: fx.StoreOpen) -> Disk:
        """Open or reset."""
        if effect.reset is not None:
            self.disk.wipe()
        if self.rng.random() < self.sim.error_rate / 4:
            raise StoreError("the local state is in use")
        return self.disk.open()

    def store_write(self, effect: fx.StoreWrite) -> None:
        """One batch."""
        if self.rng.random() < self.sim.error_rate / 2:
            raise StoreError("no space left on the device")
        self.disk.write(effect.states, effect.opened, effect.head, effect.purge_before_ms)

    # --- changelog and positions ----------------------------------------------------------------------------------

    def read_end(self, effect: fx.ReadEnd) -> Bounds:
        """Bounds."""
        self.fail()
        part = self.sim.cluster.part(effect.topic, self.partition)
        return Bounds(0, part.lso if effect.committed else part.hw)

    def fetch_changelog(self, effect: fx.FetchChangelog) -> fx.Tail:
        """Some records; a gap at the end is stepped over only up to `until`."""
        self.fail()
        found, position = self.read_changelog(effect.start, self.rng.choice((1, 2, 5, 50)))
        if effect.until is None:
            self.stop_here()
            if position == effect.start and not self.promoted:
                raise NotYet
            if self.promoted and self.sim.cluster.part("changelog", self.partition).lso > position:
                self.sim.counters["standby promoted with a tail to read"] += 1
        elif position == effect.start:
            self.sim.counters["gap at the end of the changelog"] += 1
            position = effect.until
        return fx.Tail([(e.key or b"", e.value) for e in found], position, self.promoted and effect.until is None)

    def read_changelog(self, start: int, limit: int) -> tuple[list[Any], int]:
        """read_committed."""
        return self.sim.cluster.part("changelog", self.partition).read(start, limit)

    def committed(self, _: fx.Committed) -> tuple[int | None, ...]:
        """The group's offsets."""
        self.fail()
        return self.sim.cluster.offsets.get(self.partition, (None, None, None))

    # --- inputs ---------------------------------------------------------------------------------------------------

    def start_inputs(self, effect: fx.StartInputs) -> None:
        """Waits for the broadcast tables."""
        self.stop_here()
        self.worker.read_world()
        if not self.worker.world_complete:
            raise NotYet
        self.fail()
        part = self.sim.cluster.part
        self.lanes = {
            topic: Lane(part(topic, self.partition), start, self.sim.room)
            for topic, start in zip(("consent", "outcome", "request"), effect.positions, strict=True)
        }
        self.ends = None
        self.pump = self.sim.make.pump(self)

    def next_input(self, effect: fx.NextInput) -> fx.Input:
        """Requests, facts, world changes, or an idle tick."""
        self.stop_here()
        self.fail()
        rng, lanes = self.rng, self.lanes
        request = lanes["request"]
        request.read(rng.choice((1, 3, 50)))
        if not self.sim.slow_facts or rng.random() < 0.3:
            lanes["consent"].read(rng.choice((1, 50)))
            lanes["outcome"].read(rng.choice((1, 50)))
        busy = request.records or lanes["consent"].records or lanes["outcome"].records
        waiting = busy or effect.pending.full or effect.pending.tokens
        if not waiting and not self.sim.healing and rng.random() < 0.7:
            raise NotYet
        self.idle = 0 if waiting else self.idle + 1
        records = request.take(self.sim.limits.batch)
        self.waits = 0
        self.ends = self.ask_ends() if rng.random() < 0.5 else None
        return fx.Input(records, request.taken, self.worker.now_ms())

    def ask_ends(self) -> tuple[int, int, int, int]:
        """The barrier's question: the high watermarks now."""
        part = self.sim.cluster.part
        return (
            part("consent", self.partition).hw,
            part("outcome", self.partition).hw,
            part("control", 0).hw,
            part("suppression", 0).hw,
        )

    def barrier(self, effect: fx.Barrier) -> fx.Passed:
        """Until everything below the ends is read."""
        self.stop_here()
        consent, outcome = self.lanes["consent"], self.lanes["outcome"]
        whole = True
        if effect.hold:
            if self.ends is None or (effect.attempt and not self.waits):
                self.ends = self.ask_ends()
            whole = self.reached(self.ends)
            if not whole and self.worlds_reached(self.ends) and (consent.full or outcome.full):
                self.sim.counters["barrier passed in parts"] += 1
                self.waits = 0
            elif not whole:
                self.waits += 1
                if self.waits > 4 or self.rng.random() < self.sim.error_rate:
                    self.waits = 0
                    self.sim.counters["barrier timeout"] += 1
                    raise BarrierTimeout("waited for the ends")
                raise NotYet
        return fx.Passed(consent.take(), consent.next, outcome.take(), outcome.next, self.worker.now_ms(), whole)

    def reached(self, ends: tuple[int, int, int, int]) -> bool:
        """Read on; whether all of it is read."""
        self.worker.read_world()
        for place, topic in enumerate(("consent", "outcome")):
            lane = self.lanes[topic]
            if lane.next < ends[place]:
                lane.read(self.rng.choice((1, 50)))
            if lane.next < ends[place]:
                return False
        return self.worlds_reached(ends)

    def worlds_reached(self, ends: tuple[int, int, int, int]) -> bool:
        """Whether the broadcast topics are read up to the ends."""
        world = self.worker.broadcast
        return world.control >= ends[2] and world.suppression >= ends[3]

    # --- transaction ----------------------------------------------------------------------------------------------

    @property
    def transactional_id(self) -> str:
        """One id per partition, no matter which worker runs it."""
        return f"gate-{self.partition}"

    def init_producer(self, _: fx.InitProducer) -> None:
        """Fences the previous owner."""
        self.fail()
        self.epoch = None
        epoch = self.sim.cluster.init(self.transactional_id)
        self.fail(before=False)
        self.epoch = epoch

    def drop_producer(self, _: fx.DropProducer) -> None:
        """Forget it."""
        self.epoch = None
        self.lanes = {}
        self.pump = None

    def _epoch(self) -> int:
        if self.epoch is None:
            raise BrokerError("there is no producer; the previous one was thrown away")
        return self.epoch

    def begin(self, _: fx.Begin) -> None:
        """Nothing goes to the broker."""
        self._epoch()

    def produce(self, effect: fx.Produce) -> None:
        """Partition by partition; a failure leaves some of them written."""
        cluster, p = self.sim.cluster, self.partition
        parts: dict[Part, list[tuple[bytes | None, bytes | None, Any]]] = {}
        for out in effect.outs:
            if out.kind == "decision":
                part = cluster.part("decision", p)
            elif out.kind == "approval":
                part = cluster.part("approval", 0)
            elif out.kind == "relay":
                part = cluster.part("relay", p)
            else:
                part = cluster.part("dead", 0)
            parts.setdefault(part, []).append((out.key, out.value, out.headers if out.kind == "relay" else ()))
        states = [(key, value, ()) for key, value in effect.changelog]
        parts.setdefault(cluster.part("changelog", p), []).extend(states)
        queue = list(parts.items())
        broken = len(queue)
        if self.rng.random() < self.sim.error_rate:
            self.rng.shuffle(queue)
            broken = self.rng.randrange(len(queue))
        self._changelog_next = 0
        for place, (part, records) in enumerate(queue):
            if place == broken:
                self.partial()
                return
            txn = cluster.transaction(self.transactional_id, self._epoch())
            for key, value, headers in records:
                now_ms = effect.timestamp_ms if part.topic == "changelog" else cluster.now
                offset = part.append(now_ms, key, value, txn, headers)
                if part.topic == "changelog":
                    self._changelog_next = offset + 1

    def partial(self) -> None:
        """Not every batch was acknowledged."""
        raise BrokerUnavailable("a batch was not acknowledged")

    def send_offsets(self, effect: fx.SendOffsets) -> int:
        """Into the transaction."""
        self.fail()
        txn = self.sim.cluster.transaction(self.transactional_id, self._epoch())
        txn.offsets[self.partition] = tuple(effect.positions)
        self.fail(before=False)
        return self._changelog_next

    def commit(self, _: fx.Commit) -> None:
        """EndTxn: it arrives or not, now or late, and its answer too."""
        sim, cluster, rng = self.sim, self.sim.cluster, self.rng
        name, epoch = self.transactional_id, self._epoch()
        if rng.random() < sim.error_rate * 3:
            fate = rng.random()
            if fate < 0.4:
                cluster.end(name, epoch, commit=True)
                sim.counters["unknown commit that took effect"] += 1
            elif fate < 0.7:
                sim.counters["unknown commit that did not"] += 1
            else:
                sim.delayed.append((name, epoch))
                sim.counters["unknown commit that came late"] += 1
            raise BrokerUnavailable("no answer to the commit")
        cluster.end(name, epoch, commit=True)
        if rng.random() < 0.7:
            cluster.write_markers(name)

    # --- the rest -------------------------------------------------------------------------------------------------

    def sleep(self, _: fx.Sleep) -> None:
        """One step."""
        self.stop_here()

    def now(self, _: fx.Now) -> int:
        """The worker's wall clock."""
        return self.worker.now_ms()

    def alert(self, effect: fx.Alert) -> None:
        """Counted."""
        self.sim.alerts[effect.kind] += 1
        self.sim.counters["producer rotated"] += effect.kind == "producer.rotated"


class Worker:
    """One process: its world, its partitions, its disks, and what it believes is assigned to it."""

    def __init__(self, sim: Simulation, number: int) -> None:
        self.sim = sim
        self.number = number
        self.disks: dict[int, Disk] = {}
        self.hosts: dict[int, Host] = {}
        self.active: set[int] = set()  # as last heard
        self.standby: set[int] = set()
        self.up = False
        self.skew_ms = 0
        self.down_for = 0

    def start(self) -> None:
        """A new process: an empty world, read from the beginning."""
        sim = self.sim
        self.world = sim.kit.world()
        self.broadcast = Broadcast(sim.kit.feed(self.world))
        self._world_ends = (sim.cluster.part("control", 0).hw, sim.cluster.part("suppression", 0).hw)
        self.hosts = {}
        self.up = True
        self.active, self.standby = set(), set()

    def crash(self) -> None:
        """kill -9."""
        for host in self.hosts.values():
            host.steps.close()
        self.hosts = {}
        self.up = False

    def make_gate(self, partition: int, seq: int, prev: str) -> Any:
        """ports.GateFactory."""
        return self.sim.kit.gate(self.world, partition, seq, prev, self.sim.partitions)

    def now_ms(self) -> int:
        """This machine's clock."""
        return self.sim.cluster.now + self.skew_ms

    def read_world(self) -> None:
        """Some of the broadcast topics."""
        rng, cluster, broadcast = self.sim.rng, self.sim.cluster, self.broadcast
        if rng.random() > self.sim.world_rate:
            return
        for topic, position, sink in (
            ("control", broadcast.control, broadcast.read_control),
            ("suppression", broadcast.suppression, broadcast.read_suppression),
        ):
            part = cluster.part(topic, 0)
            if position < part.lso:
                found, after = part.read(position, rng.choice((1, 50)))
                sink([Record(topic, 0, e.offset, e.ts, e.key, e.value) for e in found], after)

    @property
    def world_complete(self) -> bool:
        """Read to the ends found at the start."""
        return self.broadcast.control >= self._world_ends[0] and self.broadcast.suppression >= self._world_ends[1]

    def hear(self) -> None:
        """Learn the present assignment."""
        assignment = self.sim.assignment
        self.active = {p for p, (owner, _) in assignment.items() if owner == self.number}
        self.standby = {p for p, (_, other) in assignment.items() if other == self.number}

    def converge(self) -> None:
        """Start, promote and stop as assigned; never two of one partition."""
        for p, host in list(self.hosts.items()):
            if host.done:
                if host.pause:
                    host.pause -= 1
                else:
                    del self.hosts[p]
                continue
            if p in self.active and host.standby:
                host.standby = False
                host.promoted = True
            elif p not in self.active and (p not in self.standby or not host.standby):
                host.stopping = True
        for p in self.sim.assignment:
            if p not in self.hosts and (p in self.active or p in self.standby):
                self.hosts[p] = self.sim.make.host(self.sim, self, p, standby=p not in self.active)


def _brief(thing: Any) -> str:
    text = repr(thing) if not isinstance(thing, Disk) else f"Disk(head={thing.head()})"
    return text if len(text) < 160 else text[:157] + "..."

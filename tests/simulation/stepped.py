"""One partition stepped by hand on the simulated Kafka: for tests that put one failure at one step.

`Stage` is a simulation in which nothing happens but what the test does: no fault, no clock, one partition, the counting
gate. `Stepped` is a host on it whose every effect the test carries out, fails, or fails after it was carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from tests.kit.countgate import CountCodec, CountGate, CountWorld
from tests.simulation.host import Host, NotYet, Worker
from tests.simulation.kit import Kit
from tests.simulation.log import Cluster, Entry
from tests.simulation.run import START_MS, Make, Simulation
from tests.simulation.shelf import Disk

from contactgate.errors import ContactgateError
from contactgate.model.log import Positions
from contactgate.partition import effects as fx
from contactgate.partition.fold import META_KEY
from contactgate.partition.task import Limits


def _gate(world: CountWorld, partition: int, seq: int, prev: str, partitions: int) -> CountGate:
    """Nothing lies in a wrong partition of these logs, so how many there are is nothing to it."""
    del partitions
    return CountGate(world, partition, seq, prev)


COUNTING = Kit("count", CountCodec(), CountWorld, lambda world: world, _gate)
INPUTS = ("consent", "outcome", "request")


class Stage(Simulation):
    """The simulated Kafka of one partition, and processes that the test starts on it."""

    def __init__(self) -> None:
        super().__init__(0, Make(kit=COUNTING))
        self.error_rate = self.crash_rate = self.move_rate = self.jump_rate = 0.0
        self.slow_facts, self.world_rate, self.healing = False, 1.0, True
        self.room = 10_000
        self.limits = Limits(batch=5, cache=8)
        self.cluster = Cluster(1)
        self.cluster.now = START_MS
        self._processes = 0

    def process(self, disk: Disk, *, standby: bool = False) -> Stepped:
        """A new process with this disk."""
        worker = Worker(self, self._processes)
        worker.disks[0] = disk
        worker.start()
        self._processes += 1
        return Stepped(self, worker, 0, standby=standby)

    def append(self, kind: str, key: str, value: dict[str, Any]) -> None:
        """An acknowledged input record, a millisecond later than the one before."""
        self.cluster.now += 1
        self.cluster.part(kind, 0).append(self.cluster.now, key.encode(), msgspec.json.encode(value))

    def committed(self, topic: str) -> list[Entry]:
        """The records of a topic that a reader of committed records sees, in order."""
        self.cluster.write_markers()
        part = self.cluster.part(topic, 0)
        return part.read(0, part.hw)[0]

    def states(self) -> dict[bytes, bytes]:
        """What the changelog holds of subjects."""
        self.cluster.write_markers()
        return {key: value for key, value in self.cluster.part("changelog", 0).latest().items() if key != META_KEY}

    def ends(self) -> Positions:
        """Where the inputs end."""
        return Positions(*(self.cluster.part(kind, 0).hw for kind in INPUTS))


class Stepped(Host):
    """A host that remembers what it did: `trace` of effects, `alerts`, and what `ended` it."""

    def __init__(self, sim: Stage, worker: Worker, partition: int, *, standby: bool) -> None:
        self.trace: list[str] = []
        self.alerts: list[str] = []
        self.ended: ContactgateError | None = None
        super().__init__(sim, worker, partition, standby=standby)
        self._stage = sim

    def step(self, fault: Exception | None = None, *, after: bool = False) -> None:
        """Carry out the pending effect; `fault` is thrown instead, or (`after`) although it was carried out."""
        effect = self.effect
        if effect is None:
            return
        self.trace.append(type(effect).__name__)
        if fault is None:
            super().step()
            return
        thrown = fault
        if after:
            try:
                self._do[type(effect)](effect)
            except NotYet:  # it is still waiting when it fails
                pass
            except (ContactgateError, fx.StopAsked) as error:
                thrown = error
        self._advance(lambda: self.steps.throw(thrown))

    def _advance(self, move: Callable[[], Any]) -> None:
        def watched() -> Any:
            try:
                return move()
            except ContactgateError as error:
                self.ended = error
                raise

        super()._advance(watched)

    def alert(self, effect: fx.Alert) -> None:
        """In order."""
        self.alerts.append(effect.kind)
        super().alert(effect)

    def close(self) -> None:
        """kill -9."""
        self.steps.close()

    def run(self, effects: int = 3_000) -> None:
        """Carry on until it idles at NextInput with nothing left, or ended."""
        for _ in range(effects):
            if self.done:
                return
            fold = self.task.fold
            if isinstance(self.effect, fx.NextInput) and fold is not None and fold.meta.positions == self._stage.ends():
                return
            self.step()
        raise AssertionError(f"does not come to rest: {self.trace[-20:]}")

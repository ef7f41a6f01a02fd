"""Seeded bugs of the relay: its pump, how copies are told, and gates that keep what they should carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.kit import KITS, Kit
from tests.simulation.log import Entry
from tests.simulation.pump import Pump
from tests.simulation.run import Make
from tests.simulation.small import SmallGate

from contactgate.model.log import murmur2
from contactgate.partition.task import PartitionTask


def _gate_of(gate: type[SmallGate]) -> Callable[..., SmallGate]:
    return lambda world, number, seq, prev, many: gate(world, number, seq, prev, lambda key: murmur2(key) % many)


def with_gate(gate: type[SmallGate]) -> Kit:
    """The small kit with another gate."""
    small = KITS["small"]
    return Kit("small", small.codec, small.world, small.feed, _gate_of(gate))


class MovesOnFirst(Pump):
    """The place is committed when records are read, before they are appended."""

    def step(self) -> None:
        """Stores what lies ahead."""
        super().step()
        if self.left:
            self.store(self.after)


class LeavesOut(Pump):
    """A record whose append failed waits for the next time, and those after it are appended before."""

    def failed(self, entry: Entry) -> None:
        """The rest goes on; then all of it again."""
        self.left.append(self.left.pop(0))
        self.sim.counters["relay began again"] += 1


class GoesTheSameWay(Pump):
    """A record is appended to the partition of the same number, not to the one that owns its key."""

    def target(self, entry: Entry) -> tuple[str, int, list[tuple[str, bytes]]]:
        """Where it came from."""
        topic, _, headers = super().target(entry)
        return topic, self.host.partition, headers


class TakesEveryCopy(PartitionTask):
    """What the relay appended a second time is taken for new."""

    def _open(self, standby: bool) -> Any:
        fold = yield from super()._open(standby)
        fresh = fold._fresh

        def all_of_them(records: list[Any]) -> Any:
            fold._carried = {}
            return fresh(records)

        fold._fresh = all_of_them  # type: ignore[method-assign]
        return fold


class ForgetsCopies(PartitionTask):
    """After a restart nothing is known of what was carried before."""

    def _open(self, standby: bool) -> Any:
        fold = yield from super()._open(standby)
        fold._carried = {}
        return fold


class OnePlaceForAll(PartitionTask):
    """The last carried place is kept for all inputs together."""

    def _open(self, standby: bool) -> Any:
        fold = yield from super()._open(standby)
        fresh = fold._fresh

        def by_partition(records: list[Any]) -> Any:
            most = max(fold._carried.values(), default=-1)
            fold._carried = {f"{kind}/{p}": most for kind in ("consent", "outcome", "request") for p in range(2)}
            return fresh(records)

        fold._fresh = by_partition  # type: ignore[method-assign]
        return fold


class DecidesAstray(SmallGate):
    """A record is taken where it lies, whoever owns its key."""

    def _astray(self, rec: Any) -> bool:
        return False


class LeavesAstray(SmallGate):
    """A record in a wrong partition is passed over."""

    def _astray(self, rec: Any) -> bool:
        lies, before = super()._astray(rec), len(self.out)
        del self.out[before - lies : before]
        return lies


BUGS_OF_THE_RELAY: dict[str, Callable[[], Make]] = {
    "relay's place before the append": lambda: Make(pump=MovesOnFirst),
    "relay goes on after a failure": lambda: Make(pump=LeavesOut),
    "relay to the same partition": lambda: Make(pump=GoesTheSameWay),
    "carried copies taken for new": lambda: Make(task=TakesEveryCopy),
    "carried copies forgotten in a restart": lambda: Make(task=ForgetsCopies),
    "one carried place for all inputs": lambda: Make(task=OnePlaceForAll),
    "decided in the wrong partition": lambda: Make(kit=with_gate(DecidesAstray)),
    "passed over in the wrong partition": lambda: Make(kit=with_gate(LeavesAstray)),
}

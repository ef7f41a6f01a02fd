"""The relay's pump of one simulated host; the counterpart of `engine.relay.Relay`, one step at a time.

It reads committed relay records from the group's place on, appends each to the input partition that owns its key, and
moves the place once all that it read is acknowledged. Whatever fails begins again at the place it knows. It lives as
long as its host reads inputs, also when that was fenced and does not know it yet. The places where a seeded bug differs
are methods of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation.log import Entry

if TYPE_CHECKING:
    from tests.simulation.host import Host


class Pump:
    """Of one partition on one worker."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.sim = host.sim
        self.place: int | None = None  # everything below is appended; None: not asked yet
        self.after = 0  # the place once `left` is appended
        self.left: list[Entry] = []  # read and not appended yet

    @property
    def name(self) -> str:
        """For the trace."""
        return f"{self.host.name} relay"

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        part = self.sim.cluster.part("relay", self.host.partition)
        return self.place is not None and not self.left and self.place >= part.lso == part.hw

    def step(self) -> None:
        """One of: ask for the place, read, append one, store the place."""
        sim, rng, number = self.sim, self.sim.rng, self.host.partition
        if rng.random() < sim.error_rate / 2:
            self.begin_again("an error")
            return
        if self.place is None:
            self.place = self.after = sim.cluster.places.get(number, 0)
        elif self.left:
            self.append(self.left[0])
        elif self.after > self.place:
            self.place = self.after
            if rng.random() >= sim.error_rate:
                self.store(self.place)
        else:
            self.left, self.after = sim.cluster.part("relay", number).read(self.place, rng.choice((1, 5, 50)))

    def begin_again(self, why: str) -> None:
        """Another producer and consumer; what was read and not stored comes again."""
        self.sim.note(f"{self.name}: {why}")
        self.sim.counters["relay began again"] += 1
        self.left = []
        self.after = self.place or 0

    def store(self, place: int) -> None:
        """Commit the place to the group."""
        self.sim.cluster.places[self.host.partition] = place

    def append(self, entry: Entry) -> None:
        """Append one record: acknowledged, or nobody knows whether it was."""
        sim, rng = self.sim, self.sim.rng
        topic, number, headers = self.target(entry)
        fate, rate = rng.random(), 4 * sim.error_rate  # appends are few: each is a chance to fail
        if fate < 1 - rate:
            offset = sim.cluster.part(topic, number).append(sim.cluster.now, entry.key, entry.value, headers=headers)
            known = fate < 1 - 2 * rate
            sim.clients.carried(topic, number, offset, entry, known=known)
            sim.note(f"{self.name}: {topic} {number} offset {offset}{'' if known else ', unacknowledged'}")
            if known:
                self.left.pop(0)
                return
        self.failed(entry)

    def failed(self, entry: Entry) -> None:
        """An append was not acknowledged."""
        self.begin_again("no answer to an append")

    def target(self, entry: Entry) -> tuple[str, int, list[tuple[str, bytes]]]:
        """The input partition, and the headers of what is appended."""
        headers: dict[str, Any] = dict(entry.headers)
        topic = headers.pop("cg-target").decode()
        return topic, self.sim.owner(entry.key or b""), list(headers.items())

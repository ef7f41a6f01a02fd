"""One partition as a worker holds it, without Kafka: world, gate, states as bytes, RocksDB. For the benches of CPU.

Must never measure anything itself: what is in a measurement is decided where it begins and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.engine.compose import Gates, Secrets
from contactgate.engine.settings import EngineSettings
from contactgate.model.control import RegistryPublished
from contactgate.model.log import Head, Positions, Record
from contactgate.model.world import Listing
from contactgate.partition.broadcast import Broadcast
from contactgate.partition.fold import Fold, Meta, Work
from contactgate.partition.subjects import SubjectCodec
from contactgate.store import Owner, PartitionStore

_CACHE = 100_000
_REVIEWS = 1_000


class BenchPartition:
    """Partition 0 in a new directory: `world` first, then `step` for each batch, `close` at the end."""

    def __init__(
        self,
        folder: Path,
        tokens: Tokens,
        requesters: Iterable[str],
        *,
        event_time: bool,
        open_list: Callable[[RegistryPublished], Listing] | None = None,
    ) -> None:
        settings = EngineSettings("", folder, partitions=1)
        self._gates = Gates(settings, Secrets(tokens, Sealer(b"s" * 32)), open_list=open_list)
        self._gates.learn(frozenset(requesters))
        self._refused: list[bytes] = []
        self._broadcast = Broadcast(self._gates.feed, lambda out: self._refused.append(out.value))
        self._store = PartitionStore.open(folder / "p", Owner("a", "b", "c", 0))
        self._fold = Fold(
            0, self._gates.make(0, 0, ""), self._broadcast, SubjectCodec(), self._store.get_many, Meta(),
            cache=_CACHE, event_time=event_time,
        )  # fmt: skip
        self.decided = 0

    def world(self, controls: list[Record]) -> None:
        """Apply control records. Raises RuntimeError when one of them is a dead letter."""
        self._broadcast.read_control(controls, len(controls))
        if self._refused:
            raise RuntimeError(f"a control record was refused: {self._refused[0].decode()}")

    def step(self, consents: list[Record], requests: list[Record], at: Positions, now_ms: int) -> None:
        """Decide one batch at an instant and commit it to the store; `at` are the positions after it."""
        batch = self._fold.apply(Work(consents, [], requests, at, now_ms, _REVIEWS))
        if batch is not None:
            self._store.commit(batch.states, batch.opened, Head(at.request + 1, batch.meta_bytes))
            self._fold.adopt(batch)
            self.decided += sum(out.kind == "decision" for out in batch.outs)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

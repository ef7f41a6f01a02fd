"""The real gate in the engine: tokens, world, feed, gates and codec put together into a `Worker`.

The only module of the engine that knows what a state is. It must never look into a record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.core.chain import GENESIS
from contactgate.core.world import World
from contactgate.engine.settings import EngineSettings
from contactgate.engine.worker import Worker
from contactgate.gate import Gate, WorldFeed
from contactgate.model.control import RegistryPublished
from contactgate.model.facts import SubjectState
from contactgate.model.world import Opened
from contactgate.partition.subjects import SubjectCodec
from contactgate.policy.compiled import CompiledPolicy


@dataclass(frozen=True, slots=True)
class Secrets:
    """What turns addresses into tokens and seals dead letters."""

    tokens: Tokens
    sealer: Sealer


class Gates:
    """What one worker decides with, apart from Kafka: one world, the feed that changes it, a gate a partition.

    `policy` is in force until the first policy.activated.
    """

    def __init__(
        self,
        settings: EngineSettings,
        secrets: Secrets,
        *,
        policy: CompiledPolicy | None = None,
        open_list: Callable[[RegistryPublished], Opened] | None = None,
    ) -> None:
        self._partitions = settings.partitions
        self._secrets = secrets
        self._source = f"/contactgate/{settings.group_id}"
        self._world = World()
        if policy is not None:
            self._world.activate(policy)
        self.feed = WorldFeed(
            secrets.tokens, self._world, source=self._source, sealer=secrets.sealer, open_list=open_list
        )
        self._gates: dict[int, Gate] = {}
        self._requesters: frozenset[str] = frozenset()

    def make(self, partition: int, seq: int, prev: str) -> Gate:
        """The gate of a partition whose chain goes on at `seq` after the hash `prev` ("": from the beginning)."""
        gate = self._gates[partition] = Gate(
            self._secrets.tokens,
            self._world,
            partition=partition,
            seq=seq,
            prev=prev or GENESIS,
            source=self._source,
            sealer=self._secrets.sealer,
            strict_partition=self._partitions,
            requesters=self._requesters,
        )
        return gate

    def learn(self, requesters: frozenset[str]) -> None:
        """The requesters that have a topic of their own; told to every gate, made or still to be made."""
        self._requesters = requesters
        for gate in self._gates.values():
            gate.requesters = requesters


def build_worker(
    settings: EngineSettings,
    secrets: Secrets,
    *,
    policy: CompiledPolicy | None = None,
    open_list: Callable[[RegistryPublished], Opened] | None = None,
) -> Worker[SubjectState]:
    """A worker of the real gate. `policy` is in force until the first policy.activated."""
    gates = Gates(settings, secrets, policy=policy, open_list=open_list)
    return Worker(settings, gates.make, gates.feed, SubjectCodec(), on_requesters=gates.learn)

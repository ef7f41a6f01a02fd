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
from contactgate.model.world import Listing
from contactgate.partition.subjects import SubjectCodec
from contactgate.policy.compiled import CompiledPolicy


@dataclass(frozen=True, slots=True)
class Secrets:
    """What turns addresses into tokens and seals dead letters."""

    tokens: Tokens
    sealer: Sealer


def build_worker(
    settings: EngineSettings,
    secrets: Secrets,
    *,
    policy: CompiledPolicy | None = None,
    open_list: Callable[[RegistryPublished], Listing] | None = None,
) -> Worker[SubjectState]:
    """A worker of the real gate. `policy` is in force until the first policy.activated."""
    world = World()
    if policy is not None:
        world.activate(policy)
    source = f"/contactgate/{settings.group_id}"
    feed = WorldFeed(secrets.tokens, world, source=source, sealer=secrets.sealer, open_list=open_list)
    gates: dict[int, Gate] = {}
    known: frozenset[str] = frozenset()

    def make_gate(partition: int, seq: int, prev: str) -> Gate:
        gate = gates[partition] = Gate(
            secrets.tokens,
            world,
            partition=partition,
            seq=seq,
            prev=prev or GENESIS,
            source=source,
            sealer=secrets.sealer,
            strict_partition=settings.partitions,
            requesters=known,
        )
        return gate

    def learn(requesters: frozenset[str]) -> None:
        nonlocal known
        known = requesters
        for gate in gates.values():
            gate.requesters = requesters

    return Worker(settings, make_gate, feed, SubjectCodec(), on_requesters=learn)

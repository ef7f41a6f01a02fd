"""The two gates a simulated worker may host: the product's own, and a small one with the same wire format (small.py).

Also what they share: one policy (opt-in, two approvals in ten minutes, a campaign, pauses, suppressions), compiled once
a process; tokens; a sealer that only encodes, so that the checker can open dead letters without the product.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from tests.simulation.small import SmallCodec, SmallFeed, SmallGate, SmallWorld

from contactgate.codec import state as layout
from contactgate.codec.tokens import Tokens
from contactgate.core.chain import GENESIS
from contactgate.core.review import open_until
from contactgate.core.world import World
from contactgate.gate import Gate, WorldFeed
from contactgate.model.facts import EMPTY, SubjectState, is_empty
from contactgate.model.log import murmur2
from contactgate.policy.compiled import CompiledPolicy
from contactgate.policy.load import load_policy

POLICY = """
policy: simulation
approval_ttl: 2m
dedup_horizon: 30m
clock_skew: 30s
unreported: count
outcomes_by: both
require: {campaign: true, party: false, notice: false}
purposes:
  marketing: {consent: opt_in, evidence: [web]}
caps:
  - {name: ten_minutes, limit: 2, window: {sliding: 10m}, scope: [subject], counts: approved}
"""
FORGET = b"forget"
"""A consent record that only the simulation knows: everything about its subject goes, which makes a tombstone."""

TOKENS = Tokens(b"simulation" * 4)


@cache
def policy() -> CompiledPolicy:
    """Compiled once a process."""
    return load_policy(POLICY)


class OpenSealer:
    """Stands for codec.seal.Sealer: encodes key and value without hiding them."""

    def seal(self, place: str, record: Any) -> str:
        """Key, a zero byte, value."""
        return b64encode((record.key or b"") + b"\0" + (record.value or b"")).decode()


class RealCodec:
    """ports.StateCodec over the product's layout."""

    empty = EMPTY

    def encode(self, state: SubjectState, now_ms: int, *before: Any) -> bytes | None:
        """None for an unknown subject."""
        return None if is_empty(state) else layout.encode(state, open_until(state, now_ms))

    def decode(self, data: bytes) -> SubjectState:
        """Of `encode`."""
        return layout.decode(data)

    def addresses(self, state: SubjectState) -> list[str]:
        """The address tokens of this subject's contacts."""
        return [contact.address for contact in state.contacts if contact.address is not None]


class PackedCodec(RealCodec):
    """The same states in msgspec's own packing: faster, for the many seeds whose business is not the layout."""

    _pack = msgspec.msgpack.Encoder().encode
    _unpack = msgspec.msgpack.Decoder(SubjectState).decode

    def encode(self, state: SubjectState, now_ms: int, *before: Any) -> bytes | None:
        """Version, open_until_ms, the packed state."""
        if is_empty(state):
            return None
        return b"\x01" + open_until(state, now_ms).to_bytes(6, "big") + self._pack(state)

    def decode(self, data: bytes) -> SubjectState:
        """Of `encode`."""
        return self._unpack(data[7:])


class ForgetfulGate(Gate):
    """The product's gate, and the forget record."""

    def consent(self, rec: Any, states: Any) -> None:
        """Forget, or what the product does."""
        if rec.value == FORGET:
            states.put(rec.key, EMPTY)
        else:
            super().consent(rec, states)


@dataclass(frozen=True)
class Kit:
    """How a worker makes its world, feed, gates and states."""

    name: str
    codec: Any
    world: Callable[[], Any]
    feed: Callable[[Any], Any]
    gate: Callable[[Any, int, int, str, int], Any]


def _world() -> World:
    world = World()
    world.activate(policy())
    return world


def _feed(world: World) -> WorldFeed:
    return WorldFeed(TOKENS, world, source="/sim", sealer=OpenSealer())  # type: ignore[arg-type]


def _gate(world: World, partition: int, seq: int, prev: str, partitions: int) -> Gate:
    return ForgetfulGate(
        TOKENS,
        world,
        partition=partition,
        seq=seq,
        prev=prev or GENESIS,
        source="/sim",
        sealer=OpenSealer(),  # type: ignore[arg-type]
        strict_partition=partitions,
    )


def _small(world: SmallWorld, partition: int, seq: int, prev: str, partitions: int) -> SmallGate:
    return SmallGate(world, partition, seq, prev, lambda key: murmur2(key) % partitions)


KITS = {
    "real": Kit("real", RealCodec(), _world, _feed, _gate),
    "packed": Kit("packed", PackedCodec(), _world, _feed, _gate),
    "small": Kit("small", SmallCodec(), SmallWorld, SmallFeed, _small),
}

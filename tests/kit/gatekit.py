"""Messages, a policy and gates for tests: offline through the fold, live as the engine makes them."""

from __future__ import annotations

import json
from typing import Any

from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.core.chain import GENESIS
from contactgate.core.world import World
from contactgate.gate import Gate
from contactgate.model.log import Record
from contactgate.offline import Fold, MemoryStates
from contactgate.policy.load import load_policy

TOKENS = Tokens(b"k" * 32)
POLICY = {
    "policy": "hostile",
    "packs": [],
    "approval_ttl": "15m",
    "dedup_horizon": "7d",
    "unreported": "count",
    "require": {"campaign": False, "party": False, "notice": False},
    "purposes": {"marketing": {"consent": "opt_in"}, "service": {"consent": "opt_out"}, "debt": {"consent": "none"}},
}
COMPILED = load_policy(POLICY)
CANARY = "+12125550199"


def at(minute: int) -> str:
    """An instant of the day that all of these tests live in."""
    return f"2026-06-01T{8 + minute // 60:02d}:{minute % 60:02d}:00Z"


def granted(**changed: Any) -> dict[str, Any]:
    """A consent to marketing by voice and sms, given before everything else."""
    return {
        "type": "consent.granted",
        "event_id": "e-0",
        "subject_id": "s-1",
        "time": at(0),
        "controller": "bank",
        "purposes": ["marketing"],
        "channels": ["voice", "sms"],
        "recipients": ["bank", "callcentre"],
        "data_categories": ["basic"],
        **changed,
    }


def requested(request_id: str = "r-1", minute: int = 30, **changed: Any) -> dict[str, Any]:
    """A marketing call by the bank."""
    return {
        "type": "contact.requested",
        "request_id": request_id,
        "subject_id": "s-1",
        "time": at(minute),
        "requester": "bank",
        "controller": "bank",
        "purpose": "marketing",
        "channel": "voice",
        "address": CANARY,
        **changed,
    }


def text(message: dict[str, Any] | bytes) -> bytes:
    """A message as one line."""
    return message if isinstance(message, bytes) else json.dumps(message).encode()


def run(*lines: dict[str, Any] | bytes) -> list[dict[str, Any]]:
    """What the offline fold answers."""
    state = Fold(COMPILED, TOKENS)
    return [json.loads(out) for line in lines for out in state.line(text(line))]


def verdict(out: list[dict[str, Any]], request_id: str = "r-1") -> str:
    """The verdict on a request."""
    return next(o["verdict"] for o in out if o["type"] == "contact.decided" and o["request_id"] == request_id)


def letters(out: list[dict[str, Any]]) -> list[str]:
    """The reasons of all dead letters."""
    return [o["reason"] for o in out if o["type"] == "dead.letter"]


def withdrawn(**changed: Any) -> dict[str, Any]:
    """An opt-out of everything."""
    return {"type": "consent.withdrawn", "event_id": "e-1", "subject_id": "s-1", "time": at(10), **changed}


def live(**options: Any) -> tuple[Gate, MemoryStates, World]:
    """A gate as the engine makes one."""
    world = World()
    world.activate(COMPILED)
    gate = Gate(TOKENS, world, partition=0, seq=0, prev=GENESIS, source="/test", sealer=Sealer(b"s" * 32), **options)
    return gate, MemoryStates(), world


NOW_MS = 1_780_301_400_000  # 2026-06-01T08:10:00Z


def record(topic: str, message: dict[str, Any] | bytes | None, key: bytes | None = b"s-1", offset: int = 0) -> Record:
    """A record as Kafka gives it."""
    return Record(topic, 0, offset, NOW_MS + 60_000, key, None if message is None else text(message))


def dead(gate: Gate) -> list[str]:
    """Reasons of the dead letters in a gate's output, which is then cleared."""
    found = [json.loads(out.value)["reason"] for out in gate.out if out.kind == "dead"]
    gate.out.clear()
    return found

"""Holds what live workers committed against a full offline replay of the same input through the same gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.kit.fleet import SECRETS
from tests.kit.wire import Record

from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.core.chain import verify
from contactgate.engine.compose import Gates, Secrets
from contactgate.engine.settings import EngineSettings
from contactgate.model.log import Record as GateRecord
from contactgate.partition.fold import META_KEY, decode_meta
from contactgate.partition.replay import replay
from contactgate.partition.subjects import SubjectCodec

OWN = {"consent": "consent-events", "outcome": "contact-outcomes", "request": "contact-requests"}
SHARED = {"control": "control-events", "suppression": "address-suppressions"}


def same_as_replay(
    read: Callable[[str], list[Record]], prefix: str, partitions: int, requesters: tuple[str, ...]
) -> int:
    """States, decisions and approvals equal the replay's byte for byte, every chain holds; how many states there are.

    `read` gives all committed records of a topic by its name without the prefix. State is rebuilt from the changelog as
    by a worker that lost its disk; the replay starts from nothing and takes from the changelog only when each
    transaction was decided and how far it had read.
    """
    secrets = Secrets(Tokens(SECRETS["CONTACTGATE_TOKEN_KEY"].encode()), Sealer(b"s" * 32))
    by_topic = {
        name: read(name)
        for name in (
            *OWN.values(), *SHARED.values(), "subjects-changelog", "contact-decisions",
            *(f"approvals.{requester}" for requester in requesters),
        )
    }  # fmt: skip
    count = 0
    for partition in range(partitions):
        of = {name: [r for r in records if r.partition == partition] for name, records in by_topic.items()}
        inputs = {kind: _records(kind, of[topic]) for kind, topic in OWN.items()}
        inputs |= {kind: _records(kind, by_topic[topic]) for kind, topic in SHARED.items()}
        states: dict[bytes, bytes] = {}
        steps = []
        for record in of["subjects-changelog"]:
            assert record.key is not None
            if record.key == META_KEY:
                steps.append(decode_meta(record.value or b""))
            elif record.value is None:
                states.pop(record.key, None)
            else:
                states[record.key] = record.value
        gates = Gates(EngineSettings("", Path(), prefix=prefix, partitions=partitions), secrets)
        gates.learn(frozenset(requesters))
        again = replay(partition, inputs, steps, gates.make, gates.feed, SubjectCodec())
        decisions = [record.value or b"" for record in of["contact-decisions"]]
        assert [out.value for out in again.outs if out.kind == "decision"] == decisions
        for requester in requesters:
            told = [out.value for out in again.outs if out.kind == "approval" and out.requester == requester]
            assert told == [record.value for record in of[f"approvals.{requester}"]]
        assert again.states == states
        end = verify(decisions)
        assert (end.seq + 1, end.hash) == (again.seq, again.prev)
        count += len(states)
    return count


def _records(kind: str, found: list[Record]) -> list[GateRecord]:
    return [
        GateRecord(kind, r.partition, r.offset, r.timestamp_ms, r.key, r.value, 0, [*r.headers.items()]) for r in found
    ]

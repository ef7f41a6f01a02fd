"""What another token key would open, and that no partition goes on under one: invariant I18 without a broker."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.kit.proofkit import TOKENS, Worker

from contactgate.codec.tokens import Tokens
from contactgate.core.world import World
from contactgate.errors import Halted
from contactgate.gate import Gate, WorldFeed
from contactgate.partition.broadcast import Broadcast
from contactgate.partition.fold import Fold, Meta, decode_meta, encode_meta
from contactgate.partition.subjects import SubjectCodec

OTHER = Tokens(b"o" * 32)


def _stopped() -> Worker:
    """A worker that learnt that a number is not its subject's, and stopped."""
    worker = Worker()
    worker.policy()
    worker.ask("r1", "anna", channel="voice", address="+12125550199")
    worker.transact()
    worker.outcome("r1", "anna", "wrong_number")
    worker.transact()
    return worker


def _go_on(worker: Worker, tokens: Tokens, meta: Meta) -> None:
    """Another worker takes the partition over, with the states and this meta record."""
    world = World()
    worker._broadcast = Broadcast(WorldFeed(tokens, world, source="/t", sealer=None))
    worker._taken["control"] = 0  # a start reads the broadcast topics from the beginning
    gate = Gate(tokens, world, partition=0, seq=meta.seq, prev=meta.prev, source="/t", sealer=None)
    worker._fold = Fold(
        0, gate, worker._broadcast, SubjectCodec(), lambda keys: [worker._states.get(key) for key in keys], meta,
        cache=3, event_time=False,
    )  # fmt: skip


def _asked_again(worker: Worker) -> Any:
    worker.ask("r2", "anna", channel="voice", address="+1 (212) 555-0199")
    worker.transact()
    return json.loads(worker.decisions[-1][2])["verdict"]


def test_the_same_key_blocks_and_another_one_is_refused() -> None:
    """Every transaction names its key; who has another one cannot begin, and the message tells what to do."""
    worker = _stopped()
    meta = decode_meta(encode_meta(worker.metas[-1]))
    assert meta.key == TOKENS.fingerprint
    with pytest.raises(Halted, match=r"another token_key .* key of the installation"):
        _go_on(worker, OTHER, meta)
    _go_on(worker, TOKENS, meta)
    assert _asked_again(worker) == "block"


def test_without_the_check_another_key_would_let_a_wrong_number_pass() -> None:
    """The seeded bug: without the name of the key in the changelog the same request passes."""
    worker = _stopped()
    _go_on(worker, OTHER, _unnamed(worker.metas[-1]))
    assert _asked_again(worker) == "pass"


def test_an_older_installation_goes_on_and_is_bound_from_then_on() -> None:
    """A meta record from before keys were named is taken as it is; the next transaction names the key."""
    worker = _stopped()
    _go_on(worker, TOKENS, _unnamed(worker.metas[-1]))
    assert _asked_again(worker) == "block"
    assert worker.metas[-1].key == TOKENS.fingerprint


def _unnamed(meta: Meta) -> Meta:
    fields = {name: getattr(meta, name) for name in meta.__struct_fields__ if name != "key"}
    return Meta(**fields)

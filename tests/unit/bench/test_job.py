"""The benchmark's job: one stream for everybody, and rules written twice that agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from bench.job import POLICY, Job, Message, Phase
from bench.peers import rules

from contactgate.codec.tokens import Tokens
from contactgate.offline import Fold
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read
from contactgate.registry import opener

JOB = Job(7, (Phase("first", 0, 1_500, 300), Phase("second", 1, 400, 100)))
_decode = msgspec.json.Decoder().decode


def _stream() -> list[Message]:
    return [*JOB.consents(), *(message for phase in JOB.phases for message in JOB.requests(phase.name))]


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two streams of one seed are equal, those of two seeds are not."""
    assert list(JOB.consents()) == list(JOB.consents())
    assert list(JOB.requests("first")) == list(JOB.requests("first"))
    assert list(JOB.requests("first")) != list(JOB._replace(seed=8).requests("first"))


def test_less_of_a_phase_is_its_beginning() -> None:
    """A slow peer that is given fewer requests gets the first of them, and other phases do not change."""
    whole = list(JOB.requests("first"))
    part = list(JOB.requests("first", 200))
    assert part == whole[: len(part)]
    assert 200 <= len(part) < len(whole)


def test_nobody_shares_a_number_or_belongs_to_two_phases() -> None:
    """Every phase has people of its own, each with a telephone number of its own."""
    numbers: dict[str, str] = {}
    for phase in JOB.phases:
        for message in JOB.requests(phase.name):
            if message.request >= 0:
                event = _decode(message.value)
                assert event["subject_id"].startswith(phase.name)
                if event["channel"] != "email":
                    assert numbers.setdefault(event["address"], event["subject_id"]) == event["subject_id"]


def test_the_peers_rules_and_contactgate_decide_alike(tmp_path: Path) -> None:
    """The policy in plain Python gives every request the verdict and the set of reasons that contactgate gives."""
    listed = JOB.listed(2_000)
    (tmp_path / "numbers.txt").write_text("".join(f"{line}\n" for line in listed), encoding="ascii")
    tokens = Tokens(b"k" * 32)
    fold = Fold(load_policy(POLICY), tokens, open_list=opener(tmp_path, tokens, tmp_path / "lists"))
    source = {"uri": (tmp_path / "numbers.txt").as_uri(), "format": "e164-lines", "count": len(listed)}
    document: Any = read(POLICY, "the policy is wrong")
    for message in JOB.world(load_policy(POLICY).hash, document, source):
        assert not fold.line(message.value)
    registry = rules.Registry(tmp_path / "numbers.txt")
    states: dict[str, Any] = {}
    told: set[str] = set()
    repeated = 0
    for message in _stream():
        event = _decode(message.value)
        state = states.setdefault(event["subject_id"], rules.new_state())
        outs = [_decode(out) for out in fold.line(message.value)]
        if message.request < 0:
            rules.apply(state, event)
            assert {out["type"] for out in outs} <= {"permission.withdrawn"}  # to vendors; the peers tell nobody
            continue
        reasons, before_ms = rules.decide(state, event, registry)
        decision = next(out for out in outs if out["type"] == "contact.decided")
        assert decision["verdict"] == ("block" if reasons else "pass"), event
        assert {reason["rule"] for reason in decision["reasons"]} == set(reasons), event
        assert decision.get("duplicate", False) == (before_ms is not None)
        told.update(reasons)
        repeated += before_ms is not None
    assert repeated
    assert told == {
        "consent.missing", "consent.withdrawn", "consent.expired", "cap.voice_7d", "cap.written_30d", "cap.daily",
        "window.hours", "registry.listed:us-ndnc",
    }  # fmt: skip


def test_the_peers_chain_names_its_predecessor() -> None:
    """A decision of the Python peers carries the hash of the one before it, and its own covers all of it."""
    request = _decode(next(JOB.requests("first")).value)
    first, digest = rules.decision(request, [], None, 0, rules.GENESIS)
    second, other = rules.decision(request, ["cap.daily"], None, 1, digest)
    assert first["hash"] == digest != other
    assert (first["prev"], second["prev"]) == (rules.GENESIS, digest)

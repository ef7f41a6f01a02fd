"""The 92 hostile inputs: each record through a live gate, with a neighbour before and after that must not notice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from tests.hostile.rows import ROWS
from tests.hostile.shots import Row, Shot
from tests.kit.gatekit import CANARY, COMPILED, NOW_MS, TOKENS, granted, requested, text
from tools import hostile

from contactgate.codec.seal import Sealer
from contactgate.codec.strict import REASONS
from contactgate.core.chain import GENESIS
from contactgate.core.world import World
from contactgate.gate import Gate, WorldFeed
from contactgate.model.log import Position, Record
from contactgate.offline import MemoryStates
from contactgate.policy.load import load_policy

ROOT = Path(__file__).parents[3]
OTHER = "+12125550123"
SHOTS = [(row, shot) for row in ROWS for shot in row.shots]


class Installation:
    """One gate and its feed over one world, as a worker has them; every record gets its offset."""

    def __init__(self, policy: dict[str, Any] | None = None, partitions: int | None = None) -> None:
        world = World()
        world.activate(COMPILED if policy is None else load_policy(policy))
        sealer = Sealer(b"s" * 32)
        self.gate = Gate(
            TOKENS, world, partition=0, seq=0, prev=GENESIS, source="/t", sealer=sealer, strict_partition=partitions
        )
        self.feed = WorldFeed(TOKENS, world, source="/t", sealer=sealer)
        self.states = MemoryStates()
        self.offset = 0

    def take(self, kind: str, value: bytes | None, key: bytes | None, timestamp_ms: int = NOW_MS) -> list[dict]:
        """Everything that comes out for one record, decoded."""
        self.offset += 1
        rec = Record(kind, 0, self.offset, timestamp_ms, key, value)
        now_ms = NOW_MS + 1_800_000
        if kind == "control":
            self.feed.control(rec)
        elif kind == "suppression":
            self.feed.suppression(rec)
        elif kind == "request":
            self.gate.request(rec, self.states, now_ms, Position(0, self.offset, 0, 0, 0, 0))
        else:
            (self.gate.consent if kind == "consent" else self.gate.outcome)(rec, self.states)
        out = [json.loads(each.value) for each in (*self.gate.out, *self.feed.out)]
        self.gate.out.clear()
        self.feed.out.clear()
        return out

    def ask(self, subject: str, request_id: str, **changed: Any) -> str:
        """The verdict on a request."""
        value = text(requested(request_id, 40, subject_id=subject, **changed))
        return next(o["verdict"] for o in self.take("request", value, subject.encode()) if "verdict" in o)


def fate(out: list[dict]) -> str:
    """What became of one record."""
    fates = [each for each in out if each["type"] in {"contact.decided", "dead.letter"}]
    assert len(fates) <= 1, "one record, one fate"
    if not fates:
        return "applied"
    if fates[0]["type"] == "dead.letter":
        return fates[0]["reason"]
    return "decided pass" if fates[0]["verdict"] == "pass" else f"decided {fates[0]['reasons'][0]['rule']}"


@pytest.mark.parametrize(("row", "shot"), SHOTS, ids=[f"{row.number}-{shot.label}" for row, shot in SHOTS])
def test_a_hostile_record_has_its_fate_and_neighbours_do_not_notice(row: Row, shot: Shot) -> None:
    """The fate the table says, the restrictive reading, no input in what is shown, and the neighbours on time."""
    place = Installation()
    for subject in ("s-1", "n-1"):
        assert fate(place.take("consent", text(granted(subject_id=subject)), subject.encode())) == "applied"
    assert place.ask("n-1", "r-before", address=OTHER) == "pass"
    began = process_time()
    out = place.take(shot.kind, shot.value, shot.key, NOW_MS if shot.timestamp_ms is None else shot.timestamp_ms)
    assert process_time() - began < 2, "one record may not hold up the others"
    assert fate(out) == shot.fate
    for letter in (each for each in out if each["type"] == "dead.letter"):
        assert letter["reason"] in REASONS
        told = json.dumps({name: letter[name] for name in letter if name != "sealed"})
        assert CANARY not in told
        assert letter["detail"].isprintable()
        assert letter["reason"] != "processing.failed"
    assert place.ask("s-1", "r-after") == shot.after
    assert place.ask("n-1", "r-then", address=OTHER) == "pass"


def test_all_92_are_there() -> None:
    """Every number from 1 to 92 stands in the table once, and is run: as a record, or by the tests that it names."""
    assert [row.number for row in ROWS] == list(range(1, 93))
    for row in ROWS:
        assert row.shots or row.runs or row.why_not, row.number
        assert "|" not in row.name + row.happens, "it stands in a table of the manual"
        assert row.happens.endswith("."), row.number
    assert len({(row.number, shot.label) for row, shot in SHOTS}) == len(SHOTS)


def test_the_tests_that_the_table_names_exist() -> None:
    """A row that is run elsewhere names a test that is there."""
    for row in ROWS:
        for name in row.runs:
            file, _, test = name.partition("::")
            test = test.partition("[")[0]
            assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE), name


def test_the_manual_says_what_the_table_says() -> None:
    """docs/hostile-inputs.md is written from the table; `python tools/hostile.py` writes it again."""
    assert hostile.PAGE.read_text(encoding="utf-8") == hostile.page()

"""Snapshots of do-not-call lists: what is in is found, what is not is not, damage and foreign keys are noticed."""

from __future__ import annotations

import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contactgate.codec.tokens import Tokens
from contactgate.errors import StoreCorrupt, StoreForeign
from contactgate.offline import Fold
from contactgate.policy.load import load_policy
from contactgate.registry import Snapshot, build, opener

TOKENS = Tokens(b"k" * 32)


def number(n: int) -> str:
    """A number of the plan that nobody has."""
    return f"+1212{5_550_000 + n:07d}"


def token(n: int) -> str:
    """Its token."""
    return TOKENS.contactable("voice", number(n)).token


def snapshot(path: Path, lines: list[str]) -> Snapshot:
    """Build and open."""
    build(lines, TOKENS, path, registry="us-ndnc", version="v1")
    return Snapshot(path, TOKENS)


def test_what_is_listed_is_found_with_its_day_and_nothing_else(tmp_path: Path) -> None:
    """Five thousand numbers are found, five thousand others are not."""
    found = snapshot(tmp_path / "r", [f"{number(n)},2026-01-{n % 28 + 1:02d}" for n in range(0, 10_000, 2)])
    found.verify()
    assert found.header.count == 5_000
    for n in range(10_000):
        assert found.since(token(n)) == (None if n % 2 else date(2026, 1, n % 28 + 1).toordinal())


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(numbers=st.sets(st.integers(0, 300)), repeats=st.integers(1, 3))
def test_any_set_comes_back(tmp_path_factory: pytest.TempPathFactory, numbers: set[int], repeats: int) -> None:
    """Whatever the list and its repeats, membership is exactly the set's; days that were not given are 0."""
    found = snapshot(tmp_path_factory.mktemp("r") / "r", [number(n) for n in sorted(numbers) * repeats])
    assert found.header.count == len(numbers)
    assert {n for n in range(301) if found.since(token(n)) == 0} == numbers


def test_the_file_holds_no_number_and_bad_lines_are_counted(tmp_path: Path) -> None:
    """Digits of the list appear nowhere in the file; lines that are no numbers are left out and counted."""
    lines = [number(1), number(1) + ",2026-01-01", "2125550123", "x", "", number(2) + ",31/12/2026"]
    made = build(lines, TOKENS, tmp_path / "r", registry="us-ndnc", version="v1")
    assert (made.header.count, made.repeated, made.unreadable) == (1, 1, 3)
    assert number(1)[1:].encode() not in (tmp_path / "r").read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


def test_damage_and_foreign_keys_are_noticed(tmp_path: Path) -> None:
    """A flipped bit fails verification, a cut file or another format does not open, another key is refused."""
    snapshot(tmp_path / "r", [number(n) for n in range(100)])
    with pytest.raises(StoreForeign):
        Snapshot(tmp_path / "r", Tokens(b"o" * 32))
    raw = bytearray((tmp_path / "r").read_bytes())
    (tmp_path / "cut").write_bytes(raw[:-1])
    raw[-3] ^= 1
    (tmp_path / "flipped").write_bytes(raw)
    (tmp_path / "other").write_bytes(b"SQLite format 3\x00")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(StoreCorrupt):
        Snapshot(tmp_path / "flipped").verify()
    for name in ("cut", "other", "empty", "missing"):
        with pytest.raises(StoreCorrupt):
            Snapshot(tmp_path / name)


def test_a_lookup_is_fast(tmp_path: Path) -> None:
    """Well below what a decision may cost, on any machine that can run the tests."""
    found = snapshot(tmp_path / "r", [number(n) for n in range(20_000)])
    asked = [token(n) for n in range(19_000, 21_000)]
    best = 1.0
    for _ in range(5):
        begun = time.process_time()
        for one in asked:
            found.since(one)
        best = min(best, (time.process_time() - begun) / len(asked))
    assert best < 20e-6


# --- published by a control event ----------------------------------------------------------------------------------

POLICY = """
policy: registry
require: {campaign: false, party: false, notice: false}
purposes:
  marketing: {consent: none}
registries:
  - {name: us-ndnc, channels: [voice], max_age: 31d}
"""


def published(uri: str, **source: Any) -> dict[str, Any]:
    """A snapshot that lies in a file."""
    return {
        "type": "registry.published",
        "event_id": "e-1",
        "time": "2026-06-01T08:00:00Z",
        "registry": "us-ndnc",
        "version": "v1",
        "as_of": "2026-06-01T08:00:00Z",
        "kind": "snapshot",
        "source": {"uri": uri, "format": "e164-lines", **source},
    }


def asked(n: int) -> dict[str, Any]:
    """A request to call one number."""
    return {
        "type": "contact.requested",
        "request_id": f"r-{n}",
        "subject_id": f"s-{n}",
        "time": "2026-06-01T15:00:00Z",
        "requester": "bank",
        "controller": "bank",
        "purpose": "marketing",
        "channel": "voice",
        "address": number(n),
    }


def rules(tmp_path: Path, *events: dict[str, Any]) -> list[list[str]]:
    """The rules of each decision, and the reason of each dead letter."""
    (tmp_path / "lists").mkdir(exist_ok=True)
    state = Fold(load_policy(POLICY), TOKENS, open_list=opener(tmp_path / "lists", TOKENS, tmp_path / "cache"))
    made = [json.loads(out) for event in events for out in state.line(json.dumps(event).encode())]
    return [
        [m["reason"]] if m["type"] == "dead.letter" else [r["rule"] for r in m["reasons"]]
        for m in made
        if m["type"] not in {"contact.approved", "contact.recalled"}
    ]


def test_a_published_file_of_lines_or_a_snapshot_binds(tmp_path: Path) -> None:
    """Listed numbers block, others pass; a delta on top adds and removes."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "l.txt").write_text(f"{number(1)}\n{number(2)}\n")
    build([number(1), number(2)], TOKENS, tmp_path / "lists" / "l.reg", registry="us-ndnc", version="v1")
    delta = {
        **published("x"),
        "version": "v2",
        "kind": "delta",
        "base": "v1",
        "entries": [{"address": number(3)}],
        "removed": [number(1)],
    }
    del delta["source"]
    for event in (
        published((tmp_path / "lists" / "l.txt").as_uri(), count=2),
        published((tmp_path / "lists" / "l.reg").as_uri(), format="snapshot"),
    ):
        found = rules(
            tmp_path,
            event,
            asked(1),
            asked(3),
            delta,
            asked(1) | {"request_id": "x"},
            asked(2),
            asked(3) | {"request_id": "y"},
        )
        listed = ["registry.listed:us-ndnc"]
        assert found == [listed, [], [], listed, listed]


def test_a_list_that_cannot_be_had_makes_the_registry_stale(tmp_path: Path) -> None:
    """Wrong place, wrong hash, wrong count, unreadable lines: a dead letter, and nothing passes this registry."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "outside.txt").write_text(number(1))
    (tmp_path / "lists" / "bad.txt").write_text(f"{number(1)}\n555-0123\n")
    (tmp_path / "lists" / "l.txt").write_text(number(1))
    inside = (tmp_path / "lists" / "l.txt").as_uri()
    for event in (
        published((tmp_path / "outside.txt").as_uri()),
        published(inside.replace("l.txt", "../outside.txt")),
        published(inside.replace("l.txt", "%2e%2e/outside.txt")),
        published(inside.replace("l.txt", "none.txt")),
        published(inside.replace("l.txt", "bad.txt")),
        published(inside, sha256="0" * 64),
        published(inside, count=7),
        published(inside, format="snapshot"),
        published("https://example.com/list"),
    ):
        found = rules(tmp_path, published(inside), event | {"event_id": "e-2"}, asked(5))
        assert found == [["registry.source_unavailable"], ["registry.stale:us-ndnc"]]

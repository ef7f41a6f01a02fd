"""Snapshots of do-not-call lists: what is in is found, what is not is not, damage and foreign keys are noticed."""

from __future__ import annotations

import gzip
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from contactgate.cli import registry as cli
from contactgate.codec.tokens import Tokens
from contactgate.errors import DocumentError, StoreCorrupt, StoreForeign
from contactgate.offline import Fold
from contactgate.policy.load import load_policy
from contactgate.registry import Snapshot, build, lines_of, opener

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


def test_the_file_holds_no_number_and_accepted_lines_are_counted(tmp_path: Path) -> None:
    """Digits of the list appear nowhere in the file; a number with an unreadable day binds, and is not a whole line."""
    lines = [number(1), number(1) + ",2026-01-01", "2125550123", "x", "", number(2) + ",31/12/2026", ",2026-01-01"]
    made = build(lines, TOKENS, tmp_path / "r", registry="us-ndnc", version="v1", unreadable=4)
    assert (made.header.count, made.repeated, made.header.unreadable, made.header.lines) == (2, 1, 4, (3, 4, 6, 7))
    assert Snapshot(tmp_path / "r", TOKENS).since(token(2)) == 0
    assert number(1)[1:].encode() not in (tmp_path / "r").read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["r"]
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600


WHOLE = f"{number(1)}\n{number(2)},2026-01-01\n{number(3)}\n"


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (WHOLE.encode(), None),
        (b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode(), None),
        ((WHOLE + " \n\n\t\n" + WHOLE).encode(), None),
        (b"", None),
        (b"\n \n", None),
        (("phone,since\n" + WHOLE).encode(), [1]),
        (WHOLE.encode() + b"\xff\xfe\n", [4]),
        (f"Ann,{number(1)}\n{number(2)},2026-01-01,home\n{number(3)}\n".encode(), [1, 2]),
        ((WHOLE + "2125550123\n").encode(), [4]),
        (WHOLE.encode("utf-16"), [1, 2, 3]),
        (WHOLE.encode("utf-16-be"), [1, 2, 3]),
        (gzip.compress(WHOLE.encode(), mtime=0), [1]),
    ],
)
def test_each_kind_of_file_is_a_list_or_names_its_lines(tmp_path: Path, raw: bytes, lines: list[int] | None) -> None:
    """A file is a whole list, or is refused with the lines that are none, and the file before stays as it was."""
    (tmp_path / "l.txt").write_bytes(raw)
    (tmp_path / "r").write_bytes(b"before")
    try:
        build(lines_of(tmp_path / "l.txt"), TOKENS, tmp_path / "r", registry="us-ndnc", version="v1")
    except DocumentError as error:
        assert lines is not None
        assert [f"line {line}" for line in lines] == [fault.place for fault in error.faults][: len(lines)]
        assert "5550" not in str(error)
        assert (tmp_path / "r").read_bytes() == b"before"
    else:
        assert lines is None
        Snapshot(tmp_path / "r", TOKENS).verify()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.txt", "r"]


def test_a_list_of_which_nothing_can_be_read_is_never_accepted(tmp_path: Path) -> None:
    """However many unreadable lines are allowed; and of many only the first are named."""
    with pytest.raises(DocumentError, match="nothing of the list can be read"):
        build(["phone"] * 100, TOKENS, tmp_path / "r", registry="us-ndnc", version="v1", unreadable=1_000)
    with pytest.raises(DocumentError, match="and 84 more"):
        build([number(1), *["phone"] * 100], TOKENS, tmp_path / "r", registry="us-ndnc", version="v1", unreadable=99)
    assert not (tmp_path / "r").exists()


def test_the_command_refuses_what_is_not_whole_or_shrinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 1, line numbers, the old file untouched; with the options it is built and says what it left out."""
    monkeypatch.setenv("CONTACTGATE_TOKEN_KEY", "k" * 32)
    listed, out = tmp_path / "l.txt", tmp_path / "r"

    def run(*more: str) -> tuple[int, str]:
        words = ["build", str(listed), str(out), "--registry", "us-ndnc", "--version", "v1", *more]
        result = CliRunner().invoke(cli.app, words)
        return result.exit_code, result.output

    listed.write_text("".join(f"{number(n)}\n" for n in range(5)))
    assert run()[0] == 0
    before = out.read_bytes()
    listed.write_text("".join(f"{number(n)}\n" for n in range(4)) + "0123\n")
    code, said = run()
    assert (code, out.read_bytes()) == (1, before)
    assert "line 5" in said
    assert "0123" not in said
    code, said = run("--allow-unreadable", "1")
    assert (code, said.splitlines()[0]) == (0, "4 numbers, 0 repeated, 1 unreadable lines")
    before = out.read_bytes()
    listed.write_text(number(1))
    code, said = run()
    assert (code, out.read_bytes()) == (1, before)
    assert "shrinks" in said
    said = CliRunner().invoke(cli.app, ["verify", str(out)]).output
    assert said == "us-ndnc v1: 4 numbers, 1 unreadable lines left out, intact\n"
    assert run("--shrinks")[0] == 0
    result = CliRunner().invoke(cli.app, ["lookup", str(out)], input=f"{number(1)}\n{number(2)}\nx\n")
    assert result.stdout == "listed\nno\nunreadable\n"
    assert result.stderr == "us-ndnc v1: 1 numbers\n"


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
        if m["type"] in {"contact.decided", "dead.letter"}
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
    """Wrong place, wrong hash, wrong count: a dead letter, and nothing passes; what is known to be listed binds."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "outside.txt").write_text(number(1))
    (tmp_path / "lists" / "l.txt").write_text(number(1))
    inside = (tmp_path / "lists" / "l.txt").as_uri()
    for event in (
        published((tmp_path / "outside.txt").as_uri()),
        published(inside.replace("l.txt", "../outside.txt")),
        published(inside.replace("l.txt", "%2e%2e/outside.txt")),
        published(inside.replace("l.txt", "none.txt")),
        published(inside, sha256="0" * 64),
        published(inside, count=7),
        published(inside, format="snapshot"),
        published("https://example.com/list"),
    ):
        found = rules(tmp_path, published(inside), event | {"event_id": "e-2"}, asked(5), asked(1), published(inside))
        stale = "registry.stale:us-ndnc"
        assert found == [["registry.source_unavailable"], [stale], ["registry.listed:us-ndnc", stale]]
        assert rules(tmp_path, published(inside), event, published(inside), asked(5))[-1] == []


def test_an_unreadable_line_leaves_the_version_before_in_force(tmp_path: Path) -> None:
    """The file's readable numbers bind beside it until a whole list comes; `unreadable` puts the file in force."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a.txt").write_text(f"{number(1)}\n")
    (tmp_path / "lists" / "b.txt").write_text(f"555-0123\n{number(2)}\n")
    first = published((tmp_path / "lists" / "a.txt").as_uri())
    second = published((tmp_path / "lists" / "b.txt").as_uri()) | {"version": "v2"}
    listed = ["registry.listed:us-ndnc"]
    found = rules(tmp_path, first, second, asked(1), asked(2), asked(3))
    assert found == [["registry.unreadable"], listed, listed, []]
    found = rules(tmp_path, second, asked(2), asked(3))
    assert found == [["registry.unreadable"], [*listed, "registry.stale:us-ndnc"], ["registry.stale:us-ndnc"]]
    assert rules(tmp_path, first, second | {"unreadable": 1}, asked(1), asked(2)) == [[], listed]
    whole = first | {"version": "v3"}
    assert rules(tmp_path, first, second, whole, asked(1), asked(2)) == [["registry.unreadable"], listed, []]


def test_a_delta_in_a_file_adds_to_its_base(tmp_path: Path) -> None:
    """It replaces nothing, and goes on top of the version that it names."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a.txt").write_text(f"{number(1)}\n{number(2)}\n")
    (tmp_path / "lists" / "b.txt").write_text(f"{number(3)}\n")
    first = published((tmp_path / "lists" / "a.txt").as_uri())
    delta = published((tmp_path / "lists" / "b.txt").as_uri()) | {
        "version": "v2", "kind": "delta", "base": "v1", "removed": [number(2)],
    }  # fmt: skip
    listed = ["registry.listed:us-ndnc"]
    assert rules(tmp_path, first, delta, asked(1), asked(2), asked(3)) == [listed, [], listed]

"""Published lists: in force whole, or beside the version before (SEMANTICS rules 55 and 56)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contactgate.codec import listing
from contactgate.codec.tokens import Tokens
from contactgate.offline import Fold
from contactgate.policy.load import load_policy

POLICY = """
policy: lists
require: {campaign: false, party: false, notice: false}
purposes: {marketing: {consent: none}}
registries: [{name: us-ndnc, channels: [voice], max_age: 31d}]
"""
LISTED, STALE = "registry.listed:us-ndnc", "registry.stale:us-ndnc"
BAD = {"address": "2125550123"}


def number(n: int) -> str:
    """A number of the plan that nobody has."""
    return f"+1212555{n:04d}"


def entries(*numbers: int) -> list[dict[str, Any]]:
    """Entries of a list."""
    return [{"address": number(n)} for n in numbers]


def published(version: str, listed: list[Any], day: int = 1, **more: Any) -> dict[str, Any]:
    """A version of the list, taken on a day of March."""
    taken = f"2026-03-{day:02d}T00:00:00Z"
    head = {"type": "registry.published", "event_id": f"e-{version}-{day}", "time": taken, "as_of": taken}
    return {**head, "registry": "us-ndnc", "version": version, "kind": "snapshot", "entries": listed, **more}


def delta(version: str, base: str, listed: list[Any], day: int, removed: list[Any], **more: Any) -> dict[str, Any]:
    """What changed since a version."""
    return published(version, listed, day, kind="delta", base=base, removed=removed, **more)


def after(*events: dict[str, Any] | bytes, day: str = "2026-03-25", ask: int = 9) -> tuple[list[str], list[str]]:
    """The reasons of the dead letters, and the rules that block a call to one number that day."""
    state = Fold(load_policy(POLICY), Tokens(b"k" * 32))
    request = {
        "type": "contact.requested", "request_id": "r", "subject_id": "s", "time": f"{day}T15:00:00Z",
        "requester": "bank", "controller": "bank", "purpose": "marketing", "channel": "voice", "address": number(ask),
    }  # fmt: skip
    lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in (*events, request)]
    made = [json.loads(out) for line in lines for out in state.line(line)]
    letters = [each for each in made if each["type"] == "dead.letter"]
    assert not any("555" in each["detail"] for each in letters)
    decided = next(each for each in made if each["type"] == "contact.decided")
    return [each["reason"] for each in letters], [each["rule"] for each in decided["reasons"]]


V1 = published("v1", entries(1, 2, 3, 4))


@pytest.mark.parametrize(
    "broken",
    [
        BAD,
        {"address": 12125550123},
        {"number": number(8)},
        {},
        None,
        "x",
        {"address": "phone_number"},
        {"address": number(7), "since": "03/01/2026"},
        number(7),
        {"address": number(7), "since": 20260301},
    ],
)
def test_one_unreadable_entry_keeps_the_list_out_of_force(broken: Any) -> None:
    """The others bind at once, the version before stays and goes stale by its own age."""
    v2 = published("v2", [*entries(1, 2, 5), broken], 20)
    assert after(V1, v2) == (["registry.unreadable"], [])
    assert after(V1, v2, ask=5) == (["registry.unreadable"], [LISTED])
    assert after(V1, v2, ask=3) == (["registry.unreadable"], [LISTED])
    assert after(V1, v2, day="2026-04-05") == (["registry.unreadable"], [STALE])
    assert after(V1, v2 | {"unreadable": 1}, day="2026-04-05") == ([], [])
    if number(7) in str(broken):
        assert after(V1, v2, ask=7) == (["registry.unreadable"], [LISTED])


def test_more_than_was_accepted_or_nothing_at_all_is_not_accepted() -> None:
    """`unreadable` is a bound, and no bound accepts a list of which nothing can be read."""
    two = published("v2", [*entries(1, 2, 3), BAD, BAD], 20, unreadable=1)
    assert after(V1, two, day="2026-04-05") == (["registry.unreadable"], [STALE])
    none = published("v2", [BAD, BAD], 20, unreadable=9, shrinks=True)
    assert after(V1, none, ask=1) == (["registry.unreadable"], [LISTED])
    assert after(none) == (["registry.unreadable"], [STALE])


def test_a_delta_that_is_not_whole_adds_and_removes_nothing() -> None:
    """An unreadable entry or removal leaves its base in force; the next delta on that base is whole again."""
    for bad in (
        delta("v2", "v1", [*entries(5), BAD], 20, [number(1)]),
        delta("v2", "v1", entries(5), 20, [number(1), "0123"]),
        delta("v2", "v1", entries(5), 20, [number(1), 17]),
    ):
        assert after(V1, bad, ask=1) == (["registry.unreadable"], [LISTED])
        assert after(V1, bad, ask=5) == (["registry.unreadable"], [LISTED])
        assert after(V1, bad, day="2026-04-05")[1] == [STALE]
        assert after(V1, bad | {"unreadable": 1}, day="2026-04-05", ask=1) == ([], [])
        assert after(V1, bad, delta("v3", "v1", [], 21, [number(1)]), ask=1) == (["registry.unreadable"], [])


def test_a_delta_on_another_version_only_adds() -> None:
    """On nothing, on an unknown version, or older than its base; told twice, it says nothing the second time."""
    add = delta("v3", "v2", entries(5), 20, [number(1)])
    assert after(add, ask=5) == (["registry.base_unknown"], [LISTED, STALE])
    for ask in (1, 5):
        assert after(V1, add, ask=ask) == (["registry.base_unknown"], [LISTED])
    early = published("v1", entries(1, 2), 21)
    assert after(early, delta("v2", "v1", entries(5), 20, [number(1)]), ask=5) == (["registry.base_unknown"], [LISTED])
    good = delta("v2", "v1", entries(5), 20, [number(1)])
    gone = delta("v3", "v2", [], 21, [number(5)])
    assert after(V1, good, good, gone, ask=5) == ([], [])


@pytest.mark.parametrize("left", [0, 1, 2, 4])
def test_a_list_of_less_than_half_needs_a_word(left: int) -> None:
    """None, one of four: refused without `shrinks`; two of four, and all: not."""
    small = published("v2", entries(*range(1, left + 1)), 20)
    told = ["registry.shrinks"] if left < 2 else []
    assert after(V1, small, ask=4) == (told, [LISTED] if left < 2 or left == 4 else [])
    assert after(V1, small, day="2026-04-05") == (told, [STALE] if told else [])
    assert after(V1, small | {"shrinks": True}, ask=4) == ([], [LISTED] if left == 4 else [])


def test_a_number_counts_once_and_an_empty_list_may_follow_nothing() -> None:
    """Repeated entries are one; empty after empty, and empty as the first, are lists."""
    many = published("v1", entries(1, 1, 1, 1, 1))
    assert after(many, published("v2", entries(1), 20), ask=1) == ([], [LISTED])
    empty = published("v1", [])
    assert after(empty) == ([], [])
    assert after(empty, published("v2", [], 20), day="2026-04-05") == ([], [])


@pytest.mark.parametrize("gone", [2, 3, 4])
def test_a_delta_that_removes_more_than_half_needs_a_word(gone: int) -> None:
    """Two of four may go; what is listed again, or was not listed, is not removed."""
    change = delta("v2", "v1", [], 20, [number(n) for n in range(1, gone + 1)])
    told = ["registry.shrinks"] if gone > 2 else []
    assert after(V1, change, ask=1) == (told, [LISTED] if told else [])
    assert after(V1, change | {"shrinks": True}, ask=1) == ([], [])
    again = {**change, "entries": entries(3, 4)}
    assert after(V1, again, ask=1) == ([], [])
    unlisted = {**change, "removed": [number(n) for n in range(20, 29)]}
    assert after(V1, unlisted, ask=1) == ([], [LISTED])


def test_bad_versions_add_up_until_a_whole_one() -> None:
    """Each adds; a whole list as late replaces all, an older one does not; a corrected version replaces its own."""
    bad = [published(f"b{n}", [*entries(10 + n), BAD], 10 + n) for n in range(3)]
    for n in range(3):
        assert after(V1, *bad, ask=10 + n)[1] == [LISTED]
        assert after(V1, *bad, published("v2", entries(1, 2, 3), 20), ask=10 + n)[1] == []
    between = published("v2", entries(1, 2, 3), 11)
    assert [after(V1, *bad, between, ask=10 + n)[1] for n in range(3)] == [[], [], [LISTED]]
    mended = delta("b2", "v1", entries(30), 12, [])
    assert [after(V1, *bad, mended, ask=n)[1] for n in (11, 12, 30)] == [[LISTED], [], [LISTED]]


def test_an_older_list_changes_nothing() -> None:
    """Whole or not: the list that was taken last is in force."""
    late = published("v2", entries(1, 2, 3), 20)
    assert after(late, published("v0", entries(9), 2)) == ([], [])
    assert after(late, published("v0", [*entries(9), BAD], 2)) == (["registry.unreadable"], [])


def test_what_a_refused_event_lists_binds() -> None:
    """A bad field of the event, a time in the future or broken JSON takes no listing with it."""
    good = published("v2", entries(9), 20)
    for bad in (
        good | {"as_of": "yesterday"},
        good | {"as_of": "2027-03-01T00:00:00Z"},
        good | {"shrinks": "yes"},
        good | {"kind": "full"},
        {key: value for key, value in good.items() if key != "version"},
        json.dumps(good).encode()[:-1],
        json.dumps(good).replace('"kind"', '"version": "v3", "kind"').encode(),
    ):
        letters, found = after(V1, bad)
        assert (len(letters), found) == (1, [LISTED])
        assert after(V1, bad, published("v3", entries(1, 2), 24))[1] == []


def test_what_a_registry_holds_in_memory_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past it the registry is stale until a whole list comes, whatever binds goes on binding."""
    monkeypatch.setattr(listing, "BYTES", 2_048)
    bad = published("b", [*entries(*range(10, 15)), BAD], 10)
    assert after(V1, bad) == (["registry.unreadable"], [STALE])
    assert after(V1, bad, ask=1)[1] == [LISTED, STALE]
    assert after(V1, bad, published("v2", entries(1, 2), 20)) == (["registry.unreadable"], [])
    grows = delta("v2", "v1", entries(*range(10, 15)), 20, [])
    assert after(V1, grows) == (["registry.too_large"], [STALE])
    assert after(V1, grows, delta("v2", "v1", entries(5), 20, []))[1] == [STALE]


def test_many_deltas_stay_few_layers() -> None:
    """Small ones are made one, so that a lookup takes as long after a thousand."""
    state = Fold(load_policy(POLICY), Tokens(b"k" * 32))
    state.line(json.dumps(V1).encode())
    for n in range(1_000):
        event = delta(f"d{n}", f"d{n - 1}" if n else "v1", entries(10 + n), 2, [number(9 + n)] if n else [])
        assert state.line(json.dumps(event).encode()) == []
    held = state.world.registries["us-ndnc"].listing
    assert isinstance(held, listing.Listed)
    assert held.numbers == 5
    assert len(held.layers) < 12

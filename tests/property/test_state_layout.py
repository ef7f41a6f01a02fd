"""States survive their bytes: decode(encode(x)) == x for whatever a state may hold."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.effort import LONG, PATIENCE_S, examples

from contactgate.codec import state as layout
from contactgate.errors import StoreCorrupt
from contactgate.model.facts import (
    EMPTY,
    FOREVER_MS,
    Closure,
    Contact,
    Grant,
    Mark,
    Profile,
    Relationship,
    Report,
    Span,
    SubjectState,
    Withdrawal,
)

pytestmark = [pytest.mark.timeout(PATIENCE_S)]

names = st.one_of(
    st.sampled_from(
        [
            "voice",
            "marketing.insurance",
            "bank",
            "US-FL",
            "written",
            "",
            "9",
            "é",
            "a1." + "x" * 22,
            "a1." + "x" * 21 + "A",
        ]
    ),
    st.text(max_size=6),
)
ids = st.one_of(
    st.sampled_from(["r-1", "e-1", "", "x" * 36, "ABCDEF00-0000-4000-8000-000000000000"]), st.uuids().map(str), names
)
instants = st.one_of(st.integers(1, 2**41), st.sampled_from([FOREVER_MS, 946_684_800_000, 4_102_444_800_000]))
zero_or = st.one_of(st.just(0), instants)
maybe_instant = st.none() | instants
lists = st.lists(names, max_size=3).map(tuple)
maybe_lists = st.none() | lists
spans = st.lists(
    st.builds(
        Span,
        st.lists(st.integers(0, 6), max_size=3).map(tuple),
        st.integers(0, 86_400_000),
        st.integers(0, 86_400_000),
        st.booleans(),
        st.booleans(),
        st.none() | names,
        maybe_lists,
    ),
    max_size=2,
).map(tuple)
contacts = st.builds(
    Contact,
    instants,
    ids,
    zero_or,
    st.none() | st.sampled_from(layout.OUTCOMES),
    zero_or,
    st.none() | names,
    names,
    names,
    names,
    names,
    st.none() | names,
    lists,
    st.none() | names,
    lists,
    lists,
    ids,
    st.booleans(),
    names,
    st.booleans(),
    lists,
    st.none() | names,
    maybe_lists,
    maybe_lists,
)
grants = st.builds(
    Grant,
    instants,
    names,
    lists,
    lists,
    maybe_lists,
    maybe_lists,
    st.none() | names,
    st.none() | names,
    maybe_instant,
    maybe_instant,
    spans,
    ids,
    instants,
)
withdrawals = st.builds(Withdrawal, instants, st.none() | names, maybe_lists, maybe_lists, maybe_lists, ids, instants)
reports = st.builds(Report, instants, ids, instants, names, st.booleans(), maybe_lists, ids, instants, st.booleans())
marks = st.builds(Mark, st.sampled_from(["deceased", "minor", "other"]), st.booleans(), instants, instants)
relationships = st.builds(
    Relationship,
    names,
    st.sampled_from(["purchase", "contract"]),
    st.integers(1, 9**6),
    st.none() | st.integers(1, 9**6),
    ids,
    zero_or,
)
closures = st.builds(Closure, instants, names, names, names, lists, ids, st.booleans(), instants)
profiles = st.just(Profile()) | st.builds(
    Profile,
    lists,
    zero_or,
    lists,
    zero_or,
    lists,
    zero_or,
    spans,
    zero_or,
    st.lists(relationships, max_size=2).map(tuple),
    lists,
    instants,
    instants,
    st.lists(marks, max_size=2).map(tuple),
    st.lists(closures, max_size=2).map(tuple),
)


def several(one: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    """Up to four."""
    return st.lists(one, max_size=4).map(tuple)


states = st.builds(SubjectState, profiles, several(grants), several(withdrawals), several(contacts), several(reports))


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(states, st.integers(0, 2**47))
def test_a_state_comes_back_as_it_was(state: SubjectState, open_until: int) -> None:
    """Encoding loses nothing, and the open-approval header can be read alone."""
    raw = layout.encode(state, open_until)
    assert layout.decode(raw) == state
    assert layout.open_until_ms(raw) == open_until
    assert layout.encode(state, open_until) == raw


def shorter(state: SubjectState, keep: list[int]) -> SubjectState:
    """A state of which one may have come by adding facts to this one."""
    profile, *sections = msgspec.structs.astuple(state)
    return SubjectState(profile, *(section[:number] for section, number in zip(sections, keep, strict=True)))


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(states, states, st.lists(st.integers(0, 4), min_size=4, max_size=4))
def test_the_bytes_do_not_depend_on_what_was_there_before(
    state: SubjectState, other: SubjectState, keep: list[int]
) -> None:
    """Facts appended to known bytes give the bytes of the whole, whatever the known bytes were of."""
    whole = layout.encode(state, 7)
    for before in (shorter(state, keep), other, state, EMPTY):
        assert layout.encode(state, 7, before, layout.encode(before)) == whole


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(st.binary(max_size=80), states)
def test_damaged_bytes_are_said_to_be_damaged(raw: bytes, state: SubjectState) -> None:
    """Bytes of nobody, of another version, or cut short raise StoreCorrupt and nothing else."""
    whole = layout.encode(state)
    for bad in (b"\x01" + raw, b"\x02" + raw, b"", b"\x04" + whole[1:], b"\x02" + whole[1:], whole[: len(whole) // 2]):
        try:
            layout.decode(bad)
        except StoreCorrupt:
            continue


def test_the_layout_knows_every_field() -> None:
    """A field added to a fact must be given a place in the layout before this list is extended."""
    fields = {
        kind.__name__: len(msgspec.structs.fields(kind))
        for kind in (Closure, Contact, Grant, Mark, Profile, Relationship, Report, Span, SubjectState, Withdrawal)
    }
    assert fields == {
        "Closure": 8,
        "Contact": 24,  # `unclear` is never stored
        "Grant": 13,
        "Mark": 4,
        "Profile": 14,
        "Relationship": 6,
        "Report": 9,
        "Span": 7,
        "SubjectState": 5,
        "Withdrawal": 7,
    }


def test_nobody_is_short_and_an_unknown_version_is_refused() -> None:
    """The empty state decodes to EMPTY, and a later layout is not guessed at."""
    assert layout.decode(layout.encode(EMPTY)) is EMPTY
    with pytest.raises(StoreCorrupt):
        layout.decode(b"\x04")

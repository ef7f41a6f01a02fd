"""Restrictions against permissions in time: stamps, arrivals and clocks that differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contactgate.core.lifting import lifted, outlasts, settled

MINUTE = 60_000
TIMES = st.integers(0, 60).map(lambda minutes: minutes * MINUTE)
SKEWS = st.integers(0, 20).map(lambda minutes: minutes * MINUTE)


def test_a_newer_permission_lifts_and_equal_times_restrict():
    """By the stamps, when both arrive in their order."""
    assert lifted(10 * MINUTE, 10 * MINUTE, 11 * MINUTE, 11 * MINUTE, 10 * MINUTE)
    assert not lifted(10 * MINUTE, 10 * MINUTE, 10 * MINUTE, 11 * MINUTE, 10 * MINUTE)
    assert not lifted(10 * MINUTE, 10 * MINUTE, 9 * MINUTE, 11 * MINUTE, 10 * MINUTE)


def test_a_slow_clock_does_not_lose_an_opt_out():
    """It arrives after the permission and is stamped up to the skew earlier; one millisecond more and it is older."""
    assert not lifted(5 * MINUTE, 16 * MINUTE, 15 * MINUTE, 15 * MINUTE, 10 * MINUTE)
    assert lifted(5 * MINUTE - 1, 16 * MINUTE, 15 * MINUTE, 15 * MINUTE, 10 * MINUTE)
    assert not lifted(5 * MINUTE, 15 * MINUTE, 15 * MINUTE, 15 * MINUTE, 10 * MINUTE), "equal arrival: it is later"


def test_a_permission_stamped_ahead_counts_from_its_arrival():
    """A release stamped hours ahead (local time written as Z) does not lift what comes after it."""
    assert not lifted(20 * MINUTE, 20 * MINUTE, 480 * MINUTE, 10 * MINUTE, 0)
    assert lifted(5 * MINUTE, 5 * MINUTE, 480 * MINUTE, 10 * MINUTE, 0)


@given(TIMES, TIMES, TIMES, TIMES, SKEWS)
def test_what_is_settled_is_lifted_under_every_skew(stop: int, stop_at: int, go: int, go_at: int, skew: int):
    """So it may be forgotten, whatever policy comes."""
    if settled(stop, stop_at, go, go_at):
        assert lifted(stop, stop_at, go, go_at, skew)


@given(TIMES, TIMES, TIMES, TIMES, SKEWS, SKEWS)
def test_more_skew_never_lifts_more(stop: int, stop_at: int, go: int, go_at: int, skew: int, more: int):
    """Tolerance restricts."""
    if lifted(stop, stop_at, go, go_at, skew + more):
        assert lifted(stop, stop_at, go, go_at, skew)


@given(TIMES, TIMES, TIMES, TIMES, TIMES, TIMES, SKEWS)
def test_what_outlasts_holds_whenever_the_other_does(
    one: int, one_at: int, other: int, other_at: int, go: int, go_at: int, skew: int
):
    """Of restrictions of one scope the one that outlasts the others can stand for them."""
    if outlasts(one, one_at, other, other_at) and not lifted(other, other_at, go, go_at, skew):
        assert not lifted(one, one_at, go, go_at, skew)


@given(TIMES, TIMES, TIMES, TIMES, TIMES, TIMES, SKEWS)
def test_what_outlasts_lifts_whenever_the_other_does(
    one: int, one_at: int, other: int, other_at: int, stop: int, stop_at: int, skew: int
):
    """Of permissions of one scope too."""
    if outlasts(one, one_at, other, other_at) and lifted(stop, stop_at, other, other_at, skew):
        assert lifted(stop, stop_at, one, one_at, skew)

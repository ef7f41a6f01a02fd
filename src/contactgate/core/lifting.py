"""Which of a restriction and a permission holds: the one rule about time that all of them share (SEMANTICS 18, 42, 45).

A restriction holds until a permission that is newer. Both carry two instants: `time`, which the sender stamped, and
`arrived`, the broker's time of the record that first carried the event. Clocks of senders differ: a restriction that
arrives after a permission but is stamped at most `skew` earlier is the answer to it, and wins. A permission stamped
ahead of its arrival counts from its arrival. Must never ask for anything but these instants, or one fact would be
judged twice.
"""

from __future__ import annotations

from contactgate.policy.plan import MAX_CLOCK_SKEW_MS


def lifted(stop_ms: int, stop_arrived_ms: int, go_ms: int, go_arrived_ms: int, skew_ms: int) -> bool:
    """Whether a restriction stamped `stop_ms` ended with a permission stamped `go_ms`. Equal times restrict."""
    go_ms = min(go_ms, go_arrived_ms)
    if stop_ms >= go_ms:
        return False
    return stop_arrived_ms < go_arrived_ms or stop_ms < go_ms - skew_ms


def settled(stop_ms: int, stop_arrived_ms: int, go_ms: int, go_arrived_ms: int) -> bool:
    """Whether `lifted` is true whatever the skew: what was stopped may be forgotten."""
    return stop_ms < min(go_ms, go_arrived_ms) and stop_arrived_ms < go_arrived_ms


def outlasts(one_ms: int, one_arrived_ms: int, other_ms: int, other_arrived_ms: int) -> bool:
    """Whether of two restrictions, or two permissions, of the same scope the first holds whenever the other does."""
    return one_ms >= other_ms and one_arrived_ms >= other_arrived_ms


def past(stop_ms: int, go_ms: int, go_arrived_ms: int) -> bool:
    """Whether `lifted` is true whatever the skew and whenever the restriction arrived, as often as it is repeated."""
    return stop_ms < min(go_ms, go_arrived_ms) - MAX_CLOCK_SKEW_MS

"""What of pauses and suppressions is in force: those that nothing newer has lifted (SEMANTICS rules 42, 45).

A stop is lifted by what is newer and names it: a pause by its end, or by a newer record of its id that says who
narrows it; a suppression by a release whose scope it lies wholly inside. All of them are kept with when they were
stamped and when they arrived, so in whatever order they were read, the same is in force. Must never let a release that
is half understood lift anything, nor forget a stop that may still bind, unless another binds as much.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from contactgate.core.holding import added, is_lifted, lasting, unsettled
from contactgate.core.lifting import lifted, outlasts, past
from contactgate.core.vocabulary import Vocabulary
from contactgate.model.synonyms import folded
from contactgate.model.world import Lift, Pause, Release, Suppression
from contactgate.policy.plan import covers

MOST: Final = 64
"""How many stops of one pause or address, and how many records that lift them, are kept apart."""
_EQUAL: Final = 8
"""How many suppressions of one scope are kept apart: a release may name one of them by its event."""

# --- pauses -------------------------------------------------------------------------------------------------------


class Paused(msgspec.Struct, frozen=True):
    """Everything that is known of one pause."""

    stops: tuple[Pause, ...] = ()
    lifts: tuple[Lift, ...] = ()

    def in_force(self, skew_ms: int) -> tuple[Pause, ...]:
        """The records that hold: each of them stops what it names."""
        if not self.lifts:
            return self.stops
        return tuple(stop for stop in self.stops if not is_lifted(stop, self.lifts, skew_ms))


def paused(known: Paused, pause: Pause) -> Paused:
    """With one more record that sets it; with `by`, it takes the place of older ones."""
    stops = added(known.stops, pause)
    if stops is known.stops:
        return known
    lifts = known.lifts
    if pause.by is not None:
        lifts = _lifts(lifts, Lift(pause.time_ms, pause.arrived_ms, pause.event_id))
    return _thinned(stops, lifts)


def lifting(known: Paused, lift: Lift) -> Paused:
    """With one more record that ends it."""
    lifts = _lifts(known.lifts, lift)
    return known if lifts is known.lifts else _thinned(known.stops, lifts)


def _lifts(known: tuple[Lift, ...], one: Lift) -> tuple[Lift, ...]:
    lifts = added(known, one)
    if lifts is known or len(lifts) == 1:
        return lifts
    lifts = tuple(each for each in lifts if not any(_outlasts(other, each) for other in lifts))
    return lifts[-MOST:]  # without the oldest less is lifted


def _outlasts(one: Lift | Release, other: Lift | Release) -> bool:
    """Whether the first lifts whatever the second does; of equal ones, that of the greater event_id."""
    if not outlasts(one.time_ms, one.arrived_ms, other.time_ms, other.arrived_ms):
        return False
    return (one.time_ms, one.arrived_ms, one.event_id) > (other.time_ms, other.arrived_ms, other.event_id)


def _thinned(stops: tuple[Pause, ...], lifts: tuple[Lift, ...]) -> Paused:
    stops = lasting(stops, lifts)
    if len(stops) > MOST:
        stops = unsettled(stops, lifts)
    if len(stops) > MOST:
        last = stops[-1]
        everything = Pause(
            pause_id=last.pause_id,
            time_ms=last.time_ms,
            until_ms=None,
            controllers=None,
            requesters=None,
            campaigns=None,
            purposes=None,
            channels=None,
            arrived_ms=max(each.arrived_ms for each in stops),
            event_id=last.event_id,
        )
        stops = (everything,)
    return Paused(stops, lifts)


# --- suppressions -------------------------------------------------------------------------------------------------


def suppressed(
    known: tuple[Suppression, ...], one: Suppression, releases: tuple[Release, ...]
) -> tuple[Suppression, ...]:
    """The suppressions of an address with one more, if it may bind; the very tuple that was given if it is known."""
    stops = added(known, one)
    if stops is known:
        return known
    stops = without(stops, releases)
    equal = [each for each in stops if _scope(each) == _scope(one)]
    if len(equal) > _EQUAL:
        stops = _folded(stops, equal[:2])
    if len(stops) > MOST:
        for scope in {_where(each) for each in stops}:
            stops = _folded(stops, [each for each in stops if _where(each) == scope])
    return stops if len(stops) <= MOST else _folded(stops, stops)


def without(stops: tuple[Suppression, ...], releases: Iterable[Release]) -> tuple[Suppression, ...]:
    """Those that some release has not ended for good, whatever the clocks, the words and what comes again."""
    for release in releases:
        if not _has_words(release):
            stops = tuple(
                each
                for each in stops
                if not (past(each.time_ms, release.time_ms, release.arrived_ms) and _names(release, each))
            )
    return stops


def released(known: tuple[Release, ...], one: Release) -> tuple[Release, ...]:
    """The releases of an address with one more; the very tuple that was given if it is known."""
    releases = added(known, one)
    if releases is known or len(releases) == 1:
        return releases
    releases = tuple(each for each in releases if not any(_repeats(other, each) for other in releases))
    return releases[-MOST:]  # without the oldest less is lifted


def in_force(
    stops: tuple[Suppression, ...], releases: tuple[Release, ...], known: Vocabulary, skew_ms: int
) -> tuple[Suppression, ...]:
    """The suppressions of an address that no release has lifted, as words are judged now."""
    releases = tuple(each for each in releases if known.unknown_in_release(each) is None)
    return tuple(stop for stop in stops if not any(_lifts_it(each, stop, known, skew_ms) for each in releases))


def _lifts_it(release: Release, stop: Suppression, known: Vocabulary, skew_ms: int) -> bool:
    return (
        lifted(stop.time_ms, stop.arrived_ms, release.time_ms, release.arrived_ms, skew_ms)
        and _names(release, stop)
        and (not _has_words(release) or _inside(release, stop, known))
    )


def _has_words(release: Release) -> bool:
    return (release.channels, release.controller, release.purposes, release.campaigns) != (None, None, None, None)


def _names(release: Release, stop: Suppression) -> bool:
    """Whether reason and event of a suppression are among those of a release."""
    return (release.reasons is None or stop.reason in release.reasons) and (
        release.events is None or stop.event_id in release.events
    )


def _inside(release: Release, stop: Suppression, known: Vocabulary) -> bool:
    """Whether all that a suppression reaches, as its words are judged, lies inside the scope of a release."""
    channels, controllers = known.channels(stop.channels).names, known.controller(stop.controller).names
    campaigns, purposes = known.campaigns(stop.campaigns).names, known.purposes(stop.purposes).names
    return (
        (release.channels is None or (channels is not None and channels.issubset(release.channels)))
        and (release.controller is None or (controllers is not None and controllers == {folded(release.controller)}))
        and (
            release.campaigns is None or (campaigns is not None and campaigns.issubset(map(folded, release.campaigns)))
        )
        and (
            release.purposes is None
            or (purposes is not None and all(any(covers(up, each) for up in release.purposes) for each in purposes))
        )
    )


def _repeats(one: Release, other: Release) -> bool:
    """Whether a release lifts all that another one of the same scope lifts."""
    return _outlasts(one, other) and _said(one) == _said(other)


def _said(release: Release) -> Release:
    return msgspec.structs.replace(release, time_ms=0, arrived_ms=0, event_id="")


def _where(stop: Suppression) -> tuple[object, ...]:
    return (stop.channels, stop.controller, stop.purposes, stop.campaigns)


def _scope(stop: Suppression) -> tuple[object, ...]:
    return (*_where(stop), stop.reason, stop.origin)


def _folded(stops: tuple[Suppression, ...], some: Iterable[Suppression]) -> tuple[Suppression, ...]:
    """With one suppression in the place of some: of their common scope, else of all, and as late as any of them."""
    several = list(some)
    last, alike = several[-1], len({_scope(each) for each in several}) == 1

    def common(name: str) -> object:
        values = {getattr(each, name) for each in several}
        return values.pop() if len(values) == 1 else None

    ends = [each.expires_ms for each in several if each.expires_ms is not None]
    one = Suppression(
        time_ms=last.time_ms,
        channels=common("channels"),  # type: ignore[arg-type]  # the field's own type
        controller=common("controller"),  # type: ignore[arg-type]
        purposes=common("purposes"),  # type: ignore[arg-type]
        campaigns=common("campaigns"),  # type: ignore[arg-type]
        reason=last.reason if alike else "several",
        expires_ms=max(ends) if len(ends) == len(several) else None,
        event_id=last.event_id if alike else "",  # which no release can name
        arrived_ms=max(each.arrived_ms for each in several),
        origin=common("origin") or "",  # type: ignore[arg-type]
    )
    gone = {id(each) for each in several}
    others = tuple(each for each in stops if id(each) not in gone)
    return added(others, one)

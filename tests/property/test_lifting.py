"""In whatever order records of the world are read, the same is in force; reading more that restricts never loosens."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kit.corekit import (
    DAY,
    MINUTE,
    HandMade,
    T,
    agreement,
    campaign,
    lift,
    limits,
    notice,
    party,
    pause,
    plan,
    release,
    suppression,
)
from tests.property.effort import LONG, examples

from contactgate.core.world import World

Step = tuple[str, Any]

times = st.sampled_from([T + minutes * MINUTE for minutes in (0, 1, 5, 9, 10, 11, 30, 1440, 1500, 3000)])
channels = st.sampled_from([None, ("sms",), ("voice",), ("sms", "voice")])
purposes = st.sampled_from([None, ("marketing",), ("marketing.insurance",), ("service",)])
controllers = st.sampled_from([None, "bank", "insurer"])


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """One record, with a time and an arrival of its own."""
    at, arrived = draw(times), draw(times)
    told = {"arrived_ms": arrived, "event_id": f"e-{draw(st.integers(0, 99))}"}
    kind = draw(st.sampled_from(["party", "campaign", "notice", "pause", "lift", "suppress", "release", "policy"]))
    if kind == "party":
        given_to = [agreement(channels=draw(channels), purposes=draw(purposes)) for _ in range(draw(st.integers(0, 2)))]
        return kind, party(*given_to, status=draw(st.sampled_from(["active", "suspended"])), at_ms=at, **told)
    if kind == "campaign":
        status = draw(st.sampled_from(["approved", "paused", "closed"]))
        return kind, campaign(
            status=status,
            time_ms=at,
            controller=draw(controllers),
            purposes=draw(purposes),
            channels=draw(channels),
            **told,
        )
    if kind == "notice":
        version = draw(st.integers(1, 2))
        return kind, notice(time_ms=at, version=version, effective_ms=draw(times), purposes=draw(purposes), **told)
    if kind == "pause":
        by = draw(st.sampled_from([None, "ann"]))
        return kind, pause(time_ms=at, by=by, channels=draw(channels), purposes=draw(purposes), **told)
    if kind == "lift":
        return kind, lift(at, **told)
    scope = {"channels": draw(channels), "purposes": draw(purposes), "controller": draw(controllers)}
    if kind == "suppress":
        return kind, suppression(time_ms=at, reason=draw(st.sampled_from(["manual", "bounced"])), **scope, **told)
    if kind == "release":
        scope["reasons"] = draw(st.sampled_from([None, ("manual",)]))
        scope["events"] = draw(st.sampled_from([None, tuple(f"e-{n}" for n in range(50))]))
        return kind, release(at, **scope, **told)
    name = f"sha256:{draw(st.integers(0, 2))}"
    skew_ms = draw(st.sampled_from([0, 10 * MINUTE, DAY]))
    return kind, (HandMade(plan(), limits(clock_skew_ms=skew_ms), f"{name}-{skew_ms}"), at, arrived, told["event_id"])


def folded(told: list[Step]) -> World:
    """The world after these records, in this order."""
    made = World()
    made.activate(HandMade(plan(), limits()))
    for kind, one in told:
        if kind == "party":
            made.put_party(one)
        elif kind == "campaign":
            made.put_campaign(one)
        elif kind == "notice":
            made.put_notice(one)
        elif kind == "pause":
            made.put_pause(one)
        elif kind == "lift":
            made.lift_pause("p-1", one)
        elif kind == "suppress":
            made.suppress("a1.one", one)
        elif kind == "release":
            made.release("a1.one", one)
        else:
            made.put_policy(*one)
    return made


def in_force(made: World) -> tuple[Any, ...]:
    """Everything that a rule may ask for, without the order in which it stands."""
    assert made.policy is not None
    parties = {key: (each.status, sorted(map(str, each.agreements))) for key, each in made.parties.items()}
    campaigns = {
        key: (
            each.status,
            each.controller if each.requesters != () else None,
            _words(each.purposes),
            _words(each.channels),
        )
        for key, each in made.campaigns.items()
    }
    notices = {key: sorted(map(str, each)) for key, each in made.notices.items()}
    stops = sorted(str(each) for each in made.suppressed("a1.one"))
    return made.policy.hash, parties, campaigns, notices, sorted(map(str, made.pauses)), stops


def _words(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else sorted(set(words))


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(st.lists(steps(), min_size=2, max_size=9), st.randoms(use_true_random=False), st.integers(0, 8))
def test_the_order_in_which_records_are_read_makes_no_difference(told: list[Step], random: Any, again: int) -> None:
    """Times and arrivals are what they are; one record that is told again later makes no difference either."""
    other = list(told)
    random.shuffle(other)
    kind, one = told[again % len(told)]
    if kind == "policy":
        repeated = (kind, (one[0], one[1], one[2] + DAY, one[3]))
    else:
        values = {name: getattr(one, name) for name in one.__struct_fields__}
        repeated = (kind, type(one)(**values | {"arrived_ms": one.arrived_ms + DAY}))
    other.insert(random.randrange(len(other) + 1), repeated)
    assert in_force(folded(told)) == in_force(folded(other))


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(st.lists(steps(), max_size=7), times, times, channels)
def test_one_more_stop_never_takes_a_stop_away(told: list[Step], at: int, arrived: int, named: Any) -> None:
    """A pause without a name and a suppression only add to what is in force."""
    before = folded(told)
    after = folded(told)
    after.put_pause(pause(time_ms=at, arrived_ms=arrived, channels=named, event_id="more"))
    after.suppress("a1.one", suppression(time_ms=at, arrived_ms=arrived, channels=named, event_id="more"))
    assert set(before.pauses) <= set(after.pauses)
    assert set(before.suppressed("a1.one")) <= set(after.suppressed("a1.one"))

"""The first free instant: a request passes at it and blocks one millisecond before, for random people and policies."""

from copy import copy

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kit.corekit import (
    DAY,
    HOUR,
    MINUTE,
    OPT_IN,
    OPT_OUT,
    HandMade,
    Listed,
    T,
    agreement,
    consent,
    contact,
    limits,
    party,
    pause,
    plan,
    request,
    suppression,
)
from tests.property.effort import LONG, PATIENCE_S, examples

from contactgate.core.decide import decide
from contactgate.core.explain import explain
from contactgate.core.rule import NEVER, context
from contactgate.core.rulebook import rulebook_at
from contactgate.core.world import World
from contactgate.model.facts import Contact, Grant, Profile, Relationship, Span, SubjectState, Withdrawal
from contactgate.model.request import Request
from contactgate.model.world import RegistryVersion
from contactgate.policy.plan import (
    Basis,
    Cap,
    CapWindow,
    CoolOff,
    Plan,
    RegistryRule,
    RelationPeriod,
    Selector,
    WindowRule,
)

pytestmark = [pytest.mark.timeout(PATIENCE_S)]

ZONES = ["Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "Europe/London", "Asia/Kathmandu"]
OUTCOMES = [None, "not_attempted", "busy", "answered", "refused", "voicemail", "complained"]
near = st.integers(-9 * DAY, 9 * DAY).map(lambda ms: T + ms) | st.sampled_from([T - DAY, T - 1, T, T + 1, T + DAY])
scopes = st.sampled_from([(), ("channel",), ("requester",), ("matter",), ("address", "controller")])
spans = st.builds(
    Span,
    days=st.sampled_from([(), (0, 1, 2, 3, 4), (5, 6), (2,)]),
    from_ms=st.sampled_from([0, 8 * HOUR, 9 * HOUR + 30 * MINUTE, 22 * HOUR]),
    to_ms=st.sampled_from([6 * HOUR, 12 * HOUR, 20 * HOUR, DAY]),
    from_exclusive=st.booleans(),
    to_inclusive=st.booleans(),
)
windows_of_caps = st.one_of(
    st.builds(CapWindow, st.just("sliding"), length_ms=st.sampled_from([MINUTE, HOUR, DAY, 7 * DAY])),
    st.builds(CapWindow, st.just("days"), days=st.integers(1, 8), zone=st.sampled_from(["subject", "UTC"])),
    st.builds(
        CapWindow,
        st.just("calendar"),
        unit=st.sampled_from(["day", "week", "month"]),
        zone=st.sampled_from(["subject", "America/New_York"]),
        week_starts=st.sampled_from([0, 6]),
    ),
)
caps = st.lists(
    st.builds(
        Cap,
        st.sampled_from(["cap.a", "cap.b", "gap.c"]),
        st.integers(1, 3),
        windows_of_caps,
        scopes,
        st.sampled_from([Selector(), Selector(frozenset(("voice",))), Selector(purposes=("marketing",))]),
        st.sampled_from(["approved", "connected", "delivered", "conversation"]),
        st.sampled_from(["block", "any"]),
    ),
    max_size=3,
)
cooloffs = st.lists(
    st.builds(
        CoolOff,
        st.sampled_from(["cooloff.a", "cooloff.b"]),
        st.sampled_from([frozenset(("refused",)), frozenset(("answered", "complained"))]),
        st.sampled_from(["elapsed", "days", "elapsed", "days", "elapsed", "forever"]),
        length_ms=st.sampled_from([HOUR, 3 * DAY]),
        days=st.integers(1, 5),
        first=st.sampled_from(["same_day", "next_day"]),
        scope=scopes,
        after_count=st.integers(1, 2),
        after_within_ms=st.sampled_from([0, DAY]),
        lacking=st.sampled_from(["block", "any"]),
        until_consent=st.booleans(),
    ),
    max_size=2,
)
relations = st.sampled_from([(), (RelationPeriod("inquiry", months=1),), (RelationPeriod("contract", days=3),)])
bases = st.sampled_from(
    [
        (OPT_IN,),
        (OPT_OUT,),
        (OPT_IN, Basis("de", "opt_in", frozenset(("web",)))),
        (Basis("au", "opt_in", default_days=7),),
        (Basis("fr", "opt_in", max_months=1, unless_relations=(RelationPeriod("inquiry", months=1),)),),
    ]
)
plans = st.builds(
    lambda b, c, o, w, r: plan(bases=b, caps=tuple(c), cooloffs=tuple(o), windows=tuple(w), registries=tuple(r)),
    bases,
    caps,
    cooloffs,
    st.lists(
        st.builds(
            WindowRule,
            st.sampled_from(["house", "law"]),
            st.lists(spans, min_size=1, max_size=2).map(tuple),
            st.sampled_from([None, None, "Asia/Tokyo"]),
        ),
        max_size=2,
    ),
    st.lists(
        st.builds(
            RegistryRule,
            st.just("dnc"),
            st.sampled_from([3, 31]),
            grace_days=st.integers(0, 5),
            unless_consent=st.booleans(),
            unless_relations=relations,
        ),
        max_size=1,
    ),
)
grants = st.lists(
    st.builds(
        lambda at, start, end, evidence, hours, n: consent(
            time_ms=at, effective_ms=start, expires_ms=end, evidence=evidence, windows=hours, event_id=f"g{n}"
        ),
        near,
        st.none() | near,
        st.none() | near,
        st.sampled_from(["web", "written"]),
        st.lists(spans, max_size=1).map(tuple),
        st.integers(0, 9),
    ),
    max_size=4,
)


def _contact(at: int, after: int, outcome: str | None, recalled: bool, observed: bool, requester: str) -> Contact:
    return contact(
        time_ms=at,
        request_id="" if observed else f"r{at}",
        valid_until_ms=0 if observed else at + 15 * MINUTE,
        outcome=outcome or ("busy" if observed else None),
        outcome_ms=at + after if outcome or observed else 0,
        recalled="pause.p" if recalled and not observed else None,
        requester="" if observed else requester,
        matters=("m-1",) if after % 2 else (),
        event_id=f"o{at}" if observed else "",
    )


contacts = st.lists(
    st.builds(
        _contact,
        near,
        st.integers(0, DAY),
        st.sampled_from(OUTCOMES),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["callcentre", "bank"]),
    ),
    max_size=8,
).map(lambda many: tuple(sorted(many, key=lambda each: (each.time_ms, each.request_id, each.event_id))))
profiles = st.builds(
    Profile,
    timezones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=2, unique=True).map(tuple),
    preferred=st.lists(spans, max_size=1).map(tuple),
    flags=st.sampled_from([(), (), ("business",)]),
    relationships=st.lists(
        st.builds(
            Relationship,
            st.just("bank"),
            st.sampled_from(["inquiry", "contract"]),
            st.integers(739_600, 739_700),
            st.none(),
            st.just("b"),
        ),
        max_size=2,
    ).map(tuple),
    erased_ms=st.sampled_from([0, 0, 0, 0, T - 5 * DAY]),
)
withdrawals = st.lists(
    st.builds(
        Withdrawal,
        near,
        st.sampled_from([None, "bank", "insurer"]),
        st.sampled_from([None, ("marketing",), ("collection",)]),
        st.sampled_from([None, ("voice",), ("sms",)]),
        st.none(),
        st.just("w"),
    ),
    max_size=1,
).map(tuple)


def _ordered(many: list[Grant]) -> tuple[Grant, ...]:
    """With one consent that mostly counts, so that most people can be contacted at some time."""
    return tuple(
        sorted(
            [*many, consent(time_ms=T - 6 * DAY, recipients=("callcentre",), event_id="g")],
            key=lambda each: (each.time_ms, each.event_id),
        )
    )


states = st.builds(SubjectState, profiles, grants.map(_ordered), withdrawals, contacts)
requests = st.builds(
    lambda matter, before, after, zones: request(
        matter=matter, not_before_ms=before, not_after_ms=after, number_zones=zones
    ),
    st.sampled_from(["m-1", "m-1", "m-2", None]),
    st.one_of(st.none(), st.none(), near),
    st.one_of(st.none(), st.none(), st.none(), near.map(lambda ms: ms + 9 * DAY)),
    st.sampled_from([(), ("Asia/Shanghai",)]),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world whose plan changes once, with a pause, a suppression, a party and a list, or without."""
    first, second, at = draw(plans), draw(plans), draw(near)

    def dated(purpose: str, channel: str, mode: str, jurisdictions: tuple[str, ...], now_ms: int) -> Plan:
        return replace_until(first, at) if now_ms < at else second

    cache: dict[int, Plan] = {}

    def replace_until(chosen: Plan, until_ms: int) -> Plan:
        if until_ms not in cache:
            values = {name: getattr(chosen, name) for name in Plan.__dataclass_fields__}
            cache[until_ms] = Plan(**values | {"until_ms": until_ms})
        return cache[until_ms]

    made = World()
    made.activate(HandMade(dated if draw(st.booleans()) else second, limits(unreported_counts=draw(st.booleans()))))
    if draw(st.booleans()):
        scope = draw(st.sampled_from([None, ("sms",)]))
        made.put_pause(pause(pause_id="p", until_ms=draw(near), channels=scope))
    if draw(st.booleans()):
        made.suppress("a1.one", suppression(expires_ms=draw(near)))
    if draw(st.integers(0, 3)) == 0:
        made.put_party(party(agreement(valid_from_ms=draw(st.none() | near), valid_until_ms=draw(st.none() | near))))
    since = {"a1.one": draw(st.sampled_from([739_676, 739_679]))} if draw(st.booleans()) else {}
    made.put_registry(RegistryVersion("dnc", "v", draw(near | st.just(T + 9 * DAY)), Listed(**since)))
    return made


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(requests, states, worlds(), near)
def test_it_passes_at_the_instant_and_blocks_one_millisecond_before(
    asked: Request, state: SubjectState, made: World, now_ms: int
) -> None:
    """Exact to the millisecond; without an instant nothing passes at any later instant that is tried.

    Lists that are fresh when it is asked go on being refreshed, and it is said which of them had to be.
    """
    decision, _ = decide(asked, state, made, now_ms)
    explained = explain(asked, state, made, now_ms)
    assert explained.passes == decision.passed
    assert explained.next_eligible_ms == decision.next_eligible_ms
    assert {each.rule for each in explained.rules if not each.holds} == {each.rule for each in decision.reasons}
    assert not any(each.rule.startswith("rule.error") for each in decision.reasons)
    if decision.passed:
        assert decision.valid_until_ms is not None
        assert decision.valid_until_ms > now_ms
        return
    first = decision.next_eligible_ms
    if first is None:
        later = [now_ms + hours * HOUR + 1 for hours in range(0, 24 * 40, 17)]
    else:
        assert first > now_ms
        assert decide(asked, state, refreshed(asked, state, made, now_ms, first), first)[0].passed
        assert decide(asked, state, made, first)[0].passed == (not decision.assumes)
        later = [first - 1, (now_ms + first) // 2, now_ms + (first - now_ms) // 5]
    for instant in later:
        at = max(instant, now_ms)
        assert not decide(asked, state, refreshed(asked, state, made, now_ms, at), at)[0].passed


def refreshed(asked: Request, state: SubjectState, made: World, now_ms: int, at: int) -> World:
    """The world at a later instant whose list, if it is fresh now, was taken again just then."""
    assert made.policy is not None
    ctx = context(asked, state, made, made.policy)
    if not any(rule.assumes and rule.supposed(ctx, now_ms) for rule in rulebook_at(ctx, at).rules):
        return made
    again = copy(made)
    taken = {name: msgspec.structs.replace(each, as_of_ms=at) for name, each in made.registries.items()}
    again.registries = taken
    return again


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(requests, states, worlds(), near)
def test_every_reason_tells_when_its_rule_alone_passes(
    asked: Request, state: SubjectState, made: World, now_ms: int
) -> None:
    """Each lies ahead, and the request passes no sooner than the last of them."""
    decision, _ = decide(asked, state, made, now_ms)
    for reason in decision.reasons:
        if reason.until_ms is None:
            continue
        assert reason.until_ms > now_ms
        if decision.next_eligible_ms is not None and not _replanned(made, asked, now_ms):
            assert reason.until_ms <= decision.next_eligible_ms


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(requests, states, worlds(), near)
def test_a_rule_says_the_same_whichever_way_it_is_asked(
    asked: Request, state: SubjectState, made: World, now_ms: int
) -> None:
    """It is sure of a time to come exactly if it passes now, and goes on passing until then."""
    assert made.policy is not None
    ctx = context(asked, state, made, made.policy)
    book = rulebook_at(ctx, now_ms)
    for rule in (*book.rules, *book.asked(ctx).rules):
        sure, first = rule.sure_until(ctx, now_ms), rule.passes_from(ctx, now_ms)
        assert first >= now_ms
        assert (sure > now_ms) == (first == now_ms), rule.name
        assert sure >= now_ms
        for instant in (now_ms + 1, (now_ms + sure) // 2, sure - 1, sure - HOUR, now_ms + DAY, now_ms + 30 * DAY):
            if now_ms < instant < min(sure, now_ms + 400 * DAY):
                assert rule.passes_from(ctx, instant) == instant, rule.name
    kept = [rule for rule in book.asked(ctx).rules if rule.name != "standing"]
    for rule in book.rules:
        if rule not in kept and not rule.standing:
            assert rule.sure_until(ctx, now_ms) >= NEVER, rule.name


def _replanned(made: World, asked: Request, now_ms: int) -> bool:
    """Whether another plan applies later: a rule of now may be gone before it passes."""
    assert made.policy is not None
    return made.policy.plan(asked.purpose, asked.channel, asked.mode, (), now_ms).until_ms is not None

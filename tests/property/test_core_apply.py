"""Folding events: in any order, and however often, the state is the same; an opt-out never lets more pass."""

from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kit.corekit import DAY, HOUR, MINUTE, T, ask, consent, contact, person, request, world
from tests.property.effort import LONG, PATIENCE_S, examples

from contactgate.core.apply import apply
from contactgate.core.decide import decide
from contactgate.model import events
from contactgate.model.facts import EMPTY, Span, SubjectState, Withdrawal

pytestmark = [pytest.mark.timeout(PATIENCE_S)]

times = st.sampled_from([T - 2 * DAY, T - DAY, T - HOUR, T - 1, T, T + 1])
arrivals = st.sampled_from([T - DAY, T, T + 1, T + MINUTE, T + HOUR])
lasting = st.sampled_from([(), (), ("minor",), ("deceased", "vulnerable")])
maybe = st.sampled_from
scopes: dict[str, Any] = {
    "controller": maybe([None, "bank", "insurer"]),
    "purposes": maybe([None, ("marketing",), ("marketing.insurance",), ("collection",)]),
    "channels": maybe([None, ("voice",), ("sms", "voice")]),
    "recipients": maybe([None, ("callcentre",), ("bank",)]),
}


@cache
def told(number: int) -> st.SearchStrategy[events.SubjectEvent]:
    """One event with its own id."""
    name = f"e-{number}"
    return st.one_of(
        st.builds(
            lambda **fields: events.GrantGiven(consent(event_id=name, **fields)),
            time_ms=times,
            controller=maybe(["bank", "insurer"]),
            purposes=maybe([("marketing",), ("marketing.insurance",), ("collection", "marketing")]),
            recipients=scopes["recipients"],
            notice_id=maybe([None, "n-1"]),
            expires_ms=maybe([None, T + DAY]),
            arrived_ms=arrivals,
        ),
        st.builds(
            lambda **fields: events.ConsentWithdrawn(Withdrawal(event_id=name, **fields)),
            time_ms=times,
            arrived_ms=arrivals,
            **scopes,
        ),
        st.builds(
            events.ProfileUpdated,
            st.just(name),
            times,
            timezones=maybe([None, (), ("Asia/Shanghai",), ("Europe/Paris",)]),
            jurisdictions=maybe([None, (), ("CN",), ("US-FL",)]),
            flags=maybe([None, (), ("business",), ("vip",)]),
            preferred=maybe([None, (), (Span(),), (Span(from_ms=HOUR),)]),
            marked=lasting,
            unmarked=lasting,
            arrived_ms=arrivals,
        ),
        st.builds(events.Erased, st.just(name), times, arrivals),
        st.builds(
            events.ComplaintReceived, st.just(name), times, scopes["controller"], maybe([None, "voice"]), arrivals
        ),
        st.builds(
            events.RelationshipRecorded,
            st.just(name),
            times,
            st.just("bank"),
            maybe(["purchase", "contract"]),
            st.integers(10, 12),
            maybe([None, 20, 21]),
        ),
        st.builds(
            events.ContactObserved,
            st.just(name),
            times,
            st.just("bank"),
            st.just("voice"),
            st.just("marketing.insurance"),
            maybe(["answered", "refused", "unsubscribed", "wrong_number"]),
            arrivals,
            address=maybe([None, "a1.one"]),
        ),
    )


reports = st.builds(
    lambda at, outcome, matters, number: events.OutcomeReported(
        f"o-{number}", "q-1", at, outcome, matters, at + MINUTE
    ),
    times.map(lambda ms: ms + MINUTE),
    maybe(["not_attempted", "busy", "answered", "wrong_number", "refused", "unsubscribed", "complained"]),
    maybe([None, ("d1",), ("d2", "d3")]),
    st.integers(0, 99),
)


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[list[events.SubjectEvent], list[events.SubjectEvent]]:
    """Some events, and the same ones in another order with some of them twice."""
    some = [draw(told(number)) for number in range(draw(st.integers(1, 6)))]
    again = draw(st.lists(st.sampled_from(some), max_size=3))
    return some, draw(st.permutations(some + again))


def fold(state: SubjectState, some: list[events.SubjectEvent]) -> SubjectState:
    """The state after the events."""
    made = world()
    for event in some:
        state, _ = apply(event, state, made, T)
    return state


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(shuffled())
def test_equal_sets_of_events_give_equal_states(
    both: tuple[list[events.SubjectEvent], list[events.SubjectEvent]],
) -> None:
    """Order and repetition change nothing; every tuple is sorted as its type says."""
    one, other = fold(EMPTY, both[0]), fold(EMPTY, both[1])
    assert one == other
    assert list(one.grants) == sorted(one.grants, key=lambda each: (each.time_ms, each.event_id))
    assert list(one.withdrawals) == sorted(one.withdrawals, key=lambda each: (each.time_ms, each.event_id))
    assert list(one.contacts) == sorted(one.contacts, key=lambda each: (each.time_ms, each.request_id, each.event_id))


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(st.lists(reports, min_size=1, max_size=4).flatmap(lambda some: st.tuples(st.just(some), st.permutations(some))))
def test_reports_of_one_contact_end_the_same_in_every_order(
    both: tuple[list[events.OutcomeReported], list[events.OutcomeReported]],
) -> None:
    """Contradicting, repeated and late outcomes: what restricts most holds."""
    _, state = decide(request(matter="d0"), person(), world(), T)
    names = [(report.event_id, report) for report in both[0]]
    if len({name for name, _ in names}) < len({id(report) for _, report in names}):
        return  # two different events never share an id
    assert fold(state, list(both[0])) == fold(state, list(both[1]))


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(shuffled(), st.builds(Withdrawal, times, event_id=st.just("w"), **scopes))
def test_an_opt_out_never_turns_block_into_pass(
    both: tuple[list[events.SubjectEvent], list[events.SubjectEvent]], opt_out: Withdrawal
) -> None:
    """Whatever is known of a person, one more withdrawal lets nothing pass that was blocked."""
    made = world()
    before = fold(person(contacts=(contact(),)), both[0])
    after, _ = apply(events.ConsentWithdrawn(opt_out), before, made, T)
    for at in (T, T + 1, T + DAY):
        assert ask(made, before, at).passed or not ask(made, after, at).passed


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(shuffled())
def test_what_was_forgotten_did_not_matter(both: tuple[list[events.SubjectEvent], list[events.SubjectEvent]]) -> None:
    """Consents and withdrawals that were dropped as superfluous never change an answer, compared with keeping all."""
    made = world()
    folded = fold(EMPTY, both[0])
    if folded.profile.erased_ms:
        return
    given_all = [event.grant for event in both[0] if isinstance(event, events.GrantGiven)]
    said = [event.withdrawal for event in both[0] if isinstance(event, events.ConsentWithdrawn)]
    kept_from_others = [each for each in folded.withdrawals if each.event_id not in {w.event_id for w in said}]
    whole = SubjectState(
        folded.profile,
        tuple(sorted(given_all, key=lambda each: (each.time_ms, each.event_id))),
        tuple(sorted([*said, *kept_from_others], key=lambda each: (each.time_ms, each.event_id))),
        folded.contacts,
    )
    for at in (T + 1, T + DAY - 1, T + DAY):  # not before any of the events
        for requester in ("callcentre", "bank"):
            assert ask(made, whole, at, requester=requester).passed == ask(made, folded, at, requester=requester).passed


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(
    st.lists(st.integers(-8, 8), min_size=1, max_size=8, unique=True),
    st.builds(Withdrawal, st.integers(T - 8, T + 8), event_id=st.just("w"), **scopes),
    st.integers(-8, 8),
)
def test_of_a_repeated_consent_none_is_missed_that_was_in_force(
    given_at: list[int], opt_out: Withdrawal, at: int
) -> None:
    """A late outcome is judged at its own time, after consents that are newer: what held then must still be known."""
    made = world()
    consents = [events.GrantGiven(consent(time_ms=T + ms, event_id=f"g{ms}")) for ms in given_at]
    before = [each for each in consents if each.grant.time_ms <= T + at]
    known = fold(person(grants=()), [*consents, events.ConsentWithdrawn(opt_out)])
    past = fold(person(grants=()), [*before, events.ConsentWithdrawn(opt_out)])
    assert ask(made, known, T + at).passed == ask(made, past, T + at).passed


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(reports)
def test_an_outcome_without_its_request_changes_nothing_but_an_opt_out(report: events.OutcomeReported) -> None:
    """What became of a contact that nobody knows is nothing; an opt-out in it is one of everything."""
    after = fold(EMPTY, [report])
    if report.outcome in ("unsubscribed", "complained"):
        (opt_out,) = after.withdrawals
        assert (opt_out.controller, opt_out.purposes, opt_out.channels, opt_out.recipients) == (None, None, None, None)
        after = msgspec.structs.replace(after, withdrawals=())
    assert after == EMPTY

"""Calling hours and registries as rules."""

import pytest
from tests.kit.corekit import DAY, HOUR, MINUTE, T, ask, check_edge, consent, person, registry, rules, world

from contactgate.core.world import World
from contactgate.model.facts import Profile, Relationship, Span, SubjectState
from contactgate.model.world import RegistryVersion
from contactgate.policy.plan import RegistryRule, RelationPeriod, WindowRule

MIDNIGHT = T - 10 * HOUR  # Wednesday begins in Shanghai
TODAY = 739_679  # the ordinal of that date
MORNING = Span(from_ms=9 * HOUR, to_ms=12 * HOUR)


def open_in(*spans: Span, zone: str | None = None, lifts: bool = True) -> World:
    """A world with one window."""
    return world(windows=(WindowRule("house", spans, zone, lifts),))


def test_a_window_is_open_from_its_start_until_its_end() -> None:
    """[09:00, 12:00) of the person's day: the first instant passes, the last does not."""
    check_edge(open_in(MORNING), person(), MIDNIGHT + 9 * HOUR, "window.house")
    assert ask(open_in(MORNING), person(), MIDNIGHT + 12 * HOUR - 1).passed
    check_edge(open_in(MORNING), person(), MIDNIGHT + 33 * HOUR, "window.house")
    assert rules(ask(open_in(MORNING), person(), MIDNIGHT + 12 * HOUR)) == ["window.house"]


def test_an_approval_ends_with_the_window() -> None:
    """Ten minutes before closing an approval is valid for ten minutes."""
    closing = MIDNIGHT + 12 * HOUR
    assert ask(open_in(MORNING), person(), closing - 10 * MINUTE).valid_until_ms == closing


def test_windows_of_different_names_must_all_be_open() -> None:
    """Both reasons are reported, and the first common opening is the answer."""
    both = world(
        windows=(
            WindowRule("house", (MORNING,)),
            WindowRule("law", (Span(days=(3,), from_ms=11 * HOUR, to_ms=20 * HOUR),)),
        )
    )
    decision = ask(both, person(), MIDNIGHT)
    assert rules(decision) == ["window.house", "window.law"]
    assert decision.next_eligible_ms == MIDNIGHT + DAY + 11 * HOUR


def test_windows_that_never_meet_never_pass() -> None:
    """Two windows without a common instant: no instant is given."""
    apart = world(
        windows=(
            WindowRule("house", (MORNING,)),
            WindowRule("law", (Span(from_ms=12 * HOUR, to_ms=20 * HOUR),)),
        )
    )
    assert ask(apart, person()).next_eligible_ms is None


def test_every_zone_of_the_person_must_be_open() -> None:
    """In Shanghai and in Tokyo: opens with the later, closes with the earlier."""
    profile = Profile(timezones=("Asia/Shanghai", "Asia/Tokyo"), timezones_ms=1)
    check_edge(open_in(MORNING), person(profile=profile), MIDNIGHT + 9 * HOUR, "window.house")
    assert rules(ask(open_in(MORNING), person(profile=profile), MIDNIGHT + 11 * HOUR)) == ["window.house"]


def test_the_zones_of_the_number_count_only_if_the_persons_are_unknown() -> None:
    """The person's own zone wins over the number's."""
    tokyo = {"number_zones": ("Asia/Tokyo",)}
    assert ask(open_in(MORNING), person(), MIDNIGHT + 11 * HOUR, **tokyo).passed
    unknown = person(profile=Profile())
    assert rules(ask(open_in(MORNING), unknown, MIDNIGHT + 11 * HOUR, **tokyo)) == ["window.house"]


@pytest.mark.parametrize("zones", [(), ("Mars/Olympus",), ("Asia/Shanghai", "Mars/Olympus")])
def test_an_unknown_zone_blocks_where_a_window_applies(zones: tuple[str, ...]) -> None:
    """No zone, or one that cannot be loaded: blocked forever, unless no window asks for it."""
    state = person(profile=Profile(timezones=zones, timezones_ms=1))
    decision = ask(open_in(MORNING), state)
    assert rules(decision) == ["window.unknown_zone"]
    assert decision.next_eligible_ms is None
    assert ask(world(), state).passed
    assert ask(open_in(MORNING, zone="Asia/Shanghai"), state).passed
    chosen = person(profile=Profile(timezones=zones, timezones_ms=1, preferred=(MORNING,)))
    assert rules(ask(world(), chosen)) == ["window.unknown_zone"]


def test_the_persons_own_hours_are_intersected() -> None:
    """Preferred hours block outside of themselves, whatever the policy allows."""
    profile = Profile(timezones=("Asia/Shanghai",), timezones_ms=1, preferred=(Span(from_ms=11 * HOUR),))
    check_edge(open_in(MORNING), person(profile=profile), MIDNIGHT + 11 * HOUR, "window.preferred")


def test_a_consent_opens_the_hours_it_names() -> None:
    """Hours of a consent that counts lift the calling windows, until the consent ends, unless the rule forbids it."""
    night = consent(windows=(Span(from_ms=22 * HOUR, to_ms=23 * HOUR),), expires_ms=MIDNIGHT + 22 * HOUR + MINUTE)
    state = person(grants=(consent(time_ms=T - 2 * DAY, event_id="g-0"), night))
    opening = MIDNIGHT + 22 * HOUR
    assert ask(open_in(MORNING), state, opening - 1).next_eligible_ms == opening
    passed = ask(open_in(MORNING), state, opening)
    assert passed.valid_until_ms == opening + MINUTE
    assert rules(ask(open_in(MORNING), state, opening + MINUTE)) == ["window.house"]
    assert rules(ask(open_in(MORNING, lifts=False), state, opening)) == ["window.house"]


# --- registries ---------------------------------------------------------------------------------------------------


def listing(**changes: object) -> World:
    """A world with one registry rule and no list yet."""
    values = {"name": "dnc", "max_age_days": 31}
    return world(registries=(RegistryRule(**values | changes),))  # type: ignore[arg-type]


def test_a_list_that_was_never_published_is_stale() -> None:
    """Nothing passes before a list is known."""
    decision = ask(listing(), person())
    assert rules(decision) == ["registry.stale:dnc"]
    assert decision.next_eligible_ms is None


def test_a_list_is_fresh_through_its_last_local_date() -> None:
    """31 days: on the 31st day after it was taken it is fresh, when the 32nd begins it is stale."""
    made = listing()
    made.put_registry(registry(MIDNIGHT + 23 * HOUR - 31 * DAY))
    assert ask(made, person(), MIDNIGHT + DAY - 1).passed
    stale = ask(made, person(), MIDNIGHT + DAY)
    assert rules(stale) == ["registry.stale:dnc"]
    assert stale.next_eligible_ms is None


def test_a_forecast_supposes_that_lists_go_on_being_refreshed() -> None:
    """A list that is fresh now and too old by then is named; one that is fresh then is not; stale now is never."""
    made = listing()
    made.put_registry(registry(T - DAY))
    for days, assumes in ((29, ()), (31, ("registry.dnc",))):
        later = ask(made, person(), not_before_ms=T + days * DAY)
        assert (later.next_eligible_ms, later.assumes) == (T + days * DAY, assumes)
    stale = listing()
    stale.put_registry(registry(T - 40 * DAY))
    never = ask(stale, person(), not_before_ms=T + DAY)
    assert (never.next_eligible_ms, never.assumes) == (None, ())


def test_a_forecast_supposes_nothing_of_who_is_exempt_then() -> None:
    """Exempt by consent now and then, the age of the list does not matter; exempt only now, a stale list is never."""
    made = listing(unless_consent=True)
    made.put_registry(registry(T - 99 * DAY))
    later = ask(made, person(), not_before_ms=T + DAY)
    assert (later.next_eligible_ms, later.assumes) == (T + DAY, ())
    ends = person(grants=(consent(expires_ms=T + HOUR, effective_ms=None),))
    assert ask(made, ends, not_before_ms=T + DAY).next_eligible_ms is None


def test_an_age_in_months() -> None:
    """One month: a list taken on 4 February is fresh through 4 March."""
    made = listing(max_age_days=None, max_age_months=1)
    made.put_registry(registry(T - 28 * DAY))
    assert ask(made, person(), MIDNIGHT + DAY - 1).passed
    assert rules(ask(made, person(), MIDNIGHT + DAY)) == ["registry.stale:dnc"]


def test_a_listed_number_blocks() -> None:
    """A number on the list blocks forever; another one passes."""
    made = listing()
    made.put_registry(list_with("a1.one", 0))
    decision = ask(made, person())
    assert rules(decision) == ["registry.listed:dnc"]
    assert decision.next_eligible_ms is None
    assert ask(made, person(), address="a1.two").passed


def test_a_listing_binds_after_its_grace() -> None:
    """Listed today with a grace of two days: binds when the day after tomorrow begins."""
    made = listing(grace_days=2)
    made.put_registry(list_with("a1.one", TODAY))
    assert ask(made, person(), MIDNIGHT + 2 * DAY - 1).passed
    assert rules(ask(made, person(), MIDNIGHT + 2 * DAY)) == ["registry.listed:dnc"]


def test_a_business_is_not_bound_by_consumer_lists() -> None:
    """Flagged as a business, stale and listed are both lifted; not so for lists that bind businesses."""
    business = person(profile=Profile(flags=("business",)))
    assert ask(listing(), business).passed
    assert rules(ask(listing(consumer=False), business)) == ["registry.stale:dnc"]


def test_consent_or_a_relationship_exempts_where_the_rule_says_so() -> None:
    """An exemption lifts the list with its age; without one both are reported."""
    exempt = listing(unless_consent=True, unless_relations=(RelationPeriod("purchase", months=18),))
    exempt.put_registry(list_with("a1.one", 0, T - 99 * DAY))
    assert ask(exempt, person()).passed
    bought = Profile(relationships=(Relationship("bank", "purchase", TODAY - 9, None, "b"),))
    free = world(bases=(), registries=exempt.policy.plan("", "", "", (), 0).registries)  # type: ignore[union-attr]
    free.put_registry(list_with("a1.one", 0, T - 99 * DAY))
    assert rules(ask(free, SubjectState(bought))) == ["policy.unknown_purpose"]
    assert rules(ask(free, SubjectState())) == [
        "policy.unknown_purpose",
        "registry.listed:dnc",
        "registry.stale:dnc",
    ]


def list_with(address: str, since: int, as_of_ms: int = T) -> RegistryVersion:
    """The list `dnc` with one address."""
    return registry(as_of_ms, **{address: since})

"""Caps, gaps and cool-offs: which contacts count, from when until when."""

from typing import Any

import pytest
from tests.kit.corekit import (
    DAY,
    HOUR,
    MINUTE,
    T,
    ask,
    check_edge,
    consent,
    contact,
    limits,
    person,
    request,
    rules,
    world,
)

from contactgate.core.decide import decide
from contactgate.core.world import World
from contactgate.model.facts import Contact, Profile, SubjectState
from contactgate.policy.plan import Cap, CapWindow, CoolOff, Selector

DAY_WINDOW = CapWindow("calendar", unit="day")


def capped(limit: int = 1, window: CapWindow | None = None, *, limit_of: Any = None, **changes: Any) -> World:
    """A world with one cap, of one contact within a day by default."""
    values: dict[str, Any] = {"scope": (), "selector": Selector(), "counts": "approved"}
    cap = Cap("cap.c", limit, window or CapWindow("sliding", DAY), **values | changes)
    return world(limit=limit_of, caps=(cap,))


def had(*contacts: Contact) -> SubjectState:
    """Somebody who consented and was contacted before."""
    return person(contacts=tuple(sorted(contacts, key=lambda each: (each.time_ms, each.request_id))))


def test_a_contact_counts_from_its_time_until_the_window_has_passed() -> None:
    """At t + W the place is free, one millisecond before it is not."""
    check_edge(capped(), had(contact(time_ms=T - DAY)), T, "cap.c")


def test_the_place_that_is_free_first_decides() -> None:
    """With three places the oldest of the last three must leave; places freed meanwhile do not help."""
    state = had(*(contact(request_id=f"r{n}", time_ms=T - n * HOUR) for n in range(1, 5)))
    decision = ask(capped(3), state)
    assert rules(decision) == ["cap.c"]
    assert decision.next_eligible_ms == T - 3 * HOUR + DAY
    assert decision.reasons[0].detail == "4 of 3 within 1 day"


def test_a_limit_of_nothing_never_passes() -> None:
    """A cap of zero blocks forever."""
    assert ask(capped(0), person()).next_eligible_ms is None


@pytest.mark.parametrize(
    ("counts", "outcome", "counted"),
    [
        ("approved", "not_attempted", False),
        ("approved", "not_connected", True),
        ("attempted", "not_attempted", False),
        ("attempted", "busy", True),
        ("connected", "busy", False),
        ("connected", "not_connected", False),
        ("connected", "no_answer", True),
        ("delivered", "bounced", False),
        ("delivered", "voicemail", True),
        ("delivered", "complained", True),
        ("conversation", "voicemail", False),
        ("conversation", "answered", True),
        ("conversation", "unsubscribed", True),
    ],
)
def test_an_outcome_keeps_the_place_or_gives_it_back(counts: str, outcome: str, counted: bool) -> None:
    """Only outcomes of the counted kind keep the place."""
    assert ask(capped(counts=counts), had(contact(outcome=outcome))).passed is not counted


@pytest.mark.parametrize("counts", ["approved", "attempted", "connected", "delivered", "conversation"])
def test_an_open_approval_holds_its_place_whatever_is_counted(counts: str) -> None:
    """Until its outcome is known an approval counts, even if the clock that gave it runs ahead."""
    waiting = contact(time_ms=T + 3, outcome=None, outcome_ms=0, valid_until_ms=T + 15 * MINUTE)
    decision = ask(capped(counts=counts), had(waiting))
    assert rules(decision) == ["cap.c"]
    assert decision.next_eligible_ms == T + 3 + DAY


def test_unreported_approvals_count_or_are_released_when_they_lapse() -> None:
    """After valid_until without an outcome the policy decides."""
    lapsed = contact(outcome=None, outcome_ms=0, valid_until_ms=T)
    assert rules(ask(capped(), had(lapsed))) == ["cap.c"]
    check_edge(capped(limit_of=limits(unreported_counts=False)), had(lapsed), T, "cap.c")


def test_a_recall_gives_the_place_back_unless_the_contact_was_made() -> None:
    """A recalled approval does not count; one that was used all the same does."""
    recalled = contact(recalled="pause.p", outcome=None, outcome_ms=0, valid_until_ms=T + HOUR)
    assert ask(capped(), had(recalled)).passed
    assert rules(ask(capped(), had(contact(recalled="pause.p")))) == ["cap.c"]


def test_a_pass_takes_its_place_at_once() -> None:
    """INVARIANT (reserve before emit): the state after a pass blocks the next request."""
    made = capped()
    first, state = decide(request(), person(), made, T)
    assert first.passed
    second, state = decide(request(request_id="q-2"), state, made, T)
    assert rules(second) == ["cap.c"]
    assert second.next_eligible_ms == T + DAY
    third, _ = decide(request(request_id="q-3"), state, made, T + DAY)
    assert third.passed


@pytest.mark.parametrize("field", ["address", "channel", "purpose", "controller", "requester", "campaign"])
def test_a_scope_counts_only_what_is_the_same(field: str) -> None:
    """Contacts that differ in a field of the scope do not count."""
    made = capped(scope=(field,))
    assert rules(ask(made, had(contact()))) == ["cap.c"]
    assert ask(made, had(contact(**{field: "other"}))).passed


def test_a_scope_by_matter_counts_what_was_talked_about() -> None:
    """A contact counts for each of its matters."""
    made = capped(scope=("matter",))
    state = had(contact(matters=("debt-1", "debt-2")))
    assert rules(ask(made, state, matter="debt-2")) == ["cap.c"]
    assert ask(made, state, matter="debt-3").passed
    assert ask(made, had(contact(matters=())), matter="debt-3").passed


@pytest.mark.parametrize(("field", "missing"), [("address", "mail"), ("campaign", "voice"), ("matter", "voice")])
def test_a_scope_on_a_field_that_the_request_lacks_blocks(field: str, missing: str) -> None:
    """What cannot be counted blocks forever, unless the rule says that it then counts everything."""
    lacks = {field: None, "channel": missing}
    about_mail = person(grants=(consent(channels=("mail", "voice")),))
    decision = ask(capped(scope=(field,)), about_mail, **lacks)
    assert rules(decision) == ["cap.c"]
    assert decision.next_eligible_ms is None
    lenient = capped(scope=(field,), lacking="any")
    assert ask(lenient, about_mail, **lacks).passed
    busy = person(grants=about_mail.grants, contacts=(contact(),))
    assert rules(ask(lenient, busy, **lacks)) == ["cap.c"]


def test_what_an_observed_contact_leaves_unsaid_counts_for_everything() -> None:
    """An observed contact without a matter or requester counts against every rule that asks for one."""
    observed = contact(request_id="", event_id="o", requester="", campaign=None, address=None, jurisdictions=())
    for scope in ("matter", "requester", "campaign", "address"):
        assert rules(ask(capped(scope=(scope,)), had(observed), matter="debt-1")) == ["cap.c"]
    there = Selector(jurisdictions=frozenset(("CN",)))
    assert rules(ask(capped(selector=there), had(observed))) == ["cap.c"]


@pytest.mark.parametrize(
    ("selector", "counted"),
    [
        (Selector(channels=frozenset(("voice",))), True),
        (Selector(channels=frozenset(("sms",))), False),
        (Selector(purposes=("marketing",)), True),
        (Selector(purposes=("marketing.insurance.life",)), False),
        (Selector(jurisdictions=frozenset(("CN",))), True),
        (Selector(jurisdictions=frozenset(("US",))), False),
    ],
)
def test_a_filter_selects_the_counted_contacts(selector: Selector, counted: bool) -> None:
    """Only contacts of these channels, purposes and jurisdictions count."""
    assert ask(capped(selector=selector), had(contact())).passed is not counted


def test_a_complaint_is_no_contact() -> None:
    """Complaints feed cool-offs, never caps."""
    assert ask(capped(), had(contact(request_id="", event_id="x", outcome="complained", complaint=True))).passed


def test_a_calendar_day_ends_at_the_persons_midnight() -> None:
    """One a day in Shanghai: the next one passes at 16:00 UTC."""
    check_edge(capped(window=DAY_WINDOW), had(contact()), T + 14 * HOUR, "cap.c")


def test_a_calendar_window_may_name_its_zone() -> None:
    """The day of a named zone is not the person's."""
    made = capped(window=CapWindow("calendar", unit="day", zone="UTC"))
    check_edge(made, had(contact()), T + 22 * HOUR, "cap.c")


def test_a_window_of_local_dates_counts_today() -> None:
    """Two dates, today included: a contact of Tuesday counts until Thursday begins."""
    made = capped(window=CapWindow("days", days=2))
    check_edge(made, had(contact(time_ms=T - DAY)), T + 14 * HOUR, "cap.c")


def test_with_several_zones_the_last_midnight_counts() -> None:
    """A person who may be in two places is contacted again when the day is over in both."""
    profile = Profile(timezones=("America/New_York", "Asia/Shanghai"), timezones_ms=1)
    state = person(profile=profile, contacts=(contact(),))
    assert ask(capped(window=DAY_WINDOW), state).next_eligible_ms == T + 14 * HOUR


def test_a_calendar_window_without_a_zone_blocks_and_says_so() -> None:
    """An unknown time zone makes a local date unknown."""
    decision = ask(capped(window=DAY_WINDOW), person(profile=Profile()))
    assert rules(decision) == ["cap.c"]
    assert "zone" in decision.reasons[0].detail
    assert decision.next_eligible_ms is None


# --- cool-offs ----------------------------------------------------------------------------------------------------


def cooled(**changes: Any) -> World:
    """A world with one cool-off: ten days after a refusal."""
    values: dict[str, Any] = {"outcomes": frozenset(("refused",)), "kind": "elapsed", "length_ms": 10 * DAY}
    return world(cooloffs=(CoolOff("cooloff.c", **values | changes),))


def refusal(**changes: Any) -> Contact:
    """A contact of nine days ago that was refused three minutes later."""
    return contact(**{"outcome": "refused", "time_ms": T - 9 * DAY, "outcome_ms": T - 9 * DAY + 3 * MINUTE} | changes)


def test_a_cool_off_starts_at_the_outcome_and_ends_exactly() -> None:
    """Ten days after the time of the outcome, not of the decision."""
    check_edge(cooled(), had(refusal()), T + DAY + 3 * MINUTE, "cooloff.c")
    assert ask(cooled(), had(contact())).passed


def test_a_cool_off_may_last_for_ever() -> None:
    """`for: forever` never ends by itself."""
    assert ask(cooled(kind="forever"), had(refusal())).next_eligible_ms is None


@pytest.mark.parametrize(("first", "days"), [("same_day", 7), ("next_day", 8)])
def test_a_cool_off_of_local_dates(first: str, days: int) -> None:
    """Seven dates, the day of the outcome being the first of them or not."""
    made = cooled(kind="days", days=7, first=first)
    state = had(refusal(time_ms=T, outcome_ms=T))
    check_edge(made, state, T - 10 * HOUR + days * DAY, "cooloff.c")


def test_a_cool_off_of_local_dates_without_a_zone_does_not_end() -> None:
    """Unknown zone: the end is unknown, and the reason says so."""
    state = person(profile=Profile(), contacts=(refusal(),))
    decision = ask(cooled(kind="days", days=7), state)
    assert rules(decision) == ["cooloff.c"]
    assert decision.next_eligible_ms is None
    assert "zone" in decision.reasons[0].detail


def test_a_threshold_starts_it_at_the_outcome_that_reaches_it() -> None:
    """Three refusals within a day cool off; one millisecond more between the first and the last does not."""
    made = cooled(after_count=3, after_within_ms=DAY, length_ms=2 * DAY)
    at = [T - DAY, T - HOUR, T - 1]
    near = had(*(refusal(request_id=f"r{t}", time_ms=t, outcome_ms=t) for t in at))
    assert ask(made, near).next_eligible_ms == T - 1 + 2 * DAY
    far = had(*(refusal(request_id=f"r{t}", time_ms=t, outcome_ms=t) for t in [T - DAY - 1, *at[1:]]))
    assert ask(made, far).passed


def test_a_cool_off_has_a_scope() -> None:
    """Another controller's refusals do not bind; a complaint that names nothing binds all."""
    made = cooled(scope=("controller", "requester"), outcomes=frozenset(("refused", "complained")))
    assert ask(made, had(refusal(controller="insurer"))).passed
    assert rules(ask(made, had(refusal()))) == ["cooloff.c"]
    complaint = contact(
        request_id="", event_id="x", controller="", requester="", channel="", outcome="complained",
        outcome_ms=T - DAY, complaint=True,
    )  # fmt: skip
    assert rules(ask(made, had(complaint))) == ["cooloff.c"]


def test_a_newer_consent_may_end_it() -> None:
    """Where the rule says so, a consent given after the outcome opens again."""
    made = cooled(kind="forever", until_consent=True)
    assert rules(ask(made, person(contacts=(refusal(time_ms=T - HOUR, outcome_ms=T - HOUR),)))) == ["cooloff.c"]
    assert ask(made, had(refusal())).passed


def test_overlapping_cool_offs_end_with_the_last() -> None:
    """One that begins while another is on goes on from there."""
    state = had(refusal(), refusal(request_id="r-2", time_ms=T - DAY, outcome_ms=T - DAY))
    assert ask(cooled(), state).next_eligible_ms == T + 9 * DAY

"""Who must hear that a permission is gone, and of what (SEMANTICS rule 62)."""

from __future__ import annotations

from typing import Any

from tests.kit.corekit import (
    DAY,
    HOUR,
    MINUTE,
    OPT_IN,
    HandMade,
    T,
    consent,
    contact,
    limits,
    person,
    plan,
    world,
)

from contactgate.core.apply import apply
from contactgate.core.told import told
from contactgate.core.world import World
from contactgate.model.events import (
    ComplaintReceived,
    ConsentWithdrawn,
    ContactObserved,
    Erased,
    GrantGiven,
    OutcomeReported,
    ProfileUpdated,
    SubjectEvent,
)
from contactgate.model.facts import SubjectState, Withdrawal
from contactgate.model.synonyms import CHANNELS
from contactgate.policy.plan import Basis, Words

Line = tuple[str, str | None, tuple[str, ...] | None, tuple[str, ...] | None]


def lost(
    event: SubjectEvent, state: SubjectState, made: World | None = None, now_ms: int = T, **who: Any
) -> list[Line]:
    """Requester, controller, channels and purposes of everything that is told of an event."""
    made = made or world()
    after, _ = apply(event, state, made, now_ms)
    return [(t.requester, t.controller, t.channels, t.purposes) for t in told(event, state, after, made, now_ms, **who)]


def withdrawal(**changes: Any) -> ConsentWithdrawn:
    """An opt-out of everything, now."""
    values: dict[str, Any] = {
        "time_ms": T, "controller": None, "purposes": None, "channels": None, "recipients": None, "event_id": "w-1",
    }  # fmt: skip
    made = values | changes
    return ConsentWithdrawn(Withdrawal(**{"arrived_ms": made["time_ms"]} | made))


def test_whom_a_consent_names_is_told_what_it_covered() -> None:
    """Every recipient, with channels and purposes of the consent."""
    state = person(grants=(consent(recipients=("callcentre", "insurer")),))
    scope = ("bank", ("sms", "voice"), ("marketing",))
    assert lost(withdrawal(), state) == [("callcentre", *scope), ("insurer", *scope)]


def test_a_consent_without_recipients_is_the_controllers() -> None:
    """The controller collected it and uses it itself."""
    state = person(grants=(consent(recipients=None),))
    assert lost(withdrawal(), state) == [("bank", "bank", ("sms", "voice"), ("marketing",))]


def test_the_scope_is_cut_to_what_both_name() -> None:
    """Channels by channel, purposes to the narrower of the two."""
    state = person(grants=(consent(purposes=("collection", "marketing")),))
    event = withdrawal(channels=("email", "voice"), purposes=("marketing.insurance",))
    assert lost(event, state) == [("callcentre", "bank", ("voice",), ("marketing.insurance",))]
    assert lost(withdrawal(channels=("email",)), state) == []
    assert lost(withdrawal(controller="insurer"), state) == []
    assert lost(withdrawal(recipients=("insurer",)), state) == []
    assert lost(withdrawal(purposes=("service",)), state) == []


def test_who_had_an_approval_is_told() -> None:
    """Whatever became of it, as long as the policy looks back."""
    state = SubjectState(contacts=(contact(outcome="not_attempted"), contact(request_id="r-2", channel="sms")))
    line = ("callcentre", "bank", ("sms", "voice"), ("marketing.insurance",))
    assert lost(withdrawal(), state) == [line]
    assert lost(withdrawal(), state, world(limit=limits(contact_history_ms=30 * MINUTE))) == []


def test_a_contact_that_was_only_observed_tells_of_no_permission() -> None:
    """It was not approved."""
    state = SubjectState(contacts=(contact(request_id="", event_id="o-1", valid_until_ms=0),))
    assert lost(withdrawal(), state) == []


def test_different_scopes_are_different_messages() -> None:
    """Nobody is told that more is gone than is."""
    grants = (consent(channels=("voice",)), consent(event_id="g-2", channels=("email",), purposes=("collection",)))
    assert lost(withdrawal(), person(grants=grants)) == [
        ("callcentre", "bank", ("email",), ("collection",)),
        ("callcentre", "bank", ("voice",), ("marketing",)),
    ]


def test_odd_words_are_told_as_they_bind() -> None:
    """The Chinese word for a telephone is voice; an unknown channel is every channel."""
    state, policy = person(grants=(consent(),)), HandMade(plan(), limits())
    policy.words = Words(channels=frozenset(CHANNELS))
    made = World()
    made.activate(policy)
    assert lost(withdrawal(channels=("電話",)), state, made) == [("callcentre", "bank", ("voice",), ("marketing",))]
    assert lost(withdrawal(channels=("fax",)), state, made) == [
        ("callcentre", "bank", ("sms", "voice"), ("marketing",))
    ]


def test_an_ended_consent_tells_nobody() -> None:
    """It was not in force any more, neither when the opt-out was stamped nor when it came."""
    state = person(grants=(consent(expires_ms=T - HOUR),))
    assert lost(withdrawal(), state) == []
    assert lost(withdrawal(time_ms=T - 2 * HOUR, arrived_ms=T), state) != []


def test_what_a_newer_consent_keeps_alive_is_not_withdrawn() -> None:
    """An old opt-out that comes late ends nothing of it, but what else the older consent covered."""
    old = consent(time_ms=T - 3 * DAY, channels=("email", "voice"))
    new = consent(time_ms=T - DAY, channels=("voice",), event_id="g-2")
    late = withdrawal(time_ms=T - 2 * DAY, arrived_ms=T)
    assert lost(late, person(grants=(old, new))) == [("callcentre", "bank", ("email",), ("marketing",))]
    within = withdrawal(time_ms=T - DAY - MINUTE, arrived_ms=T)  # within the clocks' skew it is the answer to the newer
    assert lost(within, person(grants=(old, new))) == [
        ("callcentre", "bank", ("email", "voice"), ("marketing",)),
    ]


def test_an_erasure_is_told_to_all_who_hold_something_older() -> None:
    """Consents and approvals; what was given after it stands."""
    new = consent(time_ms=T - HOUR, event_id="g-2", recipients=("insurer",))
    state = person(grants=(consent(), new), contacts=(contact(requester="mailer", channel="mail"),))
    event = Erased("e-1", T - 2 * HOUR, T - 2 * HOUR)
    assert lost(event, state) == [
        ("callcentre", "bank", ("sms", "voice"), ("marketing",)),
        ("mailer", "bank", ("mail",), ("marketing.insurance",)),
    ]


def test_outcomes_and_complaints_are_told_when_they_withdraw() -> None:
    """Each with what it withdraws; others withdraw nothing."""
    asked = contact(outcome=None, outcome_ms=0, purpose="service", valid_until_ms=T + HOUR)
    state = person(grants=(consent(purposes=("collection", "marketing", "service")),), contacts=(asked,))
    scope = ("callcentre", "bank", ("voice",), ("marketing", "service"))
    assert lost(OutcomeReported("o-1", "r-1", T, "unsubscribed", None, T), state) == [scope]
    assert lost(OutcomeReported("o-1", "r-1", T, "refused", None, T), state) == []
    seen = ContactObserved("o-2", T, "bank", "sms", "marketing", "complained", T)
    assert lost(seen, state) == [("callcentre", "bank", ("sms",), ("marketing",))]
    complaint = ComplaintReceived("c-1", T, None, None, T)
    assert lost(complaint, state) == [("callcentre", "bank", ("sms", "voice"), ("marketing",))]


def test_what_changes_nothing_is_not_told() -> None:
    """The same opt-out again, an erasure that is known, a consent, a change of the person."""
    made = world()
    state = person(grants=(consent(), consent(event_id="g-9", time_ms=T + HOUR)))
    event = withdrawal()
    after, _ = apply(event, state, made, T)
    assert lost(event, after, made) == []
    erased, _ = apply(Erased("e-1", T, T), state, made, T)
    assert lost(Erased("e-2", T - DAY, T), erased, made) == []
    assert lost(GrantGiven(consent(event_id="g-3")), state, made) == []
    assert lost(ProfileUpdated("p-1", T, marked=("deceased",), arrived_ms=T), state, made) == []


def test_only_who_can_be_told_is_told() -> None:
    """Live, a requester without a topic hears nothing."""
    state = person(grants=(consent(recipients=("callcentre", "insurer")),))
    assert [line[0] for line in lost(withdrawal(), state, requesters=frozenset({"insurer"}))] == ["insurer"]


def test_where_one_revocation_ends_all_purposes_all_are_told() -> None:
    """A pack may say that an opt-out on a channel ends everything on it."""
    made = world(plan(bases=(OPT_IN, Basis("us-fed", "opt_in", revokes_all_from_ms=0))))
    state = person(grants=(consent(purposes=("service",)),))
    assert lost(withdrawal(purposes=("marketing",), channels=("voice",)), state, made) == [
        ("callcentre", "bank", ("voice",), ("service",))
    ]


def test_too_much_to_list_is_told_as_everything() -> None:
    """Lists of hostile length are left out, and many controllers become one message."""
    purposes = tuple(sorted(f"p{n}" for n in range(400)))
    assert lost(withdrawal(), person(grants=(consent(purposes=purposes),))) == [("callcentre", "bank", None, None)]
    some = tuple(sorted(f"p{n}" for n in range(100)))
    state = person(grants=(consent(purposes=some, channels=("voice",)),))
    assert lost(withdrawal(), state) == [("callcentre", "bank", ("voice",), None)]
    grants = tuple(consent(controller=f"c{n:03d}", event_id=f"g-{n}") for n in range(40))
    assert lost(withdrawal(), person(grants=grants)) == [("callcentre", None, None, None)]


def test_a_policy_that_fails_keeps_nobody_in_the_dark() -> None:
    """Everything is told, and nothing is raised."""

    def broken(*_: object) -> None:
        raise RuntimeError("a plan that cannot be made")

    state = person(grants=(consent(),))
    assert lost(withdrawal(purposes=("service",)), state, world(broken)) == [("callcentre", "bank", None, None)]


def test_without_a_policy_everything_is_told() -> None:
    """Nothing is judged then, and no look-back is known."""
    state = person(grants=(), contacts=(contact(time_ms=T - 3000 * DAY, outcome_ms=0, valid_until_ms=0),))
    assert lost(withdrawal(), state, World()) == [("callcentre", "bank", ("voice",), ("marketing.insurance",))]

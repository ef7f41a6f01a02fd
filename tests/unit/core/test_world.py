"""How control events fold into the world, and which of them ask for a review of open approvals."""

from typing import Any

from tests.kit.corekit import (
    DAY,
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
    registry,
    suppression,
)

from contactgate.core.world import World
from contactgate.model.world import RegistryVersion
from contactgate.policy.compiled import CompiledPolicy
from contactgate.policy.load import load_policy


def test_a_policy_tells_how_many_kept_restrictions_it_has_made_widest() -> None:
    """Scopes of suppressions and pauses whose words it does not know any more; those it never knew are no news."""

    def policy(**keys: Any) -> CompiledPolicy:
        return load_policy({"policy": "p", "purposes": {"marketing": {"consent": "opt_in"}}, **keys})

    made = World()
    made.activate(policy(channels=["push"]))
    for number, channel in enumerate(("push", "push", "sms", "fax")):
        made.suppress(f"a{number}", suppression(channels=(channel,), event_id=f"e-{number}"))
    assert made.activate(policy(channels=["push"], flags=["vip"])).widened == 0
    assert made.activate(policy()).widened == 1
    assert made.activate(policy(flags=["vip"])).widened == 0


def test_the_same_again_changes_nothing() -> None:
    """Only a change asks for a review."""
    made = World()
    for put, value in (
        (made.put_party, party(agreement())),
        (made.put_campaign, campaign()),
        (made.put_notice, notice()),
    ):
        assert put(value).restricts  # type: ignore[operator]
        assert not put(value).restricts  # type: ignore[operator]


def test_versions_of_a_notice_are_all_kept_in_order() -> None:
    """By the instant from which they are in force; of the same version the newer record holds."""
    made = World()
    for time_ms, version, effective in ((1, 2, T), (2, 1, T - DAY), (3, 2, T + 1)):
        made.put_notice(notice(version=version, effective_ms=effective, time_ms=T + time_ms * DAY))
    assert [(each.version, each.effective_ms) for each in made.notices["n-1"]] == [(1, T - DAY), (2, T + 1)]


def test_a_list_taken_earlier_does_not_replace_a_later_one() -> None:
    """The list in force is the one that was taken last."""
    made = World()
    made.put_registry(registry(T))
    older = RegistryVersion("dnc", "v-0", T - 1, registry().listing)
    assert not made.put_registry(older).restricts
    assert made.registries["dnc"].version == "v-1"


def test_suppressions_of_an_address_stand_side_by_side() -> None:
    """Scopes, ends and events of their own; the same event again is the same suppression."""
    made = World()
    for number, end in enumerate((T + 1, T + 9, T + 5, None)):
        assert made.suppress("a", suppression(event_id=f"e-{number}", expires_ms=end)).tokens == {"a"}
    assert [each.event_id for each in made.suppressed("a")] == ["e-0", "e-1", "e-2", "e-3"]
    again = suppression(event_id="e-2", expires_ms=T + 5, arrived_ms=T + 99)
    assert not made.suppress("a", again).restricts
    assert made.suppressed("b") == ()


def test_a_new_policy_asks_for_a_review_and_forgets_old_plans() -> None:
    """What was approved under another policy is looked at again; the first policy has nothing to look at."""
    made = World()
    assert not made.activate(HandMade(plan(), limits(), "one")).restricts
    made.memo["x"] = 1
    assert made.activate(HandMade(plan(), limits(), "two")).restricts
    assert made.memo == {}
    assert not made.activate(HandMade(plan(), limits(), "two")).restricts


def test_what_was_found_out_goes_with_every_change() -> None:
    """A kind of request is judged again after each of them; plans go with the policy alone."""
    policy = HandMade(plan(), limits())
    made = World()
    for change, plans in (
        (lambda: made.activate(policy), False),
        (lambda: made.put_party(party(agreement())), True),
        (lambda: made.put_campaign(campaign()), True),
        (lambda: made.put_notice(notice()), True),
        (lambda: made.put_pause(pause()), True),
        (lambda: made.lift_pause("p-1", lift()), True),
        (lambda: made.put_policy(HandMade(plan(), limits(), "next"), T, T, "p"), False),
    ):
        made.kinds["kind"] = made.memo["plan"] = object()
        change()
        assert not made.kinds
        assert ("plan" in made.memo) is plans

"""How control events fold into the world, and which of them ask for a review of open approvals."""

from typing import Any

from tests.kit.corekit import DAY, HandMade, T, agreement, campaign, limits, notice, party, plan, registry, world

from contactgate.core.world import World
from contactgate.model.world import Pause, RegistryVersion, Suppression
from contactgate.policy.compiled import CompiledPolicy
from contactgate.policy.load import load_policy


def suppression(event_id: str, expires_ms: int | None = None, channels: tuple[str, ...] | None = None) -> Suppression:
    """A suppression."""
    return Suppression(
        time_ms=T,
        channels=channels,
        controller=None,
        purposes=None,
        campaigns=None,
        reason="manual",
        expires_ms=expires_ms,
        event_id=event_id,
    )


def test_a_policy_tells_how_many_kept_restrictions_it_has_made_widest() -> None:
    """Scopes of suppressions and pauses whose words it does not know any more; those it never knew are no news."""

    def policy(**keys: Any) -> CompiledPolicy:
        return load_policy({"policy": "p", "purposes": {"marketing": {"consent": "opt_in"}}, **keys})

    made = World()
    made.activate(policy(channels=["push"]))
    scope = {"controller": None, "purposes": None, "campaigns": None, "expires_ms": None, "reason": "manual"}
    for number, channel in enumerate(("push", "push", "sms", "fax")):
        made.suppress(f"a{number}", Suppression(time_ms=T, channels=(channel,), event_id=f"e-{number}", **scope))
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
    """By the instant from which they are in force; the same version again replaces itself."""
    made = World()
    for version, effective in ((2, T), (1, T - DAY), (2, T + 1)):
        made.put_notice(notice(version=version, effective_ms=effective))
    assert [(each.version, each.effective_ms) for each in made.notices["n-1"]] == [(1, T - DAY), (2, T + 1)]


def test_a_list_taken_earlier_does_not_replace_a_later_one() -> None:
    """The list in force is the one that was taken last."""
    made = World()
    made.put_registry(registry(T))
    older = RegistryVersion("dnc", "v-0", T - 1, registry().listing)
    assert not made.put_registry(older).restricts
    assert made.registries["dnc"].version == "v-1"


def test_suppressions_of_an_address_are_merged() -> None:
    """Scopes stand side by side; of one scope the longest holds."""
    made = World()
    made.suppress("a", suppression("1", T + 1))
    made.suppress("a", suppression("2", T + 9))
    made.suppress("a", suppression("3", T + 5))
    made.suppress("a", suppression("4", channels=("sms",)))
    assert [each.event_id for each in made.suppressions["a"]] == ["2", "4"]
    made.suppress("a", suppression("5"))
    assert [each.event_id for each in made.suppressions["a"]] == ["4", "5"]


def test_tombstones_remove() -> None:
    """A tombstone of a party, campaign or notice asks for a review; of a pause or suppression it frees."""
    made = world()
    made.put_party(party())
    made.put_campaign(campaign())
    made.put_notice(notice())
    made.put_registry(registry())
    made.suppress("a", suppression("1"))
    assert [made.remove(kind, key).restricts for kind, key in (("party", "callcentre"), ("campaign", "c-1"))] == [
        True,
        True,
    ]
    assert made.remove("notice", "n-1").restricts
    assert not made.remove("notice", "n-1").restricts
    assert not made.remove("registry", "dnc:v-0").restricts
    assert "dnc" in made.registries
    made.remove("registry", "dnc:v-1")
    made.remove("suppression", "a")
    made.remove("policy", "active")
    made.remove("something", "else")
    assert (made.registries, made.suppressions, made.policy) == ({}, {}, None)


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
    pause = Pause(
        pause_id="p-1",
        time_ms=T,
        until_ms=None,
        controllers=None,
        requesters=None,
        campaigns=None,
        purposes=None,
        channels=None,
    )
    made = World()
    for change, plans in (
        (lambda: made.activate(policy), False),
        (lambda: made.put_party(party(agreement())), True),
        (lambda: made.put_campaign(campaign()), True),
        (lambda: made.put_pause(pause), True),
        (lambda: made.lift_pause("p-1"), True),
        (lambda: made.remove("party", "nobody"), True),
        (lambda: made.remove("policy", "active"), False),
    ):
        made.kinds["kind"] = made.memo["plan"] = object()
        change()
        assert not made.kinds
        assert ("plan" in made.memo) is plans

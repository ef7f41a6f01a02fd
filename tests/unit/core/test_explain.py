"""Explanations: every rule in words, the facts behind it, and no address."""

from tests.kit.corekit import DAY, HOUR, T, ask, consent, contact, person, registry, request, rules, world

from contactgate.core.decide import decide
from contactgate.core.explain import explain, render
from contactgate.core.world import World
from contactgate.model.facts import Profile, Span, Withdrawal
from contactgate.policy.plan import Basis, Cap, CapWindow, CoolOff, RegistryRule, Selector, WindowRule


def everything() -> World:
    """A world with a rule of every kind."""
    made = world(
        bases=(Basis("policy", "opt_in"), Basis("uk", "opt_out")),
        caps=(Cap("cap.c", 1, CapWindow("sliding", 36 * HOUR), (), Selector()),),
        cooloffs=(CoolOff("cooloff.c", frozenset(("refused",)), "forever"),),
        windows=(WindowRule("house", (Span(from_ms=9 * HOUR, to_ms=12 * HOUR),)),),
        registries=(RegistryRule("dnc", 31),),
    )
    made.put_registry(registry())
    return made


def test_a_pass_tells_what_every_rule_rests_on() -> None:
    """Grant, list, contacts and windows are named with event, instant and end."""
    told = explain(request(), person(), everything(), T)
    assert told.passes
    assert all(each.holds for each in told.rules)
    text = render(told)
    assert "granted 2026-03-03T02:00:00Z by event g-1" in text
    assert "cap.c: 0 of 1 within 36 hours" in text
    assert "open until 2026-03-04T04:00:00Z" in text
    assert "version v-1, taken 2026-03-04T02:00:00Z" in text
    assert "a1.one" not in text


def test_a_block_tells_the_same_reasons_as_the_decision() -> None:
    """The failing rules are those of the decision, with what was counted and until when."""
    state = person(
        grants=(consent(expires_ms=T),),
        contacts=(contact(), contact(request_id="", event_id="o-1", outcome="refused", outcome_ms=T - DAY)),
        withdrawals=(Withdrawal(T - 9 * DAY, None, None, None, None, "w-1", T - 9 * DAY),),
        profile=Profile(timezones=("Asia/Shanghai",), timezones_ms=1, preferred=(Span(from_ms=13 * HOUR),)),
    )
    made = everything()
    told = explain(request(), state, made, T)
    decision = ask(made, state)
    assert [each.rule for each in told.rules if not each.holds] == rules(decision)
    assert told.next_eligible_ms == decision.next_eligible_ms
    text = render(told)
    for words in (
        "[FAILS] consent.expired",
        "withdrawn 2026-02-23T02:00:00Z by event w-1",
        "request r-1, no_answer; counts until 2026-03-05T13:00:00Z",
        "observed by event o-1, refused; cool-off forever",
        "never passes by itself",
    ):
        assert words in text


def test_an_earlier_decision_is_noted() -> None:
    """A request that was approved before says when, until when, and what became of it."""
    made = everything()
    _, state = decide(request(), person(), made, T)
    assert "this request was approved 2026-03-04T02:00:00Z, valid until 2026-03-04T02:15:00Z" in render(
        explain(request(), state, made, T + 1)
    )


def test_without_a_policy_there_is_only_one_reason() -> None:
    """No policy, or one that fails, is itself the explanation."""
    assert "policy.unavailable" in render(explain(request(), person(), World(), T))

    def fails(*_: object) -> None:
        raise RuntimeError

    assert "rule.error:policy" in render(explain(request(), person(), world(fails), T))

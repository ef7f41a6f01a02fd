"""Several policies at once: a request must satisfy the rules of each of them."""

from tests.kit.corekit import HOUR, NOTHING_ASKED, OPT_IN, OPT_OUT, HandMade, T, limits, plan

from contactgate.policy.plan import Cap, CapWindow, Requirements, Selector, WindowRule, Words
from contactgate.policy.together import Together


def test_the_rules_of_all_stand_side_by_side() -> None:
    """Nothing is merged; of equal plans the very same plan comes, and the hash has no order."""
    cap = Cap("cap.c", 1, CapWindow("sliding", HOUR), (), Selector())
    own, other = WindowRule("house", ()), WindowRule("house", (), "UTC")
    one = HandMade(plan(bases=(OPT_IN,), caps=(cap,), windows=(own,), until_ms=T + 9), limits(), "sha256:1")
    two = HandMade(plan(bases=(OPT_OUT,), windows=(other,), uncovered=("US",), until_ms=T + 5), limits(), "sha256:2")
    both = Together([one, two])
    made = both.plan("marketing", "voice", "live", (), T)
    assert (made.bases, made.caps, made.windows) == ((OPT_IN, OPT_OUT), (cap,), (own, other))
    assert (made.uncovered, made.until_ms) == (("US",), T + 5)
    assert both.plan("marketing", "voice", "live", (), T + 1) is made
    assert Together([two, one]).hash == both.hash != Together([one, HandMade(plan(), limits(), "sha256:3")]).hash


def test_a_purpose_that_one_of_them_does_not_know_is_unknown() -> None:
    """Without a basis nothing passes."""
    both = Together([HandMade(plan(bases=(NOTHING_ASKED,)), limits()), HandMade(plan(bases=()), limits(), "sha256:x")])
    assert both.plan("marketing", "voice", "live", (), T).bases == ()


def test_of_limits_and_words_the_stricter_holds() -> None:
    """The shorter approval, the longer memory, the larger skew; a word counts as known where both know it."""
    one, two = (
        HandMade(plan(), limits(approval_ttl_ms=5, clock_skew_ms=7, default_region="CN")),
        HandMade(
            plan(),
            limits(approval_ttl_ms=9, clock_skew_ms=3, requirements=Requirements(False, True, False)),
            "sha256:2",
        ),
    )
    one.words = Words(channels=frozenset({"voice", "push"}), purposes=frozenset({"a"}), flags=frozenset({"vip"}))
    two.words = Words(channels=frozenset({"voice"}), purposes=frozenset({"b"}), flags=frozenset())
    both = Together([one, two])
    assert (both.limits.approval_ttl_ms, both.limits.clock_skew_ms, both.limits.default_region) == (5, 7, None)
    assert both.limits.requirements == Requirements(False, True, False)
    assert (both.words.channels, both.words.purposes, both.words.flags) == ({"voice"}, {"a", "b"}, set())

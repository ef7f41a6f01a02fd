"""Laws of judged scopes: spelling does not matter, and what is not understood never restricts less."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.kit.corekit import campaign, party

from contactgate.core.vocabulary import Scope, Vocabulary
from contactgate.core.world import World
from contactgate.model.synonyms import folded
from contactgate.policy.load import load_policy

KNOWN = {
    "channels": ("voice", "sms", "email", "mail", "push"),
    "purposes": ("marketing", "marketing.insurance", "service", "service.reminders"),
    "controllers": ("bank", "insurer"),
    "recipients": ("callcentre", "bank"),
}
SPELLINGS = (str.upper, str.title, lambda word: f" {word}\t", lambda word: "".join(map(wide, word)))


def wide(char: str) -> str:
    """The full-width form of a letter."""
    return chr(ord(char) + 0xFEE0) if char.isascii() and char.isalpha() else char


def vocabulary() -> Vocabulary:
    """A policy, a party and a campaign that name every kind of word."""
    world = World()
    purposes = {"marketing": {"consent": "opt_in"}, "service": {"consent": "none"}}
    world.activate(load_policy({"policy": "p", "channels": ["push"], "controllers": ["insurer"], "purposes": purposes}))
    world.put_party(party())
    world.put_campaign(campaign())
    return world.vocabulary


def judge(known: Vocabulary, kind: str, written: tuple[str, ...]) -> Scope:
    """The scope of a list of one kind of words."""
    found: Scope = getattr(known, kind)(written)
    return found


kinds = st.sampled_from(sorted(KNOWN))
texts = st.text(min_size=1, max_size=12)


@given(kinds, st.data())
def test_any_spelling_reaches_the_same(kind: str, data: st.DataObject) -> None:
    """Capitals, spaces and full-width letters change neither what is reached nor what is told."""
    plain = tuple(data.draw(st.lists(st.sampled_from(KNOWN[kind]), min_size=1, max_size=3)))
    spelt = tuple(data.draw(st.sampled_from(SPELLINGS))(word) for word in plain)
    assert judge(vocabulary(), kind, spelt) == judge(vocabulary(), kind, plain) == Scope(frozenset(plain), None)


@given(kinds, st.data(), texts)
def test_one_more_word_never_reaches_less(kind: str, data: st.DataObject, word: str) -> None:
    """Whatever is added to a list, what was reached still is."""
    known, plain = vocabulary(), tuple(data.draw(st.lists(st.sampled_from(KNOWN[kind]), min_size=1, max_size=3)))
    before, after = judge(known, kind, plain).names, judge(known, kind, (*plain, word)).names
    assert before is not None
    assert after is None or before <= after


@given(kinds, texts)
def test_an_unknown_word_reaches_all_or_what_it_extends(kind: str, word: str) -> None:
    """A word is either known, and told of by nobody; or the scope is all; or, of a purpose, a known prefix of it."""
    scope = judge(vocabulary(), kind, (word,))
    if scope.unknown is None:
        assert scope.names is not None
    else:
        assert scope.unknown == word
        assert scope.names is None or (kind == "purposes" and all(folded(word).startswith(n) for n in scope.names))


@given(texts, texts)
def test_a_consent_is_never_understood_by_a_synonym(channel: str, purpose: str) -> None:
    """What a grant may name is exactly what the policy names."""
    known = vocabulary()
    if known.unknown_in_grant((channel,), (purpose,), None) is None:
        assert channel in KNOWN["channels"]
        assert purpose.split(".")[0] in ("marketing", "service")

"""The table of spellings: what it says, and what it must not say."""

from __future__ import annotations

from collections import Counter

import pytest

from contactgate.codec.strict import TYPES
from contactgate.model import messages, synonyms


@pytest.mark.parametrize(
    ("word", "channel"),
    [
        ("phone", "voice"), ("Telephone", "voice"), (" CALL ", "voice"), ("tel", "voice"), ("mobile", "voice"),
        ("电话", "voice"), ("電話", "voice"), ("ｐｈｏｎｅ", "voice"), ("Voice", "voice"),
        ("text", "sms"), ("TXT", "sms"), ("短信", "sms"), ("簡訊", "sms"), ("E-Mail", "email"), ("e_mail", "email"),
        ("post", "mail"), ("letter", "mail"), ("fax", None), ("push", None), ("", None), ("*", None),
    ],
)  # fmt: skip
def test_a_channel_is_known_in_any_spelling(word: str, channel: str | None) -> None:
    """Case, width, spaces and hyphens do not matter, and synonyms mean the channel."""
    assert synonyms.channel(word) == channel


@pytest.mark.parametrize(
    ("word", "flag"),
    [("dead", "deceased"), ("已故", "deceased"), ("Passed away", "deceased"), ("Under_18", "minor"), ("vip", None)],
)
def test_a_restricting_flag_is_known_in_any_spelling(word: str, flag: str | None) -> None:
    """`dead` and 已故 are `deceased`; what is none stays none."""
    assert synonyms.flag(word) == flag


def test_business_has_no_synonym() -> None:
    """It lifts consumer registries, so only the word itself counts."""
    assert synonyms.flag("business") is None
    assert synonyms.flag("Business") is None


@pytest.mark.parametrize(
    ("word", "type_"),
    [
        ("consent.revoked", "consent.withdrawn"),
        ("opt_out", "consent.withdrawn"),
        ("Opt-Out", "consent.withdrawn"),
        ("CONSENT.WITHDRAWN", "consent.withdrawn"),
        ("consent.granted", None),
        ("consent.paused", None),
    ],
)
def test_a_restricting_type_is_known_in_any_spelling(word: str, type_: str | None) -> None:
    """`consent.revoked` and `opt_out` are withdrawals; nothing that permits is understood."""
    assert synonyms.restricting_type(word) == type_


@pytest.mark.parametrize("table", ["channels", "flags", "types"])
def test_no_spelling_stands_twice(table: str) -> None:
    """One spelling cannot mean two words, and none is written down in vain."""
    words = synonyms.TABLES[table]
    count = Counter(synonyms.squeezed(word) for known, others in words.items() for word in (known, *others))
    repeated = {word for word, times in count.items() if times > 1}
    assert repeated <= {synonyms.squeezed("e-mail")}  # the rule names it, and it is `email` without the hyphen


def test_only_restricting_types_have_synonyms() -> None:
    """A message that permits must name its type exactly."""
    assert synonyms.TABLES["types"].keys() <= TYPES.keys()
    assert not synonyms.TABLES["types"].keys() & {
        "consent.granted",
        "address.released",
        "pause.lifted",
        "subject.updated",
    }


def test_every_key_of_the_table_is_a_key_of_a_message() -> None:
    """A synonym of a key that no message has would be dead."""
    checked = (messages.ConsentGranted, messages.ContactRequested, messages.SubjectUpdated)
    known = {key for kind in checked for key in kind.__struct_fields__}
    assert synonyms.TABLES["keys"].keys() <= known | {"flags_removed"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("data_category", "data_categories"), ("time_zone", "timezone"), ("Time-Zones", "timezone"),
        ("expiresAt", "expires_at"), ("jurisdiction", "jurisdictions"), ("addresses", "address"),
        ("not-before", "not_before"),
    ],
)  # fmt: skip
def test_keys_that_differ_by_case_hyphen_and_plural_are_one(one: str, other: str) -> None:
    """Their forms are equal."""
    assert synonyms.key_form(one) == synonyms.key_form(other)


def test_a_word_that_may_be_an_address_is_not_shown() -> None:
    """An `@` or five digits hide it; control characters and length are cut."""
    assert synonyms.shown("ann@example.com") == "(hidden)"
    assert synonyms.shown("+49 30 123") == "(hidden)"
    assert synonyms.shown("٠١٢٣٤") == "(hidden)"
    assert synonyms.shown("fax\n1") == "fax?1"
    assert synonyms.shown("x" * 100) == "x" * 64

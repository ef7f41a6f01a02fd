"""One subscriber, whatever form a number or a mailbox is written in; and who is not the same subscriber."""

from __future__ import annotations

from pathlib import Path

import phonenumbers
import pytest

from contactgate.codec.tokens import Tokens
from contactgate.errors import StoreForeign
from contactgate.model.address import normalise
from contactgate.model.forms import FORMS, other_forms
from contactgate.registry import Snapshot, build

TOKENS = Tokens(b"a key for tests, of thirty-two bytes")

SAME = [
    ("+525550001234", "+5215550001234", "+52 01 55 5000 1234", "+52 044 55 5000 1234"),
    ("+541143211234", "+5491143211234", "+54 11 15 4321-1234", "+54 9 11 15 4321 1234"),
    ("+542214321234", "+5492214321234", "+54 221 15 432-1234"),
    ("+542954321234", "+5492954321234", "+54 2954 15 321234"),
    ("+5511987654321", "+551187654321"),
    ("+2250707123456", "+22507123456"),
    ("+2250544123456", "+22544123456"),
    ("+2250142123456", "+22542123456"),
    ("+2252720212345", "+22520212345"),
    ("+2252522012345", "+22522012345"),
    ("+2252121812345", "+22521812345"),
    ("+2290197123456", "+22997123456"),
    ("+576012345678", "+5712345678"),
    ("+84321234567", "+841621234567"),
    ("+84901234567",),
]


@pytest.mark.parametrize("forms", SAME)
def test_every_form_of_a_number_is_one_subscriber(forms: tuple[str, ...]) -> None:
    """Whatever form is written, the canonical one comes out, is stable, and each other form has its token bound."""
    canonical = forms[0]
    for form in forms:
        assert normalise("voice", form) == canonical
        assert normalise("voice", normalise("voice", form)) == canonical
    bound = TOKENS.suppressed(forms[-1], ("sms",))
    assert TOKENS.contactable("voice", canonical).token in bound
    for form in forms:
        assert TOKENS.address("voice", "+" + "".join(c for c in form if c.isdigit())) in bound


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+525550001234", "+525550001235"),
        ("+551134567890", "+5511934567890"),  # a fixed line has no ninth digit
        ("+2250707123456", "+2250507123456"),
        ("+2290197123456", "+2290197123457"),
        ("+5215550001234", "+541155500012"),
    ],
)
def test_other_subscribers_stay_apart(one: str, other: str) -> None:
    """A form that no line names is a subscriber of its own."""
    assert set(TOKENS.suppressed(one, None)).isdisjoint(TOKENS.suppressed(other, None))


def test_every_other_form_leads_back() -> None:
    """What is bound as another form of a number is read as that number."""
    for canonical, *_ in SAME:
        for form in other_forms(canonical):
            assert normalise("voice", form) == canonical


def test_canonical_numbers_are_valid_in_todays_plans() -> None:
    """Held against phonenumbers: an example of every kind of number keeps a form that may be dialled."""
    checked = 0
    for region in ("MX", "BR", "CI", "BJ", "CO", "VN"):
        for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
            example = phonenumbers.example_number_for_type(region, kind)
            if example is not None:
                checked += 1
                e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
                assert normalise("voice", e164) == e164
    assert checked > 10


def test_gmail_has_two_names() -> None:
    """googlemail.com and gmail.com are one mailbox in any case; other providers' domains stay apart."""
    assert normalise("email", "Ann.W@GoogleMail.com") == normalise("email", "ann.w@gmail.com") == "ann.w@gmail.com"
    assert TOKENS.address("email", "ann.w@googlemail.com") in TOKENS.suppressed("ann.w@gmail.com", None)
    assert normalise("email", "ann.w@example.com") != normalise("email", "ann.w@gmail.com")


def test_a_list_binds_every_form_and_one_of_other_forms_is_stale(tmp_path: Path) -> None:
    """A snapshot holds the token of each form, counts numbers, and is refused when it knew other forms."""
    path = tmp_path / "list"
    lines = ["+5215550001234,2026-01-02", "+525550001234,2026-01-01", "+12125550123"]
    built = build(lines, TOKENS, path, registry="x", version="1")
    assert (built.header.count, built.repeated, built.header.forms) == (2, 1, FORMS)
    snapshot = Snapshot(path, TOKENS)
    snapshot.verify()
    days = {snapshot.since(token) for token in TOKENS.suppressed("+525550001234", None)}
    assert len(days) == 1
    assert None not in days
    assert snapshot.since(TOKENS.contactable("voice", "+12125550123").token) == 0
    path.write_bytes(path.read_bytes().replace(FORMS.encode(), b"0" * len(FORMS), 1))
    with pytest.raises(StoreForeign, match="written forms"):
        Snapshot(path, TOKENS)

"""Addresses and numbers under random input, held against the library they replace in the hot path."""

from __future__ import annotations

import random
from zoneinfo import ZoneInfo

import phonenumbers
from hypothesis import given, reject
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType, timezone
from phonenumbers.tzdata import TIMEZONE_DATA

from contactgate.model.address import AddressError, normalise
from contactgate.model.numbering import _zone_countries, number_jurisdictions, number_zones
from contactgate.model.zone_data import corrections

KINDS = [v for k, v in vars(PhoneNumberType).items() if isinstance(v, int) and v < 20]


@given(st.sampled_from(["voice", "email", "mail"]), st.text(max_size=80))
def test_any_text_is_refused_or_canonical(channel: str, text: str) -> None:
    """Nothing but AddressError comes out of any text, and a canonical form is its own canonical form."""
    try:
        canonical = normalise(channel, text)
    except AddressError:
        return
    assert normalise(channel, canonical) == canonical


@given(
    st.text("abcxyzéßıİKСа.+-_'", min_size=1, max_size=12),
    st.sampled_from(["example.com", "bücher.de", "STRASSE.de", "xn--bcher-kva.de", "faß.at"]),
)
def test_shouting_does_not_make_another_mailbox(local: str, domain: str) -> None:
    """Upper and lower case of an accepted e-mail address are the same contact or refused."""
    for spelling in (local.upper(), local.lower(), local.casefold(), local.title()):
        try:
            one, other = normalise("email", f"{local}@{domain}"), normalise("email", f"{spelling}@{domain.upper()}")
        except AddressError:
            continue
        assert one == other


@given(st.from_regex(r"\A\+[1-9][0-9]{6,14}\Z"), st.randoms(use_true_random=False))
def test_decoration_does_not_make_another_number(number: str, rng: random.Random) -> None:
    """Separators and invisible characters put anywhere into a number leave its canonical form unchanged."""
    try:
        canonical = normalise("sms", number)
    except AddressError:
        reject()  # too short without its trunk zero
    decorated = "".join(c + rng.choice(["", "", " ", "-", ".", "\u00a0", "\u200b", "\u202d"]) for c in number)
    assert normalise("sms", decorated) == canonical
    assert normalise("sms", "00" + decorated.lstrip("+ -.\u00a0\u200b\u202d")) == canonical


def _samples(rng: random.Random, tries: int) -> list[phonenumbers.PhoneNumber]:
    found = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in KINDS:
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            found.append(example)
            digits = str(example.national_number)
            for _ in range(tries):
                keep = rng.randrange(1, len(digits))
                changed = digits[:keep] + "".join(rng.choice("0123456789") for _ in digits[keep:])
                number = phonenumbers.PhoneNumber(
                    country_code=example.country_code,
                    national_number=int(changed),
                    italian_leading_zero=example.italian_leading_zero,
                    number_of_leading_zeros=example.number_of_leading_zeros,
                )
                if phonenumbers.is_valid_number(number):
                    found.append(number)
    return found


def test_zones_hold_every_zone_the_library_gives() -> None:
    """For valid numbers of every country the answer holds the library's zones, is corrected, or is unknown."""
    countries = _zone_countries()
    ours = tuple(digits for _, digits, _ in corrections())
    known = 0
    for number in _samples(random.Random(7), 6):
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        mine = set(number_zones(e164))
        theirs = set(timezone.time_zones_for_number(number))
        if not mine or e164[1:].startswith(ours):
            continue
        known += 1
        if theirs == set(TIMEZONE_DATA.get(str(number.country_code), ())) and number.country_code in {1, 7}:
            # A code shared by countries: the library widens an unplaced number to all of them; its digits tell which.
            place = number_jurisdictions(e164)[:1]
            assert not place or any(place[0] in countries[zone] for zone in mine), number.country_code
            continue
        assert mine >= theirs, number.country_code
        for zone in mine:
            ZoneInfo(zone)
    assert known > 2_000

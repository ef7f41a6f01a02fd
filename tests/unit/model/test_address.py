"""Canonical addresses and what a number's digits tell: same contact or refused, never a fresh one."""

from __future__ import annotations

import collections
import re

import phonenumbers
import pytest
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from contactgate.model import address, numbering
from contactgate.model.address import AddressError, normalise
from contactgate.model.numbering import number_jurisdictions, number_zones

ONE_NUMBER = "+442079460018"
ONE_MAILBOX = "user@example.com"


@pytest.mark.parametrize(
    "spelling",
    [
        "+442079460018",
        "+44 20 7946 0018",
        "+44 (0)20 7946 0018",
        "+44 020-7946-0018",
        "00442079460018",
        "tel:+44-20-7946-0018",
        "TEL://+442079460018",
        "tel:+442079460018;ext=12;phone-context=x",
        "+442079460018x123",
        "+44 20 7946 0018 ext. 9",
        "+44.20.7946.0018",
        "+44\u00a020\u202f7946\u20110018",
        "\u202a+442079460018\u202c",
        "+4420794\u200b60018\ufeff",
        "+4420\u00ad79460018",
        "＋４４２０７９４６００１８",
        "+٤٤٢٠٧٩٤٦٠٠١٨",
        "+४४२०७९४६००१८",
        "\t+442079460018\n",
    ],
)
def test_spellings_of_a_number_are_one_contact(spelling: str) -> None:
    """Every way people write one number gives the same canonical form."""
    assert normalise("voice", spelling) == ONE_NUMBER


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "+",
        "5550100100",
        "15550100100",
        "011442079460018",
        "++442079460018",
        "+44+2079460018",
        "+0442079460018",
        "+44207946001812345",
        "+12345",
        "1-800-FLOWERS",
        "+1800FLOWERS",
        "+44207946\x000018",
        "tel:7042;phone-context=+44",
        "7d9f0c2a5e8b4f6d9f0c2a5e8b4f6d9f",
        "\ud800+442079460018",
        "+" + "4" * 1_000_000,
        " " * 1_000,
        None,
        442079460018,
    ],
)
def test_what_is_no_full_number_is_refused(bad: object) -> None:
    """A number without a country code, with letters or out of range is refused, and the message does not repeat it."""
    with pytest.raises(AddressError) as refusal:
        normalise("voice", bad)
    assert not re.search(r"\d{4,}", str(refusal.value).replace("1024", ""))


def test_a_leading_zero_that_belongs_to_the_number_stays() -> None:
    """Italian national numbers begin with 0: it is not a trunk prefix and is kept."""
    assert normalise("voice", "+39 06 1234 5678") == "+390612345678"


def test_every_channel_but_email_and_mail_is_telephone_like() -> None:
    """Fax, WhatsApp and channels nobody has named yet take E.164 numbers."""
    assert {normalise(c, "+44 2079460018") for c in ("voice", "sms", "fax", "whatsapp", "carrier-pigeon")} == {
        ONE_NUMBER
    }


def test_trunk_codes_agree_with_the_installed_library() -> None:
    """The embedded calling codes with trunk prefix 0 are those of phonenumbers' own metadata."""
    kinds = ("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "uan")
    expected = set()
    for code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        if regions[0] != "001":
            described = [PhoneMetadata.metadata_for_region(region) for region in regions]
            examples = [getattr(getattr(m, kind), "example_number", None) or "" for m in described for kind in kinds]
            if described[0].national_prefix == "0" and not any(example.startswith("0") for example in examples):
                expected.add(str(code))
    assert set(address.TRUNK_ZERO_CODES.split()) == expected


@pytest.mark.parametrize(
    "spelling",
    [
        "user@example.com",
        "User@Example.COM",
        " user@example.com\u00a0",
        "mailto:user@example.com",
        "user@example.com.",
        "ｕｓｅｒ＠ｅｘａｍｐｌｅ．ｃｏｍ",
        "user@example。com",
        "us\u00ader@exam\u200bple.com",
        "\u202euser@example.com\u202c",
        "\ufeffus\u2060er@example.com",
        "us\ufe0fer@example.com",
        "us\u034fer@example.com",
        "𝐮𝐬𝐞𝐫@example.com",
    ],
)
def test_spellings_of_a_mailbox_are_one_contact(spelling: str) -> None:
    """Case, width, invisible characters, a trailing dot and a mailto prefix do not make another contact."""
    assert normalise("email", spelling) == ONE_MAILBOX


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("é@example.com", "e\u0301@example.com"),
        ("STRAẞE@example.com", "strasse@example.com"),
        ("straße@example.com", "STRASSE@example.com"),
        ("İlker@example.com", "ilker@example.com"),
        ("ılgaz@example.com", "ILGAZ@example.com"),
        ("\u212aelvin@example.com", "kelvin@example.com"),
        ("a@bücher.de", "a@xn--bcher-kva.de"),
        ("a@BÜCHER.de", "a@XN--BCHER-KVA.de"),
        ("a@bu\u0308cher.de", "a@xn--bcher-kva.de"),
        ("a@straße.de", "a@xn--strae-oqa.de"),
        ("a@straße.de", "a@STRASSE.de"),
        ("a@例え.jp", "a@xn--r8jz45g.jp"),
    ],
)
def test_two_spellings_of_an_international_mailbox_meet(one: str, other: str) -> None:
    """Composed and decomposed, upper and lower case, Unicode and punycode spellings are the same contact."""
    assert normalise("email", one) == normalise("email", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a.b@example.com", "ab@example.com"), ("a+x@example.com", "a@example.com"), ("a@b.com", "a@b.co")],
)
def test_different_mailboxes_stay_apart(one: str, other: str) -> None:
    """Dots and +tags of the local part are kept: nobody outside knows which provider ignores them."""
    assert normalise("email", one) != normalise("email", other)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "user",
        "@example.com",
        "user@",
        "user@localhost",
        "user@@example.com",
        "a@b@example.com",
        '"a b"@example.com',
        "a(b)@example.com",
        "a b@example.com",
        "a\x00b@example.com",
        "User <user@example.com> x",
        "user@[192.0.2.1]",
        "user@192.0.2.1",
        "user@-x.com",
        "user@x_y.com",
        "user@x..com",
        ".user@example.com",
        "user.@example.com",
        "us..er@example.com",
        "а\u0064min@example.com",
        "admin@ex\u0430mple.com",
        "user@xn--zz--.com",
        "a" * 65 + "@example.com",
        "é" * 33 + "@example.com",
        "a@" + "b" * 64 + ".com",
        "a@" + ".".join(["b" * 60] * 5) + ".com",
        "us\ue000er@example.com",
        "us\ud800er@example.com",
        "a@" + "b." * 100_000 + "com",
    ],
)
def test_what_is_no_plain_mailbox_is_refused(bad: str) -> None:
    """Quoted, commented, literal, mixed-alphabet, misplaced-dot and over-long addresses are refused, unrepeated."""
    with pytest.raises(AddressError) as refusal:
        normalise("email", bad)
    assert not bad or len(bad) < 5 or bad not in str(refusal.value)


def test_lengths_are_accepted_up_to_their_limit() -> None:
    """64 octets before the @ and 254 in all are accepted, one more is not."""
    domain = ".".join(["b" * 61, "b" * 61, "b" * 61]) + ".com"
    longest = "a" * (254 - len(domain) - 1) + "@" + domain
    assert len(longest) == 254
    assert normalise("email", longest) == longest
    assert normalise("email", "A" * 64 + "@x.com") == "a" * 64 + "@x.com"
    with pytest.raises(AddressError):
        normalise("email", "a" + longest)


def test_postal_addresses_are_folded_and_hashes_kept() -> None:
    """Case and white space do not make another household; a postal hash passes unchanged."""
    assert normalise("mail", " 1  Main\u00a0Street\nLONDON\u200b ") == "1 main street london"
    assert normalise("mail", "postal:sha256:" + "ab" * 32) == "postal:sha256:" + "ab" * 32
    for bad in ("", " \u200b ", "a\x00b"):
        with pytest.raises(AddressError):
            normalise("mail", bad)


@pytest.mark.parametrize(
    ("number", "jurisdictions", "zones"),
    [
        ("+12125550123", ("US", "US-NY"), {"America/New_York"}),
        ("+13055550123", ("US", "US-FL"), {"America/New_York"}),
        ("+18505550123", ("US", "US-FL"), {"America/New_York", "America/Chicago"}),
        ("+17095550123", ("CA",), {"America/St_Johns", "America/Halifax"}),
        ("+17871234567", ("PR", "US", "US-PR"), {"America/Puerto_Rico"}),
        ("+8613800138000", ("CN",), {"Asia/Shanghai"}),
        ("+442079460018", ("GB",), {"Europe/London"}),
        ("+447911123456", ("GB",), {"Europe/London", "Europe/Guernsey", "Europe/Jersey", "Europe/Isle_of_Man"}),
        ("+33199000012", ("FR",), {"Europe/Paris"}),
        ("+262262123456", ("RE", "FR"), {"Indian/Reunion"}),
        ("+6581234567", ("SG",), {"Asia/Singapore"}),
        ("+24740123", ("AC",), {"Atlantic/St_Helena"}),
    ],
)
def test_digits_place_a_number(number: str, jurisdictions: tuple[str, ...], zones: set[str]) -> None:
    """Country, US state and every possible zone follow from the leading digits."""
    assert number_jurisdictions(number) == jurisdictions
    assert set(number_zones(number)) == zones


@pytest.mark.parametrize("number", ["+353861234567", "+79161234567", "+38344123456", "+9991234567", "+80012345678"])
def test_a_foreign_or_missing_zone_makes_the_zone_unknown(number: str) -> None:
    """The library places Irish numbers in London and Russian ones in Bucharest: such an answer is not used at all."""
    assert number_zones(number) == ()


def test_a_toll_free_number_may_be_anywhere() -> None:
    """A North American number without an area code is in every zone of the plan and in no known country."""
    assert {"America/New_York", "Pacific/Honolulu", "America/St_Johns"} < set(number_zones("+18005550100"))
    assert number_jurisdictions("+18005550100") == ()


@pytest.mark.slow
def test_area_codes_agree_with_the_installed_geocoder() -> None:
    """The embedded table gives the state that phonenumbers' geocoder gives, wherever that names one for a city."""
    from phonenumbers.geodata import GEOCODE_DATA

    cities: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for prefix, names in GEOCODE_DATA.items():
        if prefix[0] == "1" and len(prefix) > 4:
            state = re.search(r", ([A-Z]{2})$", names.get("en", ""))
            if state:
                cities[prefix[1:4]][state.group(1)] += 1
    places = numbering.NANP_PLACES
    checked = 0
    for area, states in cities.items():
        place = places.get(area, "")
        if place.startswith("US-"):
            checked += 1
            assert place == "US-" + states.most_common(1)[0][0], area
    assert checked > 200


def test_area_codes_agree_with_the_installed_metadata() -> None:
    """The embedded table names the country that phonenumbers' metadata names."""
    for area, place in numbering.NANP_PLACES.items():
        regions = {
            phonenumbers.region_code_for_number(
                phonenumbers.PhoneNumber(country_code=1, national_number=int(f"{area}{x}1234"))
            )
            for x in range(200, 1000, 9)
        } - {None}
        assert regions <= {place[:2]}, area

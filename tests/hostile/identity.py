"""Rows 61-72: other spellings of one contact. Each is suppressed in its canonical form and asked for in another."""

from __future__ import annotations

from tests.hostile.shots import Row, Shot, ask, asked, grant, opt_out, suppress, suppression, withdrawal
from tests.kit.gatekit import CANARY, TOKENS

SPELLINGS = "tests/unit/gate/test_hostile_sequences.py::test_a_suppressed_contact_is_blocked_in_every_spelling"
REFUSED = "tests/unit/gate/test_hostile_sequences.py::test_an_address_that_cannot_be_read_never_passes"
APART = "tests/unit/gate/test_hostile_sequences.py::test_a_contact_that_only_looks_alike_is_another"
ADDRESSES = "tests/unit/model/test_address.py::"

SAME: dict[int, tuple[tuple[str, str, str], ...]] = {
    61: (("email", "user@example.com", "User@Example.com"), ("email", "User@Example.com", "user@example.com")),
    62: (("email", "user@example.com", "ｕｓｅｒ＠ｅｘａｍｐｌｅ．ｃｏｍ"),),
    63: (("email", "jos\u00e9@example.com", "jose\u0301@example.com"), ("email", "jose\u0301@example.com", "JOS\u00c9@example.com")),
    65: (
        ("email", "a@strasse.example", "a@STRAẞE.example"), ("email", "i@example.com", "İ@example.com"),
        ("email", "k@example.com", "\u212a@example.com"),
    ),
    66: (
        ("email", "a@example.com", "a@example.com."), ("email", "a@bücher.example", "a@xn--bcher-kva.example"),
        ("email", "a@xn--bcher-kva.example", "a@BÜCHER.example"),
    ),
    67: tuple(("email", "user@example.com", text) for text in (
        "\u00a0user@example.com\u00a0", "us\u200ber@example.com", "us\u00ader@example.com", "\u202euser@example.com",
    )),
    69: tuple(("voice", CANARY, text) for text in (
        "+1 (212) 555-0199", "0012125550199", "tel:+1-212-555-0199", "+١٢١٢٥٥٥٠١٩٩", "+1 212 555 0199 ext. 7",
        "＋１２１２５５５０１９９", "tel:+12125550199;ext=9",
    )),
}  # fmt: skip
"""(channel, as it is suppressed, as it is asked for) by row: one contact."""
UNREADABLE: dict[int, tuple[tuple[str, str], ...]] = {
    64: (("email", "us\u0435r@example.com"),),
    69: (("voice", "12125550199"), ("voice", "2125550199"), ("voice", "+1")),
    70: (
        ("email", '"a b"@example.com'), ("email", "a(b)@example.com"), ("email", "a@[192.0.2.1]"),
        ("email", "a" * 65 + "@example.com"), ("email", "a@" + "b" * 64 + ".com"), ("email", "a@" + ("b" * 60 + ".") * 5 + "com"),
    ),
    71: (("voice", ""), ("voice", "1"), ("voice", "+" + "1" * 5_000), ("email", "@"), ("email", "a\0@example.com")),
}  # fmt: skip
"""(channel, address) by row: refused, so that no fresh contact comes of it."""
ROWS = [
    Row(61, "capitals in an e-mail address", "One contact.", runs=(SPELLINGS,)),
    Row(62, "full-width letters", "One contact (NFKC).", runs=(SPELLINGS,)),
    Row(63, "composed and decomposed accents", "One contact.", runs=(SPELLINGS,)),
    Row(64, "Cyrillic letters that look Latin", "An address that mixes alphabets in one word is refused; one wholly of another alphabet is another contact.",
        runs=(REFUSED, APART)),
    Row(65, "ẞ and ss, dotted İ, the Kelvin sign", "One contact.", runs=(SPELLINGS,)),
    Row(66, "a trailing dot, punycode", "One contact.", runs=(SPELLINGS,)),
    Row(67, "no-break and zero-width spaces, soft hyphens, direction overrides", "One contact; a request with one is a dead letter.", runs=(SPELLINGS,)),
    Row(68, "`+tag` and dots", "Another contact: only some providers ignore them, and who takes them for one would block strangers.",
        runs=(APART,)),
    Row(69, "spellings of a telephone number", "One contact; without a country code it is refused, since it could be anybody's.",
        runs=(SPELLINGS, REFUSED)),
    Row(70, "quoted and commented mailboxes, IP literals, one character too many", "Refused: the request is blocked as `request.malformed`.",
        runs=(REFUSED, ADDRESSES + "test_lengths_are_accepted_up_to_their_limit")),
    Row(71, "identifiers: empty, one character, 1 MiB, one that is a token, with separators",
        "1 to 128 printable characters, otherwise refused; separators cannot make two identifiers one.", (
        grant("empty", withdrawal(subject_id=""), "identifier.invalid", "block"),
        opt_out("1 MiB", withdrawal(subject_id="s" * 1_048_576), "message.too_large"),
        opt_out("129 characters", withdrawal(subject_id="s" * 129), "identifier.invalid"),
        opt_out("of another, one character", withdrawal(subject_id="s"), "applied", "pass", key=b"s"),
        opt_out("of another, a token", withdrawal(subject_id=TOKENS.subject("bank", "s-1")), "applied", "pass",
                key=TOKENS.subject("bank", "s-1").encode()),
        *(opt_out(f"of another, {name!r}", withdrawal(subject_id=name), "applied", "pass", key=name.encode())
          for name in ("s|1", "s:1", "s-1|", "\\0s-1")),
    ), (REFUSED, "tests/unit/gate/test_hostile_inputs.py::test_identifiers_cannot_collide_by_their_separators")),
    Row(72, "a token in place of an address", "Only the token of the address that is given with it, or of no address, is taken; another form blocks.", (
        ask("of another form", asked(address=None, address_token="deadbeef"), "decided request.malformed"),
        ask("of another address", asked(address_token=TOKENS.address("voice", "+442079460000")), "decided request.malformed"),
        ask("a token as the address", asked(address=TOKENS.address("voice", CANARY)), "decided request.malformed"),
        ask("alone", asked(address=None, address_token=TOKENS.address("voice", CANARY)), "decided pass"),
        suppress("a token of another form suppressed", suppression(address=None, address_token="deadbeef"), "address.unreadable"),
        Shot("a token suppressed that is nobody's", "suppression",
             b'{"type":"address.suppressed","event_id":"e","time":"2026-06-01T08:00:00Z","address_token":"a1.AAAAAAAAAAAAAAAAAAAAAA"}',
             "applied", key=b"a1.AAAAAAAAAAAAAAAAAAAAAA"),
    )),
]  # fmt: skip

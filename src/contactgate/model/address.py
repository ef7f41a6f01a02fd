"""One spelling per contact: the canonical form of a telephone number, an e-mail address or a postal address.

INVARIANT (one spelling): two spellings of one contact come out equal or are refused. Every keyed token is made from
this form, and a spelling that came out as a *fresh* contact would step around an opt-out. Where two contacts cannot be
told apart safely (`ß` and `ss`, `i` with and without its dot) they become one, because an opt-out then binds too much
rather than too little.

What is kept apart on purpose: the dots and `+tags` of a local part (they are different mailboxes at most providers, and
which ones ignore them is not knowable from outside), and look-alikes from another alphabet (but a word that mixes
alphabets is refused). A clear address must never be stored, logged or put into an error message.
"""

from __future__ import annotations

import re
import unicodedata

import idna

from contactgate.model.forms import canonical_mailbox, canonical_number
from contactgate.model.national import international, written


class AddressError(ValueError):
    """An address that cannot be read as one contact of its channel; the message never contains the address."""


_MAX_RAW = 1_024
"""Longest raw address looked at, in characters: no canonical form is longer, and hostile input must stay cheap."""

_MAX_RAW_NUMBER = 128
"""The same for telephone numbers: tighter, as their patterns take time that grows with the square of the length."""

# Characters that nobody sees but that make a different string: default-ignorable code points that are not format
# characters (category Cf, which is dropped whole: zero-width, bidi controls, soft hyphen, tags, byte order mark).
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    chr(code)
    for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
)


def normalise(channel: str, address: object, region: str | None = None) -> str:
    """The canonical form of `address` on `channel`.

    `email` gives `local@domain` (domain in punycode), `mail` folded text (or a postal hash as it is), and every other
    channel is telephone-like and gives E.164 (`+` and 7 to 15 digits); one without `+` is read in `region`, an ISO
    country. Idempotent. Raises AddressError.
    """
    if channel == "email":
        return canonical_mailbox(_email(address))
    if channel == "mail":
        return _mail(address)
    return canonical_number(_phone(address, region))


def _visible(text: object, longest: int = _MAX_RAW) -> str:
    """NFKC without characters that cannot be seen; refuses what is no text at all."""
    if not isinstance(text, str):
        raise AddressError("the address is not text")
    if len(text) > longest:
        raise AddressError(f"the address is longer than {longest} characters")
    if text.isascii():
        return text
    kept = []
    for char in text:
        category = unicodedata.category(char)
        if category in {"Cs", "Co", "Cn"}:
            raise AddressError("the address contains a code point that is no character")
        if category != "Cf" and char not in _INVISIBLE:
            kept.append(char)
    # Once more after NFKC: it can turn a visible compatibility character into an ignorable one.
    return "".join(c for c in unicodedata.normalize("NFKC", "".join(kept)) if c not in _INVISIBLE)


# --- telephone ----------------------------------------------------------------------------------------------------


TRUNK_ZERO_CODES = """
    20 27 31 32 33 40 41 43 44 46 49 51 53 54 55 57 58 60 61 62 63 64 66 81 82 84 86 90 91 92 93 94 95 98 211 212
    213 218 231 232 233 234 243 249 250 251 252 254 255 256 260 261 262 263 264 265 291 353 355 358 359 370 373
    374 377 380 381 382 383 385 386 387 389 421 423 508 590 591 593 594 595 596 598 686 850 855 856 880 886 961
    962 963 964 966 967 970 971 972 976 977 994 995 996
"""
"""Calling codes whose trunk prefix is 0 and whose national numbers never start with 0 (so not Italy's).

From phonenumbers 9.0.43 and held against the installed version by a test; its metadata costs 0.2 s to load.
"""


def _alternatives(words: tuple[str, ...]) -> str:
    """A regular expression for exactly these words, branching on one character at a time so that it fails early."""
    heads: dict[str, list[str]] = {}
    for word in words:
        heads.setdefault(word[:1], []).append(word[1:])
    return "|".join(
        head + (f"(?:{_alternatives(tuple(tails))})" if any(tails) else "") for head, tails in sorted(heads.items())
    )


_TRUNK_ZERO = rf"\+(?:{_alternatives(tuple(TRUNK_ZERO_CODES.split()))})0[1-9]"
_E164 = re.compile(rf"(?!{_TRUNK_ZERO})\+[1-9][0-9]{{6,14}}").fullmatch
_TRUNK_ZERO_AT = re.compile(_TRUNK_ZERO).match
_SCHEME = re.compile(r"(?:tel|sms|callto):(?://)?", re.IGNORECASE)
_EXTENSION = re.compile(
    r"(?:(?:;[a-z][a-z0-9-]*(?:=[^;+]*)?)+|[\s,]*(?:extension|ext\.?|x|#)[\s.:=]*[0-9]{1,11}\s*#?)\Z", re.IGNORECASE
)
_SEPARATORS = re.compile(r"[\s().\-/\u2010-\u2015\u2212\u00b7]+")


def at_home(address: object) -> str | None:
    """The digits of a number that was written without `+`, cleaned as `normalise` does; None if it is none."""
    try:
        return written(_bare(address))
    except AddressError:
        return None


def _bare(address: object) -> str:
    """A number without scheme, extension and separators, in ASCII digits."""
    text = _visible(address, _MAX_RAW_NUMBER).strip()
    text = "".join(str(unicodedata.digit(c)) if c.isdecimal() else c for c in text)
    scheme = _SCHEME.match(text)
    text = _EXTENSION.sub("", text[scheme.end() :] if scheme else text)
    return _SEPARATORS.sub("", text)


def _phone(address: object, region: str | None) -> str:
    if isinstance(address, str) and _E164(address):
        return address
    text = _bare(address)
    if text.startswith("00"):
        text = "+" + text[2:]
    if trunk := _TRUNK_ZERO_AT(text):
        # `+44 (0)20 …`: the zero is dialled at home only, and kept it would make a second contact of the same number.
        text = text[: trunk.end() - 2] + text[trunk.end() - 1 :]
    if not text.startswith("+") and region is not None and written(text):
        text = international(text, region) or text
    if not text.startswith("+"):
        raise AddressError("the number has no country code: give it as + and country code (E.164)")
    if not _E164(text):
        raise AddressError("not a telephone number: expected + and 7 to 15 digits (E.164)")
    return text


# --- e-mail -------------------------------------------------------------------------------------------------------

_CLEAN_EMAIL = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[a-z0-9_+\-]+(?:\.[a-z0-9_+\-]+)*@"
    r"(?:(?!xn--)[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9]{0,61}[a-z0-9])?"
).fullmatch
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?").fullmatch
_ATEXT = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+/=?^_`{|}~-")
_MAILBOX = re.compile(r"[^<>@]*<([^<>]+)>").fullmatch  # as mail software writes it: Ann <ann@example.com>
_ALPHABETS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "DESERET")
"""Alphabets with letters that look like another's; one word may use only one of them."""


def _fold(text: str) -> str:
    """Caseless NFKC text, stable when folded again; `i` loses its dot above so that `İ`, `I`, `i` and `ı` are one."""
    for _ in range(4):
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        folded = folded.replace("i\u0307", "i").replace("ı", "i")
        if folded == text:
            break
        text = folded
    return text


def _refuse_mixed(word: str) -> None:
    if word.isascii():
        return
    seen = {
        alphabet
        for char in word
        if char.isalpha()
        for alphabet in _ALPHABETS
        if unicodedata.name(char, "").startswith(alphabet + " ")
    }
    if len(seen) > 1:
        raise AddressError("the e-mail address mixes look-alike alphabets in one word")


def _email(address: object) -> str:
    if isinstance(address, str) and _CLEAN_EMAIL(address):
        return address
    text = _visible(address).strip()
    if text[:7].lower() == "mailto:":
        text = text[7:]
    if text.endswith(">") and (inner := _MAILBOX(text)):
        text = inner[1].strip()
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError("not an e-mail address: no @")
    canonical = f"{_local_part(_fold(local))}@{_domain(domain)}"
    if len(canonical.encode()) > 254:
        raise AddressError("the e-mail address is longer than 254 octets")
    return canonical


def _local_part(local: str) -> str:
    if local.startswith(".") or local.endswith(".") or ".." in local or not local:
        raise AddressError("the part before the @ is empty or has a misplaced dot")
    for char in local:
        if char == "." or char in _ATEXT:
            continue
        if char.isascii() or unicodedata.category(char)[0] not in "LMN":
            raise AddressError("the part before the @ has a character that is not accepted (quotes, comments, spaces)")
    if len(local.encode()) > 64:
        raise AddressError("the part before the @ is longer than 64 octets")
    _refuse_mixed(local)
    return local


def _domain(domain: str) -> str:
    domain = _fold(domain).replace("。", ".").removesuffix(".")
    if domain.startswith("[") or len(domain) > 253:
        raise AddressError("the domain is an address literal or too long")
    labels = [_label(label) for label in domain.split(".")]
    if len(labels) < 2 or labels[-1].isdigit():
        raise AddressError("the domain is not a full domain name")
    canonical = ".".join(labels)
    if len(canonical) > 253:
        raise AddressError("the domain is longer than 253 octets")
    return canonical


def _label(label: str) -> str:
    """One label as lower-case ASCII; punycode and Unicode spellings of it come out equal."""
    if label.isascii() and not label.startswith("xn--"):
        if not _LABEL(label):
            raise AddressError("the domain has a label that is no host name")
        return label
    try:
        # Decoded, folded as typed text is, and encoded again: the punycode of `straße` must meet `strasse`.
        plain = _fold(idna.ulabel(label) if label.startswith("xn--") else label)
        _refuse_mixed(plain)
        encoded = idna.alabel(plain).decode("ascii") if not plain.isascii() else plain
    except UnicodeError:  # idna.IDNAError is one
        raise AddressError("the domain has a label that is no international domain name") from None
    if not _LABEL(encoded):
        raise AddressError("the domain has a label that is no host name")
    return encoded


# --- post ---------------------------------------------------------------------------------------------------------


def _mail(address: object) -> str:
    text = _visible(address)
    # Folding ASCII only makes it lower case.
    text = " ".join((text.lower() if text.isascii() else _fold(text)).split())
    if not text:
        raise AddressError("the postal address is empty")
    if not text.isprintable() and any(unicodedata.category(char) == "Cc" for char in text):
        raise AddressError("the postal address contains a control character")
    return text

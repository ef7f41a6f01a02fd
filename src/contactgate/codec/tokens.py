"""Keyed tokens: what stands for an address, a subject or an approval wherever the clear one must not.

All are BLAKE2b keyed with the operator's secret, so a token cannot be looked up by hashing every telephone number. One
domain each (`person`), so an address token says nothing about a vendor's token. The key never changes during the life
of an installation: states, suppressions and registries are keyed with it (there is no rotation; `a1.` leaves room).
INVARIANT (no clear address): a clear address never leaves this module, is never logged and never stands in an error.
"""

from __future__ import annotations

import re
import unicodedata
from binascii import b2a_base64
from hashlib import blake2b
from typing import Final, NamedTuple

from contactgate.model.address import AddressError, at_home, normalise
from contactgate.model.forms import other_forms
from contactgate.model.national import written_forms
from contactgate.model.numbering import number_jurisdictions, number_zones

KEY_BYTES: Final = 32
_CACHE: Final = 65_536
_MOST: Final = 1_024  # characters of an address
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_TOKEN: Final = re.compile(r"a1\.[A-Za-z0-9_-]{21}[AQgw]").fullmatch
_SEVERAL: Final = re.compile(r"[,;/|\n]|\s(?:and|or|und|et|y)\s|&")
_WHOLE: Final = re.compile(r".*@.*|(?:\D*\d){7,}\D*").fullmatch
"""Long enough for an address of its own: `06131/123456` is one number."""
_UNREADABLE: Final = (
    "neither a number with country code (+44...), an e-mail address nor a postal hash; free text needs channels [mail]"
)


def _plain(address: str) -> str:
    """What is seen of an address, as `normalise` sees it: full-width digits are digits, hidden characters are none."""
    if address.isascii():
        return address
    text = unicodedata.normalize("NFKC", address[:_MOST])
    return "".join(char for char in text if unicodedata.category(char) != "Cf")


class Contactable(NamedTuple):
    """What is known of an address once its clear form is gone."""

    token: str
    zones: tuple[str, ...]  # where the number may be; () unknown, or not a number
    jurisdictions: tuple[str, ...]
    forms: tuple[str, ...] = ()  # tokens of the subscriber's other written forms (SEMANTICS rule 52)


def is_address_token(text: str) -> bool:
    """Whether this has the form of an address token of ours."""
    return _TOKEN(text) is not None


def text_of(digest: bytes) -> str:
    """16 bytes as 22 characters of URL-safe base64."""
    return b2a_base64(digest)[:22].translate(_URL_SAFE).decode("ascii")


def _family(channel: str) -> bytes:
    """Addresses of one family share tokens: a number is one number for voice, sms and whatever else rings it."""
    return b"e" if channel == "email" else b"m" if channel == "mail" else b"p"


class Tokens:
    """Makes tokens; holds the key and a bounded cache of recent addresses."""

    def __init__(self, key: bytes) -> None:
        """`key` is at least 32 secret bytes. Raises ValueError for a shorter one."""
        if len(key) < KEY_BYTES:
            raise ValueError(f"the token key must have at least {KEY_BYTES} bytes; make one with 32 random bytes")
        derived = blake2b(key, digest_size=64, person=b"contactgate").digest()
        self.fingerprint = blake2b(derived, digest_size=8, person=b"fingerprint").hexdigest()
        self._address = blake2b(key=derived, digest_size=16, person=b"address")
        self._subject = blake2b(key=derived, digest_size=16, person=b"subject")
        self._approval = blake2b(key=derived, digest_size=16, person=b"approval")
        self._derived = derived
        self._addresses: dict[tuple[str, str, str | None], Contactable] = {}
        self._subjects: dict[tuple[str, str], str] = {}

    def secret(self, purpose: bytes) -> bytes:
        """64 secret bytes for another purpose (at most 16 bytes), from which nothing here can be told."""
        return blake2b(self._derived, digest_size=64, person=purpose).digest()

    def address(self, channel: str, normalised: str) -> str:
        """The token of an address in canonical form: `a1.` and 22 characters (128 bit)."""
        state = self._address.copy()
        state.update(_family(channel) + normalised.encode())
        return "a1." + text_of(state.digest())

    def contactable(self, channel: str, address: str, region: str | None = None) -> Contactable:
        """Token, zones and jurisdictions of a clear address as it was sent. Raises AddressError when unreadable.

        `region`: where a number without `+` was written, and what a number may have been written as.
        """
        key = (channel, address, region)
        found = self._addresses.get(key)
        if found is None:
            plain = normalise(channel, address, region)
            number = _family(channel) == b"p"
            found = Contactable(
                self.address(channel, plain),
                number_zones(plain) if number else (),
                number_jurisdictions(plain) if number else (),
                () if channel == "mail" else self._other_tokens(channel, plain, region if number else None),
            )
            if len(self._addresses) >= _CACHE:
                self._addresses.clear()
            self._addresses[key] = found
        return found

    def _other_tokens(self, channel: str, plain: str, region: str | None) -> tuple[str, ...]:
        others = other_forms(plain)
        found = [self.address(channel, form) for form in others]
        if region is not None:
            dialled = {digits for form in (plain, *others) for digits in written_forms(form, region)}
            found += [self._as_written(digits) for digits in sorted(dialled)]
        return tuple(found)

    def at_home(self, address: str) -> str | None:
        """The token of a number that was written without `+`, as it was written; None if it is no such number."""
        digits = at_home(address)
        return None if digits is None else self._as_written(digits)

    def _as_written(self, digits: str) -> str:
        """The token of a number without `+`; no E.164 number has the same."""
        state = self._address.copy()
        state.update(b"n" + digits.encode())
        return "a1." + text_of(state.digest())

    def bound(
        self, address: str, channels: tuple[str, ...] | None, region: str | None = None, *, postal: bool = False
    ) -> tuple[tuple[str, ...], str | None]:
        """Every token an address of a suppression may stand for, and why it cannot be read whole, if it cannot.

        Its channels tell its family, or else its looks; of several in one field each is bound. A number without `+` is
        bound as it was written, for the policy of a decision says where that was, and as it is read in `region`, so
        that open approvals for it are found.
        """
        parts = [part.strip() for part in _SEVERAL.split(address) if part.strip()]
        if not postal and channels != ("mail",) and len(parts) > 1:
            several = [self._one(part, channels, region, postal=False)[0] for part in parts]
            if sum(bool(found) and _WHOLE(part) is not None for found, part in zip(several, parts, strict=True)) > 1:
                return tuple(sorted({token for found in several for token in found})), "several addresses in one field"
        return self._one(address, channels, region, postal=postal)

    def _one(
        self, address: str, channels: tuple[str, ...] | None, region: str | None, *, postal: bool
    ) -> tuple[tuple[str, ...], str | None]:
        found: set[str] = set()
        if postal or "postal:" in address[:7]:
            channels = ("mail",)
        guess = "email" if "@" in _plain(address) else "voice"
        for channel in channels or ():
            found.update(self._tokens_of(channel, address, region))
        if not found:
            found.update(self._tokens_of(guess, address, region))
        fault = None if found else _UNREADABLE
        if channels != ("mail",) and (token := self.at_home(address)) is not None:
            found.add(token)
        return tuple(sorted(found)), fault

    def _tokens_of(self, channel: str, address: str, region: str | None) -> tuple[str, ...]:
        try:
            read = self.contactable(channel, address, region)
        except AddressError:
            return ()
        return (read.token, *read.forms)

    def suppressed(self, address: str, channels: tuple[str, ...] | None, region: str | None = None) -> tuple[str, ...]:
        """Every token an address may stand for. Raises AddressError when it cannot be read whole."""
        found, fault = self.bound(address, channels, region)
        if fault is not None:
            raise AddressError(fault)
        return found

    def subject(self, requester: str, subject_id: str) -> str:
        """What a vendor knows a subject by: `s1.` and 22 characters, different for every requester."""
        key = (requester, subject_id)
        found = self._subjects.get(key)
        if found is None:
            state = self._subject.copy()
            name = requester.encode()
            state.update(b"%d:%b:%b" % (len(name), name, subject_id.encode()))
            found = "s1." + text_of(state.digest())
            if len(self._subjects) >= _CACHE:
                self._subjects.clear()
            self._subjects[key] = found
        return found

    def approval(self, subject_id: str, request_id: str, decided_ms: int) -> str:
        """The id that 0.2 gave an approval: `ap-` and 32 hex digits; those that are still open are recalled by it."""
        state = self._approval.copy()
        name = subject_id.encode()
        state.update(b"%d:%b:%d:%b" % (len(name), name, decided_ms, request_id.encode()))
        return "ap-" + state.hexdigest()

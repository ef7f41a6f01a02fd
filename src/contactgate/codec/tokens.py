"""Keyed tokens: what stands for an address, a subject or an approval wherever the clear one must not.

All are BLAKE2b keyed with the operator's secret, so a token cannot be looked up by hashing every telephone number. One
domain each (`person`), so an address token says nothing about a vendor's token. The key never changes during the life
of an installation: states, suppressions and registries are keyed with it (there is no rotation; `a1.` leaves room).
INVARIANT (no clear address): a clear address never leaves this module, is never logged and never stands in an error.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from hashlib import blake2b
from typing import Final, NamedTuple

from contactgate.model.address import AddressError, normalise
from contactgate.model.forms import other_forms
from contactgate.model.numbering import number_jurisdictions, number_zones

KEY_BYTES: Final = 32
_CACHE: Final = 65_536
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_TOKEN: Final = re.compile(r"a1\.[A-Za-z0-9_-]{21}[AQgw]").fullmatch
_NUMBER_LIKE: Final = re.compile(r"[+(]?[\d\s().\-/+]{5,}").fullmatch


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
        self._addresses: dict[tuple[str, str], Contactable] = {}
        self._subjects: dict[tuple[str, str], str] = {}

    def address(self, channel: str, normalised: str) -> str:
        """The token of an address in canonical form: `a1.` and 22 characters (128 bit)."""
        state = self._address.copy()
        state.update(_family(channel) + normalised.encode())
        return "a1." + text_of(state.digest())

    def contactable(self, channel: str, address: str) -> Contactable:
        """Token, zones and jurisdictions of a clear address as it was sent. Raises AddressError when unreadable."""
        key = (channel, address)
        found = self._addresses.get(key)
        if found is None:
            plain = normalise(channel, address)
            number = _family(channel) == b"p"
            found = Contactable(
                self.address(channel, plain),
                number_zones(plain) if number else (),
                number_jurisdictions(plain) if number else (),
                () if channel == "mail" else tuple(self.address(channel, form) for form in other_forms(plain)),
            )
            if len(self._addresses) >= _CACHE:
                self._addresses.clear()
            self._addresses[key] = found
        return found

    def _every(self, channel: str, address: str) -> tuple[str, ...]:
        found = self.contactable(channel, address)
        return (found.token, *found.forms)

    def suppressed(self, address: str, channels: tuple[str, ...] | None) -> tuple[str, ...]:
        """Every token an address of a suppression may stand for: its channels tell its family, or else its looks.

        Raises AddressError when there is none.
        """
        found: set[str] = set()
        for channel in channels or ():
            try:
                found.update(self._every(channel, address))
            except AddressError:
                continue
        if not found:
            channel = "email" if "@" in address else "voice" if _NUMBER_LIKE(address) else ""
            for guess in (channel,) if channel else ("voice", "mail"):
                try:
                    found.update(self._every(guess, address))
                    break
                except AddressError:
                    continue
        if not found:
            raise AddressError("the address is neither a number with country code, an e-mail address nor a postal hash")
        return tuple(sorted(found))

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
        """The id of an approval: `ap-` and 32 hex digits, the same whenever the decision is made again."""
        state = self._approval.copy()
        name = subject_id.encode()
        state.update(b"%d:%b:%d:%b" % (len(name), name, decided_ms, request_id.encode()))
        return "ap-" + state.hexdigest()

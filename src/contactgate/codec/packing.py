"""The small parts that stored facts are made of, as bytes: words, identifiers, address tokens, parts that many share.

A word that WORDS knows is a small integer, a canonical UUID or an address token is 16 bytes, and a part that many facts
share (`pack_shared`) is the msgpack bytes of an array of words, made once and kept. What these mean is stored forever:
WORDS and OUTCOMES only grow at their ends. Must not know which facts there are: that is `codec.state`.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import Any, Final

import msgspec

from contactgate.codec.tokens import text_of
from contactgate.model.facts import Outcome, Span

_CACHE: Final = 65_536

pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final = msgspec.msgpack.Decoder().decode
unpack_spans: Final = msgspec.msgpack.Decoder(tuple[Span, ...]).decode

# Append only, too: a new outcome goes to the end, wherever it stands in the order of `core.outcomes`.
OUTCOMES: Final[tuple[Outcome, ...]] = (
    "not_attempted",
    "not_connected",
    "busy",
    "no_answer",
    "ignored",
    "bounced",
    "voicemail",
    "delivered",
    "answered",
    "wrong_number",
    "refused",
    "unsubscribed",
    "complained",
    "abandoned",
)
OUTCOME_CODE: Final = {outcome: code for code, outcome in enumerate(OUTCOMES)}

# Append only: the place of a word is its code on disk.
WORDS: Final = (  # noqa: SIM905
    "voice sms email mail marketing marketing.insurance marketing.credit marketing.investment marketing.savings "
    "marketing.claims_management collection service research basic account credit insurance investment "
    "live autodialled prerecorded written esign recorded_call web double_opt_in purchase inquiry contract "
    "minor deceased vulnerable business consent.missing consent.withdrawn consent.expired consent.recipient "
    "consent.not_yet_effective consent.data_category consent.evidence notice.unknown notice.outside "
    "address.suppressed subject.erased subject.minor subject.deceased subject.vulnerable party.unknown "
    "party.suspended party.agreement campaign.unknown campaign.not_approved campaign.paused campaign.mismatch "
    "request.not_before request.expired request.malformed policy.unknown_purpose policy.unavailable "
    "window.preferred window.unknown_zone US GB CN CA AU FR DE IN JP SG "
    "US-AL US-AK US-AZ US-AR US-CA US-CO US-CT US-DC US-DE US-FL US-GA US-HI US-IA US-ID US-IL US-IN US-KS US-KY "
    "US-LA US-MA US-MD US-ME US-MI US-MN US-MO US-MS US-MT US-NC US-ND US-NE US-NH US-NJ US-NM US-NV US-NY US-OH "
    "US-OK US-OR US-PA US-RI US-SC US-SD US-TN US-TX US-UT US-VA US-VT US-WA US-WI US-WV US-WY "
    "Asia/Shanghai America/New_York America/Chicago America/Denver America/Los_Angeles Europe/London Europe/Paris "
    "Europe/Berlin Australia/Sydney Asia/Kolkata Asia/Singapore Asia/Tokyo America/Toronto"
).split()
CODE: Final = {word: code for code, word in enumerate(WORDS)}

_TOKEN: Final = re.compile(r"a1\.[A-Za-z0-9_-]{21}[AQgw]").fullmatch
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch

_packed: dict[tuple[Any, ...], bytes] = {}
_parts: dict[bytes, tuple[Any, ...]] = {}


def _coded(value: Any) -> Any:
    if isinstance(value, str):
        return CODE.get(value, value)
    return [_coded(item) for item in value] if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return WORDS[value]
    return tuple([_plain(item) for item in value]) if isinstance(value, list) else value


def pack_shared(part: tuple[Any, ...]) -> bytes:
    """A part that many facts share, as bytes."""
    found = _packed.get(part)
    if found is None:
        found = pack([_coded(item) for item in part])
        if len(_packed) >= _CACHE:
            _packed.clear()
        _packed[part] = found
    return found


def shared(packed: bytes) -> tuple[Any, ...]:
    """The part behind the bytes."""
    found = _parts.get(packed)
    if found is None:
        found = tuple([_plain(item) for item in unpack(packed)])
        if len(_parts) >= _CACHE:
            _parts.clear()
        _parts[packed] = found
    return found


def pack_identifier(text: str) -> str | bytes:
    """A canonical UUID as its 16 bytes, anything else as it is."""
    return bytes.fromhex(text.replace("-", "")) if len(text) == 36 and _UUID(text) else text


def identifier(part: str | bytes) -> str:
    """Of `pack_identifier`."""
    if isinstance(part, str):
        return part
    digits = part.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_tokens: dict[str, bytes] = {}
_token_names: dict[bytes, str] = {}


def pack_address(token: str) -> str | bytes:
    """An address token as its 16 bytes, anything else as it is."""
    if len(token) != 25:
        return token
    found = _tokens.get(token)
    if found is None:
        if not _TOKEN(token):
            return token
        found = urlsafe_b64decode(token[3:] + "==")
        if len(_tokens) >= _CACHE:
            _tokens.clear()
        _tokens[token] = found
    return found


def address(part: str | bytes) -> str:
    """Of `pack_address`."""
    if type(part) is str:
        return part
    found = _token_names.get(part)  # type: ignore[arg-type]
    if found is None:
        found = "a1." + text_of(part)  # type: ignore[arg-type]
        if len(_token_names) >= _CACHE:
            _token_names.clear()
        _token_names[part] = found  # type: ignore[index]
    return found

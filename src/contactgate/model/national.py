"""Numbers as a country writes them at home, without `+`: read in the policy's default region (SEMANTICS rule 54).

A suppression of such a number is kept as it was written, under a token of its digits; a request looks up what its
number may be written as at home, in the region of the policy in force. So the order of policies and suppressions does
not matter. Must never guess a region.
"""

from __future__ import annotations

import re

import phonenumbers

_DIGITS = re.compile(r"[0-9]{5,15}").fullmatch


def international(text: str, region: str) -> str | None:
    """`+` and digits of a number that was written in a region; None if it cannot be one there."""
    try:
        found = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(found):
        return None
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)


def written(digits: str) -> str | None:
    """A number without `+`, already without separators, as it is kept; None if it is no such number."""
    return digits if _DIGITS(digits) and not digits.startswith("00") else None


def written_forms(e164: str, region: str) -> tuple[str, ...]:
    """What a number of the region may be written as there, without `+`; () if it is of another calling code."""
    code = str(phonenumbers.country_code_for_region(region))
    if not e164.startswith("+" + code):
        return ()
    national = e164[1 + len(code) :]
    trunk = phonenumbers.ndd_prefix_for_region(region, True) or ""
    return tuple(sorted({national, trunk + national, code + national}))

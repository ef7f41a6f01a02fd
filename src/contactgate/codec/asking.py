"""Who asked, of a request that cannot be read whole: its requester gets an answer all the same (SEMANTICS rule 49).

A message is one if it says so, or if it lies where requests do and says nothing else that is known. A field is read
only if the message says one thing about it, its near misses included. Must never decide, and never read what permits.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from contactgate.codec import strict, widest
from contactgate.codec.widest import Loose
from contactgate.model import synonyms
from contactgate.names import Kind

_REQUESTED: Final = "contact.requested"
_FIELDS: Final = ("requester", "request_id", "subject_id", "channel")
_MEANT: Final = synonyms.near_keys(_FIELDS)
_REPLACED: Final = "\ufffd"


class Asking(NamedTuple):
    """What can be read of a request: enough to answer it."""

    requester: str
    request_id: str
    subject_id: str | None
    channel: str | None


def asking(kind: Kind, value: bytes | None) -> Asking | None:
    """Who asked; None for what is no request, or names no requester or no request_id that can be read."""
    if value is None:
        return None
    loose = widest.loosely(value)
    types = widest.types(loose)
    if _REQUESTED not in types and (kind not in {Kind.REQUEST, Kind.UNKNOWN} or not types.isdisjoint(strict.TYPES)):
        return None
    said = _said(loose)
    requester, request_id = said.get("requester"), said.get("request_id")
    if requester is None or request_id is None:
        return None
    return Asking(requester, request_id, said.get("subject_id"), said.get("channel"))


def _said(loose: Loose) -> dict[str, str]:
    """The fields of which one thing is said, and that is an identifier."""
    found: dict[str, list[Any]] = {}
    for key, values in loose.fields.items():
        field = _MEANT.get(synonyms.key_form(key))
        if field is not None:
            found.setdefault(field, []).extend(values)
    return {field: values[0] for field, values in found.items() if len(values) == 1 and _identifier(values[0])}


def _identifier(value: Any) -> bool:
    return isinstance(value, str) and _REPLACED not in value and strict.printable((value,))

"""One recorded decision as the proof reads it, and how a re-derived one differs from it. Judges nothing else."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from contactgate.errors import ChainBroken
from contactgate.model.instants import to_ms
from contactgate.model.messages import ContactDecided


class Decided(ContactDecided, tag_field="type", tag="contact.decided", kw_only=True):
    """A record of contact-decisions."""

    hash: str


class Kept(NamedTuple):
    """A decision and where it lies in the log."""

    offset: int
    raw: bytes
    decided: Decided


_decode = msgspec.json.Decoder(Decided).decode


def decode(raw: bytes) -> Decided:
    """A recorded decision. Raises ChainBroken for anything else, a time that cannot be read included."""
    try:
        found = _decode(raw)
        instant_ms(found.decided_at)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise ChainBroken("a record is not a decision that can be read") from error
    return found


@lru_cache(maxsize=8_192)
def instant_ms(text: str) -> int:
    """Milliseconds of an instant as we emit it."""
    return to_ms(datetime.fromisoformat(text))


def inputs_of(decided: Decided) -> tuple[int, int, int, int]:
    """The next offset of every broadcast or subject input the decision was made from."""
    position = decided.position
    return position.consent, position.outcome, position.control, position.suppression


_CHAIN = frozenset({"seq", "prev", "hash", "semantics"})
_LATER = frozenset({"controller", "purpose", "data_categories", "mode", "assumes", "approval_ref"})
"""Fields that decisions of releases before 0.3 do not have."""


def differences(recorded: Decided, derived: Decided) -> tuple[str, ...]:
    """Every field in which two decisions differ, with both values; the chain's own fields and the version apart.

    What an older release did not write is not compared; nor is a policy's hash with that of other rules, for it covers
    what a policy can say by them.
    """
    left_out = _CHAIN | _LATER if recorded.controller is UNSET else _CHAIN
    if recorded.semantics != derived.semantics:
        left_out |= {"policy"}
    return tuple(
        f"{name}: recorded {_shown(was)}, derived {_shown(now)}"
        for name in recorded.__struct_fields__
        if name not in left_out and (was := getattr(recorded, name)) != (now := getattr(derived, name))
    )


def _shown(value: Any) -> str:
    return "nothing" if value is UNSET else msgspec.json.encode(value).decode()

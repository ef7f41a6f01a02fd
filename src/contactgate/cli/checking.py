"""What the gate would refuse of a line before it is sent: every sender of ours asks here first.

A line is folded by the very gate of the workers, by itself and in memory. What only a worker can know (other records,
the policy in force, lists in files) is not judged here. Must never name an address, and never send anything.
"""

from __future__ import annotations

from typing import Final

import msgspec

from contactgate.client.routing import Misrouted, Routed, route
from contactgate.codec.tokens import Tokens
from contactgate.codec.widest import loosely, wide_time
from contactgate.gate.letters import AHEAD_MS
from contactgate.offline import Fold

_NEEDS_OTHERS: Final = frozenset(
    (
        "outcome.unknown_request",
        "outcome.unknown_approval",
        "outcome.unknown_word",
        "outcome.unproven",
        "registry.base_unknown",
        "registry.shrinks",
        "registry.source_unavailable",
    )
)
"""Reasons that hang together with what else is known: the records before, the policy, the parties, the token key."""

_KEY: Final = b"only to see whether it is readable"


class _Letter(msgspec.Struct):
    type: str = ""
    reason: str = ""
    detail: str = ""


_letter: Final = msgspec.json.Decoder(_Letter).decode


def checked(line: bytes, tokens: Tokens | None, now_ms: int) -> tuple[Routed, ...]:
    """The records of one line. Raises Misrouted, saying what is wrong, for a line that would become a dead letter."""
    routed = route(line, None if tokens is None else tokens.suppressed)
    for out in Fold(None, tokens or Tokens(_KEY)).line(line):
        letter = _letter(out)
        if letter.type == "dead.letter" and letter.reason not in _NEEDS_OTHERS:
            raise Misrouted(f"{letter.reason}: {letter.detail}")
    told = wide_time(loosely(line).one("time"))
    if told is not None and told > now_ms + AHEAD_MS:
        raise Misrouted("time.absurd: `time` is more than 24 hours ahead; is it local time written as UTC (`Z`)?")
    return routed

"""What the requester of a block is told: one word, and when to ask again; nothing else about the person.

Of several reasons the first of malformed, not_permitted, not_agreed, paused, not_now (SEMANTICS rule 49). Of words that
tell about the person, one stands for all: a suppressed number is not told from a missing consent. Must never tell an
instant that depends on more than hours and counts.
"""

from __future__ import annotations

from typing import Final

from contactgate.model.decision import Decision, Refusal, RefusalWord
from contactgate.model.facts import Reason

QUARTER_MS: Final = 900_000

_WORDS: Final[tuple[RefusalWord, ...]] = ("malformed", "not_permitted", "not_agreed", "paused", "not_now")
_MALFORMED, _NOT_PERMITTED, _NOT_AGREED, _PAUSED, _NOT_NOW = range(len(_WORDS))
_RANKS: Final[dict[str, int]] = {
    "request": _MALFORMED,
    "party": _NOT_AGREED,
    "campaign": _NOT_AGREED,
    "policy": _NOT_AGREED,
    "pause": _PAUSED,
    "window": _NOT_NOW,
    "gap": _NOT_NOW,
    "cap": _NOT_NOW,
    "cooloff": _NOT_NOW,
}
"""By the first word of the reason's code. All others are about the person, or not to be told from what is."""
_EXCEPTIONS: Final[dict[str, int]] = {"request.not_before": _NOT_NOW, "window.unknown_zone": _NOT_PERMITTED}


def refusal(made: Decision) -> Refusal:
    """What the requester is told of a decision that blocks."""
    first = min(made.reasons, key=_rank)
    rank = _rank(first)
    if rank == _NOT_NOW:
        eligible = made.next_eligible_ms
        return Refusal("not_now", None, None if eligible is None else -(-eligible // QUARTER_MS) * QUARTER_MS)
    return Refusal(_WORDS[rank], first.field if rank == _MALFORMED else None)


def _rank(reason: Reason) -> int:
    rule = reason.rule
    known = _EXCEPTIONS.get(rule)
    return _RANKS.get(rule.partition(".")[0], _NOT_PERMITTED) if known is None else known

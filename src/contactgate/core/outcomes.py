"""How much an outcome restricts: which of two reports of one request holds, and which are never forgotten.

Must never say what an outcome is on disk: that is `codec.packing`. A cap says itself which it counts.
"""

from __future__ import annotations

from typing import Final

from contactgate.model.facts import Outcome

BY_SEVERITY: Final[tuple[Outcome, ...]] = (
    "not_attempted",
    "not_connected",
    "busy",
    "no_answer",
    "ignored",
    "bounced",
    "voicemail",
    "abandoned",
    "delivered",
    "answered",
    "wrong_number",
    "refused",
    "unsubscribed",
    "complained",
)
"""From the least to the most restricting: of two reported for one request the later here holds (SEMANTICS rule 32)."""

SEVERITY: Final[dict[Outcome, int]] = {outcome: rank for rank, outcome in enumerate(BY_SEVERITY)}

OPT_OUTS: Final[frozenset[Outcome | None]] = frozenset(("unsubscribed", "complained"))
"""Outcomes in which a person says that they want no more of it (SEMANTICS rule 19)."""

RESTRICTING: Final[frozenset[Outcome]] = frozenset(("refused", "wrong_number", "unsubscribed", "complained"))
"""Outcomes that are never forgotten, however old."""

"""What the core answers: the decision on a request, and the recall of an approval that became illegal.

Only values; `core.decide` and `core.review` make them, `codec.emit` publishes them. Must never hold an address.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from contactgate.model.facts import Reason

SEMANTICS: Final = 2
"""Version of docs/semantics.md that this code decides by.

Decisions and meta records name it; absent, it is 1: before rules 37 to 63. It grows when the same inputs may lead to
another decision, so that a decision of another version is told as such and not as a difference.
"""

Verdict = Literal["pass", "block"]
RecallWord = Literal["withdrawn", "erased", "suppressed", "listed", "paused", "party", "campaign", "person"]
"""Why an approval was recalled, in a word that tells a vendor nothing about the person."""
RefusalWord = Literal["malformed", "not_permitted", "not_agreed", "paused", "not_now"]
"""Why a request was refused, in a word that tells a vendor nothing about the person; the first that applies is told."""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The answer. `pass` exactly when `reasons` is empty."""

    reasons: tuple[Reason, ...]
    next_eligible_ms: int | None  # None: passes now, or never
    valid_until_ms: int | None
    decided_ms: int
    duplicate: bool = False  # the request_id was seen before: its first decision again, no cap used
    approved_ms: int | None = None  # when the approval was given (of a duplicate: at its first decision)
    categories: tuple[str, ...] = ()  # the data categories judged, said by the request or not; sorted
    assumes: tuple[str, ...] = ()  # what `next_eligible_ms` supposes: lists that go on being refreshed, sorted

    @property
    def passed(self) -> bool:
        """Whether the contact may be made."""
        return not self.reasons


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """What the requester is told of a block."""

    reason: RefusalWord
    field: str | None = None  # what of the request is malformed, as messages name it
    retry_ms: int | None = None  # with `not_now`: when to ask again, on the quarter of an hour


class Recall(msgspec.Struct, frozen=True, gc=False):
    """An open approval that became illegal. What stands for it is made by the codec: the core has no key."""

    request_id: str
    requester: str
    channel: str
    rule: str  # the rule code it now fails (`consent.withdrawn`)
    reason: RecallWord
    approved_ms: int = 0  # the decision's time
    has_handle: bool = True  # false: it was approved before there were handles

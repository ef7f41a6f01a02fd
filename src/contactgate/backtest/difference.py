"""What changes between two policies on the same events: every decision that differs, counted by reason and campaign.

Both policies fold the same lines from the start, side by side; memory grows with the number of subjects. A place that
one policy gave and the other did not makes later decisions differ too: that is what would have happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from contactgate.codec.tokens import Tokens
from contactgate.offline import Fold
from contactgate.policy.compiled import CompiledPolicy

_read = msgspec.json.Decoder().decode


class Changed(NamedTuple):
    """One request that the two policies answer differently. Rules are sorted; () means it passed."""

    request_id: str
    campaign_id: str | None
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def kind(self) -> str:
        """`now blocked`, `now passes` or `other reasons`."""
        if not self.before:
            return "now blocked"
        return "other reasons" if self.after else "now passes"


@dataclass
class Counts:
    """Totals of a comparison."""

    requests: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)  # `+rule` that appeared, `-rule` that went
    by_campaign: Counter[str] = field(default_factory=Counter)

    def add(self, changed: Changed) -> None:
        """Count one changed decision."""
        self.by_kind[changed.kind] += 1
        self.by_campaign[changed.campaign_id or "(none)"] += 1
        for rule in sorted({*changed.after} - {*changed.before}):
            self.by_reason[f"+{rule}"] += 1
        for rule in sorted({*changed.before} - {*changed.after}):
            self.by_reason[f"-{rule}"] += 1


def compare(
    lines: Iterable[bytes], before: CompiledPolicy, after: CompiledPolicy, tokens: Tokens, counts: Counts
) -> Iterator[Changed]:
    """Every changed decision, in the order of the requests; `counts` is filled on the way."""
    folds = (Fold(before, tokens), Fold(after, tokens))
    for line in lines:
        old, new = (_decision(fold.line(line)) for fold in folds)
        if old is None or new is None:
            continue
        counts.requests += 1
        if _rules(old) != _rules(new):
            changed = Changed(old["request_id"], old.get("campaign_id"), _rules(old), _rules(new))
            counts.add(changed)
            yield changed


def _decision(made: list[bytes]) -> dict[str, Any] | None:
    for value in made:
        message: dict[str, Any] = _read(value)
        if message["type"] == "contact.decided":
            return message
    return None


def _rules(decision: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted({reason["rule"] for reason in decision["reasons"]}))

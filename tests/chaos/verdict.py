"""What a check found, and the names of what is checked. Part of the checker."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

PROMISES = {
    "I1": "no pass after an acknowledged opt-out, suppression or pause",
    "I1b": "no needless block",
    "I2": "a cap is never exceeded",
    "I2b": "a cap is not under-used",
    "I3": "exactly one decision per request",
    "I4": "no acknowledged input is lost",
    "I5": "nothing from nothing",
    "I6": "every input record has exactly one fate",
    "I7": "a transaction is there whole or not at all",
    "I8": "dead letters are complete",
    "I9": "decisions follow the order of requests",
    "I10": "deciding again from the recorded positions gives the same",
    "I11": "the audit chain is unbroken",
    "I12": "fail closed: never decided below what was acknowledged",
    "I13": "who is fenced is silent: positions never go back",
    "I14": "the changelog is the state",
    "I15": "late events never revive a consent",
    "I16": "no personal data outside its place",
    "I17": "erasure does not open what was closed",
    "I18": "no spelling of a suppressed address passes",
    "I20": "everything is decided in the end",
    "I21": "every pass has exactly one approval, with the documented fields only",
    "I22": "what became illegal is recalled in time, and nothing else",
}

REQUIRED = (
    "requests", "passes", "blocks", "cap_exactly_reached", "cap_blocks", "duplicates_answered", "echo_blocked",
    "recalls_by_event", "recalls_by_review", "dead_letters", "widest_readings", "late_events", "aborted_transactions",
    "request_conflicts", "requests_answered", "skewed_opt_outs", "unknown_words", "lasting_flags",
    "pauses", "suppressions", "erasures", "opt_out_to_request_below_5_ms", "suppressed_in_another_spelling",
)  # fmt: skip
"""Situations that the topics themselves must show; meta.json may name more (`required`), from counters.json."""


@dataclass
class Findings:
    """Violations and counters, as they are found. `merge` adds those of another part of the history."""

    wrong: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    looked: Counter[str] = field(default_factory=Counter)  # how many cases each promise was checked on

    def bad(self, name: str, text: str) -> None:
        """One violation of a promise."""
        self.wrong[name] += 1
        kept = self.examples.setdefault(name, [])
        if len(kept) < 5:
            kept.append(text)

    def merge(self, other: Findings) -> None:
        """Add what was found elsewhere."""
        self.wrong += other.wrong
        self.seen += other.seen
        self.looked += other.looked
        for name, texts in other.examples.items():
            self.examples.setdefault(name, []).extend(texts[: max(0, 5 - len(self.examples.get(name, [])))])


@dataclass(frozen=True)
class Finding:
    """One promise and whether it held."""

    name: str
    promise: str
    held: bool
    checked: int
    detail: str


@dataclass(frozen=True)
class Verdict:
    """`state`: green; red when a promise was broken; invalid when a situation that must occur did not."""

    findings: tuple[Finding, ...]
    counters: dict[str, int]
    unreached: tuple[str, ...]

    @property
    def state(self) -> str:
        """One word."""
        if not all(finding.held for finding in self.findings):
            return "red"
        return "invalid" if self.unreached else "green"

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the promises that did not hold."""
        return tuple(finding.name for finding in self.findings if not finding.held)


def conclude(found: Findings, counters: dict[str, int], required: tuple[str, ...]) -> Verdict:
    """The verdict from all that was found; `counters` come from outside the topics."""
    findings = []
    for name, promise in PROMISES.items():
        wrong = found.wrong.get(name, 0)
        detail = f"{wrong} violations: {'; '.join(found.examples[name])}" if wrong else ""
        findings.append(Finding(name, promise, not wrong, found.looked.get(name, 0), detail))
    seen = {**counters, **found.seen}
    unreached = tuple(name for name in dict.fromkeys((*REQUIRED, *required)) if not seen.get(name))
    return Verdict(tuple(findings), seen, unreached)

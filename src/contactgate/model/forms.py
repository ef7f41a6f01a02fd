"""Every written form of one subscriber: renumberings, digits dialled only from abroad, a provider's two names.

`subscriber-forms.txt` holds the forms and their sources. One form is canonical, the one that is dialled today; tokens
of the others are looked up and bound as well, because lists, suppressions and states of before hold them. Must never
make two subscribers one on a guess: a form that no line names is a subscriber of its own.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from typing import NamedTuple


class _Line(NamedTuple):
    mark: str
    code: str
    pattern: re.Pattern[str]
    replacement: str


def _read() -> tuple[dict[str, list[_Line]], dict[str, str], str]:
    text = (resources.files("contactgate.model") / "subscriber-forms.txt").read_text(encoding="utf-8")
    lines = [fields for line in text.splitlines() if not line.startswith("#") and (fields := line.split())]
    numbers: dict[str, list[_Line]] = {}
    domains: dict[str, str] = {}
    for mark, first, *rest in lines:
        if mark == "@":
            domains[first] = rest[0]
        else:
            numbers.setdefault(first, []).append(_Line(mark, first, re.compile(rest[0]), rest[1]))
    return numbers, domains, sha256("\n".join(" ".join(fields) for fields in lines).encode()).hexdigest()[:12]


_NUMBERS, _DOMAINS, FORMS = _read()
"""`FORMS` names this set of forms: a list whose tokens were made with another is stale."""

_CODES = tuple("+" + code for code in _NUMBERS)
_LENGTHS = tuple(sorted({len(code) for code in _CODES}))


def _lines(e164: str) -> list[_Line]:
    for length in _LENGTHS:
        if found := _NUMBERS.get(e164[1:length]):
            return found
    return []


def canonical_number(e164: str) -> str:
    """The form of a number that is dialled today; `e164` is `+` and digits. Idempotent."""
    if not e164.startswith(_CODES):
        return e164
    for mark, code, pattern, replacement in _lines(e164):
        if mark == ">" and (found := pattern.fullmatch(e164, len(code) + 1)):
            return f"+{code}{found.expand(replacement)}"
    return e164


def canonical_mailbox(mailbox: str) -> str:
    """The mailbox under the first of its provider's names."""
    local, _, domain = mailbox.rpartition("@")
    return f"{local}@{_DOMAINS[domain]}" if domain in _DOMAINS else mailbox


@lru_cache(maxsize=4_096)
def _names(domain: str) -> tuple[str, ...]:
    return tuple(sorted(old for old, new in _DOMAINS.items() if new == domain))


def other_forms(canonical: str) -> tuple[str, ...]:
    """Every other form of a canonical number or mailbox; () for most."""
    if canonical.startswith("+"):
        if not canonical.startswith(_CODES):
            return ()
        found = {
            f"+{code}{match.expand(replacement)}"
            for mark, code, pattern, replacement in _lines(canonical)
            if mark == "<" and (match := pattern.fullmatch(canonical, len(code) + 1))
        }
        return tuple(sorted(found))
    local, _, domain = canonical.rpartition("@")
    return tuple(f"{local}@{name}" for name in _names(domain)) if local else ()

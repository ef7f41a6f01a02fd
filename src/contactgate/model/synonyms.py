"""Spellings: which written word means which known one, from the table `synonyms.toml` beside this module.

Constants of the code version, so they may be used when reading. Restricting words are looked up in any spelling;
nothing here may be used to understand a grant or a release. Never knows a policy.
"""

from __future__ import annotations

import tomllib
import unicodedata
from functools import lru_cache
from importlib import resources
from typing import Final, cast

from contactgate.model.facts import LASTING, Outcome

CHANNELS: Final = ("voice", "sms", "email", "mail")
CATEGORIES: Final = frozenset({"basic", "account", "credit", "investment", "insurance"})
FLAGS: Final = LASTING | {"business"}
EVERYTHING: Final = frozenset({"*", "all", "any", "none", "null", "everything", "-"})
"""Words that are written for "no limit" and can match nothing as they stand."""

_DROPPED: Final = str.maketrans("", "", " -_.\u2010\u2011\u2012\u2013")


@lru_cache(maxsize=65_536)
def folded(word: str) -> str:
    """The word as restricting events are compared: NFKC, trimmed, case folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).strip().casefold()).strip()


def squeezed(word: str) -> str:
    """The folded word without spaces, hyphens, underscores and dots: the form in which synonyms are looked up."""
    return folded(word).translate(_DROPPED)


def key_form(key: str) -> str:
    """A JSON key without case, `-`, `_` and the plural: keys that are one key to a hurried reader come out equal."""
    form = folded(key).translate(_DROPPED)
    if form.endswith("ies") and len(form) > 4:
        return form[:-3] + "y"
    if form.endswith("sses"):
        return form[:-2]
    return form[:-1] if form.endswith("s") and not form.endswith("ss") and len(form) > 2 else form


def _letters(word: str) -> str:
    """The plain letters of a word: wide, spaced, accented and decorated spellings of it come out equal."""
    return "".join([char for char in unicodedata.normalize("NFKD", word).casefold() if "a" <= char <= "z"])


def _table(name: str) -> dict[str, str]:
    """Squeezed spelling -> known word, the known words themselves included."""
    found = {squeezed(known): known for known in TABLES[name]}
    for known, others in TABLES[name].items():
        for other in others:
            found.setdefault(squeezed(other), known)
    return found


TABLES: Final[dict[str, dict[str, list[str]]]] = tomllib.loads(
    (resources.files("contactgate.model") / "synonyms.toml").read_text(encoding="utf-8")
)
"""The file as it stands: table -> known word -> other spellings."""
_CHANNELS: Final = _table("channels")
_FLAGS: Final = _table("flags")
_TYPES: Final = _table("types")
_OUTCOMES: Final = _table("outcomes")
_STOPS: Final = frozenset(
    letters for letters in map(_letters, ("unsubscribed", *TABLES["outcomes"]["unsubscribed"])) if len(letters) > 2
)
_KEYS: Final[dict[str, frozenset[str]]] = {
    known: frozenset(key_form(key) for key in (known, *others)) for known, others in TABLES["keys"].items()
}


def channel(word: str) -> str | None:
    """The built-in channel that a word means in any spelling; None if it means none."""
    return _CHANNELS.get(squeezed(word))


def flag(word: str) -> str | None:
    """The restricting flag that a word means in any spelling; None if it means none."""
    return _FLAGS.get(squeezed(word))


@lru_cache(maxsize=4_096)
def outcome(word: str) -> Outcome | None:
    """The outcome that a word means in any spelling; None if only a policy can say.

    An opt-out is found in decorated spellings as well (`S T O P !`), for dialers pass on what people write.
    """
    found = _OUTCOMES.get(squeezed(word))
    if found is None:
        found = "unsubscribed" if _letters(word) in _STOPS else None
    return cast("Outcome | None", found)


def restricting_type(word: str) -> str | None:
    """The `type` of a restricting message that a word means in any spelling; None if it means none."""
    return _TYPES.get(squeezed(word))


@lru_cache(maxsize=256)
def near_keys(known: tuple[str, ...]) -> dict[str, str]:
    """For the keys that a message may have: the form of each and of its synonyms -> the key that is meant."""
    found = {key_form(key): key for key in known}
    for key in known:
        for form in _KEYS.get(key, ()):
            found.setdefault(form, key)
    return found


def shown(word: str) -> str:
    """A written word as it may stand in a detail or a log: 64 printable characters, and never like an address."""
    text = "".join(char if char.isprintable() else "?" for char in word[:64])
    if "@" in text or "\N{FULLWIDTH COMMERCIAL AT}" in text or sum(char.isdigit() for char in text) >= 5:
        return "(hidden)"
    return text

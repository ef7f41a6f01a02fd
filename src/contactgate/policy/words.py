"""Words that a policy may use, checked one by one: names, channels, purposes, codes, zones; and the nearest right one.

Must never accept a word that can match nothing: a rule with a misspelt channel would silently not apply.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from contactgate.model import synonyms
from contactgate.model.synonyms import CHANNELS
from contactgate.policy import zones

EVIDENCE = ("written", "esign", "recorded_call", "web", "double_opt_in")
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_LIST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


def nearest(word: str, known: Iterable[str], alike: float = 0.6) -> str:
    """`; did you mean \\`caps\\`?` when a known word is near, else the empty text."""
    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=alike)
    return f"; did you mean `{found[0]}`?" if found else ""


def name(text: str) -> str:
    """A rule's or policy's name: it becomes part of reason codes."""
    if not 1 <= len(text) <= 64 or not _NAME.issuperset(text):
        raise ValueError("a name is 1 to 64 letters, digits, `_`, `-` or `.`")
    return text


def channel(text: str) -> str:
    """A channel: one of the four of the design, or another plain word unless it looks like one of those.

    Whether another word is declared under `channels` is a question of the whole document (`checks.channel_faults`).
    """
    if text in CHANNELS:
        return text
    meant = synonyms.channel(text)
    if meant is not None:
        raise ValueError(f"`{text}` is not a channel; did you mean `{meant}`?")
    if not 1 <= len(text) <= 64 or not _WORD.issuperset(text):
        raise ValueError(f"a channel is a lower-case word: {', '.join(CHANNELS)}{nearest(text.lower(), CHANNELS)}")
    hint = nearest(text, CHANNELS, 0.75)  # `mms` and `voicemail` may be channels, `voce` is not
    if hint:
        raise ValueError(f"`{text}` is not a channel{hint}")
    return text


def flag(text: str) -> str:
    """A house flag: a lower-case word that is neither built in nor another spelling of one that is."""
    meant = synonyms.flag(text)
    if meant is not None or text in synonyms.FLAGS:
        raise ValueError(
            f"`{text}` is built in: leave it out" if text in synonyms.FLAGS else f"`{text}` means `{meant}`"
        )
    return plain(text)


def category(text: str) -> str:
    """A data category of the house."""
    if text in synonyms.CATEGORIES:
        raise ValueError(f"`{text}` is built in: leave it out")
    return plain(text)


def plain(text: str) -> str:
    """A lower-case word."""
    if not 1 <= len(text) <= 64 or not _WORD.issuperset(text):
        raise ValueError("a word here is 1 to 64 lower-case letters, digits, `_` or `-`")
    return text


def controller(text: str) -> str:
    """A controller as events name it: an identifier."""
    if (
        not 1 <= len(text) <= 128
        or not text.isprintable()
        or text != text.strip()
        or text.lower() in synonyms.EVERYTHING
    ):
        raise ValueError("a controller is 1 to 128 printable characters, as events write it")
    return text


def outcome_word(text: str) -> str:
    """A dialer's own word for what became of a contact; a built-in one, however it is spelled, keeps its meaning."""
    meant = synonyms.outcome(text)
    if meant is not None:
        same = synonyms.squeezed(text) == synonyms.squeezed(meant)
        raise ValueError(f"`{text}` {'is built in' if same else f'means `{meant}`'} and keeps its meaning: remove it")
    if not 1 <= len(text) <= 64 or not text.isprintable():
        raise ValueError("an outcome's word is 1 to 64 printable characters")
    return text


def country(text: str) -> str:
    """An ISO 3166 country."""
    if text not in zones.countries():
        raise ValueError(
            f"a country is an ISO 3166 code in capitals, such as GB{nearest(text.upper(), zones.countries())}"
        )
    return text


def house_list(text: str) -> str:
    """The name of a do-not-call list."""
    if not 1 <= len(text) <= 64 or not _LIST.issuperset(text):
        raise ValueError("a list's name is 1 to 64 lower-case letters, digits or `-`")
    return text


def purpose(text: str) -> str:
    """A dotted path of lower-case words."""
    if not 1 <= len(text) <= 128 or not all(part and _WORD.issuperset(part) for part in text.split(".")):
        raise ValueError("a purpose is a dotted path of lower-case words, such as marketing.insurance")
    return text


def zone(text: str) -> str:
    """`subject`, `UTC` or a zone of the tzdata package."""
    if text in ("subject", "UTC") or text in zones.names():
        return text
    raise ValueError(
        f"no time zone of that name: use `subject`, `UTC` or one such as Europe/Paris{nearest(text, zones.names())}"
    )


def named_zone(text: str) -> str:
    """`UTC` or a zone of the tzdata package."""
    if text == "subject":
        raise ValueError("a fixed zone is needed here: `UTC` or one such as Europe/Paris")
    return zone(text)


def jurisdiction(text: str) -> str:
    """An ISO 3166 country, or a subdivision written `US-FL`."""
    country, _, part = text.partition("-")
    if country == "UK":
        raise ValueError("ISO 3166 calls the United Kingdom GB")
    if country not in zones.countries() or (
        "-" in text and not (1 <= len(part) <= 3 and part.isalnum() and part == part.upper())
    ):
        raise ValueError("a jurisdiction is an ISO 3166 code in capitals, such as GB or US-FL")
    return text


def holidays(text: str) -> str:
    """A country's public holidays, `CN`, or a subdivision's, `AU-NSW`."""
    country, _, part = text.partition("-")
    known = zones.calendars()
    if country == "UK":
        raise ValueError("ISO 3166 calls the United Kingdom GB")
    if country not in known:
        raise ValueError(
            "no public holidays are known for this code: use a country such as CN, or a subdivision such as AU-NSW"
        )
    if "-" in text and part not in known[country]:
        parts = ", ".join(sorted(known[country])) or "none"
        raise ValueError(f"no public holidays are known for this part of {country}: use {country} or one of {parts}")
    return text


def implied(codes: Iterable[str]) -> frozenset[str]:
    """The codes with the countries that their subdivisions imply."""
    return frozenset(code for given in codes for code in (given, given.partition("-")[0]))

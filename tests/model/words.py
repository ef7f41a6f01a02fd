"""Which words are known and what a written scope reaches, for the slow model (SEMANTICS rules 37 to 39).

Works everything out anew for every question, from everything that is known. Must never import contactgate.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from tests.model.calendar import ms

Event = dict[str, Any]
Known = dict[str, Any]

SPELLINGS = {"phone": "voice", "電話": "voice", "call": "voice", "text": "sms", "e-mail": "email", "post": "mail"}
CHANNELS = ("voice", "sms", "email", "mail")
CATEGORIES = ("basic", "account", "credit", "investment", "insurance")
FLAGS = {"dead": "deceased", "已故": "deceased", "underage": "minor"}


OUTCOMES = (
    "not_attempted", "not_connected", "busy", "no_answer", "ignored", "bounced", "voicemail", "abandoned", "delivered",
    "answered", "wrong_number", "refused", "unsubscribed", "complained",
)  # fmt: skip
SAID = {
    "dnc": "unsubscribed",
    "stop": "unsubscribed",
    "td": "unsubscribed",
    "spam": "complained",
    "declined": "refused",
}


def outcome(word: str, policy: Event | None = None) -> str | None:
    """What a reported word means, by itself or by a policy's own words; None: nobody knows."""
    said = _bare(word)
    own = {_bare(each): meant for each, meant in ((policy or {}).get("outcomes") or {}).items()}
    return {**own, **SAID, **{_bare(each): each for each in OUTCOMES}}.get(said)


def _bare(word: str) -> str:
    return "".join(char for char in plain(word) if char not in " -_.")


def plain(word: str) -> str:
    """As restricting words are compared."""
    return unicodedata.normalize("NFKC", word).strip().casefold()


def below(prefix: str, purpose: str) -> bool:
    """Whether a purpose is a prefix's, or lies below it."""
    return purpose == prefix or purpose.startswith(prefix + ".")


def told(known: Known) -> list[Event]:
    """Everything beside the policy that names purposes and controllers."""
    agreements = [a for told in known["parties"].values() for p in told for a in p.get("agreements") or []]
    return [*known["notices"], *agreements, *(c for told in known["campaigns"].values() for c in told)]


def purpose_known(known: Known, policy: Event, word: str) -> bool:
    """Whether a purpose is a known one, exactly as written."""
    bases = policy["purposes"]
    if not any(below(base, word) or below(word, base) for base in bases):
        return False
    rules = [r for s in ("caps", "gaps", "cooloffs", "windows", "registries") for r in policy.get(s) or []]
    named = [*bases, *(p for thing in [*rules, *told(known)] for p in thing.get("purposes") or [])]
    if any(below(word, name) for name in named):
        return True
    parts = word.split(".")
    above = [".".join(parts[:n]) for n in range(1, len(parts))]
    nearest = max((a for a in above if any(below(a, name) for name in named)), key=len)
    return not any(name != nearest and below(nearest, name) for name in named)


def channels(written: list[str] | None) -> list[str] | None:
    """The channels a restriction reaches; None: all."""
    if written is None:
        return None
    meant = [plain(word) if plain(word) in CHANNELS else SPELLINGS.get(plain(word)) for word in written]
    return None if None in meant else [word for word in meant if word]


def purposes(known: Known, policy: Event, written: list[str] | None) -> list[str] | None:
    """The purposes a restriction reaches; None: all."""
    if written is None:
        return None
    found = []
    for word in map(plain, written):
        reached = word
        while reached and not purpose_known(known, policy, reached):
            reached = reached.rpartition(".")[0]
        if not reached:
            return None
        found.append(reached)
    return found


def names(written: list[str] | None, there: list[str]) -> list[str] | None:
    """The names a restriction reaches, plain; None: all."""
    if written is None:
        return None
    known = [plain(name) for name in there]
    return None if known and any(plain(w) not in known for w in written) else [plain(w) for w in written]


def controllers(known: Known, policy: Event) -> list[str]:
    """Every controller that is named."""
    return [*policy.get("controllers", []), *(t["controller"] for t in told(known) if t.get("controller"))]


def requesters(known: Known, policy: Event) -> list[str]:
    """Every requester that is named, and then the controllers too."""
    found = list(known["parties"])
    found += [r for n in known["notices"] for r in n.get("recipients") or []]
    found += [r for told in known["campaigns"].values() for c in told for r in c.get("requesters") or []]
    return [*found, *controllers(known, policy)] if found else []


def reaches(known: Known, policy: Event, scope: Event, request: Event) -> bool:
    """Whether a restriction with this scope (lists, absent = all) is about a request."""

    def among(value: str | None, reached: list[str] | None) -> bool:
        return reached is None or (value is not None and value in reached)

    campaign = request.get("campaign_id")
    purpose = purposes(known, policy, scope.get("purposes"))
    return (
        among(plain(request["controller"]), names(scope.get("controllers"), controllers(known, policy)))
        and among(plain(request["requester"]), names(scope.get("requesters"), requesters(known, policy)))
        and among(campaign and plain(campaign), names(scope.get("campaigns"), []))
        and among(request["channel"], channels(scope.get("channels")))
        and (purpose is None or any(below(p, request["purpose"]) for p in purpose))
    )


def of_one(event: Event) -> Event:
    """The scope of a withdrawal or suppression, which name one controller."""
    one = event.get("controller")
    return {
        "controllers": None if one is None else [one],
        "requesters": event.get("recipients"),
        "campaigns": event.get("campaigns"),
        "channels": event.get("channels"),
        "purposes": event.get("purposes"),
    }


def grant_known(known: Known, policy: Event, grant: Event) -> bool:
    """Whether every word of a consent is known, exactly as written."""
    return (
        all(channel in CHANNELS for channel in grant["channels"])
        and all(purpose_known(known, policy, purpose) for purpose in grant["purposes"])
        and set(grant.get("data_categories") or []) <= {*CATEGORIES, *policy.get("data_categories", [])}
    )


def request_words(known: Known, policy: Event, request: Event, at: int) -> set[str]:
    """The request's own words."""
    found = set() if purpose_known(known, policy, request["purpose"]) else {"policy.unknown_purpose"}
    known_categories = [*CATEGORIES, *policy.get("data_categories", [])]
    return found | (set() if set(request["data_categories"]) <= set(known_categories) else {"request.malformed"})


def flags(written: list[str]) -> list[str]:
    """Flags as they are kept."""
    return [FLAGS.get(plain(flag), flag) for flag in written]


def stopped(things: dict[str, list[Event]], name: str | None, statuses: tuple[str, ...]) -> list[Event]:
    """The records of the party or campaign of a name; one that was stopped under another spelling comes first."""
    if name is None:
        return []
    own = things.get(name, [])
    if any(t["status"] in (*statuses, "draft") for t in own):
        return own
    others = [
        told for key, told in things.items() if plain(key) == plain(name) and any(t["status"] in statuses for t in told)
    ]
    return max(others, key=lambda told: max(ms(t["time"]) for t in told)) if others else own


def releases(known: Known, policy: Event, release: Event, stop: Event) -> bool:
    """Whether a suppression lies wholly inside what a release names; a release with an unknown word names nothing."""
    named, campaigns = controllers(known, policy), list(known["campaigns"])
    if any(word not in CHANNELS for word in release.get("channels") or []):
        return False
    if not all(purpose_known(known, policy, word) for word in release.get("purposes") or []):
        return False
    if release.get("controller") and named and release["controller"] not in named:
        return False
    if campaigns and any(word not in campaigns for word in release.get("campaigns") or []):
        return False

    def inside(reached: list[str] | None, allowed: list[str] | None) -> bool:
        return allowed is None or (reached is not None and set(reached) <= set(map(plain, allowed)))

    one, by = of_one(stop), of_one(release)
    purposed = purposes(known, policy, stop.get("purposes"))
    return (
        inside(channels(one["channels"]), by["channels"])
        and inside(names(one["controllers"], named), by["controllers"])
        and inside(names(one["campaigns"], []), by["campaigns"])
        and inside([stop["reason"]], release.get("reasons"))
        and inside([stop["event_id"]], release.get("events"))
        and (
            by["purposes"] is None
            or (purposed is not None and all(any(below(up, p) for up in by["purposes"]) for p in purposed))
        )
    )

"""Random house policies over small alphabets, for the property tests. Never reads a clock."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from contactgate.model.facts import Outcome

Event = dict[str, Any]

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STARTS = [
    "2026-03-06T14:00:00",  # two days before New York springs forward
    "2026-03-27T08:00:00",  # London
    "2026-04-03T00:30:00",  # Sydney and Lord Howe fall back
    "2026-06-01T09:00:00",
    "2026-10-30T13:00:00",  # New York falls back
    "2026-12-30T16:00:00",  # year end
    "2028-02-27T10:00:00",  # leap day
]
STEPS = [
    0,
    1,
    1,
    MINUTE,
    MINUTE,
    5 * MINUTE,
    5 * MINUTE,
    10 * MINUTE - 1,
    10 * MINUTE,
    HOUR,
    HOUR,
    6 * HOUR,
    DAY - 1,
    DAY,
    DAY + 1,
    2 * DAY,
]
ZONES = [
    "America/New_York",
    "America/Chicago",
    "Europe/London",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Mars/Olympus",
]
NUMBERS = ["+12125550123", "+13125550123", "+17095550123", "+442079460123"]
CONTROLLERS = ["bank", "insurer"]
REQUESTERS = ["bank", "callcentre"]
CHANNELS = ["voice", "sms", "email"]
PURPOSES = ["marketing", "marketing.insurance", "collection"]
OWN_OUTCOMES = ["sale", "n_i", "call_later"]
"""A dialer's own words; a policy may say what they mean."""
OUTCOMES = list(get_args(Outcome))  # in the model's order: the product's own list, for what is only drawn from it
METHODS = ["written", "web", "recorded_call"]
CATEGORIES = ["basic", "account"]


SPELT = {
    "+12125550123": ["+1 (212) 555-0123", "tel:+1-212-555-0123", "0012125550123"],
    "+442079460123": ["+44 (0)20 7946 0123", "+44 20 7946 0123"],
    "+525512345678": ["+52 1 55 1234 5678", "+52 55 1234 5678"],
    "+5511981234567": ["+55 11 8123-4567", "+55 11 98123-4567"],
    "+2250708123456": ["+225 08 12 34 56", "+225 07 08 12 34 56"],
    "+2290197123456": ["+229 97 12 34 56", "+229 01 97 12 34 56"],
    "ann@gmail.com": ["ann@googlemail.com", "Ann <ANN@gmail.com>", "mailto:ann@gmail.com"],
}
"""Subscribers, and how each may be written."""
AT_HOME = {
    "US": ["(212) 555-0123", "1 212 555 0123", "2125550123"],
    "GB": ["020 7946 0123", "2079460123"],
    "MX": ["55 1234 5678"],
    "BR": ["(11) 98123-4567", "11 8123-4567", "011 98123-4567"],
}
"""The same in the region of the number, without a calling code."""
UNREADABLE = ["call me", "12", "+12125550123, +442079460123"]


def instant(at: int) -> str:
    """RFC 3339 of milliseconds since the epoch."""
    return (EPOCH + timedelta(milliseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


THEMES: dict[str, list[str]] = {
    "cap": [],
    "gap": [],
    "cooloff": ["outcome", "complaint"],
    "window": ["profile", "profile"],
    "consent": ["grant", "grant", "grant", "withdrawal"],
    "notice": ["notice", "notice", "grant"],
    "party": ["party", "party"],
    "campaign": ["campaign", "campaign"],
    "pause": ["pause", "pause"],
    "suppression": ["suppression", "suppression"],
    "registry": ["registry", "grant", "relationship"],
    "places": ["place"],
    "activation": ["activation"],
    "words": ["withdrawal", "grant", "naming"],
    "categories": ["campaign", "campaign", "grant"],
    "erasure": ["erased", "grant", "grant", "grant"],
    "numbers": ["suppression", "wrong_number"],
    "periods": ["grant", "grant"],
}


class PolicyMaker:
    """Draws one policy from a random source that has `random`, `choice` and `randrange`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.count = 0
        start = datetime.fromisoformat(rng.choice(STARTS)).replace(tzinfo=UTC)
        self.start = self.now = (start - EPOCH) // timedelta(milliseconds=1)
        self.horizon = rng.choice(["30d", "30d", "30d", "1h"])
        self.themes = {theme for theme in THEMES if rng.random() < 0.17}
        self.region = rng.choice([None, *AT_HOME]) if "numbers" in self.themes else None

    def maybe(self, chance: float) -> bool:
        """True with that chance."""
        return self.rng.random() < chance

    def some(self, values: list[Any]) -> list[Any]:
        """A non-empty part of a list."""
        return sorted(v for v in values if self.maybe(0.6)) or [self.rng.choice(values)]

    def optional(self, values: list[Any], chance: float = 0.4) -> list[Any] | None:
        """A non-empty part, or None for all."""
        return self.some(values) if self.maybe(chance) else None

    def policy(self) -> Event:
        """A house policy that loads."""
        rng = self.rng
        return {
            "policy": "random",
            "approval_ttl": rng.choice(["10m", "10m", "1h"]),
            "dedup_horizon": self.horizon,
            "contact_history": "400d",
            "unreported": rng.choice(["count", "release"]),
            "outcomes": {word.upper(): rng.choice(OUTCOMES) for word in OWN_OUTCOMES if self.maybe(0.5)},
            "vulnerable": rng.choice(["block", "allow"]),
            "clock_skew": rng.choice(["10m", "10m", "1m", "1h", "24h"]),
            "require": {
                "campaign": "campaign" in self.themes and self.maybe(0.5),
                "party": "party" in self.themes and self.maybe(0.5),
                "notice": "notice" in self.themes and self.maybe(0.5),
                "two_people": self.maybe(0.5),
            },
            **({"default_region": self.region} if self.region else {}),
            **({"zone": rng.choice(["UTC", "Europe/Paris", "America/New_York"])} if "periods" in self.themes else {}),
            "purposes": self.bases(),
            **({"data_categories": ["health"]} if "words" in self.themes and self.maybe(0.5) else {}),
            "caps": [self.cap(n) for n in range(rng.choice([1, 1, 2, 3]) if "cap" in self.themes else 0)],
            "gaps": [self.gap(n) for n in range(1 if "gap" in self.themes else 0)],
            "cooloffs": [self.cooloff(n) for n in range(rng.choice([1, 2]) if "cooloff" in self.themes else 0)],
            "windows": [self.window() for n in range(rng.choice([1, 1, 2, 3]) if "window" in self.themes else 0)],
            "registries": [self.registry_rule()] if "registry" in self.themes else [],
        }

    def bases(self) -> Event:
        """What each purpose asks."""
        marketing: Event = {"consent": self.rng.choice(["opt_in", "opt_out", "none"])}
        if not self.themes & {"consent", "notice", "erasure"}:
            marketing["consent"] = self.rng.choice(["opt_in", "opt_out", "none", "none", "none"])
        if "consent" in self.themes:
            marketing["consent"] = self.rng.choice(["opt_in", "opt_in", "opt_out"])
        if self.maybe(0.3):
            marketing["evidence"] = self.some(METHODS)
        if "periods" in self.themes:
            marketing |= {"consent": "opt_in", "max_period": self.rng.choice(["1mo", "1mo", "12mo"])}
            if self.maybe(0.6):
                marketing["anniversary"] = "included"
        if self.maybe(0.2):
            marketing["channels"] = {
                self.rng.choice(CHANNELS): {"consent": self.rng.choice(["opt_in", "opt_out", "none"])}
            }
        if self.maybe(0.1):
            marketing["mode"] = {"prerecorded": {"consent": self.rng.choice(["opt_in", "opt_in", "opt_out", "none"])}}
        bases = {"marketing": marketing, "collection": {"consent": "none"}}
        if self.maybe(0.1):
            bases["marketing.insurance"] = {"consent": self.rng.choice(["opt_in", "opt_out", "none"])}
        return bases

    def selector(self) -> Event:
        """The filters of a rule; absent = all."""
        rule: Event = {}
        if self.maybe(0.3):
            rule["channels"] = self.some(CHANNELS)
        if self.maybe(0.3):
            rule["purposes"] = [self.rng.choice(PURPOSES)]
        if self.maybe(0.06):
            rule["mode"] = self.some(["live", "autodialled", "prerecorded"])
        if "places" in self.themes and self.maybe(0.5):
            rule["jurisdictions"] = self.some(["US", "US-NY", "GB", "CA"])
        return rule

    def scope(self) -> list[str]:
        """The subject and perhaps more."""
        fields = ["address", "channel", "purpose", "controller", "requester", "campaign", "matter"]
        return ["subject", *(f for f in fields if self.maybe(0.1))]

    def span_of_time(self) -> str:
        """A short duration."""
        return self.rng.choice(["10m", "1h", "24h", "1d", "3d", "7d"])

    def zone(self) -> str:
        """A zone of a rule."""
        return self.rng.choice(["subject", "UTC", "America/New_York", "Australia/Lord_Howe"])

    def cap(self, n: int) -> Event:
        """One cap."""
        window = self.rng.choice(
            [
                {"sliding": self.span_of_time()},
                {"days": self.rng.choice([1, 2, 7]), "zone": self.zone()},
                {"calendar": self.rng.choice(["day", "week", "month"]), "zone": self.zone()},
                {"calendar": "week", "zone": self.zone(), "week_starts": "sun"},
            ]
        )
        return {
            "name": f"c{n}",
            "limit": self.rng.choice([1, 1, 2, 3]),
            "window": window,
            "scope": self.scope(),
            "counts": self.rng.choice(["approved", "attempted", "connected", "delivered", "conversation"]),
            **self.selector(),
        }

    def gap(self, n: int) -> Event:
        """One minimum gap."""
        return {"name": f"g{n}", "at_least": self.span_of_time(), "scope": self.scope(), **self.selector()}

    def cooloff(self, n: int) -> Event:
        """One cool-off."""
        lasts = self.rng.choice(
            [
                self.span_of_time(),
                self.span_of_time(),
                {
                    "days": self.rng.choice([1, 2]),
                    "first": self.rng.choice(["same_day", "next_day"]),
                    "zone": self.zone(),
                },
                "forever",
            ]
        )
        rule = {
            "name": f"o{n}",
            "outcomes": self.some(OUTCOMES[1:]),
            "for": lasts,
            "scope": self.scope(),
            **self.selector(),
        }
        if self.maybe(0.3):
            rule["after"] = {"count": self.rng.choice([1, 2]), "within": self.span_of_time()}
        return rule

    def hours(self) -> Event:
        """Hours on some days, ordinary, split at noon, overnight, with closed and open bounds."""
        pairs = [
            ("08:00", "20:00"),
            ("08:00", "20:00"),
            ("07:00", "21:00"),
            ("09:00", "12:00"),
            ("12:00", "18:30"),
            ("20:00", "04:00"),
            ("00:00", "24:00"),
        ]
        pairs += [("01:30", "02:30"), ("02:15:30", "23:00")]
        start, end = self.rng.choice(pairs)
        hours: Event = {"from": start, "to": end}
        if self.maybe(0.3):
            hours["days"] = self.some(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
        if self.maybe(0.2):
            hours["from_exclusive"] = True
        if self.maybe(0.2) and end != "24:00":
            hours["to_inclusive"] = True
        return hours

    def window(self) -> Event:
        """One calling window; two of one name are alternatives."""
        rule = {"name": self.rng.choice(["house", "house", "law"]), **self.hours(), **self.selector()}
        if self.maybe(0.2):
            rule["holidays"] = self.rng.choice(["US", "FR", "GB"])
        return rule

    def registry_rule(self) -> Event:
        """One do-not-call list."""
        rule: Event = {"name": "us-ndnc", "channels": ["voice", "sms"], "max_age": self.rng.choice(["1d", "5d", "31d"])}
        if self.maybe(0.4):
            rule["unless"] = ["consent"]
        if self.maybe(0.3) and "erasure" not in self.themes:
            rule["unless"] = sorted({*rule.get("unless", []), "relationship"})
            rule["relationships"] = {
                "purchase": self.rng.choice(["1mo", "10d"]),
                "inquiry": "3d",
                "contract": "running",
            }
        if self.maybe(0.3):
            rule["grace"] = "2d"
        return rule

    def own_hours(self) -> Event:
        """Hours a person chooses, perhaps for some channels."""
        return {**self.hours(), **({"channels": self.some(CHANNELS)} if self.maybe(0.2) else {})}

    def written(self, channel: str, usual: str) -> str:
        """The usual address on a channel; or one of few subscribers in one of its spellings, or what is unreadable."""
        if "numbers" not in self.themes:
            return usual
        if channel == "mail":
            return self.rng.choice(["5 Main Street, Springfield", "5  MAIN Street,  springfield"])
        if channel == "email":
            return self.rng.choice(SPELT["ann@gmail.com"])
        if self.maybe(0.05):
            return self.rng.choice(UNREADABLE)
        if self.maybe(0.3):
            return self.rng.choice(AT_HOME[self.region or self.rng.choice(["US", "GB"])])
        home = {"US": "+12125550123", "GB": "+442079460123", "MX": "+525512345678", "BR": "+5511981234567"}
        often = home.get(self.region or "")
        named = often if often and self.maybe(0.6) else self.rng.choice([n for n in SPELT if "@" not in n])
        return self.rng.choice([named, *SPELT[named]])

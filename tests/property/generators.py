"""Random policies and event histories, small alphabets on purpose so that things collide.

`history(rng)` is plain and fast, for the long comparison; `histories()` is the same as a Hypothesis strategy, which can
shrink what it finds. Never reads a clock; the same seed gives the same history.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st
from tests.model.calendar import ms
from tests.property.policies import (
    CATEGORIES,
    CHANNELS,
    CONTROLLERS,
    DAY,
    HOUR,
    METHODS,
    MINUTE,
    NUMBERS,
    OUTCOMES,
    OWN_OUTCOMES,
    PURPOSES,
    REQUESTERS,
    STEPS,
    THEMES,
    ZONES,
    Event,
    PolicyMaker,
    instant,
)

ODD_CHANNELS = ["phone", "電話", "SMS ", "Text", "fax"]
ODD_PURPOSES = ["Marketing", " MARKETING.insurance", "marketing.insurence", "marketing.insurance.home", "promo"]
ODD_NAMES = ["BANK ", "Insurer", "CallCentre", "bank-ag"]
ODD_CATEGORIES = ["health", "shoes"]
ODD_PLACES = ["UK", "US-ZZ", "England"]
HOMES = [["US"], ["US-NY"], ["GB", "US"], [], ["UK"], ["XX", "US"], ["uk"]]
ODD_FLAGS = ["dead", "已故", "underage", "vip"]
"""Words in other spellings, and words that nobody knows."""
AGAIN = {
    "address.suppressed", "address.released", "pause.set", "pause.lifted", "party.updated", "campaign.updated",
    "notice.published",
}  # fmt: skip
"""What is told again now and then, after something else: it never arrives a second time."""


class Maker(PolicyMaker):
    """Draws one policy and one history from a random source that has `random`, `choice` and `randrange`."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.requests: list[Event] = []
        self.registry_version: str | None = None
        self.as_of = 0
        self.activated: list[int] = []
        self.subjects = [f"s-{n}" for n in range(1, 1 + rng.choice([1, 1, 1, 2, 3]))]

    def event(self, kind: str, /, **fields: Any) -> Event:
        """One event with an id; None fields are left out."""
        self.count += 1
        head = {"type": kind, "event_id": f"e-{self.count}", "time": instant(self.now)}
        return {**head, **{k: v for k, v in fields.items() if v is not None}}

    def of_subject(self, kind: str, /, **fields: Any) -> Event:
        """One event about a subject."""
        return self.event(kind, subject_id=self.rng.choice(self.subjects), **fields)

    def late(self, event: Event) -> Event:
        """Perhaps the same event, but it happened before."""
        if self.maybe(0.25):
            back = self.rng.choice([1, MINUTE, 10 * MINUTE, HOUR, DAY, DAY, 3 * DAY])
            event["time"] = instant(max(self.start - 5 * DAY, self.now - back))
        return event

    def soon(self, chance: float = 0.3) -> str | None:
        """An instant near now, often just ahead."""
        if not self.maybe(chance):
            return None
        return instant(self.now + self.rng.choice([-DAY, -MINUTE, 0, 1, 5 * MINUTE, HOUR, DAY, 3 * DAY]))

    def wrong_number(self) -> Event:
        """A number that was somebody else's."""
        return self.of_subject(
            "contact.observed",
            controller="bank",
            direction="outbound",
            channel="voice",
            purpose="collection",
            outcome=self.rng.choice(["wrong_number", "wrong_number", "answered"]),
            address=self.written("voice", NUMBERS[0]),
        )

    def request(self) -> Event:
        """A contact request; now and then the same again."""
        if self.requests and self.maybe(0.12):
            return {**self.rng.choice(self.requests), "time": instant(self.now)}
        if self.requests and self.maybe(0.03):
            return self.changed(self.rng.choice(self.requests))
        rng = self.rng
        controller = "bank" if self.maybe(0.8) else "insurer"
        channel = "voice" if self.maybe(0.7) else rng.choice(CHANNELS)
        if "numbers" in self.themes and self.maybe(0.1):
            channel = "mail"
        number = "+12125550123" if self.maybe(0.7) else rng.choice(NUMBERS)
        event = self.of_subject(
            "contact.requested",
            request_id=f"r-{self.count}",
            requester=controller if self.maybe(0.6) else rng.choice(REQUESTERS),
            controller=controller,
            purpose=rng.choice([*PURPOSES, "marketing"])
            if self.maybe(0.99)
            else rng.choice(["research", *ODD_PURPOSES[2:]]),
            channel=channel,
            address=None
            if self.maybe(0.015)
            else self.written(channel, "person@example.com" if channel == "email" else number),
            campaign_id="c-1" if self.maybe(0.6) else None,
            data_categories=["basic"] if self.maybe(0.3) else self.said(self.optional(CATEGORIES, 0.1), ODD_CATEGORIES),
            matter_id=rng.choice(["d-1", "d-1", "d-2"]) if self.maybe(0.5) else None,
            mode=self.rng.choice(["live", "prerecorded"]) if self.maybe(0.2) else None,
            not_before=instant(self.now + rng.choice([2, 6, 40]) * DAY)
            if "registry" in self.themes and self.maybe(0.25)
            else self.soon(0.03),
            not_after=self.soon(0.04),
            jurisdictions=[self.rng.choice(["US", "GB", "US-NY"]) if self.maybe(0.9) else self.rng.choice(ODD_PLACES)]
            if "places" in self.themes and self.maybe(0.3)
            else None,
        )
        del event["event_id"]
        if self.maybe(0.03):
            event["time"] = instant(self.now - self.rng.choice([1, MINUTE, HOUR, DAY]))
        self.requests.append(event)
        return event

    def changed(self, request: Event) -> Event:
        """A request with the id of another that asks for something else, or only says when differently."""
        field, value = self.rng.choice(
            [
                ("campaign_id", "c-2"),
                ("matter_id", "d-3"),
                ("mode", "autodialled"),
                ("requester", self.rng.choice(REQUESTERS)),
                ("address", "ann@example.com" if request["channel"] == "email" else "+442079460123"),
                ("data_categories", ["basic"]),
                ("jurisdictions", ["US"]),
                ("not_after", instant(self.now + DAY)),
            ]
        )
        return {**request, "time": instant(self.now), field: value}

    def grant(self) -> Event:
        """A consent."""
        recipients = self.rng.choice(
            [None, ["bank", "callcentre"], ["callcentre"], ["bank"], ["bank", "callcentre", "insurer"]]
        )
        return self.late(
            self.of_subject(
                "consent.granted",
                controller="bank" if self.maybe(0.8) else "insurer",
                purposes=[self.rng.choice(["marketing", "marketing", "marketing.insurance", "collection"])],
                channels=self.said(self.some(CHANNELS) if self.maybe(0.4) else CHANNELS, ODD_CHANNELS),
                recipients=recipients,
                data_categories=["basic", "account"] if self.maybe(0.5) else self.optional(CATEGORIES, 0.7),
                notice_id=self.rng.choice(["n-1", "n-1", "n-2"]) if self.maybe(0.8) else None,
                evidence={"method": self.rng.choice(METHODS), "ref": "x"} if self.maybe(0.9) else None,
                effective_at=self.soon(0.2),
                expires_at=self.soon(0.25) or ("9999-12-31T00:00:00Z" if self.maybe(0.1) else None),
                windows=[self.hours()] if self.maybe(0.1) else None,
            )
        )

    def said(self, values: list[str] | None, others: list[str]) -> list[str] | None:
        """The words of a scope, now and then with one in another spelling, or with one that nobody knows."""
        if "words" not in self.themes or self.maybe(0.5):
            return values
        return self.rng.choice([[self.rng.choice(others)], [*(values or []), self.rng.choice(others)]])

    def spoken(self, value: str | None, others: list[str]) -> str | None:
        """The same of one word."""
        return self.rng.choice(others) if "words" in self.themes and self.maybe(0.4) else value

    def withdrawal(self) -> Event:
        """An opt-out."""
        return self.late(
            self.of_subject(
                "consent.withdrawn",
                controller=self.spoken("bank" if self.maybe(0.5) else None, ODD_NAMES),
                purposes=self.said(self.optional(PURPOSES), ODD_PURPOSES),
                channels=self.said(self.optional(CHANNELS), ODD_CHANNELS),
                recipients=self.said(self.optional(REQUESTERS, 0.3), ODD_NAMES),
            )
        )

    def naming(self) -> Event:
        """A campaign or a party whose words close a prefix, or stop another's spelling."""
        if self.maybe(0.5):
            party_id = self.rng.choice(["CallCentre", "other"])
            return self.event("party.updated", party_id=party_id, status=self.rng.choice(["active", "suspended"]))
        return self.event(
            "campaign.updated",
            campaign_id=self.rng.choice(["C-1", "c-9"]),
            status=self.rng.choice(["approved", "paused", "draft"]),
            controller=self.rng.choice([None, "bank", "insurer"]),
            purposes=self.rng.choice([None, ["marketing.loans"], ["marketing.insurance.home"]]),
            requesters=self.optional(REQUESTERS, 0.2),
        )

    def profile(self) -> Event:
        """Facts about the person; never two at one time, for which of them holds is nowhere said."""
        self.now += 1
        event = self.of_subject("subject.updated")
        kind = self.rng.choice(["zone", "zone", "zones", "flags", "flags", "unflag", "unflag", "windows", "clear"])
        if kind == "zone":
            event["timezone"] = self.rng.choice(ZONES)
        elif kind == "zones":
            event["timezones"] = self.rng.sample(ZONES[:4], self.rng.choice([1, 2, 2]))
        elif kind == "flags":
            event["flags"] = (
                [str(self.spoken(self.rng.choice(["minor", "deceased", "vulnerable", "business"]), ODD_FLAGS))]
                if self.maybe(0.4)
                else []
            )
        elif kind == "unflag":
            event["flags_removed"] = self.rng.choice([["minor"], ["deceased", "vulnerable"], ["minor", "deceased"]])
            event |= {"by": "ann"} if self.maybe(0.8) else {}
            return self.late(event)
        elif kind == "windows":
            event["preferred_windows"] = [self.own_hours() for _ in range(self.rng.choice([0, 1, 1, 2]))]
        else:
            event[self.rng.choice(["timezone", "flags", "preferred_windows"])] = None
        return event

    def outcome(self) -> Event | None:
        """What became of a request."""
        if not self.requests:
            return None
        request = self.rng.choice(self.requests[-3:])
        if self.now - ms(request["time"]) > 300 * DAY:
            return None  # what is older than the contact history may be forgotten
        matters = self.rng.choice([["d-1"], ["d-1", "d-2"], ["d-2"]]) if self.maybe(0.1) else None
        outcome = self.reported(OUTCOMES)
        return self.event(
            "contact.outcome",
            subject_id=request["subject_id"],
            request_id=request["request_id"],
            outcome=outcome,
            matters=matters,
        )

    def reported(self, outcomes: list[str]) -> str:
        """An outcome as dialers write it: in any spelling, as people say it, or in a word of their own."""
        if self.maybe(0.8):
            return str(self.rng.choice(outcomes))
        word = str(self.rng.choice([*outcomes, *OWN_OUTCOMES, *OWN_OUTCOMES, "DNC", "Stop", "TD", "spam", "declined"]))
        return str(self.rng.choice([word, word.upper(), word.replace("_", "-"), word.replace("_", " ").title()]))

    def observed(self) -> Event:
        """A contact nobody asked about."""
        channel = self.rng.choice(CHANNELS)
        return self.late(
            self.of_subject(
                "contact.observed",
                controller=self.rng.choice(CONTROLLERS),
                direction=self.rng.choice(["inbound", "outbound"]),
                channel=channel,
                purpose=self.rng.choice(PURPOSES),
                outcome=self.reported(OUTCOMES[:11] if self.maybe(0.8) else OUTCOMES),
                matters=["d-1"] if self.maybe(0.4) else None,
                requester=self.rng.choice(REQUESTERS) if self.maybe(0.2) else None,
                campaign_id="c-1" if self.maybe(0.2) else None,
                address=self.rng.choice(NUMBERS[:2]) if channel != "email" and self.maybe(0.15) else None,
            )
        )

    def notice(self) -> Event:
        """A version of a notice."""
        self.count += 1
        version = self.count if self.maybe(0.7) else self.rng.choice([1, 2])
        return self.late(
            self.event(
                "notice.published",
                notice_id=self.rng.choice(["n-1", "n-1", "n-2"]),
                version=version,
                controller="bank" if self.maybe(0.8) else "insurer",
                purposes=self.rng.choice(
                    [["marketing"], ["marketing"], ["marketing.insurance"], ["collection", "marketing"]]
                ),
                recipients=self.optional(["bank", "callcentre", "insurer"]),
                data_categories=self.optional(CATEGORIES),
                effective_at=self.soon(0.2),
            )
        )

    def party(self) -> Event:
        """A requester and its agreements."""
        agreements = [
            {
                "controller": "bank" if self.maybe(0.8) else "insurer",
                **({"purposes": self.some(PURPOSES)} if self.maybe(0.3) else {}),
                **({"channels": self.some(CHANNELS)} if self.maybe(0.3) else {}),
                **({"data_categories": ["basic"]} if self.maybe(0.2) else {}),
                **({"valid_from": self.soon(1)} if self.maybe(0.2) else {}),
                **({"valid_until": self.soon(1)} if self.maybe(0.2) else {}),
            }
            for _ in range(self.rng.choice([0, 1, 1, 1, 2]))
        ]
        status = "active" if self.maybe(0.8) else self.rng.choice(["suspended", "ended"])
        party_id = self.rng.choice(REQUESTERS)
        return self.late(self.event("party.updated", party_id=party_id, status=status, agreements=agreements))

    def campaign(self) -> Event:
        """A campaign."""
        return self.late(
            self.event(
                "campaign.updated",
                campaign_id="c-1",
                status="approved" if self.maybe(0.8) else self.rng.choice(["draft", "paused", "closed"]),
                controller="bank" if self.maybe(0.8) else None,
                requesters=self.optional(REQUESTERS, 0.2),
                purposes=self.optional(PURPOSES, 0.2),
                channels=self.optional(CHANNELS, 0.2),
                data_categories=self.said(self.optional(CATEGORIES, 0.3), ODD_CATEGORIES),
                created_by="ann" if self.maybe(0.9) else None,
                approved_by=self.rng.choice(["bob", "bob", "bob", "ann", " Ann"]) if self.maybe(0.9) else None,
                valid_from=self.soon(0.1),
                valid_until=self.soon(0.1),
            )
        )

    def pause(self) -> Event:
        """A pause, or its end."""
        pause_id = self.rng.choice(["p-1", "p-2"])
        by = "ann" if self.maybe(0.5) else None
        if self.maybe(0.5):
            return self.late(self.event("pause.lifted", pause_id=pause_id, by=by if self.maybe(0.3) else "bob"))
        scope = {
            "controllers": self.said(self.optional(CONTROLLERS, 0.3), ODD_NAMES),
            "requesters": self.said(self.optional(REQUESTERS, 0.3), ODD_NAMES),
            "campaigns": self.said(self.optional(["c-1", "c-2"], 0.2), ["C-1 "]),
            "purposes": self.said(self.optional(PURPOSES, 0.3), ODD_PURPOSES),
            "channels": self.said(self.optional(CHANNELS, 0.3), ODD_CHANNELS),
        }
        scope = {k: v for k, v in scope.items() if v is not None}
        return self.late(
            self.event("pause.set", pause_id=pause_id, reason="x", until=self.soon(0.6), scope=scope, by=by)
        )

    def suppression(self) -> Event:
        """An address that must not be used, or its release."""
        address = self.rng.choice([*NUMBERS[:2], NUMBERS[0], "person@example.com"])
        address = self.written("email" if "@" in address else "voice", address)
        reasons = ["manual", "stop_reply"]
        scope = {
            "channels": self.said(self.optional(CHANNELS, 0.3), ODD_CHANNELS),
            "controller": self.spoken("bank" if self.maybe(0.3) else None, ODD_NAMES),
            "purposes": self.said(self.optional(PURPOSES, 0.3), ODD_PURPOSES),
            "campaigns": ["c-1"] if self.maybe(0.2) else None,
        }
        if self.maybe(0.3):
            if self.maybe(0.4):
                scope = {}
            elif self.maybe(0.3):
                scope = {"events": [f"e-{self.rng.randrange(max(1, self.count - 12), self.count + 2)}" for _ in "123"]}
            reasons_of = self.optional(reasons, 0.2)
            if "@" not in address and (address[0] != "+" or "," in address):
                address = NUMBERS[0]  # digits without calling code release only the same digits
            return self.late(self.event("address.released", address=address, reason="x", reasons=reasons_of, **scope))
        if "numbers" in self.themes and self.maybe(0.15):
            postal = self.rng.choice([{"channels": ["mail"]}, {"kind": "postal", "channels": None}])
            return self.event("address.suppressed", address=self.written("mail", ""), **{**scope, **postal})
        return self.late(
            self.event(
                "address.suppressed",
                address=address,
                reason=self.rng.choice(reasons),
                expires_at=self.soon(0.4),
                **scope,
            )
        )

    def registry(self) -> Event:
        """A do-not-call list, whole or not, or what changed in it; perhaps on another version, perhaps much smaller."""
        day = self.rng.choice([-30, -3, -2, -1, 0])
        often = self.rng.choice([0.1, 0.3, 0.3, 0.9])
        entries = [
            {"address": n, **({"since": instant(self.now + day * DAY)[:10]} if self.maybe(0.8) else {})}
            for n in NUMBERS
            if self.maybe(often)
        ]
        bad = self.rng.choice([0, 0, 0, 1, 2])
        entries += [{"address": f"212555{n:04d}"} for n in range(bad)]
        as_of = self.now - self.rng.choice([0, HOUR, DAY, 4 * DAY])
        self.as_of = as_of = as_of if self.maybe(0.1) else max(self.as_of + 1, as_of)
        base = self.registry_version if self.maybe(0.5) else None
        if base is None or self.maybe(0.8):  # else the same version once more, perhaps corrected
            self.registry_version = f"v-{self.count}"
        removed = [n for n in (*NUMBERS, "2125550000") if self.maybe(0.2)]
        return self.event(
            "registry.published",
            registry="us-ndnc",
            version=self.registry_version,
            kind="delta" if base else "snapshot",
            base=base,
            as_of=instant(as_of),
            entries=entries,
            removed=removed if base and self.maybe(0.5) else None,
            unreadable=self.rng.choice([1, 2, 3]) if self.maybe(0.3) else None,
            shrinks=True if self.maybe(0.3) else None,
        )

    def history(self, length: int) -> list[Event]:
        """That many events, in the order they arrive."""
        events: list[Event] = []
        sources: list[Any] = [self.request] * 6 + [self.outcome] * 3 + [self.observed, self.profile]
        for theme, makers in THEMES.items():
            if theme in self.themes:
                sources += [getattr(self, name) for name in makers]
        firsts = [getattr(self, name)() for theme in sorted(self.themes) for name in THEMES[theme]]
        events += [event for event in firsts if event is not None]
        while len(events) < length:
            self.now += self.rng.choice([*STEPS, 27 * DAY, 31 * DAY, 365 * DAY] if "periods" in self.themes else STEPS)
            event = self.rng.choice(sources)()
            if event is not None:
                events.append(event)
                if self.maybe(0.04) and event["type"] != "registry.published":
                    events.append({**event, "time": event["time"]})
                again = [e for e in events[-9:] if e["type"] in AGAIN]
                if again and self.maybe(0.1):
                    events.append({**self.rng.choice(again)})
        return events

    def relationship(self) -> Event:
        """A business relationship of some days ago, nowhere in the future; contracts may end."""
        self.now += 1
        kind = self.rng.choice(["purchase", "inquiry", "contract"])
        end = self.now + self.rng.choice([0, 1, 2]) * DAY
        return self.of_subject(
            "relationship.recorded",
            controller="bank" if self.maybe(0.8) else "insurer",
            kind=kind,
            date=instant(self.now - self.rng.choice([1, 1, 2, 9, 10, 28, 29, 30, 31]) * DAY)[:10],
            until=instant(end)[:10] if kind == "contract" and self.maybe(0.5) else None,
        )

    def place(self) -> Event:
        """Where the person lives."""
        self.now += 1
        return self.of_subject("subject.updated", jurisdictions=self.rng.choice(HOMES))

    def activation(self) -> Event:
        """Another policy from now on; or one that was stamped before the one in force, and comes late."""
        self.now += 1
        event = self.event("policy.activated", document={**self.policy(), "dedup_horizon": self.horizon})
        before = self.now - 2 * DAY
        # Two of about one time hold together, which only other tests know.
        if self.maybe(0.3) and all(abs(before - other) > DAY for other in self.activated):
            event["time"] = instant(before)
            self.activated.append(before)
        else:
            self.activated.append(self.now)
        return event

    def erased(self) -> Event:
        """The right to be forgotten."""
        return self.of_subject("subject.erased")

    def complaint(self) -> Event:
        """A complaint."""
        return self.late(
            self.of_subject(
                "complaint.received",
                controller=self.spoken(self.rng.choice(CONTROLLERS), ODD_NAMES),
                channel=self.spoken(self.rng.choice(CHANNELS), ODD_CHANNELS),
            )
        )


def history(seed: int, longest: int = 30) -> tuple[Event, list[Event]]:
    """A policy and a history, the same for the same seed; eight seeds share a policy (it loads slowly)."""
    maker = Maker(random.Random(f"policy {seed // 8}"))
    policy = maker.policy()
    maker.rng = random.Random(seed)
    return policy, maker.history(maker.rng.randrange(6, longest))


@st.composite
def histories(draw: st.DrawFn, longest: int = 20) -> tuple[Event, list[Event]]:
    """The same as a strategy, which shrinks by leaving out what comes last."""
    policy, events = history(draw(st.integers(0, 2**32)), longest)
    return policy, events[: draw(st.integers(4, longest))]

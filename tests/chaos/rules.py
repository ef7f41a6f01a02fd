"""The checker's own rules: what a person allows, and whether a request passes, written from docs/semantics.md alone.

One `Subject` per person, changed by events in log order, asked with a request, a position in the world's log and the
decision's own time. Slow and plain on purpose; imports nothing of contactgate and shares no code with it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

NEVER = 1 << 62
FLAGS = ("deceased", "minor", "vulnerable", "business")
LASTING = FLAGS[:3]
"""Flags that only `flags_removed` ends."""
FIELDS = (
    "requester", "controller", "purpose", "channel", "campaign_id", "address", "data_categories", "matter_id", "mode",
    "jurisdictions",
)  # fmt: skip
"""What a repeated request must ask for again; the first that differs is named."""
_CHANNELS = {
    "voice": ("phone", "telephone", "call", "tel", "mobile"),
    "sms": ("text", "txt"),
    "email": (),
    "mail": ("post", "letter"),
}
_WITHDRAWS = ("unsubscribed", "complained")
_STRENGTH = (
    "not_attempted", "not_connected", "busy", "no_answer", "ignored", "bounced", "voicemail", "abandoned", "delivered",
    "answered", "wrong_number", "refused", "unsubscribed", "complained",
)  # fmt: skip
_RESTRICTING = ("refused", "wrong_number", "unsubscribed", "complained")
_DELIVERED = ("answered", "voicemail", "delivered", "refused", "unsubscribed", "complained")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: str) -> int:
    """`45s`, `20m`, `7d`."""
    number = text.rstrip("dhms")
    return int(number) * _UNITS_MS[text[len(number) :]]


@dataclass(frozen=True)
class Cap:
    """One cap with a sliding window."""

    rule: str
    limit: int
    window_ms: int
    scope: tuple[str, ...]
    channels: tuple[str, ...] | None
    counts: str

    def about(self, request: dict[str, Any]) -> bool:
        """Whether it counts contacts of this kind."""
        return self.channels is None or request["channel"] in self.channels


@dataclass(frozen=True)
class Policy:
    """What the checker understands of a policy; it refuses one that says more."""

    ttl_ms: int
    skew_ms: int
    consent: dict[str, str]
    caps: tuple[Cap, ...]

    @staticmethod
    def of(document: dict[str, Any]) -> Policy:
        """Raises ValueError for a policy with rules that the checker does not know."""
        known = {
            "policy", "packs", "approval_ttl", "dedup_horizon", "clock_skew", "unreported", "require", "purposes",
            "caps", "outcomes_by",
        }  # fmt: skip
        if set(document) - known or document.get("packs") or document.get("unreported") != "count":
            raise ValueError(f"the checker cannot count under this policy: {sorted(set(document) - known)}")
        caps = tuple(
            Cap(
                f"cap.{cap['name']}", cap["limit"], duration_ms(cap["window"]["sliding"]), tuple(cap["scope"]),
                tuple(cap["channels"]) if "channels" in cap else None, cap["counts"],
            )
            for cap in document["caps"]
        )  # fmt: skip
        consent = {name: basis["consent"] for name, basis in document["purposes"].items()}
        if set(consent.values()) != {"opt_in"} or any(cap.counts not in ("approved", "delivered") for cap in caps):
            raise ValueError("the checker knows opt_in, and caps that count approved or delivered")
        ttl_ms, skew_ms = duration_ms(document["approval_ttl"]), duration_ms(document.get("clock_skew", "10m"))
        return Policy(ttl_ms, skew_ms, consent, caps)


class Told(NamedTuple):
    """A record of the world: where it lies, when it says it was, when it came, what it says."""

    since: int
    at_ms: int
    arrived_ms: int
    said: dict[str, Any]

    def ended_by(self, lifts: Iterable[Told], below: int, skew_ms: int) -> bool:
        """Of a stop: whether one of these, as far as they lie below an offset, is newer."""
        when = (self.at_ms, self.arrived_ms)
        return any(lift.since < below and ended(*when, lift.at_ms, lift.arrived_ms, skew_ms) for lift in lifts)


@dataclass
class World:
    """Pauses and suppressions at every position of their topics, in whatever order they came."""

    skew_ms: int
    pauses: dict[str, tuple[list[Told], list[Told]]] = field(default_factory=dict)  # what sets it, what lifts it
    suppressions: dict[str, list[Told]] = field(default_factory=dict)
    releases: dict[str, list[Told]] = field(default_factory=dict)

    def change(self, offset: int, message: dict[str, Any], at_ms: int, arrived_ms: int) -> None:
        """Fold one control or suppression event."""
        told, kind = Told(offset, at_ms, arrived_ms, message), message["type"]
        if kind.startswith("pause."):
            sets, lifts = self.pauses.setdefault(message["pause_id"], ([], []))
            if kind == "pause.set":
                sets.append(told)
            if message.get("by"):  # who says so again replaces what was said before
                lifts.append(told)
            return
        known = self.releases if kind == "address.released" else self.suppressions
        known.setdefault(message["address"], []).append(told)

    def pausing(self, control: int, request: dict[str, Any]) -> list[str]:
        """The pauses on a request when everything below `control` was applied."""
        return [
            name
            for name, (sets, lifts) in self.pauses.items()
            if any(
                stop.since < control
                and not stop.ended_by(lifts, control, self.skew_ms)
                and _in_scope(stop.said.get("scope") or {}, request)
                for stop in sets
            )
        ]

    def suppressed(self, suppression: int, address: str | None, at_ms: int) -> bool:
        """Whether an address is under a stop when everything below `suppression` was applied."""
        name = address or ""
        return any(
            stop.since < suppression
            and at_ms < stop.said["expires_ms"]
            and not stop.ended_by(self.releases.get(name, ()), suppression, self.skew_ms)
            for stop in self.suppressions.get(name, ())
        )


def _in_scope(scope: dict[str, Any], request: dict[str, Any]) -> bool:
    names = {"controllers": "controller", "requesters": "requester", "campaigns": "campaign_id"}
    for name, allowed in scope.items():
        if name in ("purposes", "channels"):
            named = {"purposes": allowed} if name == "purposes" else {"channels": allowed}
            if not Fact.stop(0, 0, named).names(request):
                return False
        elif folded(request.get(names[name]) or "") not in map(folded, allowed):
            return False
    return True


def covers(prefix: str, purpose: str) -> bool:
    """Whether a dotted purpose lies under another."""
    return purpose == prefix or purpose.startswith(prefix + ".")


def ended(stop_ms: int, stop_arrived_ms: int, go_ms: int, go_arrived_ms: int, skew_ms: int) -> bool:
    """Whether a permission is newer than a restriction, by the times written and by when each arrived (42, 45)."""
    go_ms = min(go_ms, go_arrived_ms)
    if go_ms <= stop_ms:
        return False
    came_after = stop_arrived_ms >= go_arrived_ms
    return not (came_after and go_ms - stop_ms <= skew_ms)


def folded(word: str) -> str:
    """A word as restrictions are compared."""
    return unicodedata.normalize("NFKC", word).strip().casefold()


def channel(word: str) -> str | None:
    """The channel that a restriction means; None if nobody knows the word."""
    plain = folded(word).replace("-", "").replace("_", "").replace(" ", "")
    return next((name for name, others in _CHANNELS.items() if plain == name or plain in others), None)


def unknown_in(kind: str, words: Iterable[str] | None) -> bool:
    """Whether a list names something that nobody knows: no channel, or a purpose that is no part of marketing."""
    if kind == "channels":
        return any(channel(word) is None for word in words or ())
    return any(not covers("marketing", folded(word)) for word in words or ())


def unknown_scope(message: dict[str, Any]) -> bool:
    """Whether a pause names a channel or a purpose that nobody knows: a dead letter, and it stops all of them."""
    scope = message.get("scope") or {}
    return message.get("type") == "pause.set" and any(unknown_in(k, scope.get(k)) for k in ("channels", "purposes"))


def news(message: dict[str, Any]) -> bool:
    """Whether an event that can be read names something that nobody knows: a dead letter, and what it says counts."""
    kind, channels, purposes = message["type"], message.get("channels"), message.get("purposes")
    if kind == "consent.granted":  # no other spelling of a consent counts
        return not all(word in _CHANNELS for word in channels or ()) or not all(
            covers("marketing", p) for p in purposes or ()
        )
    if kind == "complaint.received":
        return message.get("channel") is not None and channel(message["channel"]) is None
    if kind == "subject.updated":
        return any(word not in FLAGS and folded(word) not in LASTING for word in message.get("flags") or ())
    return kind == "consent.withdrawn" and (unknown_in("channels", channels) or unknown_in("purposes", purposes))


@dataclass(slots=True)
class Fact:
    """A consent or an opt-out. None: all (of an opt-out), the controller alone (recipients of a consent)."""

    at_ms: int
    arrived_ms: int
    controller: str | None
    purposes: list[str] | None
    channels: list[str] | None
    recipients: list[str] | None
    start_ms: int = 0
    end_ms: int = NEVER
    categories: list[str] = field(default_factory=list)  # of a consent: which data it covers

    @staticmethod
    def stop(at_ms: int, arrived_ms: int, said: dict[str, Any]) -> Fact:
        """An opt-out, by what its words mean: an unknown word leaves its field open (rules 37 and 38)."""
        purposes, channels, recipients = said.get("purposes"), said.get("channels"), said.get("recipients")
        controller = said.get("controller")
        return Fact(
            at_ms,
            arrived_ms,
            None if controller is None else folded(controller),
            None if purposes is None or unknown_in("purposes", purposes) else [folded(word) for word in purposes],
            None if channels is None or unknown_in("channels", channels) else [str(channel(c)) for c in channels],
            None if recipients is None else [folded(word) for word in recipients],
        )

    def names(self, request: dict[str, Any]) -> bool:
        """Whether controller, purpose and channel are those of the request."""
        return (
            (self.controller is None or self.controller == request["controller"])
            and (self.channels is None or request["channel"] in self.channels)
            and (self.purposes is None or any(covers(p, request["purpose"]) for p in self.purposes))
        )

    def ended_by(self, given: Fact, skew_ms: int) -> bool:
        """Of an opt-out: whether a consent is newer."""
        return ended(self.at_ms, self.arrived_ms, given.at_ms, given.arrived_ms, skew_ms)


@dataclass(slots=True)
class Contact:
    """An approval and what became of it."""

    at_ms: int
    until_ms: int
    request: dict[str, Any]
    approval_id: str
    outcome: str | None = None
    recalled: str | None = None
    doubt_tx: int = -1  # the transaction since which the world alone forbids it, not recalled yet
    doubt_ms: int = 0

    def open(self, at_ms: int) -> bool:
        """Whether it may still be used."""
        return at_ms < self.until_ms and self.outcome is None and self.recalled is None

    def differs(self, request: dict[str, Any]) -> str | None:
        """The first field in which a request of the same name asks for something else; None if in none."""
        return next((name for name in FIELDS if _asked(self.request, name) != _asked(request, name)), None)


def _asked(request: dict[str, Any], name: str) -> Any:
    found = request.get(name)
    if name in ("data_categories", "jurisdictions"):
        return sorted(set(found or (["basic"] if name == "data_categories" else ())))
    return found or ("live" if name == "mode" else None)


class Subject:
    """What is known of one person."""

    __slots__ = (
        "contacts", "erased_arrived_ms", "erased_ms", "flags", "flags_ms", "grants", "marks", "removed", "skew_ms",
        "withdrawals", "wrong",
    )  # fmt: skip

    def __init__(self, skew_ms: int) -> None:
        self.skew_ms = skew_ms
        self.grants: list[Fact] = []
        self.withdrawals: list[Fact] = []
        self.contacts: list[Contact] = []
        self.flags: frozenset[str] = frozenset()  # but the lasting ones
        self.flags_ms = 0
        self.marks: list[tuple[str, int, int]] = []  # lasting flags: word, time, arrival
        self.removed: list[tuple[str, int, int]] = []  # and where somebody removed one
        self.erased_ms = self.erased_arrived_ms = 0
        self.wrong: set[tuple[bool, str]] = set()

    @property
    def known(self) -> bool:
        """Whether anything is known, so that the changelog must hold the person."""
        told = self.grants or self.withdrawals or self.contacts or self.marks or self.removed
        return bool(told or self.flags_ms or self.erased_ms)

    # --- events ---------------------------------------------------------------------------------------------------

    def apply(self, message: dict[str, Any], at_ms: int, arrived_ms: int) -> list[Contact]:
        """Fold an event about the person; approvals that an erasure took away."""
        kind = message["type"]
        if kind == "subject.erased":
            return self._erase(at_ms, arrived_ms)
        if kind == "consent.granted" and at_ms > self.erased_ms:
            start, end = message.get("effective_ms"), 0 if news(message) else message.get("expires_ms", NEVER)
            self.grants.append(
                Fact(
                    at_ms, arrived_ms, message["controller"], message["purposes"], message["channels"],
                    message.get("recipients"), max(at_ms, start or 0), end, message.get("data_categories") or [],
                )
            )  # fmt: skip
        elif kind == "consent.withdrawn":
            self._withdraw(at_ms, arrived_ms, message)
        elif kind == "complaint.received":
            scope = {"controller": message.get("controller"), "purposes": ["marketing"]}
            named = message.get("channel")
            self._withdraw(at_ms, arrived_ms, {**scope, "channels": [named] if named else None})
        elif kind == "subject.updated":
            self._update(message, at_ms, arrived_ms)
        return []

    def _update(self, message: dict[str, Any], at_ms: int, arrived_ms: int) -> None:
        given = frozenset(folded(word) if folded(word) in LASTING else word for word in message.get("flags") or ())
        if not self._erased(at_ms, arrived_ms):
            self.marks += [(word, at_ms, arrived_ms) for word in sorted(given) if word in LASTING]
            self.removed += [(word, at_ms, arrived_ms) for word in message.get("flags_removed") or ()]
        if "flags" in message and at_ms > self.erased_ms and at_ms >= self.flags_ms:
            others = given.difference(LASTING)
            self.flags = others | self.flags if at_ms == self.flags_ms else others
            self.flags_ms = at_ms

    def _withdraw(self, at_ms: int, arrived_ms: int, said: dict[str, Any]) -> None:
        if not self._erased(at_ms, arrived_ms):
            self.withdrawals.append(Fact.stop(at_ms, arrived_ms, said))

    def _erased(self, at_ms: int, arrived_ms: int) -> bool:
        """Whether a restriction is part of what was erased: neither written nor come after it."""
        return self.erased_ms >= at_ms and self.erased_arrived_ms >= arrived_ms

    def _erase(self, at_ms: int, arrived_ms: int) -> list[Contact]:
        if self._erased(at_ms, arrived_ms):
            return []
        gone = [c for c in self.contacts if c.at_ms <= at_ms]
        self.erased_ms, self.erased_arrived_ms = max(self.erased_ms, at_ms), max(self.erased_arrived_ms, arrived_ms)
        self.contacts = [c for c in self.contacts if c.at_ms > self.erased_ms]
        self.grants = [g for g in self.grants if g.at_ms > self.erased_ms]
        self.withdrawals = [w for w in self.withdrawals if not self._erased(w.at_ms, w.arrived_ms)]
        self.marks = [mark for mark in self.marks if not self._erased(*mark[1:])]
        self.removed = [mark for mark in self.removed if not self._erased(*mark[1:])]
        if self.flags_ms <= self.erased_ms:
            self.flags, self.flags_ms = frozenset(), 0
        told = {_address(c.request) for c in self.contacts if c.outcome in _RESTRICTING}
        self.wrong &= told
        return gone

    def outcome(self, message: dict[str, Any], at_ms: int, arrived_ms: int) -> bool:
        """Fold an outcome; whether there was an approval for it."""
        contact = self.approval(message["request_id"])
        word = message["outcome"]
        if contact is None:
            if word in _WITHDRAWS:  # a dead letter, which binds at its widest reading
                self._withdraw(at_ms, arrived_ms, {})
            return False
        if contact.outcome is None or _STRENGTH.index(word) > _STRENGTH.index(contact.outcome):
            contact.outcome = word
        if word in _WITHDRAWS:
            asked = contact.request
            purposes = {asked["purpose"]} if covers("marketing", asked["purpose"]) else {asked["purpose"], "marketing"}
            scope = {"controller": asked["controller"], "purposes": sorted(purposes), "channels": [asked["channel"]]}
            self._withdraw(at_ms, arrived_ms, scope)
        elif word == "wrong_number" and at_ms > self.erased_ms:
            self.wrong.add(_address(contact.request))
        return True

    def approval(self, request_id: str) -> Contact | None:
        """The newest approval of a request."""
        for contact in reversed(self.contacts):
            if contact.request["request_id"] == request_id:
                return contact
        return None

    # --- questions ------------------------------------------------------------------------------------------------

    def stops(self, request: dict[str, Any]) -> list[Fact]:
        """The opt-outs that are about the request."""
        whom = request["requester"]
        return [w for w in self.withdrawals if (w.recipients is None or whom in w.recipients) and w.names(request)]

    def consents(self, request: dict[str, Any], at_ms: int) -> list[Fact]:
        """The consents that cover the request at an instant and that no opt-out about it stands against."""
        stops, requester, skew_ms = self.stops(request), request["requester"], self.skew_ms
        return [
            g
            for g in self.grants
            if g.start_ms <= at_ms < g.end_ms
            and requester in ([g.controller] if g.recipients is None else g.recipients)
            and g.names(request)
            and set(request.get("data_categories") or ["basic"]).issubset(g.categories)
            and all(stop.ended_by(g, skew_ms) for stop in stops)
        ]

    def skewed(self, request: dict[str, Any]) -> bool:
        """Whether an opt-out holds against a consent about the same that is written after it."""
        return any(
            stop.at_ms < given.at_ms and given.names(request) and not stop.ended_by(given, self.skew_ms)
            for stop in self.stops(request)
            for given in self.grants
        )

    def consented_until(self, request: dict[str, Any], at_ms: int) -> int:
        """Until when consent covers the request; 0 when it does not at `at_ms`."""
        return max((given.end_ms for given in self.consents(request, at_ms)), default=0)

    def marked(self) -> set[str]:
        """The lasting flags that nobody removed since."""
        return {
            word
            for word, at_ms, arrived_ms in self.marks
            if not any(word == other and ended(at_ms, arrived_ms, *when, self.skew_ms) for other, *when in self.removed)
        }

    def forbids(self, request: dict[str, Any], world: World, control: int, suppression: int, at_ms: int) -> set[str]:
        """The rules that forbid a contact and recall its approval, as words for families of rules."""
        found = set()
        consents = self.consents(request, at_ms)
        if not consents:
            found.add("consent")
        if self.erased_ms:
            erased = Fact(self.erased_ms, self.erased_arrived_ms, None, None, None, None)
            if not any(erased.ended_by(given, self.skew_ms) for given in consents):
                found.add("subject.erased")
        address = request.get("address")
        if (self.wrong and _address(request) in self.wrong) or world.suppressed(suppression, address, at_ms):
            found.add("address.suppressed")
        found.update(f"pause.{name}" for name in world.pausing(control, request))
        if self.marks:
            found.update(f"subject.{flag}" for flag in self.marked())
        if self.flags.difference(FLAGS):
            found.add("subject.unknown_flag")
        return found

    def _places(self, cap: Cap, request: dict[str, Any], at_ms: int) -> list[Contact]:
        return [
            contact
            for contact in self.contacts
            if at_ms < contact.at_ms + cap.window_ms
            and _holds(cap, contact, at_ms)
            and (cap.channels is None or contact.request["channel"] in cap.channels)
            and all(name == "subject" or contact.request[name] == request[name] for name in cap.scope)
        ]

    def used(self, cap: Cap, request: dict[str, Any], at_ms: int) -> int:
        """How many places of a cap are taken at an instant."""
        return len(self._places(cap, request, at_ms))

    def frees(self, cap: Cap, request: dict[str, Any], at_ms: int) -> int:
        """When the next place of a cap that has some taken becomes free."""
        return min(contact.at_ms for contact in self._places(cap, request, at_ms)) + cap.window_ms


def _holds(cap: Cap, contact: Contact, at_ms: int) -> bool:
    """Whether a contact takes a place: while it has no outcome, whatever the cap counts; after, if it counts that."""
    if contact.outcome is None:
        return contact.recalled is None
    if contact.at_ms > at_ms:
        return False
    if cap.counts == "delivered":
        return contact.outcome in _DELIVERED
    return contact.outcome != "not_attempted"


def _address(request: dict[str, Any]) -> tuple[bool, str]:
    return request["channel"] == "email", request.get("address") or ""

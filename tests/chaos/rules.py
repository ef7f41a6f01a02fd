"""The checker's own rules: what a person allows, and whether a request passes, written from docs/semantics.md alone.

One `Subject` per person, changed by events in log order, asked with a request, a position in the world's log and the
decision's own time. Slow and plain on purpose; imports nothing of contactgate and shares no code with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NEVER = 1 << 62
_STRENGTH = (
    "not_attempted", "not_connected", "busy", "no_answer", "ignored", "bounced", "voicemail", "delivered", "answered",
    "wrong_number", "refused", "unsubscribed", "complained",
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
    consent: dict[str, str]
    caps: tuple[Cap, ...]

    @staticmethod
    def of(document: dict[str, Any]) -> Policy:
        """Raises ValueError for a policy with rules that the checker does not know."""
        known = {"policy", "packs", "approval_ttl", "dedup_horizon", "unreported", "require", "purposes", "caps"}
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
        return Policy(duration_ms(document["approval_ttl"]), consent, caps)


@dataclass(frozen=True)
class Suppression:
    """An address under a stop from one offset of the suppression topic until another."""

    since: int
    until: int
    expires_ms: int


@dataclass
class World:
    """Pauses and suppressions at every position of their topics."""

    pauses: list[tuple[int, dict[str, dict[str, Any]]]] = field(default_factory=lambda: [(0, {})])
    suppressions: dict[str, list[Suppression]] = field(default_factory=dict)

    def change(self, offset: int, message: dict[str, Any]) -> None:
        """Fold one control or suppression event."""
        kind = message["type"]
        if kind.startswith("pause."):
            now = dict(self.pauses[-1][1])
            now.pop(message["pause_id"], None)
            if kind == "pause.set":
                now[message["pause_id"]] = message.get("scope") or {}
            self.pauses.append((offset + 1, now))
            return
        known = self.suppressions.setdefault(message["address"], [])
        if kind == "address.released":
            known[:] = [Suppression(s.since, min(s.until, offset), s.expires_ms) for s in known]
        else:
            known.append(Suppression(offset, NEVER, message["expires_ms"]))

    def pausing(self, control: int, request: dict[str, Any]) -> list[str]:
        """The pauses on a request when everything below `control` was applied."""
        low, high = 0, len(self.pauses)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.pauses[middle][0] <= control else (low, middle)
        return [name for name, scope in self.pauses[low][1].items() if _in_scope(scope, request)]

    def suppressed(self, suppression: int, address: str | None, at_ms: int) -> bool:
        """Whether an address is under a stop when everything below `suppression` was applied."""
        return any(
            s.since < suppression <= s.until and at_ms < s.expires_ms for s in self.suppressions.get(address or "", ())
        )


def _in_scope(scope: dict[str, Any], request: dict[str, Any]) -> bool:
    names = {"controllers": "controller", "requesters": "requester", "channels": "channel", "campaigns": "campaign_id"}
    for name, allowed in scope.items():
        if name == "purposes":
            if not any(covers(p, request["purpose"]) for p in allowed):
                return False
        elif request.get(names[name]) not in allowed:
            return False
    return True


def covers(prefix: str, purpose: str) -> bool:
    """Whether a dotted purpose lies under another."""
    return purpose == prefix or purpose.startswith(prefix + ".")


@dataclass(slots=True)
class Fact:
    """A consent or an opt-out. None: all (of an opt-out), the controller alone (recipients of a consent)."""

    at_ms: int
    controller: str | None
    purposes: list[str] | None
    channels: list[str] | None
    recipients: list[str] | None
    start_ms: int = 0
    end_ms: int = NEVER

    def names(self, request: dict[str, Any]) -> bool:
        """Whether controller, purpose and channel are those of the request."""
        return (
            (self.controller is None or self.controller == request["controller"])
            and (self.channels is None or request["channel"] in self.channels)
            and (self.purposes is None or any(covers(p, request["purpose"]) for p in self.purposes))
        )


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


class Subject:
    """What is known of one person."""

    __slots__ = ("contacts", "erased_ms", "flags", "flags_ms", "grants", "seen", "withdrawals", "wrong")

    def __init__(self) -> None:
        self.grants: list[Fact] = []
        self.withdrawals: list[Fact] = []
        self.contacts: list[Contact] = []
        self.seen: dict[str, tuple[int, frozenset[str], Contact | None]] = {}
        self.flags: frozenset[str] = frozenset()
        self.flags_ms = 0
        self.erased_ms = 0
        self.wrong: set[tuple[bool, str]] = set()

    @property
    def known(self) -> bool:
        """Whether anything is known, so that the changelog must hold the person."""
        return bool(self.grants or self.withdrawals or self.contacts or self.seen or self.flags_ms or self.erased_ms)

    # --- events ---------------------------------------------------------------------------------------------------

    def apply(self, message: dict[str, Any], at_ms: int) -> list[Contact]:
        """Fold an event about the person; approvals that an erasure took away."""
        kind = message["type"]
        if kind == "subject.erased":
            return self._erase(at_ms)
        if at_ms <= self.erased_ms:
            return []
        if kind == "consent.granted":
            start, end = message.get("effective_ms"), message.get("expires_ms", NEVER)
            self.grants.append(
                Fact(at_ms, message["controller"], message["purposes"], message["channels"], message.get("recipients"),
                     max(at_ms, start or 0), end)
            )  # fmt: skip
        elif kind == "consent.withdrawn":
            self._withdraw(at_ms, message)
        elif kind == "complaint.received":
            channel = message.get("channel")
            scope = {"controller": message.get("controller"), "purposes": ["marketing"]}
            self._withdraw(at_ms, {**scope, "channels": [channel] if channel else None})
        elif kind == "subject.updated" and "flags" in message and at_ms >= self.flags_ms:
            given = frozenset(message["flags"] or ())
            self.flags = given | self.flags if at_ms == self.flags_ms else given
            self.flags_ms = at_ms
        return []

    def _withdraw(self, at_ms: int, m: dict[str, Any]) -> None:
        if at_ms > self.erased_ms:
            self.withdrawals.append(
                Fact(at_ms, m.get("controller"), m.get("purposes"), m.get("channels"), m.get("recipients"))
            )

    def _erase(self, at_ms: int) -> list[Contact]:
        if at_ms <= self.erased_ms:
            return []
        gone = [c for c in self.contacts if c.at_ms <= at_ms]
        self.contacts = [c for c in self.contacts if c.at_ms > at_ms]
        self.grants = [g for g in self.grants if g.at_ms > at_ms]
        self.withdrawals = [w for w in self.withdrawals if w.at_ms > at_ms]
        self.seen = {name: seen for name, seen in self.seen.items() if seen[0] > at_ms}
        if self.flags_ms <= at_ms:
            self.flags, self.flags_ms = frozenset(), 0
        told = {_address(c.request) for c in self.contacts if c.outcome in _RESTRICTING}
        self.wrong &= told
        self.erased_ms = at_ms
        return gone

    def outcome(self, message: dict[str, Any], at_ms: int) -> bool:
        """Fold an outcome; whether there was an approval for it."""
        contact = self.approval(message["request_id"])
        word = message["outcome"]
        if contact is None:
            if word in ("unsubscribed", "complained"):  # a dead letter, which binds at its widest reading
                self._withdraw(at_ms, {})
            return False
        if contact.outcome is None or _STRENGTH.index(word) > _STRENGTH.index(contact.outcome):
            contact.outcome = word
        if word in ("unsubscribed", "complained"):
            asked = contact.request
            scope = {"controller": asked["controller"], "purposes": [asked["purpose"]]}
            self._withdraw(at_ms, {**scope, "channels": [asked["channel"]]})
        elif word == "wrong_number":
            self.wrong.add(_address(contact.request))
        return True

    def approval(self, request_id: str) -> Contact | None:
        """The newest approval of a request."""
        for contact in reversed(self.contacts):
            if contact.request["request_id"] == request_id:
                return contact
        return None

    # --- questions ------------------------------------------------------------------------------------------------

    def consented_until(self, request: dict[str, Any], at_ms: int) -> int:
        """Until when consent covers the request; 0 when it does not at `at_ms`."""
        requester = request["requester"]
        out_ms = max(
            (
                w.at_ms
                for w in self.withdrawals
                if (w.recipients is None or requester in w.recipients) and w.names(request)
            ),
            default=-1,
        )
        until = 0
        for g in self.grants:
            if g.at_ms > out_ms and g.start_ms <= at_ms < g.end_ms and g.end_ms > until and g.names(request):
                whom = [g.controller] if g.recipients is None else g.recipients
                if requester in whom:
                    until = g.end_ms
        return until

    def forbids(self, request: dict[str, Any], world: World, control: int, suppression: int, at_ms: int) -> set[str]:
        """The rules that forbid a contact and recall its approval, as words for families of rules."""
        found = set()
        if not self.consented_until(request, at_ms):
            found.add("consent")
            if self.erased_ms:
                found.add("subject.erased")
        address = request.get("address")
        if (self.wrong and _address(request) in self.wrong) or world.suppressed(suppression, address, at_ms):
            found.add("address.suppressed")
        found.update(f"pause.{name}" for name in world.pausing(control, request))
        if self.flags:
            found.update(f"subject.{flag}" for flag in self.flags if flag in ("minor", "vulnerable", "deceased"))
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

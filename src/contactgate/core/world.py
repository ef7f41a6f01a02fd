"""The world around the subjects: what control events and address suppressions say, folded into tables.

One writer per worker. A change answers whether open approvals must be reviewed (`Change`), and if only some of them,
for which address tokens. The tables hold nothing about a person. Must never decide anything and never look at a clock.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from contactgate.core.vocabulary import NOTHING_KNOWN, Unknown, Vocabulary
from contactgate.model.facts import Outcome
from contactgate.model.request import Mode
from contactgate.model.world import Campaign, Notice, Party, Pause, RegistryVersion, Suppression
from contactgate.policy.plan import Limits, Plan, Words

_Words = tuple[str, ...] | None
_Scope = tuple[_Words, _Words, _Words, _Words]
"""Channels, controllers, purposes and campaigns of a kept restriction."""


class Policy(Protocol):
    """What the core needs of a compiled policy."""

    @property
    def hash(self) -> str:
        """Names the policy in every decision."""
        ...

    @property
    def limits(self) -> Limits:
        """Times that hold for every request."""
        ...

    @property
    def outcomes_kept_forever(self) -> frozenset[Outcome]:
        """Outcomes that a cool-off without an end, or a threshold, may still ask for."""
        ...

    @property
    def words(self) -> Words:
        """The words that the policy and its packs know."""
        ...

    def plan(self, purpose: str, channel: str, mode: Mode, jurisdictions: tuple[str, ...], now_ms: int) -> Plan:
        """Every rule for requests of one kind at one instant."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of the world asks of the open approvals."""

    restricts: bool  # they must be reviewed
    tokens: frozenset[str] | None = None  # only those to these addresses; None: all
    widened: int = 0  # kept scopes with a word that the new policy does not know, and the former one did


UNCHANGED = Change(restricts=False)
RESTRICTS = Change(restricts=True)

_MAX_SCOPES = 4_096
"""Different scopes of suppressions that are looked through when a policy is activated."""


class World:
    """Mutable tables, single writer.

    `memo` holds what was computed from the policy and goes with it. `kinds` holds what was found out about a kind of
    request: its rules, and whether requester, campaign and pauses allow it; it goes whenever any of these changes.
    """

    __slots__ = (
        "_scopes",
        "_vocabulary",
        "campaigns",
        "kinds",
        "memo",
        "notices",
        "parties",
        "pauses",
        "policy",
        "registries",
        "suppressions",
    )

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.notices: dict[str, tuple[Notice, ...]] = {}  # all versions, by (effective_ms, version)
        self.parties: dict[str, Party] = {}
        self.campaigns: dict[str, Campaign] = {}
        self.pauses: dict[str, Pause] = {}
        self.registries: dict[str, RegistryVersion] = {}
        self.suppressions: dict[str, tuple[Suppression, ...]] = {}
        self.memo: dict[Hashable, Any] = {}
        self.kinds: dict[Hashable, Any] = {}
        self._vocabulary: Vocabulary | None = None
        self._scopes: dict[_Scope, None] = {}  # of suppressions: few differ, and all are asked when a policy changes

    @property
    def vocabulary(self) -> Vocabulary:
        """The words that are known now. Without a policy none is judged."""
        found = self._vocabulary
        if found is None:
            policy = self.policy
            if policy is None:
                return NOTHING_KNOWN
            found = self._vocabulary = Vocabulary(policy.words, self.notices, self.parties, self.campaigns)
        return found

    def _changed(self, *, policy: bool = False) -> None:
        """Forget what was found out of policy, notices, parties, campaigns and pauses: each change comes here."""
        self.kinds.clear()
        self._vocabulary = None
        if policy:
            self.memo.clear()

    def activate(self, policy: Policy) -> Change:
        """Puts a policy in force, at once and whole."""
        before, known = self.policy, self.vocabulary
        self.policy = policy
        self._changed(policy=True)
        if before is None or before.hash == policy.hash:
            return UNCHANGED
        return Change(restricts=True, widened=self._widened(known))

    def _widened(self, before: Vocabulary) -> int:
        """How many kept scopes have become widest: a word of theirs was known and is not any more."""
        kept = [
            *self._scopes,
            *((each.channels, each.controllers, each.purposes, each.campaigns) for each in self.pauses.values()),
        ]
        return sum(_unknown(scope, before) is None and _unknown(scope, self.vocabulary) is not None for scope in kept)

    def put_notice(self, notice: Notice) -> Change:
        """Adds one version, or replaces the same version. A version may be found to have been in force earlier."""
        self._changed()
        before = self.notices.get(notice.notice_id, ())
        others = [old for old in before if old.version != notice.version]
        after = tuple(sorted([*others, notice], key=lambda each: (each.effective_ms, each.version)))
        self.notices[notice.notice_id] = after
        return UNCHANGED if before == after else RESTRICTS

    def put_party(self, party: Party) -> Change:
        """Replaces what is known of a requester."""
        self._changed()
        before = self.parties.get(party.party_id)
        self.parties[party.party_id] = party
        return UNCHANGED if before == party else RESTRICTS

    def put_campaign(self, campaign: Campaign) -> Change:
        """Replaces what is known of a campaign."""
        self._changed()
        before = self.campaigns.get(campaign.campaign_id)
        self.campaigns[campaign.campaign_id] = campaign
        return UNCHANGED if before == campaign else RESTRICTS

    def put_pause(self, pause: Pause) -> Change:
        """Sets or replaces a pause; it binds from now on, whatever its own time says."""
        self._changed()
        before = self.pauses.get(pause.pause_id)
        self.pauses[pause.pause_id] = pause
        return UNCHANGED if before == pause else RESTRICTS

    def lift_pause(self, pause_id: str) -> Change:
        """Ends a pause; nothing happens if there is none of that name."""
        self._changed()
        self.pauses.pop(pause_id, None)
        return UNCHANGED

    def put_registry(self, version: RegistryVersion) -> Change:
        """Puts a list in force, unless a list that was taken later already is."""
        before = self.registries.get(version.registry)
        if before is not None and before.as_of_ms > version.as_of_ms:
            return UNCHANGED
        self.registries[version.registry] = version
        return RESTRICTS

    def suppress(self, token: str, suppression: Suppression) -> Change:
        """Adds a suppression to those of an address; the same event again replaces itself."""
        before = self.suppressions.get(token, ())
        if any(_contains(old, suppression) for old in before):
            return UNCHANGED
        others = [old for old in before if not _contains(suppression, old) and old.event_id != suppression.event_id]
        after = sorted([*others, suppression], key=lambda each: (each.time_ms, each.event_id))
        self.suppressions[token] = tuple(after)
        if len(self._scopes) < _MAX_SCOPES:
            controllers = None if suppression.controller is None else (suppression.controller,)
            self._scopes[suppression.channels, controllers, suppression.purposes, suppression.campaigns] = None
        return Change(restricts=True, tokens=frozenset((token,)))

    def release(self, token: str) -> Change:
        """Lifts every suppression of an address."""
        self.suppressions.pop(token, None)
        return UNCHANGED

    def remove(self, kind: str, key: str) -> Change:
        """A tombstone of the control topic's record `kind:key`; unknown kinds and keys change nothing."""
        if kind == "pause":
            return self.lift_pause(key)
        if kind == "suppression":
            return self.release(key)
        if kind == "policy":
            self.policy = None
            self._changed(policy=True)
            return UNCHANGED  # nothing passes without a policy; what was approved under one stays legal
        if kind == "registry":
            name, _, version = key.partition(":")
            current = self.registries.get(name)
            if current is not None and version in ("", current.version):
                del self.registries[name]
            return UNCHANGED  # a list that is missing is stale, which does not recall
        self._changed()
        tables: dict[str, dict[str, Any]] = {
            "notice": self.notices,
            "party": self.parties,
            "campaign": self.campaigns,
        }
        known = kind in tables and tables[kind].pop(key, None) is not None
        return RESTRICTS if known else UNCHANGED


def _unknown(scope: _Scope, known: Vocabulary) -> Unknown | None:
    channels, controllers, purposes, campaigns = scope
    return known.unknown(channels=channels, controllers=controllers, purposes=purposes, campaigns=campaigns)


def _contains(one: Suppression, other: Suppression) -> bool:
    """Whether a suppression makes another one of the same scope superfluous."""
    return (
        one.channels == other.channels
        and one.controller == other.controller
        and one.purposes == other.purposes
        and one.campaigns == other.campaigns
        and (one.expires_ms is None or (other.expires_ms is not None and other.expires_ms <= one.expires_ms))
    )

"""The world around the subjects: what control events and address suppressions say, folded into tables.

One writer per worker. The tables keep what was told, with when it was stamped and when it arrived, as long as it may
still matter; of that `core.holding` and `core.stops` say what is in force, with the `clock_skew` of the policy, which
may change. A change answers whether open approvals must be reviewed (`Change`), and if only some of them, for which
address tokens. The tables hold nothing about a person. Must never decide anything and never look at a clock.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from contactgate.core import stops
from contactgate.core.holding import campaign_of, holding, is_lifted, kept, lasting, notice_of, party_of
from contactgate.core.lifting import lifted
from contactgate.core.stops import Paused
from contactgate.core.vocabulary import NOTHING_KNOWN, Unknown, Vocabulary
from contactgate.model.facts import Outcome
from contactgate.model.request import Mode
from contactgate.model.world import Campaign, Lift, Notice, Party, Pause, RegistryVersion, Release, Suppression
from contactgate.policy.plan import MAX_CLOCK_SKEW_MS, Limits, Plan, Words
from contactgate.policy.together import Together

_DEFAULT_SKEW_MS: Final = 600_000
"""Of a policy that says nothing; without any nothing passes, and nothing is recalled."""
_MAX_POLICIES: Final = 8
"""How many policies are kept apart; more are kept as one that is as strict as all of them."""
_MAX_ENDED: Final = 16_384
"""How many pauses are remembered; of more, one that ended is forgotten, and a late record of it would bind again."""
_STOPPED: Final = ("paused", "closed")
_MAX_ANSWERS: Final = 16_384
"""How many addresses with releases are remembered with what is in force for them."""

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
    superseded: bool = False  # a restriction that changed nothing, because what permits is newer


UNCHANGED = Change(restricts=False)
RESTRICTS = Change(restricts=True)
SUPERSEDED = Change(restricts=False, superseded=True)


class _Activated(NamedTuple):
    """One policy, and when it was told."""

    policy: Policy
    time_ms: int
    arrived_ms: int
    event_id: str


_Record = TypeVar("_Record", Notice, Party, Campaign)

_MAX_SCOPES = 4_096
"""Different scopes of suppressions that are looked through when a policy is activated."""


class World:
    """Mutable tables, single writer.

    `memo` holds what was computed from the policy and goes with it. `kinds` holds what was found out about a kind of
    request: its rules, and whether requester, campaign and pauses allow it; it goes whenever any of these changes.
    Policy, notices, parties, campaigns and pauses are what is in force; ask `suppressed` for the same of an address.
    """

    __slots__ = (
        "_activated",
        "_campaigns",
        "_in_force",
        "_notices",
        "_parties",
        "_paused",
        "_releases",
        "_scopes",
        "_several",
        "_vocabulary",
        "campaigns",
        "doubtful_notices",
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
        self.doubtful_notices: set[str] = set()  # those of which several records of one version hold
        self.parties: dict[str, Party] = {}
        self.campaigns: dict[str, Campaign] = {}
        self.pauses: tuple[Pause, ...] = ()  # several of one id: each of them stops
        self.registries: dict[str, RegistryVersion] = {}
        self.suppressions: dict[str, tuple[Suppression, ...]] = {}  # all that are kept, those released included
        self.memo: dict[Hashable, Any] = {}
        self.kinds: dict[Hashable, Any] = {}
        self._activated: tuple[_Activated, ...] = ()
        self._notices: dict[str, dict[int, tuple[Notice, ...]]] = {}
        self._parties: dict[str, tuple[Party, ...]] = {}
        self._campaigns: dict[str, tuple[Campaign, ...]] = {}
        self._paused: dict[str, Paused] = {}
        self._releases: dict[str, tuple[Release, ...]] = {}
        self._in_force: dict[str, tuple[Suppression, ...]] = {}
        self._several: dict[tuple[str, str], tuple[Party | Campaign, ...]] = {}  # where more than one record holds
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
            records = [record for told in self._several.values() for record in told]
            found = self._vocabulary = Vocabulary(policy.words, self.notices, self.parties, self.campaigns, records)
        return found

    @property
    def _skew_ms(self) -> int:
        return _DEFAULT_SKEW_MS if self.policy is None else self.policy.limits.clock_skew_ms

    def _changed(self, *, policy: bool = False) -> None:
        """Forget what was found out of policy, notices, parties, campaigns and pauses: each change comes here."""
        self.kinds.clear()
        self._in_force.clear()
        self._vocabulary = None
        if policy:
            self.memo.clear()

    # --- the policy -----------------------------------------------------------------------------------------------

    def activate(self, policy: Policy) -> Change:
        """Puts a policy in force that no event told, at once and whole; any event is newer."""
        return self._activate((_Activated(policy, 0, 0, ""),))

    def put_policy(self, policy: Policy, time_ms: int, arrived_ms: int, event_id: str) -> Change:
        """A policy that an event activates: the newest holds, and with it those that it cannot be told to replace."""
        one = _Activated(policy, time_ms, arrived_ms, event_id)
        same = (policy.hash, time_ms, event_id)
        again = next((e for e in self._activated if (e.policy.hash, e.time_ms, e.event_id) == same), None)
        if again is not None:
            one = one._replace(arrived_ms=min(arrived_ms, again.arrived_ms))
        told = (*(each for each in self._activated if each is not again), one)
        lost = again is None and any(_replaced(one, other) for other in told)
        told = lasting(told, told)
        if len(told) > _MAX_POLICIES:
            latest, arrived = max(each.time_ms for each in told), max(each.arrived_ms for each in told)
            told = (_Activated(Together([each.policy for each in told]), latest, arrived, ""),)
        change = self._activate(told)
        return SUPERSEDED if lost else change

    def _activate(self, told: tuple[_Activated, ...]) -> Change:
        before, known, skew_ms = self.policy, self.vocabulary, self._skew_ms
        self._activated = told
        held = (each for each in told if not any(_replaced(each, other) for other in told))
        policies = {each.policy.hash: each.policy for each in held}
        made = Together(list(policies.values())) if len(policies) > 1 else next(iter(policies.values()))
        if before is not None and before.hash == made.hash:
            return UNCHANGED
        self.policy = made
        self._changed(policy=True)
        if self._skew_ms != skew_ms:
            self._hold_all()
        return UNCHANGED if before is None else Change(restricts=True, widened=self._widened(known))

    def _widened(self, before: Vocabulary) -> int:
        """How many kept scopes have become widest: a word of theirs was known and is not any more."""
        scopes = [
            *self._scopes,
            *((each.channels, each.controllers, each.purposes, each.campaigns) for each in self.pauses),
        ]
        return sum(_unknown(scope, before) is None and _unknown(scope, self.vocabulary) is not None for scope in scopes)

    def _hold_all(self) -> None:
        """With another `clock_skew`, other records may be in force."""
        for notice_id in self._notices:
            self._hold_notice(notice_id)
        for party_id in self._parties:
            self._hold_party(party_id)
        for campaign_id in self._campaigns:
            self._hold_campaign(campaign_id)
        self._hold_pauses()

    # --- notices, parties, campaigns ------------------------------------------------------------------------------

    def put_notice(self, notice: Notice) -> Change:
        """One record of one version. A version may be found to have been in force earlier."""
        before = self.notices.get(notice.notice_id, ())
        versions = self._notices.setdefault(notice.notice_id, {})
        versions[notice.version] = kept(versions.get(notice.version, ()), notice, notice_of)
        self._changed()
        self._hold_notice(notice.notice_id)
        after = self.notices[notice.notice_id]
        return UNCHANGED if list(map(_said, before)) == list(map(_said, after)) else RESTRICTS

    def _hold_notice(self, notice_id: str) -> None:
        found = [holding(told, self._skew_ms) for told in self._notices[notice_id].values()]
        self.notices[notice_id] = tuple(
            sorted((each for version in found for each in version), key=lambda each: (each.effective_ms, each.version))
        )
        if any(len(version) > 1 for version in found):
            self.doubtful_notices.add(notice_id)
        else:
            self.doubtful_notices.discard(notice_id)

    def put_party(self, party: Party) -> Change:
        """One record of a requester."""
        key, skew_ms = party.party_id, self._skew_ms
        before, known = self.parties.get(key), self._parties.get(key, ())
        told = self._parties[key] = kept(known, party, party_of)
        self._changed()
        after = self._hold_party(key)
        lost = party.status != "active" and told is not known and is_lifted(party, told, skew_ms)
        return _outcome(lost, before is None or _said(before) != _said(after))

    def put_campaign(self, campaign: Campaign) -> Change:
        """One record of a campaign."""
        key, skew_ms = campaign.campaign_id, self._skew_ms
        before, known = self.campaigns.get(key), self._campaigns.get(key, ())
        told = self._campaigns[key] = kept(known, campaign, campaign_of)
        self._changed()
        after = self._hold_campaign(key)
        lost = campaign.status in _STOPPED and told is not known and is_lifted(campaign, told, skew_ms)
        return _outcome(lost, before is None or _said(before) != _said(after))

    def _hold_party(self, party_id: str) -> Party:
        held = holding(self._parties[party_id], self._skew_ms)
        self._note_several("party", party_id, held)
        found = self.parties[party_id] = party_of(held)
        return found

    def _hold_campaign(self, campaign_id: str) -> Campaign:
        held = holding(self._campaigns[campaign_id], self._skew_ms)
        self._note_several("campaign", campaign_id, held)
        found = self.campaigns[campaign_id] = campaign_of(held)
        return found

    def _note_several(self, kind: str, key: str, held: tuple[Party, ...] | tuple[Campaign, ...]) -> None:
        if len(held) > 1:
            self._several[kind, key] = held
        else:
            self._several.pop((kind, key), None)

    # --- pauses ---------------------------------------------------------------------------------------------------

    def put_pause(self, pause: Pause) -> Change:
        """One record that sets a pause: beside those before, or in their place if it is newer and says who."""
        known = self._paused.get(pause.pause_id, Paused())
        told = stops.paused(known, pause)
        if told is known:
            return UNCHANGED
        self._paused[pause.pause_id] = told
        self._changed()
        before = self.pauses
        self._hold_pauses()
        lost = is_lifted(pause, told.lifts, self._skew_ms)
        return _outcome(lost, list(map(_said, before)) != list(map(_said, self.pauses)))

    def lift_pause(self, pause_id: str, lift: Lift) -> Change:
        """Ends what older records set, whether they were read before it or come after it."""
        known = self._paused.get(pause_id, Paused())
        told = stops.lifting(known, lift)
        if told is not known:
            self._paused.pop(pause_id, None)
            self._paused[pause_id] = told
            self._forget_ended()
            self._changed()
            self._hold_pauses()
        return UNCHANGED

    def _hold_pauses(self) -> None:
        held = (pause for told in self._paused.values() for pause in told.in_force(self._skew_ms))
        self.pauses = tuple(sorted(held, key=lambda each: (each.pause_id, each.time_ms, each.event_id)))

    def _forget_ended(self) -> None:
        if len(self._paused) > _MAX_ENDED:
            ended = next((k for k, told in self._paused.items() if not told.in_force(MAX_CLOCK_SKEW_MS)), None)
            if ended is not None:
                del self._paused[ended]

    # --- registries -----------------------------------------------------------------------------------------------

    def put_registry(self, version: RegistryVersion) -> Change:
        """Puts a list in force, unless a list that was taken later already is."""
        before = self.registries.get(version.registry)
        if before is not None and before.as_of_ms > version.as_of_ms:
            return UNCHANGED
        self.registries[version.registry] = version
        return RESTRICTS

    # --- suppressions ---------------------------------------------------------------------------------------------

    def suppressed(self, token: str) -> tuple[Suppression, ...]:
        """The suppressions of an address that are in force."""
        told = self.suppressions.get(token)
        if told is None:
            return ()
        releases = self._releases.get(token)
        if releases is None:
            return told
        found = self._in_force.get(token)
        if found is None:
            found = stops.in_force(told, releases, self.vocabulary, self._skew_ms)
            if len(self._in_force) >= _MAX_ANSWERS:
                self._in_force.clear()
            self._in_force[token] = found
        return found

    def suppress(self, token: str, suppression: Suppression) -> Change:
        """Adds a suppression to those of an address; the same event again changes nothing."""
        known, before = self.suppressions.get(token, ()), self.suppressed(token)
        told = stops.suppressed(known, suppression, self._releases.get(token, ()))
        if told is known:
            return UNCHANGED
        if len(self._scopes) < _MAX_SCOPES:
            controllers = None if suppression.controller is None else (suppression.controller,)
            self._scopes[suppression.channels, controllers, suppression.purposes, suppression.campaigns] = None
        self._keep_suppressions(token, told)
        if self.suppressed(token) == before:
            return SUPERSEDED
        return Change(restricts=True, tokens=frozenset((token,)))

    def release(self, token: str, release: Release) -> Change:
        """Lifts the older suppressions of an address that lie inside it, whether they were read before or after."""
        known = self._releases.get(token, ())
        told = stops.released(known, release)
        if told is not known:
            self._releases[token] = told
            self._keep_suppressions(token, stops.without(self.suppressions.get(token, ()), told))
        return UNCHANGED

    def _keep_suppressions(self, token: str, told: tuple[Suppression, ...]) -> None:
        self._in_force.pop(token, None)
        if told:
            self.suppressions[token] = told
        else:
            self.suppressions.pop(token, None)


def _unknown(scope: _Scope, known: Vocabulary) -> Unknown | None:
    channels, controllers, purposes, campaigns = scope
    return known.unknown(channels=channels, controllers=controllers, purposes=purposes, campaigns=campaigns)


def _replaced(one: _Activated, other: _Activated) -> bool:
    """Whether a policy is over because of another one. Between the two the larger `clock_skew` counts."""
    skew_ms = max(one.policy.limits.clock_skew_ms, other.policy.limits.clock_skew_ms)
    return lifted(one.time_ms, one.arrived_ms, other.time_ms, other.arrived_ms, skew_ms)


def _said(record: _Record | Pause) -> object:
    """What a record says, whenever it was told."""
    return msgspec.structs.replace(record, time_ms=0, arrived_ms=0, event_id="")


def _outcome(lost: bool, changed: bool) -> Change:
    if lost:
        return SUPERSEDED
    return RESTRICTS if changed else UNCHANGED

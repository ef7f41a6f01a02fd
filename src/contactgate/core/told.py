"""Who must hear that a permission is gone (SEMANTICS rule 62).

A requester may hold a person's data long after its last approval. When an opt-out, a complaint or an erasure changes
what is known, every requester that a consent in force names as recipient, or that had an approval within the policy's
longest look-back, is notified, of what that consent or approval covered. It is found out from the state before the
event, when the event is folded: whatever the fold drops then or later was in force before, or is in the look-back.

Pure and total: it never raises, and never decides anything. What is doubtful is told. A permission that a newer consent
keeps alive is not withdrawn, and nobody is told of it. Must never hold anything that a requester may not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice, product
from typing import Final

import msgspec

from contactgate.core.hearing import heard
from contactgate.core.rule import context, union
from contactgate.core.rules.consent import consented_from
from contactgate.core.world import World
from contactgate.model.events import Erased, SubjectEvent
from contactgate.model.facts import FOREVER_MS, SubjectState, Withdrawal
from contactgate.model.request import Request
from contactgate.model.synonyms import folded
from contactgate.policy.plan import Basis, covers

_MAX_PAIRS: Final = 256
"""Pairs of channel and purpose that are looked at for one requester and controller; of more all is told."""
_MAX_LINES: Final = 16
"""Messages to one requester about one event; more become one that names nothing, so everything."""
_MAX_WORDS: Final = 64
"""Words of a list in a message; a longer one is left out, so everything."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """What one requester is told of one event. None: everything."""

    requester: str
    controller: str | None
    channels: tuple[str, ...] | None
    purposes: tuple[str, ...] | None
    time_ms: int  # of the event
    event_id: str


_Pairs = set[tuple[str, str]]
_Scope = tuple[tuple[str, ...] | None, tuple[str, ...] | None]


def told(
    event: SubjectEvent,
    before: SubjectState,
    after: SubjectState,
    world: World,
    now_ms: int,
    requesters: frozenset[str] | None = None,
) -> list[Told]:
    """Who is told what of an event that led from one state to the other, sorted; empty if it withdrew nothing.

    `requesters`: who can be told anything; None: everybody.
    """
    if isinstance(event, Erased):
        said = [] if after is before else [_everything(event)]
    elif after.withdrawals is before.withdrawals and after.reports is before.reports:
        return []
    else:
        policy = world.policy
        known, now = heard(before, policy).withdrawals, heard(after, policy).withdrawals
        said = [each for each in now if each not in known]
    found: dict[Told, None] = {}
    for one in said:
        found.update(dict.fromkeys(_lines(one, before, after, world, now_ms, requesters)))
    return list(found)


def _lines(
    said: Withdrawal,
    before: SubjectState,
    after: SubjectState,
    world: World,
    now_ms: int,
    requesters: frozenset[str] | None,
) -> list[Told]:
    case = _Case(said, before, heard(after, world.policy), world, now_ms)
    time_ms = min(max(said.time_ms, 0), FOREVER_MS)  # of what cannot be read it may be any number
    messages: list[Told] = []
    for requester, controllers in sorted(_held(before, world, said.time_ms, now_ms, requesters).items()):
        lines = [
            Told(requester, controller, *scope, time_ms, said.event_id)
            for controller, pairs in sorted(controllers.items())
            for scope in case.lost(requester, controller, pairs)
        ]
        messages += lines if len(lines) <= _MAX_LINES else [Told(requester, None, None, None, time_ms, said.event_id)]
    return messages


def _everything(event: Erased) -> Withdrawal:
    return Withdrawal(
        time_ms=event.time_ms,
        controller=None,
        purposes=None,
        channels=None,
        recipients=None,
        event_id=event.event_id,
        arrived_ms=event.arrived_ms,
    )


def _held(
    state: SubjectState, world: World, at_ms: int, now_ms: int, requesters: frozenset[str] | None
) -> dict[str, dict[str, _Pairs]]:
    """Requester -> controller -> the channels and purposes that consents and approvals let it use.

    A consent counts that had not ended when the event happened, or when it arrived.
    """
    held: dict[str, dict[str, _Pairs]] = defaultdict(lambda: defaultdict(set))
    for grant in state.grants:
        if grant.expires_ms is not None and grant.expires_ms <= min(at_ms, now_ms):
            continue
        # One pair more than are looked at stands for all of them.
        pairs = list(islice(product(grant.channels, grant.purposes), _MAX_PAIRS + 1))
        for recipient in (grant.controller,) if grant.recipients is None else grant.recipients:
            if requesters is None or recipient in requesters:
                held[recipient][grant.controller].update(pairs)
    oldest = 0 if world.policy is None else now_ms - world.policy.limits.contact_history_ms
    for contact in state.contacts:
        if (
            not contact.is_observed
            and max(contact.time_ms, contact.outcome_ms, contact.valid_until_ms) > oldest
            and (requesters is None or contact.requester in requesters)
        ):
            held[contact.requester][contact.controller].add((contact.channel, contact.purpose))
    return held


class _Case:
    """One opt-out in its world: what of a requester's permissions it takes away."""

    def __init__(self, said: Withdrawal, before: SubjectState, after: SubjectState, world: World, now_ms: int) -> None:
        known = world.vocabulary
        self._said, self._after, self._world, self._now_ms = said, after, world, now_ms
        self._controllers = known.controller(said.controller).names
        self._channels = known.channels(said.channels).names
        self._purposes = known.purposes(said.purposes).names
        self._recipients = known.recipients(said.recipients).names
        if self._purposes is not None:
            self._purposes |= frozenset(said.purposes or ())
        # Of an approval all that applied to it counts too: the more laws, the more is withdrawn and the less stands.
        places = {code for contact in before.contacts for code in contact.jurisdictions}
        self._jurisdictions = union(after.profile.jurisdictions, tuple(sorted(places)))
        self._newer = any(min(given.time_ms, given.arrived_ms) > said.time_ms for given in after.grants)

    def lost(self, requester: str, controller: str, pairs: _Pairs) -> list[_Scope]:
        """Channels and purposes, line by line, that a requester loses with a controller."""
        if not self._names(controller, self._said.controller, self._controllers):
            return []
        if self._recipients is not None and not self._names(requester, None, self._recipients):
            return []
        if len(pairs) > _MAX_PAIRS:
            return [(None, None)]
        try:
            gone = self._gone(requester, controller, pairs)
        except Exception:  # noqa: BLE001  a policy that fails must neither stop the stream nor keep anybody in the dark
            return [(None, None)]
        alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for channel, purposes in gone.items():
            alike[_outermost(purposes)].append(channel)
        lines = sorted((channels, purposes) for purposes, channels in alike.items())
        return [(_short(channels), _short(purposes)) for channels, purposes in lines]

    def _gone(self, requester: str, controller: str, pairs: _Pairs) -> dict[str, set[str]]:
        said, names = self._said, self._channels
        gone: dict[str, set[str]] = defaultdict(set)
        for channel, purpose in sorted(pairs):
            if names is None or channel in names or channel in (said.channels or ()):
                for each in self._cut(channel, purpose):
                    if not self._stands(requester, controller, channel, each):
                        gone[channel].add(each)
        return gone

    @staticmethod
    def _names(name: str, written: str | None, names: frozenset[str] | None) -> bool:
        return names is None or name == written or folded(name) in names

    def _cut(self, channel: str, purpose: str) -> list[str]:
        """What the opt-out reaches of a purpose on a channel."""
        words = self._purposes
        if words is None or any(covers(word, purpose) for word in words):
            return [purpose]
        said_ms = self._said.time_ms
        for basis in self._bases(channel, purpose):
            if basis.revokes_all_from_ms is not None and said_ms >= basis.revokes_all_from_ms:
                return [purpose]
        return [word for word in words if covers(purpose, word)]

    def _bases(self, channel: str, purpose: str) -> tuple[Basis, ...]:
        policy, known = self._world.policy, self._world.vocabulary
        if policy is None or not (known.knows_channel(channel) and known.knows_purpose(purpose)):
            return ()
        return policy.plan(purpose, channel, "live", self._jurisdictions, self._now_ms).bases

    def _stands(self, requester: str, controller: str, channel: str, purpose: str) -> bool:
        """Whether a newer consent keeps the permission alive."""
        policy, profile = self._world.policy, self._after.profile
        if policy is None or not self._newer:
            return False
        request = Request(
            request_id="",
            subject_id="",
            time_ms=self._now_ms,
            requester=requester,
            controller=controller,
            purpose=purpose,
            channel=channel,
            campaign=None,
            categories=(),
            matter=None,
            mode="live",
            address=None,
            jurisdictions=self._jurisdictions,
        )
        ctx = context(request, self._after, self._world, policy)
        bases = tuple(basis for basis in self._bases(channel, purpose) if basis.consent != "none") or (None,)
        newer_than = (profile.erased_ms, profile.erased_arrived_ms) if profile.erased_ms else None
        return consented_from(ctx, bases, self._now_ms, newer_than) == self._now_ms


def _outermost(purposes: set[str]) -> tuple[str, ...]:
    """The purposes without those that lie below another of them."""
    return tuple(sorted(one for one in purposes if not any(covers(other, one) for other in purposes - {one})))


def _short(words: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(words) if len(words) <= _MAX_WORDS else None

"""Rules about the requester, the campaign and pauses.

They look at the world and the request alone, never at the person. Must never let an unknown party or campaign pass when
the policy asks for a known one.
"""

from __future__ import annotations

from contactgate.core.holding import two_people
from contactgate.core.rule import NEVER, Context, Rule, until
from contactgate.model.facts import Reason
from contactgate.model.instants import instant
from contactgate.model.synonyms import folded, shown
from contactgate.model.world import Agreement, Campaign, Party, Pause

_MAX_TOLD = 5
"""Data categories that a reason names."""


class PartyRule(Rule):
    """The requester is an active party whose agreement with the controller allows this."""

    name = "party"
    words = "the requester is active and its agreement allows this, or it need not be known"
    recalls = True
    standing = True
    bounds = True

    def passes_from(self, ctx: Context, t: int) -> int:
        party = _party(ctx)
        if party is None:
            return NEVER if ctx.limits.requirements.party else t
        if party.status != "active":
            return NEVER
        return _agreed_from(party, ctx, t)

    def sure_until(self, ctx: Context, t: int) -> int:
        if self.passes_from(ctx, t) != t:
            return t
        party = _party(ctx)
        if party is None:
            return NEVER
        return max(
            NEVER if agreement.valid_until_ms is None else agreement.valid_until_ms
            for agreement in party.agreements
            if _allows(agreement, ctx) and (agreement.valid_from_ms is None or agreement.valid_from_ms <= t)
        )

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        party = _party(ctx)
        if party is None:
            return (Reason("party.unknown", f"party {ctx.request.requester} is not known", None),)
        found = []
        if party.status != "active":
            found.append(Reason("party.suspended", f"party {party.party_id} is {party.status}", None))
        agreed = _agreed_from(party, ctx, t)
        if agreed != t:
            words = f"no agreement of {party.party_id} with {ctx.request.controller} allows this now"
            found.append(Reason("party.agreement", words, until(first)))
        return tuple(found)

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        party = _party(ctx)
        if party is None:
            return ()
        lines = [f"party {party.party_id} is {party.status}"]
        for agreement in party.agreements:
            end = "" if agreement.valid_until_ms is None else f" until {instant(agreement.valid_until_ms)}"
            fits = "fits" if _allows(agreement, ctx) else "does not fit"
            lines.append(f"agreement with {agreement.controller}{end} {fits} the request")
        return tuple(lines)


def _party(ctx: Context) -> Party | None:
    """The requester; the one that was stopped under another spelling of its name comes first."""
    requester = ctx.request.requester
    party = ctx.world.parties.get(requester)
    if party is None or party.status == "active":
        return ctx.world.vocabulary.stopped_parties.get(folded(requester), party)
    return party


def _agreed_from(party: Party, ctx: Context, t: int) -> int:
    """The first instant at or after t at which an agreement allows the request, or NEVER."""
    first = NEVER
    for agreement in party.agreements:
        if _allows(agreement, ctx):
            start = t if agreement.valid_from_ms is None else max(t, agreement.valid_from_ms)
            if agreement.valid_until_ms is None or start < agreement.valid_until_ms:
                first = min(first, start)
    return first


def _allows(agreement: Agreement, ctx: Context) -> bool:
    request = ctx.request
    return (
        agreement.controller == request.controller
        and (agreement.channels is None or request.channel in agreement.channels)
        and (agreement.purposes is None or ctx.covered_by(agreement.purposes))
        and (agreement.categories is None or all(category in agreement.categories for category in ctx.categories))
    )


class CampaignRule(Rule):
    """The campaign exists, is approved, is in its term, and is about this kind of contact."""

    name = "campaign"
    words = "the campaign is approved for this, or it need not be known"
    recalls = True
    standing = True
    bounds = True

    def passes_from(self, ctx: Context, t: int) -> int:
        campaign = self._campaign(ctx)
        if campaign is None:
            return NEVER if ctx.limits.requirements.campaign else t
        if campaign.status != "approved" or not _two_people(campaign, ctx) or _mismatch(campaign, ctx):
            return NEVER
        if campaign.valid_from_ms is not None and t < campaign.valid_from_ms:
            t = campaign.valid_from_ms
        return NEVER if campaign.valid_until_ms is not None and t >= campaign.valid_until_ms else t

    def sure_until(self, ctx: Context, t: int) -> int:
        if self.passes_from(ctx, t) != t:
            return t
        campaign = self._campaign(ctx)
        return NEVER if campaign is None or campaign.valid_until_ms is None else campaign.valid_until_ms

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        campaign = self._campaign(ctx)
        if campaign is None:
            named = ctx.request.campaign
            words = "the request names no campaign" if named is None else f"campaign {named} is not known"
            return (Reason("campaign.unknown", words, None),)
        name = f"campaign {campaign.campaign_id}"
        found = []
        if campaign.status == "paused":
            found.append(Reason("campaign.paused", f"{name} is paused", None))
        elif campaign.status != "approved":
            found.append(Reason("campaign.not_approved", f"{name} is {campaign.status}", None))
        elif not _two_people(campaign, ctx):
            words = f"{name} must be created and approved by two different people"
            found.append(Reason("campaign.not_approved", words, None))
        elif campaign.valid_from_ms is not None and t < campaign.valid_from_ms:
            words = f"{name} begins {instant(campaign.valid_from_ms)}"
            found.append(Reason("campaign.not_approved", words, until(first)))
        elif campaign.valid_until_ms is not None and t >= campaign.valid_until_ms:
            words = f"{name} ended {instant(campaign.valid_until_ms)}"
            found.append(Reason("campaign.not_approved", words, None))
        mismatch = _mismatch(campaign, ctx)
        if mismatch:
            found.append(Reason("campaign.mismatch", f"{name} is not for {mismatch}", None))
        return tuple(found)

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        campaign = self._campaign(ctx)
        return () if campaign is None else (f"campaign {campaign.campaign_id} is {campaign.status}",)

    def _campaign(self, ctx: Context) -> Campaign | None:
        named = ctx.request.campaign
        if named is None:
            return None
        campaign = ctx.world.campaigns.get(named)
        if campaign is None or campaign.status == "approved":
            return ctx.world.vocabulary.stopped_campaigns.get(folded(named), campaign)
        return campaign


def _two_people(campaign: Campaign, ctx: Context) -> bool:
    return not ctx.limits.requirements.two_people or two_people(campaign)


def _mismatch(campaign: Campaign, ctx: Context) -> str:
    """What of the request the campaign is not for; empty if it is for all of it."""
    request = ctx.request
    wrong = []
    if campaign.controller is not None and campaign.controller != request.controller:
        wrong.append(f"controller {request.controller}")
    if campaign.requesters is not None and request.requester not in campaign.requesters:
        wrong.append(f"requester {request.requester}")
    if campaign.purposes is not None and not ctx.covered_by(campaign.purposes):
        wrong.append(f"purpose {request.purpose}")
    if campaign.channels is not None and request.channel not in campaign.channels:
        wrong.append(f"channel {request.channel}")
    if campaign.categories is not None and ctx.categories != campaign.categories:
        outside = [shown(each) for each in ctx.categories if each not in campaign.categories]
        wrong += [f"data category {each}" for each in outside[:_MAX_TOLD]]
    return ", ".join(wrong)


class PauseRule(Rule):
    """No pause of any scope is on."""

    name = "pause"
    words = "no pause covers the request"
    recalls = True
    standing = True

    def passes_from(self, ctx: Context, t: int) -> int:
        for pause in ctx.world.pauses:
            if _pauses(pause, ctx):
                if pause.until_ms is None:
                    return NEVER
                t = max(t, pause.until_ms)
        return t

    def sure_until(self, ctx: Context, t: int) -> int:
        return t if self.passes_from(ctx, t) != t else NEVER

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        found = []
        for pause in ctx.world.pauses:
            if _pauses(pause, ctx) and (pause.until_ms is None or t < pause.until_ms):
                end = "lifted" if pause.until_ms is None else instant(pause.until_ms)
                found.append(Reason(f"pause.{pause.pause_id}", f"paused until {end}", pause.until_ms))
        return tuple(found)

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        pauses = ctx.world.pauses
        return tuple(f"pause {pause.pause_id}, set {instant(pause.time_ms)}" for pause in pauses if _pauses(pause, ctx))


def _pauses(pause: Pause, ctx: Context) -> bool:
    """Whether a pause is about the request, as its words are judged (SEMANTICS rule 37)."""
    request, known = ctx.request, ctx.world.vocabulary
    controllers = known.controllers(pause.controllers).names
    requesters = known.recipients(pause.requesters).names
    campaigns = known.campaigns(pause.campaigns).names
    channels = known.channels(pause.channels).names
    purposes = known.purposes(pause.purposes).names
    return (
        (controllers is None or folded(request.controller) in controllers)
        and (requesters is None or folded(request.requester) in requesters)
        and (campaigns is None or (request.campaign is not None and folded(request.campaign) in campaigns))
        and (channels is None or request.channel in channels)
        and (purposes is None or not ctx.prefixes.isdisjoint(purposes))
    )

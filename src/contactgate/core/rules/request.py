"""Rules about the request itself, the person's flags and suppressed addresses.

They look at the world and at a few facts of the person, never at contacts. Must never let a request pass whose purpose
nobody knows or whose address cannot be read.
"""

from __future__ import annotations

from contactgate.core.lifting import lifted
from contactgate.core.rule import NEVER, PERSONAL, Context, Rule, until
from contactgate.core.rules.consent import told_scope
from contactgate.model.facts import Mark, Reason
from contactgate.model.instants import instant
from contactgate.model.places import unknown
from contactgate.model.request import Request
from contactgate.model.synonyms import folded, shown
from contactgate.model.world import Suppression
from contactgate.policy.plan import Plan

_MAX_FACTS = 50
_MAX_TOLD = 5
_NEEDS_ADDRESS = frozenset({"voice", "sms", "email"})


class RequestRule(Rule):
    """The request can be read, and its own time has come and not gone."""

    name = "request"
    words = "the request can be read, and it is the time for it"
    bounds = True

    def passes_from(self, ctx: Context, t: int) -> int:
        request = ctx.request
        if _malformed(request):
            return NEVER
        if request.not_before_ms is not None and t < request.not_before_ms:
            t = request.not_before_ms
        if request.not_after_ms is not None and t >= request.not_after_ms:
            return NEVER
        return t

    def sure_until(self, ctx: Context, t: int) -> int:
        request = ctx.request
        if _malformed(request):
            return t
        if request.not_before_ms is not None and t < request.not_before_ms:
            return t
        return NEVER if request.not_after_ms is None else max(t, request.not_after_ms)

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        request = ctx.request
        found = []
        if request.malformed is not None:
            key = shown(request.malformed)
            words = f"the request has the key {key}, which is almost a known one"
            found.append(Reason("request.malformed", words, None, key))
        elif request.address_fault:
            found.append(Reason("request.malformed", "the address cannot be read", None, "address"))
        elif request.address is None and request.channel in _NEEDS_ADDRESS:
            words = f"a contact by {request.channel} needs an address"
            found.append(Reason("request.malformed", words, None, "address"))
        elif unknown(request.jurisdictions):
            words = "`jurisdictions` names a code that ISO 3166 does not have"
            found.append(Reason("request.malformed", words, None, "jurisdictions"))
        if request.not_before_ms is not None and t < request.not_before_ms:
            words = f"not to be made before {instant(request.not_before_ms)}"
            found.append(Reason("request.not_before", words, until(first)))
        if request.not_after_ms is not None and t >= request.not_after_ms:
            words = f"was to be made before {instant(request.not_after_ms)}"
            found.append(Reason("request.expired", words, None, "not_after"))
        return tuple(found)


def _malformed(request: Request) -> bool:
    return (
        request.address_fault
        or request.malformed is not None
        or (request.address is None and request.channel in _NEEDS_ADDRESS)
        or (request.jurisdictions != () and unknown(request.jurisdictions) != ())
    )


class PlaceRule(Rule):
    """The law that the person is under can be found: no jurisdiction of theirs is a code that nobody knows."""

    name = "policy"
    words = "every jurisdiction of the person is a known one"
    about = PERSONAL

    def passes_from(self, ctx: Context, t: int) -> int:
        return NEVER if unknown(ctx.profile.jurisdictions) else t

    def sure_until(self, ctx: Context, t: int) -> int:
        return t if unknown(ctx.profile.jurisdictions) else NEVER

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        words = "a jurisdiction of the person is no code of ISO 3166, so the law that applies is not known"
        return (Reason("policy.unavailable", words, None),)

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        return (f"jurisdictions set {instant(ctx.profile.jurisdictions_ms)}",) if ctx.profile.jurisdictions else ()


class PurposeRule(Rule):
    """The policy or an applying pack knows the purpose, and no jurisdiction is without a pack if that matters.

    Where both is so the rulebook leaves this rule out: a plan does not change.
    """

    name = "policy"

    def __init__(self, plan: Plan) -> None:
        self._known = bool(plan.bases)
        self._uncovered = plan.uncovered

    def passes_from(self, ctx: Context, t: int) -> int:
        return t if self._known and not self._uncovered else NEVER

    def sure_until(self, ctx: Context, t: int) -> int:
        return NEVER if self._known and not self._uncovered else t

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        found = []
        if not self._known:
            words = f"neither the policy nor a pack says anything about the purpose {ctx.request.purpose}"
            found.append(Reason("policy.unknown_purpose", words, None))
        if self._uncovered:
            words = f"no chosen pack covers {', '.join(self._uncovered)}"
            found.append(Reason("policy.unavailable", words, None))
        return tuple(found)


class WordsRule(Rule):
    """The channel, the purpose and the data categories of the request are known words (SEMANTICS rules 37 and 48).

    An unknown channel is met by no restriction, and an unknown purpose by none of what it was meant to be.
    """

    name = "request.words"
    words = "the channel, the purpose and the data categories are known"
    standing = True

    def passes_from(self, ctx: Context, t: int) -> int:
        request, known = ctx.request, ctx.world.vocabulary
        understood = known.knows_channel(request.channel) and known.knows_purpose(request.purpose)
        return t if understood and all(map(known.knows_category, ctx.categories)) else NEVER

    def sure_until(self, ctx: Context, t: int) -> int:
        return t if self.passes_from(ctx, t) != t else NEVER

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        request, known = ctx.request, ctx.world.vocabulary
        found = []
        if not known.knows_channel(request.channel):
            words = f"`channel` names {shown(request.channel)}, which is no channel of the policy"
            found.append(Reason("request.malformed", words, None, "channel"))
        if not known.knows_purpose(request.purpose):
            words = f"neither the policy nor a pack says anything about the purpose {shown(request.purpose)}"
            found.append(Reason("policy.unknown_purpose", words, None))
        strange = [shown(each) for each in ctx.categories if not known.knows_category(each)]
        if strange:
            words = f"`data_categories` names {', '.join(strange[:_MAX_TOLD])}, which the policy does not know"
            found.append(Reason("request.malformed", words, None, "data_categories"))
        return tuple(found)


class FlagsRule(Rule):
    """Nobody contacts the dead; minors, and usually the vulnerable, get no marketing; an unknown flag stops all."""

    name = "subject"
    words = "no flag of the person forbids this"
    about = PERSONAL
    recalls = True

    def __init__(self, plan: Plan) -> None:
        stops = {"deceased": "the person is reported to have died"}
        if plan.marketing:
            stops["minor"] = "the person is a minor, and this is marketing"
            if plan.vulnerable_blocks:
                stops["vulnerable"] = "the person is vulnerable, and this is marketing"
        self._stops = stops

    def passes_from(self, ctx: Context, t: int) -> int:
        for mark in ctx.profile.marks:
            if mark.word in self._stops and _holds(mark, ctx):
                return NEVER
        for flag in ctx.profile.flags:
            if not ctx.world.vocabulary.knows_flag(flag):
                return NEVER
        return t

    def sure_until(self, ctx: Context, t: int) -> int:
        return t if self.passes_from(ctx, t) != t else NEVER

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        stops = self._stops
        marked = {mark.word for mark in ctx.profile.marks if mark.word in stops and _holds(mark, ctx)}
        found = [Reason(f"subject.{word}", stops[word], None) for word in sorted(marked)]
        unknown = [shown(flag) for flag in ctx.profile.flags if not ctx.world.vocabulary.knows_flag(flag)]
        if unknown:
            words = f"nobody knows the flag {', '.join(unknown[:5])}: declare it under `flags`, or correct it"
            found.append(Reason("subject.unknown_flag", words, None))
        return tuple(found)

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        flags = ctx.profile.flags
        lines = [f"flags {', '.join(map(shown, flags))}, set {instant(ctx.profile.flags_ms)}"] if flags else []
        for mark in ctx.profile.marks:
            told = "ended" if mark.ends else "set" if _holds(mark, ctx) else "set, and ended since,"
            lines.append(f"flag {mark.word} {told} {instant(mark.time_ms)}")
        return tuple(lines)


def _holds(mark: Mark, ctx: Context) -> bool:
    """Whether a mark sets a flag, and none that ends it is newer."""
    skew = ctx.limits.clock_skew_ms
    return not mark.ends and not any(
        other.ends
        and other.word == mark.word
        and lifted(mark.time_ms, mark.arrived_ms, other.time_ms, other.arrived_ms, skew)
        for other in ctx.profile.marks
    )


class SuppressionRule(Rule):
    """The address is not suppressed, and was not reported as somebody else's."""

    name = "address.suppressed"
    words = "the address is not suppressed"
    recalls = True

    def passes_from(self, ctx: Context, t: int) -> int:
        for address in ctx.request.addresses:
            if address in ctx.profile.wrong_addresses:
                return NEVER
            for suppression in ctx.world.suppressed(address):
                if _suppresses(suppression, ctx):
                    if suppression.expires_ms is None:
                        return NEVER
                    t = max(t, suppression.expires_ms)
        return t

    def sure_until(self, ctx: Context, t: int) -> int:
        suppressed, wrong = ctx.world.suppressions, ctx.profile.wrong_addresses
        if not any(address in suppressed or address in wrong for address in ctx.request.addresses):
            return NEVER
        return t if self.passes_from(ctx, t) != t else NEVER

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        if not set(ctx.profile.wrong_addresses).isdisjoint(ctx.request.addresses):
            words = "the address was reported not to be the person's"
        else:
            words = ", ".join(sorted({each.reason for each in self._binding(ctx, t)}))
            words = f"the address is suppressed: {words}"
        return (Reason(self.name, words, until(first)),)

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        binding, in_force = self._binding(ctx, t), ctx.world.suppressed(ctx.request.address or "")
        looked_at = ctx.world.suppressions.get(ctx.request.address or "", ())[-_MAX_FACTS:]
        return tuple(
            f"suppressed {instant(each.time_ms)} by event {each.event_id}: {each.reason}"
            + _besides(each, ctx, binds=each in binding, released=each not in in_force)
            for each in looked_at
        )

    def _binding(self, ctx: Context, t: int) -> list[Suppression]:
        found = [
            each
            for address in ctx.request.addresses
            for each in ctx.world.suppressed(address)
            if _suppresses(each, ctx) and (each.expires_ms is None or t < each.expires_ms)
        ]
        return list(dict.fromkeys(found))  # one suppression binds every form


def _besides(suppression: Suppression, ctx: Context, *, binds: bool, released: bool) -> str:
    if released:
        return ": released since"
    return "" if binds else f": not for this request, {_misses(suppression, ctx)}"


def _misses(suppression: Suppression, ctx: Context) -> str:
    """Why a suppression does not bind the request, for people."""
    request, known = ctx.request, ctx.world.vocabulary
    if _suppresses(suppression, ctx):
        return f"it ended {instant(suppression.expires_ms or 0)}"
    channels, controllers = known.channels(suppression.channels).names, known.controller(suppression.controller).names
    campaigns = known.campaigns(suppression.campaigns).names
    if channels is not None and request.channel not in channels:
        return told_scope("channels", suppression.channels)
    if controllers is not None and folded(request.controller) not in controllers:
        return told_scope("controller", (suppression.controller or "",))
    if campaigns is not None and (request.campaign is None or folded(request.campaign) not in campaigns):
        return told_scope("campaigns", suppression.campaigns)
    return told_scope("purposes", suppression.purposes)


def _suppresses(suppression: Suppression, ctx: Context) -> bool:
    """Whether a suppression is about the request: as written, or as its words are judged (SEMANTICS rule 37)."""
    request, known = ctx.request, ctx.world.vocabulary
    if suppression.channels is not None and request.channel not in suppression.channels:
        names = known.channels(suppression.channels).names
        if names is not None and request.channel not in names:
            return False
    if suppression.controller is not None and request.controller != suppression.controller:
        names = known.controller(suppression.controller).names
        if names is not None and folded(request.controller) not in names:
            return False
    if suppression.campaigns is not None and request.campaign not in suppression.campaigns:
        names = known.campaigns(suppression.campaigns).names
        if names is not None and (request.campaign is None or folded(request.campaign) not in names):
            return False
    if suppression.purposes is None or ctx.covered_by(suppression.purposes):
        return True
    names = known.purposes(suppression.purposes).names
    return names is None or not ctx.prefixes.isdisjoint(names)

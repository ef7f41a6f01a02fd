"""Consent: which grants count for a request, and the rules made of that (SEMANTICS rules 14 to 22).

A grant counts when controller, purpose, channel, recipient, data categories, notice and evidence fit, when it is newer
than every withdrawal that reaches the request, and from its start until its end. Must never let an unknown thing count.
"""

from __future__ import annotations

import msgspec

from contactgate.core.lifting import lifted
from contactgate.core.rule import NEVER, PERSONAL, WITHDRAWALS, Context, Rule, prefixes, until
from contactgate.core.rules.relations import relation_from, relation_until
from contactgate.core.time.calendars import anniversary_over, days_after, months_after
from contactgate.model.facts import FOREVER_MS, Grant, Reason, Withdrawal
from contactgate.model.instants import instant
from contactgate.model.synonyms import folded, shown
from contactgate.model.world import Notice
from contactgate.policy.plan import Basis

_MAX_TOLD = 5
_MAX_FACTS = 50
"""Words of a scope, and facts of one sort, that are told to people."""
_MISSING, _WITHDRAWN = ["consent.missing"], ["consent.withdrawn"]
_WORDS = {
    "consent.withdrawn": "the consent was withdrawn",
    "consent.recipient": "the consent does not name this requester as a recipient",
    "consent.data_category": "the consent does not cover the data categories asked for",
    "consent.evidence": "the evidence of the consent is weaker than the policy asks for",
    "notice.unknown": "the notice of the consent is not known",
    "notice.outside": "the consent lies outside the notice that was in force when it was given",
}


def reaches(withdrawal: Withdrawal, ctx: Context, basis: Basis | None) -> bool:
    """Whether an opt-out is about this request: as written, or as its words are judged (SEMANTICS rule 37)."""
    request, known = ctx.request, ctx.world.vocabulary
    if withdrawal.controller is not None and withdrawal.controller != request.controller:
        names = known.controller(withdrawal.controller).names
        if names is not None and folded(request.controller) not in names:
            return False
    if withdrawal.channels is not None and request.channel not in withdrawal.channels:
        names = known.channels(withdrawal.channels).names
        if names is not None and request.channel not in names:
            return False
    if withdrawal.recipients is not None and request.requester not in withdrawal.recipients:
        names = known.recipients(withdrawal.recipients).names
        if names is not None and folded(request.requester) not in names:
            return False
    if withdrawal.purposes is None or ctx.covered_by(withdrawal.purposes):
        return True
    names = known.purposes(withdrawal.purposes).names
    if names is None or not ctx.prefixes.isdisjoint(names):
        return True
    revokes_from = None if basis is None else basis.revokes_all_from_ms
    return revokes_from is not None and withdrawal.time_ms >= revokes_from


def withdrawals_about(ctx: Context, basis: Basis | None) -> tuple[Withdrawal, ...]:
    """The opt-outs that are about this request."""
    return tuple([each for each in ctx.state.withdrawals if reaches(each, ctx, basis)]) if ctx.state.withdrawals else ()


def is_lifted(withdrawal: Withdrawal, grant: Grant, ctx: Context) -> bool:
    """Whether a consent was given after an opt-out, as far as clocks can be trusted."""
    skew = ctx.limits.clock_skew_ms
    return lifted(withdrawal.time_ms, withdrawal.arrived_ms, grant.time_ms, grant.arrived_ms, skew)


def misses(withdrawal: Withdrawal, ctx: Context) -> str:
    """Which word of an opt-out keeps it from a request that it does not reach, for people."""
    request, known = ctx.request, ctx.world.vocabulary
    controllers, recipients = (
        known.controller(withdrawal.controller).names,
        known.recipients(withdrawal.recipients).names,
    )
    channels = known.channels(withdrawal.channels).names
    if controllers is not None and folded(request.controller) not in controllers:
        return told_scope("controller", (withdrawal.controller or "",))
    if channels is not None and request.channel not in channels:
        return told_scope("channels", withdrawal.channels)
    if recipients is not None and folded(request.requester) not in recipients:
        return told_scope("recipients", withdrawal.recipients)
    return told_scope("purposes", withdrawal.purposes)


def told_scope(field: str, written: tuple[str, ...] | None) -> str:
    """`it is for the channels sms and mail only`, in few words whatever was written."""
    words = [shown(word) for word in (written or ())[:_MAX_TOLD]]
    more = f" and {len(written or ()) - _MAX_TOLD} more" if len(written or ()) > _MAX_TOLD else ""
    return f"it names the {field} {', '.join(words)}{more}"


def is_about(grant: Grant, ctx: Context) -> bool:
    """Whether a grant names the controller, the channel and the purpose of the request."""
    request = ctx.request
    return (
        grant.controller == request.controller
        and request.channel in grant.channels
        and not ctx.prefixes.isdisjoint(grant.purposes)
    )


def notice_fault(ctx: Context, grant: Grant) -> str | None:
    """Why the notice of a grant does not carry it; None if it does (SEMANTICS: notice.published, rule 22)."""
    versions = ctx.world.notices.get(grant.notice_id) if grant.notice_id is not None else None
    if not versions:
        return "notice.unknown" if ctx.limits.requirements.notice else None
    if grant.notice_id in ctx.world.doubtful_notices:
        return _doubtful_fault(versions, grant)
    in_force = None
    for version in versions:
        if version.effective_ms <= grant.time_ms:
            in_force = version
    if in_force is None:
        return "notice.unknown"  # it is known by now, but was not in force: a known notice binds
    return None if _carries(in_force, grant) else "notice.outside"


def _carries(notice: Notice, grant: Grant) -> bool:
    """Whether a notice that was in force carries all that a grant gives."""
    return (notice.expires_ms is None or grant.time_ms < notice.expires_ms) and _inside(grant, notice)


def _doubtful_fault(records: tuple[Notice, ...], grant: Grant) -> str | None:
    """The same where several records of one version hold: a grant must lie inside each that may have been in force."""
    versions: dict[int, list[Notice]] = {}
    for record in records:
        versions.setdefault(record.version, []).append(record)

    def surely_replaced(one: Notice) -> bool:
        """Whether another version was in force instead, whichever of its records is meant."""
        return any(
            all(r.effective_ms <= grant.time_ms and _later(r, one) for r in others)
            for version, others in versions.items()
            if version != one.version
        )

    if not any(all(r.effective_ms <= grant.time_ms for r in told) for told in versions.values()):
        return "notice.unknown"
    possible = [r for r in records if r.effective_ms <= grant.time_ms and not surely_replaced(r)]
    return None if all(_carries(record, grant) for record in possible) else "notice.outside"


def _later(one: Notice, other: Notice) -> bool:
    return (one.effective_ms, one.version) > (other.effective_ms, other.version)


def _inside(grant: Grant, notice: Notice) -> bool:
    """Whether the notice covers all that a grant gives. It need not name the controller itself."""
    if notice.controller != grant.controller:
        return False
    if notice.purposes is not None and notice.purposes != grant.purposes:
        for purpose in grant.purposes:
            if prefixes(purpose).isdisjoint(notice.purposes):
                return False
    if notice.recipients is not None and grant.recipients is not None and notice.recipients != grant.recipients:
        for recipient in grant.recipients:
            if recipient not in notice.recipients and recipient != grant.controller:
                return False
    return grant.categories is None or _within(grant.categories, notice.categories)


def _within(inner: tuple[str, ...], outer: tuple[str, ...] | None) -> bool:
    if outer is not None and inner != outer:
        for each in inner:
            if each not in outer:
                return False
    return True


def faults(ctx: Context, grant: Grant, basis: Basis | None, withdrawals: tuple[Withdrawal, ...]) -> list[str]:
    """Why a grant that is about the request does not count at any time; empty if it does."""
    request = ctx.request
    found = []
    for withdrawal in withdrawals:
        if not is_lifted(withdrawal, grant, ctx):
            found.append("consent.withdrawn")
            break
    if grant.recipients is None:
        if request.requester != grant.controller:
            found.append("consent.recipient")
    elif request.requester not in grant.recipients:
        found.append("consent.recipient")
    if grant.categories is None or not _within(ctx.categories, grant.categories):
        found.append("consent.data_category")
    notice = notice_fault(ctx, grant)
    if notice is not None:
        found.append(notice)
    if basis is not None and basis.evidence is not None and grant.evidence not in basis.evidence:
        found.append("consent.evidence")
    return found


def starts(grant: Grant) -> int:
    """From when a grant counts: its `effective_at`, and never before it was given."""
    return grant.time_ms if grant.effective_ms is None else max(grant.time_ms, grant.effective_ms)


def ends(ctx: Context, grant: Grant, basis: Basis | None) -> int:
    """Until when a grant counts: its stated end, else the period of the basis; never longer than the basis allows."""
    if grant.expires_ms is not None:
        end = NEVER if grant.expires_ms >= FOREVER_MS else grant.expires_ms
    elif basis is None:
        return NEVER
    elif basis.default_months is not None:
        end = _months_end(ctx, grant, basis, basis.default_months)
    elif basis.default_days is not None:
        end = days_after(grant.time_ms, basis.default_days, ctx.zones)
    else:
        end = NEVER
    if basis is not None and basis.max_months is not None:
        end = min(end, _months_end(ctx, grant, basis, basis.max_months))
    return end


def _months_end(ctx: Context, grant: Grant, basis: Basis, months: int) -> int:
    """The end of a period of months: where the law says so, that of its last date (SEMANTICS rule 57)."""
    if basis.anniversary_zone is None:
        return months_after(grant.time_ms, months, ctx.zones)
    return anniversary_over(grant.time_ms, months, basis.anniversary_zone)


class Judged(msgspec.Struct, frozen=True, gc=False):
    """A grant that is about the request: it counts for start <= t < end, unless it has faults."""

    start: int
    end: int
    grant: Grant
    faults: list[str]  # why it counts at no time


def judged(ctx: Context, basis: Basis | None) -> list[Judged]:
    """The grants about the request, newest first. Remembered in the context."""
    found: list[Judged] | None = ctx.memo.get(id(basis))
    if found is None:
        found = []
        state, request, purposes, known = ctx.state, ctx.request, ctx.prefixes, ctx.world.vocabulary
        controller, channel = request.controller, request.channel
        withdrawals = withdrawals_about(ctx, basis)
        for grant in reversed(state.grants):
            # The same as `is_about`, which all but a few of them fail.
            if grant.controller != controller or channel not in grant.channels or purposes.isdisjoint(grant.purposes):
                continue
            if known.unknown_in_grant(grant.channels, grant.purposes, grant.categories) is not None:
                continue  # what is half understood permits nothing
            found.append(Judged(starts(grant), ends(ctx, grant, basis), grant, faults(ctx, grant, basis, withdrawals)))
        ctx.memo[id(basis)] = found
    return found


def counting(ctx: Context, basis: Basis | None) -> list[Judged]:
    """The grants that count for the request, newest first."""
    return [each for each in judged(ctx, basis) if not each.faults and each.start < each.end]


def counting_under(ctx: Context, bases: tuple[Basis | None, ...]) -> list[Judged]:
    """The grants that count under every one of the bases, each until its first end."""
    found = counting(ctx, bases[0])
    for basis in bases[1:]:
        others = {id(each.grant): each.end for each in counting(ctx, basis)}
        found = [
            Judged(each.start, min(each.end, others[id(each.grant)]), each.grant, each.faults)
            for each in found
            if id(each.grant) in others
        ]
    return found


def consented_from(
    ctx: Context, bases: tuple[Basis | None, ...], t: int, newer_than: tuple[int, int] | None = None
) -> int:
    """The first instant at or after t at which one grant counts under every one of the bases, or NEVER.

    `newer_than`: when something else that only a newer consent ends was stamped, and when it arrived.
    """
    first, skew = NEVER, ctx.limits.clock_skew_ms
    for each in counting_under(ctx, bases) if len(bases) > 1 else counting(ctx, bases[0]):
        if t < each.end and (
            newer_than is None or lifted(*newer_than, each.grant.time_ms, each.grant.arrived_ms, skew)
        ):
            if each.start <= t:
                return t
            if each.start < first:
                first = each.start
    return first


class ConsentRule(Rule):
    """What one source (the house policy or a pack) asks of consent."""

    recalls = True
    bounds = True

    def __init__(self, basis: Basis) -> None:
        self.basis = basis
        self.name = f"consent:{basis.source}"
        self.about = WITHDRAWALS if basis.consent == "opt_out" else 0
        self._own = (basis,)
        self._told: dict[str, Reason] = {}

    def passes_from(self, ctx: Context, t: int) -> int:
        basis = self.basis
        if basis.consent == "opt_out":
            if not withdrawals_about(ctx, basis):
                return t
            return consented_from(ctx, self._own, t)
        first = consented_from(ctx, self._own, t) if judged(ctx, basis) else NEVER
        if first == t or not basis.unless_relations or withdrawals_about(ctx, basis):
            return first
        return min(first, relation_from(ctx, basis.unless_relations, t))

    def sure_until(self, ctx: Context, t: int) -> int:
        basis = self.basis
        withdrawn = bool(withdrawals_about(ctx, basis))
        if basis.consent == "opt_out" and not withdrawn:
            return NEVER
        end = t
        for each in judged(ctx, basis):
            if each.start <= t and each.end > end and not each.faults:
                end = each.end
        if not withdrawn and basis.unless_relations:
            end = max(end, relation_until(ctx, basis.unless_relations, t))
        return end

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        codes = self._codes(ctx, t)
        if first >= NEVER:
            return tuple([self._lasting(code) for code in codes])
        return tuple([Reason(code, self._words(code, first), first) for code in codes])

    def _lasting(self, code: str) -> Reason:
        """The reason that does not end by itself; one for each code, for there are few and most are of this sort."""
        reason = self._told.get(code)
        if reason is None:
            reason = self._told[code] = Reason(code, self._words(code, None), None)
        return reason

    def _codes(self, ctx: Context, t: int) -> list[str]:
        """Every failure of the grant that fails least, the newest of those."""
        if self.basis.consent == "opt_out":
            return _WITHDRAWN
        closest: list[str] | None = None
        for each in judged(ctx, self.basis):
            found = [*each.faults]
            if t < each.start:
                found.append("consent.not_yet_effective")
            if t >= each.end:
                found.append("consent.expired")
            if closest is None or len(found) < len(closest):
                closest = found
        if closest is None:
            return _WITHDRAWN if withdrawals_about(ctx, self.basis) else _MISSING
        return closest

    def _words(self, code: str, first: int | None) -> str:
        source = "the policy" if self.basis.source == "policy" else f"pack {self.basis.source}"
        if code == "consent.missing":
            return f"{source} asks for consent to this controller, purpose and channel, and there is none"
        if code == "consent.not_yet_effective":
            return "the consent takes effect later" if first is None else f"the consent takes effect {instant(first)}"
        if code == "consent.expired":
            return "the consent has ended"
        return _WORDS[code]

    def holds_because(self, ctx: Context, t: int) -> str:
        basis = self.basis
        if basis.consent == "opt_out" and not withdrawals_about(ctx, basis):
            return "no consent is needed and nothing was withdrawn"
        if consented_from(ctx, self._own, t) == t:
            return "a consent covers the request"
        return "a business relationship stands in for consent"

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        lines = [
            f"granted {instant(grant.time_ms)} by event {grant.event_id}{self._period(ctx, grant)}"
            for grant in ctx.state.grants
            if is_about(grant, ctx)
        ]
        lines += [
            f"withdrawn {instant(withdrawal.time_ms)} by event {withdrawal.event_id}"
            + ("" if reaches(withdrawal, ctx, self.basis) else f": not for this request, {misses(withdrawal, ctx)}")
            for withdrawal in ctx.state.withdrawals[-_MAX_FACTS:]
        ]
        return tuple(lines)

    def _period(self, ctx: Context, grant: Grant) -> str:
        end = ends(ctx, grant, self.basis)
        words = f", counts from {instant(starts(grant))}"
        return words if end >= NEVER else f"{words} until {instant(end)}"


class ErasedRule(Rule):
    """INVARIANT (erased is closed): an erased person is left alone until a newer consent covers the request."""

    name = "subject.erased"
    words = "the person was not erased, or consented again"
    about = PERSONAL
    recalls = True

    def __init__(self, bases: tuple[Basis, ...]) -> None:
        # No basis at all (`none`) still asks for a consent here; any evidence will do then.
        self._bases: tuple[Basis | None, ...] = tuple(b for b in bases if b.consent != "none") or (None,)

    def passes_from(self, ctx: Context, t: int) -> int:
        profile = ctx.profile
        if not profile.erased_ms:
            return t
        return consented_from(ctx, self._bases, t, newer_than=(profile.erased_ms, profile.erased_arrived_ms))

    def sure_until(self, ctx: Context, t: int) -> int:
        if not ctx.profile.erased_ms:
            return NEVER
        return t if self.passes_from(ctx, t) != t else t + 1

    def reasons(self, ctx: Context, t: int, first: int) -> tuple[Reason, ...]:
        words = "the person was erased, and no newer consent covers the request"
        return (Reason("subject.erased", words, until(first)),)

    def facts(self, ctx: Context, t: int) -> tuple[str, ...]:
        erased = ctx.profile.erased_ms
        return (f"erased {instant(erased)}",) if erased else ()

"""The decision: pass only if every rule holds now; else every reason, and the first instant at which it would pass.

Pure and total: whatever the input, the answer is a decision. A rule that raises blocks as `rule.error:<name>` and the
others are still reported. A pass reserves its place in the state it returns; a request that was seen gets its first
decision again, unless what it was given has become illegal. Must never look at a clock or let an exception out.
"""

from __future__ import annotations

from operator import attrgetter

from contactgate.core.judge import ask, error, failures
from contactgate.core.next_eligible import next_eligible
from contactgate.core.outcomes import RESTRICTING
from contactgate.core.rule import context
from contactgate.core.rulebook import Rulebook, kind_at, rulebook_at
from contactgate.core.world import Policy, World
from contactgate.model.decision import Decision
from contactgate.model.facts import Contact, Reason, Seen, SubjectState
from contactgate.model.request import Request

_request_id = attrgetter("request_id")


def decide(request: Request, state: SubjectState, world: World, now_ms: int) -> tuple[Decision, SubjectState]:
    """The decision on a request at an instant, and the state after it."""
    policy = world.policy
    if policy is not None:
        state = prune(state, policy, now_ms)
    if request.request_id in map(_request_id, state.seen):
        seen = next(seen for seen in state.seen if seen.request_id == request.request_id)
        return _again(request, seen, state, world, now_ms), state
    if policy is None:
        reason = Reason("policy.unavailable", "no policy is in force", None)
        return _blocked(request, state, (reason,), None, now_ms)
    try:
        ctx = context(request, state, world, policy)
        book: Rulebook = kind_at(ctx, now_ms).book
    except Exception:  # noqa: BLE001  a policy that fails must block, not stop the stream
        return _blocked(request, state, (error("policy"),), None, now_ms)
    asked = book.asked(ctx)
    answers = ask(asked.questions, ctx, now_ms)
    if min(answers) > now_ms:
        end = min(now_ms + policy.limits.approval_ttl_ms, book.until_ms)
        for at in asked.bounds:
            if answers[at] < end:
                end = answers[at]
        return _passed(request, state, book.jurisdictions, end, now_ms)
    reasons, failing = failures(asked.rules, answers, ctx, now_ms)
    first = next_eligible(ctx, book, asked.rules, answers, failing, now_ms)
    return _blocked(request, state, reasons, first, now_ms)


def prune(state: SubjectState, policy: Policy, now_ms: int) -> SubjectState:
    """The state without what can no longer matter: requests past the horizon, contacts that no rule looks back at."""
    limits = policy.limits
    seen, contacts = state.seen, state.contacts
    latest, oldest = now_ms - limits.dedup_horizon_ms, now_ms - limits.contact_history_ms
    if (not seen or seen[0].decided_ms > latest) and (not contacts or contacts[0].time_ms > oldest):
        return state
    seen = tuple(each for each in seen if each.decided_ms > latest)
    kept = policy.outcomes_kept_forever | RESTRICTING
    contacts = tuple(
        each
        for each in contacts
        if max(each.time_ms, each.outcome_ms, each.valid_until_ms) > oldest or each.outcome in kept
    )
    if len(seen) == len(state.seen) and len(contacts) == len(state.contacts):
        return state
    return SubjectState(state.profile, state.grants, state.withdrawals, contacts, seen)


def asked_again(contact: Contact, request: Request) -> bool:
    """Whether a request with the id of an approval asks for the same contact."""
    return (
        contact.requester == request.requester
        and contact.controller == request.controller
        and contact.purpose == request.purpose
        and contact.channel == request.channel
        and contact.campaign == request.campaign
        and contact.address == request.address
        and contact.categories == request.categories
        and contact.mode == request.mode
    )


def request_of(contact: Contact) -> Request:
    """The request that an approval was given for, as far as the rules that recall ask for it."""
    return Request(
        request_id=contact.request_id,
        subject_id="",
        time_ms=contact.time_ms,
        requester=contact.requester,
        controller=contact.controller,
        purpose=contact.purpose,
        channel=contact.channel,
        campaign=contact.campaign,
        categories=contact.categories,
        matter=contact.matters[0] if contact.matters else None,
        mode=contact.mode,
        address=contact.address,
        number_zones=contact.number_zones,
        jurisdictions=contact.jurisdictions,
    )


def recall_reasons(request: Request, state: SubjectState, world: World, now_ms: int) -> tuple[Reason, ...]:
    """What would recall an approval of this request now; empty if nothing would."""
    policy = world.policy
    if policy is None:
        return (Reason("policy.unavailable", "no policy is in force", None),)
    try:
        ctx = context(request, state, world, policy)
        asked = rulebook_at(ctx, now_ms).recalls
        return failures(asked.rules, ask(asked.questions, ctx, now_ms), ctx, now_ms)[0]
    except Exception:  # noqa: BLE001  a policy that fails must block, not stop the stream
        return (error("policy"),)


def _again(request: Request, seen: Seen, state: SubjectState, world: World, now_ms: int) -> Decision:
    """The first decision again; but a pass that has become illegal since blocks."""
    if seen.reasons:
        return Decision(seen.reasons, seen.next_eligible_ms, None, None, now_ms, duplicate=True)
    reasons = recall_reasons(request, state, world, now_ms)
    contact = approval_of(state, seen.request_id)
    if contact is not None:
        if not asked_again(contact, request):
            reasons += recall_reasons(request_of(contact), state, world, now_ms)
        if contact.recalled is not None and not any(reason.rule == contact.recalled for reason in reasons):
            reasons += (Reason(contact.recalled, "the approval was recalled", None),)
    if reasons:
        return Decision(_distinct(reasons), None, None, None, now_ms, duplicate=True)
    return Decision((), None, None, seen.valid_until_ms, now_ms, duplicate=True, approved_ms=seen.decided_ms)


def approval_of(state: SubjectState, request_id: str) -> Contact | None:
    """The newest approval of a request."""
    for contact in reversed(state.contacts):
        if contact.request_id == request_id:
            return contact
    return None


def _passed(
    request: Request, state: SubjectState, jurisdictions: tuple[str, ...], end: int, now_ms: int
) -> tuple[Decision, SubjectState]:
    """A pass, which reserves its place at once. See INVARIANT (reserve before emit)."""
    contact = Contact.approved(request, jurisdictions, now_ms, end)
    after = SubjectState(
        state.profile,
        state.grants,
        state.withdrawals,
        with_contact(state.contacts, contact),
        _with_seen(state.seen, Seen(request.request_id, now_ms, (), None, end)),
    )
    return Decision(
        reasons=(),
        next_eligible_ms=None,
        approval_id=None,
        valid_until_ms=end,
        decided_ms=now_ms,
        duplicate=False,
        approved_ms=now_ms,
    ), after


def _blocked(
    request: Request, state: SubjectState, reasons: tuple[Reason, ...], first: int | None, now_ms: int
) -> tuple[Decision, SubjectState]:
    seen = Seen(request.request_id, now_ms, reasons, first, None)
    after = SubjectState(state.profile, state.grants, state.withdrawals, state.contacts, _with_seen(state.seen, seen))
    return Decision(reasons, first, None, None, now_ms), after


def with_contact(contacts: tuple[Contact, ...], contact: Contact) -> tuple[Contact, ...]:
    """The contacts with one more, still sorted by (time_ms, request_id, event_id)."""
    if not contacts or contacts[-1].time_ms < contact.time_ms:
        return (*contacts, contact)
    return tuple(sorted((*contacts, contact), key=_contact_order))


def _contact_order(contact: Contact) -> tuple[int, str, str]:
    return (contact.time_ms, contact.request_id, contact.event_id)


def _with_seen(seen: tuple[Seen, ...], one: Seen) -> tuple[Seen, ...]:
    if not seen or seen[-1].decided_ms < one.decided_ms:
        return (*seen, one)
    if seen[-1].decided_ms == one.decided_ms and seen[-1].request_id < one.request_id:  # of one batch
        return (*seen, one)
    return tuple(sorted((*seen, one), key=lambda each: (each.decided_ms, each.request_id)))


def _distinct(reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    return tuple({reason.rule: reason for reason in reversed(reasons)}.values())[::-1]

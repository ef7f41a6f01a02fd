"""The decision: pass only if every rule holds now; else every reason, and the first instant at which it would pass.

Pure and total: whatever the input, the answer is a decision. A rule that raises blocks as `rule.error:<name>` and the
others are still reported. A pass reserves its place in the state it returns; a request that was approved gets that
answer again as long as the approval may be used, and is never approved twice. Must never look at a clock or let an
exception out.
"""

from __future__ import annotations

from operator import attrgetter

import msgspec

from contactgate.core.hearing import heard, meaning
from contactgate.core.judge import ask, error, failures
from contactgate.core.next_eligible import next_eligible
from contactgate.core.outcomes import RESTRICTING
from contactgate.core.rule import categories_of, context
from contactgate.core.rulebook import Rulebook, kind_at, rulebook_at
from contactgate.core.world import Policy, World
from contactgate.model.decision import Decision
from contactgate.model.facts import Contact, Reason, SubjectState
from contactgate.model.instants import instant
from contactgate.model.request import Request

_request_id = attrgetter("request_id")


def decide(request: Request, state: SubjectState, world: World, now_ms: int) -> tuple[Decision, SubjectState]:
    """The decision on a request at an instant, and the state after it."""
    policy = world.policy
    if policy is None:
        reason = Reason("policy.unavailable", "no policy is in force", None)
        return _blocked((reason,), categories_of(request, world), now_ms), state
    state = prune(state, policy, now_ms)
    known = heard(state, policy)
    if request.request_id in map(_request_id, state.contacts):
        again = _again(request, known, world, policy, now_ms)
        if again is not None:
            return again, state
    try:
        ctx = context(request, known, world, policy)
        book: Rulebook = kind_at(ctx, now_ms).book
    except Exception:  # noqa: BLE001  a policy that fails must block, not stop the stream
        return _blocked((error("policy"),), categories_of(request, world), now_ms), state
    asked = book.asked(ctx)
    answers = ask(asked.questions, ctx, now_ms)
    if min(answers) > now_ms:
        end = min(now_ms + policy.limits.approval_ttl_ms, book.until_ms)
        for at in asked.bounds:
            if answers[at] < end:
                end = answers[at]
        return _passed(request, state, ctx.categories, book.jurisdictions, end, now_ms)
    reasons, failing = failures(asked.rules, answers, ctx, now_ms)
    first, assumes = next_eligible(ctx, book, asked.rules, answers, failing, now_ms)
    return Decision(
        reasons=reasons,
        next_eligible_ms=first,
        valid_until_ms=None,
        decided_ms=now_ms,
        categories=ctx.categories,
        assumes=assumes,
    ), state


def prune(state: SubjectState, policy: Policy, now_ms: int) -> SubjectState:
    """The state without what can no longer matter: contacts that no rule and no repeated request looks back at."""
    contacts, oldest = state.contacts, now_ms - policy.limits.contact_history_ms
    if not contacts or contacts[0].time_ms > oldest:
        return state
    kept = policy.outcomes_kept_forever | RESTRICTING
    told = {
        (each.request_id, each.decided_ms)
        for each in state.reports
        if each.time_ms > oldest or (meant := meaning(each.word, policy.words.outcomes)) is None or meant in kept
    }
    contacts = tuple(
        each
        for each in contacts
        if max(each.time_ms, each.outcome_ms, each.valid_until_ms) > oldest
        or each.outcome in kept
        or (each.request_id, each.time_ms) in told
    )
    if len(contacts) == len(state.contacts):
        return state
    approvals = {(each.request_id, each.time_ms) for each in contacts}
    reports = state.reports and tuple(
        each for each in state.reports if not each.decided_ms or (each.request_id, each.decided_ms) in approvals
    )
    return SubjectState(state.profile, state.grants, state.withdrawals, contacts, reports)


def differs(contact: Contact, request: Request) -> str | None:
    """The first field, as messages name it, in which a request asks for something else than an approval was given for.

    None if it asks for the same contact again; what may change are its time and its bounds (SEMANTICS rule 46).
    """
    asked = contact.asked_jurisdictions
    address = request.address if contact.address in request.address_forms else contact.address
    fields = (
        ("requester", contact.requester, request.requester),
        ("controller", contact.controller, request.controller),
        ("purpose", contact.purpose, request.purpose),
        ("channel", contact.channel, request.channel),
        ("campaign_id", contact.campaign, request.campaign),
        ("address", address, request.address),
        ("data_categories", contact.asked_categories, request.categories or None),
        ("matter_id", contact.asked_matter, request.matter),
        ("mode", contact.mode, request.mode),
        ("jurisdictions", asked, request.jurisdictions if asked is not None else None),
    )
    return next((name for name, before, now in fields if before != now), None)


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


def _again(request: Request, state: SubjectState, world: World, policy: Policy, now_ms: int) -> Decision | None:
    """The answer to a request whose id has a remembered approval (SEMANTICS rules 46, 47); None: none has one."""
    contact = approval_of(state, request.request_id)
    if contact is None or now_ms >= contact.time_ms + policy.limits.dedup_horizon_ms:
        return None
    field = differs(contact, request)
    if field is not None:
        words = f"an approval of this request_id is known, and `{field}` was different; use a new request_id"
        return _blocked((Reason("request.conflict", words, None, field),), categories_of(request, world), now_ms)
    if contact.outcome == "not_attempted" and not contact.unclear and now_ms > contact.time_ms:
        return None  # a second approval of one request and one millisecond would be the first one again
    open_now = is_open(contact, now_ms)
    reasons = recall_reasons(request_of(contact), state, world, now_ms) if open_now else ()
    if open_now and not reasons:
        return Decision(
            reasons=(),
            next_eligible_ms=None,
            valid_until_ms=contact.valid_until_ms,
            decided_ms=now_ms,
            duplicate=True,
            approved_ms=contact.time_ms,
            categories=contact.categories,
        )
    if contact.recalled is not None:
        reasons = (Reason(contact.recalled, "the approval was recalled", None),)
    words = f"this request was approved {instant(contact.time_ms)}, and that approval is over; use a new request_id"
    reasons = (Reason("request.answered", words, None, "request_id"), *reasons)
    return msgspec.structs.replace(_blocked(reasons, contact.categories, now_ms), duplicate=True)


def approval_of(state: SubjectState, request_id: str, decided_ms: int | None = None) -> Contact | None:
    """The newest approval of a request, or the one that was given at an instant."""
    for contact in reversed(state.contacts):
        if contact.request_id == request_id and decided_ms in (None, contact.time_ms):
            return contact
    return None


def is_open(contact: Contact, now_ms: int) -> bool:
    """Whether an approval may still be used."""
    unused = contact.outcome is None and not contact.unclear
    return unused and now_ms < contact.valid_until_ms and contact.recalled is None


def _passed(
    request: Request,
    state: SubjectState,
    categories: tuple[str, ...],
    jurisdictions: tuple[str, ...],
    end: int,
    now_ms: int,
) -> tuple[Decision, SubjectState]:
    """A pass, which reserves its place at once. See INVARIANT (reserve before emit)."""
    contact = Contact.approved(request, categories, jurisdictions, now_ms, end)
    contacts = with_contact(state.contacts, contact)
    after = SubjectState(state.profile, state.grants, state.withdrawals, contacts, state.reports)
    return Decision(
        reasons=(),
        next_eligible_ms=None,
        valid_until_ms=end,
        decided_ms=now_ms,
        duplicate=False,
        approved_ms=now_ms,
        categories=categories,
    ), after


def _blocked(reasons: tuple[Reason, ...], categories: tuple[str, ...], now_ms: int) -> Decision:
    """A block that time does not end. No block is remembered: a repeated request is decided from scratch."""
    return Decision(
        reasons=reasons,
        next_eligible_ms=None,
        valid_until_ms=None,
        decided_ms=now_ms,
        categories=categories,
    )


def with_contact(contacts: tuple[Contact, ...], contact: Contact) -> tuple[Contact, ...]:
    """The contacts with one more, still sorted by (time_ms, request_id, event_id)."""
    if not contacts or contacts[-1].time_ms < contact.time_ms:
        return (*contacts, contact)
    return tuple(sorted((*contacts, contact), key=_contact_order))


def _contact_order(contact: Contact) -> tuple[int, str, str]:
    return (contact.time_ms, contact.request_id, contact.event_id)

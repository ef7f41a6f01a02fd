"""Reviews the open approvals of a person: what has become illegal is recalled (SEMANTICS rule 26).

INVARIANT (recall the illegal): an open approval that the rules of a request would refuse now is recalled, whatever
changed; the rest stays.

Only what is open can be recalled: no outcome yet, not past its end, not recalled before. Calling hours that close and
caps do not recall. What cannot be evaluated is recalled: nobody may go on using what can no longer be justified.
"""

from __future__ import annotations

import msgspec

from contactgate.core.decide import is_open, recall_reasons, request_of
from contactgate.core.hearing import heard
from contactgate.core.world import World
from contactgate.model.decision import Recall, RecallWord
from contactgate.model.facts import Contact, SubjectState

_WORDS: dict[str, RecallWord] = {
    "consent": "withdrawn",
    "notice": "withdrawn",
    "registry": "listed",
    "pause": "paused",
    "party": "party",
    "campaign": "campaign",
    "subject": "person",
}


def review(state: SubjectState, world: World, now_ms: int) -> tuple[SubjectState, tuple[Recall, ...]]:
    """The state after every open approval that must not be used any more was recalled, and the recalls."""
    recalls = []
    contacts = list(state.contacts)
    known = heard(state, world.policy)
    for at, contact in enumerate(known.contacts):
        if not is_open(contact, now_ms):
            continue
        # A late event is older than what it meets: nothing is judged at an instant before it was approved.
        rule = _recalling_rule(contact, known, world, max(now_ms, contact.time_ms))
        if rule is not None:
            contacts[at] = recalled(contacts[at], rule)
            recalls.append(recall(contact, rule))
    if not recalls:
        return state, ()
    after = SubjectState(state.profile, state.grants, state.withdrawals, tuple(contacts), state.reports)
    return after, tuple(recalls)


def open_until(state: SubjectState, now_ms: int) -> int:
    """The latest end of an approval that is still open; 0 if none is."""
    latest = 0
    for contact in state.contacts:
        if contact.valid_until_ms > latest and contact.outcome is None and contact.recalled is None:
            latest = contact.valid_until_ms
    return latest if latest > now_ms else 0


def recall(contact: Contact, rule: str) -> Recall:
    """What the requester is told: a word, and nothing about the person."""
    return Recall(
        request_id=contact.request_id,
        requester=contact.requester,
        channel=contact.channel,
        rule=rule,
        reason=recall_word(rule),
        approved_ms=contact.time_ms,
        has_handle=contact.asked_jurisdictions is not None,
    )


def recall_word(rule: str) -> RecallWord:
    """The vendor-safe word for a rule code."""
    if rule == "subject.erased":
        return "erased"
    if rule == "address.suppressed":
        return "suppressed"
    return _WORDS.get(rule.partition(".")[0], "withdrawn")


def recalled(contact: Contact, rule: str) -> Contact:
    """The approval, marked as recalled."""
    return msgspec.structs.replace(contact, recalled=rule)


def _recalling_rule(contact: Contact, state: SubjectState, world: World, now_ms: int) -> str | None:
    if world.policy is None:
        return None  # nothing new passes without a policy; what was approved under one stays as it was
    reasons = recall_reasons(request_of(contact), state, world, now_ms)
    return reasons[0].rule if reasons else None

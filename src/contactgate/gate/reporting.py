"""Whose contact an outcome is about, and what is to be told of one that does not count as it was written.

INVARIANT (an outcome proves itself): what carries a handle of ours counts for the approval that it was sealed for, and
for no other; what carries none is kept as unproven, for the policy to judge. Must never change a state.
"""

from __future__ import annotations

from contactgate.codec import messages as read
from contactgate.codec.handles import Handle, Handles
from contactgate.core.decide import approval_of
from contactgate.core.hearing import meaning
from contactgate.core.outcomes import OPT_OUTS
from contactgate.core.world import Policy
from contactgate.errors import MalformedMessage
from contactgate.model import events
from contactgate.model.facts import SubjectState
from contactgate.model.messages import ContactOutcome
from contactgate.model.synonyms import shown

_BEFORE_HANDLES = "ap-"
"""What ids of approvals began with in 0.2: they prove nothing."""


def names_approval(message: ContactOutcome) -> bool:
    """Whether an outcome is about the approval of a handle, and not about a subject's request."""
    text = message.approval_id
    if not text:
        return False
    return not (text.startswith(_BEFORE_HANDLES) and message.subject_id and message.request_id)


class Reporter:
    """Reads outcomes. `trusting`: a report needs no proof here (offline)."""

    def __init__(self, handles: Handles, *, trusting: bool) -> None:
        self._handles = handles
        self._trusting = trusting

    def handle(self, message: ContactOutcome) -> Handle | None:
        """The approval that an outcome proves; None if it is by subject and request. Raises MalformedMessage."""
        if names_approval(message):
            handle = self._handles.open(message.approval_id or "")
            if handle is None:
                raise MalformedMessage("outcome.unknown_approval", "`approval_id` is none that was given here")
            return handle
        for name in ("subject_id", "request_id"):
            if not getattr(message, name):
                raise MalformedMessage("field.missing", f"there is no `approval_id`, and no `{name}` either")
        return None

    def event(
        self, message: ContactOutcome, at_ms: int, arrived_ms: int, handle: Handle | None
    ) -> tuple[str, events.OutcomeReported]:
        """Whose contact it is, and the domain event."""
        subject_id = (message.subject_id or "") if handle is None else handle.subject_id
        return subject_id, read.outcome(message, at_ms, arrived_ms, handle, proven=handle is not None or self._trusting)


def news(event: events.SubjectEvent, state: SubjectState, policy: Policy | None) -> MalformedMessage | None:
    """Why an outcome or an observed contact does not count as it was written, for its dead letter; None if it does."""
    if isinstance(event, events.OutcomeReported):
        if not event.proven and not (policy is not None and policy.limits.outcomes_by_subject):
            return MalformedMessage(
                "outcome.unproven", "it names a subject and a request; the policy asks for the approval's `approval_id`"
            )
        if approval_of(state, event.request_id, event.decided_ms) is None:
            return MalformedMessage(
                "outcome.unknown_request", "no approval of this request is known: check request_id and subject_id"
            )
    elif not isinstance(event, events.ContactObserved):
        return None
    if event.outcome is None and policy is not None and meaning(event.word, policy.words.outcomes) is None:
        return MalformedMessage("outcome.unknown_word", f"nobody knows what {shown(event.word)} means", "outcome")
    return None


def opts_out(event: events.SubjectEvent, policy: Policy | None) -> bool:
    """Whether an outcome says that the person wants no more: it binds, whatever else is wrong with it."""
    if not isinstance(event, events.OutcomeReported):
        return False
    return meaning(event.word, {} if policy is None else policy.words.outcomes) in OPT_OUTS

"""Who must hear that a permission is gone, for the slow model (SEMANTICS rule 62).

Asks of every requester, controller, channel and purpose that an opt-out, a complaint or an erasure could be about,
whether a consent allowed it before and does not any more, and who had an approval. Must never import contactgate.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from tests.model import words
from tests.model.calendar import ms
from tests.model.optouts import includes, withdrawals
from tests.model.rules import Event, Known, covers, erasure, valid_grants
from tests.model.slow import know

Loss = tuple[str, str, str, str]  # requester, controller, channel, purpose


def losses(event: Event, history: list[Event], approvals: list[Event], policy: Event) -> tuple[set[Loss], set[Loss]]:
    """What must be told of an event, the last of the history, and what may be told, purpose by purpose."""
    said = {} if event["type"] == "subject.erased" else next(iter(withdrawals([event], policy, approvals, None)), None)
    if said is None:
        return set(), set()
    subject, at = event["subject_id"], ms(event["time"])
    before, after = (know(subject, h, approvals, policy) for h in (history[:-1], history))
    if before["erased"] == after["erased"] and not new(before, after):
        return set(), set()
    mine = [a["request"] for a in approvals if a["subject_id"] == subject]
    given = [e for e in history[:-1] if e["type"] == "consent.granted" and e["subject_id"] == subject]
    must, may = set(), set()
    for requester, controller, channel, purpose in candidates(said, given, mine):
        request = {"requester": requester, "controller": controller, "channel": channel, "purpose": purpose}
        # A consent for an odd channel never counted, but whom it names may hold data for it.
        spoken = {**request, "channel": (words.channels([channel]) or [channel])[0]}
        if event["type"] != "subject.erased" and not words.reaches(after, policy, words.of_one(said), spoken):
            continue
        if allowed(after, policy, request, at):
            continue
        had = any(
            (m["requester"], m["controller"], m["channel"]) == (requester, controller, channel)
            and covers(m["purpose"], purpose)
            for m in mine
        )
        if had or allowed(before, policy, request, at):
            must.add((requester, controller, channel, purpose))
        if had or any(names(g, request) for g in given):
            may.add((requester, controller, channel, purpose))
    return must, may


def new(before: Known, after: Known) -> bool:
    """Whether an opt-out is known that was not, and that no other says."""
    found = [w for w in after["withdrawals"] if w not in before["withdrawals"]]
    return any(not any(includes(known, w) for known in before["withdrawals"]) for w in found)


def candidates(said: Event, given: list[Event], approved: list[Event]) -> set[Loss]:
    """Everything that anybody may have lost; purposes as the opt-out, consents and approvals write them."""
    found: set[Loss] = set()
    for g in given:
        whom = [g["controller"]] if g.get("recipients") is None else g["recipients"]
        found |= set(product(whom, [g["controller"]], g["channels"], g["purposes"]))
    found |= {(m["requester"], m["controller"], m["channel"], m["purpose"]) for m in approved}
    narrower = [words.plain(w) for w in said.get("purposes") or []]
    return found | {(*f[:3], w) for f in found for w in narrower if covers(f[3], w)}


def names(grant: Event, request: Event) -> bool:
    """Whether a consent names requester, controller, channel and purpose."""
    whom = [grant["controller"]] if grant.get("recipients") is None else grant["recipients"]
    return (
        request["requester"] in whom
        and grant["controller"] == request["controller"]
        and request["channel"] in grant["channels"]
        and any(covers(p, request["purpose"]) for p in grant["purposes"])
    )


def allowed(known: Known, policy: Event, request: Event, at: int) -> bool:
    """Whether a consent covers this, and no erasure stands against it."""
    grants: list[Any] = valid_grants(known, policy, request, at)
    return bool(grants) and not erasure(known, policy, request, at)

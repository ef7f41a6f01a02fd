"""What a valid policy opens that its owner may not have meant: the warnings of `policy check`, one sentence each.

Must never refuse anything: what is wrong is a fault (`checks`).
"""

from __future__ import annotations

from collections.abc import Iterator

from contactgate.errors import Fault
from contactgate.policy.checks import REGISTRIES
from contactgate.policy.document import PolicyDoc
from contactgate.policy.words import nearest

_REQUIRED = {
    "campaign": "a request passes for a campaign that nobody approved, or for none",
    "party": "a requester passes of whom no agreement is known",
    "notice": "a consent counts although the notice it was given under is not known",
    "two_people": "one person alone can create and approve a campaign",
}


def openings(doc: PolicyDoc) -> Iterator[Fault]:
    """Every setting that lets more through than the default, with its place and what it opens."""
    for position, registry in enumerate(doc.registries):
        hint = nearest(registry.name, REGISTRIES)
        if registry.name not in REGISTRIES and hint:
            words = f"`{registry.name}` is a list of the house, and no national list is asked{hint}"
            yield Fault(f"registries[{position}].name", words)
    if doc.outcomes_by != "approval":
        yield Fault(
            "outcomes_by",
            "anyone who may write to the outcomes topic can report on a contact without having been given its approval",
        )
    if doc.clock_skew == 0:
        yield Fault(
            "clock_skew", "an opt-out from a clock that runs behind loses against a consent that was given before it"
        )
    if doc.unreported == "release":
        yield Fault("unreported", "an approval that was used and never reported does not count against any cap")
    for name, opens in _REQUIRED.items():
        if name in doc.require.model_fields_set and not getattr(doc.require, name):
            yield Fault(f"require.{name}", opens)
    if doc.dedup_horizon < doc.approval_ttl:
        yield Fault(
            "dedup_horizon",
            "a request that is sent again while its approval can still be used is approved a second time",
        )

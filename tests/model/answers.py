"""What the requester of a block is told, for the slow model (SEMANTICS rules 48, 49). Must never import contactgate."""

from __future__ import annotations

from typing import Any

from tests.model.addresses import unknown_places

Event = dict[str, Any]
Known = dict[str, Any]

QUARTER_MS = 15 * 60 * 1000
FIELDS = (
    "requester", "controller", "purpose", "channel", "campaign_id", "address", "data_categories", "matter_id", "mode",
    "jurisdictions",
)  # fmt: skip
"""Of a request that came again the fields that must be the same, in the order in which they are held against it."""


def categories(known: Known, request: Event) -> list[str]:
    """The data categories of a request: its own, its campaign's, or the basic ones."""
    told = known["campaigns"].get(request.get("campaign_id")) or []
    named = [set(each["data_categories"]) for each in told if each.get("data_categories") is not None]
    campaign = set.intersection(*named) if named else set()
    return sorted(set(request.get("data_categories") or campaign or ["basic"]))


def refusal(rules: set[str], fields: dict[str, str], eligible: int | None) -> Event:
    """The word, the field and the time, from the codes of all reasons. `fields`: what each code of `request` names."""
    malformed = [code for code in fields if code in rules]
    if malformed:
        return {"reason": "malformed", "field": fields[malformed[0]], "retry_at": None}
    word = "not_now"
    for code in rules:
        head = code.split(".")[0].split(":")[0]
        if code == "request.not_before" or (
            head in ("window", "gap", "cap", "cooloff") and code != "window.unknown_zone"
        ):
            continue
        if head == "pause":
            word = "paused" if word == "not_now" else word
        elif head in ("party", "campaign", "policy"):
            word = "not_permitted" if word == "not_permitted" else "not_agreed"
        else:
            word = "not_permitted"
    at = None
    if word == "not_now" and eligible is not None:
        at = (eligible + QUARTER_MS - 1) // QUARTER_MS * QUARTER_MS
    return {"reason": word, "field": None, "retry_at": at}


def malformed_fields(request: Event) -> dict[str, str]:
    """What is told of each code, the first that applies first."""
    needs = request["channel"] in ("voice", "sms", "email") and not request.get("address")
    strange = unknown_places(request.get("jurisdictions") or [])
    first = "address" if needs else "jurisdictions" if strange else None
    return {
        **({"request.malformed": first} if first else {}),
        "request.answered": "request_id",
        "request.expired": "not_after",
        **({} if first else {"request.malformed": "data_categories"}),
    }

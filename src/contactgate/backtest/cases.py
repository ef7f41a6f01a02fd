"""An owner's cases for a policy: events as they would come in, and what must come out.

```yaml
policy: house.yaml                     # relative to the file of cases; or the policy itself, as a mapping
defaults:                              # filled into events that leave a field out: of all kinds that have it, or of one
  all: {subject_id: s-1}
  contact.requested: {requester: bank, controller: bank, purpose: marketing, channel: voice, address: "+12125550123"}
cases:
  - name: an opt-out binds at once
    events:
      - {type: consent.withdrawn, time: 2026-03-02T10:00:00Z, controller: bank}
      - {type: contact.requested, time: 2026-03-02T10:00:01Z, request_id: r-1}
    expect:
      - {request_id: r-1, verdict: block, rule: consent.withdrawn}
```

An `event_id` that is left out is numbered. `rule` is the beginning of a reason code; `next_eligible_at` and `recalled`
are compared when they are there; `{event_id: …, dead_letter: true}` expects a dead letter. Every decision and dead
letter must be expected.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import Field, StrictBool, StrictStr, ValidationError

from contactgate.codec.tokens import Tokens
from contactgate.errors import PolicyError
from contactgate.model.control import CONTROL
from contactgate.model.messages import AddressReleased
from contactgate.offline import fold
from contactgate.policy import reading
from contactgate.policy.compiled import CompiledPolicy
from contactgate.policy.document import Doc, Text
from contactgate.policy.faults import faults

TITLE = "the file of cases is wrong"


class ExpectDoc(Doc):
    """What must come out for one request, or that one event becomes a dead letter."""

    request_id: StrictStr | None = None
    verdict: Literal["pass", "block"] | None = None
    rule: StrictStr | None = None
    next_eligible_at: StrictStr | None = None
    recalled: StrictBool | None = None
    event_id: StrictStr | None = None
    dead_letter: Literal[True] | None = None


class CaseDoc(Doc):
    """One case."""

    name: Text
    why: Text | None = None
    events: list[dict[str, Any]]
    expect: list[ExpectDoc]


class CasesDoc(Doc):
    """A file of cases."""

    policy: StrictStr | dict[str, Any] | None = None
    defaults: dict[str, dict[str, Any]] = Field(default_factory=dict)
    cases: list[CaseDoc]


class Result(NamedTuple):
    """What a case said: the differences from what it expects, none when it holds."""

    name: str
    differences: tuple[str, ...]


def read_cases(source: str | bytes) -> CasesDoc:
    """Raises PolicyError with every fault."""
    raw = reading.read(source, TITLE)
    try:
        return CasesDoc.model_validate(raw)
    except ValidationError as error:
        raise PolicyError(TITLE, faults(error, CasesDoc, raw)) from None


def run_cases(document: CasesDoc, policy: CompiledPolicy, tokens: Tokens) -> list[Result]:
    """Fold the events of each case, alone, and compare."""
    results = []
    for case in document.cases:
        events = [_filled(event, position, document.defaults) for position, event in enumerate(case.events)]
        lines = [json.dumps(event, ensure_ascii=False).encode() for event in events]
        made = [json.loads(value) for value in fold(lines, policy, tokens)]
        results.append(Result(case.name, tuple(_differences(case, made))))
    return results


def _filled(event: dict[str, Any], position: int, defaults: dict[str, dict[str, Any]]) -> dict[str, Any]:
    kind = event.get("type")
    shared = defaults.get("all", {})
    if kind in CONTROL:  # whose unknown keys are refused
        shared = {key: value for key, value in shared.items() if key in CONTROL[kind].model_fields}
    elif kind == "address.released":
        shared = {key: value for key, value in shared.items() if key in AddressReleased.__struct_fields__}
    whole = {**shared, **(defaults.get(kind, {}) if isinstance(kind, str) else {}), **event}
    if kind != "contact.requested":
        whole.setdefault("event_id", f"e-{position + 1}")
    return whole


def _differences(case: CaseDoc, made: Sequence[dict[str, Any]]) -> list[str]:
    decisions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    recalled, dead = set(), []
    for line in made:
        if line["type"] == "contact.decided":
            decisions[line["request_id"]].append(line)
        elif line["type"] == "contact.recalled":
            recalled.add(line["request_id"])
        elif line["type"] == "dead.letter":
            dead.append(line)
    found = []
    for expected in case.expect:
        if expected.dead_letter:
            hit = next((d for d in dead if f'"{expected.event_id}"' in json.dumps(d["original"])), None)
            if hit is None:
                found.append(f"{expected.event_id}: expected a dead letter")
            else:
                dead.remove(hit)
        elif expected.request_id is None or not decisions[expected.request_id]:
            found.append(f"{expected.request_id}: no decision")
        else:
            decision = decisions[expected.request_id].pop(0)
            found += _compare(expected, decision, expected.request_id in recalled)
    found += [f"a dead letter that is not expected: {d['reason']}: {d['detail']}" for d in dead]
    found += [
        f"{request}: {len(rest)} decision(s) that are not expected" for request, rest in decisions.items() if rest
    ]
    return found


def _compare(expected: ExpectDoc, decision: dict[str, Any], recalled: bool) -> list[str]:
    request = expected.request_id
    rules = [reason["rule"] for reason in decision["reasons"]]
    if expected.verdict is not None and decision["verdict"] != expected.verdict:
        because = f" because of {', '.join(rules)}" if rules else ""
        return [f"{request}: {decision['verdict']}{because}, expected {expected.verdict}"]
    found = []
    if expected.rule is not None and not any(rule.startswith(expected.rule) for rule in rules):
        found.append(f"{request}: blocked by {', '.join(rules) or 'nothing'}, expected {expected.rule}")
    if "next_eligible_at" in expected.model_fields_set:
        given = decision["next_eligible_at"]
        if _instant(given) != _instant(expected.next_eligible_at):
            found.append(f"{request}: next eligible at {given}, expected {expected.next_eligible_at}")
    if expected.recalled is not None and recalled != expected.recalled:
        found.append(f"{request}: {'recalled' if recalled else 'not recalled'}, expected otherwise")
    return found


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

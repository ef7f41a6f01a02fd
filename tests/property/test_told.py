"""Rule 62 on random histories: everybody in need is told, and nobody is told of what is not gone.

Three hundred histories here, ten thousand with `CONTACTGATE_LONG=1` (`make properties`).
"""

from __future__ import annotations

import json
from collections import defaultdict

import pytest
from tests.model.calendar import ms
from tests.model.hearing import Loss, losses
from tests.model.rules import covers
from tests.model.slow import decide
from tests.property.agreement import TOKENS, compiled
from tests.property.effort import LONG, PATIENCE_S
from tests.property.generators import history
from tests.property.policies import CHANNELS, CONTROLLERS, REQUESTERS, Event

from contactgate.offline import Fold

HISTORIES = 10_000 if LONG else 300
SUBJECTS = ["s-1", "s-2", "s-3"]
WHOSE = {TOKENS.subject(r, s): (r, s) for r in [*REQUESTERS, *CONTROLLERS] for s in SUBJECTS}
pytestmark = [pytest.mark.timeout(PATIENCE_S)]


def told(events: list[Event], policy: Event) -> dict[int, list[Event]]:
    """Place of an event -> what was told of it."""
    fold, found = Fold(compiled(policy), TOKENS), defaultdict(list)
    for n, event in enumerate(events):
        for line in map(json.loads, fold.line(json.dumps(event).encode())):
            if line["type"] == "permission.withdrawn":
                found[n].append(line)
    return found


def expected(events: list[Event], policy: Event) -> dict[int, tuple[set[Loss], set[Loss]]]:
    """Place of an event -> what must and what may be told of it, by the slow model."""
    found: dict[int, tuple[set[Loss], set[Loss]]] = {}

    def watch(event: Event, so_far: list[Event], approvals: list[Event], policy: Event) -> None:
        found[event["n"]] = losses(event, so_far, approvals, policy)

    numbered = [e if e["type"] == "contact.requested" else {**e, "n": n} for n, e in enumerate(events)]
    decide(numbered, policy, watch)
    return found


def says(line: Event, loss: Loss) -> bool:
    """Whether a message tells of a loss."""
    requester, controller, channel, purpose = loss
    return (
        WHOSE[line["subject_token"]][0] == requester
        and line.get("controller", controller) == controller
        and channel in line.get("channels", [channel])
        and any(covers(p, purpose) for p in line.get("purposes", [purpose]))
    )


def wrong(events: list[Event], policy: Event) -> list[str]:
    """What was not told, or told without need."""
    lines, found = told(events, policy), []
    for n, (must, may) in expected(events, policy).items():
        found += [
            f"{n} {events[n]['type']}: not told {loss}" for loss in must if not any(says(x, loss) for x in lines[n])
        ]
        for line in lines[n]:
            requester, subject = WHOSE[line["subject_token"]]
            if subject != events[n]["subject_id"] or ms(line["time"]) != ms(events[n]["time"]):
                found.append(f"{n}: told of somebody else, or of another time")
            for channel in line.get("channels", CHANNELS):
                for purpose in line.get("purposes", []):
                    if (requester, line["controller"], channel, purpose) not in may:
                        found.append(f"{n} {events[n]['type']}: told of {(requester, channel, purpose)} without need")
    return found


@pytest.mark.slow
def test_everybody_in_need_is_told_and_nobody_else() -> None:
    """For every event of every history, as the slow model finds it by asking what was allowed before and is not now."""
    bad, many = [], 0
    for seed in range(HISTORIES):
        policy, events = history(seed)
        bad += [(seed, text) for text in wrong(events, policy)]
        many += sum(map(len, told(events, policy).values()))
    assert bad == []
    assert many > HISTORIES / 10

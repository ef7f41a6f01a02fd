"""Runs one history through the real offline fold and through the slow model, and says where they differ.

Also the command of the long comparison: `python -m tests.property.agreement --histories 100000 --jobs 2`. Shared by the
property tests; never changes either side's answer to make them agree.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from typing import Any

from tests.model.calendar import ms
from tests.model.slow import decide
from tests.property.generators import history

from contactgate.codec.tokens import Tokens
from contactgate.offline import fold
from contactgate.policy.compiled import CompiledPolicy
from contactgate.policy.load import load_policy
from contactgate.policy.packs import PackLibrary

Event = dict[str, Any]

KEPT = {"type", "time", "subject_id", "event_id", "request_id", "channel", "channels", "purposes", "controller"}
TOKENS = Tokens(b"only for tests, 32 bytes or more.")
PACKS = PackLibrary({})


def compiled(policy: Event) -> CompiledPolicy:
    """The policy as the package compiles it."""
    return _compiled(json.dumps(policy))


@lru_cache(maxsize=4)
def _compiled(text: str) -> CompiledPolicy:
    return load_policy(json.loads(text), packs=PACKS)


def real(events: list[Event], policy: CompiledPolicy) -> list[Event]:
    """Every output line of the real fold, decoded."""
    lines = (json.dumps(event).encode() for event in events)
    return [json.loads(line) for line in fold(lines, policy, TOKENS)]


def decisions(lines: list[Event]) -> list[Event]:
    """Decisions and recalls of the real fold, in the model's words."""
    found = []
    for line in lines:
        if line["type"] == "contact.decided":
            found.append(
                {
                    "request_id": line["request_id"],
                    "verdict": line["verdict"],
                    "rules": {reason["rule"] for reason in line["reasons"]},
                    "next_eligible": line["next_eligible_at"] and ms(line["next_eligible_at"]),
                    "assumes": line.get("assumes", []),
                    "categories": line["data_categories"],
                    "told": None,
                    "valid_until": line["valid_until"] and ms(line["valid_until"]),
                    "duplicate": line["duplicate"],
                }
            )
        elif line["type"] == "contact.refused":
            told = {"reason": line["reason"], "field": line.get("field")}
            found[-1]["told"] = {**told, "retry_at": line.get("retry_at") and ms(line["retry_at"])}
        elif line["type"] == "contact.recalled":
            found.append({"recalled": line["request_id"]})
    return found


def comparable(answers: list[Event]) -> list[Event]:
    """The model's answers without what only the model keeps; neighbouring recalls in one order."""
    keys = (
        "request_id", "verdict", "rules", "next_eligible", "assumes", "categories", "told", "valid_until", "duplicate",
        "recalled", "perhaps",
    )  # fmt: skip
    made = [{k: a[k] for k in keys if k in a} for a in answers]
    ordered: list[Event] = []
    run: list[Event] = []
    for answer in [*made, {}]:
        if "recalled" in answer:
            run.append(answer)
            continue
        ordered += sorted(run, key=lambda a: a["recalled"])
        run = []
        ordered += [answer] if answer else []
    return ordered


def same(expected: Event, got: Event) -> bool:
    """Whether an answer is the model's; of the causes of a recall that the model would let stand, any may be told."""
    perhaps = expected.get("perhaps", set())
    if not perhaps:
        return {k: v for k, v in expected.items() if k != "perhaps"} == got
    must = expected["rules"]
    rest = {k: v for k, v in expected.items() if k not in ("perhaps", "rules")}
    return must <= got["rules"] <= must | perhaps and rest == {k: v for k, v in got.items() if k != "rules"}


def differences(events: list[Event], policy: Event) -> list[str]:
    """Where the real fold and the model disagree; [] when nowhere."""
    expected = comparable(decide(events, policy))
    lines = real(events, compiled(policy))
    got = comparable(decisions(lines))
    found = [f"model {e}\n real {g}" for e, g in zip(expected, got, strict=False) if not same(e, g)]
    if len(expected) != len(got):
        found.append(f"model gives {len(expected)} answers, the fold {len(got)}")
    return found


def smallest(events: list[Event], policy: Event) -> tuple[list[Event], Event]:
    """The same disagreement with every event and policy line left out that is not needed for it."""
    for key in ("caps", "gaps", "cooloffs", "windows", "registries"):
        for line in list(policy.get(key) or []):
            less = {**policy, key: [x for x in policy[key] if x is not line]}
            if _differ(events, less):
                policy = less
    at = len(events) - 1
    while at >= 0:
        less_events = events[:at] + events[at + 1 :]
        if _differ(less_events, policy):
            events = less_events
        at -= 1
    for n, event in enumerate(events):
        for key in set(event) - KEPT:
            trial = [*events[:n], {k: v for k, v in events[n].items() if k != key}, *events[n + 1 :]]
            if _differ(trial, policy):
                events = trial
    return events, policy


def _differ(events: list[Event], policy: Event) -> bool:
    try:
        lines = real(events, compiled(policy))
        found = differences(events, policy)
        fine = not any(
            line["type"] == "dead.letter" and line["reason"] not in ("outcome.unknown_request", "outcome.unknown_word")
            for line in lines
        )
        return fine and bool(found)
    except Exception:  # noqa: BLE001 - a candidate that cannot run is no smaller example
        return False


def _some(seeds: range) -> tuple[Counter[str], list[int]]:
    counts: Counter[str] = Counter()
    bad = []
    for seed in seeds:
        policy, events = history(seed)
        if differences(events, policy):
            bad.append(seed)
        counts["histories"] += 1
        counts["requests"] += sum(e["type"] == "contact.requested" for e in events)
    return counts, bad


def compare(first: int, histories: int, jobs: int) -> tuple[Counter[str], list[int]]:
    """Compare that many histories from a first seed on; the seeds that disagree."""
    chunk = 200
    ranges = [range(s, min(s + chunk, first + histories)) for s in range(first, first + histories, chunk)]
    counts: Counter[str] = Counter()
    bad: list[int] = []
    if jobs == 1:
        results: Any = map(_some, ranges)
    else:
        results = ProcessPoolExecutor(jobs).map(_some, ranges)
    for more, seeds in results:
        counts += more
        bad += seeds
    return counts, bad


def main() -> int:
    """The long comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, help="show one history's disagreement, made small")
    args = parser.parse_args()
    if args.seed is not None:
        policy, events = history(args.seed)
        if differences(events, policy):
            events, policy = smallest(events, policy)
            print(json.dumps(policy))
            for event in events:
                print(" ", json.dumps(event))
            print("\n".join(differences(events, policy)))
        return 0
    started = time.monotonic()
    counts, bad = compare(args.first, args.histories, args.jobs)
    seconds = time.monotonic() - started
    print(f"{counts['histories']} histories, {counts['requests']} requests, {len(bad)} disagree, {seconds:.0f} s")
    print("seeds:", *bad[:50])
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())

"""The worked examples: event streams with the verdicts they must give, in-process and through the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from contactgate.codec.tokens import Tokens
from contactgate.offline import fold
from contactgate.policy.load import load_policy

Case = dict[str, Any]

CASES: list[Case] = [
    json.loads(line) for line in Path(__file__).with_name("cases.jsonl").read_text(encoding="utf-8").splitlines()
]
BY_COMMAND = ("RF-02.A", "US-02.A", "FR-03.A", "E1.B", "E16.B", "E28.B", "E35.B", "E36.B", "D4.B")
TOKENS = Tokens(b"only for tests, 32 bytes or more.")


def lines_of(case: Case) -> list[bytes]:
    """The case's events as lines."""
    return [json.dumps(event, ensure_ascii=False).encode() for event in case["events"]]


def instant(text: str | None) -> datetime | None:
    """An instant, however it is written."""
    return None if text is None else datetime.fromisoformat(text)


def differences(case: Case, lines: list[dict[str, Any]]) -> list[str]:
    """What the output lines lack or have too much, compared with the case."""
    bad: list[str] = []
    decisions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    recalled = {line["request_id"] for line in lines if line["type"] == "contact.recalled"}
    dead = [json.dumps(line) for line in lines if line["type"] == "dead.letter"]
    for line in lines:
        if line["type"] == "contact.decided":
            decisions[line["request_id"]].append(line)
    wanted = [e["event_id"] for e in case["expect"] if e.get("dead_letter")]
    bad += [f"{event_id}: no dead letter" for event_id in wanted if not any(f'"{event_id}"' in d for d in dead)]
    bad += [f"dead letter: {d}" for d in dead if not any(f'"{event_id}"' in d for event_id in wanted)]
    for expected in (e for e in case["expect"] if not e.get("dead_letter")):
        name = expected["request_id"]
        if not decisions[name]:
            bad.append(f"{name}: no decision")
            continue
        decision = decisions[name].pop(0)
        rules = [reason["rule"] for reason in decision["reasons"]]
        if decision["verdict"] != expected["verdict"]:
            bad.append(f"{name}: {decision['verdict']} {rules}, not {expected['verdict']}")
        elif "rule" in expected and not any(rule.startswith(expected["rule"]) for rule in rules):
            bad.append(f"{name}: {rules}, none begins with {expected['rule']}")
        elif "next_eligible_at" in expected and instant(decision["next_eligible_at"]) != instant(
            expected["next_eligible_at"]
        ):
            bad.append(f"{name}: next {decision['next_eligible_at']}, not {expected['next_eligible_at']}")
        elif "recalled" in expected and (name in recalled) != expected["recalled"]:
            bad.append(f"{name}: recalled is {name in recalled}")
    bad += [f"{name}: {len(rest)} decisions too many" for name, rest in decisions.items() if rest]
    return bad


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case_in_process(case: Case) -> None:
    """The offline fold decides every worked example as the example says."""
    policy = load_policy(case["policy"])
    assert differences(case, [json.loads(line) for line in fold(lines_of(case), policy, TOKENS)]) == []


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if c["id"] in BY_COMMAND], ids=lambda case: case["id"])
def test_case_by_command(case: Case, tmp_path: Path) -> None:
    """`contactgate decide` gives the same, from files, and ends with status 0."""
    policy, events = tmp_path / "policy.yaml", tmp_path / "events.jsonl"
    policy.write_text(json.dumps(case["policy"]), encoding="utf-8")
    events.write_bytes(b"\n".join(lines_of(case)) + b"\n")
    command = [str(Path(sys.executable).with_name("contactgate")), "decide", "--policy", str(policy), str(events)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert differences(case, [json.loads(line) for line in done.stdout.splitlines()]) == []


def test_commands_cover_listed_cases() -> None:
    """Every case named for the command line exists."""
    assert set(BY_COMMAND) <= {case["id"] for case in CASES}

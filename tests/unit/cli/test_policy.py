"""`contactgate policy` and `contactgate packs` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contactgate.cli.policy import app, packs

HOUSE = """
policy: house
require: {campaign: false, party: false, notice: false}
purposes: {marketing: {consent: opt_out}}
caps:
  - {name: weekly, limit: 1, window: {sliding: 7d}, scope: [subject]}
"""
CASES = """
policy: house.yaml
defaults:
  all: {subject_id: s-1}
  contact.requested: {requester: bank, controller: bank, purpose: marketing, channel: email, address: a@example.com}
cases:
  - name: the second within a week waits
    events:
      - {type: contact.requested, request_id: r-1, time: 2026-03-02T10:00:00Z}
      - {type: contact.requested, request_id: r-2, time: 2026-03-03T10:00:00Z}
      - {type: address.suppressed, time: 2026-03-04T10:00:00Z, address: a@example.com, reason: manual}
      - {type: contact.outcome, time: 2026-03-04T10:00:00Z, request_id: r-9, outcome: answered}
    expect:
      - {request_id: r-1, verdict: pass}
      - {request_id: r-2, verdict: block, rule: cap.weekly, next_eligible_at: 2026-03-09T10:00:00Z}
      - {event_id: e-4, dead_letter: true}
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    file = tmp_path / "house.yaml"
    file.write_text(HOUSE, encoding="utf-8")
    return file


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_check_accepts_a_valid_policy(house: Path) -> None:
    """It prints the name and the hash, and ends with 0."""
    result = run("check", house)
    assert result.exit_code == 0
    assert "house is a valid policy" in result.output
    assert "sha256:" in result.output


def test_check_refuses_with_every_fault(house: Path) -> None:
    """All faults with their places, and status 1."""
    house.write_text(HOUSE.replace("limit", "limt").replace("opt_out", "optout"), encoding="utf-8")
    result = run("check", house)
    assert result.exit_code == 1
    assert "purposes.marketing.consent: must be one of opt_in, opt_out, none; did you mean `opt_out`?" in result.output
    assert "caps[0].limt: unknown key; did you mean `limit`?" in result.output


def test_a_missing_file_is_status_2(tmp_path: Path) -> None:
    """Not a fault of a document."""
    assert run("hash", tmp_path / "none.yaml").exit_code == 2


def test_hash_prints_only_the_hash(house: Path) -> None:
    """For scripts."""
    assert run("hash", house).output.strip().startswith("sha256:")


def test_show_tells_the_rules_in_words(house: Path) -> None:
    """The house's lines and those of its packs."""
    house.write_text(HOUSE + "packs: [uk]\n", encoding="utf-8")
    text = run("show", house).output
    assert "at most 1 approved within 7 d, per person" in text
    assert "uk-tps" in text
    assert "uk-tps" not in run("show", "--no-packs", house).output


def test_show_tells_what_binds_one_kind_of_request(house: Path) -> None:
    """With a purpose it shows the plan."""
    house.write_text(HOUSE + "packs: [uk]\n", encoding="utf-8")
    text = run("show", house, "--purpose", "marketing", "--jurisdiction", "GB", "--at", "2026-03-01").output
    assert "cap.weekly" in text
    assert "uk-tps" in text
    assert "unknown to the policy" in run("show", house, "--purpose", "gossip").output


def test_show_json_is_the_normalised_document(house: Path) -> None:
    """What the hash is made of."""
    assert json.loads(run("show", "--json", house).output)["caps"][0]["window"]["sliding"] == 7 * 86_400_000


def test_cases_that_hold_are_status_0(house: Path) -> None:
    """The file of cases names the policy next to it."""
    cases = house.parent / "cases.yaml"
    cases.write_text(CASES, encoding="utf-8")
    result = run("test", cases)
    assert result.output.strip() == "1 passed, 0 failed"
    assert result.exit_code == 0


def test_a_case_that_does_not_hold_says_how(house: Path) -> None:
    """Status 1, with the case and each difference."""
    cases = house.parent / "cases.yaml"
    cases.write_text(CASES.replace("verdict: block, rule: cap.weekly", "verdict: pass"), encoding="utf-8")
    result = run("test", cases)
    assert result.exit_code == 1
    assert "FAIL the second within a week waits" in result.output
    assert "r-2: block because of cap.weekly, expected pass" in result.output


def test_a_decision_that_nobody_expects_fails_the_case(house: Path) -> None:
    """A case must say everything that comes out."""
    cases = house.parent / "cases.yaml"
    cases.write_text(CASES.replace("      - {request_id: r-1, verdict: pass}\n", ""), encoding="utf-8")
    assert "r-1: 1 decision(s) that are not expected" in run("test", cases).output


def test_a_wrong_file_of_cases_is_refused_whole(house: Path) -> None:
    """With all its faults."""
    cases = house.parent / "cases.yaml"
    cases.write_text("casses: []\npolicy: 3", encoding="utf-8")
    output = run("test", cases).output
    assert "cases: this key is required" in output
    assert "casses: unknown key; did you mean `cases`?" in output


def test_diff_shows_every_changed_decision_and_counts_them(house: Path) -> None:
    """By kind, reason and campaign; status 1 because something changes."""
    other = house.parent / "other.yaml"
    other.write_text(HOUSE.replace("limit: 1", "limit: 2"), encoding="utf-8")
    events = house.parent / "events.jsonl"
    common = {
        "type": "contact.requested", "subject_id": "s-1", "requester": "bank", "controller": "bank",
        "purpose": "marketing", "channel": "email", "address": "a@example.com", "campaign_id": "spring",
    }  # fmt: skip
    lines = [{**common, "request_id": f"r-{n}", "time": f"2026-03-0{n}T10:00:00Z"} for n in (1, 2, 3)]
    events.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    result = run("diff", house, other, "--events", events)
    assert result.exit_code == 1
    assert "1 of 3 decisions change" in result.output
    assert "-cap.weekly" in result.output
    assert "spring" in result.output
    (line,) = run("diff", house, other, "--events", events, "--json").output.splitlines()
    assert json.loads(line) == {
        "request_id": "r-2", "campaign_id": "spring", "before": ["cap.weekly"], "after": [], "kind": "now passes",
    }  # fmt: skip
    assert run("diff", house, house, "--events", events).exit_code == 0


def test_packs_list_and_show() -> None:
    """Each pack once; a pack with all sources; an unknown one is refused with the nearest."""
    runner = CliRunner()
    listed = runner.invoke(packs, ["list"])
    assert listed.exit_code == 0
    assert "us-regf" in listed.output
    shown = runner.invoke(packs, ["show", "cn-fin"])
    assert shown.exit_code == 0
    assert "low confidence" in shown.output
    assert "not enforced" in runner.invoke(packs, ["show", "cn"]).output
    assert json.loads(runner.invoke(packs, ["show", "uk", "--json"]).output)["jurisdiction"] == "GB"
    wrong = runner.invoke(packs, ["show", "us-fedd"])
    assert wrong.exit_code == 1
    assert "did you mean `us-fed`?" in wrong.output

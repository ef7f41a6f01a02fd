"""Packs as data: complete, sourced, and never looser on low confidence; each tried on cases of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contactgate.backtest.cases import read_cases, run_cases
from contactgate.codec.tokens import Tokens
from contactgate.errors import PolicyError
from contactgate.policy.checks import REGISTRIES, blocks, overrides, rules
from contactgate.policy.load import load_policy
from contactgate.policy.packs import PackLibrary, load_pack, shipped

NAMES = [
    "au", "ca", "cn", "cn-fin", "de", "fr", "in", "jp", "sg", "uk",
    "us-fed", "us-fl", "us-md", "us-ok", "us-regf", "us-tx", "us-wa",
]  # fmt: skip
CASES = Path(__file__).parents[2] / "cases" / "packs"
TOKENS = Tokens(b"a key for tests, of thirty-two bytes")


def pack(text: str) -> list[str]:
    head = "pack: x\ntitle: x\njurisdiction: GB\n"
    with pytest.raises(PolicyError) as caught:
        load_pack(head + text, "x")
    return [str(fault) for fault in caught.value.faults]


def test_every_pack_of_the_semantics_ships() -> None:
    """SEMANTICS rule 24 names them, and each is valid."""
    assert list(shipped().names()) == NAMES
    for name in NAMES:
        assert shipped().get(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_a_pack_has_source_and_confidence(name: str) -> None:
    """Nobody has to believe a rule: it says where it comes from and how sure it is."""
    document = shipped().get(name).document
    for place, rule in rules(document):
        assert rule.source, place
        assert rule.confidence, place
    for place, block in blocks(document):
        assert block.source, place
        assert block.confidence, place
        for inner, override in overrides(block):
            assert override.source, f"{place}.{inner}"


@pytest.mark.parametrize("name", NAMES)
def test_names_of_rules_tell_the_pack(name: str) -> None:
    """A reason `window.us_fl_hours` says whose hours; registries are those of SEMANTICS rule 24."""
    document = shipped().get(name).document
    prefix = {"us-regf": "regf"}.get(name, name.replace("-", "_"))
    for section in ("caps", "gaps", "cooloffs", "windows"):
        for rule in getattr(document, section):
            assert rule.name.startswith(f"{prefix}_")
    assert {registry.name for registry in document.registries} <= set(REGISTRIES)


def test_every_registry_is_used_by_a_pack() -> None:
    """No national list of SEMANTICS rule 24 is forgotten."""
    used = {registry.name for name in NAMES for registry in shipped().get(name).document.registries}
    assert used == set(REGISTRIES)


def test_packs_know_the_purposes_of_the_semantics() -> None:
    """SEMANTICS rule 25; Regulation F knows collection only."""
    for name in NAMES:
        known = set(shipped().get(name).document.purposes)
        wanted = {"collection"} if name == "us-regf" else {"marketing", "collection", "service", "research"}
        assert wanted - known <= ({"research"} if name == "cn-fin" else set()), name
    assert "marketing.claims_management" in shipped().get("uk").document.purposes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("caps: [{name: a, limit: 1, window: {sliding: 1d}, scope: [subject]}]", "caps[0].source: a pack states it"),
        ("purposes: {marketing: {consent: opt_in}}", "purposes.marketing.confidence: a pack states it"),
        ("purposes: {marketing: {consent: opt_out, source: s, confidence: low}}", "low confidence must not loosen"),
        (
            "purposes: {m: {consent: opt_in, source: s, confidence: low, mode: {live: {consent: none}}}}",
            "purposes.m.mode.live: a line of low confidence must not loosen",
        ),
        (
            "registries: [{name: uk-tps, max_age: 28d, grace: 28d, source: s, confidence: low}]",
            "registries[0]: a line of low confidence must not loosen",
        ),
        (
            "registries: [{name: uk-tps, max_age: 28d, unless: [consent], source: s, confidence: low}]",
            "registries[0]: a line of low confidence must not loosen",
        ),
        ("facts: [{topic: hours, text: t, source: s}]", "facts[0].confidence: this key is required"),
        ("approval_ttl: 15m", "approval_ttl: unknown key"),
        (
            "windows: [{name: w, from: '09:00', purposes: [sales], source: s, confidence: high}]",
            "`sales` is no purpose",
        ),
    ],
)
def test_a_pack_that_is_unsourced_or_loosens_on_low_confidence_is_refused(text: str, says: str) -> None:
    """What is not sure may add a restriction or stand as a fact, never take a restriction away."""
    assert any(says in fault for fault in pack(text))


def test_a_pack_is_named_as_its_file() -> None:
    """A copied file cannot pass for another pack."""
    text = "pack: y\ntitle: y\njurisdiction: GB"
    with pytest.raises(PolicyError, match="must be x"):
        PackLibrary({"x": text}).get("x")


def policy(name: str) -> dict[str, Any]:
    return {"policy": "p", "packs": [name], "require": {"campaign": False, "party": False, "notice": False}}


@pytest.mark.parametrize("name", NAMES)
def test_a_pack_decides_its_cases_as_the_law_says(name: str) -> None:
    """Bounds to the second, dates, exceptions and registries of each pack, as events with expected decisions."""
    cases = read_cases((CASES / f"{name}.yaml").read_bytes())
    results = run_cases(cases, load_policy(policy(name)), TOKENS)
    assert results
    assert [result for result in results if result.differences] == []

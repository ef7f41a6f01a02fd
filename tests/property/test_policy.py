"""What must hold for every policy document: no crash, no lost rule, one hash per meaning."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.effort import LONG, PATIENCE_S, examples

from contactgate.errors import PolicyError
from contactgate.policy import durations
from contactgate.policy.load import load_policy
from contactgate.policy.packs import shipped
from contactgate.policy.plan import Plan
from contactgate.policy.reading import read

pytestmark = [pytest.mark.timeout(PATIENCE_S)]

NAMES = shipped().names()
CODES = sorted({shipped().get(name).document.jurisdiction for name in NAMES} | {"NZ"})
LAW = st.lists(st.sampled_from(CODES), max_size=3, unique=True).map(
    lambda codes: tuple(sorted({part for code in codes for part in (code, code.partition("-")[0])}))
)
PURPOSES = (
    "marketing",
    "marketing.insurance",
    "marketing.similar_products",
    "collection",
    "service.alerts",
    "research",
)

channels = st.lists(st.sampled_from(["voice", "sms", "email", "mail"]), min_size=1, max_size=3, unique=True)
purposes = st.lists(
    st.sampled_from(["marketing", "marketing.insurance", "service"]), min_size=1, max_size=2, unique=True
)
dates = st.dates().map(lambda day: day.replace(year=2020 + day.year % 15).isoformat() if day.day < 29 else "2026-01-31")
filters = st.fixed_dictionaries({}, optional={"channels": channels, "purposes": purposes, "valid_from": dates})
elapsed = st.tuples(st.integers(1, 500), st.sampled_from("smhdw")).map(lambda pair: f"{pair[0]}{pair[1]}")
basis = st.fixed_dictionaries({"consent": st.sampled_from(["opt_in", "opt_out", "none"])})


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """A valid house policy with rules of every kind."""
    caps = [
        {
            "name": f"cap{n}", "limit": draw(st.integers(0, 5)), "window": {"sliding": draw(elapsed)},
            "scope": ["subject", *draw(st.lists(st.sampled_from(["matter", "channel"]), max_size=2, unique=True))],
            **draw(filters),
        }
        for n in range(draw(st.integers(0, 3)))
    ]  # fmt: skip
    cooloffs = [
        {"name": f"c{n}", "outcomes": ["refused"], "for": draw(elapsed), "scope": ["subject"], **draw(filters)}
        for n in range(draw(st.integers(0, 2)))
    ]
    windows = [
        {"name": f"w{draw(st.integers(0, 1))}", "from": "09:00", "to": "20:00", **draw(filters)}
        for _ in range(draw(st.integers(0, 3)))
    ]
    registries = [{"name": "us-ndnc", "max_age": "31d", **draw(filters)} for _ in range(draw(st.integers(0, 1)))]
    return {
        "policy": "p",
        "packs": draw(st.lists(st.sampled_from(NAMES), max_size=4, unique=True)),
        "purposes": {"marketing": draw(basis), "service": draw(basis)},
        "caps": caps, "cooloffs": cooloffs, "windows": windows, "registries": registries,
    }  # fmt: skip


def parts(plan: Plan) -> set[Any]:
    """Everything that can block."""
    return {*plan.bases, *plan.caps, *plan.cooloffs, *plan.windows, *plan.registries}


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(
    policies(), st.sampled_from(NAMES), st.sampled_from(PURPOSES), channels, LAW,
    st.sampled_from(["live", "autodialled", "prerecorded"]), st.integers(1_500_000_000_000, 1_900_000_000_000),
)  # fmt: skip
def test_adding_a_pack_only_adds_rules(
    document: dict[str, Any], pack: str, purpose: str, channel: list[str], law: tuple[str, ...], mode: str, now: int
) -> None:
    """Every rule of the plan without the pack stands in the plan with it."""
    before = load_policy(document).plan(purpose, channel[0], mode, law, now)
    more = {**document, "packs": [*document["packs"], *([] if pack in document["packs"] else [pack])]}
    after = load_policy(more).plan(purpose, channel[0], mode, law, now)
    assert parts(before) <= parts(after)


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(policies(), st.sampled_from(PURPOSES), channels, LAW, st.integers(1_500_000_000_000, 1_900_000_000_000))
def test_a_plan_holds_until_it_says(
    document: dict[str, Any], purpose: str, channel: list[str], law: tuple[str, ...], now: int
) -> None:
    """Up to until_ms the same rules bind; asked in any order, the answer at one instant is the same."""
    policy = load_policy(document)
    plan = policy.plan(purpose, channel[0], "live", law, now)
    if plan.until_ms is not None:
        assert plan.until_ms > now
        assert parts(policy.plan(purpose, channel[0], "live", law, plan.until_ms - 1)) == parts(plan)
        policy.plan(purpose, channel[0], "live", law, plan.until_ms)
    assert policy.plan(purpose, channel[0], "live", law, now) == plan
    assert load_policy(document).plan(purpose, channel[0], "live", law, now) == plan


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same JSON with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(each, rng) for each in value] if isinstance(value, list) else value


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(policies(), st.randoms(use_true_random=False))
def test_the_order_of_keys_and_the_format_do_not_change_the_hash(document: dict[str, Any], rng: random.Random) -> None:
    """The canonical form is one per meaning."""
    wanted = load_policy(document).hash
    assert load_policy(json.dumps(shuffled(document, rng), indent=3)).hash == wanted
    assert load_policy(json.dumps(shuffled(document, rng))).hash == wanted


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "packs", "purposes", "caps", "gaps", "cooloffs", "windows", "registries", "relationships", "approval_ttl",
    "require", "zone", "unreported", "contact_history", "uncovered", "source", "nonsense",
)  # fmt: skip


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(policies(), st.sampled_from(KEYS), json_values)
def test_a_wrong_document_ends_in_faults_and_nothing_else(document: dict[str, Any], key: str, value: Any) -> None:
    """Whatever stands under a key, the answer is a policy or a PolicyError with places."""
    try:
        load_policy({**document, key: value})
    except PolicyError as error:
        assert error.faults


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(policies(), st.integers(0, 5), st.integers(0, 500), json_values)
def test_a_wrong_value_inside_a_rule_ends_in_faults_and_nothing_else(
    document: dict[str, Any], which: int, where: int, value: Any
) -> None:
    """The same, inside the rules."""
    sections = [section for section in ("caps", "cooloffs", "windows", "registries") if document[section]]
    if not sections:
        return
    section = sections[which % len(sections)]
    rule = dict(document[section][0])
    rule[sorted(rule)[where % len(rule)]] = value
    try:
        load_policy({**document, section: [rule]})
    except PolicyError as error:
        assert all(section in fault.place for fault in error.faults)


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    """Arbitrary bytes never raise anything but PolicyError."""
    try:
        assert isinstance(read(text, "t"), dict)
    except PolicyError as error:
        assert error.faults


@settings(max_examples=examples(), derandomize=not LONG, deadline=None)
@given(st.text(max_size=12) | st.from_regex(r"[0-9]{1,5}(s|m|h|d|w|mo|y)", fullmatch=True))
def test_a_duration_is_positive_and_bounded_or_refused(text: str) -> None:
    """No spelling gives nothing, a negative or more than ten years."""
    for parse, top in ((durations.elapsed, 3_660 * 86_400_000), (durations.days, 3_660), (durations.months, 120)):
        try:
            assert 0 < parse(text) <= top
        except ValueError as error:
            assert str(error)

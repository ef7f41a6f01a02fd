"""Plans: which rules bind which request, from when until when; and the hash that names a policy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from contactgate.policy import compiled
from contactgate.policy.load import load_policy
from contactgate.policy.packs import PackLibrary
from contactgate.policy.plan import Plan

DAY = 86_400_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def plan(document: dict[str, Any], purpose: str = "marketing", channel: str = "voice", **more: Any) -> Plan:
    loaded = load_policy({"policy": "p", **document}, packs=more.get("packs"))
    return loaded.plan(purpose, channel, more.get("mode", "live"), more.get("law", ()), more.get("now", 0))


def test_the_longest_prefix_decides_the_basis_within_one_source() -> None:
    """`marketing.insurance` is asked for marketing.insurance.car, `marketing` for everything else below it."""
    purposes = {"marketing": {"consent": "opt_out"}, "marketing.insurance": {"consent": "opt_in"}}
    assert [b.consent for b in plan({"purposes": purposes}, "marketing.insurance.car").bases] == ["opt_in"]
    assert [b.consent for b in plan({"purposes": purposes}, "marketing.insurances").bases] == ["opt_out"]


def test_policy_and_pack_bind_side_by_side() -> None:
    """Strictest wins because both must hold: the pack's opt_in stays next to the house's none."""
    found = plan({"packs": ["de"], "purposes": {"marketing": {"consent": "none"}}}, law=("DE",), now=at("2026-01-01"))
    assert {(b.source, b.consent) for b in found.bases} == {("policy", "none"), ("de", "opt_in")}


def test_an_unknown_purpose_has_no_basis() -> None:
    """No source knows it, so nothing can pass."""
    assert plan({"packs": ["de"], "purposes": {"service": {"consent": "none"}}}, law=("DE",)).bases == ()


def test_a_pack_applies_only_when_chosen_and_only_in_its_jurisdiction() -> None:
    """Neither an unchosen pack nor a chosen one for another country adds a rule."""
    purposes = {"marketing": {"consent": "opt_in"}}
    assert plan({"packs": ["fr"], "purposes": purposes}, law=("GB",), now=at("2026-01-01")).windows == ()
    assert plan({"packs": ["uk"], "purposes": purposes}, law=("FR",), now=at("2026-01-01")).windows == ()
    assert plan({"packs": ["fr"], "purposes": purposes}, law=("FR",), now=at("2026-01-01")).windows != ()


def test_dated_lines_begin_at_local_midnight_of_the_pack() -> None:
    """French opt-in begins on 11 August 2026 in Paris, which is 22:00 the day before in UTC."""
    change = at("2026-08-10T22:00")
    before = plan({"packs": ["fr"]}, law=("FR",), now=change - 1)
    after = plan({"packs": ["fr"]}, law=("FR",), now=change)
    assert [b.consent for b in before.bases] == ["opt_out"]
    assert [b.consent for b in after.bases] == ["opt_in"]
    assert before.until_ms == change
    assert [r.name for r in before.registries] == ["fr-bloctel"]
    assert after.registries == ()


def test_a_policy_dates_its_lines_in_utc_unless_it_names_a_zone() -> None:
    """valid_to is the last day that counts."""
    block = {"consent": "opt_in", "valid_from": "2026-01-01", "valid_to": "2026-01-31"}
    document = {"purposes": {"marketing": [block]}}
    assert plan(document, now=at("2025-12-31T23:59:59")).bases == ()
    assert plan(document, now=at("2026-01-31T23:59:59")).bases != ()
    assert plan(document, now=at("2026-02-01")).bases == ()
    assert plan({**document, "zone": "Asia/Tokyo"}, now=at("2025-12-31T15:00")).bases != ()


def test_time_may_run_backwards() -> None:
    """A late line gets the plan of its own time, whatever was asked before."""
    loaded = load_policy({"policy": "p", "packs": ["fr"]})
    asked = [
        loaded.plan("marketing", "voice", "live", ("FR",), at(t)) for t in ("2026-09-01", "2026-01-01", "2026-09-01")
    ]
    assert [p.bases[0].consent for p in asked] == ["opt_in", "opt_out", "opt_in"]
    assert asked[0] is asked[2]


def test_channel_and_mode_overrides_both_bind() -> None:
    """An override for the channel and one for the mode stand side by side, each filled up from the block."""
    block = {
        "consent": "opt_in",
        "evidence": ["written"],
        "channels": {"sms": {"consent": "opt_out"}},
        "mode": {"prerecorded": {"consent": "opt_in", "evidence": ["esign"]}},
    }
    document = {"purposes": {"marketing": block}}
    assert [b.consent for b in plan(document, channel="sms").bases] == ["opt_out"]
    assert [b.consent for b in plan(document, channel="sms", mode="prerecorded").bases] == ["opt_out", "opt_in"]
    assert plan(document, channel="voice", mode="prerecorded").bases[0].evidence == frozenset({"esign"})
    assert plan(document).bases[0].evidence == frozenset({"written"})


def test_a_rule_for_a_mode_binds_requests_of_that_mode() -> None:
    """A cool-off after an answer machine binds the dialer and not the person who dials."""
    live, dialled = (plan({"packs": ["uk"]}, law=("GB",), mode=mode).cooloffs for mode in ("live", "autodialled"))
    assert [each.rule for each in live] == ["cooloff.uk_abandoned"]
    assert [each.rule for each in dialled] == ["cooloff.uk_answer_machine", "cooloff.uk_abandoned"]


def test_windows_of_one_name_are_one_rule_and_of_two_sources_two() -> None:
    """Alternatives within a document, both needed across documents."""
    hours = {"name": "fr_hours", "from": "08:00", "to": "22:00"}
    found = plan({"packs": ["fr"], "windows": [hours]}, law=("FR",), now=at("2026-01-01"))
    assert [(w.name, len(w.spans)) for w in found.windows] == [("fr_hours", 1), ("fr_hours", 2)]


def test_a_gap_is_a_cap_of_one() -> None:
    """Its reason code begins with gap."""
    (gap,) = plan({"gaps": [{"name": "g", "at_least": "60d", "scope": ["subject", "requester"]}]}).caps
    assert (gap.rule, gap.limit, gap.window.length_ms, gap.scope) == ("gap.g", 1, 60 * DAY, ("requester",))


def test_uncovered_jurisdictions_are_named_only_when_asked() -> None:
    """`uncovered: block` names what no pack covers; a country's pack covers its parts, not the other way."""
    assert plan({"packs": ["us-fed"]}, law=("CA",)).uncovered == ()
    strict = {"packs": ["us-fed", "us-fl"], "uncovered": "block"}
    assert plan(strict, law=("US", "US-NV")).uncovered == ()
    assert plan(strict, law=("CA", "US")).uncovered == ("CA",)
    assert plan(strict, law=()).uncovered == ("unknown",)
    assert plan({"packs": ["us-fl"], "uncovered": "block"}, law=("US", "US-FL")).uncovered == ("US",)


def test_history_is_kept_as_long_as_any_rule_looks_back() -> None:
    """A rule of a pack or of the house lengthens contact_history, never shortens it."""
    long = {"name": "c", "outcomes": ["refused"], "for": "3650d", "scope": ["subject"]}
    assert load_policy({"policy": "p", "cooloffs": [long]}).limits.contact_history_ms == 3650 * DAY
    assert load_policy({"policy": "p", "contact_history": "500d"}).limits.contact_history_ms == 500 * DAY


def test_outcomes_of_endless_cooloffs_are_named() -> None:
    """The core keeps those forever."""
    assert load_policy({"policy": "p", "packs": ["jp"]}).outcomes_kept_forever == frozenset({"refused"})
    assert load_policy({"policy": "p", "packs": ["uk"]}).outcomes_kept_forever == frozenset()


def test_the_number_of_cached_plans_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of invented purposes does not grow memory."""
    monkeypatch.setattr(compiled, "MAX_PLANS", 8)
    loaded = load_policy({"policy": "p", "purposes": {"marketing": {"consent": "opt_in"}}})
    for number in range(100):
        loaded.plan(f"marketing.x{number}", "voice", "live", (), 0)
    assert len(loaded._plans) <= 8


def test_needs_zone_says_whether_the_persons_zone_matters() -> None:
    """Sliding caps and fixed zones need none."""
    assert not plan({"caps": [{"name": "a", "limit": 1, "window": {"sliding": "7d"}, "scope": ["subject"]}]}).needs_zone
    daily = {"name": "a", "limit": 1, "window": {"calendar": "day", "zone": "subject"}, "scope": ["subject"]}
    assert plan({"caps": [daily]}).needs_zone
    assert plan({"windows": [{"name": "w", "from": "09:00", "to": "20:00"}]}).needs_zone
    assert not plan({"windows": [{"name": "w", "from": "09:00", "to": "20:00", "zone": "UTC"}]}).needs_zone


def test_the_hash_does_not_depend_on_spelling() -> None:
    """Key order, format, comments, order of sets and spelling of durations do not matter."""
    yaml = """
    policy: p   # a comment
    approval_ttl: 900s
    purposes: {marketing: {evidence: [web, written], consent: opt_in}}
    caps:
      - {scope: [subject], limit: 3, name: a, window: {sliding: 1w}}
    """
    same = {
        "caps": [{"name": "a", "limit": 3, "window": {"sliding": "7d"}, "scope": ["subject"]}],
        "purposes": {"marketing": [{"consent": "opt_in", "evidence": ["written", "web"]}]},
        "approval_ttl": "15m",
        "packs": [],
        "policy": "p",
    }
    assert load_policy(yaml).hash == load_policy(same).hash == load_policy(json.dumps(same)).hash
    assert load_policy(yaml).hash.startswith("sha256:")
    assert len(load_policy(yaml).hash) == 7 + 64


@pytest.mark.parametrize("more", [{"policy": "q"}, {"approval_ttl": "16m"}, {"packs": ["uk"]}, {"uncovered": "block"}])
def test_the_hash_changes_with_the_meaning(more: dict[str, Any]) -> None:
    """Another name, limit or pack is another policy."""
    assert load_policy({"policy": "p", **more}).hash != load_policy({"policy": "p"}).hash


def test_the_hash_changes_with_a_packs_content_and_the_data_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corrected pack or a new time zone package is another policy."""
    text = (
        "pack: x\ntitle: x\njurisdiction: GB\n"
        "purposes: {marketing: {consent: opt_in, source: s, confidence: high, note: N}}"
    )
    one = load_policy({"policy": "p", "packs": ["x"]}, packs=PackLibrary({"x": text})).hash
    two = load_policy({"policy": "p", "packs": ["x"]}, packs=PackLibrary({"x": text.replace("opt_in", "opt_out")})).hash
    monkeypatch.setattr("contactgate.policy.zones.versions", lambda: {"tzdata": "1", "holidays": "1"})
    three = load_policy({"policy": "p", "packs": ["x"]}, packs=PackLibrary({"x": text})).hash
    assert len({one, two, three}) == 3

"""Policies as people write them: every fault at once, with its place and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from contactgate.errors import PolicyError
from contactgate.policy.load import load_policy

BASE: dict[str, Any] = {"policy": "p", "purposes": {"marketing": {"consent": "opt_in"}}}


def policy(**more: Any) -> dict[str, Any]:
    return {**BASE, **more}


def faults_of(document: dict[str, Any] | str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load_policy(document)
    return [str(fault) for fault in caught.value.faults]


def cap(**more: Any) -> dict[str, Any]:
    return {"name": "a", "limit": 1, "window": {"sliding": "7d"}, "scope": ["subject"], **more}


def window(**more: Any) -> dict[str, Any]:
    return {"name": "w", "from": "09:00", "to": "20:00", **more}


def registry(**more: Any) -> dict[str, Any]:
    return {"name": "us-ndnc", "max_age": "31d", **more}


def cooloff(**more: Any) -> dict[str, Any]:
    return {"name": "c", "outcomes": ["refused"], "for": "7d", "scope": ["subject"], **more}


def test_all_faults_are_reported_at_once_with_their_places() -> None:
    """One check tells everything that is wrong, also in different parts and about packs."""
    found = faults_of(
        policy(
            paks=[],
            packs=["us-fedd"],
            approval_ttl=15,
            caps=[cap(limit=True), cap(window={"calendar": "fortnight", "zone": "UTC"}, chanels=["voice"])],
            windows=[window(**{"from": 540})],
            require={"campain": False},
        )
    )
    assert found == [
        "caps[0].limit: write a whole number here",
        "caps[1].window.calendar: must be one of day, week, month",
        "caps[1].chanels: unknown key; did you mean `channels`?",
        'windows[0].from: write a time of day between quotes, such as "09:00" or "21:00:00"',
        "approval_ttl: write a duration with its unit, such as 15m, 24h or 7d",
        "require.campain: unknown key; did you mean `campaign`?",
        "paks: unknown key; did you mean `packs`?",
        "packs[0]: no pack is called `us-fedd`; did you mean `us-fed`?",
    ]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"caps": [cap(scope=["channel"])]}, "caps[0].scope: a scope must include `subject`"),
        ({"caps": [cap(scope=["subject", "subject"])]}, "the same word stands twice"),
        ({"caps": [cap(scope=["subject", "colour"])]}, "caps[0].scope[1]: must be one of"),
        ({"caps": [cap(limit=-1)]}, "at least 0"),
        ({"caps": [cap(limit=1.0)]}, "caps[0].limit"),
        ({"caps": [cap(limit="3")]}, "caps[0].limit"),
        ({"caps": [cap(window={"sliding": "0d"})]}, "more than nothing"),
        ({"caps": [cap(window={"sliding": "3661d"})]}, "at most ten years"),
        ({"caps": [cap(window={"sliding": "1mo"})]}, "months and years differ in length"),
        ({"caps": [cap(window={"sliding": "7d", "days": 7})]}, "exactly one of sliding, days and calendar"),
        ({"caps": [cap(window={})]}, "exactly one of sliding, days and calendar"),
        ({"caps": [cap(window={"days": 7})]}, "days begin in a zone"),
        ({"caps": [cap(window={"sliding": "7d", "zone": "UTC"})]}, "has no zone"),
        ({"caps": [cap(window={"calendar": "day", "zone": "Europe/Pari"})]}, "did you mean `Europe/Paris`?"),
        ({"caps": [cap(window={"calendar": "day", "zone": "Factory"})]}, "no time zone of that name"),
        ({"caps": [cap(window={"calendar": "day", "zone": "UTC", "week_starts": "sun"})]}, "week_starts belongs to"),
        ({"caps": [cap(), cap()]}, "caps[1].name: `a` is also the name of caps[0]"),
        ({"caps": [cap(channels=["voce"])]}, "`voce` is not a channel; did you mean `voice`?"),
        ({"caps": [cap(channels=["Voice"])]}, "did you mean `voice`?"),
        ({"caps": [cap(channels=["phone"])]}, "`phone` is not a channel; did you mean `voice`?"),
        ({"caps": [cap(channels=["Push!"])]}, "lower-case"),
        ({"caps": [cap(channels=["fax"])]}, "did you mean to declare it at the top: `channels: [fax]`?"),
        ({"channels": ["push"], "caps": [cap(channels=["push", "pusk"])]}, "did you mean `push`?"),
        ({"channels": ["txt"]}, "`txt` is not a channel; did you mean `sms`?"),
        ({"channels": ["push", "push"]}, "the same word stands twice"),
        (
            {"purposes": {"marketing": {"consent": "opt_in", "channels": {"fax": {}}}}},
            "purposes.marketing.channels.fax",
        ),
        ({"flags": ["dead"]}, "`dead` means `deceased`"),
        ({"flags": ["business"]}, "is built in"),
        ({"data_categories": ["basic"]}, "is built in"),
        ({"controllers": ["*"]}, "as events write it"),
        ({"clock_skew": "25h"}, "at most 24h"),
        ({"clock_skew": 10}, "with its unit"),
        ({"default_region": "gb"}, "did you mean `GB`?"),
        ({"outcomes": {"DNC": "complete"}}, "must be one of"),
        ({"outcomes": {"No-Answer": "answered"}}, "keeps its meaning"),
        ({"outcomes_by": "anyone"}, "must be one of approval, subject, both"),
        ({"caps": [cap(channels=[])]}, "an empty list selects nothing"),
        (
            {"caps": [cap(purposes=["marketting"])]},
            "is no purpose of this policy or its packs; did you mean `marketing`?",
        ),
        ({"caps": [cap(jurisdictions=["UK"])]}, "GB"),
        ({"caps": [cap(jurisdictions=["us"])]}, "ISO 3166"),
        ({"caps": [cap(counts="dialled")]}, "must be one of approved"),
        ({"caps": [cap(valid_from="2026-02-30")]}, "YYYY-MM-DD"),
        ({"caps": [cap(valid_to="9999-12-31")]}, "caps[0].valid_to: the year must lie between"),
        ({"caps": [cap(valid_from="2026-02-02", valid_to="2026-02-01")]}, "valid_to lies before valid_from"),
        ({"cooloffs": [cooloff(outcomes=["refusd"])]}, "did you mean `refused`?"),
        ({"cooloffs": [cooloff(**{"for": {"days": 0}})]}, "cooloffs[0].for.days"),
        ({"cooloffs": [cooloff(**{"for": {"days": 7, "frist": "same_day"}})]}, "did you mean `first`?"),
        ({"cooloffs": [cooloff(**{"for": "ever"})]}, "cooloffs[0].for"),
        ({"cooloffs": [cooloff(after={"count": 30})]}, "cooloffs[0].after.within"),
        ({"windows": [window(to="09:00")]}, "from and to are the same"),
        ({"windows": [window(to="24:00", to_inclusive=True)]}, "belongs to the next day"),
        ({"windows": [window(to="24:01")]}, "no such time of day"),
        ({"windows": [window(**{"from": "9:00"})]}, "between quotes"),
        ({"windows": [window(days=["monday"])]}, "did you mean `mon`?"),
        ({"windows": [window(holidays="XX")]}, "no public holidays are known"),
        ({"windows": [window(holidays="AU-XYZ")]}, "for this part of AU"),
        ({"windows": [window(holidays=False)]}, "windows[0].holidays"),
        ({"windows": [window(), window(zone="UTC")]}, "must agree on zone"),
        ({"registries": [registry(name="House List")]}, "lower-case letters, digits or `-`"),
        ({"registries": [registry(), registry()]}, "the same line stands twice"),
        ({"registries": [{"name": "us-ndnc"}]}, "registries[0].max_age: this key is required"),
        ({"registries": [registry(unless=["relationship"])]}, "say for how long"),
        ({"registries": [registry(unless=["purchase"])]}, "say for how long"),
        ({"registries": [registry(max_age="31h")]}, "counted in local dates"),
        ({"purposes": {"Marketing": {"consent": "opt_in"}}}, "lower-case words"),
        ({"purposes": {"a..b": {"consent": "opt_in"}}}, "lower-case words"),
        ({"purposes": {"marketing": {"consent": "optin"}}}, "did you mean `opt_in`?"),
        ({"purposes": {"marketing": []}}, "an empty list says nothing"),
        ({"purposes": {"marketing": {"consent": "none", "unless": ["contract"]}}}, "only stand in for an opt_in"),
        (
            {"purposes": {"marketing": [{"consent": "none"}, {"consent": "opt_in", "valid_from": "2026-01-01"}]}},
            "purposes.marketing[1]: its dates overlap",
        ),
        ({"purposes": {"marketing": {"consent": "opt_in", "max_period": "365d"}}}, "calendar months"),
        ({"packs": ["uk", "uk"]}, "packs[1]: `uk` stands twice"),
        ({"jurisdiction": "GB"}, "jurisdiction: unknown key"),
        ({"policy": "two words"}, "a name is"),
        ({"dedup_horizon": "7"}, "unknown unit"),
        ({"zone": "subject"}, "a fixed zone is needed"),
        ({"relationships": {"contract": "18d"}}, "calendar months"),
        ({"require": {"party": "no"}}, "require.party: write true or false"),
    ],
)
def test_a_fault_says_where_and_what_to_do(more: dict[str, Any], says: str) -> None:
    """Whatever could silently loosen a policy or never apply is refused with words that help."""
    assert any(says in fault for fault in faults_of(policy(**more)))


def test_a_policy_needs_a_name() -> None:
    """The name is the one key without a default."""
    assert faults_of({}) == ["policy: this key is required"]


def test_defaults_are_those_of_the_design() -> None:
    """What is left out means what the design says, and the strict thing where it says nothing."""
    limits = load_policy({"policy": "p"}).limits
    assert limits.approval_ttl_ms == 15 * 60_000
    assert limits.dedup_horizon_ms == 7 * 86_400_000
    assert limits.contact_history_ms == 400 * 86_400_000
    assert limits.unreported_counts
    needed = limits.requirements
    assert (needed.campaign, needed.party, needed.notice, needed.two_people) == (True, True, True, False)


def test_a_channel_the_design_does_not_name_is_declared() -> None:
    """`whatsapp` is one where the policy says so, as long as it cannot be a misspelling of a known one."""
    channels = ["whatsapp", "mms", "voicemail", "push"]
    chosen = load_policy(policy(channels=channels, caps=[cap(channels=["voice", *channels])]))
    assert chosen.words.channels == {"voice", "sms", "email", "mail", *channels}


def test_the_words_of_a_policy_are_those_of_its_packs_too() -> None:
    """Configured purposes, those that filters name, and what is built in."""
    chosen = load_policy({**policy(), "packs": ["uk"], "flags": ["vip"], "data_categories": ["health"]})
    assert "marketing.claims_management" in chosen.words.named
    assert chosen.words.purposes <= chosen.words.named
    assert chosen.words.flags == {"deceased", "minor", "vulnerable", "business", "vip"}
    assert "health" in chosen.words.categories


def test_clocks_may_differ_by_ten_minutes_unless_the_policy_says_otherwise() -> None:
    """`0` is exact."""
    assert load_policy(policy()).limits.clock_skew_ms == 600_000
    assert load_policy(policy(clock_skew="0")).limits.clock_skew_ms == 0
    assert load_policy(policy(clock_skew=0)).limits.clock_skew_ms == 0
    assert load_policy(policy(clock_skew="1h")).limits.clock_skew_ms == 3_600_000


def test_a_filter_may_name_a_purpose_below_a_configured_one() -> None:
    """`marketing.offers` is fine where `marketing` is configured, also when only a pack configures it."""
    load_policy(policy(caps=[cap(purposes=["marketing.offers"])]))
    load_policy({"policy": "p", "packs": ["uk"], "caps": [cap(purposes=["research"])]})


def test_windows_of_one_name_are_alternatives_and_other_names_may_not_repeat() -> None:
    """The same name twice is how a lunch break is written."""
    load_policy(policy(windows=[window(), window(**{"from": "21:00", "to": "22:00"})]))


def test_two_lines_of_one_registry_may_differ_by_channel() -> None:
    """A list may have other exceptions for texts than for calls."""
    load_policy(policy(registries=[registry(channels=["voice"]), registry(channels=["sms"], unless=["consent"])]))

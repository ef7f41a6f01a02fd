"""Laws of deciding that hold for every policy and every history.

250 examples each; `CONTACTGATE_LONG=1` (`make properties`) runs 10,000.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.model.calendar import duration, ms
from tests.property.agreement import PACKS, TOKENS, compiled, decisions, real
from tests.property.effort import LONG, PATIENCE_S, examples
from tests.property.generators import Maker, histories, history
from tests.property.policies import DAY, HOUR, NUMBERS, Event, instant

from contactgate.codec.state import decode, encode
from contactgate.core.rule import Rule
from contactgate.core.rulebook import Rulebook
from contactgate.offline import Fold
from contactgate.policy.load import load_policy
from contactgate.policy.packs import shipped

pytestmark = [pytest.mark.timeout(PATIENCE_S)]
laws = settings(
    max_examples=examples(),
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
seeds = st.integers(0, 2**32)


def outcome_of(events: list[Event], policy: Event) -> list[Event]:
    """What the offline fold decides and recalls."""
    return decisions(real(events, compiled(policy)))


def last_time(events: list[Event]) -> int:
    """The latest instant of a history."""
    return max(ms(event["time"]) for event in events)


def last_request(events: list[Event], at: int, seed: int) -> Event:
    """One more request, with an id of its own, at an instant."""
    maker = Maker(random.Random(seed))
    maker.now = at
    maker.subjects = sorted({e["subject_id"] for e in events if "subject_id" in e}) or ["s-1"]
    return {**maker.request(), "request_id": "r-last", "time": instant(at)}


def quiet(events: list[Event]) -> int:
    """An instant after a history at which every approval in it has lapsed."""
    return last_time(events) + DAY + HOUR


def last_decision(events: list[Event], policy: Event) -> Event:
    """The decision on the last request."""
    return [d for d in outcome_of(events, policy) if d.get("request_id") == "r-last"][-1]


# --- the same again, and in another order ----------------------------------------------------------------------------


@laws
@given(histories())
def test_applying_twice_is_applying_once(drawn: tuple[Event, list[Event]]) -> None:
    """Every event delivered twice in a row, whatever its kind, changes nothing; a request has the same answer again."""
    policy, events = drawn
    once = outcome_of(events, policy)
    fold = Fold(compiled(policy), TOKENS)
    twice = []
    for event in events:
        line = json.dumps(event).encode()
        first, again = (decisions([json.loads(x) for x in fold.line(line)]) for _ in range(2))
        twice += first
        assert [{**answer, "duplicate": ""} for answer in again] == [
            {**answer, "duplicate": ""} for answer in first if "verdict" in answer
        ]
        assert all(answer["duplicate"] for answer in again if answer["verdict"] == "pass")
    assert twice == once


@laws
@given(histories(), seeds)
def test_subjects_do_not_touch_each_other(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """Any interleaving of different people's events gives each of them the same decisions and recalls."""
    policy, events = drawn
    world = [e for e in events if "subject_id" not in e]
    lanes: dict[str, list[Event]] = {}
    for event in events:
        if "subject_id" in event:
            lanes.setdefault(event["subject_id"], []).append(event)
    rng = random.Random(seed)
    order = [subject for subject, lane in lanes.items() for _ in lane]
    rng.shuffle(order)
    iterators: dict[str, Iterator[Event]] = {subject: iter(lane) for subject, lane in lanes.items()}
    mixed = outcome_of(world + [next(iterators[subject]) for subject in order], policy)
    apart = [d for lane in lanes.values() for d in outcome_of(world + lane, policy)]
    assert sorted(map(str, map(_sortable, mixed))) == sorted(map(str, map(_sortable, apart)))


def _sortable(answer: Event) -> list[Any]:
    return [(k, sorted(v) if isinstance(v, set) else v) for k, v in sorted(answer.items())]


@laws
@given(histories(longest=30), seeds, st.booleans())
def test_order_of_arrival_of_facts_is_nothing(drawn: tuple[Event, list[Event]], seed: int, exact: bool) -> None:
    """Facts about a person may arrive in any order before the requests: same decisions.

    Their times differ by more than `clock_skew`: closer ones are told apart by which arrived first (rule 45).
    """
    policy, events = drawn
    if exact:
        policy = {**policy, "clock_skew": "0s"}
        events = [e for e in events if e["type"] != "policy.activated"]
    apart = 1 if exact else duration(policy.get("clock_skew", "10m")) + 1
    world = [e for e in events if "subject_id" not in e]
    facts: list[Event] = []
    for event in events:
        if "subject_id" in event and event["type"] not in ("contact.requested", "contact.outcome"):
            mine = [ms(e["time"]) for e in facts if e["subject_id"] == event["subject_id"]]
            if all(abs(ms(event["time"]) - at) >= apart for at in mine):
                facts.append(event)
    requests = [e for e in events if e["type"] == "contact.requested"]
    assume(len(facts) > 1 and requests)
    shuffled = list(facts)
    random.Random(seed).shuffle(shuffled)
    assert outcome_of(world + shuffled + requests, policy) == outcome_of(world + facts + requests, policy)


# --- nothing restricting ever frees ----------------------------------------------------------------------------------


def restrictions(request: Event, rng: random.Random, at: int) -> Event:
    """One more event that can only forbid."""
    head = {"event_id": "e-extra", "time": instant(at)}
    subject = {"subject_id": request["subject_id"]}
    number = rng.choice(NUMBERS)
    kinds: list[Event] = [
        {"type": "consent.withdrawn", **subject},
        {"type": "consent.withdrawn", **subject, "controller": "bank", "channels": ["voice"]},
        {"type": "complaint.received", **subject},
        {"type": "pause.set", "pause_id": "p-extra", "scope": {}},
        {"type": "pause.set", "pause_id": "p-extra", "scope": {"channels": ["voice"]}, "until": instant(at + DAY)},
        {"type": "address.suppressed", "address": number},
        {"type": "address.suppressed", "address": number, "purposes": ["marketing"], "expires_at": instant(at + DAY)},
        {"type": "subject.erased", **subject},
        {"type": "party.updated", "party_id": request["requester"], "status": "suspended", "agreements": []},
        {"type": "campaign.updated", "campaign_id": request.get("campaign_id", "c-1"), "status": "paused"},
        {
            "type": "contact.observed",
            **subject,
            "controller": "bank",
            "channel": "voice",
            "purpose": "marketing",
            "outcome": "refused",
        },
    ]
    return {**head, **rng.choice(kinds)}


@laws
@given(histories(), seeds)
def test_a_restricting_event_never_frees(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """An opt-out, complaint, pause, suppression, erasure, suspension or further contact turns no block into a pass."""
    policy, events = drawn
    rng = random.Random(seed)
    at = quiet(events)
    request = last_request(events, at, seed)
    extra = restrictions(request, rng, at)
    # An erasure makes caps forget; but then nothing passes at all.
    if last_decision([*events, request], policy)["verdict"] == "block":
        assert last_decision([*events, extra, request], policy)["verdict"] == "block"


@laws
@given(histories(), seeds)
def test_a_listing_never_frees(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """One more listed number in a list as fresh as before turns no block into a pass."""
    policy, events = drawn
    at = quiet(events)
    request = last_request(events, at, seed)
    registry = {
        "type": "registry.published",
        "event_id": "e-list",
        "time": instant(at),
        "registry": "us-ndnc",
        "version": "v-list",
        "kind": "snapshot",
        "as_of": instant(at),
        "entries": [],
        "shrinks": True,
    }
    listed = {**registry, "entries": [{"address": n} for n in NUMBERS]}
    if last_decision([*events, registry, request], policy)["verdict"] == "block":
        assert last_decision([*events, listed, request], policy)["verdict"] == "block"


@laws
@given(histories(), seeds)
def test_a_further_rule_never_frees(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """One more cap, gap, cool-off, window or registry in the policy turns no block into a pass."""
    policy, events = drawn
    maker = Maker(random.Random(seed))
    key, line = maker.rng.choice(
        [
            ("caps", maker.cap(8)),
            ("gaps", maker.gap(8)),
            ("cooloffs", maker.cooloff(8)),
            ("windows", {**maker.window(), "name": "further"}),
            ("registries", {**maker.registry_rule(), "name": "uk-tps"}),
        ]
    )
    stricter = {**policy, key: [*policy[key], line]}
    at = quiet(events)
    request = last_request(events, at, seed)
    before = _under(events, policy, policy, request, at)
    after = _under(events, policy, stricter, request, at)
    assert before["rules"] <= after["rules"]
    assert (before["verdict"], after["verdict"]) != ("block", "pass")


def _under(events: list[Event], policy: Event, last: Event, request: Event, at: int) -> Event:
    """The decision on a last request under another policy than the history before it."""
    activation = {"type": "policy.activated", "event_id": "e-policy", "time": instant(at), "document": last}
    fold = Fold(load_policy(json.loads(json.dumps(policy)), packs=shipped()), TOKENS)
    lines = [line for e in [*events, activation, request] for line in fold.line(json.dumps(e).encode())]
    return [d for d in decisions([json.loads(x) for x in lines]) if d.get("request_id") == "r-last"][-1]


@laws
@given(histories(longest=12), seeds)
def test_a_further_pack_never_frees(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """One more pack turns no block into a pass, except that it may know a purpose the house policy does not."""
    policy, events = drawn
    rng = random.Random(seed)
    at = quiet(events)
    request = {**last_request(events, at, seed), "jurisdictions": [rng.choice(["US", "US-FL", "GB", "FR", "CN", "CA"])]}
    before = _under(events, policy, policy, request, at)
    assume("policy.unknown_purpose" not in before["rules"])
    names = rng.sample(shipped().names(), rng.randrange(1, 4))
    after = _under(events, policy, {**policy, "packs": sorted(names)}, request, at)
    assert (before["verdict"], after["verdict"]) != ("block", "pass")


@laws
@given(histories(), seeds)
def test_a_late_older_grant_never_revives(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """After an opt-out of everything no consent as old or older, however wide, lets an opt-in purpose pass."""
    policy, events = drawn
    at = quiet(events)
    request = last_request(events, at, seed)
    marketing = {**policy, "purposes": {"marketing": {"consent": "opt_in"}, "collection": {"consent": "opt_out"}}}
    subject = {"subject_id": request["subject_id"]}
    withdrawn = {"type": "consent.withdrawn", "event_id": "e-w", "time": instant(at - HOUR), **subject}
    grant = {
        "type": "consent.granted",
        "event_id": "e-g",
        "time": instant(at - HOUR - random.Random(seed).choice([0, 1, DAY])),
        **subject,
        "controller": request["controller"],
        "purposes": ["marketing", "collection"],
        "channels": ["voice", "sms", "email"],
        "recipients": ["bank", "callcentre", "insurer"],
        "data_categories": ["account", "basic"],
        "evidence": {"method": "written", "ref": "x"},
    }
    events = [e for e in events if e["type"] != "policy.activated"]
    decision = last_decision([*events, withdrawn, grant, request], marketing)
    assert decision["verdict"] == "block"


# --- the next eligible instant ---------------------------------------------------------------------------------------


@laws
@given(histories(longest=30), seeds)
def test_next_eligible_is_exact(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """The same request passes at its next eligible instant and blocks a millisecond before; null never passes later."""
    policy, events = drawn
    at = last_time(events) + random.Random(seed).choice([0, 1, HOUR])
    request = last_request(events, at, seed)
    decision = last_decision([*events, request], policy)
    assume(decision["verdict"] == "block")

    def asked_at(instant_ms: int) -> str:
        verdict: str = last_decision([*events, {**request, "time": instant(instant_ms)}], policy)["verdict"]
        return verdict

    first = decision["next_eligible"]
    if first is None:
        rng = random.Random(seed)
        assert {asked_at(at + rng.randrange(1, 60 * DAY)) for _ in range(4)} == {"block"}
    else:
        assert first > at
        assert (asked_at(first - 1), asked_at(first)) == ("block", "pass")


@laws
@given(histories(longest=30), seeds)
def test_each_reason_says_until_when(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """A reason is gone at the instant it names and there a millisecond before; without one it is there at any time."""
    policy, events = drawn
    at = last_time(events) + random.Random(seed).choice([0, 1, HOUR])
    request = last_request(events, at, seed)

    def reasons_at(instant_ms: int) -> dict[str, str | None]:
        lines = real([*events, {**request, "time": instant(instant_ms)}], compiled(policy))
        last = next(x for x in reversed(lines) if x["type"] == "contact.decided")
        return {_family(reason["rule"]): reason["until"] for reason in last["reasons"]}

    later = random.Random(seed).randrange(1, 60 * DAY)
    for rule, until in reasons_at(at).items():
        if until is None:
            assert rule in reasons_at(at + later)
        else:
            assert rule not in reasons_at(ms(until))
            assert rule in reasons_at(ms(until) - 1)


def _family(rule: str) -> str:
    """The rule; but consent, whatever it lacks, is one rule, and so are requester, campaign and the times asked for."""
    if rule in ("request.not_before", "request.expired"):
        return "request.times"
    family = rule.partition(".")[0]
    return {"notice": "consent", "consent": "consent", "party": "party", "campaign": "campaign"}.get(family, rule)


# --- erasure, errors, bytes ------------------------------------------------------------------------------------------


@laws
@given(histories(), seeds)
def test_erasure_forgets_and_recalls(drawn: tuple[Event, list[Event]], seed: int) -> None:
    """After an erasure nothing older is kept, nothing is open, and nothing passes before a newer consent."""
    policy, events = drawn
    fold = Fold(compiled(policy), TOKENS)
    open_requests: dict[str, int] = {}
    for event in events:
        for answer in decisions([json.loads(x) for x in fold.line(json.dumps(event).encode())]):
            fresh = answer.get("verdict") == "pass" and not answer["duplicate"]
            if fresh and event.get("subject_id") == "s-1":
                open_requests[answer["request_id"]] = answer["valid_until"]
            open_requests.pop(answer.get("recalled", ""), None)
        if event["type"] == "contact.outcome":
            open_requests.pop(event["request_id"], None)
    at = last_time(events) + 1
    erased = {"type": "subject.erased", "event_id": "e-erased", "subject_id": "s-1", "time": instant(at)}
    lines = [json.loads(x) for x in fold.line(json.dumps(erased).encode())]
    assert {d["recalled"] for d in decisions(lines)} >= {r for r, until in open_requests.items() if at < until}
    state = fold.states.get(b"s-1")
    facts = (*state.grants, *state.withdrawals, *state.contacts, *state.profile.marks)
    assert state.profile.erased_ms == at
    assert not [fact for fact in facts if fact.time_ms <= at]
    request = {**last_request(events, at + 1, seed), "subject_id": "s-1"}
    answer = decisions([json.loads(x) for x in fold.line(json.dumps(request).encode())])[-1]
    assert "subject.erased" in answer["rules"]


@laws
@given(histories(longest=30))
def test_every_state_survives_its_bytes(drawn: tuple[Event, list[Event]]) -> None:
    """decode(encode(state)) is the state, for every state that a history leads to."""
    policy, events = drawn
    fold = Fold(compiled(policy), TOKENS)
    for event in events:
        fold.line(json.dumps(event).encode())
        if "subject_id" in event:
            state = fold.states.get(event["subject_id"].encode())
            assert decode(encode(state)) == state


def _kinds(cls: type[Rule] = Rule) -> Iterator[type[Rule]]:
    for kind in cls.__subclasses__():
        if not kind.__name__.startswith("_"):
            yield kind
        yield from _kinds(kind)


@pytest.mark.parametrize("kind", sorted(_kinds(), key=lambda k: k.__name__), ids=lambda kind: kind.__name__)
def test_a_rule_that_raises_blocks(kind: type[Rule], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever rule breaks, every request it is asked about is blocked and says which rule it was."""
    asked: list[str] = []

    def broken(rule: Rule, ctx: Any, t: int) -> int:
        asked.append(rule.name)
        raise ZeroDivisionError(f"{rule.name} is broken")

    monkeypatch.setattr(kind, "passes_from", broken)
    for seed in range(400):
        policy, events = history(seed, 16)
        fold = Fold(load_policy(policy, packs=PACKS), TOKENS)
        for event in events:
            asked.clear()
            answers = decisions([json.loads(x) for x in fold.line(json.dumps(event).encode())])
            decided = [a for a in answers if "verdict" in a and not a["duplicate"]]
            if decided and asked:
                assert decided[0]["verdict"] == "block"
                assert any(rule.startswith("rule.error:") for rule in decided[0]["rules"])
                return
    pytest.fail(f"{kind.__name__} was never asked")


def test_every_kind_of_rule_is_in_some_rulebook() -> None:
    """The rules broken above are those the core asks: nothing it asks is left out."""
    found: set[type[Rule]] = set()
    for seed in range(0, 2_000, 8):
        policy, _ = history(seed, 8)
        loaded = load_policy(policy, packs=PACKS)
        for channel in ("voice", "email"):
            for purpose in ("marketing", "research"):
                found |= {type(rule) for rule in Rulebook(loaded.plan(purpose, channel, "live", ("US",), 0), 0).rules}
    assert found == set(_kinds())

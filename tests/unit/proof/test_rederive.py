"""Decisions made again from the log: equal to the recorded ones, whatever compaction left; and every lie is shown."""

from __future__ import annotations

import json

import pytest
from tests.kit.proofkit import POLICY, Worker, eventful

from contactgate.core import chain
from contactgate.model.decision import SEMANTICS
from contactgate.partition.fold import decode_meta, encode_meta
from contactgate.policy.load import load_policy
from contactgate.proof.decided import Kept, decode
from contactgate.proof.rederive import NO_TOPIC, Looked, Rederived, rederive


@pytest.fixture(scope="module")
def worker() -> Worker:
    """A partition with sixty decisions."""
    return eventful()


def again(worker: Worker, decisions: list[Kept] | None = None, metas: list | None = None, **options) -> Rederived:
    """All of a worker's decisions, derived again."""
    kept = worker.kept() if decisions is None else decisions
    return rederive(
        worker.partition, worker.rules(), worker.inputs, kept, worker.metas if metas is None else metas, **options
    )[0]


@pytest.mark.parametrize("event_time", [False, True])
@pytest.mark.parametrize("left", ["all", "none", "the newest", "one old and the newest"])
def test_decisions_are_derived_again_whatever_compaction_left(left, event_time):
    """With all transaction records, some, or none: every decision, reviews and recalls included, comes out equal."""
    worker = eventful(event_time=event_time)
    metas = {
        "all": worker.metas,
        "none": [],
        "the newest": worker.metas[-9:],
        "one old and the newest": [worker.metas[2], *worker.metas[-4:]],
    }[left]
    found = again(worker, metas=metas)
    assert found.different == []
    assert found.equal == found.read == len(worker.decisions) > 50
    assert found.from_metas + found.from_decisions == len(worker.decisions)
    if left == "all" and not event_time:
        assert found.from_decisions == 0
    if left == "none":
        assert found.from_metas == 0


def test_a_review_that_took_several_transactions_is_done_again_as_it_was():
    """Which subjects a transaction reviewed stands in its record; the replay reviews exactly these."""
    worker = eventful(review_limit=1)
    assert sum(bool(meta.reviewed) for meta in worker.metas) > sum(bool(meta.review) for meta in worker.metas) > 0
    found = again(worker)
    assert (found.equal, found.different) == (len(worker.decisions), [])


def test_the_history_puts_recalls_and_duplicates_to_the_test(worker):
    """What is derived again above holds passes, caps, pauses, opt-outs and duplicates: not an easy case."""
    decided = [kept.decided for kept in worker.kept()]
    rules = {reason.rule for each in decided for reason in each.reasons}
    assert {"cap.day", "pause.stop-mail", "consent.withdrawn"} <= rules
    assert any(each.duplicate for each in decided)
    assert any(each.verdict == "pass" for each in decided)
    assert any(meta.review for meta in worker.metas)


def test_iterators_are_read_as_they_are_needed(worker):
    """A log of any length: inputs, decisions and meta records may be iterators."""
    inputs = {kind: iter(records) for kind, records in worker.inputs.items()}
    found, _ = rederive(0, worker.rules(), inputs, iter(worker.kept()), iter(worker.metas))
    assert (found.equal, found.differing) == (len(worker.decisions), 0)


def forge(kept: Kept, **changes) -> Kept:
    """A decision with other contents and a hash that fits them."""
    body = {**json.loads(kept.raw), **changes}
    del body["hash"]
    raw = json.dumps(body, separators=(",", ":")).encode()
    sealed = chain.seal(raw, chain.link(body["prev"], raw))
    return Kept(kept.offset, sealed, decode(sealed))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("verdict", "pass"),
        ("reasons", []),
        ("next_eligible_at", "2026-11-22T12:00:00.000Z"),
        ("policy", "sha256:" + "0" * 64),
        ("approval_ref", "ar-1"),
        ("valid_until", "2026-11-22T12:00:00.000Z"),
        ("duplicate", True),
        ("requester", "other"),
        ("channel", "voice"),
    ],
)
def test_a_decision_that_the_log_does_not_lead_to_is_shown(worker, field, value):
    """However well a forged decision is hashed, deriving it again shows the field with both values."""
    decisions = worker.kept()
    place = next(
        i for i, kept in enumerate(decisions) if kept.decided.verdict == "block" and not kept.decided.duplicate
    )
    decisions[place] = forge(decisions[place], **{field: value})
    found = again(worker, decisions)
    assert found.equal == len(decisions) - 1
    (difference,) = found.different
    assert difference.offset == decisions[place].offset
    assert any(line.startswith(f"{field}: recorded") and "derived" in line for line in difference.what)


def test_decisions_of_another_version_of_the_rules_are_counted_apart(worker):
    """What an older release decided by other rules is told as such, equal or not, and is no difference."""
    decisions = [forge(kept, semantics=1) for kept in worker.kept()[:20]] + worker.kept()[20:]
    blocked = next(i for i, kept in enumerate(decisions) if kept.decided.verdict == "block")
    decisions[blocked] = forge(decisions[blocked], reasons=[])
    found = again(worker, decisions)
    assert (found.equal, found.differing, found.different) == (len(decisions) - 20, 0, [])
    assert (dict(found.others), found.others_differing) == ({1: 20}, 1)


def test_decisions_and_transactions_name_the_version_of_the_rules(worker):
    """Every decision and every meta record says by which version it was made; without one it is the first."""
    assert (
        {kept.decided.semantics for kept in worker.kept()} == {SEMANTICS} == {meta.semantics for meta in worker.metas}
    )
    assert b'"semantics":2' in encode_meta(worker.metas[-1])
    raw = worker.kept()[0].raw.replace(b',"semantics":2', b"")
    assert (decode(raw).semantics, decode_meta(b'{"seq":3}').semantics) == (1, 1)


def test_a_decision_that_was_taken_away_is_missed(worker):
    """A request between two decisions that has none is reported, even if the chain was made again around it."""
    decisions = worker.kept()
    taken = decisions.pop(20)
    found = again(worker, decisions)
    assert any(f"offset {taken.decided.position.request} has no decision" in str(each) for each in found.different)


def test_a_decision_without_a_request_is_shown(worker):
    """A decision on a request that never was is no decision."""
    inputs = {**worker.inputs, "request": [r for r in worker.inputs["request"] if r.offset != 30]}
    found, _ = rederive(0, worker.rules(), inputs, worker.kept(), worker.metas)
    assert any("its request is not on the topic" in str(each) for each in found.different)


def test_an_input_that_was_taken_away_is_noticed(worker):
    """Without the opt-out that blocked somebody the log leads to other decisions."""
    inputs = {**worker.inputs, "consent": []}
    found, _ = rederive(0, worker.rules(), inputs, worker.kept(), worker.metas)
    assert found.differing > 0


def test_requests_that_retention_removed_are_counted_and_are_no_fault(worker):
    """Old requests leave their topic: the result says how many, and blames no decision that may rest on them."""
    begin = worker.inputs["request"][30].offset
    inputs = {**worker.inputs, "request": [r for r in worker.inputs["request"] if r.offset >= begin]}
    found, _ = rederive(0, worker.rules(), inputs, worker.kept(), worker.metas, begin=begin)
    assert found.gone == len([k for k in worker.kept() if k.decided.position.request < begin])
    assert found.unsure > 0
    assert found.differing == 0
    assert found.equal + found.unsure + found.gone == len(worker.decisions)


def test_a_requester_without_a_topic_is_taken_from_the_record():
    """Which approvals topics existed is on no input topic: the recorded reason says it, and the rest is derived."""
    worker = Worker(requesters=frozenset({"dialer"}))
    worker.policy()
    worker.ask("r-1", "anna", requester="nobody")
    worker.ask("r-1", "anna", requester="nobody")
    worker.ask("r-2", "anna")
    worker.transact()
    decided = [kept.decided for kept in worker.kept()]
    assert [each.verdict for each in decided] == ["block", "block", "pass"]
    assert decided[0].reasons[-1].detail == NO_TOPIC
    assert again(worker).different == []


def test_the_policy_a_worker_was_started_with_must_be_named():
    """Without it the decisions before the first policy.activated come out otherwise, and that is said."""
    worker = Worker()
    worker.ask("r-1", "anna")
    worker.transact()
    assert worker.kept()[0].decided.policy is None
    assert again(worker).different == []
    other = worker.rules(policy=load_policy(POLICY))
    found, _ = rederive(0, other, worker.inputs, worker.kept(), worker.metas)
    assert "policy: recorded null" in str(found.different[0])


def look(worker: Worker, request_id: str, metas: list | None = None) -> list[Looked]:
    """One request looked into, from its own subject's records alone."""
    wanted = [kept for kept in worker.kept() if kept.decided.request_id == request_id]
    subject = wanted[0].decided.subject_id.encode()
    own = [kept for kept in worker.kept() if kept.decided.subject_id.encode() == subject]
    offsets = frozenset(kept.offset for kept in wanted)
    metas = worker.metas if metas is None else metas
    return rederive(0, worker.rules(), worker.inputs, own, metas, subject=subject, look_at=offsets)[1]


@pytest.mark.parametrize("compacted", [False, True])
def test_every_decision_is_explained_by_its_own_subject_alone(worker, compacted):
    """From one subject's records every decision comes out the same, and the explanation agrees with it."""
    seen = 0
    for request_id in {kept.decided.request_id for kept in worker.kept()}:
        for looked in look(worker, request_id, [] if compacted else None):
            decided = looked.kept.decided
            assert looked.difference == ()
            if not decided.duplicate:
                assert looked.explanation.passes == (decided.verdict == "pass")
                failing = {rule.rule for rule in looked.explanation.rules if not rule.holds}
                assert failing == {reason.rule for reason in decided.reasons}
            seen += 1
    assert seen == len(worker.decisions)


def test_a_damaged_opt_out_under_another_key_still_counts_in_an_explanation():
    """What binds a subject at its widest reading is replayed for it, whatever its key and however it is spelled."""
    worker = Worker()
    worker.policy()
    withdrawal = b'{"type":"consent.withdrawn","subject_id":"a\\u006ena","time":"2026-11-22T11:00:00Z","event_id":"w"}'
    worker.put("consent", "somebody", withdrawal)
    worker.ask("r-1", "anna")
    worker.transact()
    assert worker.kept()[0].decided.reasons[0].rule == "consent.withdrawn"
    (looked,) = look(worker, "r-1")
    assert looked.difference == ()
    assert not looked.explanation.passes

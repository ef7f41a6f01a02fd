"""The walk along the chain of decisions: what it finds, and what only a checkpoint finds."""

from __future__ import annotations

import json
import time

import pytest
from tests.kit.proofkit import START_MS, at, eventful

from contactgate.core import chain
from contactgate.core.chain import GENESIS, Link
from contactgate.errors import DocumentError
from contactgate.proof.walk import Walk, read_heads, write_heads

Records = list[tuple[int, bytes | None, bytes | None]]
TOPIC = "contact-decisions"
BAD = 30


@pytest.fixture(scope="module")
def decisions() -> Records:
    """Sixty decisions of partition 0, as they lie on the topic."""
    return list(eventful().decisions)


@pytest.fixture(scope="module")
def foreign() -> Records:
    """The same number of decisions of partition 1."""
    return list(eventful(partition=1).decisions)


def walk(records: Records, checkpoint: Link | None = None, **options: bool) -> Walk:
    """Walk along all of them."""
    made = Walk(0, checkpoint, **options)
    for record in records:
        if not made.take(*record):
            break
    made.finish()
    return made


def renumbered(records: Records) -> Records:
    """The records at offsets of a topic without gaps."""
    return [(offset, key, value) for offset, (_, key, value) in enumerate(records)]


def rehash(records: Records, first: int) -> Records:
    """The chain made again from a record on, as somebody who knows how it is made could do."""
    made = records[:first]
    prev = GENESIS if first == 0 else json.loads(records[first - 1][2])["hash"]
    seq = first
    for offset, key, value in records[first:]:
        body = {**json.loads(value), "seq": seq, "prev": prev}
        del body["hash"]
        raw = json.dumps(body).encode()
        prev = chain.link(prev, raw)
        made.append((offset, key, chain.seal(raw, prev)))
        seq += 1
    return made


def edited(records: Records, place: int) -> Records:
    """A verdict is turned around."""
    offset, key, value = records[place]
    assert value is not None
    other = (b'"block"', b'"pass"') if b'"block"' in value else (b'"pass"', b'"block"')
    return [*records[:place], (offset, key, value.replace(*other)), *records[place + 1 :]]


def test_a_whole_chain_is_whole(decisions):
    """Every decision is counted, and the head is the last one's."""
    made = walk(decisions)
    last = json.loads(decisions[-1][2])
    assert (made.broken, made.count, made.begins) == (None, len(decisions), 0)
    assert made.head == Link(last["seq"], last["hash"])


def swapped(records: Records) -> Records:
    """Two neighbours change places."""
    return renumbered([*records[:BAD], records[BAD + 1], records[BAD], *records[BAD + 2 :]])


def forged(records: Records) -> Records:
    """A record with a hash of its own, put between two others."""
    _, key, value = records[BAD]
    body = json.loads(value)
    del body["hash"]
    raw = json.dumps({**body, "request_id": "forged"}).encode()
    return renumbered([*records[:BAD], (0, key, chain.seal(raw, chain.link(body["prev"], raw))), *records[BAD:]])


MUTATIONS = {
    "edit": (lambda records: edited(records, BAD), BAD, "was edited"),
    "delete": (lambda records: renumbered(records[:BAD] + records[BAD + 1 :]), BAD, "one is missing"),
    "delete the first": (lambda records: renumbered(records[1:]), 0, "one is missing"),
    "insert": (forged, BAD + 1, "repeated or out of order"),
    "swap": (swapped, BAD, "one is missing or out of order"),
    "duplicate": (lambda records: renumbered(records[: BAD + 1] + records[BAD:]), BAD + 1, "repeated"),
    "no value": (lambda records: [*records[:BAD], (BAD, b"k", None), *records[BAD:]], BAD, "without a value"),
    "not a decision": (lambda records: [*records[:BAD], (BAD, b"k", b"{}"), *records[BAD:]], BAD, "not a decision"),
    "re-encode": (
        lambda records: [*records[:BAD], (BAD, b"k", json.dumps(json.loads(records[BAD][2])).encode())],
        BAD,
        "re-encoded",
    ),
    "another key": (
        lambda records: [*records[:BAD], (BAD, b"somebody", records[BAD][2]), *records[BAD + 1 :]],
        BAD,
        "under another key",
    ),
    "same request twice": (
        lambda records: rehash([*records[: BAD + 1], *records[BAD:]], BAD + 1),
        None,
        "twice",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_found_at_its_first_bad_position(decisions, name):
    """Edit, delete, insert, swap, duplicate and their like: each is found, and the place is named."""
    mutate, place, words = MUTATIONS[name]
    mutated = mutate(list(decisions))
    made = walk(mutated)
    assert made.broken is not None
    assert words in str(made.broken)
    if place is not None:
        assert made.broken.offset == mutated[place][0]
        assert made.count == place


@pytest.mark.parametrize("field", ["verdict", "reasons", "decided_at", "policy", "position", "seq", "prev", "hash"])
def test_an_edit_of_any_field_is_found(decisions, field):
    """No member of a decision can be changed without its hash telling."""
    offset, key, value = decisions[BAD]
    decision = json.loads(value)
    decision[field] = {"position": {**decision["position"], "consent": 0}, "reasons": [], "seq": 99}.get(
        field, "sha256:" + "1" * 64
    )
    if decision == json.loads(value):
        decision[field] = ["other"]
    raw = json.dumps(decision, separators=(",", ":")).encode()
    assert walk([*decisions[:BAD], (offset, key, raw), *decisions[BAD + 1 :]]).broken is not None


def test_a_graft_from_another_partition_is_found(decisions, foreign):
    """One record of another partition does not fit; a whole chain of it fits itself but names its own partition."""
    one = walk([*decisions[:BAD], foreign[BAD], *decisions[BAD + 1 :]])
    assert one.broken is not None
    assert one.broken.offset == foreign[BAD][0]
    whole = walk(foreign)
    assert whole.broken is not None
    assert "decided in partition 1" in str(whole.broken)


def test_a_cut_tail_is_found_with_a_checkpoint_and_only_with_it(decisions):
    """What is left of a chain whose tail was cut off looks whole; a checkpoint of a later decision says otherwise."""
    cut = decisions[:-5]
    assert walk(cut).broken is None
    checkpoint = walk(decisions).head
    found = walk(cut, checkpoint)
    assert found.broken is not None
    assert "its tail was cut off" in str(found.broken)
    assert "was cut off" in str(walk([], checkpoint).broken)


def test_a_tail_newer_than_the_checkpoint_is_not_protected(decisions):
    """Said openly: decisions after the checkpoint can be cut off without a trace."""
    checkpoint = walk(decisions[:40]).head
    assert walk(decisions[:41], checkpoint).broken is None


def test_a_chain_made_forged_is_found_with_a_checkpoint_and_only_with_it(decisions):
    """Anyone who can rewrite the topic can hash it again: whole by itself, but not what the checkpoint knows."""
    forged = rehash(edited(decisions, BAD), BAD)
    assert walk(forged).broken is None
    found = walk(forged, walk(decisions).head)
    assert found.broken is not None
    assert "history was rewritten" in str(found.broken)
    assert walk(forged, walk(decisions[:BAD]).head).broken is None


def test_a_start_that_retention_removed_can_be_accepted(decisions):
    """Without the option a missing start is a fault that names the option's way out; with it the rest is checked."""
    assert "accept that start" in str(walk(decisions[10:]).broken)
    accepted = walk(decisions[10:], accept_start=True)
    assert (accepted.broken, accepted.begins, accepted.count) == (None, 10, len(decisions) - 10)
    assert walk(edited(decisions[10:], 3), accept_start=True).broken is not None
    early = walk(decisions[:5]).head
    assert "its start is gone" in str(walk(decisions[10:], early, accept_start=True).broken)


def test_a_checkpoint_is_written_read_and_kept_for_other_partitions(decisions):
    """Heads of walked partitions are renewed, others stay, an empty partition has none."""
    first = write_heads(TOPIC, at(START_MS), {0: walk(decisions[:9]), 3: walk([])}, None)
    heads = read_heads(first, TOPIC)
    assert heads.link(0) == walk(decisions[:9]).head
    assert heads.link(3) is None
    second = read_heads(write_heads(TOPIC, at(START_MS), {1: walk(decisions)}, heads), TOPIC)
    assert second.link(0) == heads.link(0)
    assert second.link(1) == walk(decisions).head


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"topic":"x","checked_at":"","partitions":{"0":{"seq":"1"}}}'])
def test_a_file_that_is_no_checkpoint_is_refused(raw):
    """A wrong file says so instead of checking nothing."""
    with pytest.raises(DocumentError, match="verify --head"):
        read_heads(raw, TOPIC)


def test_a_checkpoint_of_another_topic_is_refused(decisions):
    """A checkpoint of another installation's topic is not compared with this one."""
    with pytest.raises(DocumentError, match="give its own file"):
        read_heads(write_heads("other", at(START_MS), {0: walk(decisions)}, None), TOPIC)


@pytest.mark.slow
def test_the_chain_alone_is_checked_at_50_000_records_a_second():
    """Twenty thousand records: the best of five runs (processor time) reaches the speed the design asks for."""
    records: Records = []
    prev = GENESIS
    template = json.loads(eventful().decisions[40][2])
    del template["hash"]
    for seq in range(20_000):
        position = {**template["position"], "request": seq}
        body = json.dumps({**template, "position": position, "seq": seq, "prev": prev}, separators=(",", ":")).encode()
        prev = chain.link(prev, body)
        records.append((seq, template["subject_id"].encode(), chain.seal(body, prev)))
    best = 0.0
    for _ in range(5):
        began = time.process_time()
        assert walk(records).broken is None
        best = max(best, len(records) / (time.process_time() - began))
    print(f"{best:,.0f} records/s")
    assert best >= 50_000

"""Records in a wrong partition, or that name somebody of another one: carried once, whatever repeats or is forged."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.kit.gatekit import COMPILED, TOKENS, granted, requested, withdrawn

from contactgate.codec.origins import ORIGIN, TARGET, Origins
from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.core.chain import GENESIS
from contactgate.core.world import World
from contactgate.gate import Gate, WorldFeed
from contactgate.model.log import CARRIED_MOST, Origin, Out, Positions, Record, murmur2
from contactgate.names import Kind
from contactgate.partition.broadcast import Broadcast
from contactgate.partition.fold import Batch, Fold, Meta, Work, decode_meta, encode_meta
from contactgate.partition.subjects import SubjectCodec
from contactgate.proof.decided import Kept, decode
from contactgate.proof.rederive import Rules, rederive

PARTITIONS = 4
START_MS = 1_780_301_400_000
KINDS = (Kind.CONSENT, Kind.OUTCOME, Kind.REQUEST)


def owner(key: str) -> int:
    """The partition of a key."""
    return murmur2(key.encode()) % PARTITIONS


def of(partition: int, *, beside: int = 0) -> str:
    """A subject of this partition; the `beside`th such."""
    return [f"s-{n}" for n in range(1_000) if owner(f"s-{n}") == partition][beside]


class Place:
    """One partition of everything: its log, its fold, and what it put on the relay."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.log: dict[Kind, list[Record]] = {kind: [] for kind in KINDS}
        self.relay: list[Out] = []
        self.outs: list[Out] = []
        self.meta = Meta()
        self.metas: list[Meta] = []
        self._states: dict[bytes, bytes] = {}
        self._taken = dict.fromkeys(KINDS, 0)
        self.restart()

    def restart(self) -> None:
        """From what the changelog holds."""
        world = World()
        world.activate(COMPILED)
        gate = Gate(
            TOKENS, world, partition=self.number, seq=self.meta.seq, prev=self.meta.prev or GENESIS, source="/t",
            sealer=Sealer(b"s" * 32), strict_partition=PARTITIONS,
        )  # fmt: skip
        self.fold = Fold(
            self.number, gate, Broadcast(WorldFeed(TOKENS, world, source="/t", sealer=None)), SubjectCodec(),
            lambda keys: [self._states.get(key) for key in keys],
            decode_meta(encode_meta(self.meta)), cache=10, event_time=False,
        )  # fmt: skip

    def append(self, kind: Kind, key: str | None, message: Any, at_ms: int, headers: Any = ()) -> Record:
        """One record of a producer."""
        value = message if isinstance(message, bytes) else json.dumps(message).encode()
        raw = None if key is None else key.encode()
        rec = Record(kind, self.number, len(self.log[kind]), at_ms, raw, value, 0, list(headers))
        self.log[kind].append(rec)
        return rec

    def transact(self, now_ms: int) -> Batch | None:
        """All that is there in one transaction."""
        some = {kind: self.log[kind][self._taken[kind] :] for kind in KINDS}
        self._taken = {kind: len(self.log[kind]) for kind in KINDS}
        positions = Positions(*(self._taken[kind] for kind in KINDS))
        batch = self.fold.apply(Work(*(some[kind] for kind in KINDS), positions, now_ms, 100))
        if batch is not None:
            for subject, value in batch.states:
                self._states.pop(subject, None) if value is None else self._states.update({subject: value})
            self.fold.adopt(batch)
            self.meta = batch.meta
            self.metas.append(batch.meta)
            self.relay += [out for out in batch.outs if out.kind == Kind.RELAY]
            self.outs += [out for out in batch.outs if out.kind != Kind.RELAY]
        return batch

    def state(self, subject: str) -> Any:
        """What is known of somebody."""
        raw = self._states.get(subject.encode())
        return SubjectCodec().empty if raw is None else SubjectCodec().decode(raw)

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Decisions or dead letters so far."""
        return [json.loads(out.value) for out in self.outs if out.kind == kind]


class Installation:
    """All partitions, and a pump."""

    def __init__(self) -> None:
        self.places = [Place(number) for number in range(PARTITIONS)]
        self.now_ms = START_MS

    def work(self) -> None:
        """Every partition makes a transaction."""
        self.now_ms += 1_000
        for place in self.places:
            place.transact(self.now_ms)

    def pump(self, *, again: int = 0) -> None:
        """Append what is on the relay; `again`: so many of the oldest were thought not to be appended."""
        self.now_ms += 5_000
        for place in self.places:
            for out in place.relay[:again] + place.relay:
                headers = dict(out.headers)
                kind = Kind(headers.pop(TARGET).decode())
                target = self.places[murmur2(out.key) % PARTITIONS]
                target.append(kind, out.key.decode(), out.value, self.now_ms, headers.items())


@pytest.fixture
def all_of() -> Installation:
    """Four partitions."""
    return Installation()


def test_a_misrouted_opt_out_is_carried_unchanged_and_is_in_force_where_it_belongs(all_of: Installation) -> None:
    """Its one fate where it lay is the relay; its own partition applies it with the time it first arrived at."""
    subject = of(2)
    lies = all_of.places[0]
    rec = lies.append(Kind.CONSENT, subject, withdrawn(subject_id=subject), START_MS + 77, [("trace", b"t-1")])
    all_of.work()
    (out,) = lies.relay
    assert (out.key, out.value, out.reason) == (rec.key, rec.value, "input.misrouted")
    assert [header for header in out.headers if header[0] not in (ORIGIN, TARGET)] == [("trace", b"t-1")]
    assert lies.outs == []
    assert not lies.state(subject).withdrawals
    all_of.pump()
    all_of.work()
    assert all_of.places[2].state(subject).withdrawals
    carried = all_of.places[2].log[Kind.CONSENT][0]
    assert Origins(TOKENS).open(carried.headers, carried.kind, carried.key, carried.value) == Origin(
        Kind.CONSENT, 0, 0, 0, START_MS + 77, 2
    )
    assert all_of.places[2].relay == []
    assert all_of.places[2].outs == []


def test_the_proof_counts_what_was_carried_and_finds_nothing_missing(all_of: Installation) -> None:
    """Derived again: decisions of carried requests in their own partition, none where they lay, copies included."""
    subject = of(3)
    all_of.places[1].append(Kind.REQUEST, subject, requested("r-1", minute=11, subject_id=subject), START_MS)
    all_of.places[1].append(Kind.CONSENT, subject, withdrawn(subject_id=subject), START_MS)
    all_of.work()
    all_of.pump(again=1)
    all_of.places[1].append(Kind.REQUEST, of(1), requested("r-2", minute=11, subject_id=of(1)), all_of.now_ms)
    all_of.work()
    rules = Rules(TOKENS, PARTITIONS, COMPILED)
    found = {}
    for place in all_of.places:
        made = [out.value for out in place.outs if out.kind == "decision"]
        kept = [Kept(offset, value, decode(value)) for offset, value in enumerate(made)]
        found[place.number], _ = rederive(place.number, rules, place.log, kept, place.metas)
    assert {number: each.carried for number, each in found.items() if each.carried} == {1: 2}
    assert {number: each.equal for number, each in found.items() if each.equal} == {1: 1, 3: 1}
    assert not any(each.differing for each in found.values())


def test_a_misrouted_request_is_decided_in_its_own_partition_alone_and_once(all_of: Installation) -> None:
    """Copies of one origin are read and change nothing, also after a restart."""
    subject = of(3)
    all_of.places[3].append(Kind.CONSENT, subject, granted(subject_id=subject), START_MS)
    lies = all_of.places[1]
    lies.append(Kind.REQUEST, subject, requested("r-1", minute=11, subject_id=subject), START_MS)
    lies.append(Kind.REQUEST, subject, requested("r-2", minute=11, subject_id=subject), START_MS)
    all_of.work()
    all_of.pump(again=1)
    all_of.work()
    all_of.places[3].restart()
    all_of.pump(again=2)
    all_of.work()
    assert lies.told("decision") == []
    assert [(d["request_id"], d["verdict"]) for d in all_of.places[3].told("decision")] == [
        ("r-1", "pass"),
        ("r-2", "pass"),
    ]
    assert len(all_of.places[3].log[Kind.REQUEST]) == 3 + 4
    assert all_of.places[3].meta.carried == {"request/1": CARRIED_MOST}
    assert all_of.places[3].told("dead") == []


def test_places_are_kept_apart_by_input_and_by_the_partition_they_come_from(all_of: Installation) -> None:
    """A later record of one lane is no reason to drop an earlier one of another."""
    subject = of(2)
    for place, kind, count in ((0, Kind.CONSENT, 3), (1, Kind.CONSENT, 1), (1, Kind.OUTCOME, 1)):
        for _ in range(count):
            if kind == Kind.CONSENT:
                message = withdrawn(subject_id=subject, event_id=f"e-{place}-{len(all_of.places[place].log[kind])}")
            else:
                message = {
                    "type": "contact.outcome", "event_id": "o-1", "subject_id": subject, "request_id": "r-9",
                    "time": "2026-06-01T08:10:00Z", "outcome": "answered",
                }  # fmt: skip
            all_of.places[place].append(kind, subject, message, START_MS)
    all_of.work()
    all_of.pump()
    all_of.work()
    assert all_of.places[2].meta.carried == {"consent/0": 128, "consent/1": 0, "outcome/1": 0}
    assert [letter["reason"] for letter in all_of.places[2].told("dead")] == ["outcome.unproven"]


def test_meta_records_of_before_are_read_and_those_without_carried_records_look_as_before() -> None:
    """Nothing carried: not a byte more in any transaction."""
    assert decode_meta(b'{"seq":3,"prev":"x","consent":7}').carried == {}
    assert b"carried" not in encode_meta(Meta(seq=3))
    assert decode_meta(encode_meta(Meta(carried={"consent/3": 64}))).carried == {"consent/3": 64}


@pytest.mark.parametrize("how", ["another key", "another value", "another kind", "another record", "cut", "empty"])
def test_an_origin_cannot_be_forged_or_moved_to_another_record(all_of: Installation, how: str) -> None:
    """A header that we did not make for this very record counts as none: no arrival, and no reason to drop it."""
    subject, lies = of(2), all_of.places[2]
    value = json.dumps(withdrawn(subject_id=subject)).encode()
    other = json.dumps(withdrawn(subject_id=subject, event_id="e-2")).encode()
    origin = Origin(Kind.CONSENT, 0, 900, 0, START_MS - 9_000_000, 2)
    tokens = Tokens(b"o" * 32) if how == "another key" else TOKENS
    kind = Kind.OUTCOME if how == "another kind" else Kind.CONSENT
    key = b"s-other" if how == "another record" else subject.encode()
    sealed = Origins(tokens).seal(origin, kind, key, other if how == "another value" else value)
    sealed = {"cut": sealed[:-1], "empty": b""}.get(how, sealed)
    rec = lies.append(Kind.CONSENT, subject, value, START_MS, [(ORIGIN, sealed)])
    assert lies.fold.gate.origin(rec) is None
    all_of.work()
    assert lies.meta.carried == {}
    assert lies.state(subject).withdrawals


def test_what_is_carried_says_nothing_of_a_forged_header(all_of: Installation) -> None:
    """A producer's own `cg-origin` and `cg-target` are left behind."""
    subject = of(2)
    forged = [(ORIGIN, b"mine"), (TARGET, b"control"), ("mine", b"")]
    all_of.places[0].append(Kind.CONSENT, subject, withdrawn(subject_id=subject), START_MS, forged)
    all_of.work()
    (out,) = all_of.places[0].relay
    assert [name for name, _ in out.headers] == [TARGET, ORIGIN, "mine"]
    assert out.headers[0][1] == b"consent"


def test_what_was_carried_and_lies_wrongly_again_is_a_dead_letter(all_of: Installation) -> None:
    """A tool that copied it elsewhere: nothing is carried twice, and it says nothing about that partition's places."""
    subject = of(2)
    all_of.places[0].append(Kind.CONSENT, subject, withdrawn(subject_id=subject), START_MS)
    all_of.work()
    all_of.pump()
    carried = all_of.places[2].log[Kind.CONSENT][0]
    all_of.places[3].append(Kind.CONSENT, subject, carried.value, START_MS, carried.headers)
    all_of.work()
    assert [letter["reason"] for letter in all_of.places[3].told("dead")] == ["partition.wrong"]
    assert all_of.places[3].relay == []
    assert all_of.places[3].meta.carried == {}
    assert not all_of.places[3].state(subject).withdrawals


@pytest.mark.parametrize("key", ["none", "empty", "another", "right"])
@pytest.mark.parametrize("broken", [False, True])
def test_a_restriction_with_a_wrong_key_or_that_cannot_be_read_reaches_everybody_it_names(
    all_of: Installation, key: str, broken: bool
) -> None:
    """A dead letter where it lay, bound there for those who belong there, carried to the others under their own key."""
    here, there, other = of(0), of(2), of(3)
    message = withdrawn(subject_id=there)
    value = json.dumps(message).encode()
    if broken:
        value = value[:-1] + b',"subject_id":"%s"' % here.encode()
    named = {"none": None, "empty": "", "another": other, "right": there}[key]
    all_of.places[0].append(Kind.CONSENT, named, value, START_MS)
    all_of.work()
    letters = all_of.places[0].told("dead")
    all_of.pump()
    all_of.work()
    if key == "right" and not broken:
        assert letters == []
    else:
        assert len(letters) == 1
        assert all(out.restricts for out in all_of.places[0].outs)
    bound = {
        place.number for place in all_of.places for subject in (here, there, other) if place.state(subject).withdrawals
    }
    assert bound == {2} | ({0} if broken else set()) | ({3} if key == "another" else set())
    again = len(all_of.places[0].relay)
    all_of.pump()
    all_of.work()
    assert [len(place.relay) for place in all_of.places] == [again, 0, 0, 0]


def test_a_grant_that_cannot_be_read_is_carried_nowhere(all_of: Installation) -> None:
    """What permits needs to be whole, and where it belongs."""
    all_of.places[0].append(Kind.CONSENT, None, granted(subject_id=of(2)), START_MS)
    all_of.places[0].append(Kind.CONSENT, of(1), granted(subject_id=of(2)), START_MS)
    all_of.places[0].append(Kind.REQUEST, None, requested(subject_id=of(2)), START_MS)
    all_of.work()
    assert all_of.places[0].relay == []
    assert [(out.kind, out.restricts) for out in all_of.places[0].outs] == [
        (Kind.DEAD, False),
        (Kind.DEAD, False),
        (Kind.DEAD, False),
        (Kind.APPROVAL, False),  # the refusal of the request: who asked can be read
    ]


def test_of_one_record_at_most_sixty_four_are_carried_each_with_a_number_of_its_own(all_of: Installation) -> None:
    """More are not bound, and the dead letter says so."""
    names = [of(2, beside=n) for n in range(100)]
    text = b"consent.withdrawn " + b" ".join(b'subject_id="%s"' % name.encode() for name in names)
    all_of.places[0].append(Kind.CONSENT, None, text, START_MS)
    all_of.work()
    assert len(all_of.places[0].relay) == CARRIED_MOST
    (letter,) = all_of.places[0].told("dead")
    assert "more than 64 subjects" in letter["detail"]
    all_of.pump()
    all_of.work()
    bound = [name for name in names if all_of.places[2].state(name).withdrawals]
    # Each copy names all of them again, and those of its own partition are bound.
    assert set(bound) == set(names)
    assert all_of.places[2].meta.carried == {"consent/0": CARRIED_MOST - 1}


def test_of_a_message_that_is_too_large_its_words_are_carried(all_of: Installation) -> None:
    """What the widest reading believes of it fits into any record."""
    subject = of(2)
    value = json.dumps({"note": "x" * 900_000, "type": "contact.outcome"}).encode()
    value = b'{"outcome":"unsubscribed","flags":["minor"],' + value[1:]
    all_of.places[0].append(Kind.OUTCOME, subject, value, START_MS)
    all_of.work()
    (out,) = all_of.places[0].relay
    assert len(out.value) < 200
    all_of.pump()
    all_of.work()
    assert all_of.places[2].state(subject).withdrawals


def test_headers_that_are_too_large_to_go_on_stay_behind(all_of: Installation) -> None:
    """With its headers a carried record fits into what a topic takes."""
    subject = of(2)
    headers = [(f"h{n}", b"x" * 10_000) for n in range(90)]
    all_of.places[0].append(Kind.CONSENT, subject, withdrawn(subject_id=subject), START_MS, headers)
    all_of.work()
    (out,) = all_of.places[0].relay
    assert [name for name, _ in out.headers] == [TARGET, ORIGIN]


def test_the_time_of_a_carried_event_is_held_against_its_first_arrival(all_of: Installation) -> None:
    """A detour of hours makes no event legal that was absurd when it came."""
    subject = of(2)
    grant = granted(subject_id=subject, time="2026-06-02T08:15:00Z")  # more than 24 hours after START_MS
    all_of.places[0].append(Kind.CONSENT, subject, grant, START_MS)
    all_of.work()
    all_of.now_ms += 3_600_000
    all_of.pump()
    all_of.work()
    assert [letter["reason"] for letter in all_of.places[2].told("dead")] == ["time.absurd"]


def test_a_suppression_that_the_relay_appended_is_read_like_any_other() -> None:
    """Its origin is opened; the key of the record is its token as ever."""
    world = World()
    world.activate(COMPILED)
    feed = WorldFeed(TOKENS, world, source="/t", sealer=None)
    event = {"type": "address.suppressed", "event_id": "x", "time": "2026-06-01T08:00:00Z", "address": "+12125550199",
             "reason": "manual"}  # fmt: skip
    value = json.dumps(event).encode()
    key = TOKENS.suppressed("+12125550199", None)[0].encode()
    sealed = Origins(TOKENS).seal(Origin(Kind.OUTCOME, 1, 5, 0, START_MS, 0), Kind.SUPPRESSION, key, value)
    rec = Record(Kind.SUPPRESSION, 0, 0, START_MS + 9, key, value, 0, [(ORIGIN, sealed)])
    change = feed.suppression(rec)
    assert change is not None
    assert change.restricts
    assert msgspec.structs.replace(rec, first_ms=START_MS).arrived_ms == START_MS
    assert rec.arrived_ms == START_MS + 9

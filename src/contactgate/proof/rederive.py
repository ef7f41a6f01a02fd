"""Decisions made again from the log, through the gate's own code, and held against the recorded ones.

A witness stands around the gate: before each request it sets the chain to where the record says it stood, so that one
difference does not colour every later hash; after it, it compares bytes, and field by field where they differ. What is
not on an input topic is taken from the record itself and only there: which requesters had an approvals topic. Must
never write anything, and never look at a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from contactgate.codec import messages as read
from contactgate.codec import strict
from contactgate.codec.tokens import Tokens
from contactgate.core.chain import GENESIS
from contactgate.core.explain import Explanation, explain
from contactgate.core.world import World
from contactgate.errors import MalformedMessage
from contactgate.gate import Gate, WorldFeed
from contactgate.model.control import RegistryPublished
from contactgate.model.decision import SEMANTICS
from contactgate.model.facts import SubjectState
from contactgate.model.instants import to_ms
from contactgate.model.log import Origin, Out, Position, Record, States
from contactgate.model.world import Opened
from contactgate.names import Kind
from contactgate.partition.fold import Meta
from contactgate.partition.replay import Input, replay
from contactgate.partition.subjects import SubjectCodec
from contactgate.policy.compiled import CompiledPolicy
from contactgate.proof.decided import Kept, decode, differences
from contactgate.proof.steps import Steps, concerns

SOURCE: Final = "/contactgate/proof"
NO_TOPIC: Final = "the requester has no approvals topic"
KINDS: Final = (Kind.CONSENT, Kind.OUTCOME, Kind.REQUEST, Kind.CONTROL, Kind.SUPPRESSION)

OpenList = Callable[[RegistryPublished], Opened]


class Rules(NamedTuple):
    """What the workers decided by, apart from the log: keys, first policy, partition count, clock, registry files."""

    tokens: Tokens
    partitions: int
    policy: CompiledPolicy | None = None
    open_list: OpenList | None = None
    event_time: bool = False


class Difference(NamedTuple):
    """A recorded decision that the log does not lead to."""

    partition: int
    offset: int | None  # in contact-decisions; None: a decision that should be there and is not
    seq: int | None
    what: tuple[str, ...]

    def __str__(self) -> str:
        place = "missing" if self.offset is None else f"offset {self.offset} (seq {self.seq})"
        return f"partition {self.partition}, {place}: " + "; ".join(self.what)


@dataclass
class Rederived:
    """One partition, derived again."""

    read: int = 0  # decisions
    equal: int = 0
    gone: int = 0  # decisions whose request retention has removed
    carried: int = 0  # records that are decided, or in force, in the partition of their key
    unsure: int = 0  # decisions that differ, of subjects of whom something is gone
    others: Counter[int] = field(default_factory=Counter)  # decisions by another version of the rules, by that version
    others_differing: int = 0  # those of them that this release decides otherwise
    different: list[Difference] = field(default_factory=list)
    differing: int = 0  # `different` keeps the first ones
    from_metas: int = 0
    from_decisions: int = 0

    def differ(self, difference: Difference) -> None:
        """Count one; keep the first hundred."""
        self.differing += 1
        if len(self.different) < 100:
            self.different.append(difference)


class Looked(NamedTuple):
    """One decision looked into: as recorded, as derived again, and why."""

    kept: Kept
    difference: tuple[str, ...]
    explanation: Explanation


class _Witness:
    """A ports.GatePort around the gate."""

    def __init__(self, gate: Gate, older: Gate, world: World, tokens: Tokens, book: _Book) -> None:
        """`older`: the gate for outcomes that a release read which asked for no proof of them."""
        self.key = gate.key
        self._gate = gate
        self._older = older
        self._world = world
        self._tokens = tokens
        self._book = book
        self.out: list[Out] = []  # what the gate emits is compared here and goes nowhere
        self.superseded = 0

    @property
    def seq(self) -> int:
        return self._gate.seq

    @property
    def prev(self) -> str:
        return self._gate.prev

    def origin(self, rec: Record) -> Origin | None:
        return self._gate.origin(rec)

    def consent(self, rec: Record, states: States[SubjectState]) -> None:
        self._gate.consent(rec, states)
        self._drop()

    def outcome(self, rec: Record, states: States[SubjectState]) -> None:
        if self._book.by_others:
            self._older.outcome(rec, states)
            self._gate.out += self._older.out
            self._older.out.clear()
        else:
            self._gate.outcome(rec, states)
        self._drop()

    def review(self, subject: bytes, states: States[SubjectState], now_ms: int) -> None:
        self._gate.review(subject, states, now_ms)
        self._gate.out.clear()

    def _drop(self) -> None:
        """What the gate says goes nowhere; counted is what it would have carried."""
        self._book.result.carried += sum(out.kind == Kind.RELAY for out in self._gate.out)
        self._gate.out.clear()

    def request(self, rec: Record, states: States[SubjectState], now_ms: int, position: Position) -> None:
        gate, book = self._gate, self._book
        kept = book.expected.pop(rec.offset, None)
        explained = None
        if kept is not None:
            gate.seq, gate.prev = kept.decided.seq, kept.decided.prev
            gate.requesters = frozenset() if _without_topic(kept) else None
            if kept.offset in book.look_at:
                explained = self._explain(rec, states, now_ms)
        gate.request(rec, states, now_ms, position)
        made = next((out.value for out in gate.out if out.kind == Kind.DECISION), None)
        carried = any(out.kind == Kind.RELAY for out in gate.out)
        self._drop()
        if kept is None:
            if made is not None:
                book.unexpected(rec.offset)
            return
        if made is None:
            fate = "gives its request to the relay" if carried else "makes a dead letter of its request"
            difference: tuple[str, ...] = (f"the gate {fate}",)
        else:
            difference = _compared(kept, made)
        book.judged(kept, difference)
        if explained is not None:
            book.looked.append(Looked(kept, difference, explained))

    def _explain(self, rec: Record, states: States[SubjectState], now_ms: int) -> Explanation | None:
        try:
            message = strict.decode(Kind.REQUEST, rec.value or b"")
            request = read.request(message, to_ms(message.time), self._tokens)
        except MalformedMessage:
            return None
        return explain(request, states.get(rec.key or b""), self._world, now_ms)


def _without_topic(kept: Kept) -> bool:
    return any(reason.detail == NO_TOPIC for reason in kept.decided.reasons)


def _compared(kept: Kept, made: bytes) -> tuple[str, ...]:
    # Other bytes with equal fields: a release that encodes otherwise. The chain covers the recorded bytes all the same.
    return () if made == kept.raw else differences(kept.decided, decode(made))


class _Book:
    """The recorded decisions on their way to the witness, and what it found."""

    def __init__(self, partition: int, begin: int, look_at: frozenset[int], *, all_subjects: bool) -> None:
        self.expected: dict[int, Kept] = {}  # by the offset of their request
        self.result = Rederived()
        self.looked: list[Looked] = []
        self.look_at = look_at
        self._partition = partition
        self._begin = begin  # the first request that is still on its topic
        self._first: int | None = None
        self._all_subjects = all_subjects
        self._forgotten: set[str] = set()  # subjects whose older requests are gone or were decided otherwise by others
        self._semantics = SEMANTICS  # of the transaction that is replayed

    def announce(self, made: list[Kept]) -> None:
        """These decisions come next."""
        if self._first is None:
            self._first = made[0].decided.position.request
        self.result.read += len(made)
        for kept in made:
            self.expected[kept.decided.position.request] = kept

    def step(self, meta: Meta) -> None:
        """This transaction comes next."""
        self._semantics = meta.semantics

    @property
    def by_others(self) -> bool:
        """Whether another version of the rules made the transaction that is replayed."""
        return self._semantics != SEMANTICS

    def close(self) -> None:
        """The steps of the announced decisions are done: what is left had no request."""
        for kept in self.expected.values():
            if kept.decided.position.request < self._begin:
                self.result.gone += 1
                self._forgotten.add(kept.decided.subject_id)
            else:
                self.judged(kept, ("its request is not on the topic",))
        self.expected.clear()

    def judged(self, kept: Kept, difference: tuple[str, ...]) -> None:
        """One decision was made again."""
        if kept.decided.semantics != SEMANTICS:
            self.result.others[kept.decided.semantics] += 1
            if difference:  # what today's state has of this subject is not what its later decisions rest on
                self.result.others_differing += 1
                self._forgotten.add(kept.decided.subject_id)
        elif difference and kept.decided.subject_id in self._forgotten:
            self.result.unsure += 1
        elif difference:
            self.result.differ(Difference(self._partition, kept.offset, kept.decided.seq, difference))
        else:
            self.result.equal += 1

    def unexpected(self, offset: int) -> None:
        """The gate decides a request for which no decision is recorded."""
        if self.by_others:
            self.result.others_differing += 1
        elif self._all_subjects and self._first is not None and offset > self._first:
            what = (f"the request at offset {offset} has no decision",)
            self.result.differ(Difference(self._partition, None, None, what))


def rederive(
    partition: int,
    rules: Rules,
    inputs: Mapping[Kind, Iterable[Record]],
    decisions: Iterable[Kept],
    metas: Iterable[Meta] = (),
    *,
    begin: int = 0,
    subject: bytes | None = None,
    look_at: frozenset[int] = frozenset(),
) -> tuple[Rederived, list[Looked]]:
    """Make a partition's decisions again. Inputs, decisions and metas in order of offsets; iterators are read once.

    `begin` is the first offset the request topic still holds. With a `subject` only what can touch it is replayed, and
    `decisions` are its own. `look_at`: offsets of decisions to explain.
    """
    world = World()
    if rules.policy is not None:
        world.activate(rules.policy)
    book = _Book(partition, begin, look_at, all_subjects=subject is None)
    shared = {kind: Input(_chosen(kind, inputs.get(kind, ()), subject)) for kind in KINDS}
    steps = Steps(shared, decisions, metas, event_time=rules.event_time)

    def announced() -> Iterator[Meta]:
        for made, leading in steps.groups():
            book.announce(made)
            for meta in leading:
                book.step(meta)
                yield meta
            book.close()

    def make_gate(number: int, seq: int, prev: str) -> Any:
        gate, older = (
            Gate(
                rules.tokens, world, partition=number, seq=seq, prev=prev or GENESIS, source=SOURCE, sealer=None,
                strict_partition=rules.partitions, trusting=trusting,
            )
            for trusting in (False, True)
        )  # fmt: skip
        return _Witness(gate, older, world, rules.tokens, book)

    feed = WorldFeed(rules.tokens, world, source=SOURCE, sealer=None, open_list=rules.open_list)
    replay(partition, shared, announced(), make_gate, feed, SubjectCodec(), event_time=rules.event_time)
    book.result.from_metas, book.result.from_decisions = steps.from_metas, steps.from_decisions
    return book.result, book.looked


def _chosen(kind: str, records: Iterable[Record], subject: bytes | None) -> Iterable[Record]:
    """The records that a replay needs."""
    if subject is None or kind in {Kind.CONTROL, Kind.SUPPRESSION}:
        return records
    chosen = (record for record in records if concerns(record, subject))
    return chosen if isinstance(records, Iterator) else list(chosen)

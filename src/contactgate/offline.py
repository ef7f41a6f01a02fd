"""The offline fold: JSON lines in, JSON lines out, through the same gate as the live engine and without Kafka.

`contactgate decide`, backtests and policy tests all run this. One partition, memory that grows with the number of
subjects and not of events. The topic of a line follows from its `type`, its key is its `subject_id`, and `now` is its
own `time`; a line whose time cannot be read gets the latest time seen so far, so that a damaged opt-out still beats
every grant before it. No clock and no I/O: the caller reads and writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, get_args

from contactgate.codec import strict, widest
from contactgate.codec.tokens import Tokens
from contactgate.core.chain import GENESIS
from contactgate.core.review import open_until
from contactgate.core.world import Change, World
from contactgate.errors import MalformedMessage
from contactgate.gate import Gate, WorldFeed
from contactgate.gate.letters import EARLIEST_MS, LATEST_MS
from contactgate.model.control import RegistryPublished
from contactgate.model.facts import EMPTY, SubjectState
from contactgate.model.instants import to_ms
from contactgate.model.log import Position, Record
from contactgate.model.messages import ConsentMessage, OutcomeMessage, RequestMessage, SuppressionMessage
from contactgate.model.world import Opened
from contactgate.names import INPUTS, Kind
from contactgate.policy.compiled import CompiledPolicy

_KINDS: Final = {
    **dict.fromkeys(get_args(ConsentMessage), Kind.CONSENT),
    OutcomeMessage: Kind.OUTCOME,
    **dict.fromkeys(get_args(SuppressionMessage), Kind.SUPPRESSION),
    RequestMessage: Kind.REQUEST,
}


_WIDEST_FIRST = (Kind.CONSENT, Kind.OUTCOME, Kind.SUPPRESSION, Kind.CONTROL, Kind.REQUEST)


class MemoryStates:
    """Subject states in a dict."""

    __slots__ = ("subjects",)

    def __init__(self) -> None:
        self.subjects: dict[bytes, SubjectState] = {}

    def get(self, subject: bytes) -> SubjectState:
        """The state of a subject, EMPTY when nothing is known."""
        return self.subjects.get(subject, EMPTY)

    def put(self, subject: bytes, state: SubjectState) -> None:
        """Keep a new state."""
        self.subjects[subject] = state


class Fold:
    """Feed it lines in order; each call answers with the lines that come out."""

    def __init__(
        self,
        policy: CompiledPolicy | None,
        tokens: Tokens,
        *,
        open_list: Callable[[RegistryPublished], Opened] | None = None,
    ) -> None:
        self.world = World()
        if policy is not None:
            self.world.activate(policy)
        self.states = MemoryStates()
        self._gate = Gate(tokens, self.world, partition=0, seq=0, prev=GENESIS, source=None, sealer=None, trusting=True)
        self._feed = WorldFeed(tokens, self.world, source=None, sealer=None, open_list=open_list, keyed=False)
        self._next: dict[str, int] = dict.fromkeys((*INPUTS, Kind.UNKNOWN), 0)
        self._latest_ms = 0
        self._arrived_ms = 0  # of the line before: every line arrives later than it, though it may be stamped earlier
        self._open: set[bytes] = set()

    def line(self, line: bytes) -> list[bytes]:
        """Fold one line, without its line end; a blank line is nothing."""
        try:
            message = strict.decode_any(line)
        except MalformedMessage:
            message = None
        if message is None:
            return self._other(line)
        kind = _KINDS[type(message)]
        at_ms = told_ms = to_ms(message.time)
        if told_ms > self._latest_ms:
            if told_ms < LATEST_MS:
                self._latest_ms = told_ms
            else:
                at_ms = self._latest_ms
        elif told_ms < EARLIEST_MS:
            at_ms = self._latest_ms
        if kind == Kind.SUPPRESSION:
            return self._bytes(kind, b"", at_ms, line)
        key = message.subject_id.encode() if message.subject_id else b""
        offsets = self._next
        offset = offsets[kind]
        offsets[kind] = offset + 1
        gate = self._gate
        rec = Record(kind, 0, offset, at_ms, key, line, self._arrive())
        if kind == Kind.REQUEST:
            before = self.states.get(key)
            gate.take_request(message, told_ms, rec, self.states, at_ms, self._position(offset))
            if self.states.get(key) is not before:
                self._open.add(key)
        else:
            gate.take_event(message, told_ms, rec, self.states)
        return self._made()

    def _made(self) -> list[bytes]:
        """What the gate made of a line. What it gives the relay is folded at once: there is one partition."""
        gate = self._gate
        made = [out.value for out in gate.out if out.kind != Kind.RELAY]
        carried = [out for out in gate.out if out.kind == Kind.RELAY]
        gate.out.clear()
        for out in carried:
            kind = Kind.SUPPRESSION
            rec = Record(kind, 0, self._next[kind], self._latest_ms, out.key, out.value, headers=out.headers)
            self._next[kind] += 1
            made += self._world_changed(self._feed.suppression(rec))
        return made

    def _arrive(self) -> int:
        self._arrived_ms = max(self._latest_ms, self._arrived_ms + 1)
        return self._arrived_ms

    def _position(self, offset: int) -> Position:
        at = self._next
        return Position(0, offset, at[Kind.CONSENT], at[Kind.OUTCOME], at[Kind.CONTROL], at[Kind.SUPPRESSION])

    def _other(self, line: bytes) -> list[bytes]:
        """A control event, or a line that cannot be read whole."""
        if not line.strip():
            return []
        loose = widest.loosely(line)
        kinds = {strict.TYPES[name] for name in widest.types(loose) if name in strict.TYPES}
        # Of an ambiguous line, the topic whose widest reading can bind a subject.
        kind = next((k for k in _WIDEST_FIRST if k in kinds), Kind.UNKNOWN)
        named = widest.subjects(loose, None)
        at_ms = None if loose.ambiguous else widest.wide_time(loose.one("time"))
        if at_ms is None or not EARLIEST_MS <= at_ms < LATEST_MS:
            at_ms = self._latest_ms
        self._latest_ms = max(self._latest_ms, at_ms)
        return self._bytes(kind, named[0].encode() if named else b"", at_ms, line)

    def _bytes(self, kind: Kind, key: bytes, at_ms: int, line: bytes) -> list[bytes]:
        offset = self._next[kind]
        self._next[kind] = offset + 1
        rec = Record(kind, 0, offset, at_ms, key, line, self._arrive())
        gate = self._gate
        if kind == Kind.CONTROL:
            return self._world_changed(self._feed.control(rec))
        if kind == Kind.SUPPRESSION:
            return self._world_changed(self._feed.suppression(rec))
        if kind == Kind.REQUEST:
            gate.request(rec, self.states, at_ms, self._position(offset))
        elif kind == Kind.UNKNOWN:
            gate.refuse(rec, self.states)
        else:
            gate.consent(rec, self.states)
        return self._made()

    def _world_changed(self, change: Change | None) -> list[bytes]:
        """What a change of the world recalls: of what is open at the latest time, however old the line is."""
        at_ms = self._latest_ms
        if change is not None and change.restricts:
            for subject in sorted(self._open):
                state = self.states.get(subject)
                if change.tokens is None or any(contact.address in change.tokens for contact in state.contacts):
                    self._gate.review(subject, self.states, at_ms)
                if not open_until(self.states.get(subject), at_ms):
                    self._open.discard(subject)
        made = [out.value for out in (*self._feed.out, *self._gate.out)]
        self._feed.out.clear()
        self._gate.out.clear()
        return made


def fold(
    lines: Iterable[bytes],
    policy: CompiledPolicy | None,
    tokens: Tokens,
    *,
    open_list: Callable[[RegistryPublished], Opened] | None = None,
) -> Iterator[bytes]:
    """Decisions, approvals, recalls and dead letters of a stream of lines, one JSON object each, without line ends."""
    state = Fold(policy, tokens, open_list=open_list)
    for line in lines:
        yield from state.line(line)

"""A small gate with the engine's contract, of which every number can be checked from the topics alone.

It counts: a subject that opted out is blocked, a subject has at most CAP passes, every decision carries how many this
subject has had. Shares no code with the real gate, so the engine's exactness is tested apart from the rules.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from contactgate.model.log import Out, Position, Record

CAP = 20
GENESIS = ""
REQUESTER = "dialer"


class CountState(msgspec.Struct, frozen=True, array_like=True):
    """What is counted for one subject."""

    allow: bool = True
    total: int = 0
    passed: int = 0
    outcomes: int = 0
    recalled: int = 0
    open: tuple[tuple[str, int], ...] = ()  # (request_id, until_ms)
    token: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CountState).decode


class CountCodec:
    """ports.StateCodec."""

    empty = CountState()

    def encode(self, state: CountState, now_ms: int, *before: Any) -> bytes | None:
        """Version, open_until_ms, then the struct; the empty state is a tombstone."""
        if state == self.empty:
            return None
        until = max((until for _, until in state.open), default=0)
        return b"\x01" + until.to_bytes(6, "big") + _encode(state)

    def decode(self, data: bytes) -> CountState:
        """Of `encode`."""
        assert data[0] == 1
        return _decode(data[7:])

    def addresses(self, state: CountState) -> tuple[str, ...]:
        """The subject's token."""
        return (state.token,) if state.token else ()


class CountChange(msgspec.Struct):
    """What a broadcast record changed."""

    restricts: bool
    tokens: frozenset[str] | None
    widened: int = 0
    superseded: bool = False


class CountWorld:
    """The shared world and its feed in one: a pause switch and suppressed tokens."""

    def __init__(self) -> None:
        self.paused = False
        self.suppressed: set[str] = set()
        self.out: list[Out] = []

    def control(self, rec: Record) -> CountChange | None:
        """{"pause": bool}; anything else is a dead letter."""
        try:
            self.paused = bool(msgspec.json.decode(rec.value or b"null")["pause"])
        except (msgspec.MsgspecError, TypeError, KeyError):
            self.out.append(Out("dead", None, None, b'{"of":"control","offset":%d}' % rec.offset, []))
            return None
        return CountChange(self.paused, None)

    def suppression(self, rec: Record) -> CountChange | None:
        """The key is a token."""
        token = (rec.key or b"").decode()
        self.suppressed.add(token)
        return CountChange(True, frozenset({token}))


class CountGate:
    """ports.GatePort."""

    key = ""

    def __init__(self, world: CountWorld, partition: int, seq: int, prev: str) -> None:
        self.world = world
        self.partition = partition
        self.seq = seq
        self.prev = prev
        self.out: list[Any] = []
        self.superseded = 0

    def origin(self, rec: Record) -> None:
        """Nothing is carried."""

    def consent(self, rec: Record, states: Any) -> None:
        """{"allow": bool}."""
        try:
            message = msgspec.json.decode(rec.value or b"")
            allow = bool(message["allow"])
        except (msgspec.MsgspecError, TypeError, KeyError):
            self.out.append(Out("dead", None, rec.key, b'{"of":"consent","offset":%d}' % rec.offset, []))
            return
        assert rec.key is not None
        state: CountState = states.get(rec.key)
        state = msgspec.structs.replace(state, allow=allow)
        if not allow:
            state = self._recall(rec.key, state, rec.timestamp_ms)
        states.put(rec.key, state)

    def _recall(self, key: bytes, state: CountState, now_ms: int) -> CountState:
        recalled = [request_id for request_id, until in state.open if until > now_ms]
        for request_id in recalled:
            value = msgspec.json.encode({"type": "contact.recalled", "request_id": request_id})
            self.out.append(Out("approval", REQUESTER, key, value, []))
        return msgspec.structs.replace(state, open=(), recalled=state.recalled + len(recalled))

    def outcome(self, rec: Record, states: Any) -> None:
        """Counted."""
        assert rec.key is not None
        state: CountState = states.get(rec.key)
        states.put(rec.key, msgspec.structs.replace(state, outcomes=state.outcomes + 1))

    def request(self, rec: Record, states: Any, now_ms: int, position: Position) -> None:
        """{"id": ..., "ttl": ms, "token": ...} -> a chained decision, and an approval when it passes."""
        assert rec.key is not None
        try:
            message = msgspec.json.decode(rec.value or b"")
            request_id = message["id"]
        except (msgspec.MsgspecError, TypeError, KeyError):
            self.out.append(Out("dead", None, rec.key, b'{"of":"request","offset":%d}' % rec.offset, []))
            return
        state: CountState = states.get(rec.key)
        token = message.get("token", "")
        reasons = []
        if not state.allow:
            reasons.append({"rule": "consent.withdrawn"})
        if state.passed >= CAP:
            reasons.append({"rule": "cap.count"})
        if self.world.paused:
            reasons.append({"rule": "pause.everything"})
        if token and token in self.world.suppressed:
            reasons.append({"rule": "address.suppressed"})
        ok = not reasons
        until = now_ms + int(message.get("ttl", 900_000))
        still = tuple(pair for pair in state.open if pair[1] > now_ms)
        state = msgspec.structs.replace(
            state,
            total=state.total + 1,
            passed=state.passed + ok,
            open=(*still, (request_id, until)) if ok else still,
            token=token or state.token,
        )
        states.put(rec.key, state)
        body = msgspec.json.encode(
            {
                "type": "contact.decided",
                "request_id": request_id,
                "subject_id": rec.key.decode(),
                "verdict": "pass" if ok else "block",
                "reasons": reasons,
                "n": state.total,
                "decided_ms": now_ms,
                "position": msgspec.structs.asdict(position),
                "seq": self.seq,
                "prev": self.prev,
            }
        )
        digest = hashlib.sha256(body).hexdigest()
        self.out.append(Out("decision", REQUESTER, rec.key, body[:-1] + b',"hash":"%s"}' % digest.encode(), []))
        self.seq += 1
        self.prev = digest
        if ok:
            value = msgspec.json.encode({"type": "contact.approved", "request_id": request_id, "until": until})
            self.out.append(Out("approval", REQUESTER, rec.key, value, []))

    def review(self, subject: bytes, states: Any, now_ms: int) -> None:
        """A pause or a suppressed token recalls."""
        state: CountState = states.get(subject)
        if state.open and (self.world.paused or state.token in self.world.suppressed):
            states.put(subject, self._recall(subject, state, now_ms))


def check_chain(values: list[bytes]) -> None:
    """The partition's decisions, in order, form one unbroken chain from the beginning."""
    prev = GENESIS
    for seq, value in enumerate(values):
        body, _, tail = value.rpartition(b',"hash":"')
        body += b"}"
        decision = msgspec.json.decode(value)
        assert decision["seq"] == seq
        assert decision["prev"] == prev
        assert hashlib.sha256(body).hexdigest() == tail[:-2].decode() == decision["hash"]
        prev = decision["hash"]

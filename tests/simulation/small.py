"""A small gate with the product's wire format and none of its code: opt-in, a cap, a campaign, pauses, suppressions.

Most seeds of the simulation run it, because their business is the engine: it is fast, and what it does is easy to see.
Messages are read with msgspec by the fields the simulation writes; anything else is a dead letter.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

GENESIS = "sha256:" + "0" * 64
CAP, WINDOW_MS, TTL_MS, HORIZON_MS, SKEW_MS = 2, 600_000, 120_000, 1_800_000, 30_000
Instants = tuple[int, int]
"""What an event says of when it was, and when it first came."""


class Approval(NamedTuple):
    """One approval and what became of it."""

    request_id: str
    decided_ms: int
    until_ms: int
    outcome: str | None = None
    recalled: bool = False


class SmallState(msgspec.Struct, frozen=True, array_like=True):
    """One subject."""

    grants: tuple[Instants, ...] = ()
    stops: tuple[Instants, ...] = ()
    address: str = ""
    approvals: tuple[tuple[str, int, int, str | None, bool, str], ...] = ()


EMPTY = SmallState()
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(SmallState).decode
_read = msgspec.json.Decoder().decode


def _open(approval: tuple[Any, ...], now_ms: int) -> bool:
    return now_ms < approval[2] and approval[3] is None and not approval[4]


def _with(known: tuple[Instants, ...], one: Instants) -> tuple[Instants, ...]:
    """All that say something which no other says: neither older nor come before it."""
    if any(each[0] >= one[0] and each[1] >= one[1] for each in known):
        return known
    return tuple(sorted((*(each for each in known if each[0] > one[0] or each[1] > one[1]), one)))


def _newer(grant: Instants, stop: Instants, skew_ms: int) -> bool:
    given_ms = min(grant)
    return given_ms > stop[0] and (grant[1] > stop[1] or given_ms - skew_ms > stop[0])


_STRENGTH = {"not_attempted": 0, "answered": 1, "unsubscribed": 2}


def _stronger(known: str | None, told: str) -> str:
    return told if known is None or _STRENGTH[told] > _STRENGTH[known] else known


class SmallCodec:
    """ports.StateCodec."""

    empty = EMPTY

    def encode(self, state: SmallState, now_ms: int, *before: Any) -> bytes | None:
        """Version, open_until_ms, the packed state."""
        if state == EMPTY:
            return None
        until = max((a[2] for a in state.approvals if _open(a, now_ms)), default=0)
        return b"\x01" + until.to_bytes(6, "big") + _pack(state)

    def decode(self, data: bytes) -> SmallState:
        """Of `encode`."""
        return _unpack(data[7:])

    def addresses(self, state: SmallState) -> tuple[str, ...]:
        """The subject's address."""
        return (state.address,) if state.address else ()


class SmallWorld:
    """Campaign, pauses, suppressed tokens."""

    def __init__(self) -> None:
        self.campaign = ""
        self.pauses: set[str] = set()
        self.suppressed: set[str] = set()


class Change(NamedTuple):
    """What a broadcast record changed."""

    restricts: bool
    tokens: frozenset[str] | None = None
    widened: int = 0


class Out(NamedTuple):
    """ports.Out."""

    kind: str
    requester: str | None
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def letter(rec: Any, reason: str) -> Out:
    """A dead letter with the record in it."""
    sealed = b64encode((rec.key or b"") + b"\0" + (rec.value or b"")).decode()
    text = (
        f'{{"type":"dead.letter","reason":"{reason}","topic":"{rec.kind}","partition":{rec.partition},'
        f'"offset":{rec.offset},"sealed":"{sealed}"}}'
    )
    return Out("dead", None, rec.key, text.encode(), [])


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where a carried record comes from; here anybody can read it."""

    kind: str
    partition: int
    offset: int
    arrived_ms: int
    target: int

    @property
    def place(self) -> int:
        """One record is carried from one place."""
        return self.offset


_pack_origin = msgspec.msgpack.Encoder().encode
_unpack_origin = msgspec.msgpack.Decoder(Origin).decode


class SmallFeed:
    """partition.broadcast.Feed."""

    def __init__(self, world: SmallWorld) -> None:
        self.out: list[Out] = []
        self._world = world

    def control(self, rec: Any) -> Change | None:
        """Campaign and pauses."""
        try:
            message = _read(rec.value)
            kind = message["type"]
            if kind == "campaign.updated":
                self._world.campaign = message["status"]
                return Change(restricts=True)
            if kind == "pause.set":
                self._world.pauses.add(message["pause_id"])
                return Change(restricts=True)
            if kind == "pause.lifted":
                self._world.pauses.discard(message["pause_id"])
                return Change(restricts=False)
        except (msgspec.MsgspecError, KeyError):
            pass
        self.out.append(letter(rec, "unreadable"))
        return None

    def suppression(self, rec: Any) -> Change | None:
        """Tokens."""
        try:
            kind = _read(rec.value)["type"]
        except (msgspec.MsgspecError, KeyError):
            self.out.append(letter(rec, "unreadable"))
            return None
        token = rec.key.decode()
        if kind == "address.suppressed":
            self._world.suppressed.add(token)
            return Change(restricts=True, tokens=frozenset((token,)))
        if kind == "address.released":
            self._world.suppressed.discard(token)
            return Change(restricts=False)
        self.out.append(letter(rec, "unreadable"))
        return None


class SmallGate:
    """partition.ports.GatePort. `cap` and `skew_ms` are parameters for seeded bugs."""

    cap, skew_ms = CAP, SKEW_MS
    key = ""

    def __init__(
        self, world: SmallWorld, partition: int, seq: int, prev: str, owner: Callable[[bytes], int] | None = None
    ) -> None:
        self._partition = partition
        self._owner = owner or (lambda _: partition)
        self.seq = seq
        self.prev = prev or GENESIS
        self.out: list[Out] = []
        self.superseded = 0
        self._world = world

    def origin(self, rec: Any) -> Origin | None:
        """In clear."""
        found = dict(rec.headers).get("cg-origin")
        return None if found is None else _unpack_origin(found)

    def _astray(self, rec: Any) -> bool:
        """Whether the record belongs elsewhere; then it is given to the relay, unless that brought it."""
        target = self._owner(rec.key)
        if target == self._partition:
            return False
        if rec.origin is not None:
            self.out.append(letter(rec, "partition.wrong"))
            return True
        origin = Origin(rec.kind, rec.partition, rec.offset, rec.timestamp_ms, target)
        headers = [("cg-target", str(rec.kind).encode()), ("cg-origin", _pack_origin(origin))]
        self.out.append(Out("relay", rec.kind, rec.key, rec.value, headers))
        return True

    def _reasons(self, state: SmallState, token: str) -> list[str]:
        world, reasons = self._world, []
        if not any(all(_newer(grant, stop, self.skew_ms) for stop in state.stops) for grant in state.grants):
            reasons.append("consent.withdrawn" if state.stops else "consent.missing")
        if world.campaign != "approved":
            reasons.append("campaign.paused" if world.campaign else "campaign.unknown")
        reasons.extend(f"pause.{name}" for name in sorted(world.pauses))
        if token in world.suppressed:
            reasons.append("address.suppressed")
        return reasons

    def _recall(self, state: SmallState, subject: bytes, now_ms: int) -> SmallState:
        if not any(_open(a, now_ms) for a in state.approvals) or not self._reasons(state, state.address):
            return state
        approvals = []
        for a in state.approvals:
            if _open(a, now_ms):
                value = f'{{"type":"contact.recalled","approval_ref":"ap-{a[0]}-{a[1]}","request_id":"{a[0]}"}}'
                self.out.append(Out("approval", "cc", subject, value.encode(), []))
                a = (*a[:4], True, a[5])
            approvals.append(a)
        return msgspec.structs.replace(state, approvals=tuple(approvals))

    def consent(self, rec: Any, states: Any) -> None:
        """Grant, withdrawal, forget."""
        if rec.value == b"forget":
            states.put(rec.key, EMPTY)
            return
        try:
            message = _read(rec.value)
            kind, at_ms = message["type"], message["sim_ms"]
        except (msgspec.MsgspecError, KeyError):
            self.out.append(letter(rec, "unreadable"))
            return
        if self._astray(rec):
            return
        state: SmallState = states.get(rec.key)
        if kind == "consent.granted":
            grants = _with(state.grants, (at_ms, rec.arrived_ms))
            states.put(rec.key, msgspec.structs.replace(state, grants=grants))
        else:
            self._stop(state, at_ms, rec, states)

    def _stop(self, state: SmallState, at_ms: int, rec: Any, states: Any) -> None:
        after = msgspec.structs.replace(state, stops=_with(state.stops, (at_ms, rec.arrived_ms)))
        states.put(rec.key, self._recall(after, rec.key, rec.timestamp_ms))

    def outcome(self, rec: Any, states: Any) -> None:
        """What became of an approval."""
        try:
            message = _read(rec.value)
            request_id, outcome, at_ms = message["request_id"], message["outcome"], message["sim_ms"]
        except (msgspec.MsgspecError, KeyError):
            self.out.append(letter(rec, "unreadable"))
            return
        if self._astray(rec):
            return
        state: SmallState = states.get(rec.key)
        for place, a in reversed(list(enumerate(state.approvals))):
            if a[0] == request_id:
                told = (*a[:3], _stronger(a[3], outcome), *a[4:])
                approvals = (*state.approvals[:place], told, *state.approvals[place + 1 :])
                state = msgspec.structs.replace(state, approvals=approvals)
                states.put(rec.key, state)
                break
        else:
            self.out.append(letter(rec, "outcome.unknown_request"))
        if outcome == "unsubscribed":
            self._stop(state, at_ms, rec, states)

    def request(self, rec: Any, states: Any, now_ms: int, position: Any) -> None:
        """Decide."""
        try:
            message = _read(rec.value)
            request_id, token = message["request_id"], message["sim_token"]
        except (msgspec.MsgspecError, KeyError):
            self.out.append(letter(rec, "unreadable"))
            return
        if self._astray(rec):
            return
        state: SmallState = states.get(rec.key)
        reasons, before = self._reasons(state, token), self._before(state, request_id, now_ms)
        matter = message.get("matter_id", "")
        approved_ms, until_ms = now_ms, now_ms + TTL_MS
        if before is not None and before[5] != matter:
            reasons, before = ["request.conflict"], None
        elif before is not None and (before[3] != "not_attempted" or before[1] >= now_ms):
            approved_ms, until_ms = before[1:3]
            if reasons or not _open(before, now_ms):
                reasons = ["request.answered", *(reasons if _open(before, now_ms) else ())]
        else:
            before = None
            held = sum(not a[4] if a[3] is None else a[3] != "not_attempted" for a in self._counted(state, now_ms))
            if held >= self.cap:
                reasons.append("cap.ten_minutes")
            if not reasons:
                kept = tuple(a for a in state.approvals if a[1] > now_ms - HORIZON_MS or a[2] > now_ms)
                approvals = (*kept, (request_id, now_ms, until_ms, None, False, matter))
                states.put(rec.key, SmallState(state.grants, state.stops, token, approvals))
        approval_id = "null" if reasons else f'"ap-{request_id}-{approved_ms}"'
        listed = ",".join(f'{{"rule":"{rule}","detail":"","until":null}}' for rule in reasons)
        body = (
            f'{{"type":"contact.decided","request_id":"{request_id}","subject_id":"{rec.key.decode()}",'
            f'"verdict":"{"block" if reasons else "pass"}","reasons":[{listed}],'
            f'"approval_ref":{approval_id},'
            f'"decided_ms":{now_ms},"position":{{"partition":{position.partition},"request":{position.request},'
            f'"consent":{position.consent},"outcome":{position.outcome},"control":{position.control},'
            f'"suppression":{position.suppression}}},"duplicate":{"true" if before else "false"},'
            f'"seq":{self.seq},"prev":"{self.prev}"}}'
        ).encode()
        digest = "sha256:" + sha256(body).hexdigest()
        self.seq += 1
        self.prev = digest
        self.out.append(Out("decision", "cc", rec.key, body[:-1] + f',"hash":"{digest}"}}'.encode(), []))
        if not reasons:
            repeats = ',"duplicate":true' if before else ""
            value = (
                f'{{"type":"contact.approved","approval_ref":{approval_id},"request_id":"{request_id}",'
                f'"valid_until_ms":{until_ms}{repeats}}}'
            )
            self.out.append(Out("approval", "cc", rec.key, value.encode(), []))

    def _before(self, state: SmallState, request_id: str, now_ms: int) -> tuple[Any, ...] | None:
        """The newest approval of a request, unless it is from too long ago."""
        found = [a for a in state.approvals if a[0] == request_id and a[1] > now_ms - HORIZON_MS]
        return found[-1] if found else None

    @staticmethod
    def _counted(state: SmallState, now_ms: int) -> list[tuple[Any, ...]]:
        return [a for a in state.approvals if a[1] > now_ms - WINDOW_MS or a[2] > now_ms]

    def review(self, subject: bytes, states: Any, now_ms: int) -> None:
        """Open approvals after the world changed."""
        before = states.get(subject)
        after = self._recall(before, subject, now_ms)
        if after is not before:
            states.put(subject, after)

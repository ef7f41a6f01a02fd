"""One partition as a worker leaves it behind, in memory: inputs, decisions with their chain, meta records."""

from __future__ import annotations

import json
from typing import Any

from contactgate.codec.tokens import Tokens
from contactgate.core.chain import GENESIS
from contactgate.core.world import World
from contactgate.gate import Gate, WorldFeed
from contactgate.model.log import Positions, Record
from contactgate.partition.broadcast import Broadcast
from contactgate.partition.fold import Fold, Meta, Work
from contactgate.partition.subjects import SubjectCodec
from contactgate.policy.load import load_policy
from contactgate.proof.decided import Kept, decode
from contactgate.proof.rederive import KINDS, Rules

START_MS = 1_795_345_200_000  # 2026-11-22T11:00:00Z
TOKENS = Tokens(b"t" * 32)
POLICY: dict[str, Any] = {
    "policy": "proof", "require": {"campaign": False, "party": False, "notice": False},
    "approval_ttl": "15m", "dedup_horizon": "1d", "unreported": "count",
    "purposes": {"service": {"consent": "opt_out"}, "collection": {"consent": "none"}},
    "caps": [{"name": "day", "limit": 2, "window": {"sliding": "1d"}, "scope": ["subject"]}],
}  # fmt: skip


def at(ms: int) -> str:
    """An instant as messages write it."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Worker:
    """Give it records, let it `transact` when the test wants; what it committed lies in the attributes."""

    def __init__(
        self, partition: int = 0, *, event_time: bool = False, requesters: frozenset[str] | None = None
    ) -> None:
        self.partition = partition
        self.inputs: dict[str, list[Record]] = {kind: [] for kind in KINDS}
        self.decisions: list[tuple[int, bytes, bytes]] = []  # offset, key, value
        self.metas: list[Meta] = []
        self.now_ms = START_MS
        self.event_time = event_time
        self.review_limit = 1_000  # subjects reviewed in one transaction
        self._taken = dict.fromkeys(self.inputs, 0)
        self._offset = 0
        world = World()
        self._broadcast = Broadcast(WorldFeed(TOKENS, world, source="/t", sealer=None))
        self.gate = Gate(
            TOKENS, world, partition=partition, seq=0, prev=GENESIS, source="/t", sealer=None, requesters=requesters
        )
        self.approvals: dict[str, str] = {}  # request -> the handle of its newest approval
        self._states: dict[bytes, bytes] = {}
        self._fold = Fold(
            partition, self.gate, self._broadcast, SubjectCodec(), lambda keys: [self._states.get(k) for k in keys],
            Meta(), cache=3, event_time=event_time,
        )  # fmt: skip

    def put(self, kind: str, key: str, message: dict[str, Any] | bytes) -> int:
        """Append one record now; its offset."""
        value = message if isinstance(message, bytes) else json.dumps(message).encode()
        records = self.inputs[kind]
        offset = records[-1].offset + 1 if records else 0
        partition = 0 if kind in ("control", "suppression") else self.partition
        records.append(Record(kind, partition, offset, self.now_ms, key.encode(), value))
        return offset

    def policy(self, document: dict[str, Any] = POLICY) -> None:
        """Activate a policy."""
        event = {"type": "policy.activated", "event_id": "p", "time": at(self.now_ms), "document": document}
        self.put("control", "policy:active", {**event, "policy": load_policy(document).hash})

    def pause(self, pause_id: str, **scope: Any) -> None:
        """Stop what the scope names."""
        event = {
            "type": "pause.set",
            "event_id": pause_id,
            "time": at(self.now_ms),
            "pause_id": pause_id,
            "scope": scope,
        }
        self.put("control", f"pause:{pause_id}", event)

    def ask(self, request_id: str, subject: str, **fields: Any) -> int:
        """Append one request."""
        message = {
            "type": "contact.requested", "request_id": request_id, "subject_id": subject, "time": at(self.now_ms),
            "requester": "dialer", "controller": "bank", "purpose": "service", "channel": "email",
            "address": f"{subject}@mail.example", **fields,
        }  # fmt: skip
        return self.put("request", subject, message)

    def withdraw(self, subject: str, **scope: Any) -> None:
        """Append one opt-out."""
        offset = len(self.inputs["consent"])
        event = {"type": "consent.withdrawn", "event_id": f"w{offset}", "subject_id": subject, "time": at(self.now_ms)}
        self.put("consent", subject, {**event, **scope})

    def outcome(self, request_id: str, subject: str, outcome: str) -> None:
        """Append what became of a request; without an approval of it, by subject."""
        offset, handle = len(self.inputs["outcome"]), self.approvals.get(request_id)
        about = {"approval_id": handle} if handle else {"request_id": request_id, "subject_id": subject}
        event = {"type": "contact.outcome", "event_id": f"o{offset}", "time": at(self.now_ms), "outcome": outcome}
        self.put("outcome", subject, {**event, **about})

    def transact(self, requests: int | None = None) -> None:
        """One transaction over all that was appended; `requests`: at most this many of them."""
        taken = {kind: self._take(kind, requests if kind == "request" else None) for kind in self.inputs}
        self._broadcast.read_control(taken["control"], self._taken["control"])
        self._broadcast.read_suppression(taken["suppression"], self._taken["suppression"])
        positions = Positions(self._taken["consent"], self._taken["outcome"], self._taken["request"])
        batch = self._fold.apply(
            Work(taken["consent"], taken["outcome"], taken["request"], positions, self.now_ms, self.review_limit)
        )
        if batch is None:
            return
        for out in batch.outs:
            if out.kind == "decision":
                self.decisions.append((self._offset, out.key, out.value))
                self._offset += 1
            elif out.kind == "approval" and b"contact.approved" in out.value:
                approval = json.loads(out.value)
                self.approvals[approval["request_id"]] = approval["approval_id"]
        self._offset += 1  # the transaction's marker
        for subject, value in batch.states:
            self._states.pop(subject, None) if value is None else self._states.update({subject: value})
        self._fold.adopt(batch)
        self.metas.append(batch.meta)

    def _take(self, kind: str, limit: int | None) -> list[Record]:
        start = self._taken[kind]
        some = self.inputs[kind][start : None if limit is None else start + limit]
        self._taken[kind] = start + len(some)
        return some

    def kept(self) -> list[Kept]:
        """The decisions as the proof reads them."""
        return [Kept(offset, value, decode(value)) for offset, _, value in self.decisions]

    def rules(self, **changes: Any) -> Rules:
        """What the proof must know apart from the log: here every key belongs to the one partition."""
        return Rules(TOKENS, 1, event_time=self.event_time, **changes)


def eventful(*, review_limit: int = 1_000, **options: Any) -> Worker:
    """A day in a partition's life: passes, caps, opt-outs, outcomes, duplicates, pauses, recalls, a new policy."""
    worker = Worker(**options)
    worker.review_limit = review_limit
    worker.policy()
    worker.ask("before-1", "anna")
    worker.transact()
    for minute in range(40):
        worker.now_ms += 60_000
        for subject in ("anna", "bert", "cleo", "dora"):
            if (minute + len(subject) + ord(subject[0])) % 3 == 0:
                worker.ask(f"r-{subject}-{minute}", subject, channel="email" if minute % 2 else "mail")
        if minute % 7 == 3:
            worker.ask(f"r-anna-{minute - 1}", "anna")
        if minute % 11 == 5:
            worker.withdraw("bert", purposes=["service"], channels=["mail"])
        if minute % 9 == 4:
            worker.outcome(f"r-cleo-{minute - 4}", "cleo", "not_attempted")
        if minute == 15:
            worker.transact()
            worker.now_ms += 7
            worker.pause("stop-mail", channels=["mail"])
        if minute == 20:
            worker.put("suppression", "x", b"broken")
            worker.put("request", "dora", b'{"type":"contact.requested"')
        if minute == 25:
            worker.policy({**POLICY, "caps": [{**POLICY["caps"][0], "limit": 9}]})
        if minute % 5 != 2:
            worker.now_ms += 13
            worker.transact(requests=3 if minute % 4 == 1 else None)
    worker.transact()
    return worker

"""A chaos run without chaos: the population against the gate in memory, judged as a run on a cluster is.

One partition, one process, no broker and no fault; time is a number. It shows within seconds whether the workload says
what the judge understands, and whether the judge sees a seeded bug of the gate.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
from tests.chaos.handmade import START_MS
from tests.chaos.history import (
    APPROVALS,
    CHANGELOG,
    CONSENT,
    CONTROL,
    DEAD,
    DECISIONS,
    INPUTS,
    OUTCOMES,
    REQUESTS,
    SUPPRESSIONS,
    History,
    Record,
)
from tests.chaos.population import REQUESTERS, Message, People
from tests.chaos.workload import PAUSED, POLICY

from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.core.chain import GENESIS
from contactgate.core.world import World
from contactgate.gate import Gate, WorldFeed
from contactgate.model import log
from contactgate.model.log import Positions
from contactgate.partition.broadcast import Broadcast
from contactgate.partition.fold import Fold, Meta, Work
from contactgate.partition.subjects import SubjectCodec
from contactgate.policy.load import load_policy

TOKENS = Tokens(b"rehearsal-token-key-" + b"t" * 20)
SEAL_KEY = b"rehearsal-seal-key" + b"s" * 14
_KIND = {CONSENT: "consent", OUTCOMES: "outcome", REQUESTS: "request", CONTROL: "control", SUPPRESSIONS: "suppression"}
_TOPIC = {"decision": DECISIONS, "dead": DEAD}
_decode = msgspec.json.Decoder().decode


class Rehearsal:
    """Plays `ticks` of 50 ms; what lay in the topics then is in `history`."""

    def __init__(self, seed: int, subjects: int = 60) -> None:
        self.people = People(seed, subjects, 1)
        self.pick = self.people.random
        self.now_ms = START_MS
        self.topics: dict[str, list[Record]] = {name: [] for name in (*INPUTS, DECISIONS, CHANGELOG, DEAD)}
        self._journal: list[dict[str, Any]] = []
        self._batches = 0
        self._due: deque[tuple[int, bytes, int]] = deque()
        self._subjects: dict[str, int] = {}
        self._read = dict.fromkeys(REQUESTERS, 0)
        self._paused: bytes | None = None
        self._suppressed: list[int] = []
        world = World()
        world.activate(load_policy(POLICY.read_bytes().decode()))
        sealer = Sealer(SEAL_KEY)
        self._broadcast = Broadcast(WorldFeed(TOKENS, world, source="/t", sealer=sealer))
        gate = Gate(TOKENS, world, partition=0, seq=0, prev=GENESIS, source="/t", sealer=sealer, strict_partition=1)
        self._states: dict[bytes, bytes] = {}
        self._fold = Fold(
            0, gate, self._broadcast, SubjectCodec(), lambda keys: [self._states.get(k) for k in keys], Meta(),
            cache=1_000, event_time=False,
        )  # fmt: skip
        self._taken = dict.fromkeys(INPUTS, 0)

    # --- inputs ---------------------------------------------------------------------------------------------------

    def send(self, topic: str, messages: list[Message], batch: int | None = None) -> None:
        """One batch, acknowledged at once."""
        if not messages:
            return
        name = self._batches = self._batches + 1
        name = name if batch is None else batch
        records, crc = self.topics[topic], 0
        for message in messages:
            crc = zlib.crc32(message.value or b"", zlib.crc32(message.key or b"", crc))
        line = {"op": "invoke", "batch": name, "topic": topic, "partition": 0, "count": len(messages), "crc": crc}
        at_ns = self.now_ms * 1_000_000
        self._journal.append({**line, "mono_ns": at_ns, "wall_ms": self.now_ms})
        ok = {"op": "ok", "batch": name, "offset": len(records), "mono_ns": at_ns + 1, "wall_ms": self.now_ms}
        self._journal.append(ok)
        for place, (key, value) in enumerate(messages):
            records.append(Record(len(records), self.now_ms, key, value, (("hx", b"%d.%d" % (name, place)),)))
        self.now_ms += 1

    def _requests(self, count: int) -> None:
        people, batch = self.people, self._batches + 1
        told = []
        for place in range(count):
            number, draw = people.somebody(0), self.pick.random()
            request_id = b"q%d-%d" % (batch, place)
            if draw < 0.92:
                self._subjects[request_id.decode()] = number
                told.append(people.request(request_id, number, self.now_ms, draw))
            else:
                again = people.asked_before(0, self.now_ms) if draw < 0.99 else None
                told.append(again or people.bad_request(number, self.now_ms))
        self.send(REQUESTS, told)

    def _dial(self) -> None:
        for requester in REQUESTERS:
            records = self.topics.get(APPROVALS + requester, [])
            for record in records[self._read[requester] :]:
                if b"contact.approved" in (record.value or b"") and self.pick.random() < 0.6:
                    request_id = _decode(record.value or b"")["request_id"]
                    at_ms = self.now_ms + self.pick.randrange(3_000)
                    self._due.append((at_ms, request_id.encode(), self._subjects[request_id]))
            self._read[requester] = len(records)
        told = []
        for _ in range(len(self._due)):
            at_ms, request_id, number = self._due.popleft()
            if at_ms > self.now_ms:
                self._due.append((at_ms, request_id, number))
            else:
                unknown = self.pick.random() < 0.01
                told.append(self.people.outcome(b"nobody" if unknown else request_id, number, self.now_ms))
        self.send(OUTCOMES, told)

    def _rule(self) -> None:
        draw = self.pick.random()
        if draw < 0.3 and self._paused is None:
            self._paused = b"p-%d" % self._batches
            scope = PAUSED[self._batches % len(PAUSED)]
            self.send(CONTROL, [self.people.pause(self._paused, scope, self.now_ms)])
        elif self._paused is not None:
            self.send(CONTROL, self.people.lifts(self._paused, self.now_ms))
            self._paused = None
        else:
            lift = bool(self._suppressed) and draw < 0.6
            number = self._suppressed.pop(0) if lift else self.people.somebody(0)
            if not lift:
                self._suppressed.append(number)
            self.send(SUPPRESSIONS, [self.people.suppression(number, self.now_ms, _token, lift=lift)])

    # --- the partition --------------------------------------------------------------------------------------------

    def transact(self) -> None:
        """One transaction over everything that was sent."""
        taken = {topic: self._take(topic) for topic in INPUTS}
        self._broadcast.read_control(taken[CONTROL], self._taken[CONTROL])
        self._broadcast.read_suppression(taken[SUPPRESSIONS], self._taken[SUPPRESSIONS])
        positions = Positions(self._taken[CONSENT], self._taken[OUTCOMES], self._taken[REQUESTS])
        work = Work(taken[CONSENT], taken[OUTCOMES], taken[REQUESTS], positions, self.now_ms, 1_000)
        batch = self._fold.apply(work)
        if batch is None:
            return
        for out in batch.outs:
            topic = _TOPIC.get(out.kind, f"{APPROVALS}{out.requester}")
            self._append(topic, out.key, out.value, tuple(out.headers))
        for subject, value in batch.states:
            self._states.pop(subject, None) if value is None else self._states.update({subject: value})
        for key, value in batch.changelog:
            self._append(CHANGELOG, key, value)
        self._fold.adopt(batch)

    def _take(self, topic: str) -> list[log.Record]:
        start, records = self._taken[topic], self.topics[topic]
        self._taken[topic] = len(records)
        kind: Any = _KIND[topic]
        return [log.Record(kind, 0, r.offset, r.timestamp_ms, r.key, r.value) for r in records[start:]]

    def _append(self, topic: str, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        records = self.topics.setdefault(topic, [])
        records.append(Record(len(records), self.now_ms, key, value, headers))

    def play(self, ticks: int) -> History:
        """The run, and then everything decided."""
        now_ms = self.now_ms - 60_000
        everybody = range(len(self.people.keys))
        self.send(CONSENT, [self.people.first_grant(number, now_ms) for number in everybody if number % 20 < 17])
        for tick in range(ticks):
            self.send(CONSENT, [self.people.consent_event(0, self.now_ms) for _ in range(self.pick.randrange(3))])
            self._requests(self.pick.randrange(6))
            self._dial()
            if tick % 25 == 24:
                self._rule()
            if self.pick.random() < 0.6:
                self.transact()
            self.now_ms += 50 if self.pick.random() < 0.99 else 5_000
        for _ in range(20):
            self.now_ms += 400
            self.transact()
        meta = {"partitions": 1, "requesters": list(REQUESTERS), "seal_key": SEAL_KEY.hex(), "prefix": ""}
        committed = {topic: {"0": self._taken[topic]} for topic in (CONSENT, OUTCOMES, REQUESTS)}
        index: dict[str, Any] = {"topics": {}, "committed": committed}
        found = History(Path(__file__).parent, meta, self._journal, [], [], {}, index)
        for topic, records in self.topics.items():
            found.put(topic, 0, records)
        return found


def _token(address: bytes) -> bytes:
    return TOKENS.suppressed(address.decode(), None)[0].encode()


def main() -> None:
    """`python -m tests.chaos.rehearsal [SEED [TICKS [BUG]]]`: the verdict in words."""
    import sys

    from tests.chaos.bugs import install
    from tests.chaos.checker import check

    given = sys.argv[1:]
    if len(given) > 2:
        install(given[2])
    verdict = check(Rehearsal(int(given[0]) if given else 1).play(int(given[1]) if len(given) > 1 else 2_000))
    for each in verdict.findings:
        if not each.held:
            print(f"BROKEN {each.name}: {each.detail}")
    print(json.dumps(verdict.counters))
    print(verdict.state, "never seen:", ", ".join(verdict.unreached) or "nothing")


if __name__ == "__main__":
    main()

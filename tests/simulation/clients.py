"""The outside: who asks, who consents, who reports, who controls. They see acknowledgements and committed approvals.

Everything they do is written down as they saw it (`Simulation.ops`): what was sent when, and whether it was
acknowledged, refused, or nobody knows. What was acknowledged before a request was sent is written down with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from tests.simulation.kit import FORGET, TOKENS

if TYPE_CHECKING:
    from tests.simulation.log import Entry
    from tests.simulation.run import Simulation

_read = msgspec.json.Decoder().decode


@cache
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def instant(ms: int) -> str:
    """RFC 3339 with milliseconds."""
    return f"{_second(ms // 1000)}{ms % 1000:03d}Z"


@cache
def token_of(address: str) -> str:
    """The key of an address's suppressions."""
    return TOKENS.suppressed(address, None)[0]


class Subject:
    """One person as the clients know it."""

    __slots__ = ("address", "key", "name", "partition", "plain")

    def __init__(self, name: str, partition: int, number: int, *, plain: bool) -> None:
        self.name = name
        self.key = name.encode()
        self.partition = partition
        self.address = f"+8613800138{partition}{number:02d}"
        self.plain = plain  # never opts out, is never suppressed nor forgotten


class Clients:
    """All of them."""

    def __init__(self, sim: Simulation, partitions: int) -> None:
        self.sim = sim
        self.rng: Random = sim.rng
        self.subjects = [
            Subject(self._named(name, p), p, number, plain=name == "a")
            for p in range(partitions)
            for number, name in enumerate(("a", "b", "f"))
        ]
        # Drawn apart, so that it changes nothing else about a seed: who chooses partitions in another way.
        self.astray = Random(~sim.seed * 3 + 1)
        self.copies: set[tuple[str, int, bytes]] = set()  # what the relay appended, by topic, partition and origin
        self.astray_rate = self.astray.choice((0.0, 0.1, 0.4)) if partitions > 1 else 0.0
        self.variants = Random(~sim.seed * 5 + 2)  # drawn apart as well: who asks something else under a known name
        self.everybody = tuple(self.subjects)
        self.ids = 0
        self.acked: dict[tuple[str, int], int] = {}  # next offset behind everything acknowledged, per topic partition
        self.retry: list[tuple[Subject, str]] = []  # requests whose result is unknown
        self.sent: list[tuple[Subject, str]] = []
        self.approved: list[tuple[Subject, str]] = []
        self.approvals_read = 0
        self.unreported: list[tuple[str, bytes]] = []  # approved request ids and their subjects
        self.by_request: dict[str, Subject] = {}
        self.txns: dict[str, tuple[int, list[dict[str, Any]]]] = {}  # consent producers with an open transaction
        self.pauses: list[str] = []
        self.paused_campaign = False
        self.suppressed: set[str] = set()

    def _named(self, letter: str, partition: int) -> str:
        """The first name with this letter whose key belongs to the partition."""
        names = (f"{letter}{number}" for number in count())
        return next(name for name in names if self.sim.owner(name.encode()) == partition)

    # --- sending --------------------------------------------------------------------------------------------------

    def _id(self, head: str) -> str:
        self.ids += 1
        return f"{head}{self.ids}"

    def send(self, topic: str, number: int, key: bytes | None, value: bytes | None, **what: Any) -> dict[str, Any]:
        """A plain producer: ok, or unknown (it was appended, or not); seldom to another partition than the key's."""
        sim, rng = self.sim, self.rng
        own = number
        if topic in ("consent", "outcome", "request") and value != FORGET and self.astray.random() < self.astray_rate:
            number = 1 - number
        op: dict[str, Any] = {
            "topic": topic,
            "partition": number,
            "own": own,
            "at": sim.step,
            "result": "ok",
            "offset": None,
            "value": value,
            **what,
        }
        if topic == "request":
            op["acked"] = self._all_acked(number)
        fate = rng.random()
        if fate > 1 - sim.error_rate:
            op["result"] = "unknown"
        if op["result"] == "ok" or fate > 1 - sim.error_rate / 2:
            op["offset"] = sim.cluster.part(topic, number).append(sim.cluster.now, key, value)
        if op["result"] == "ok":
            self._acknowledge(op)
        sim.ops.append(op)
        if sim.tracing:
            sim.note(f"client {op}")
        return op

    def _all_acked(self, number: int) -> tuple[int, int, int, int]:
        places = (("consent", number), ("outcome", number), ("control", 0), ("suppression", 0))
        acked = [self.acked.get(place, 0) for place in places]
        return acked[0], acked[1], acked[2], acked[3]

    def carried(self, topic: str, number: int, offset: int, entry: Entry, *, known: bool) -> None:
        """The relay appended what somebody sent to another partition: the same operation once more, as of now."""
        first = next(
            op for op in self.sim.ops if op["topic"] == topic and op.get("value") == entry.value and "carried" not in op
        )
        op = {
            **first,
            "partition": number,
            "at": self.sim.step,
            "offset": offset,
            "carried": True,
            "result": "ok" if known else "unknown",
        }
        op.pop("acked_at", None)
        if topic == "request":
            op["acked"] = self._all_acked(number)
        if known:
            self._acknowledge(op)
        self.sim.ops.append(op)
        place = topic, number, dict(entry.headers)["cg-origin"]
        self.sim.counters["record carried again" if place in self.copies else "record carried"] += 1
        self.copies.add(place)

    def _acknowledge(self, op: dict[str, Any]) -> None:
        op["acked_at"] = self.sim.step
        place = op["topic"], op["partition"]
        self.acked[place] = max(self.acked.get(place, 0), op["offset"] + 1)

    # --- what they say --------------------------------------------------------------------------------------------

    def _time(self) -> int:
        """An event's own time: now, seldom long ago."""
        now = self.sim.cluster.now
        return now - self.rng.randrange(120_000) if self.rng.random() < 0.1 else now

    def consent_value(self, subject: Subject, kind: str, at_ms: int) -> bytes:
        """A grant or a withdrawal."""
        head = (
            f'{{"type":"{kind}","event_id":"{self._id("e")}","subject_id":"{subject.name}","time":"{instant(at_ms)}",'
            f'"sim_ms":{at_ms},"controller":"bank","purposes":["marketing"],"channels":["sms"],"recipients":["cc"]'
        )
        if kind == "consent.granted":
            head += ',"data_categories":["basic"],"evidence":{"method":"web","ref":"x"}'
        return (head + "}").encode()

    def request(self, subject: Subject, request_id: str, matter: str = "") -> None:
        """Ask."""
        now = self.sim.cluster.now
        more = f',"matter_id":"{matter}"' if matter else ""
        value = (
            f'{{"type":"contact.requested","request_id":"{request_id}","subject_id":"{subject.name}",'
            f'"time":"{instant(now)}","requester":"cc","controller":"bank","campaign_id":"c-1","purpose":"marketing",'
            f'"channel":"sms","address":"{subject.address}","sim_token":"{token_of(subject.address)}"{more}}}'
        )
        self.by_request[request_id] = subject
        op = self.send("request", subject.partition, subject.key, value.encode(), subject=subject.name, id=request_id)
        if op["result"] == "unknown":
            self.retry.append((subject, request_id))
        else:
            self.sent.append((subject, request_id))

    def consent(self, subject: Subject, kind: str, at_ms: int | None = None) -> None:
        """Opt in or out, by a plain producer."""
        at_ms = self._time() if at_ms is None else at_ms
        value = self.consent_value(subject, kind, at_ms)
        self.send("consent", subject.partition, subject.key, value, subject=subject.name, kind=kind, time=at_ms)

    def forget_all(self) -> None:
        """Forget everybody who may be forgotten, and never speak of them again."""
        for subject in self.subjects:
            if subject.name[0] == "f":
                self.forget(subject)
        self.subjects = [subject for subject in self.subjects if subject.name[0] != "f"]
        self.forget_ids()

    def forget_ids(self) -> None:
        """Time jumps: nobody repeats a request or reports an approval from long ago (the gate has forgotten it)."""
        self.retry, self.sent, self.approved, self.unreported = [], [], [], []
        self.approvals_read = self.sim.cluster.part("approval", 0).lso

    def forget(self, subject: Subject) -> None:
        """The simulation's own record: nothing is known of a subject any more."""
        self.send("consent", subject.partition, subject.key, FORGET, subject=subject.name, kind="forget", time=0)

    def control(self, value: str, key: str, **what: Any) -> None:
        """A control event."""
        head = f'{{"event_id":"{self._id("k")}","time":"{instant(self.sim.cluster.now)}",'
        self.send("control", 0, key.encode(), (head + value + "}").encode(), **what)

    def campaign(self, status: str) -> None:
        """Approve or pause the campaign."""
        self.paused_campaign = status != "approved"
        self.control(
            f'"type":"campaign.updated","campaign_id":"c-1","status":"{status}","controller":"bank",'
            '"created_by":"x","approved_by":"y",'
            '"purposes":["marketing"],"channels":["sms"]',
            "campaign:c-1",
            kind="campaign",
            status=status,
        )

    # --- one action -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """What is there before anything runs."""
        if self.rng.random() < 0.9:
            self.campaign("approved")
        for subject in self.subjects:
            if subject.plain or self.rng.random() < 0.7:
                self.consent(subject, "consent.granted", self.sim.cluster.now)

    def act(self) -> None:
        """Something."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.45:
            if self.retry and rng.random() < 0.5:
                self.request(*self.retry.pop())
            elif self.sent and rng.random() < 0.12:
                known = self.approved if self.approved and self.variants.random() < 0.6 else self.sent
                self.request(*rng.choice(known), "m-2" if self.variants.random() < 0.2 else "")
            else:
                self.request(rng.choice(self.subjects), self._id("r"))
        elif draw < 0.65:
            subject = rng.choice(self.subjects)
            if subject.plain or rng.random() < 0.5:
                self.consent(subject, "consent.granted")
            elif subject.name[0] == "f" and rng.random() < 0.5:
                self.forget(subject)
            else:
                self.consent(subject, "consent.withdrawn")
            if rng.random() < 0.3:  # at once: what the barrier is for
                self.request(subject, self._id("r"))
        elif draw < 0.72:
            self.transactional()
        elif draw < 0.82:
            self.report()
        elif draw < 0.92:
            self.rule()
        elif draw < 0.96:
            self.settle()
        else:
            self.nonsense()

    def transactional(self) -> None:
        """Consents in a transaction of the producer's own."""
        sim, rng = self.sim, self.rng
        name = rng.choice(("crm", "web"))
        if name not in self.txns:
            self.txns[name] = (sim.cluster.init(name), [])
        epoch, ops = self.txns[name]
        for subject in rng.sample(self.subjects, rng.choice((1, 2))):
            kind = "consent.granted" if subject.plain or rng.random() < 0.4 else "consent.withdrawn"
            at_ms = self._time()
            txn = sim.cluster.transaction(name, epoch)
            value = self.consent_value(subject, kind, at_ms)
            offset = sim.cluster.part("consent", subject.partition).append(sim.cluster.now, subject.key, value, txn)
            op = {
                "topic": "consent",
                "partition": subject.partition,
                "at": sim.step,
                "result": "unknown",
                "offset": offset,
                "subject": subject.name,
                "kind": kind,
                "time": at_ms,
            }
            ops.append(op)
            sim.ops.append(op)
        if rng.random() < 0.5:
            self.settle(name)

    def settle(self, name: str | None = None) -> None:
        """Commit or abort an open consent transaction."""
        if not self.txns:
            return
        name = name or min(self.txns)
        epoch, ops = self.txns.pop(name)
        if not self.sim.cluster.is_open(name):
            return
        commit = self.rng.random() < 0.75
        self.sim.cluster.end(name, epoch, commit=commit)
        self.sim.cluster.write_markers(name)
        for op in ops:
            op["result"] = "ok" if commit else "failed"
            if commit:
                self._acknowledge(op)

    def report(self) -> None:
        """Look for approvals, and tell what became of one."""
        sim, rng = self.sim, self.rng
        found, self.approvals_read = sim.cluster.part("approval", 0).read(self.approvals_read, 1_000)
        for entry in found:
            message = _read(entry.value or b"{}")
            if message["type"] == "contact.approved":
                subject = self.by_request[message["request_id"]]
                self.unreported.append((message["request_id"], subject.key))
                self.approved.append((subject, message["request_id"]))
        if not self.unreported:
            return
        request_id, _ = self.unreported.pop(rng.randrange(len(self.unreported)))
        subject = self.by_request[request_id]
        choices = ["answered", "not_attempted", "not_attempted"] + ([] if subject.plain else ["unsubscribed"])
        outcome, now = rng.choice(choices), sim.cluster.now
        value = (
            f'{{"type":"contact.outcome","event_id":"{self._id("o")}","request_id":"{request_id}",'
            f'"subject_id":"{subject.name}","time":"{instant(now)}","sim_ms":{now},"outcome":"{outcome}"}}'
        )
        self.send(
            "outcome",
            subject.partition,
            subject.key,
            value.encode(),
            subject=subject.name,
            kind=outcome,
            time=now,
            id=request_id,
        )

    def rule(self) -> None:
        """Pauses, the campaign, suppressions."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.45:
            subject = rng.choice([s for s in self.subjects if not s.plain])
            token, now = token_of(subject.address), instant(self.sim.cluster.now)
            if subject.address in self.suppressed:
                self.suppressed.discard(subject.address)
                kind, more = "address.released", ""
            else:
                self.suppressed.add(subject.address)
                kind, more = "address.suppressed", ',"reason":"stop_reply"'
            value = (
                f'{{"type":"{kind}","event_id":"{self._id("s")}","time":"{now}","address":"{subject.address}"{more}}}'
            )
            self.send("suppression", 0, token.encode(), value.encode(), subject=subject.name, kind=kind)
        elif draw < 0.75:
            if self.pauses:
                pause = self.pauses.pop()
                lifted = f'"type":"pause.lifted","pause_id":"{pause}","by":"ann"'
                self.control(lifted, f"pause:{pause}", kind="lift", id=pause)
            else:
                pause = self._id("p")
                self.pauses.append(pause)
                self.control(f'"type":"pause.set","pause_id":"{pause}"', f"pause:{pause}", kind="pause", id=pause)
        else:
            self.campaign("approved" if self.paused_campaign else "paused")

    def nonsense(self) -> None:
        """What nobody can read."""
        topic = self.rng.choice(("consent", "outcome", "request", "control", "suppression"))
        subject = self.rng.choice(self.subjects)
        number = 0 if topic in ("control", "suppression") else subject.partition
        text = f'{{"type":"nonsense","event_id":"{self._id("x")}"}}'
        self.send(topic, number, subject.key, text.encode(), subject=subject.name, kind="nonsense", time=0)

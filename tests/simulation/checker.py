"""The judge: a pure function from a history to the violations found in it. Imports nothing of the product.

It rebuilds, from the records alone, what was known at every decision (the decision names its input positions) and says
what the decision had to be, in both directions. Invariants, by the names that reports use:

    I1   no pass after an acknowledged opt-out; a decision knows everything acknowledged before its request was sent
    I1b  no needless block
    I2   a cap is never exceeded        I2b  and never under-used
    I3   one decision per request (its repetitions say so)
    I4   what lay in a wrong partition is carried to its own: it arrives, and changes nothing a second time
    I5   nothing from nothing: an output refers to an input of its transaction
    I6   every input record has exactly one fate; positions of successive transactions join
    I7   all or nothing: outputs, changelog, meta record and input positions in one transaction
    I8   dead letters are complete, and only for what is wrong
    I10  the same again: a fresh fold of the inputs gives the same bytes
    I11  the chain of decisions is unbroken
    I14  local store = changelog = fresh fold
    I20  after healing everything is decided in time; no task gave up
    I21  one approval per pass
    I22  recalls: only what was open, and everything that became illegal
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter, defaultdict
from hashlib import sha256
from typing import Any

from tests.simulation.known import HORIZON_MS, Person, Violations, World, broadcast_letters, carried, instant_of

CAP, WINDOW_MS = 2, 600_000
GENESIS = "sha256:" + "0" * 64
META = b"\0meta"
Passes = dict[tuple[str, bool], list[dict[str, Any]]]
"""Approvals of a transaction by id and by whether they repeat one."""


def check(history: dict[str, Any]) -> Violations:
    """Everything that is wrong with a history, in the order it was found; empty when nothing is."""
    found: Violations = []
    for text in history["faults"]:
        found.append(("I20", text))
    if history["alerts"].get("positions.differ"):
        found.append(("I7", "committed input positions were ahead of the changelog"))
    judges = [_Partition(history, p, partition, found) for p, partition in history["partitions"].items()]
    for judge in judges:
        judge.check()
    carried(history, judges, found)
    broadcast_letters(history, found)
    if not history["drained"]:
        found.append(("I20", "not everything was processed after healing"))
    for topic, number, offset in history["loose"]:
        found.append(("I7", f"{topic} {number} offset {offset} was written outside of any transaction"))
    return found


class _Partition:
    """The check of one input partition."""

    def __init__(self, history: dict[str, Any], p: int, partition: dict[str, Any], found: Violations) -> None:
        self.history = history
        self.p = p
        self.partition = partition
        self.found = found
        self.subjects: dict[str, Person] = {}
        self.world = World(history)
        self.inputs = {topic: history["inputs"][topic, p] for topic in ("consent", "outcome", "request")}
        self.at = dict.fromkeys(self.inputs, 0)
        self.position = (0, 0, 0, 0, 0)
        self.seq, self.prev = 0, GENESIS
        self.letters: Counter[tuple[str, int]] = Counter()
        self.fates: Counter[int] = Counter()  # decisions and dead letters per request offset
        self.sent = {
            op["offset"]: op
            for op in history["ops"]
            if op["topic"] == "request" and op["partition"] == p and op["offset"] is not None
        }
        self.decisions: list[dict[str, Any]] = []
        self.recalled: Counter[str] = Counter()
        self.relayed: set[tuple[str, int, int]] = set()  # given to the relay, by what it was here
        self.copies: set[tuple[str, int, int]] = set()  # come from the relay, by what it was there
        self.again: set[tuple[str, int]] = set()  # offsets of further copies

    def bad(self, invariant: str, text: str) -> None:
        """One violation."""
        self.found.append((invariant, f"p{self.p}: {text}"))

    def subject(self, name: str) -> Person:
        """What is known of it."""
        return self.subjects.setdefault(name, Person())

    def check(self) -> None:
        """All transactions in order, then the whole."""
        for number, txn in enumerate(self.partition["txns"]):
            self._transaction(number, txn)
        self._whole()

    # --- one transaction ------------------------------------------------------------------------------------------

    def _transaction(self, number: int, txn: dict[str, Any]) -> None:
        if txn["metas"] != 1:
            self.bad("I7", f"transaction {number} has {txn['metas']} meta records")
            if not txn["metas"]:
                return
        meta = json.loads(txn["meta_bytes"])
        after = tuple(meta.get(name, 0) for name in ("consent", "outcome", "request", "control", "suppression"))
        before = self.position
        if any(b < a for a, b in zip(before, after, strict=True)):
            self.bad("I6", f"transaction {number} goes back from {before} to {after}")
        if txn["offsets"].get(self.p) != after[:3]:
            self.bad("I7", f"transaction {number} commits {txn['offsets'].get(self.p)} and its meta says {after[:3]}")
        self.position = after
        self.world.advance(after[3], after[4])
        dead = self._letters(number, txn)
        self._relay(number, txn, before, after)
        approvals = [(json.loads(value), key) for _, key, value in txn["approvals"]]
        recalls = [message for message, _ in approvals if message["type"] == "contact.recalled"]
        passes: Passes = defaultdict(list)
        for message, _ in approvals:
            if message["type"] == "contact.approved":
                passes[message["approval_ref"], message.get("duplicate", False)].append(message)
        now_ms = meta.get("now_ms", 0)
        self._recalls(number, recalls, now_ms, before, after)
        illegal = self._consents(after[0], dead)
        illegal |= self._outcomes(now_ms, after[1], dead)
        missed = illegal - {message["approval_ref"] for message in recalls}
        if missed:
            self.bad("I22", f"transaction {number} opts a subject out and does not recall {sorted(missed)}")
        requests = {offset: (key, value) for offset, _, key, value in self._own("request", after[2], dead)}
        for _, key, raw in txn["decisions"]:
            self._decision(number, key, raw, requests, after, passes)
        for offset in requests:
            if self.fates[offset] + (("request", offset) in dead) != 1:
                self.bad("I6", f"request offset {offset} has {self.fates[offset]} decisions, dead {offset in dead}")
        for approval_id in [name for (name, _), left in passes.items() if left]:
            self.bad("I21", f"approval {approval_id} without a decision that passes")
        if (meta.get("seq", 0), meta.get("prev", "")) != (self.seq, self.prev) and self.seq:
            self.bad("I11", f"transaction {number}: the meta record does not stand where the chain stands")

    def _take(self, topic: str, upto: int) -> list[tuple[int, int, bytes, bytes]]:
        records, start = self.inputs[topic], self.at[topic]
        end = start
        while end < len(records) and records[end][0] < upto:
            end += 1
        self.at[topic] = end
        return records[start:end]

    def _relay(self, number: int, txn: dict[str, Any], before: tuple[int, ...], after: tuple[int, ...]) -> None:
        """What a transaction gives to the relay: each once, as it was, of what it read."""
        places = {"consent": 0, "outcome": 1, "request": 2}
        for offset, key, value in txn["relay"]:
            topic, partition, source = self.history["origins"]["relay", self.p][offset]
            read = partition == self.p and before[places[topic]] <= source < after[places[topic]]
            if not read or (source, key, value) not in {(o, k, v) for o, _, k, v in self.inputs[topic]}:
                self.bad(
                    "I5", f"transaction {number} relays {topic} {partition} offset {source}, which it did not read"
                )
            if (topic, partition, source) in self.relayed:
                self.bad("I4", f"{topic} offset {source} is relayed twice")
            self.relayed.add((topic, partition, source))

    def _own(self, topic: str, upto: int, dead: set[tuple[str, int]]) -> list[tuple[int, int, bytes, bytes]]:
        """The records read that this partition has to do with: first copies, and not what lies here wrongly."""
        mine = []
        for record in self._take(topic, upto):
            offset, _, key, value = record
            origin = self.history["origins"][topic, self.p].get(offset)
            if origin is not None and origin in self.copies:
                self.again.add((topic, offset))
                if (topic, offset) in dead:
                    self.bad("I4", f"{topic} offset {offset} is a second copy and has a dead letter")
                continue
            if origin is not None:
                self.copies.add(origin)
            if self.history["owners"][key.decode()] == self.p or b'"nonsense"' in value:
                mine.append(record)
            elif ((topic, self.p, offset) in self.relayed) == ((topic, offset) in dead):
                self.bad("I6", f"{topic} offset {offset} lies in the wrong partition and is not carried")
        return mine

    def _letters(self, number: int, txn: dict[str, Any]) -> set[tuple[str, int]]:
        dead = set()
        for _, _, raw in txn["dead"]:
            letter = json.loads(raw)
            topic, offset = letter["topic"], letter["offset"]
            if (topic, letter["partition"]) not in self.history["inputs"]:
                self.bad("I5", f"a dead letter of {topic} {letter['partition']}")
                continue
            records = self.history["inputs"][topic, letter["partition"]]
            source = next((r for r in records if r[0] == offset), None)
            if source is None:
                self.bad("I5", f"a dead letter of {topic} offset {offset}, where nothing is")
            elif b64decode(letter["sealed"]) != (source[2] or b"") + b"\0" + (source[3] or b""):
                self.bad("I8", f"the dead letter of {topic} offset {offset} does not hold the record")
            self.letters[topic, offset] += 1
            dead.add((topic, offset))
        return dead

    def _recalls(
        self, number: int, recalls: list[dict[str, Any]], now_ms: int, before: tuple[int, ...], after: tuple[int, ...]
    ) -> None:
        for message in recalls:
            approval_id = message["approval_ref"]
            self.recalled[approval_id] += 1
            approval = next(
                (s.approvals[approval_id] for s in self.subjects.values() if approval_id in s.approvals), None
            )
            if approval is None:
                self.bad("I22", f"transaction {number} recalls {approval_id}, which was never given")
                continue
            if approval["recalled"] or approval["outcome"]:
                self.bad("I22", f"transaction {number} recalls {approval_id}, which is not open")
            earliest = min(
                [now_ms]
                + [
                    ts
                    for topic, i in (("consent", 0), ("outcome", 1))
                    for o, ts, _, _ in self.inputs[topic]
                    if before[i] <= o < after[i]
                ]
            )
            if earliest >= approval["until"]:
                self.bad("I22", f"transaction {number} recalls {approval_id}, which had lapsed")
            approval["recalled"] = True

    def _arrived(self, topic: str, offset: int, ts: int) -> int:
        """When a record first came: of a carried one, when it came to the partition where it lay wrongly."""
        origin = self.history["origins"][topic, self.p].get(offset)
        if origin is None:
            return ts
        return next((at for o, at, _, _ in self.history["inputs"][origin[:2]] if o == origin[2]), ts)

    def _withdrawn(self, subject: Person, at_ms: int, arrived_ms: int, ts: int) -> set[str]:
        subject.stops.append((at_ms, arrived_ms))
        if subject.allowed():
            return set()
        return {
            approval_id
            for approval_id, a in subject.approvals.items()
            if not a["recalled"] and not a["outcome"] and ts < a["until"]
        }

    def _consents(self, end: int, dead: set[tuple[str, int]]) -> set[str]:
        illegal: set[str] = set()
        for offset, ts, key, value in self._own("consent", end, dead):
            subject = self.subject(key.decode())
            if value == b"forget":
                self.subjects[key.decode()] = Person()
                continue
            message, arrived_ms = json.loads(value), self._arrived("consent", offset, ts)
            if message["type"] == "nonsense":
                self._must_be_dead("consent", offset, dead)
            elif message["type"] == "consent.granted":
                subject.grants.append((message["sim_ms"], arrived_ms))
            else:
                illegal |= self._withdrawn(subject, message["sim_ms"], arrived_ms, ts)
        return illegal

    def _outcomes(self, now_ms: int, end: int, dead: set[tuple[str, int]]) -> set[str]:
        illegal: set[str] = set()
        for offset, ts, key, value in self._own("outcome", end, dead):
            subject = self.subject(key.decode())
            message = json.loads(value)
            if message["type"] == "nonsense":
                self._must_be_dead("outcome", offset, dead)
                continue
            arrived_ms = self._arrived("outcome", offset, ts)
            approval = subject.newest(message["request_id"])
            if ("outcome", offset) in dead:
                if approval is not None and now_ms - approval["decided"] < HORIZON_MS:
                    self.bad("I8", f"the outcome at {offset} of {message['request_id']} is dead")
                elif approval is not None:
                    approval["until"] = 0  # too old to matter: the gate has dropped it
                if message["outcome"] == "unsubscribed":  # an opt-out binds, whatever else is wrong with it
                    illegal |= self._withdrawn(subject, message["sim_ms"], arrived_ms, ts)
                continue
            if approval is None:
                if key[:1] != b"f":
                    self.bad("I6", f"the outcome at {offset} was applied to nothing")
                continue
            subject.report(approval, message["outcome"])
            if message["outcome"] == "unsubscribed":
                illegal |= self._withdrawn(subject, message["sim_ms"], arrived_ms, ts)
        return illegal

    def _must_be_dead(self, topic: str, offset: int, dead: set[tuple[str, int]]) -> None:
        if (topic, offset) not in dead:
            self.bad("I8", f"{topic} offset {offset} cannot be read and has no dead letter in its transaction")

    # --- one decision ---------------------------------------------------------------------------------------------

    def _decision(
        self,
        number: int,
        key: bytes,
        raw: bytes,
        requests: dict[int, tuple[bytes, bytes]],
        after: tuple[int, ...],
        passes: Passes,
    ) -> None:
        decision = json.loads(raw)
        tail = f',"hash":"{decision["hash"]}"}}'.encode()
        body = raw[: -len(tail)] + b"}"
        if not raw.endswith(tail) or "sha256:" + sha256(body).hexdigest() != decision["hash"]:
            self.bad("I11", f"decision {decision['seq']} does not have its hash")
        if decision["seq"] != self.seq or decision["prev"] != self.prev:
            self.bad("I11", f"decision {decision['seq']} follows {self.seq - 1}, or not its hash")
        self.seq, self.prev = decision["seq"] + 1, decision["hash"]
        place = decision["position"]
        offset = place["request"]
        self.fates[offset] += 1
        known = (place["consent"], place["outcome"], place["control"], place["suppression"])
        if known != (after[0], after[1], after[3], after[4]) or place["partition"] != self.p:
            self.bad("I6", f"the decision of offset {offset} says {place}, its transaction {after}")
        if offset not in requests:
            self.bad("I5", f"a decision of offset {offset}, which is not of transaction {number}")
            return
        source = json.loads(requests[offset][1])
        if source.get("request_id") != decision["request_id"] or key != requests[offset][0]:
            self.bad("I5", f"the decision of offset {offset} is about another request")
            return
        self._barrier(offset, known)
        self._verdict(offset, key.decode(), source, decision, passes)

    def _barrier(self, offset: int, known: tuple[int, ...]) -> None:
        acked = self.sent[offset]["acked"]
        for name, have, need in zip(("consent", "outcome", "control", "suppression"), known, acked, strict=True):
            if have < need:
                self.bad("I1", f"request offset {offset}: {name} was acknowledged up to {need}, decided at {have}")

    def _verdict(
        self, offset: int, name: str, source: dict[str, Any], decision: dict[str, Any], passes: Passes
    ) -> None:
        subject, request_id = self.subject(name), decision["request_id"]
        decided_ms = instant_of(decision, "decided_ms", "decided_at")
        passed = decision["verdict"] == "pass"
        rules = {reason["rule"].partition(".")[0] for reason in decision["reasons"]}
        if passed != (not rules):
            self.bad("I3", f"the decision of offset {offset} contradicts its reasons")
        wanted = self.world.stops(name)
        if not subject.allowed():
            wanted.add("consent")
        known = subject.remembered(request_id, decided_ms)
        differs = known is not None and known["matter"] != source.get("matter_id")
        given_back = known is not None and known["outcome"] == "not_attempted" and known["decided"] < decided_ms
        again = known is not None and not differs and not given_back
        self.decisions.append({"offset": offset, "name": name, "passed": passed})
        if decision["duplicate"] != again:
            self.bad("I3", f"offset {offset}: {request_id} is {'' if again else 'not '}a repetition")
        if differs and (passed or rules != {"request"}):
            self.bad(
                "I1" if passed else "I3", f"offset {offset}: {request_id} of something else, and {rules or 'passes'}"
            )
        elif known is not None and again:
            self._again(offset, known, decision, wanted, passes)
        if again or differs:
            return
        held = sum(
            # A recall gives the place back, unless the contact was made all the same.
            (not a["recalled"] if a["outcome"] is None else a["outcome"] != "not_attempted")
            and decided_ms < max(a["decided"] + WINDOW_MS, a["until"])
            for a in subject.approvals.values()
        )
        if held >= CAP:
            wanted.add("cap")
        if passed and wanted:
            where = "I2" if wanted == {"cap"} else "I1"
            self.bad(where, f"offset {offset}: {request_id} of {name} passes against {sorted(wanted)}")
        elif rules - wanted:
            where = "I2b" if rules - wanted == {"cap"} else "I1b"
            self.bad(where, f"offset {offset}: {request_id} of {name} is blocked by {sorted(rules - wanted)}")
        elif wanted - rules:
            self.bad("I3", f"offset {offset}: {request_id} of {name} does not tell {sorted(wanted - rules)}")
        if passed:
            approval_id = decision["approval_ref"]
            approval = self._told(offset, approval_id, passes, again=False)
            if approval is None:
                return
            subject.approvals[approval_id] = {
                "id": approval_id,
                "request": request_id,
                "matter": source.get("matter_id"),
                "decided": decided_ms,
                "until": instant_of(approval, "valid_until_ms", "valid_until"),
                "outcome": None,
                "recalled": False,
            }

    def _again(
        self, offset: int, known: dict[str, Any], decision: dict[str, Any], wanted: set[str], passes: Passes
    ) -> None:
        """A request that comes again: its approval while that may be used, and none after."""
        passed = decision["verdict"] == "pass"
        rules = {reason["rule"].partition(".")[0] for reason in decision["reasons"]}
        lapsed = instant_of(decision, "decided_ms", "decided_at") >= known["until"]
        is_open = not known["recalled"] and not known["outcome"] and not lapsed
        if passed and (wanted or not is_open):
            self.bad("I1" if wanted else "I3", f"offset {offset}: a repetition passes against {sorted(wanted)}")
        elif not passed and is_open and not wanted:
            self.bad("I3", f"offset {offset}: a repetition does not get its open approval")
        elif not passed and "request" not in rules:
            self.bad("I3", f"offset {offset}: a repetition is blocked by {sorted(rules)}, not for being one")
        if passed:
            self._told(offset, decision["approval_ref"], passes, again=True)
            if decision["approval_ref"] != known["id"]:
                self.bad("I3", f"offset {offset}: a repetition gets {decision['approval_ref']}, not {known['id']}")

    def _told(self, offset: int, approval_id: str, passes: Passes, *, again: bool) -> dict[str, Any] | None:
        """Take the approval that a pass is told by."""
        sent = passes[approval_id, again]
        if not sent:
            self.bad("I21", f"offset {offset} passes without an approval")
            return None
        return sent.pop()

    # --- the whole ------------------------------------------------------------------------------------------------

    def _whole(self) -> None:
        partition, replayed = self.partition, self.history["replayed"][self.p]
        for op in self.history["ops"]:
            if op["topic"] == "request" and op["partition"] == self.p and op["result"] == "ok":
                offset = op["offset"]
                fates = self.fates[offset] + self.letters["request", offset]
                fates += ("request", self.p, offset) in self.relayed or ("request", offset) in self.again
                if fates != 1 and self.history["drained"]:
                    self.bad("I3", f"the acknowledged request at {op['offset']} has {fates} fates")
        for (topic, offset), count in self.letters.items():
            if count > 1 and topic in self.inputs:
                self.bad("I8", f"{topic} offset {offset} has {count} dead letters")
        if self.history["drained"] and self.position[:3] != partition["ends"]:
            self.bad("I6", f"consumed up to {self.position[:3]} of {partition['ends']}")
        if partition["offsets"] is not None and partition["offsets"] != self.position[:3]:
            self.bad("I7", f"the group stands at {partition['offsets']}, the changelog at {self.position[:3]}")
        if replayed["states"] != partition["changelog"]:
            self.bad(
                "I14", f"changelog and fresh fold differ in {_differing(replayed['states'], partition['changelog'])}"
            )
        if self.history["drained"] and partition["store"] != partition["changelog"]:
            self.bad("I14", f"store and changelog differ in {_differing(partition['store'], partition['changelog'])}")
        for number, (outs, txn) in enumerate(zip(replayed["outs"], partition["txns"], strict=False)):
            for kind, name in (
                ("decision", "decisions"),
                ("approval", "approvals"),
                ("dead", "dead"),
                ("relay", "relay"),
            ):
                # Dead letters of the two broadcast topics come in the order in which a worker happened to read them.
                order = sorted if kind == "dead" else list
                mine = order((key, value) for k, key, value in outs if k == kind)
                if mine != order((key, value) for _, key, value in txn[name]):
                    self.bad("I10", f"transaction {number}: a fresh fold gives other {name}")
        self._acknowledged_opt_outs()
        self._open_at_the_end()

    def _acknowledged_opt_outs(self) -> None:
        """I1 once more, from what clients saw alone: no positions, no model."""
        opted: dict[str, list[dict[str, Any]]] = {}
        for op in self.history["ops"]:
            if op["topic"] in ("consent", "outcome") and op["partition"] == self.p:
                opted.setdefault(op["subject"], []).append(op)
        for decision in self.decisions:
            request = self.sent[decision["offset"]]
            if not decision["passed"]:
                continue
            events = opted.get(decision["name"], [])
            outs = [
                op
                for op in events
                if op["kind"] in ("consent.withdrawn", "unsubscribed")
                and op["result"] == "ok"
                and op.get("acked_at", 1 << 60) < request["at"]
            ]
            if not outs:
                continue
            last = max(op["time"] for op in outs)
            granted = any(op["kind"] == "consent.granted" and op["time"] > last for op in events)
            forgot = any(op["kind"] == "forget" for op in events)
            if not granted and not forgot:
                self.bad("I1", f"request offset {decision['offset']} passes after an acknowledged opt-out")

    def _open_at_the_end(self) -> None:
        """Whatever is still open must be legal."""
        if not self.history["drained"]:
            return
        for name, subject in self.subjects.items():
            stops = self.world.stops(name) | (set() if subject.allowed() else {"consent"})
            for approval_id, approval in subject.approvals.items():
                is_open = not approval["recalled"] and not approval["outcome"]
                if stops and is_open and self.history["end_ms"] + 10_000 < approval["until"]:
                    self.bad("I22", f"{approval_id} is open at the end against {sorted(stops)}")


def _differing(one: dict[bytes, bytes], other: dict[bytes, bytes]) -> list[bytes]:
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))

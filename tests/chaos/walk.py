"""Walks one partition through its whole history with the checker's own model, transaction by transaction.

The changelog's meta records say which inputs each transaction covered and at what time; every decision says the same of
itself, and both must agree. With that, every verdict, every recall and every dead letter has exactly one right answer.
After a deviation the walk goes on from what really happened, so that one fault is one finding. Part of the checker.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.chaos.history import APPROVALS, CONSENT, CONTROL, OUTCOMES, REQUESTS, SUPPRESSIONS, History, Record
from tests.chaos.journal import Journal
from tests.chaos.letters import Letters
from tests.chaos.outputs import META, Meta, Outputs, Recall, family, recall_word
from tests.chaos.reading import Read, Reader, instant, read_worlds
from tests.chaos.relayed import Arrivals, origin_of
from tests.chaos.repeats import Repeats, is_again
from tests.chaos.rules import LASTING, NEVER, Contact, Fact, Policy, Subject, news
from tests.chaos.verdict import Findings

_DEDUP_MS = 7 * 86_400_000
_RECALL_MS = 5_000
_RECALL_TRANSACTIONS = 12
_GAP_NS = 5_000_000


class Walk:
    """One partition."""

    def __init__(self, history: History, partition: int, policy: Policy, journal: Journal, letters: Letters) -> None:
        self.found = Findings()
        self._p = partition
        self._policy = policy
        self._journal = journal
        self._letters = letters
        self._world = read_worlds(history, Findings(), policy.skew_ms)
        self._reader = Reader(partition, history.meta["partitions"])
        self._arrivals = Arrivals(history, partition, self._reader, self.found)
        self._records = {t: {r.offset: r for r in history.records(t, partition)} for t in (CONSENT, OUTCOMES, REQUESTS)}
        self._outputs = Outputs(history, partition, self.found)
        self._decisions, self._recalls = self._outputs.decisions, self._outputs.recalls
        self._committed = {t: at.get(str(partition)) for t, at in history.index.get("committed", {}).items()}
        self._subjects: dict[bytes, Subject] = defaultdict(lambda: Subject(policy.skew_ms))
        self._arrived: dict[str, int] = {}  # event_id -> broker time of the record that first carried it
        self._issued: dict[str, tuple[bytes, Contact]] = {}
        self._by_address: dict[str, list[tuple[bytes, Contact]]] = defaultdict(list)
        self._doubted: list[tuple[bytes, Contact]] = []
        self._open: list[tuple[bytes, Contact]] = []
        self._opt_outs: dict[bytes, list[tuple[int, Fact]]] = defaultdict(list)
        self._granted: dict[bytes, list[Fact]] = defaultdict(list)
        self._decided: set[bytes] = set()
        self._tx = 0

    def run(self) -> Findings:
        """Everything about this partition."""
        self._index_consents()
        metas = self._outputs.metas
        before = Meta()
        if metas and (metas[0].seq and not any(d["seq"] == 0 for d in self._decisions.values())):
            self.found.bad("I14", f"partition {self._p}: the changelog's first transactions are gone; cannot be walked")
        for meta in metas:
            self._tx += 1
            self._transaction(before, meta)
            if meta.now_ms != before.now_ms:
                self._leftover(before.now_ms)
            before = meta
        self._leftover(before.now_ms)
        for at_ms in [at for at, recalls in self._recalls.items() if recalls]:
            self._leftover(at_ms)
        self._end(before)
        return self.found

    def _bad(self, name: str, text: str) -> None:
        self.found.bad(name, f"partition {self._p}: {text}")

    # --- what was acknowledged, whatever the positions say --------------------------------------------------------

    def _ack_ns(self, record: Record) -> tuple[int, int]:
        """When the record was about to be sent, and when it was acknowledged."""
        place = self._journal.of(record)
        batch = None if place is None else self._journal.batches.get(place[0])
        if origin_of(record) is not None:
            return 0, NEVER  # the order promise counts from the relay's append, which nobody journals
        return (0, NEVER) if batch is None else (batch.invoke_ns, batch.ack_ns)

    def _index_consents(self) -> None:
        for record in self._records[CONSENT].values():
            read = self._read(CONSENT, "consent", record)
            for subject, message, at_ms in self._events(record, read):
                kind, arrived_ms = message["type"], self._arrival(record, message)
                if kind in ("consent.withdrawn", "subject.erased") and read.reason is None:
                    fact = Fact.stop(at_ms, arrived_ms, message if kind == "consent.withdrawn" else {})
                    self._opt_outs[subject].append((self._ack_ns(record)[1], fact))
                elif kind == "consent.granted":
                    whom, purposes, channels = (message[each] for each in ("controller", "purposes", "channels"))
                    self._granted[subject].append(Fact(at_ms, arrived_ms, whom, purposes, channels, None))
                    self.found.seen["late_events"] += at_ms < record.timestamp_ms - 30_000
        for record in self._records[OUTCOMES].values():
            read = self._read(OUTCOMES, "outcome", record)
            if read.reason is None:
                self._arrival(record, read.message)

    def _arrival(self, record: Record, message: dict[str, Any]) -> int:
        """When an event came first; sent again, it does not come again."""
        return self._arrived.setdefault(message["event_id"], record.timestamp_ms)

    def _read(self, topic: str, kind: str, record: Record) -> Read:
        read = self._reader.read(kind, record)
        if read.reason is None:
            for name in ("effective", "expires"):
                if f"{name}_at" in read.message:
                    read.message[f"{name}_ms"] = instant(read.message[f"{name}_at"])
        return read

    def _events(self, record: Record, read: Read) -> list[tuple[bytes, dict[str, Any], int]]:
        if read.reason is None:
            return [(record.key or b"", read.message, read.at_ms)]
        named = [(subject.encode(), message, at_ms) for subject, message, at_ms in read.widest]
        return [event for event in named if self._reader.here(event[0])]

    # --- one transaction ------------------------------------------------------------------------------------------

    def _transaction(self, before: Meta, meta: Meta) -> None:
        self.found.looked["I13"] += 1
        for name in ("seq", "consent", "outcome", "request", "control", "suppression"):
            if getattr(meta, name) < getattr(before, name):
                self._bad("I13", f"{name} went back from {getattr(before, name)} to {getattr(meta, name)}")
        recalls = self._recalls.get(meta.now_ms, {})
        if (meta.control, meta.suppression) != (before.control, before.suppression):
            self._doubt(before, meta)
        if meta.reviewed:
            self._review(meta, recalls)
        for offset in range(before.consent, meta.consent):
            if (record := self._records[CONSENT].get(offset)) and self._arrivals.mine(CONSENT, "consent", record):
                self._consent(record, meta, recalls)
        for offset in range(before.outcome, meta.outcome):
            if (record := self._records[OUTCOMES].get(offset)) and self._arrivals.mine(OUTCOMES, "outcome", record):
                self._outcome(record, meta, recalls)
        seq = before.seq
        for offset in range(before.request, meta.request):
            if (record := self._records[REQUESTS].get(offset)) and self._arrivals.mine(REQUESTS, "request", record):
                seq = self._request(record, meta, seq)
        self.found.looked["I7"] += 1
        if seq != meta.seq and meta.seq >= before.seq:
            self._bad("I7", f"a transaction carries {seq - before.seq} decisions and says {meta.seq - before.seq}")
        self._overdue(meta)
        self._written(meta)

    def _written(self, meta: Meta) -> None:
        """Who was decided is written, and every state says until when its open approvals are open."""
        states = self._outputs.states[self._tx - 1]
        for key in self._decided:
            if key not in states:
                self._bad("I14", f"{key.decode()} was decided at {meta.seq} and is not written to the changelog")
        self._decided.clear()
        for key, value in states.items():
            self.found.looked["I14"] += 1
            contacts = self._subjects[key].contacts if key in self._subjects else []
            until = max((contact.until_ms for contact in contacts if contact.open(meta.now_ms)), default=0)
            # What was reported is judged with a policy, so a state may take a used approval for an open one.
            latest = max((c.until_ms for c in contacts if c.recalled is None and c.until_ms > meta.now_ms), default=0)
            told = int.from_bytes(value[1:7], "big")
            if value and not until <= told <= latest:
                self._bad("I14", f"the state of {key.decode()} at {meta.seq} is open until {told}, not {until}")

    def _fate(self, kind: str, record: Record, reason: str | None) -> None:
        """A record that must (reason) or must not (None) be a dead letter."""
        name = f"{kind}/{self._p}/{record.offset}"
        self.found.looked["I6"] += 1
        letter = self._letters.take(kind, self._p, record)
        if reason is None:
            if letter is not None:
                self._bad("I6", f"{name} is good and became a dead letter ({letter})")
        elif letter is None:
            self._bad("I6", f"{name} must be a dead letter ({reason}) and is none")
        elif letter != reason:
            self._bad("I8", f"{name} became a dead letter for {letter}, not for {reason}")

    def _consent(self, record: Record, meta: Meta, recalls: dict[str, Recall]) -> None:
        read = self._read(CONSENT, "consent", record)
        told = "scope.unknown_word" if read.reason is None and news(read.message) else read.reason
        self.found.seen["unknown_words"] += told == "scope.unknown_word"
        self._fate("consent", record, told)
        self.found.seen["widest_readings"] += bool(read.widest)
        for key, message, at_ms in self._events(record, read):
            subject = self._subjects[key]
            self.found.seen["erasures"] += message["type"] == "subject.erased"
            known = self._illegal(subject, record, meta)
            gone = subject.apply(message, at_ms, self._arrival(record, message))
            for contact in gone:
                if contact.open(record.timestamp_ms):
                    self._recall_now(contact, {"subject.erased"}, recalls, must=True)
            if message["type"] != "consent.granted":
                self._after_event(subject, record, meta, recalls, known)

    def _outcome(self, record: Record, meta: Meta, recalls: dict[str, Recall]) -> None:
        read = self._read(OUTCOMES, "outcome", record)
        reason = read.reason
        if reason is None:
            subject = self._subjects[record.key or b""]
            known = self._illegal(subject, record, meta)
            if not subject.outcome(read.message, read.at_ms, self._arrival(record, read.message)):
                reason = "outcome.unknown_request"
            if read.message["outcome"] in ("unsubscribed", "complained", "wrong_number"):
                self._after_event(subject, record, meta, recalls, known)
        self._fate("outcome", record, reason)

    def _illegal(self, subject: Subject, record: Record, meta: Meta) -> dict[str, set[str]]:
        """The open approvals that are forbidden, by what; `now` of an event is its record's timestamp (rule 35)."""
        found = {}
        for contact in subject.contacts:
            if contact.open(record.timestamp_ms):
                at_ms = max(record.timestamp_ms, contact.at_ms)
                if words := subject.forbids(contact.request, self._world, meta.control, meta.suppression, at_ms):
                    found[contact.approval_id] = words
        return found

    def _after_event(
        self, subject: Subject, record: Record, meta: Meta, recalls: dict[str, Recall], known: dict[str, set[str]]
    ) -> None:
        """What an event about the person made illegal is recalled in the same transaction, however late that comes."""
        # What was forbidden before is no reason: opt-outs of a transaction are applied before older outcomes.
        illegal = self._illegal(subject, record, meta)
        for contact in subject.contacts:
            if words := illegal.get(contact.approval_id):
                must = _personal(words) and not _personal(known.get(contact.approval_id, set()))
                self._recall_now(contact, words, recalls, must=must)

    def _recall_now(self, contact: Contact, words: set[str], recalls: dict[str, Recall], *, must: bool) -> None:
        self.found.looked["I22"] += 1
        told = recalls.get(contact.approval_id)
        explained = told is not None and told.reason in {recall_word(word) for word in words}
        if not explained and not must:
            return  # this event perhaps said nothing new: another one of the transaction must explain the recall
        if told is None:
            contact.recalled = "missing"
            self._bad("I22", f"{contact.approval_id} became illegal ({', '.join(sorted(words))}), not recalled")
            return
        del recalls[contact.approval_id]
        contact.recalled = told.reason
        self.found.seen["recalls_by_event"] += must
        if not explained:
            self._bad("I22", f"{contact.approval_id} was recalled as {told.reason}, not {sorted(words)}")
        if told.topic != APPROVALS + contact.request["requester"]:
            self._bad("I22", f"{contact.approval_id} was recalled on {told.topic}")

    # --- reviews after the world changed --------------------------------------------------------------------------

    def _review(self, meta: Meta, recalls: dict[str, Recall]) -> None:
        for approval_id in list(recalls):
            key, contact = self._issued.get(approval_id, (b"", None))
            if contact is not None and key <= meta.reviewed and contact.open(meta.now_ms):
                words = self._forbidden(key, contact, meta)
                if words:
                    self.found.seen["recalls_by_review"] += 1
                    self._recall_now(contact, words, recalls, must=False)

    def _forbidden(self, key: bytes, contact: Contact, meta: Meta) -> set[str]:
        at_ms = max(meta.now_ms, contact.at_ms)
        return self._subjects[key].forbids(contact.request, self._world, meta.control, meta.suppression, at_ms)

    def _doubt(self, before: Meta, meta: Meta) -> None:
        """Open approvals that the world forbids from now on: they must be recalled soon."""
        self._open = [(key, contact) for key, contact in self._open if contact.open(meta.now_ms)]
        looked: list[tuple[bytes, Contact]] = []
        if meta.control != before.control:
            looked = self._open
        elif meta.suppression != before.suppression:
            for address, stops in self._world.suppressions.items():
                if any(before.suppression <= stop.since < meta.suppression for stop in stops):
                    looked += self._by_address.get(address, ())
        for key, contact in looked:
            if contact.doubt_tx < 0 and contact.open(meta.now_ms) and self._forbidden(key, contact, meta):
                contact.doubt_tx, contact.doubt_ms = self._tx, meta.now_ms
                self._doubted.append((key, contact))

    def _overdue(self, meta: Meta) -> None:
        if not self._doubted:
            return
        kept = []
        for key, contact in self._doubted:
            if not contact.open(meta.now_ms) or not self._forbidden(key, contact, meta):
                contact.doubt_tx = -1
                continue
            waited = meta.now_ms - contact.doubt_ms
            if waited > _RECALL_MS and self._tx - contact.doubt_tx > _RECALL_TRANSACTIONS:
                self._bad("I22", f"{contact.approval_id} is forbidden and open for {waited} ms")
                continue
            kept.append((key, contact))
        self._doubted = kept

    def _leftover(self, now_ms: int) -> None:
        for recall in self._recalls.pop(now_ms, {}).values():
            self._bad("I22", f"{recall.approval_id} was recalled ({recall.reason}) without a cause")

    # --- requests -------------------------------------------------------------------------------------------------

    def _request(self, record: Record, meta: Meta, seq: int) -> int:
        read = self._read(REQUESTS, "request", record)
        decision = self._decisions.pop(record.offset, None)
        if read.reason is not None:
            self._fate("request", record, read.reason)
            self._outputs.refusals.of_letter(record.value)
            if decision is None:
                return seq
            self._bad("I6", f"request {record.offset} is no message ({read.reason}) and was decided")
            return seq + 1
        self._fate("request", record, None)
        if decision is None:
            self._bad("I6", f"request {record.offset} was covered by a transaction and not decided")
            return seq
        self._identity(record, read.message, decision, meta, seq)
        self._barrier(record, decision)
        self._judge(record, read.message, decision, meta)
        return int(decision["seq"]) + 1  # one that is missing is one finding, not one for all that follow

    def _identity(self, record: Record, asked: dict[str, Any], decision: dict[str, Any], meta: Meta, seq: int) -> None:
        name = f"request {record.offset}"
        self.found.looked["I5"] += 1
        if any(decision[each] != asked[each] for each in ("request_id", "subject_id", "requester", "channel")):
            self._bad("I5", f"{name} was decided as if it were another one")
        position = decision["position"]
        if decision["seq"] != seq or (position["partition"], position["consent"], position["outcome"]) != (
            self._p, meta.consent, meta.outcome,
        ) or (position["control"], position["suppression"]) != (meta.control, meta.suppression):  # fmt: skip
            self._bad("I7", f"{name} does not fit the transaction it lies in")
        if instant(decision["decided_at"]) < record.timestamp_ms:
            self._bad("I12", f"{name} was decided before it was appended")

    def _barrier(self, record: Record, decision: dict[str, Any]) -> None:
        """Everything acknowledged before the request was sent lies below the positions it was decided at."""
        invoked_ns, _ = self._ack_ns(record)
        position = decision["position"]
        self.found.looked["I12"] += 1
        for topic, partition, name in (
            (CONSENT, self._p, "consent"), (OUTCOMES, self._p, "outcome"),
            (CONTROL, 0, "control"), (SUPPRESSIONS, 0, "suppression"),
        ):  # fmt: skip
            end = self._journal.acknowledged(topic, partition, invoked_ns)
            if position[name] < end:
                self._bad("I12", f"request {record.offset} was decided at {name} {position[name]}, below {end}")

    def _judge(self, record: Record, asked: dict[str, Any], decision: dict[str, Any], meta: Meta) -> None:
        subject = self._subjects[record.key or b""]
        now_ms = instant(decision["decided_at"])
        passed = decision["verdict"] == "pass"
        told = {family(reason["rule"]) for reason in decision["reasons"]}
        self.found.seen["requests"] += 1
        self.found.seen["passes" if passed else "blocks"] += 1
        self._direct(record, asked, passed=passed)
        if not passed and not told:
            self._bad("I10", f"request {record.offset} was blocked without a reason")
        forbidden = subject.forbids(asked, self._world, meta.control, meta.suppression, now_ms)
        known = subject.approval(asked["request_id"])
        if known is not None and known.at_ms <= now_ms - _DEDUP_MS:
            known = None
        again = is_again(known, asked, now_ms)
        if decision["duplicate"] != again:
            self._bad(
                "I3", f"request {record.offset} is {'' if again else 'not '}a repetition and was answered otherwise"
            )
        repeats = Repeats(self.found, self._outputs, f"partition {self._p}: request {record.offset}")
        differs = None if known is None else known.differs(asked)
        if not passed:
            self._outputs.refusals.of_block(decision, differs or ("request_id" if again else None))
        if differs is not None:
            repeats.conflict(decision, differs)
        elif known is not None and again:
            repeats.answer(decision, known, forbidden, told, now_ms)
        else:
            self._fresh(record, subject, asked, decision, forbidden, told, now_ms)

    def _direct(self, record: Record, asked: dict[str, Any], *, passed: bool) -> None:
        """The first promise without any model: no consent at all is newer than an opt-out that was acknowledged."""
        key = record.key or b""
        invoked_ns, _ = self._ack_ns(record)
        self.found.looked["I1"] += 1
        for acked_ns, out in self._opt_outs.get(key, ()):
            if acked_ns < invoked_ns and out.names(asked):
                self.found.seen["opt_out_to_request_below_5_ms"] += invoked_ns - acked_ns < _GAP_NS
                if not passed or (out.recipients is not None and asked["requester"] not in out.recipients):
                    continue
                skew_ms, granted = self._policy.skew_ms, self._granted.get(key, ())
                if not any(given.names(asked) and out.ended_by(given, skew_ms) for given in granted):
                    self._bad("I1", f"request {record.offset} passed after an opt-out that was acknowledged before")

    def _fresh(
        self, record: Record, subject: Subject, asked: dict[str, Any], decision: dict[str, Any],
        forbidden: set[str], told: set[str], now_ms: int,
    ) -> None:  # fmt: skip
        name = f"request {record.offset}"
        used = {cap: subject.used(cap, asked, now_ms) for cap in self._policy.caps if cap.about(asked)}
        full = {cap.rule for cap, count in used.items() if count >= cap.limit}
        expected = forbidden | full
        passed = decision["verdict"] == "pass"
        old = "consent" in forbidden and any(g.at_ms <= w.at_ms for g in subject.grants for w in subject.withdrawals)
        self.found.looked.update(("I1b", "I2", "I2b", "I10") + ("I15",) * old + ("I17",) * ("subject.erased" in told))
        self.found.seen["cap_blocks"] += bool(told & full)
        self.found.seen["skewed_opt_outs"] += "consent" in forbidden and subject.skewed(asked)
        self.found.seen["lasting_flags"] += any(f"subject.{flag}" in forbidden for flag in LASTING)
        if "address.suppressed" in forbidden and asked["spelled"] != asked["address"]:
            self.found.looked["I18"] += 1
            self.found.seen["suppressed_in_another_spelling"] += not passed
            if passed:
                self._bad("I18", f"{name} passed for another spelling of an address that is suppressed")
        if passed and expected:
            self._bad("I10", f"{name} passed and must not: {', '.join(sorted(expected))}")
            if full:
                self._bad("I2", f"{name} passed at {', '.join(f'{c.rule} {n} of {c.limit}' for c, n in used.items())}")
            if "subject.erased" in forbidden:
                self._bad("I17", f"{name} passed after an erasure without a newer consent")
            if old:
                self._bad("I15", f"{name} passed on a consent that is older than its withdrawal")
            if forbidden:
                self._bad("I1", f"{name} passed against {', '.join(sorted(forbidden))}")
        elif not passed and not expected:
            caps_only = told and all(word.startswith("cap.") for word in told)
            self._bad("I2b" if caps_only else "I1b", f"{name} was blocked by {sorted(told)} and nothing forbids it")
        elif told != expected and not passed:
            self._bad("I2b" if told - expected and all(w.startswith("cap.") for w in told - expected) else "I10",
                      f"{name} was blocked by {sorted(told)}, not by {sorted(expected)}")  # fmt: skip
        if not passed and told == expected and told and told == full:
            self._next(name, subject, asked, decision, now_ms)
        contact = None
        if passed:
            until = min(now_ms + self._policy.ttl_ms, subject.consented_until(asked, now_ms) or NEVER)
            if decision["valid_until"] is None or decision["approval_ref"] is None:
                self._bad("I21", f"{name} passed without an approval")
            elif instant(decision["valid_until"]) != until and not expected:
                self._bad("I10", f"{name} is valid until {decision['valid_until']}, not {until}")
            contact = Contact(now_ms, until, asked, decision["approval_ref"] or "")
            self.found.seen["cap_exactly_reached"] += any(count == cap.limit - 1 for cap, count in used.items())
            self._issue(record.key or b"", subject, contact, decision)
            self._decided.add(record.key or b"")

    def _next(self, name: str, subject: Subject, asked: dict[str, Any], decision: dict[str, Any], now_ms: int) -> None:
        """Of a block by caps alone: `next_eligible_at` is the first instant at which enough places have become free."""
        caps = [cap for cap in self._policy.caps if cap.about(asked)]
        first = now_ms
        while full := [cap for cap in caps if subject.used(cap, asked, first) >= cap.limit]:
            first = min(subject.frees(cap, asked, first) for cap in full)
        if subject.consented_until(asked, first):
            told = decision["next_eligible_at"]
            if told is None or instant(told) != first:
                self._bad("I10", f"{name} is told to come back at {told}, not at {first}")

    def _issue(self, key: bytes, subject: Subject, contact: Contact, decision: dict[str, Any]) -> None:
        asked, name = contact.request, contact.approval_id
        if decision["approval_ref"] is not None:
            self._outputs.approval(decision, asked)
        if name in self._issued:
            self._bad("I21", f"{name} was given twice")
        self._issued[name] = (key, contact)
        subject.contacts.append(contact)
        self._open.append((key, contact))
        self._by_address[asked.get("address") or ""].append((key, contact))

    # --- the end --------------------------------------------------------------------------------------------------

    def _end(self, last: Meta) -> None:
        for offset in self._decisions:
            self._bad("I5", f"a decision of request {offset}, which no transaction covers")
        self._outputs.refusals.rest()
        for approval_id in (*self._outputs.approved, *self._outputs.again):
            self._bad("I21", f"{approval_id} was sent without a pass")
        for topic, name in ((CONSENT, "consent"), (OUTCOMES, "outcome"), (REQUESTS, "request")):
            position = getattr(last, name)
            self.found.looked["I20"] += 1
            left = [offset for offset in self._records[topic] if offset >= position]
            if left:
                self._bad("I20", f"{len(left)} records of {topic} from {left[0]} on have no fate")
            if self._committed.get(topic) is not None and self._committed[topic] != position:
                self._bad("I7", f"the group stands at {self._committed[topic]} of {topic}, the changelog at {position}")
        self._state(last)

    def _state(self, last: Meta) -> None:
        """The last record of every key against what must be known; chain heads are compared by the chain's check."""
        values = {record.key: record.value for record in self._outputs.changelog if record.key != META}
        held = {key for key, value in values.items() if value}
        for key, subject in self._subjects.items():
            self.found.looked["I14"] += 1
            if subject.known and key not in held:
                self._bad("I14", f"the changelog knows nothing of {key.decode()}")
        for key in held:
            known = self._subjects.get(key or b"")
            if known is None or not known.known:
                self._bad("I14", f"the changelog knows {(key or b'').decode()}, of whom nothing is known")
        self.found.looked["tail"] = max(self.found.looked["tail"], last.seq)


def _personal(words: set[str]) -> bool:
    """Whether the person forbids, and not the world alone, for which a review looks."""
    return any(not word.startswith(("pause.", "address.")) for word in words)

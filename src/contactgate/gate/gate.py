"""One `Gate` per input partition: consent, outcome and request records become states, decisions, approvals, recalls.

INVARIANT (one fate): every record given to a gate becomes exactly one of: an applied event, a decision, a dead letter,
or, unchanged, a record for the relay when another partition owns its key. A restricting record that cannot be read
whole becomes a dead letter *and* binds at its widest reading (codec.widest), through the relay in other partitions.
INVARIANT (reserve before emit): the state that holds an approval's place is put before its approval is in `out`; the
caller commits both or neither. Must never look at a clock, do I/O, or raise on input.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec

from contactgate.codec import emit, strict
from contactgate.codec import messages as read
from contactgate.codec.asking import asking
from contactgate.codec.closing import Closing
from contactgate.codec.handles import Handle, Handles
from contactgate.codec.restrictions import Widest
from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.core.apply import apply
from contactgate.core.closing import closures, openings
from contactgate.core.decide import decide
from contactgate.core.refusal import refusal
from contactgate.core.review import review
from contactgate.core.superseded import superseded
from contactgate.core.told import Told, told
from contactgate.core.vocabulary import Unknown, Vocabulary
from contactgate.core.world import World
from contactgate.errors import MalformedMessage, StoreError
from contactgate.gate.carrying import Carrier
from contactgate.gate.letters import DeadLetters, check_time, ours, unknown_word
from contactgate.gate.reporting import Reporter, names_approval, news, opts_out
from contactgate.model import events
from contactgate.model.decision import Decision, Recall, Refusal
from contactgate.model.facts import Closure, Reason, SubjectState
from contactgate.model.instants import to_ms
from contactgate.model.log import CARRIED_MOST, NO_HEADERS, Headers, Origin, Out, Position, Record, States
from contactgate.model.messages import ContactOutcome, ContactRequested
from contactgate.model.request import Request
from contactgate.model.synonyms import shown
from contactgate.names import Kind

SubjectStates = States[SubjectState]


class Gate:
    """One input partition: its audit chain, and what its records become."""

    def __init__(
        self,
        tokens: Tokens,
        world: World,
        *,
        partition: int,
        seq: int,
        prev: str,
        source: str | None,
        sealer: Sealer | None,
        strict_partition: int | None = None,
        requesters: frozenset[str] | None = None,
        trusting: bool = False,
    ) -> None:
        """`strict_partition`: how many partitions there are, to carry misplaced keys; None: do not check.

        `source`: the CloudEvents source; None: no headers (offline). `requesters`: who has an approvals topic; None:
        everybody (offline). `seq` is the next decision's number. `trusting`: outcomes need no proof (offline).
        """
        self._tokens = tokens
        self._world = world
        self._handles = Handles(tokens)
        self._reporter = Reporter(self._handles, trusting=trusting)
        self._widest = Widest(self._handles, trusting=trusting)
        self._partition = partition
        self._letters = DeadLetters(source, sealer)
        self._events = emit.CloudEvents(source) if source else None
        self._closing = Closing(tokens)
        self._carrier = Carrier(tokens, partition, strict_partition)
        self.requesters = requesters
        self.seq = seq
        self.prev = prev
        self.key = tokens.fingerprint
        self.out: list[Out] = []
        self.superseded = 0  # restrictions that a newer permission kept from binding; the caller sets it back

    def origin(self, rec: Record) -> Origin | None:
        """Where a record comes from, if the relay appended it."""
        return self._carrier.origin(rec)

    # --- events ---------------------------------------------------------------------------------------------------

    def consent(self, rec: Record, states: SubjectStates) -> None:
        """Apply one record of consent-events."""
        self._event(rec, states)

    def outcome(self, rec: Record, states: SubjectStates) -> None:
        """Apply one record of contact-outcomes."""
        self._event(rec, states)

    def _event(self, rec: Record, states: SubjectStates) -> None:
        try:
            message = self._read(rec)
        except MalformedMessage as fault:
            self._refuse(rec, fault, states)
        else:
            if message is not None:
                self.take_event(message, to_ms(message.time), rec, states)

    def take_event(self, message: Any, at_ms: int, rec: Record, states: SubjectStates) -> None:
        """The rest of `consent` and `outcome` for a message that is already read and whose key is right."""
        try:
            check_time(at_ms, rec.arrived_ms)
            event: events.SubjectEvent
            if type(message) is ContactOutcome:
                handle = self._reporter.handle(message)
                if handle is not None and handle.partition != self._partition:
                    self._elsewhere(rec, handle)
                    return
                subject_id, event = self._reporter.event(message, at_ms, rec.arrived_ms, handle)
            else:
                subject_id = message.subject_id
                event = read.event(message, at_ms, rec.arrived_ms, self._tokens)
            subject = subject_id.encode()
            self._apply(subject, subject_id, event, rec, states)
            unknown = _unknown(event, self._world.vocabulary)
            if unknown is not None:
                restricts = not isinstance(event, events.GrantGiven)
                self.out.append(self._letters.letter(rec, unknown_word(unknown), restricts=restricts))
            if (strange := read.unknown_places(event)) is not None:
                self.out.append(self._letters.letter(rec, strange))
            if (told := news(event, states.get(subject), self._world.policy)) is not None:
                self.out.append(self._letters.letter(rec, told, restricts=opts_out(event, self._world.policy)))
        except MalformedMessage as fault:
            self._refuse(rec, fault, states)
        except StoreError:  # not the record's fault: the caller rebuilds its store and reads the record again
            raise
        except Exception as error:  # noqa: BLE001  a fault of ours must not stop the stream; a restriction still binds
            self._refuse(rec, ours(error), states)

    def _elsewhere(self, rec: Record, handle: Handle) -> None:
        """Give an outcome to the relay: it goes to the partition of its approval, without an alert."""
        if rec.origin is not None or not self._carrier.carries:
            raise MalformedMessage("partition.wrong", "another partition owns this approval, and it cannot be carried")
        self.out.append(self._carrier.named(rec, handle.subject_id.encode(), 0))

    def _read(self, rec: Record) -> Any:
        """The message; None when the record is carried to the partition that owns its key."""
        if rec.value is None:
            raise MalformedMessage("value.missing", "the record has no value")
        message = strict.decode(rec.kind, rec.value)
        if type(message) is ContactOutcome and names_approval(message):
            return message  # whose it is, the handle says, whatever the key is
        return message if self._mine(rec, message) else None

    def _mine(self, rec: Record, message: Any) -> bool:
        """Whether the key is right and this partition owns it; a record of another one is given to the relay."""
        key = rec.key
        if not key:
            raise MalformedMessage("key.missing", "the record has no key; it must be the subject_id")
        if not message.subject_id:  # an outcome may do without it, but then not without its approval
            raise MalformedMessage("field.missing", "`approval_id` is missing, or `subject_id` and `request_id`")
        if key != message.subject_id.encode():
            raise MalformedMessage("key.mismatch", "the record's key is not its subject_id", "subject_id")
        if not self._carrier.here(key):
            if rec.origin is not None:
                raise MalformedMessage("partition.wrong", "another partition owns this key, though it was carried here")
            self.out.append(self._carrier.misrouted(rec))
            return False
        return True

    def _apply(
        self, subject: bytes, subject_id: str, event: events.SubjectEvent, rec: Record, states: SubjectStates
    ) -> None:
        before = states.get(subject)
        after, recalls = apply(event, before, self._world, rec.timestamp_ms)
        if after is not before:
            states.put(subject, after)
            if superseded(before, after, self._world):
                self.superseded += 1
        if recalls:
            self._recall(subject_id, recalls, rec.timestamp_ms)
        if after is not before:
            for lost in told(event, before, after, self._world, rec.timestamp_ms, self.requesters):
                self._tell(subject_id, lost)
            if after.profile.closed:
                self._write(subject_id, event, before, after, rec)

    def _write(
        self, subject_id: str, event: events.SubjectEvent, before: SubjectState, after: SubjectState, rec: Record
    ) -> None:
        """Give the relay the suppressions that an outcome asks for, and the releases that a consent does."""
        writes, world = self._closing, self._world
        made = [(each.address, writes.suppression(subject_id, each)) for each in closures(before, after)]

        def binds(one: Closure) -> bool:
            name = writes.event_id(subject_id, one)
            return any(each.event_id == name for each in world.suppressed(one.address))

        opened = openings(event, before, after, world, binds)
        made += [(each.address, writes.release(subject_id, each)) for each in opened]
        for index, (address, value) in enumerate(made):
            self.out.append(self._carrier.out(rec, Kind.SUPPRESSION, address.encode(), value, index))

    def _tell(self, subject_id: str, lost: Told) -> None:
        """What a requester loses by an event, on its own topic."""
        token = self._tokens.subject(lost.requester, subject_id)
        value = emit.withdrawn(lost, token)
        name = blake2b(lost.event_id.encode() + b"\0" + value, digest_size=16).hexdigest()
        headers = self._headers("permission.withdrawn", f"pw-{name}", lost.time_ms)
        self.out.append(Out(Kind.APPROVAL, lost.requester, token.encode(), value, headers))

    def _headers(self, type_: str, name: str, at_ms: int) -> Headers:
        """The CloudEvents headers of one record; none offline."""
        return NO_HEADERS if self._events is None else self._events.headers(type_, name, at_ms)

    def _hears(self, requester: str) -> bool:
        """Whether a requester has a topic to be told on."""
        return self.requesters is None or requester in self.requesters

    def _recall(self, subject_id: str, recalls: tuple[Recall, ...], at_ms: int) -> None:
        for recalled in recalls:
            token = self._tokens.subject(recalled.requester, subject_id)
            request_id, approved_ms = recalled.request_id, recalled.approved_ms
            approval_id = self._seal(subject_id, request_id, recalled.requester, approved_ms)
            reference = self._handles.reference(approval_id)
            if not recalled.has_handle:
                approval_id = self._tokens.approval(subject_id, request_id, approved_ms)
            value = emit.recall(recalled, approval_id, reference, self._partition, token)
            headers = self._headers("contact.recalled", f"{reference}-recalled", at_ms)
            self.out.append(Out(Kind.APPROVAL, recalled.requester, token.encode(), value, headers))

    def _seal(self, subject_id: str, request_id: str, requester: str, approved_ms: int) -> str:
        """The handle of an approval."""
        return self._handles.seal(Handle(subject_id, request_id, requester, self._partition, approved_ms))

    # --- what cannot be read whole --------------------------------------------------------------------------------

    def _refuse(self, rec: Record, fault: MalformedMessage, states: SubjectStates) -> None:
        elsewhere: dict[bytes, None] = {}
        restricts = False
        if rec.value is not None:
            for subject_id, event in self._widest.restrictions(rec, fault):
                restricts = True
                subject = subject_id.encode()
                if self._carrier.here(subject):
                    self._apply(subject, subject_id, event, rec, states)
                else:
                    elsewhere[subject] = None
        if len(elsewhere) > CARRIED_MOST:
            more = f"; it names more than {CARRIED_MOST} subjects of other partitions, the others are not bound"
            fault = MalformedMessage(fault.reason, fault.detail + more, fault.field)
        self.out.append(self._letters.letter(rec, fault, restricts=restricts))
        if rec.origin is None:
            for index, subject in enumerate(islice(elsewhere, CARRIED_MOST)):
                self.out.append(self._carrier.named(rec, subject, index))
        self._answer(rec, fault)

    def _answer(self, rec: Record, fault: MalformedMessage) -> None:
        """Tell the requester of a request that cannot be read whole, if who asked can be read of it."""
        asked = asking(rec.kind, rec.value)
        if asked is None or not self._hears(asked.requester):
            return
        named = asked.subject_id
        token = None if named is None else self._tokens.subject(asked.requester, named)
        # A fault of ours is not the requester's, and says nothing about the person.
        ours_it_is = fault.reason == "processing.failed"
        field = None if fault.field is None else shown(fault.field)
        told = Refusal("not_permitted") if ours_it_is else Refusal("malformed", field)
        name = f"{rec.kind}-{rec.partition}-{rec.offset}-refused"
        value = emit.refusal(asked.request_id, token, asked.channel, told)
        headers = self._headers("contact.refused", name, max(rec.timestamp_ms, 0))
        self.out.append(Out(Kind.APPROVAL, asked.requester, None if token is None else token.encode(), value, headers))

    def refuse(self, rec: Record, states: SubjectStates) -> None:
        """Turn a record that belongs on no topic at all into a dead letter, at its widest reading."""
        try:
            if rec.value is not None:
                strict.topic_of(strict.load(rec.value))
            raise MalformedMessage("value.missing", "the record has no value")
        except MalformedMessage as fault:
            self._refuse(rec, fault, states)

    # --- requests -------------------------------------------------------------------------------------------------

    def request(self, rec: Record, states: SubjectStates, now_ms: int, position: Position) -> None:
        """Decide one record of contact-requests."""
        malformed = None
        try:
            try:
                message = self._read(rec)
            except strict.NearMiss as near:
                if near.message is None:
                    raise
                # Whose request it is can be read: it is answered with the key that is wrong.
                message, malformed = near.message if self._mine(rec, near.message) else None, near.field
        except MalformedMessage as fault:
            self._refuse(rec, fault, states)
        else:
            if message is not None:
                self.take_request(message, to_ms(message.time), rec, states, now_ms, position, malformed)

    def take_request(
        self,
        message: ContactRequested,
        at_ms: int,
        rec: Record,
        states: SubjectStates,
        now_ms: int,
        position: Position,
        malformed: str | None = None,
    ) -> None:
        """The rest of `request` for a message that is already read and whose key is right.

        `malformed`: the key that makes it so, if one does.
        """
        tokens, world = self._tokens, self._world
        try:
            check_time(at_ms, rec.arrived_ms)
            region = None if world.policy is None else world.policy.limits.default_region
            request = read.request(message, at_ms, tokens, region)
            if malformed is not None:
                request = msgspec.structs.replace(request, malformed=malformed)
        except MalformedMessage as fault:
            self._refuse(rec, fault, states)
            return
        except Exception as error:  # noqa: BLE001  a fault of ours must not stop the stream
            self._refuse(rec, ours(error), states)
            return
        subject = rec.key or b""
        before = states.get(subject)
        made, after = decide(request, before, world, now_ms)
        if not self._hears(request.requester):
            made, after = _without_topic(made, before, after)
        if after is not before:
            states.put(subject, after)
        self._publish(request, made, subject, position)

    def _publish(self, request: Request, made: Decision, subject: bytes, position: Position) -> None:
        """The decision, and what its requester is told on its own topic: the approval or the refusal."""
        world, seq = self._world, self.seq
        requester, decided_ms, approved_ms = request.requester, made.decided_ms, made.approved_ms
        approval_id = reference = None
        if approved_ms is not None:
            approval_id = self._seal(request.subject_id, request.request_id, requester, approved_ms)
            reference = self._handles.reference(approval_id)
        value, self.prev = emit.decision(
            request=request,
            made=made,
            approval_ref=reference,
            policy=None if world.policy is None else world.policy.hash,
            position=position,
            seq=seq,
            prev=self.prev,
        )
        self.seq = seq + 1
        headers = self._headers("contact.decided", f"{self._partition}-{seq}", decided_ms)
        self.out.append(Out(Kind.DECISION, requester, subject, value, headers))
        if not self._hears(requester):
            return
        token = self._tokens.subject(requester, request.subject_id)
        if approval_id is not None and reference is not None:
            value = emit.approval(made, request, approval_id, reference, self._partition, token)
            kind, name = "contact.approved", reference
        else:
            value = emit.refusal(request.request_id, token, request.channel, refusal(made))
            kind, name = "contact.refused", f"{self._partition}-{seq}-refused"
        headers = self._headers(kind, name, decided_ms)
        self.out.append(Out(Kind.APPROVAL, requester, token.encode(), value, headers))

    def review(self, subject: bytes, states: SubjectStates, now_ms: int) -> None:
        """Check a subject's open approvals again after the world changed; recalls those that became illegal."""
        before = states.get(subject)
        after, recalls = review(before, self._world, now_ms)
        if after is not before:
            states.put(subject, after)
        if recalls:
            self._recall(subject.decode(), recalls, now_ms)


def _unknown(event: events.SubjectEvent, known: Vocabulary) -> Unknown | None:
    """The first word of an event that nobody knows. It is news of the record, and changes nothing."""
    if isinstance(event, events.GrantGiven):
        given = event.grant
        return known.unknown_in_grant(given.channels, given.purposes, given.categories)
    if isinstance(event, events.ConsentWithdrawn):
        said = event.withdrawal
        return known.unknown(
            channels=said.channels,
            purposes=said.purposes,
            controllers=None if said.controller is None else (said.controller,),
            recipients=said.recipients,
        )
    if isinstance(event, events.ComplaintReceived):
        return known.unknown(
            channels=None if event.channel is None else (event.channel,),
            controllers=None if event.controller is None else (event.controller,),
        )
    if isinstance(event, events.ProfileUpdated):
        return next((Unknown("flags", flag) for flag in event.flags or () if not known.knows_flag(flag)), None)
    return None


def _without_topic(made: Decision, before: SubjectState, after: SubjectState) -> tuple[Decision, SubjectState]:
    """Block a request whose requester has no approvals topic: nobody would read its approval, or its recall."""
    reason = Reason("party.unknown", "the requester has no approvals topic", None)
    if made.reasons:
        blocked = msgspec.structs.replace(made, reasons=(*made.reasons, reason), next_eligible_ms=None, assumes=())
        return blocked, after
    blocked = Decision(
        reasons=(reason,),
        next_eligible_ms=None,
        valid_until_ms=None,
        decided_ms=made.decided_ms,
        categories=made.categories,
    )
    return blocked, before

"""Folds control-events and address-suppressions into the world that all partitions of a worker share.

What cannot be read whole is a dead letter, and stops at its widest reading what it would have stopped. Does no I/O: a
list that an event points to is opened by a function it is given.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from contactgate.codec import control, strict
from contactgate.codec import messages as read
from contactgate.codec.origins import Origins
from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens, is_address_token
from contactgate.core.vocabulary import Unknown
from contactgate.core.world import Change, World
from contactgate.errors import MalformedMessage, PolicyError
from contactgate.gate import lists
from contactgate.gate.letters import DeadLetters, check_time, ours, unknown_word
from contactgate.model.control import (
    CampaignUpdated,
    ControlMessage,
    NoticePublished,
    PartyUpdated,
    PauseLifted,
    PauseSet,
    PolicyActivated,
    RegistryPublished,
)
from contactgate.model.instants import to_ms
from contactgate.model.log import Out, Record
from contactgate.model.messages import AddressReleased, AddressSuppressed
from contactgate.model.world import Campaign, Opened, Party, Pause, RegistryVersion
from contactgate.names import Kind
from contactgate.policy.load import load_policy


class WorldFeed:
    """Folds control-events and address-suppressions into the shared world. One per worker, fed in log order."""

    def __init__(
        self,
        tokens: Tokens,
        world: World,
        *,
        source: str | None,
        sealer: Sealer | None,
        open_list: Callable[[RegistryPublished], Opened] | None = None,
        keyed: bool = True,
    ) -> None:
        """`open_list` opens a list that an event points to, raising MalformedMessage; `keyed`: check record keys."""
        self._tokens = tokens
        self._world = world
        self._letters = DeadLetters(source, sealer)
        self._origins = Origins(tokens)
        self._open_list = open_list
        self._keyed = keyed
        self.out: list[Out] = []

    def control(self, rec: Record) -> Change | None:
        """Fold one control event; None when it changed nothing."""
        if rec.value is None:
            self._nothing(rec)
            return None
        key = None if rec.key is None else rec.key.decode("utf-8", "replace")
        try:
            message = control.decode(rec.value)
            if self._keyed and key not in control.key_of(message):
                raise MalformedMessage("key.mismatch", f"the record's key must be `{message.type.partition('.')[0]}:…`")
            check_time(message.time, rec.timestamp_ms)
            return self._fold(message, rec)
        except MalformedMessage as fault:
            return self._refuse(rec, rec.value, key, fault)
        except Exception as error:  # noqa: BLE001  a fault of ours must not stop the stream; a stop still binds
            return self._refuse(rec, rec.value, key, ours(error))

    def _nothing(self, rec: Record) -> None:
        """A record without a value: nothing replaces or removes by key, and nobody says who wants it."""
        fault = MalformedMessage("value.missing", "the record has no value; nothing is removed by that")
        self.out.append(self._letters.letter(rec, fault))

    def _refuse(self, rec: Record, value: bytes, key: str | None, fault: MalformedMessage) -> Change | None:
        change: Change | None = None
        for stop in control.restrictions(value, key, rec.timestamp_ms, rec.arrived_ms):
            change = self._more(change, self._stop(stop))
        for name, version, as_of_ms, listed in control.listings(value, key, rec.timestamp_ms, self._tokens):
            before = self._world.registries.get(name)
            change = self._more(change, self._listed(lists.beside(before, name, version, as_of_ms, listed)))
        self.out.append(self._letters.letter(rec, fault, restricts=change is not None))
        return change

    def _more(self, one: Change | None, other: Change | None) -> Change | None:
        """Two changes of the whole world as one."""
        if one is None or other is None:
            return other if one is None else one
        return Change(one.restricts or other.restricts, superseded=one.superseded or other.superseded)

    def _stop(self, value: Pause | Party | Campaign) -> Change:
        if isinstance(value, Pause):
            return self._world.put_pause(value)
        return self._world.put_party(value) if isinstance(value, Party) else self._world.put_campaign(value)

    def _fold(self, message: ControlMessage, rec: Record) -> Change | None:
        match message:
            case NoticePublished():
                return self._world.put_notice(message.value(rec.arrived_ms))
            case PartyUpdated():
                return self._party(message, rec)
            case CampaignUpdated():
                return self._world.put_campaign(message.value(rec.arrived_ms))
            case PauseSet():
                return self._pause(message, rec)
            case PauseLifted():
                return self._world.lift_pause(message.pause_id, message.value(rec.arrived_ms))
            case RegistryPublished():
                return self._registry(message, rec)
            case PolicyActivated():
                return self._policy(message, rec)

    def _pause(self, message: PauseSet, rec: Record) -> Change:
        scope = message.scope
        if scope is not None:
            for name in ("controllers", "requesters", "campaigns", "purposes", "channels"):
                read.refuse_everything(f"scope.{name}", getattr(scope, name))
            if scope.names_nobody:
                raise MalformedMessage("scope.suspicious", "`scope` holds an empty list; leave it out for all")
        pause = message.value(rec.arrived_ms)
        self._tell(
            rec,
            self._world.vocabulary.unknown(
                channels=pause.channels,
                purposes=pause.purposes,
                controllers=pause.controllers,
                recipients=pause.requesters,
                campaigns=pause.campaigns,
            ),
        )
        return self._world.put_pause(pause)

    def _party(self, message: PartyUpdated, rec: Record) -> Change:
        party = message.value(rec.arrived_ms)
        change = self._world.put_party(party)
        if party.status != "active":
            known = self._world.vocabulary
            told = (known.unknown(channels=each.channels, purposes=each.purposes) for each in party.agreements)
            self._tell(rec, next(filter(None, told), None))
        return change

    def _tell(self, rec: Record, unknown: Unknown | None, *, restricts: bool = True) -> None:
        """A dead letter about a word of a record that was applied."""
        if unknown is not None:
            self.out.append(self._letters.letter(rec, unknown_word(unknown), restricts=restricts))

    def _policy(self, message: PolicyActivated, rec: Record) -> Change:
        try:
            policy = load_policy(message.document)
        except PolicyError as error:
            first = error.faults[0]
            raise MalformedMessage("policy.invalid", f"{len(error.faults)} faults; the first: {first}") from None
        if message.policy is not None and message.policy != policy.hash:
            raise MalformedMessage("policy.hash_mismatch", f"the document with this version's packs is {policy.hash}")
        return self._world.put_policy(policy, message.time, rec.arrived_ms, message.event_id)

    def _registry(self, message: RegistryPublished, rec: Record) -> Change | None:
        check_time(message.as_of, rec.timestamp_ms)
        before = self._world.registries.get(message.registry)
        opened = None
        if message.source is not None:
            try:
                if self._open_list is None:
                    raise MalformedMessage("registry.source_unavailable", "lists in files cannot be opened here")
                opened = self._open_list(message)
            except MalformedMessage as fault:
                self.out.append(self._letters.letter(rec, fault))
                return self._listed(lists.closed(before, message))
        made = lists.publish(before, message, self._tokens, opened, self._region)
        if made.fault is not None:
            self.out.append(self._letters.letter(rec, made.fault))
        return self._listed(made.registry)

    def _listed(self, registry: RegistryVersion | None) -> Change | None:
        return None if registry is None else self._world.put_registry(registry)

    def suppression(self, rec: Record) -> Change | None:
        """Fold one address suppression or release; None when it changed nothing."""
        if rec.headers and (origin := self._origins.open(rec.headers, rec.kind, rec.key, rec.value)) is not None:
            rec = msgspec.structs.replace(rec, first_ms=origin.arrived_ms, origin=origin)
        if rec.value is None:
            self._nothing(rec)
            return None
        key = None if rec.key is None else rec.key.decode("utf-8", "replace")
        try:
            message = strict.decode(Kind.SUPPRESSION, rec.value)
            bound, half_read = self._bound(message, key)
            check_time(to_ms(message.time), rec.timestamp_ms)
            if isinstance(message, AddressReleased):
                return self._release(message, bound, rec)
            items = read.suppressions(message, rec.arrived_ms)
            told = (
                self._world.vocabulary.unknown(
                    channels=item.channels,
                    purposes=item.purposes,
                    controllers=None if item.controller is None else (item.controller,),
                    campaigns=item.campaigns,
                )
                for item in items
            )
            if rec.origin is None:  # not written by us
                self._tell(rec, next(filter(None, told), None))
            changes = [self._world.suppress(t, item) for item in items for t in bound]
            if half_read is not None:
                self.out.append(self._letters.letter(rec, half_read))
        except MalformedMessage as fault:
            stops = control.suppressions(rec.value, key, rec.timestamp_ms, rec.arrived_ms, self._tokens)
            changes = [self._world.suppress(token, item) for token, item in stops]
            self.out.append(self._letters.letter(rec, fault, restricts=bool(changes)))
        tokens = frozenset(token for change in changes for token in change.tokens or ())
        lost = any(change.superseded for change in changes)
        return Change(restricts=bool(tokens), tokens=tokens, superseded=lost) if tokens or lost else None

    def _release(self, message: AddressReleased, bound: tuple[str, ...], rec: Record) -> Change:
        """A release with a word that nobody knows now is told, and lifts nothing as long as nobody does."""
        release = read.release(message, rec.arrived_ms)
        self._tell(rec, self._world.vocabulary.unknown_in_release(release), restricts=False)
        for token in bound:
            self._world.release(token, release)
        return Change(restricts=False)

    def _bound(
        self, message: AddressSuppressed | AddressReleased, key: str | None
    ) -> tuple[tuple[str, ...], MalformedMessage | None]:
        """The tokens a message is about, its key among them; and what could not be read of a suppression."""
        channels = read.words(getattr(message, "channels", None) or None)
        half_read = None
        named: set[str] = set()
        if message.address_token:
            if not is_address_token(message.address_token):
                raise MalformedMessage("address.unreadable", "`address_token` is not a token of ours")
            named.add(message.address_token)
        if message.address:
            postal = getattr(message, "kind", None) == "postal"
            found, fault = self._tokens.bound(message.address, channels, self._region, postal=postal)
            if fault is not None:
                half_read = MalformedMessage("address.unreadable", fault)
                if not found or isinstance(message, AddressReleased):
                    raise half_read
            if named and not named.issubset(found):
                raise MalformedMessage("address.unreadable", "`address` and `address_token` are different addresses")
            named.update(found)
        if not named:
            raise MalformedMessage("field.missing", "`address` or `address_token` is missing")
        if self._keyed and key not in named:
            raise MalformedMessage("key.mismatch", "the record's key must be the address's token")
        return tuple(sorted(named)), half_read

    @property
    def _region(self) -> str | None:
        """Where the policy in force reads a number without `+`."""
        policy = self._world.policy
        return None if policy is None else policy.limits.default_region

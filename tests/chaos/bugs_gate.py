"""Seeded bugs of the gate and the core: patches of one function each, named with what they get wrong.

`BUGS`: name -> (what is wrong, how to put it in, the faults it needs). They are put into a worker process only, by
tests.chaos.bugs; the harness itself runs the product as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec
from tests.chaos.faults import Fault

from contactgate.codec import strict, tokens
from contactgate.core.rules import caps
from contactgate.gate import gate
from contactgate.gate import letters as records
from contactgate.model import events
from contactgate.model.facts import EMPTY, Reason

Put = Callable[[], None]
BUGS: dict[str, tuple[str, Put, tuple[Fault, ...]]] = {}
RARE = frozenset({"last-key-wins", "no-review", "spelling-counts"})
"""Bugs that something brings to light that comes once in thousands of messages."""


def _bug(name: str, what: str, *needed: Fault) -> Callable[[Put], Put]:
    def keep(put: Put) -> Put:
        BUGS[name] = (what, put, needed)
        return put

    return keep


def _around(place: Any, name: str) -> Callable[[Callable[..., Any]], None]:
    """Put a function around one of the product's: it gets the original first."""
    original = getattr(place, name)

    def put(outer: Callable[..., Any]) -> None:
        setattr(place, name, functools.wraps(original)(functools.partial(outer, original)))

    return put


def _around_method(name: str) -> Callable[[Callable[..., Any]], None]:
    original = getattr(gate.Gate, name)

    def put(outer: Callable[..., Any]) -> None:
        def method(self: Any, *arguments: Any) -> Any:
            return outer(functools.partial(original, self), self, *arguments)

        setattr(gate.Gate, name, method)

    return put


# --- deciding -----------------------------------------------------------------------------------------------------


@_bug("always-blocks", "every request is blocked")
def _always_blocks() -> None:
    @_around(gate, "decide")
    def _(decide: Any, request: Any, before: Any, world: Any, now_ms: int) -> Any:
        made, after = decide(request, before, world, now_ms)
        if made.reasons:
            return made, after
        reasons = (Reason("consent.missing", "none", None),)
        return msgspec.structs.replace(made, reasons=reasons, valid_until_ms=None, approved_ms=None), before


@_bug("never-blocks-consent", "a missing consent is no reason to block: not fail closed")
def _fails_open() -> None:
    @_around(gate, "decide")
    def _(decide: Any, request: Any, before: Any, world: Any, now_ms: int) -> Any:
        made, after = decide(request, before, world, now_ms)
        if made.reasons and all(reason.rule.startswith("consent") for reason in made.reasons):
            ends = now_ms + 20_000
            return msgspec.structs.replace(
                made, reasons=(), next_eligible_ms=None, valid_until_ms=ends, approved_ms=now_ms
            ), after
        return made, after


@_bug("cap-one-too-many", "`<=` for `<` in a cap")
def _one_too_many() -> None:
    _shift_caps(1)


@_bug("cap-one-too-few", "a cap is not used up")
def _one_too_few() -> None:
    _shift_caps(-1)


def _shift_caps(by: int) -> None:
    make = caps.CapRule.__init__

    def shifted(self: Any, *given: Any) -> None:
        make(self, *given)
        self._limit += by

    caps.CapRule.__init__ = shifted  # type: ignore[method-assign]


@_bug("no-reservation", "an approval does not take its place")
def _no_reservation() -> None:
    @_around(gate, "decide")
    def _(decide: Any, request: Any, before: Any, world: Any, now_ms: int) -> Any:
        made, after = decide(request, before, world, now_ms)
        return made, msgspec.structs.replace(after, contacts=before.contacts)


@_bug("event-clock", "a request is decided at the time its sender wrote, not at the broker's")
def _event_clock() -> None:
    @_around_method("take_request")
    def _(take: Any, self: Any, message: Any, at_ms: int, rec: Any, states: Any, now_ms: int, position: Any) -> None:
        take(message, at_ms, rec, states, at_ms, position)


@_bug("decides-twice", "one request in a hundred gets two decisions")
def _decides_twice() -> None:
    @_around_method("take_request")
    def _(take: Any, self: Any, message: Any, at_ms: int, rec: Any, *rest: Any) -> None:
        take(message, at_ms, rec, *rest)
        if rec.offset % 100 == 7:
            take(message, at_ms, rec, *rest)


@_bug("loses-requests", "one request in a hundred gets no decision")
def _loses() -> None:
    @_around_method("take_request")
    def _(take: Any, self: Any, message: Any, at_ms: int, rec: Any, *rest: Any) -> None:
        if rec.offset % 100 != 7:
            take(message, at_ms, rec, *rest)


@_bug("wrong-position", "a decision names the request before its own")
def _wrong_position() -> None:
    @_around_method("take_request")
    def _(take: Any, self: Any, message: Any, at_ms: int, rec: Any, states: Any, now_ms: int, position: Any) -> None:
        moved = msgspec.structs.replace(position, request=max(0, position.request - (position.request % 50 == 7)))
        take(message, at_ms, rec, states, now_ms, moved)


@_bug("swaps-order", "two requests change places in the output")
def _swaps() -> None:
    @_around_method("request")
    def _(take: Any, self: Any, rec: Any, *rest: Any) -> None:
        held = self.__dict__.setdefault("_held", [])
        if rec.offset % 40 == 7 and not held:
            held.append((rec, rest))
            return
        take(rec, *rest)
        if held:
            again, given = held.pop()
            take(again, *given)


# --- approvals and recalls ----------------------------------------------------------------------------------------


@_bug("approves-blocked", "an approval without a decision that passes")
def _approves_blocked() -> None:
    @_around_method("take_request")
    def _(take: Any, self: Any, *given: Any) -> None:
        before = len(self.out)
        take(*given)
        approvals = [out for out in self.out[before:] if out.kind == "approval"]
        last = self.__dict__.get("_last")
        if not approvals and last is not None and given[2].offset % 50 == 7:
            self.out.append(last)
        if approvals:
            self._last = approvals[-1]


@_bug("loses-approvals", "one approval in fifty is not told")
def _loses_approvals() -> None:
    @_around_method("take_request")
    def _(take: Any, self: Any, *given: Any) -> None:
        take(*given)
        if given[2].offset % 50 == 7 and self.out and self.out[-1].kind == "approval":
            self.out.pop()


@_bug("no-recall", "nothing is recalled by an event")
def _no_recall() -> None:
    @_around(gate, "apply")
    def _(apply: Any, event: Any, before: Any, world: Any, now_ms: int) -> Any:
        after, _recalls = apply(event, before, world, now_ms)
        return after, ()


@_bug("no-review", "what the world makes illegal is not recalled")
def _no_review() -> None:
    @_around_method("review")
    def _(review: Any, self: Any, *given: Any) -> None:
        return


@_bug("clear-token", "approvals carry the subject's own name")
def _clear_token() -> None:
    @_around_method("take_request")
    def _(take: Any, self: Any, message: Any, *given: Any) -> None:
        before = len(self.out)
        take(message, *given)
        for place in range(before, len(self.out)):
            out = self.out[place]
            if out.kind == "approval":
                token = out.key
                clear = message.subject_id.encode()
                self.out[place] = msgspec.structs.replace(out, key=clear, value=out.value.replace(token, clear))


@_bug("spelling-counts", "another spelling of an address is another address")
def _spelling_counts() -> None:
    read = tokens.Tokens.contactable

    def taken_at_its_word(self: tokens.Tokens, channel: str, address: str) -> tokens.Contactable:
        return read(self, channel, address)._replace(token=self.address(channel, address))

    tokens.Tokens.contactable = taken_at_its_word  # type: ignore[method-assign]


# --- events -------------------------------------------------------------------------------------------------------


@_bug("late-opt-out", "a consent event is applied one event late")
def _late() -> None:
    @_around_method("consent")
    def _(consent: Any, self: Any, rec: Any, states: Any) -> None:
        held = self.__dict__.setdefault("_late", [])
        held.append(rec)
        if len(held) > 1:
            consent(held.pop(0), states)


@_bug("revived-grant", "a late, older grant revives a consent that was withdrawn")
def _revived() -> None:
    @_around(gate, "apply")
    def _(apply: Any, event: Any, before: Any, world: Any, now_ms: int) -> Any:
        if isinstance(event, events.GrantGiven):
            event = events.GrantGiven(msgspec.structs.replace(event.grant, time_ms=now_ms))
        return apply(event, before, world, now_ms)


@_bug("skips-outcomes", "one outcome in ten is not counted")
def _skips_outcomes() -> None:
    @_around_method("outcome")
    def _(outcome: Any, self: Any, rec: Any, states: Any) -> None:
        if rec.offset % 10 != 7:
            outcome(rec, states)


@_bug("last-key-wins", "a message with a key twice is read, the last one counts")
def _last_key() -> None:
    def unproved(message: Any, raw: bytes) -> Any:
        return message

    strict._proved = unproved


@_bug("no-widest-reading", "an opt-out that cannot be read whole has no effect")
def _no_widest() -> None:
    def nothing(*_: Any) -> tuple[()]:
        return ()

    gate.restrictions = nothing


@_bug("erasure-opens", "after an erasure everything is forgotten, opt-outs too")
def _erasure_opens() -> None:
    @_around(gate, "apply")
    def _(apply: Any, event: Any, before: Any, world: Any, now_ms: int) -> Any:
        after, recalls = apply(event, before, world, now_ms)
        return (EMPTY if isinstance(event, events.Erased) else after), recalls


# --- dead letters -------------------------------------------------------------------------------------------------


@_bug("drops-letters", "what cannot be read vanishes")
def _drops_letters() -> None:
    @_around_method("_refuse")
    def _(refuse: Any, self: Any, *given: Any) -> None:
        refuse(*given)
        if self.out and self.out[-1].kind == "dead":
            self.out.pop()


@_bug("changed-letters", "the original bytes in a dead letter are not those that came")
def _changed_letters() -> None:
    letter = records.DeadLetters.letter

    def changed(self: Any, rec: Any, fault: Any) -> Any:
        value = None if rec.value is None else rec.value.strip() + b" "
        return letter(self, msgspec.structs.replace(rec, value=value), fault)

    records.DeadLetters.letter = changed  # type: ignore[method-assign]


@_bug("open-letters", "dead letters are not sealed")
def _open_letters() -> None:
    letter = records.DeadLetters.letter

    def in_clear(self: Any, rec: Any, fault: Any) -> Any:
        self._sealer = None
        return letter(self, rec, fault)

    records.DeadLetters.letter = in_clear  # type: ignore[method-assign]

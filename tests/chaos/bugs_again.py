"""Seeded bugs of what the rules say of requests that come again, of clocks that differ, of flags and of misspelt words.

Patches of one function of the core or the gate each, put in as those of `bugs_gate`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from tests.chaos.bugs_gate import BUGS, _around, _around_method, _bug

from contactgate.core import decide as deciding
from contactgate.core import lifting, vocabulary
from contactgate.core.rules import consent, request
from contactgate.gate import gate
from contactgate.model import events

__all__ = ["BUGS"]  # those of `bugs_gate` as well: there is one table


@_bug("no-dedupe", "a request that was approved before is decided from scratch")
def _no_dedupe() -> None:
    @_around(deciding, "_again")
    def _(again: Any, *given: Any) -> None:
        return None


@_bug("old-block-again", "a retry is answered with the block that it met first")
def _old_block_again() -> None:
    blocked: dict[tuple[str, str], Any] = {}

    @_around(gate, "decide")
    def _(decide: Any, asked: Any, before: Any, world: Any, now_ms: int) -> Any:
        name = (asked.subject_id, asked.request_id)
        if name in blocked:
            return msgspec.structs.replace(blocked[name], duplicate=True, decided_ms=now_ms), before
        made, after = decide(asked, before, world, now_ms)
        if made.reasons and not made.duplicate:
            blocked[name] = made
        return made, after


@_bug("lapsed-again", "an approval that lapsed is given again")
def _lapsed_again() -> None:
    @_around(deciding, "_again")
    def _(again: Any, asked: Any, state: Any, world: Any, policy: Any, now_ms: int) -> Any:
        contact = deciding.approval_of(state, asked.request_id)
        return again(asked, state, world, policy, min(now_ms, contact.valid_until_ms - 1) if contact else now_ms)


@_bug("something-else", "a changed request is answered by the approval of its name")
def _something_else() -> None:
    @_around(deciding, "differs")
    def _(differs: Any, contact: Any, asked: Any) -> None:
        return None


@_bug("again-in-silence", "a requester that asks again is not sent its approval again")
def _again_in_silence() -> None:
    @_around_method("take_request")
    def _(take: Any, self: Any, *given: Any) -> None:
        before = len(self.out)
        take(*given)
        self.out[before:] = [
            out for out in self.out[before:] if out.kind != "approval" or b'"duplicate":true' not in out.value
        ]


@_bug("given-back-is-used", "a request whose approval was given back counts as answered")
def _given_back_is_used() -> None:
    @_around(deciding, "_again")
    def _(again: Any, asked: Any, state: Any, *rest: Any) -> Any:
        told = [
            msgspec.structs.replace(each, outcome="answered") if each.outcome == "not_attempted" else each
            for each in state.contacts
        ]
        return again(asked, msgspec.structs.replace(state, contacts=tuple(told)), *rest)


@_bug("trusts-clocks", "an opt-out from a clock that is behind loses against a consent that came before it")
def _trusts_clocks() -> None:
    _lifts(lambda stop_ms, stop_arrived_ms, go_ms, go_arrived_ms, skew_ms: stop_ms < min(go_ms, go_arrived_ms))


@_bug("trusts-no-clock", "of an opt-out and a consent the one that comes later wins, whatever was written")
def _trusts_no_clock() -> None:
    _lifts(lambda stop_ms, stop_arrived_ms, go_ms, go_arrived_ms, skew_ms: stop_arrived_ms < go_arrived_ms)


def _lifts(rule: Any) -> None:
    for place in (lifting, consent, request):
        place.lifted = rule  # type: ignore[attr-defined]


@_bug("list-ends-flags", "a list of flags without it ends that a person is a minor")
def _list_ends_flags() -> None:
    @_around(gate, "apply")
    def _(apply: Any, event: Any, *rest: Any) -> Any:
        if isinstance(event, events.ProfileUpdated) and event.flags is not None:
            gone = tuple(sorted({"deceased", "minor", "vulnerable"} - set(event.marked)))
            event = msgspec.structs.replace(event, unmarked=gone)
        return apply(event, *rest)


@_bug("misspelt-is-another", "an opt-out from `Phone` is none from calls")
def _misspelt_is_another() -> None:
    def as_written(self: Any, written: Any) -> Any:
        return vocabulary.Scope(None if written is None else frozenset(written), None)

    vocabulary.Vocabulary.channels = as_written  # type: ignore[method-assign]


@_bug("unknown-word-in-silence", "what nobody knows stops everything, and nobody is told")
def _unknown_word_in_silence() -> None:
    @_around(gate, "_unknown")
    def _(unknown: Any, *given: Any) -> None:
        return None

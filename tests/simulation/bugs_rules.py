"""Seeded bugs of the gate: caps, requests that come again, and clocks that differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from tests.simulation.bugs_relay import with_gate
from tests.simulation.run import Make
from tests.simulation.small import SmallGate

_read = msgspec.json.Decoder().decode
Before = tuple[Any, ...] | None


class OneTooMany(SmallGate):
    """`<=` for `<` in the cap."""

    cap = 3


class OneTooFew(SmallGate):
    """The cap is not used up."""

    cap = 1


class OldBlockAgain(SmallGate):
    """A request that was blocked is blocked again for having been asked, whatever was consented since."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._blocked: dict[str, int] = {}

    def request(self, rec: Any, states: Any, now_ms: int, position: Any) -> None:
        """Remembers blocks."""
        super().request(rec, states, now_ms, position)
        last = _read(self.out[-1].value) if self.out[-1].kind == "decision" else {"verdict": ""}
        if last["verdict"] == "block" and not last["duplicate"]:
            self._blocked.setdefault(last["request_id"], now_ms)

    def _before(self, state: Any, request_id: str, now_ms: int) -> Before:
        at_ms = self._blocked.get(request_id)
        lapsed = None if at_ms is None else (request_id, at_ms, at_ms, None, False, "")
        return super()._before(state, request_id, now_ms) or lapsed


class RecalledAgain(SmallGate):
    """An approval that was recalled is given again when nothing forbids it any more."""

    def _before(self, state: Any, request_id: str, now_ms: int) -> Before:
        found = super()._before(state, request_id, now_ms)
        return found if found is None else (*found[:4], False, *found[5:])


class UsedAgain(SmallGate):
    """An approval that was used is given again."""

    def _before(self, state: Any, request_id: str, now_ms: int) -> Before:
        found = super()._before(state, request_id, now_ms)
        return found if found is None or found[3] == "not_attempted" else (*found[:3], None, *found[4:])


class GivenBackIsUsed(SmallGate):
    """A request whose approval was given back counts as answered."""

    def _before(self, state: Any, request_id: str, now_ms: int) -> Before:
        found = super()._before(state, request_id, now_ms)
        return found if found is None or found[3] is None else (*found[:3], "answered", *found[4:])


class SomethingElse(SmallGate):
    """A request of a known name is answered by its approval, though it asks for something else."""

    def request(self, rec: Any, states: Any, now_ms: int, position: Any) -> None:
        """Passes over what differs."""
        mine = self._owner(rec.key) == self._partition
        value = rec.value.replace(b',"matter_id":"m-2"', b"") if mine else rec.value
        super().request(msgspec.structs.replace(rec, value=value), states, now_ms, position)


class AgainInSilence(SmallGate):
    """A request that comes again passes, and its requester is not told."""

    def request(self, rec: Any, states: Any, now_ms: int, position: Any) -> None:
        """Loses the repetition."""
        super().request(rec, states, now_ms, position)
        if b'"duplicate":true' in self.out[-1].value and self.out[-1].kind == "approval":
            self.out.pop()


class TrustsClocks(SmallGate):
    """An opt-out from a clock that is a little behind loses against a consent that came before it."""

    skew_ms = 0


class TrustsNoClock(SmallGate):
    """An opt-out that comes after a consent wins, however old it is."""

    skew_ms = 1 << 50


class CopiesComeLater(SmallGate):
    """A carried consent event counts as having come when it was carried."""

    def consent(self, rec: Any, states: Any) -> None:
        """Forgets when it came first."""
        super().consent(msgspec.structs.replace(rec, first_ms=0), states)


BUGS_OF_THE_RULES: dict[str, Callable[[], Make]] = {
    "cap one too high": lambda: Make(kit=with_gate(OneTooMany)),
    "cap one too low": lambda: Make(kit=with_gate(OneTooFew)),
    "a retry answered with the old block": lambda: Make(kit=with_gate(OldBlockAgain)),
    "a recalled approval given again": lambda: Make(kit=with_gate(RecalledAgain)),
    "a used approval given again": lambda: Make(kit=with_gate(UsedAgain)),
    "a given back approval taken for used": lambda: Make(kit=with_gate(GivenBackIsUsed)),
    "something else under a known name": lambda: Make(kit=with_gate(SomethingElse)),
    "an approval repeated in silence": lambda: Make(kit=with_gate(AgainInSilence)),
    "an opt-out within the skew loses": lambda: Make(kit=with_gate(TrustsClocks)),
    "an old opt-out beats a newer consent": lambda: Make(kit=with_gate(TrustsNoClock)),
    "carried events arrive when carried": lambda: Make(kit=with_gate(CopiesComeLater)),
}

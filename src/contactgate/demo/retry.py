"""A scene of the demonstration: a refusal that says when to ask again, and the request that passes then.

`retry_at` lies on the quarter of an hour, and nobody wants to wait for that: the topics keep the senders' times, and
the worker decides by them (event time). Talks to Kafka only, as a campaign system and its mail house do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from contactgate.client.feed import Feed
from contactgate.client.reading import Reading
from contactgate.demo.times import millis, stamp
from contactgate.errors import BrokerUnavailable
from contactgate.names import CONTACT_REQUESTS, CONTROL_EVENTS, approvals_topic

REQUESTER: Final = "mailhouse-2"
_BEN: Final = "p-ben"
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_POLICY: Final = {
    "policy": "demo-retry", "require": {"campaign": False, "party": False, "notice": False},
    "purposes": {"service": {"consent": "opt_out"}},
    "gaps": [{"name": "not_so_often", "at_least": "50m", "scope": ["subject"]}],
}  # fmt: skip
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Retry:
    """The scene; `say` tells it, `check` raises when the worker died. `broken`: what it showed to be wrong."""

    def __init__(
        self, bootstrap: str, prefix: str, now_ms: int, say: Callable[[str], None], check: Callable[[], None]
    ) -> None:
        self.broken: list[str] = []
        self._prefix = prefix
        self._start_ms = now_ms - now_ms % _HOUR_MS - 2 * _HOUR_MS + 5 * _MINUTE_MS  # five past, two hours ago
        self._say = say
        self._check = check
        self._feed = Feed(bootstrap, prefix=prefix)
        self._reading = Reading(bootstrap, [approvals_topic(prefix, REQUESTER)], from_beginning=True)

    def play(self, timeout_s: float = 90) -> None:
        """Ask, be refused, ask again at the time that was given."""
        policy = {"type": "policy.activated", "event_id": "p", "time": stamp(self._start_ms), "document": _POLICY}
        self._feed.send_to(
            self._prefix + CONTROL_EVENTS, b"policy:active", _encode(policy), timestamp_ms=self._start_ms
        )
        self._feed.flush()
        self._ask("ben-r1", self._start_ms, timeout_s)
        refused = self._ask("ben-r2", self._start_ms + 5 * _MINUTE_MS, timeout_s)
        retry_at = refused.get("retry_at")
        if refused["type"] != "contact.refused" or retry_at is None:
            self.broken.append("a request too soon was not refused with its retry_at")
            return
        told = f"{refused['reason']}, retry_at {retry_at[11:16]}"
        self._say(f"{_BEN} was written to at {_clock(self._start_ms)}; ben-r2, five minutes later, is refused: {told}")
        again = self._ask("ben-r2", millis(retry_at), timeout_s)
        self._say(f"at {retry_at[11:16]} ben-r2 is sent again, under the same id: {again['type']}")
        if again["type"] != "contact.approved":
            self.broken.append("a retry at its retry_at did not pass")

    def close(self) -> None:
        """Let go of the connections."""
        self._feed.close()
        self._reading.close()

    def _ask(self, request_id: str, at_ms: int, timeout_s: float) -> dict[str, Any]:
        """What the mail house hears of a request."""
        message = {
            "type": "contact.requested", "request_id": request_id, "subject_id": _BEN, "time": stamp(at_ms),
            "requester": REQUESTER, "controller": "bank", "purpose": "service.statement", "channel": "email",
            "address": f"{_BEN}@mail.example",
        }  # fmt: skip
        self._feed.send_to(self._prefix + CONTACT_REQUESTS, _BEN.encode(), _encode(message), timestamp_ms=at_ms)
        self._feed.flush()
        deadline = time.monotonic() + timeout_s
        while True:
            self._check()
            for record in self._reading.poll(100):
                answer: dict[str, Any] = _decode(record.value)
                if answer.get("request_id") == request_id:
                    return answer
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"no answer to {request_id} within {timeout_s:g} s; see the worker's log")


def _clock(at_ms: int) -> str:
    return stamp(at_ms)[11:16]

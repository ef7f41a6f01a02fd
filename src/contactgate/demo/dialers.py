"""The requesters' side of the demonstration: reads approvals read_committed and reports what became of each contact.

Knows what a dialer knows, the opaque approvals: each says what proves a report of it, and where that goes. A recalled
approval is never used. What a person does follows from the request's id and the seed, so two runs with the same
verdicts report the same outcomes.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from contactgate.client.feed import Feed
from contactgate.client.reading import Reading
from contactgate.client.routing import Routed
from contactgate.demo.times import stamp
from contactgate.names import OUTCOME, approvals_topic

_VOICE = (
    ("answered", 34), ("no_answer", 24), ("busy", 8), ("voicemail", 8), ("refused", 6), ("not_attempted", 6),
    ("unsubscribed", 2), ("wrong_number", 1), ("complained", 1), (None, 10),
)  # fmt: skip
_WRITTEN = (("delivered", 82), ("bounced", 4), ("unsubscribed", 3), ("not_attempted", 2), (None, 9))
_decode = msgspec.json.Decoder().decode


class Dialers:
    """All requesters' dialers in one thread. `left_alone` holds request ids that get no outcome."""

    def __init__(
        self, feed: Feed, bootstrap: str, prefix: str, requesters: tuple[str, ...], seed: int, now_ms: Callable[[], int]
    ) -> None:
        self.approved: dict[str, str] = {}  # request -> what may be shown of its approval
        self.recalled: dict[str, str] = {}  # request -> vendor-safe reason
        self.refused: dict[str, tuple[str, str | None]] = {}  # request -> vendor-safe reason, when to ask again
        self.withdrawn: set[str] = set()  # tokens of people who took a permission back
        self.reported = 0
        self.failure: BaseException | None = None
        self.left_alone: set[str] = set()
        self._feed = feed
        self._seed = seed
        self._now_ms = now_ms
        self._waiting: list[tuple[int, str, str, int, str]] = []  # due, request, approval, partition, outcome
        self._stop = threading.Event()
        topics = [approvals_topic(prefix, requester) for requester in requesters]
        self._reading = Reading(bootstrap, topics, from_beginning=True, fetch_max_wait_ms=100)
        self._thread = threading.Thread(target=self._run, name="dialers", daemon=True)

    def start(self) -> None:
        """Begin to answer approvals."""
        self._thread.start()

    def stop(self) -> None:
        """Make no more contacts; what is reported is flushed by the owner of the feed."""
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                for record in self._reading.poll(100):
                    self._read(_decode(record.value))
                self._report()
        except BaseException as error:  # noqa: BLE001 - handed to the demo, which ends with it
            self.failure = error
        finally:
            self._reading.close()

    def _read(self, message: dict[str, Any]) -> None:
        if message["type"] == "permission.withdrawn":
            self.withdrawn.add(message["subject_token"])
            return
        request_id = message.get("request_id", "")
        if message["type"] == "contact.recalled":
            self.recalled[request_id] = message["reason"]
        elif message["type"] == "contact.refused":
            self.refused[request_id] = (message["reason"], message.get("retry_at"))
        elif message["type"] == "contact.approved":
            self._contact(message, request_id)

    def _contact(self, message: dict[str, Any], request_id: str) -> None:
        self.approved[request_id] = message["approval_ref"]
        if request_id in self.left_alone:
            return
        random = Random(f"{self._seed}:{request_id}")  # noqa: S311 - what an invented person does
        results = _VOICE if message["channel"] in {"voice", "sms"} else _WRITTEN
        (outcome,) = random.choices([name for name, _ in results], [weight for _, weight in results])
        if outcome is not None:
            due_ms = self._now_ms() + random.randrange(300, 3_000)
            heapq.heappush(self._waiting, (due_ms, request_id, message["approval_id"], message["partition"], outcome))

    def _report(self) -> None:
        now_ms = self._now_ms()
        while self._waiting and self._waiting[0][0] <= now_ms:
            _, request_id, approval_id, partition, outcome = heapq.heappop(self._waiting)
            if request_id in self.recalled:
                continue
            message = {
                "type": "contact.outcome",
                "event_id": f"o-{request_id}",
                "approval_id": approval_id,
                "time": stamp(now_ms),
                "outcome": outcome,
            }
            self._feed.send(Routed(OUTCOME, None, msgspec.json.encode(message), partition))
            self.reported += 1

"""What the judge knows of people and of the two broadcast topics. Imports nothing of the product."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import Any

Violations = list[tuple[str, str]]
SKEW_MS, HORIZON_MS = 30_000, 1_800_000
STRENGTH = ("not_attempted", "answered", "unsubscribed")
Instants = tuple[int, int]
"""What an event says of when it was, and when it first came."""


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def instant_of(record: dict[str, Any], plain: str, text: str) -> int:
    """Milliseconds, however the gate wrote them."""
    return int(record[plain]) if plain in record else _ms(record[text])


class Person:
    """What the records so far say about one subject."""

    __slots__ = ("approvals", "grants", "stops")

    def __init__(self) -> None:
        self.grants: list[Instants] = []
        self.stops: list[Instants] = []
        self.approvals: dict[str, dict[str, Any]] = {}  # approval id -> what became of it

    def allowed(self) -> bool:
        """Whether a consent ends every opt-out: it is newer, and no clock that runs behind may explain the rest."""
        return any(all(_ends(stop, grant) for stop in self.stops) for grant in self.grants)

    def newest(self, request_id: str) -> dict[str, Any] | None:
        """The last approval of a request."""
        found = [a for a in self.approvals.values() if a["request"] == request_id]
        return max(found, key=lambda a: a["decided"], default=None)

    def remembered(self, request_id: str, now_ms: int) -> dict[str, Any] | None:
        """The last approval of a request that a repetition is held against."""
        found = self.newest(request_id)
        return found if found is not None and now_ms < found["decided"] + HORIZON_MS else None

    def report(self, approval: dict[str, Any], outcome: str) -> None:
        """Of several outcomes the one holds that restricts most."""
        if approval["outcome"] is None or STRENGTH.index(outcome) > STRENGTH.index(approval["outcome"]):
            approval["outcome"] = outcome


def _ends(stop: Instants, grant: Instants) -> bool:
    behind = min(grant) - stop[0]
    return behind > 0 and (stop[1] < grant[1] or behind > SKEW_MS)


class World:
    """Control and suppression records up to a position, cached as positions only grow within a partition."""

    def __init__(self, history: dict[str, Any]) -> None:
        self._inputs = history["inputs"]
        self._subject_of = {token: name for name, token in history["tokens"].items()}
        self.control = self.suppression = 0
        self._at = [0, 0]
        self.campaign: str | None = None
        self.pauses: set[str] = set()
        self.suppressed: set[str] = set()
        self.stopped_at: dict[str, int] = {}

    def advance(self, control: int, suppression: int) -> None:
        """Up to these next offsets."""
        records = self._inputs["control", 0]
        while self._at[0] < len(records) and records[self._at[0]][0] < control:
            message = json.loads(records[self._at[0]][3])
            self._at[0] += 1
            if message["type"] == "campaign.updated":
                self.campaign = message["status"]
            elif message["type"] == "pause.set":
                self.pauses.add(message["pause_id"])
            elif message["type"] == "pause.lifted":
                self.pauses.discard(message["pause_id"])
        records = self._inputs["suppression", 0]
        while self._at[1] < len(records) and records[self._at[1]][0] < suppression:
            _, _, key, value = records[self._at[1]]
            self._at[1] += 1
            name = self._subject_of.get(key.decode(), "")
            kind = json.loads(value)["type"]
            if kind == "address.suppressed":
                self.suppressed.add(name)
            elif kind == "address.released":
                self.suppressed.discard(name)

    def stops(self, name: str) -> set[str]:
        """The rules that stop a subject's contacts now, by their first word."""
        found = set()
        if self.campaign != "approved":
            found.add("campaign")
        if self.pauses:
            found.add("pause")
        if name in self.suppressed:
            found.add("address")
        return found


def broadcast_letters(history: dict[str, Any], found: Violations) -> None:
    """Unreadable control and suppression records: one dead letter each, from whichever transaction."""
    seen: Counter[tuple[str, int]] = Counter()
    for partition in history["partitions"].values():
        for txn in partition["txns"]:
            for _, _, raw in txn["dead"]:
                letter = json.loads(raw)
                if letter["topic"] in ("control", "suppression"):
                    seen[letter["topic"], letter["offset"]] += 1
    for topic in ("control", "suppression"):
        for offset, _, _, value in history["inputs"][topic, 0]:
            wanted = int(json.loads(value)["type"] == "nonsense")
            if seen[topic, offset] != wanted and (history["drained"] or seen[topic, offset] > wanted):
                found.append(("I8", f"{topic} offset {offset} has {seen[topic, offset]} dead letters, not {wanted}"))


def carried(history: dict[str, Any], judges: list[Any], found: Violations) -> None:
    """What was given to the relay is what came from it, each in the partition of its key; in the end all of it."""
    given = {origin for judge in judges for origin in judge.relayed}
    for judge in judges:
        for topic, partition, offset in sorted(judge.copies):
            source = next((r for r in history["inputs"][topic, partition] if r[0] == offset), None)
            if (topic, partition, offset) not in given or source is None:
                found.append(
                    ("I5", f"p{judge.p}: a copy of {topic} {partition} offset {offset}, which was not carried")
                )
            elif history["owners"][source[2].decode()] != judge.p:
                found.append(
                    ("I4", f"p{judge.p}: {topic} {partition} offset {offset} was carried to a wrong partition")
                )
    lost = given - {origin for judge in judges for origin in judge.copies}
    if history["drained"]:
        found.extend(
            ("I4", f"{topic} {p} offset {offset} was given to the relay and is lost") for topic, p, offset in lost
        )

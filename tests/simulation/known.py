"""What the judge knows of the two broadcast topics. Imports nothing of the product."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

Violations = list[tuple[str, str]]


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

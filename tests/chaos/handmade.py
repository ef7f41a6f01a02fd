"""Builds tiny histories by hand, so that the checker itself can be tested: a right one, and one for every lie.

`Tale` writes inputs, and commits transactions whose decisions it is told. Every part may be falsified before `history`
is asked for. It knows the formats of the documents and no rule.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from base64 import b64encode
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.chaos.history import (
    APPROVALS,
    CHANGELOG,
    CONSENT,
    CONTROL,
    DEAD,
    DECISIONS,
    INPUTS,
    OUTCOMES,
    REQUESTS,
    SUPPRESSIONS,
    History,
    Record,
)
from tests.chaos.reading import millis

START_MS = 1_790_000_000_000
SEAL_KEY = b"k" * 32
META = b"\0meta"
_KIND = {CONSENT: "consent", OUTCOMES: "outcome", REQUESTS: "request", CONTROL: "control", SUPPRESSIONS: "suppression"}


def stamp(at_ms: int) -> str:
    """RFC 3339 of milliseconds."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


def _reason(word: str) -> dict[str, Any]:
    rule, _, detail = word.partition("/")
    return {"rule": rule, "detail": detail, "until": None}


class Tale:
    """One partition's story. Time moves only with `wait`; every input is acknowledged at once unless told otherwise."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.topics: dict[str, list[Record]] = {name: [] for name in (*INPUTS, DECISIONS, CHANGELOG, DEAD)}
        self.journal: list[dict[str, Any]] = []
        self.committed: dict[str, dict[str, int]] = {}
        self.meta: dict[str, Any] = {"seq": 0, "prev": "", "consent": 0, "outcome": 0, "request": 0}
        self.asked: dict[int, dict[str, Any]] = {}
        self.passes: dict[str, str] = {}
        self.open: dict[str, int] = {}  # request_id of an open approval -> until when
        self.free_ms = START_MS  # what a block by a cap says of when it ends
        self._events = 0

    # --- inputs ---------------------------------------------------------------------------------------------------

    def wait(self, ms: int) -> Tale:
        """Let time pass."""
        self.now_ms += ms
        return self

    def put(self, topic: str, key: bytes | None, value: bytes | None, ack: bool = True, **more: Any) -> int:
        """Any input record, journalled as a batch of its own; its offset."""
        log = self.topics[topic]
        name, offset = len(self.journal) + 1, len(log)
        crc = zlib.crc32(value or b"", zlib.crc32(key or b""))
        at_ns = self.now_ms * 1_000_000 + name
        line = {"op": "invoke", "batch": name, "topic": topic, "partition": 0, "count": 1, "crc": crc, **more}
        self.journal.append({**line, "mono_ns": at_ns, "wall_ms": self.now_ms})
        if ack:
            self.journal.append(
                {"op": "ok", "batch": name, "offset": offset, "mono_ns": at_ns + 1, "wall_ms": self.now_ms}
            )
        log.append(Record(offset, self.now_ms, key, value, (("hx", b"%d.0" % name),)))
        return offset

    def tell(self, topic: str, kind: str, key: str = "subject-1", **fields: Any) -> int:
        """A well-formed event; `at` moves its time."""
        self._events += 1
        time = stamp(fields.pop("at", self.now_ms))
        whole = {"type": kind, "event_id": f"e{self._events}", "time": time, **fields}
        if topic in (CONSENT, OUTCOMES):
            whole["subject_id"] = key
        self.open.pop(fields.get("request_id", ""), None)
        return self.put(topic, key.encode(), json.dumps(whole, separators=(",", ":")).encode())

    def grant(self, **fields: Any) -> int:
        """A consent to everything that `ask` asks."""
        given = {
            "controller": "bank", "purposes": ["marketing"], "channels": ["voice", "email"],
            "data_categories": ["basic"],
        }  # fmt: skip
        return self.tell(CONSENT, "consent.granted", **{**given, "recipients": ["bank"], **fields})

    def withdraw(self, **fields: Any) -> int:
        """An opt-out from everything."""
        return self.tell(CONSENT, "consent.withdrawn", **fields)

    def ask(self, request_id: str, **fields: Any) -> int:
        """A request for a call; its offset."""
        whole = {
            "type": "contact.requested", "request_id": request_id, "subject_id": "subject-1",
            "time": stamp(self.now_ms), "requester": "bank", "controller": "bank", "purpose": "marketing.loans",
            "channel": "voice", "address": "+12022000001", **fields,
        }  # fmt: skip
        offset = self.put(REQUESTS, whole["subject_id"].encode(), json.dumps(whole, separators=(",", ":")).encode())
        self.asked[offset] = whole
        return offset

    # --- outputs --------------------------------------------------------------------------------------------------

    def commit(self, *verdicts: str, review: bytes = b"", recalls: dict[str, str] | None = None, **lies: Any) -> Tale:
        """A transaction over all inputs so far: one verdict for each good request in order.

        A verdict is `pass`, or the rules of a block, with commas, each with `/` and a detail if it needs one; before it
        `again ` for a repetition. `recalls`: request_id -> word.
        `lies` override fields of the decisions' position and of the meta record.
        """
        before = dict(self.meta)
        meta = self.meta
        for topic, name in ((CONSENT, "consent"), (OUTCOMES, "outcome"), (CONTROL, "control"),
                            (SUPPRESSIONS, "suppression")):  # fmt: skip
            meta[name] = lies.get(name, len(self.topics[topic]))
        meta["request"] = len(self.topics[REQUESTS])
        meta["now_ms"] = self.now_ms
        told = iter(verdicts)
        for record in self.topics[REQUESTS][before["request"] :]:
            if record.offset in self.asked and (verdict := next(told, "")):
                self.decide(record, verdict)
        for request_id, word in (recalls or {}).items():
            self.open.pop(request_id, None)
            self._out(f"{APPROVALS}bank", b"t", {
                "type": "contact.recalled", "approval_id": "ap.x", "approval_ref": self.passes[request_id],
                "partition": 0, "request_id": request_id,
                "subject_token": "s1.x", "reason": word,
            })  # fmt: skip
        if review:
            meta["review"], meta["reviewed"] = "all", b64encode(review).decode()
        else:
            meta.pop("review", None)
            meta.pop("reviewed", None)
        for subject in {r.key for t in (CONSENT, REQUESTS) for r in self.topics[t] if r.key}:
            until = max((each for each in self.open.values() if each > self.now_ms), default=0)
            self._append(CHANGELOG, subject, b"\x01" + until.to_bytes(6, "big") + b"state")
        self._append(CHANGELOG, META, json.dumps({name: each for name, each in meta.items() if each}).encode())
        self.committed = {topic: {"0": meta[name]} for topic, name in ((CONSENT, "consent"), (REQUESTS, "request"))}
        return self

    def decide(self, record: Record, verdict: str) -> None:
        """One decision and, for a pass, its approval."""
        asked, meta = self.asked[record.offset], self.meta
        again, verdict = verdict.startswith("again "), verdict.removeprefix("again ")
        passed = verdict == "pass"
        name = f"ap-{asked['request_id']}"
        until = self.passes.get(f"until {name}") or stamp(self.now_ms + 20_000)
        body = {
            "type": "contact.decided", "request_id": asked["request_id"], "subject_id": asked["subject_id"],
            "requester": asked["requester"], "campaign_id": None, "channel": asked["channel"],
            "verdict": "pass" if passed else "block",
            "reasons": [] if passed else [_reason(word) for word in verdict.split(",")],
            "next_eligible_at": stamp(self.free_ms) if verdict.startswith("cap.") else None,
            "approval_ref": name if passed else None, "valid_until": until if passed else None,
            "decided_at": stamp(self.now_ms), "policy": "sha256:0",
            "position": {"partition": 0, "request": record.offset, "consent": meta["consent"],
                         "outcome": meta["outcome"], "control": meta["control"], "suppression": meta["suppression"]},
            "duplicate": again, "seq": meta["seq"], "prev": meta["prev"] or "sha256:" + 64 * "0",
        }  # fmt: skip
        self.chain(body, record.key)
        if not passed:
            self._refuse(body)
        if passed and not again:
            self.passes[asked["request_id"]] = name
            self.passes[f"until {name}"] = until
            self.open[asked["request_id"]] = millis(until) or 0
            self._out(f"{APPROVALS}{asked['requester']}", b"t", {
                "type": "contact.approved", "approval_id": "ap.x", "approval_ref": name, "partition": 0,
                "request_id": asked["request_id"],
                "subject_token": "s1.x", "channel": asked["channel"], "valid_until": until,
            })  # fmt: skip
        elif passed:
            self._out(f"{APPROVALS}{asked['requester']}", b"t", {
                "type": "contact.approved", "approval_id": "ap.x", "approval_ref": name, "partition": 0,
                "request_id": asked["request_id"],
                "subject_token": "s1.x", "channel": asked["channel"], "valid_until": until, "duplicate": True,
            })  # fmt: skip

    def _refuse(self, body: dict[str, Any]) -> None:
        first = body["reasons"][0]
        kind = first["rule"].partition(".")[0]
        reason = {"request": "malformed", "pause": "paused", "cap": "not_now"}.get(kind, "not_permitted")
        whole: dict[str, Any] = {"reason": reason}
        if reason == "malformed":
            whole["field"] = "request_id" if body["duplicate"] else [*first["detail"].split("`"), "", ""][1]
        if reason == "not_now":
            whole["retry_at"] = stamp(-(-self.free_ms // 900_000) * 900_000)
        self._out(f"{APPROVALS}{body['requester']}", b"t", {
            "type": "contact.refused", "request_id": body["request_id"], "subject_token": "s1.x",
            "channel": body["channel"], **whole,
        })  # fmt: skip

    def chain(self, body: dict[str, Any], key: bytes | None) -> None:
        """Append a decision to the chain as it stands."""
        plain = json.dumps(body, separators=(",", ":")).encode()
        digest = "sha256:" + hashlib.sha256(plain).hexdigest()
        self._append(DECISIONS, key, plain[:-1] + b',"hash":"%b"}' % digest.encode())
        self.meta["seq"], self.meta["prev"] = body["seq"] + 1, digest

    def letter(self, topic: str, offset: int, reason: str, value: bytes | None = None) -> None:
        """A dead letter of a record; `value` falsifies what it holds."""
        record, kind = self.topics[topic][offset], _KIND[topic]
        coded = [None if each is None else b64encode(each).decode() for each in (record.key, value or record.value)]
        plain = json.dumps({"key": coded[0], "value": coded[1], "headers": []}).encode()
        place = f"{kind}/0/{offset}"
        cipher = AESGCM(blake2b(SEAL_KEY, digest_size=32, person=b"seal").digest())
        sealed = b64encode(b"n" * 12 + cipher.encrypt(b"n" * 12, plain, place.encode())).decode()
        self._out(DEAD, record.key, {
            "type": "dead.letter", "reason": reason, "detail": "", "topic": kind, "partition": 0, "offset": offset,
            "time": stamp(record.timestamp_ms), "sealed": sealed,
        })  # fmt: skip

    def _out(self, topic: str, key: bytes | None, whole: dict[str, Any]) -> None:
        self._append(topic, key, json.dumps(whole, separators=(",", ":")).encode())

    def _append(self, topic: str, key: bytes | None, value: bytes) -> None:
        log = self.topics.setdefault(topic, [])
        log.append(Record(len(log), self.now_ms, key, value))

    def edit(self, topic: str, at: int, change: Callable[[bytes], bytes]) -> Tale:
        """Falsify the value of one record."""
        record = self.topics[topic][at]
        self.topics[topic][at] = record._replace(value=change(record.value or b""))
        return self

    def history(self) -> History:
        """The story so far."""
        meta = {"partitions": 1, "requesters": ["bank"], "seal_key": SEAL_KEY.hex(), "prefix": ""}
        index: dict[str, Any] = {"topics": {}, "committed": self.committed}
        found = History(Path(__file__).parent, meta, self.journal, [], [], {}, index)
        for topic, records in self.topics.items():
            found.put(topic, 0, records)
        return found


assert millis(stamp(START_MS)) == START_MS

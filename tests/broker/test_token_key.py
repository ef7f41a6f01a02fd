"""Invariant I18 on a real broker: another token key opens no hole, for a worker that has one refuses to decide."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.kit.fleet import SECRETS, WorkerProcess
from tests.kit.wire import Wire

from contactgate.broker import Bootstrap
from contactgate.topics import Layout, TopicAdmin, topic_specs

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
POLICY = {
    "policy": "key", "packs": [], "approval_ttl": "15m", "dedup_horizon": "7d", "outcomes_by": "both",
    "require": {"campaign": False, "party": False, "notice": False},
    "purposes": {"service": {"consent": "opt_out"}},
}  # fmt: skip


def now() -> str:
    """This second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def request(request_id: str) -> tuple[bytes, bytes]:
    """A service call, which passes unless something forbids it."""
    message = {
        "type": "contact.requested", "request_id": request_id, "subject_id": "s", "time": now(), "requester": "dialer",
        "controller": "bank", "purpose": "service", "channel": "voice", "address": "+12125550199",
    }  # fmt: skip
    return b"s", json.dumps(message).encode()


def test_a_worker_with_another_token_key_refuses_instead_of_forgetting_opt_outs(
    kafka: Bootstrap, topic_prefix: str, wire: Wire, tmp_path: Path
) -> None:
    """A number that was suppressed for its person stays so: who has another key ends and says why, who has the right
    one goes on, both from the changelog alone."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(topic_prefix, partitions=1, requesters=("dialer",))))
    policy = {"type": "policy.activated", "event_id": "p", "time": now(), "document": POLICY}
    wire.produce(topic_prefix + "control-events", [(b"policy:active", json.dumps(policy).encode())])
    options = ("--bootstrap", kafka.address, "--prefix", topic_prefix)

    def verdicts(count: int) -> list[Any]:
        records = wire.consume(topic_prefix + "contact-decisions", count=count)
        return [json.loads(record.value or b"")["verdict"] for record in records]

    first, other, last = (WorkerProcess(tmp_path / name) for name in ("first", "other", "last"))
    other.secrets = {**SECRETS, "CONTACTGATE_TOKEN_KEY": "canary-other-token-key-" + "u" * 20}
    try:
        first.start(*options)
        wire.produce(topic_prefix + "contact-requests", [request("r1")])
        assert verdicts(1) == ["pass"]
        told = {
            "type": "contact.outcome", "event_id": "o", "request_id": "r1", "subject_id": "s", "time": now(),
            "outcome": "wrong_number",
        }  # fmt: skip
        wire.produce(topic_prefix + "contact-outcomes", [(b"s", json.dumps(told).encode())])
        wire.produce(topic_prefix + "contact-requests", [request("r2")])
        assert verdicts(2) == ["pass", "block"]
        assert first.stop() == 0

        wire.produce(topic_prefix + "contact-requests", [request("r3")])
        other.start(*options)
        assert other.end() == 1
        log = other.log.read_text()
        assert "another token_key" in log
        assert "canary" not in log
        assert verdicts(2) == ["pass", "block"]

        last.start(*options)
        assert verdicts(3) == ["pass", "block", "block"]
    finally:
        for worker in (first, other, last):
            worker.kill()

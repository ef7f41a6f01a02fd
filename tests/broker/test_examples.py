"""The examples that need Kafka, run as they stand beside a live worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.kit.wire import Wire

from contactgate.broker import Bootstrap
from contactgate.demo.workers import Workers
from contactgate.topics import Layout, TopicAdmin, topic_specs

DIALER = Path(__file__).parents[2] / "examples" / "dialer"
POLICY = {
    "policy": "example", "require": {"campaign": False, "party": False, "notice": False}, "approval_ttl": "2h",
    "purposes": {"marketing": {"consent": "opt_out"}},
    "caps": [{"name": "once", "limit": 1, "window": {"sliding": "1d"}, "scope": ["subject"], "counts": "attempted"}],
}  # fmt: skip


def now() -> str:
    """This instant."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def test_the_dialer_works_from_its_approvals_and_hears_the_opt_out(
    kafka: Bootstrap, topic_prefix: str, wire: Wire, tmp_path: Path
) -> None:
    """It contacts and reports, is refused, and hears of the person who took the permission back."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(topic_prefix, partitions=2, requesters=("callcentre-7",))))
    event = {"type": "policy.activated", "event_id": "p", "time": now(), "document": POLICY}
    wire.produce(topic_prefix + "control-events", [(b"policy:active", json.dumps(event).encode())])

    def example(name: str, *arguments: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, str(DIALER / name), *arguments, topic_prefix],
            env={**os.environ, "KAFKA_BOOTSTRAP": kafka.address}, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def ask(request_id: str, subject: str) -> None:
        request = {
            "type": "contact.requested", "request_id": request_id, "subject_id": subject, "time": now(),
            "requester": "callcentre-7", "controller": "bank", "purpose": "marketing", "channel": "email",
            "address": f"{subject}@mail.example",
        }  # fmt: skip
        wire.produce(topic_prefix + "contact-requests", [(subject.encode(), json.dumps(request).encode())])

    approvals = topic_prefix + "approvals.callcentre-7"
    with Workers(kafka.address, topic_prefix, tmp_path / "workers") as workers:
        workers.start(1)
        ask("r-1", "s~1")
        wire.consume(approvals, until=lambda found: len(found) >= 1)
        assert example("dialer.py", "callcentre-7") == ["contacted r-1 answered"]
        ask("r-2", "s~1")
        wire.consume(approvals, until=lambda found: len(found) >= 2)
        assert example("opt_out.py", "s~1") == ["opted out"]
        told = wire.consume(approvals, until=lambda found: len(found) >= 3)
        token = json.loads(told[0].value or b"")["subject_token"]
        heard = example("dialer.py", "callcentre-7")
        workers.check()
    assert heard[0].startswith("refused r-2 not_now 20")
    assert heard[1:] == [f"withdrawn {token}"]
    assert wire.consume(topic_prefix + "dead-letters") == []

"""The benchmark's gate on bytewax: state in memory, snapshots of it in SQLite files once a second, at least once.

`bytewax_gate.py BOOTSTRAP PREFIX STATE-DIRECTORY REGISTRY`. A snapshot is not a changelog: without its files everything
is read again from the beginning. Has no order barrier. Ends on SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.connectors.kafka.operators as kafka
import bytewax.operators as op
import rules
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main


def main() -> None:
    """Run until asked to end."""
    bootstrap, prefix, state, listed = sys.argv[1:5]
    registry = rules.Registry(Path(listed))
    snapshots = Path(state)
    if not snapshots.exists():
        snapshots.mkdir(parents=True)
        init_db_dir(snapshots, 1)
    # Bytewax keeps its own positions; these are committed only so that others can see how far it is.
    seen = {
        "group.id": f"{prefix}bytewax", "enable.auto.commit": "true", "auto.commit.interval.ms": "500",
        "isolation.level": "read_committed",
    }  # fmt: skip

    def gate(person: Any, message: Any) -> tuple[Any, Any]:
        person = person or rules.new_state()
        event = json.loads(message.value)
        if event["type"] != "contact.requested":
            rules.apply(person, event)
            return person, None
        reasons, before_ms = rules.decide(person, event, registry)
        return person, (message, event, reasons, before_ms)

    def chain(state: Any, decided: Any) -> tuple[Any, Any]:
        seq, prev = state or (0, rules.GENESIS)
        message, request, reasons, before_ms = decided
        decision, digest = rules.decision(request, reasons, before_ms, seq, prev)
        return (seq + 1, digest), (message, request, decision, None if reasons else rules.approval(request, before_ms))

    def publish(item: Any) -> list[Any]:
        message, request, decision, approval = item[1]
        out = [_record(prefix + "contact-decisions", message, decision)]
        if approval is not None:
            out.append(_record(f"{prefix}approvals.{request['requester']}", message, approval))
        return out

    flow = Dataflow("gate")
    brokers = [bootstrap]
    consents = kafka.input("consents", flow, brokers=brokers, topics=[prefix + "consent-events"], add_config=seen)
    requests = kafka.input("requests", flow, brokers=brokers, topics=[prefix + "contact-requests"], add_config=seen)
    events = op.merge("events", consents.oks, requests.oks)
    decided = op.stateful_map("gate", op.key_on("person", events, lambda message: message.key.decode()), gate)
    answered = op.filter_map("answered", decided, lambda item: item[1])
    chained = op.stateful_map("chain", op.key_on("partition", answered, lambda item: str(item[0].partition)), chain)
    kafka.output(
        "out", op.flat_map("publish", chained, publish), brokers=brokers, topic=prefix + "contact-decisions",
        add_config={"linger.ms": "5"},
    )  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cli_main(flow, recovery_config=RecoveryConfig(snapshots), epoch_interval=timedelta(seconds=1))


def _record(topic: str, message: Any, value: dict[str, Any]) -> KafkaSinkMessage[bytes, bytes]:
    encoded = json.dumps(value, separators=(",", ":")).encode()
    return KafkaSinkMessage(message.key, encoded, topic=topic, timestamp=message.timestamp[1])


if __name__ == "__main__":
    main()

"""The benchmark's gate on plain Faust: an ordinary agent an event, a Table on RocksDB. At least once, as usual there.

`faust_gate.py BOOTSTRAP PREFIX STATE-DIRECTORY REGISTRY`. Has no order barrier. Ends on SIGTERM.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import faust
import rules


def main() -> None:
    """Run until asked to end."""
    bootstrap, prefix, state, listed = sys.argv[1:5]
    partitions = int(sys.argv[5])
    registry = rules.Registry(Path(listed))
    app = faust.App(
        f"{prefix}faust",
        broker=f"kafka://{bootstrap}",
        store="rocksdb://",
        datadir=state,
        topic_partitions=partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        broker_session_timeout=10.0,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        stream_wait_empty=False,
        table_cleanup_interval=600.0,
    )
    people = app.Table("people", default=rules.new_state, partitions=partitions)
    chains = app.Table("chains", partitions=partitions)
    consents, requests, decisions = (
        app.topic(prefix + name, key_type=bytes, value_type=bytes, value_serializer="json", partitions=partitions)
        for name in ("consent-events", "contact-requests", "contact-decisions")
    )
    vendors = {
        name: app.topic(f"{prefix}approvals.{name}", key_type=bytes, value_serializer="json", partitions=partitions)
        for name in ("callcentre-7", "mailhouse-2")
    }

    @app.agent(consents)
    async def take(stream: Any) -> None:
        async for event in stream.events():
            key = event.key.decode()
            person = people[key]
            rules.apply(person, event.value)
            people[key] = person

    @app.agent(requests)
    async def gate(stream: Any) -> None:
        async for event in stream.events():
            key, request = event.key.decode(), event.value
            person = people[key]
            reasons, before_ms = rules.decide(person, request, registry)
            people[key] = person
            partition = event.message.partition
            seq, prev = chains.get(f"chain-{partition}") or (0, rules.GENESIS)
            decision, digest = rules.decision(request, reasons, before_ms, seq, prev)
            chains[f"chain-{partition}"] = [seq + 1, digest]
            await decisions.send(key=event.key, value=decision)
            if not reasons:
                await vendors[request["requester"]].send(key=event.key, value=rules.approval(request, before_ms))

    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()

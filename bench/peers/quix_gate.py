"""The benchmark's gate on quixstreams: state on RocksDB with its changelog, exactly once.

`quix_gate.py BOOTSTRAP PREFIX STATE-DIRECTORY REGISTRY [COMMIT-INTERVAL-S]`. Both inputs are one stream, so that a
person's consents and requests share a state. Has no order barrier. Ends on SIGTERM.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rules
from quixstreams import Application


def main() -> None:
    """Run until asked to end."""
    bootstrap, prefix, state, listed = sys.argv[1:5]
    registry = rules.Registry(Path(listed))
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"{prefix}quix",
        state_dir=state,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=float(sys.argv[5]) if len(sys.argv) > 5 else 0.1,
        auto_create_topics=True,
        use_changelog_topics=True,
        loglevel="WARNING",
        consumer_extra_config={"session.timeout.ms": 10_000},
    )
    consents, requests, decisions, *vendors = (
        app.topic(prefix + name, value_deserializer="json", value_serializer="json", key_deserializer="bytes",
                  key_serializer="bytes")
        for name in ("consent-events", "contact-requests", "contact-decisions", "approvals.callcentre-7",
                     "approvals.mailhouse-2")
    )  # fmt: skip

    def gate(event: dict[str, Any], state: Any) -> list[dict[str, Any]]:
        person = state.get("person") or rules.new_state()
        if event["type"] != "contact.requested":
            rules.apply(person, event)
            state.set("person", person)
            return []
        reasons, before_ms = rules.decide(person, event, registry)
        state.set("person", person)
        # The chain is the partition's, not the person's: quixstreams has no public state of that scope, so it lies in
        # the same transaction under a prefix of its own.
        chain = state._transaction.as_state(prefix=b"\0chain")
        seq, prev = chain.get("chain") or (0, rules.GENESIS)
        decision, digest = rules.decision(event, reasons, before_ms, seq, prev)
        chain.set("chain", [seq + 1, digest])
        if reasons:
            return [decision]
        return [decision, {**rules.approval(event, before_ms), "requester": event["requester"]}]

    by_name = {"callcentre-7": vendors[0], "mailhouse-2": vendors[1]}

    def route(value: dict[str, Any], *_: Any) -> Any:
        return decisions if value["type"] == "contact.decided" else by_name[value["requester"]]

    stream = app.dataframe(consents).concat(app.dataframe(requests)).apply(gate, stateful=True, expand=True)
    stream.to_topic(route)
    app.run()


if __name__ == "__main__":
    main()

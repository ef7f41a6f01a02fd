"""The floor: consume 1,000, produce each to the decisions topic, decide nothing.

`floor.py BOOTSTRAP PREFIX [--transactions]`.

What any consumer and producer in Python must cost, on librdkafka. With --transactions a batch and its offsets are one
Kafka transaction, without it offsets are committed afterwards: at least once. Ends on SIGTERM.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

from confluent_kafka import Consumer, Producer


def main() -> None:
    """Copy until asked to end."""
    bootstrap, prefix = sys.argv[1:3]
    transactions = "--transactions" in sys.argv
    running = True

    def stop(*_: Any) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": f"{prefix}floor", "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "isolation.level": "read_committed", "session.timeout.ms": 10_000,
    })  # fmt: skip
    settings: dict[str, Any] = {"bootstrap.servers": bootstrap, "linger.ms": 5, "queue.buffering.max.messages": 200_000}
    if transactions:
        settings |= {"transactional.id": f"{prefix}floor", "transaction.timeout.ms": 20_000}
    producer = Producer(settings)
    if transactions:
        producer.init_transactions(30)
    consumer.subscribe([prefix + "contact-requests", prefix + "consent-events"])
    target, requests = prefix + "contact-decisions", prefix + "contact-requests"
    while running:
        # With a timeout consume() waits for the whole thousand; so wait for one, then take what there is.
        first = consumer.poll(0.1)
        if first is None:
            continue
        batch = [first, *consumer.consume(999, 0)]
        if transactions:
            producer.begin_transaction()
        for message in batch:
            if message.error() is None and message.topic() == requests:
                producer.produce(target, message.value(), message.key(), timestamp=message.timestamp()[1])
        if transactions:
            producer.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30
            )
            producer.commit_transaction(30)
        else:
            producer.flush(30)
            consumer.commit(asynchronous=True)
    consumer.close()


if __name__ == "__main__":
    main()

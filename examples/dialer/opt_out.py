"""A system that hears opt-outs: one event on `consent-events`, acknowledged before the person is told that it is done.

    KAFKA_BOOTSTRAP=localhost:9092 python opt_out.py SUBJECT_ID [PREFIX]

Needs confluent-kafka. The partitioner is the one setting that its defaults have otherwise: with it the opt-out is in
force when this ends; without it some moments later, for it must be carried to its own partition first.
"""

import json
import os
import sys
import uuid
from datetime import UTC, datetime

from confluent_kafka import Producer

SUBJECT, PREFIX = sys.argv[1], "".join(sys.argv[2:3])

producer = Producer(
    {
        "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"],
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
    }
)
event = {
    "type": "consent.withdrawn",
    "event_id": str(uuid.uuid4()),
    "time": datetime.now(UTC).isoformat(),
    "subject_id": SUBJECT,
}
failed = []
producer.produce(
    f"{PREFIX}consent-events",
    key=SUBJECT,
    value=json.dumps(event),
    on_delivery=lambda error, _: failed.append(error) if error else None,
)
if producer.flush(30) or failed:
    raise SystemExit("the opt-out was not acknowledged: do not tell the person that it is done, send it again")
print("opted out")

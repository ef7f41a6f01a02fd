"""A dialer that works from its approvals alone: it reads `approvals.<requester>` and reports to `contact-outcomes`.

    KAFKA_BOOTSTRAP=localhost:9092 python dialer.py callcentre-7 [PREFIX]

It never learns who a person is: `subject_token` says which of them are the same, `approval_id` proves its report. Needs
confluent-kafka, and ends when it has heard nothing for ten seconds.
"""

import json
import os
import sys
from datetime import UTC, datetime

from confluent_kafka import Consumer, Producer

REQUESTER, PREFIX = sys.argv[1], "".join(sys.argv[2:3])
BOOTSTRAP = os.environ["KAFKA_BOOTSTRAP"]
SILENCE_S = 10.0

consumer = Consumer(
    {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": f"{PREFIX}dialer-{REQUESTER}",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",  # what was not committed was never decided
        "enable.auto.commit": False,
    }
)
producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True})
recalled: set[str] = set()


def dial(approval: dict) -> str:
    """Contact the person on `approval["channel"]`; what came of it, in the words of docs/messages.md."""
    in_time = datetime.now(UTC) < datetime.fromisoformat(approval["valid_until"])
    usable = in_time and approval["approval_id"] not in recalled
    return "answered" if usable else "not_attempted"


def report(approval: dict, outcome: str) -> None:
    """Report it; `partition` is where the approval is known."""
    message = {
        "type": "contact.outcome",
        "event_id": f"{approval['approval_ref']}-{outcome}",
        "time": datetime.now(UTC).isoformat(),
        "approval_id": approval["approval_id"],
        "outcome": outcome,
    }
    producer.produce(f"{PREFIX}contact-outcomes", value=json.dumps(message), partition=approval["partition"])
    if producer.flush(30):
        raise SystemExit("the outcome was not acknowledged; start again, it will be reported then")


consumer.subscribe([f"{PREFIX}approvals.{REQUESTER}"])
while (record := consumer.poll(SILENCE_S)) is not None:
    if record.error():
        raise SystemExit(str(record.error()))
    consumer.commit(record, asynchronous=False)  # before the contact: no approval is used twice, whatever crashes
    message = json.loads(record.value())
    if message["type"] == "contact.approved":
        outcome = dial(message)
        report(message, outcome)
        print("contacted", message["request_id"], outcome)
    elif message["type"] == "contact.recalled":
        recalled.add(message["approval_id"])
        print("recalled", message["request_id"], message["reason"])
    elif message["type"] == "contact.refused":
        print("refused", message["request_id"], message["reason"], message.get("retry_at", "-"))
    elif message["type"] == "permission.withdrawn":
        # Erase what you hold about this person for the purposes and channels that it names.
        print("withdrawn", message["subject_token"])
consumer.close()

"""How the job's messages reach the broker: at once, or at a fixed rate from a process of its own.

Keys go to partitions as Kafka's Java client and contactgate put them. Timestamps are the messages' own times.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterable
from typing import Any

from bench.job import Job, Message

_LINGER_MS = 1
_COORDINATED_S = 60.0


def preload(bootstrap: str, prefix: str, messages: Iterable[Message]) -> int:
    """Send everything and wait until it is acknowledged; how many of them were requests."""
    producer = _producer(bootstrap, linger_ms=20)
    requests = 0
    for message in messages:
        requests += message.request >= 0
        _send(producer, prefix, message)
    if producer.flush(300):
        raise RuntimeError("the broker did not acknowledge the input within 300 s")
    return requests


def pace(bootstrap: str, prefix: str, job: Job, phase: str, rate: float) -> list[tuple[str, int]]:
    """Send a phase at `rate` requests a second; each request's id and the instant it was handed to the producer."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_pace, args=(bootstrap, prefix, job, phase, rate, theirs), daemon=True)
    process.start()
    try:
        if not ours.poll(600):
            raise RuntimeError("the generator of requests did not end")
        sent: list[tuple[str, int]] = ours.recv()
    finally:
        process.join(10)
        if process.is_alive():
            process.kill()
    return sent


def _pace(bootstrap: str, prefix: str, job: Job, phase: str, rate: float, pipe: Any) -> None:
    messages = list(job.requests(phase))
    names = [f"{phase}-{message.request:07d}" for message in messages]
    producer = _producer(bootstrap, linger_ms=_LINGER_MS)
    producer.list_topics(timeout=30)
    sent: list[tuple[str, int]] = []
    clock, monotonic = time.time_ns, time.perf_counter
    began = monotonic() + 0.05
    for number, message in enumerate(messages):
        while (ahead := began + number / rate - monotonic()) > 0:
            producer.poll(0)
            time.sleep(min(ahead, 0.001))
        if message.request >= 0:
            sent.append((names[number], clock()))
        _send(producer, prefix, message)
    producer.flush(60)
    pipe.send(sent)


def _producer(bootstrap: str, linger_ms: int) -> Any:
    from confluent_kafka import Producer

    return Producer({
        "bootstrap.servers": bootstrap, "enable.idempotence": True, "partitioner": "murmur2", "linger.ms": linger_ms,
        "queue.buffering.max.messages": 1_000_000, "log_level": 3,
    })  # fmt: skip


def _send(producer: Any, prefix: str, message: Message) -> None:
    while True:
        try:
            producer.produce(prefix + message.topic, message.value, message.key, timestamp=message.time_ms)
            return
        except BufferError:
            producer.poll(0.1)


def lag(bootstrap: str, group: str, topic: str) -> int:
    """How many records of a topic a consumer group has not committed yet."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    try:
        partitions = [TopicPartition(topic, each) for each in consumer.list_topics(topic, 30).topics[topic].partitions]
        behind = 0
        for place in _committed(consumer, partitions):
            begin, end = consumer.get_watermark_offsets(place, 30)
            behind += end - max(begin, place.offset)
        return behind
    finally:
        consumer.close()


def _committed(consumer: Any, partitions: list[Any]) -> list[Any]:
    """A group's positions; a broker that has just started may not know yet who coordinates the group."""
    from confluent_kafka import KafkaError, KafkaException

    passing = {
        KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }  # fmt: skip
    deadline = time.monotonic() + _COORDINATED_S
    while True:
        try:
            return list(consumer.committed(partitions, 30))
        except KafkaException as error:
            if error.args[0].code() not in passing or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def fill(
    bootstrap: str,
    topic: str,
    pairs: Iterable[tuple[bytes, bytes]],
    fixed: Iterable[tuple[int, bytes, bytes]],
    time_ms: int,
) -> None:
    """Records of a topic by their keys, then some at fixed partitions; acknowledged when it returns."""
    producer = _producer(bootstrap, linger_ms=50)
    produce = producer.produce
    for key, value in pairs:
        try:
            produce(topic, value, key, timestamp=time_ms)
        except BufferError:
            producer.poll(1)
            produce(topic, value, key, timestamp=time_ms)
    if producer.flush(600):
        raise RuntimeError("the broker did not acknowledge the records within 600 s")
    for partition, key, value in fixed:
        produce(topic, value, key, partition, timestamp=time_ms)
    if producer.flush(60):
        raise RuntimeError("the broker did not acknowledge the records within 60 s")


def newest(bootstrap: str, topic: str) -> dict[bytes, bytes]:
    """The newest committed value of every key of a topic."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "bench-newest", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True,
    })  # fmt: skip
    found: dict[bytes, bytes] = {}
    try:
        partitions = list(consumer.list_topics(topic, 30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        ended: set[int] = set()
        while len(ended) < len(partitions):
            message = consumer.poll(30)
            if message is None:
                raise RuntimeError("the broker gave nothing for 30 s")
            if message.error() is not None:
                ended.add(message.partition())  # the end of a partition is reported as an error
            elif message.value() is None:
                found.pop(message.key(), None)
            else:
                found[message.key()] = message.value()
    finally:
        consumer.close()
    return found


def remove(bootstrap: str, prefix: str) -> None:
    """Delete every topic of a prefix, those included that a contender made for itself. One that stays is no fault."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": bootstrap})
    names = [name for name in admin.list_topics(timeout=30).topics if name.startswith(prefix)]
    for name, done in admin.delete_topics(names, operation_timeout=30).items() if names else ():
        try:
            done.result(60)
        except KafkaException as error:
            print(f"{name} was not deleted: {error}", file=sys.stderr, flush=True)

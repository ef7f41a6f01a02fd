"""confluent-kafka as it comes: librdkafka puts keys into partitions of its own, and no opt-out of it is lost.

Its default partitioner hashes with CRC32 (and spreads records without a key at random), so most of what it publishes
lies where another subject's state is. The same producer stands for a campaign system and for consent capture.
"""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer
from tests.kit.fleet import wait_until
from tests.kit.wire import Record, Wire
from typer.testing import CliRunner

from contactgate.broker import Bootstrap
from contactgate.cli.main import app
from contactgate.client.feed import Feed
from contactgate.client.routing import route
from contactgate.codec.origins import ORIGIN
from contactgate.demo.workers import Workers
from contactgate.model.log import murmur2
from contactgate.policy.load import load_policy
from contactgate.topics import Layout, TopicAdmin, topic_specs

PARTITIONS = 4
POLICY = {
    "policy": "confluent", "require": {"campaign": False, "party": False, "notice": False},
    "approval_ttl": "2h", "dedup_horizon": "1d", "unreported": "count",
    "purposes": {"service": {"consent": "opt_out"}},
}  # fmt: skip
Key = Callable[[str], str | None]
Sent = tuple[str | None, dict[str, Any]]

KEYED: Key = str
NO_KEY: Key = lambda subject: None  # noqa: E731
OTHER_KEY: Key = lambda subject: f"customer/{subject}"  # noqa: E731


def now() -> str:
    """This instant."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def withdraw(subject: str, key: Key = KEYED) -> Sent:
    """An opt-out of everything."""
    message = {"type": "consent.withdrawn", "event_id": f"w-{subject}", "subject_id": subject, "time": now()}
    return key(subject), message


def ask(request_id: str, subject: str) -> Sent:
    """A request that passes unless the subject opted out."""
    message = {
        "type": "contact.requested", "request_id": request_id, "subject_id": subject, "time": now(),
        "requester": "dialer", "controller": "bank", "purpose": "service", "channel": "email",
        "address": f"{subject}@mail.example",
    }  # fmt: skip
    return subject, message


def owner(subject: str) -> int:
    """The partition of a subject's state."""
    return murmur2(subject.encode()) % PARTITIONS


class Installation(NamedTuple):
    """Topics with a policy in force, and where its workers live."""

    address: str
    prefix: str
    wire: Wire
    directory: Path

    def read(self, topic: str, until: Callable[[list[Record]], bool] | None = None) -> list[Record]:
        """Committed records of a topic."""
        return self.wire.consume(self.prefix + topic, until=until, timeout_s=180)

    def publish(self, topic: str, records: Iterable[Sent]) -> None:
        """As anybody would write it: a producer with its defaults, until everything is acknowledged."""
        faults: list[Any] = []
        producer = Producer({"bootstrap.servers": self.address})
        for key, message in records:
            producer.produce(
                self.prefix + topic,
                key=key,
                value=json.dumps(message),
                on_delivery=lambda error, _: faults.append(error) if error else None,
            )
            producer.poll(0)
        assert producer.flush(90) == 0
        assert faults == []

    def carried(self, topic: str) -> dict[str, int]:
        """By key, how many records the relay appended to an input. No record has two origins, however often it came."""
        origins: dict[tuple[str, bytes | None], set[bytes]] = collections.defaultdict(set)
        for record in self.read(topic):
            if ORIGIN in record.headers:
                key = (record.key or b"").decode()
                assert record.partition == owner(key)
                origins[key, record.value].add(record.headers[ORIGIN])
        assert all(len(found) == 1 for found in origins.values())
        return collections.Counter(key for key, _ in origins)

    def verdicts(self, count: int) -> dict[str, str]:
        """Every request's verdict: there is one decision of each, and it lies where its subject's state is."""
        records = self.read("contact-decisions", until=lambda found: len(found) >= count)
        made = [(record.partition, json.loads(record.value or b"")) for record in records]
        assert len(made) == count
        assert all(partition == owner(decision["subject_id"]) for partition, decision in made)
        verdicts = {decision["request_id"]: decision["verdict"] for _, decision in made}
        assert len(verdicts) == count
        return verdicts

    def letters(self) -> collections.Counter[str]:
        """Dead letters by reason. No record has two; what the relay made of a bad one to bind its key is left out."""
        records = {(r.partition, r.offset): ORIGIN in r.headers for r in self.read("consent-events")}
        made = [json.loads(record.value or b"") for record in self.read("dead-letters")]
        assert {letter["topic"] for letter in made} <= {"consent"}
        places = [(letter["partition"], letter["offset"]) for letter in made]
        assert len(set(places)) == len(places)
        return collections.Counter(
            letter["reason"] for letter, place in zip(made, places, strict=True) if not records[place]
        )

    def verified(self, workers: Workers) -> None:
        """Every decision is proved from the log, and made again from it."""
        keys = {f"CONTACTGATE_{name.upper()}_KEY_FILE": str(workers.key(name)) for name in ("token", "seal")}
        options = ["verify", "--rederive", "--bootstrap", self.address, "--prefix", self.prefix]
        done = CliRunner().invoke(app, options, env=keys)
        assert done.exit_code == 0, done.output


def _told(records: list[Record]) -> collections.Counter[str]:
    """What a dialer heard, by its kind."""
    return collections.Counter(json.loads(record.value or b"")["type"] for record in records)


@pytest.fixture
def house(kafka: Bootstrap, topic_prefix: str, tmp_path: Path, wire: Wire) -> Installation:
    """An installation with one dialer and no worker yet."""
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(prefix=topic_prefix, partitions=PARTITIONS, requesters=("dialer",))))
    event = {
        "type": "policy.activated", "event_id": "p", "time": now(), "policy": load_policy(POLICY).hash,
        "document": POLICY,
    }  # fmt: skip
    with Feed(kafka.address, prefix=topic_prefix) as feed:
        (routed,) = route(json.dumps(event).encode())
        feed.send_now(routed)
    return Installation(kafka.address, topic_prefix, wire, tmp_path / "workers")


def test_opt_outs_and_requests_from_its_defaults_are_in_force_and_decided(house: Installation) -> None:
    """Each record has one fate; a request after an acknowledged opt-out is blocked; an alert names the setting."""
    subjects = [f"s~{number}" for number in range(150)]
    opted_out = set(subjects[::3])
    with Workers(house.address, house.prefix, house.directory) as workers:
        workers.start(1)
        house.publish("consent-events", [withdraw(subject) for subject in sorted(opted_out)])
        house.publish("contact-requests", [ask(f"r-{subject}", subject) for subject in subjects])
        verdicts = house.verdicts(len(subjects))
        workers.check()
        house.verified(workers)
        workers.stop()
    assert {f"r-{subject}" for subject in opted_out} == {
        each for each, verdict in verdicts.items() if verdict == "block"
    }
    assert house.letters() == {}
    astray = {}
    for topic in ("consent-events", "contact-requests"):
        records = [record for record in house.read(topic) if ORIGIN not in record.headers]
        astray[topic] = {(r.key or b"").decode() for r in records if r.partition != owner((r.key or b"").decode())}
        assert house.carried(topic) == dict.fromkeys(astray[topic], 1), "what lay wrongly was carried, and nothing else"
    assert len(astray["consent-events"]) > len(opted_out) / 2
    alerts = [json.loads(record.value or b"") for record in house.read("ops-alerts")]
    told = [alert for alert in alerts if alert["kind"] == "input.misrouted"]
    assert told, "it is seen"
    assert all("partitioner=murmur2_random" in alert["advice"] for alert in told)


@pytest.mark.parametrize(
    ("key", "reason"), [(NO_KEY, "key.missing"), (OTHER_KEY, "key.mismatch")], ids=["none", "another"]
)
def test_opt_outs_under_no_key_or_another_bind_where_their_subject_is(
    house: Installation, key: Key, reason: str
) -> None:
    """One dead letter each, wherever it fell, and the person whom it names is not contacted."""
    subjects = [f"s~{number}" for number in range(60)]
    with Workers(house.address, house.prefix, house.directory) as workers:
        workers.start(1)
        house.publish("contact-requests", [ask(f"before-{subject}", subject) for subject in subjects])
        assert set(house.verdicts(len(subjects)).values()) == {"pass"}
        house.publish("consent-events", [withdraw(subject, key) for subject in subjects])
        heard = house.read("approvals.dialer", until=lambda found: _told(found)["contact.recalled"] >= len(subjects))
        house.publish("contact-requests", [ask(f"after-{subject}", subject) for subject in subjects])
        verdicts = house.verdicts(2 * len(subjects))
        workers.check()
        house.verified(workers)
    assert {verdicts[f"after-{subject}"] for subject in subjects} == {"block"}
    told = _told(heard)
    assert told["contact.approved"] == told["contact.recalled"] == len(subjects)
    assert house.letters() == {reason: len(subjects)}
    copies = house.carried("consent-events")
    assert 0 < len(copies.keys() & set(subjects)) < len(subjects), "some fell into the right partition by chance"
    assert set(copies.values()) == {1}


def test_killed_workers_with_carried_records_in_flight_lose_and_repeat_nothing(house: Installation) -> None:
    """SIGKILL while the relay has more than the inputs: still one fate each, and every opt-out binds."""
    keys = (KEYED, NO_KEY, OTHER_KEY)
    count = in_flight = 0
    badly_keyed: collections.Counter[str] = collections.Counter()
    with Workers(house.address, house.prefix, house.directory) as workers:
        for life in range(1, 5):
            workers.start(life)
            chunk = [f"s~{number}" for number in range(count, count + 200)]
            before = len(house.read("relay"))
            # Odd subjects opt out, with the three kinds of key in turn.
            opted_out = [(number, f"s~{number}") for number in range(count + 1, count + 200, 2)]
            house.publish("consent-events", [withdraw(subject, keys[number % 3]) for number, subject in opted_out])
            house.publish("contact-requests", [ask(f"r-{subject}", subject) for subject in chunk])
            badly_keyed.update("key.missing" if n % 3 == 1 else "key.mismatch" for n, _ in opted_out if n % 3)
            count += len(chunk)
            house.read("relay", until=lambda found, before=before: len(found) > before)  # type: ignore[misc]
            workers.kill(life)
            appended = sum(sum(house.carried(name).values()) for name in ("consent-events", "contact-requests"))
            in_flight += len(house.read("relay")) - appended
        assert in_flight > 0, "no kill found the relay at work"
        workers.start(5)
        everybody = [f"s~{number}" for number in range(count)]
        house.verdicts(count)
        wanted = set(everybody[1::2])

        def bound() -> bool:
            records = house.read("consent-events")
            there = [r for r in records if r.partition == owner(json.loads(r.value or b"")["subject_id"])]
            return {json.loads(record.value or b"")["subject_id"] for record in there} == wanted

        wait_until(bound, lambda: "every opt-out lies where its subject is")
        house.publish("contact-requests", [ask(f"late-{subject}", subject) for subject in everybody])
        verdicts = house.verdicts(2 * count)
        workers.check()
        house.verified(workers)
    assert {each for each in everybody if verdicts[f"late-{each}"] == "block"} == wanted
    assert {verdicts[f"r-{each}"] for each in everybody[::2]} == {"pass"}
    assert house.letters() == badly_keyed

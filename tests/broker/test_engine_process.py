"""`contactgate worker` as a process: starts on right topics only, decides with the real gate, ends well."""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient
from kafka import TopicPartition as AdminPartition
from tests.kit.fleet import SECRETS, Fleet, WorkerProcess, wait_until
from tests.kit.retold import same_as_replay
from tests.kit.wire import Wire

from contactgate.broker import Bootstrap
from contactgate.core.chain import verify
from contactgate.demo.population import REQUESTERS, Population
from contactgate.demo.times import stamp
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read
from contactgate.topics import Layout, TopicAdmin, topic_specs


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker process that does not outlive the test."""
    process = WorkerProcess(tmp_path)
    yield process
    process.kill()


def _topics(address: str, prefix: str, partitions: int = 2) -> None:
    with TopicAdmin(address) as admin:
        admin.create(topic_specs(Layout(prefix, partitions=partitions, requesters=REQUESTERS)))


def _world(wire: Wire, prefix: str, population: Population) -> None:
    text = files("contactgate.demo").joinpath("policy.yaml").read_text(encoding="utf-8")
    event = {
        "type": "policy.activated", "event_id": "policy-1", "time": stamp(population.start_ms),
        "policy": load_policy(text).hash, "document": read(text, "the policy is wrong"),
    }  # fmt: skip
    wire.produce(prefix + "control-events", [(b"policy:active", msgspec.json.encode(event))])
    for routed in (*population.world(), *population.history()):
        wire.produce(prefix + TOPICS.get(routed.kind, routed.kind), [(routed.key, routed.value)])


TOPICS = {"consent": "consent-events", "control": "control-events", "request": "contact-requests"}
INPUTS = {**TOPICS, "outcome": "contact-outcomes", "suppression": "address-suppressions"}


def test_the_real_gate_decides_shows_its_pages_and_ends_well(
    kafka: Bootstrap, topic_prefix: str, wire: Wire, worker: WorkerProcess
) -> None:
    """One decision a request, a sound chain, dead letters for rubbish, pages for machines, and SIGTERM ends with 0."""
    _topics(kafka.address, topic_prefix)
    population = Population(3, 60, time.time_ns() // 1_000_000)
    _world(wire, topic_prefix, population)
    worker.start("--bootstrap", kafka.address, "--prefix", topic_prefix)
    steps = [step for step in population.stream(120, 100.0) if step.request_id is not None]
    requests = [step.routed for step in steps]
    wire.produce(topic_prefix + "contact-requests", [(each.key, each.value) for each in requests])
    wire.produce(topic_prefix + "contact-requests", [(b"rubbish", b"{not json"), (b"\xff\xfe", b"\x00")])
    decided = wire.consume(topic_prefix + "contact-decisions", count=len(requests))
    values = [msgspec.json.decode(record.value or b"") for record in decided]
    assert sorted(value["request_id"] for value in values) == sorted(str(step.request_id) for step in steps)
    assert {value["verdict"] for value in values} == {"pass", "block"}
    for partition in (0, 1):
        verify([record.value or b"" for record in decided if record.partition == partition])
    letters = wire.consume(topic_prefix + "dead-letters", count=2)
    assert all(b"rubbish" not in (letter.value or b"") for letter in letters)
    assert worker.get("/livez")[0] == 200
    wait_until(lambda: worker.get("/readyz")[0] == 200, lambda: f"it is ready: {worker}")
    body = worker.get("/readyz")[1]
    assert json.loads(body)["partitions"] == {"0": "running", "1": "running"}
    told_last = re.compile(rf"^contactgate_decided_total {len(requests)}(\.0)?$", re.MULTILINE)
    wait_until(lambda: told_last.search(worker.get("/metrics")[1]) is not None, lambda: "all decisions are counted")
    metrics = worker.get("/metrics")[1]
    assert 'contactgate_blocked_total{rule="' in metrics
    assert [worker.get(page)[0] for page in ("/", "/table", "/table/", "/router", "/stats", "/graph")] == [404] * 6
    assert worker.stop() == 0
    told = [msgspec.json.decode(r.value or b"") for r in wire.consume(topic_prefix + "ops-metrics")]
    assert told[-1]["worker"] == "worker"
    assert told[-1]["decided_total"] == len(requests)
    log = worker.log.read_text()
    assert "canary" not in log
    assert "Traceback" not in log


@pytest.mark.slow
def test_the_changelog_equals_a_replay_of_the_same_input_through_the_same_core(
    kafka: Bootstrap, topic_prefix: str, wire: Wire, tmp_path: Path
) -> None:
    """Two workers, kills under load, the real gate: states and decisions equal an offline replay's, byte for byte."""
    _topics(kafka.address, topic_prefix)
    population = Population(5, 400, time.time_ns() // 1_000_000)
    _world(wire, topic_prefix, population)
    options = ("--bootstrap", kafka.address, "--prefix", topic_prefix)
    with Fleet(tmp_path, ("a", "b"), *options) as fleet:
        fleet.start()
        steps = list(population.stream(2_400, 1_000.0))
        for start in range(0, len(steps), 100):
            some: dict[str, list[tuple[bytes | None, bytes]]] = collections.defaultdict(list)
            for number, step in enumerate(steps[start : start + 100]):
                routed = step.routed
                some[INPUTS.get(routed.kind, routed.kind)].append((routed.key, routed.value))
                if step.request_id is not None and number % 20 == 0 and routed.key is not None:
                    some["contact-outcomes"].append((routed.key, _outcome(step.request_id, routed.key)))
            for topic, messages in some.items():
                wire.produce(topic_prefix + topic, messages)
            if start in (700, 1_500):
                victim = "a" if start == 700 else "b"
                fleet[victim].kill()
                fleet.start(victim)
        asked = {step.request_id for step in steps if step.request_id is not None}
        wire.consume(
            topic_prefix + "contact-decisions",
            until=lambda records: asked <= {msgspec.json.decode(r.value or b"")["request_id"] for r in records},
        )
        fleet.stop()
    read = functools.cache(lambda name: wire.consume(topic_prefix + name))
    assert same_as_replay(read, topic_prefix, 2, REQUESTERS) > 100


def _outcome(request_id: str, key: bytes) -> bytes:
    """A report on a request; of one that was blocked it becomes a dead letter."""
    return msgspec.json.encode(
        {
            "type": "contact.outcome", "event_id": f"o-{request_id}", "request_id": request_id,
            "subject_id": key.decode(), "time": stamp(time.time_ns() // 1_000_000), "outcome": "answered",
        }
    )  # fmt: skip


def test_input_that_was_deleted_unread_ends_a_worker_until_an_operator_accepts_it(
    kafka: Bootstrap, topic_prefix: str, wire: Wire, worker: WorkerProcess
) -> None:
    """The first start names the setting; with it the worker decides, and an alert says which offsets are gone."""
    _topics(kafka.address, topic_prefix, 1)
    options = ("--bootstrap", kafka.address, "--prefix", topic_prefix)
    population = Population(3, 20, time.time_ns() // 1_000_000)
    _world(wire, topic_prefix, population)
    worker.start(*options)
    request = next(step.routed for step in population.stream(20, 100.0) if step.request_id is not None)
    wire.produce(topic_prefix + "contact-requests", [(request.key, request.value)])
    wire.consume(topic_prefix + "contact-decisions", count=1)
    assert worker.stop() == 0
    wire.produce(topic_prefix + "consent-events", [(b"s-1", b"{}"), (b"s-2", b"{}")])
    admin = KafkaAdminClient(bootstrap_servers=kafka.address)
    admin.delete_records({AdminPartition(topic_prefix + "consent-events", 0): -1})
    admin.close()
    worker.start(*options)
    assert worker.end() == 1
    assert "unread input was deleted" in worker.log.read_text()
    assert "with the setting accept_gap" in worker.log.read_text()
    worker.secrets = {**SECRETS, "CONTACTGATE_ACCEPT_GAP": "true"}
    worker.start(*options)
    wait_until(lambda: worker.get("/readyz")[0] == 200, lambda: f"it is ready: {worker}")
    wire.produce(topic_prefix + "contact-requests", [(request.key, request.value)])
    wire.consume(topic_prefix + "contact-decisions", count=2)
    assert worker.stop() == 0
    alerts = [msgspec.json.decode(r.value or b"") for r in wire.consume(topic_prefix + "ops-alerts")]
    (gap,) = [alert for alert in alerts if alert["kind"] == "input.gap"]
    assert "consent" in gap["detail"]


def test_a_named_worker_that_dies_comes_back_to_its_partitions(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path
) -> None:
    """With `instance_id` a restart within the session needs no rebalance: nobody else's partitions move."""
    _topics(kafka.address, topic_prefix, 4)
    options = ("--bootstrap", kafka.address, "--prefix", topic_prefix, "--session-timeout", "30")
    with Fleet(tmp_path, ("a", "b"), *options) as fleet:
        for name, each in fleet.items():
            each.secrets = {**SECRETS, "CONTACTGATE_INSTANCE_ID": name}
        fleet.start()
        wait_until(
            lambda: all(len(each.running()) == 2 and each.get("/readyz")[0] == 200 for each in fleet.values()),
            lambda: f"two partitions each: {fleet}",
        )
        mine, others = fleet["a"].running(), fleet["b"].running()
        assigned = fleet["b"].log.read_text().count("assigned: active")
        fleet["a"].kill()
        fleet.start("a")
        wait_until(lambda: fleet["a"].get("/readyz")[0] == 200, lambda: f"it is back: {fleet}")
        assert (fleet["a"].running(), fleet["b"].running()) == (mine, others)
        assert fleet["b"].log.read_text().count("assigned: active") == assigned
        fleet.stop()


def test_a_worker_listens_on_loopback_only(kafka: Bootstrap, topic_prefix: str, worker: WorkerProcess) -> None:
    """Not one socket of a worker is open to other machines unless the settings say so."""
    _topics(kafka.address, topic_prefix)
    worker.start("--bootstrap", kafka.address, "--prefix", topic_prefix)
    wait_until(lambda: worker.get("/livez")[0] == 200, lambda: f"it lives: {worker}")
    assert worker.process is not None
    own = set()
    for link in Path(f"/proc/{worker.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            own.add(str(link.readlink()))
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                listening.append(fields[1])
    assert listening == [f"0100007F:{worker.port:04X}"]


def test_a_worker_refuses_topics_that_are_missing_or_differ(
    kafka: Bootstrap, topic_prefix: str, worker: WorkerProcess
) -> None:
    """No topics: it says how to make them. Another partition count: it names the topic, what it has, what it needs."""
    worker.start("--bootstrap", kafka.address, "--prefix", topic_prefix)
    assert worker.end() == 1
    assert "contactgate topics create" in worker.log.read_text()
    with TopicAdmin(kafka.address) as admin:
        specs = topic_specs(Layout(topic_prefix, partitions=2))
        odd = topic_specs(Layout(topic_prefix, partitions=3))
        admin.create([o if s.name.endswith("consent-events") else s for s, o in zip(specs, odd, strict=True)])
    worker.start("--bootstrap", kafka.address, "--prefix", topic_prefix)
    assert worker.end() == 1
    assert f"topic {topic_prefix}consent-events has partitions=3, needs 2" in worker.log.read_text()


def test_a_worker_without_its_keys_says_which_is_missing(kafka: Bootstrap, topic_prefix: str, tmp_path: Path) -> None:
    """No token key: exit code 1 and the name of the setting, before anything is read or written."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CONTACTGATE_")}
    command = [
        sys.executable, "-c", "from contactgate.cli.main import app; app()", "worker",
        "--bootstrap", kafka.address, "--prefix", topic_prefix, "--state-dir", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1
    assert "token_key" in done.stderr

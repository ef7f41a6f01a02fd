"""`contactgate worker` as a process: starts on right topics only, decides with the real gate, ends well."""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.wire import Wire

from contactgate.broker import Bootstrap
from contactgate.codec.seal import Sealer
from contactgate.codec.tokens import Tokens
from contactgate.core.chain import verify
from contactgate.demo.population import REQUESTERS, Population
from contactgate.demo.times import stamp
from contactgate.engine.clients import EngineSettings
from contactgate.engine.fold import META_KEY, decode_meta
from contactgate.engine.live import Secrets, SubjectCodec, build_worker
from contactgate.engine.replay import replay
from contactgate.gate import Record as GateRecord
from contactgate.policy.load import load_policy
from contactgate.policy.reading import read
from contactgate.topics import Layout, TopicAdmin, topic_specs

SECRETS = {
    "CONTACTGATE_TOKEN_KEY": "canary-token-key-" + "t" * 20,
    "CONTACTGATE_SEAL_KEY": "canary-seal-key-" + "s" * 16,
}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One `contactgate worker`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "worker.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def start(self, *options: str) -> None:
        """Start it with these options."""
        command = [
            sys.executable, "-c", "from contactgate.cli.main import app; app()", "worker",
            "--state-dir", str(self.directory / "state"), "--pages-port", str(self.port), "--session-timeout", "6",
            *options,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **SECRETS}, stdout=log, stderr=log)

    def end(self, timeout_s: float = 20.0) -> int:
        """Its exit code."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def get(self, page: str) -> tuple[int, str]:
        """Status and body of a page; 0 when nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{page}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Process]:
    """A worker process that does not outlive the test."""
    process = Process(tmp_path)
    yield process
    if process.process is not None and process.process.poll() is None:
        process.process.kill()
        process.process.wait()


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
    kafka: Bootstrap, topic_prefix: str, wire: Wire, worker: Process
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
    decided = wire.consume(topic_prefix + "contact-decisions", count=len(requests), timeout_s=60)
    values = [msgspec.json.decode(record.value or b"") for record in decided]
    assert sorted(value["request_id"] for value in values) == sorted(str(step.request_id) for step in steps)
    assert {value["verdict"] for value in values} == {"pass", "block"}
    for partition in (0, 1):
        verify([record.value or b"" for record in decided if record.partition == partition])
    letters = wire.consume(topic_prefix + "dead-letters", count=2)
    assert all(b"rubbish" not in (letter.value or b"") for letter in letters)
    assert worker.get("/livez")[0] == 200
    deadline = time.monotonic() + 20
    while worker.get("/readyz")[0] != 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    status, body = worker.get("/readyz")
    assert status == 200
    assert json.loads(body)["partitions"] == {"0": "running", "1": "running"}
    metrics = worker.get("/metrics")[1]
    found = re.search(r"^contactgate_decided_total (\d+)", metrics, re.MULTILINE)
    assert found is not None
    assert float(found[1]) == len(requests)
    assert 'contactgate_blocked_total{rule="' in metrics
    assert [worker.get(page)[0] for page in ("/", "/table", "/table/", "/router", "/stats", "/graph")] == [404] * 6
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)
    assert worker.end() == 0
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
    workers = [Process(tmp_path / name) for name in ("a", "b")]
    options = ("--bootstrap", kafka.address, "--prefix", topic_prefix)
    try:
        for worker in workers:
            worker.directory.mkdir()
            worker.start(*options)
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
                victim = workers[start == 1_500]
                assert victim.process is not None
                victim.process.kill()
                victim.process.wait()
                victim.start(*options)
        asked = {step.request_id for step in steps if step.request_id is not None}
        wire.consume(
            topic_prefix + "contact-decisions",
            until=lambda records: asked <= {msgspec.json.decode(r.value or b"")["request_id"] for r in records},
            timeout_s=90,
        )
        for worker in workers:
            assert worker.process is not None
            worker.process.send_signal(signal.SIGTERM)
        assert [worker.end() for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
    _same_as_replay(wire, topic_prefix, wire.consume(topic_prefix + "contact-decisions"))


def _outcome(request_id: str, key: bytes) -> bytes:
    """A report on a request; of one that was blocked it becomes a dead letter."""
    return msgspec.json.encode(
        {
            "type": "contact.outcome", "event_id": f"o-{request_id}", "request_id": request_id,
            "subject_id": key.decode(), "time": stamp(time.time_ns() // 1_000_000), "outcome": "answered",
        }
    )  # fmt: skip


def _same_as_replay(wire: Wire, prefix: str, decided: list[Any]) -> None:
    changelog = wire.consume(prefix + "subjects-changelog")
    inputs = {kind: wire.consume(prefix + topic) for kind, topic in INPUTS.items()}
    secrets = Secrets(Tokens(SECRETS["CONTACTGATE_TOKEN_KEY"].encode()), Sealer(b"s" * 32))
    for partition in (0, 1):
        worker = build_worker(EngineSettings("", Path(), prefix=prefix, partitions=2), secrets)
        records = {
            kind: [
                GateRecord(kind, r.partition, r.offset, r.timestamp_ms, r.key, r.value)
                for r in found
                if r.partition == (partition if kind in ("consent", "outcome", "request") else 0)
            ]
            for kind, found in inputs.items()
        }
        states: dict[bytes, bytes] = {}
        steps = []
        for record in changelog:
            if record.partition == partition and record.key is not None:
                if record.key == META_KEY:
                    steps.append(decode_meta(record.value or b""))
                elif record.value is None:
                    states.pop(record.key, None)
                else:
                    states[record.key] = record.value
        make_gate = functools.partial(_with_requesters, worker._make_gate)
        again = replay(partition, records, steps, make_gate, worker.broadcast._feed, SubjectCodec())
        own = [record.value for record in decided if record.partition == partition]
        assert [out.value for out in again.outs if out.kind == "decision"] == own
        assert again.states == states
        assert len(states) > 50


def _with_requesters(make_gate: Any, partition: int, seq: int, prev: str) -> Any:
    gate = make_gate(partition, seq, prev)
    gate.requesters = frozenset(REQUESTERS)
    return gate


def test_a_worker_listens_on_loopback_only(kafka: Bootstrap, topic_prefix: str, worker: Process) -> None:
    """Not one socket of a worker is open to other machines unless the settings say so."""
    _topics(kafka.address, topic_prefix)
    worker.start("--bootstrap", kafka.address, "--prefix", topic_prefix)
    deadline = time.monotonic() + 30
    while worker.get("/livez")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
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
    kafka: Bootstrap, topic_prefix: str, worker: Process
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
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "token_key" in done.stderr

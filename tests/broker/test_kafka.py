"""The embedded broker: it starts, survives what it must, dies with its parent, and says clearly why it cannot start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kit.wire import Wire
from typer.testing import CliRunner

from contactgate import broker
from contactgate.broker import DevCluster, DevKafka, bootstrap_or_start
from contactgate.broker.install import ensure_jars
from contactgate.cli.kafka import app
from contactgate.errors import BrokerError, BrokerUnavailable
from contactgate.topics import Layout, TopicAdmin, topic_specs


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[DevKafka]:
    """One broker that the tests of this module may kill."""
    with DevKafka() as kafka:
        yield kafka


@pytest.fixture
def private_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A state directory of the test's own, so that a developer's running broker is not touched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield tmp_path
    broker.down()


def one_topic(address: str) -> str:
    """Create the topics of a small installation; the name of one with a single partition."""
    with TopicAdmin(address) as admin:
        admin.create(topic_specs(Layout(prefix="t-", partitions=1)))
    return "t-control-events"


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_acknowledged_records_survive_sigkill_and_restart(own_kafka: DevKafka) -> None:
    """What the broker acknowledged is there after SIGKILL and a restart on the same address."""
    topic = one_topic(own_kafka.bootstrap)
    address = own_kafka.bootstrap
    with Wire(address) as wire:
        wire.produce(topic, [(b"k", str(n).encode()) for n in range(100)])
    own_kafka.kill()
    assert not own_kafka.node.alive
    own_kafka.start()
    assert own_kafka.bootstrap == address
    with Wire(address) as wire:
        assert [record.value for record in wire.consume(topic)] == [str(n).encode() for n in range(100)]


def test_a_paused_broker_answers_again_when_continued(own_kafka: DevKafka) -> None:
    """SIGSTOP makes the broker hang with its sockets open, SIGCONT brings it back without loss."""
    own_kafka.pause()
    with pytest.raises(BrokerError):
        TopicAdmin(own_kafka.bootstrap, timeout_s=1.5).brokers()
    own_kafka.cont()
    with TopicAdmin(own_kafka.bootstrap) as admin:
        assert admin.brokers() == 1


def test_listeners_are_on_loopback_only(own_kafka: DevKafka) -> None:
    """No port of the embedded broker can be reached from another machine."""
    ports = {own_kafka.node.me.port, own_kafka.node.me.controller_port}
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{own_kafka.node.pid}/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            host, port = local.split(":")
            if state == "0A" and int(port, 16) in ports:
                listening.add((host, int(port, 16)))
    assert listening == {("0100007F", port) for port in ports}


def test_a_child_broker_dies_with_its_parent() -> None:
    """A test run or demo that is killed leaves no broker behind."""
    program = """
        import time
        from contactgate.broker import DevKafka
        kafka = DevKafka().start()
        print(kafka.node.pid, kafka.directory, flush=True)
        time.sleep(600)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid, directory = parent.stdout.readline().split()
    try:
        assert is_alive(int(pid))
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 60
        while is_alive(int(pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(int(pid))
    finally:
        subprocess.run(["rm", "-rf", directory], check=True)


def test_background_broker_from_up_to_down(private_state: Path) -> None:
    """`up` starts one that outlives the command, `up` again finds it, `status` shows it, `down` stops it, data stay."""
    run = CliRunner()
    assert run.invoke(app, ["status"]).exit_code == 1
    first = run.invoke(app, ["up"])
    assert first.exit_code == 0, first.output
    address = first.stdout.strip()
    topic = one_topic(address)
    with Wire(address) as wire:
        wire.produce(topic, [(b"k", b"v")])

    again = run.invoke(app, ["up"])
    assert again.stdout.strip() == address
    assert "already running" in again.stderr
    assert "serving" in run.invoke(app, ["status"]).stdout
    refused = run.invoke(app, ["up", "--nodes", "3"])
    assert refused.exit_code == 1
    assert "contactgate dev kafka down" in refused.stderr

    assert run.invoke(app, ["down"]).exit_code == 0
    assert run.invoke(app, ["status"]).exit_code == 1
    assert "no broker was running" in run.invoke(app, ["down"]).stdout

    assert run.invoke(app, ["up"]).stdout.strip() == address
    with Wire(address) as wire:
        assert [record.value for record in wire.consume(topic)] == [b"v"]


def test_status_of_a_background_broker_that_was_killed(private_state: Path, tmp_path: Path) -> None:
    """A background broker that somebody killed is shown as ended, and `up` starts it again."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "somebody's file").write_text("stays")
    started = broker.up(data_dir=own, keep=False)
    os.kill(started.nodes[0].pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while broker.status().nodes[0].alive and time.monotonic() < deadline:
        time.sleep(0.05)
    shown = CliRunner().invoke(app, ["status"])
    assert (shown.exit_code, "ended" in shown.stdout) == (1, True)
    assert broker.up(data_dir=own, keep=False).running
    broker.down()
    assert [path.name for path in own.iterdir()] == ["somebody's file"]


@pytest.mark.slow
def test_three_nodes_lose_one_and_nothing_else() -> None:
    """Three nodes keep every acknowledged record and accept new ones after one of them is killed."""
    with DevCluster(3, heap_mb=256) as cluster:
        specs = topic_specs(Layout(prefix="c-", partitions=1, replication=3))
        with TopicAdmin(cluster.bootstrap) as admin:
            assert admin.brokers() == 3
            admin.create(specs)
            assert admin.check(specs) == ()
        topic = "c-control-events"
        with Wire(cluster.bootstrap) as wire:
            wire.produce(topic, [(b"k", b"before")])
            cluster.nodes[1].kill()
            wire.produce(topic, [(b"k", b"after")])
            assert [record.value for record in wire.consume(topic)] == [b"before", b"after"]
            cluster.start_node(1)


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A broker that ends while starting raises with the end of its log, and no process is left."""
    kafka = DevKafka(tmp_path, overrides={"num.io.threads": "none"})
    with pytest.raises(BrokerError, match=r"num\.io\.threads"):
        kafka.start()
    assert not kafka.node.alive


def test_a_named_cluster_is_used_and_not_replaced(own_kafka: DevKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """KAFKA_BOOTSTRAP decides: the named cluster is used, and when it is dead nothing is started in its place."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP", own_kafka.bootstrap)
    with bootstrap_or_start() as found:
        assert (found.address, found.ours) == (own_kafka.bootstrap, False)
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "127.0.0.1:1")
    with pytest.raises(BrokerUnavailable, match="KAFKA_BOOTSTRAP=127"), bootstrap_or_start(wait_s=0.2):
        pass
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "nowhere")
    with pytest.raises(BrokerUnavailable, match="host:port"), bootstrap_or_start():
        pass


def test_without_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a machine without Java the error names the package and the way around it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BrokerError, match=r"install it .* or set KAFKA_BOOTSTRAP"):
        ensure_jars()


def test_without_maven_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With an empty cache and no Maven the error names the package, and no half-made cache directory stays."""
    java = ensure_jars().java
    (tmp_path / "java").symlink_to(java)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BrokerError, match="apt-get install maven"):
        ensure_jars()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_dir() and "kafka-" in path.name]


def test_a_directory_of_another_cluster_size_is_refused(tmp_path: Path) -> None:
    """One node is not started on the data of three, which would lose records."""
    (tmp_path / "node-2").mkdir()
    with pytest.raises(BrokerError, match="holds a cluster of another size"):
        DevKafka(tmp_path)

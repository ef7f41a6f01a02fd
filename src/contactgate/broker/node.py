"""One real Apache Kafka node (broker and controller in one process) as a child of this process.

A node lives in one directory:

    server.properties      rewritten at every start
    data/                  log.dirs, formatted on the first start
    broker.log             standard output and error of every run, appended

INVARIANT (loopback only): every listener binds to 127.0.0.1; this broker has no authentication and must never be
reachable from another machine. INVARIANT (no orphans): a child dies with the thread that started it (PR_SET_PDEATHSIG)
unless `outlive_parent` was asked for; so never start one from a short-lived thread.
"""

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contactgate.broker.install import MAIN_BROKER, MAIN_STORAGE, KafkaInstall
from contactgate.broker.probe import broker_ids
from contactgate.errors import BrokerError, BrokerUnavailable

__all__ = ["START_DEADLINE_S", "Node", "Voter", "free_ports"]

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0
_PR_SET_PDEATHSIG = 1
# Nodes that are meant to outlive this process; held so that nobody warns of an unfinished child.
_OUTLIVING: list[subprocess.Popen[bytes]] = []
# Below the range that Linux gives to outgoing connections: a stopped node's port is not taken by one while it is down.
_PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class Voter:
    """A node's identity in the cluster: its id and its two loopback ports."""

    node_id: int
    port: int
    controller_port: int


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nobody listens on now."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            return found
        if port_is_free(port):
            found.append(port)
    raise BrokerError(
        f"no {count} free ports between {_PORTS.start} and {_PORTS.stop} on 127.0.0.1: stop other servers"
    )


def port_is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Node:
    """One node of an embedded cluster. Not thread-safe."""

    def __init__(
        self,
        install: KafkaInstall,
        directory: Path,
        me: Voter,
        voters: tuple[Voter, ...],
        cluster_id: str,
        *,
        heap_mb: int = 512,
        overrides: Mapping[str, str] | None = None,
        outlive_parent: bool = False,
        java_options: tuple[str, ...] = (),
    ) -> None:
        self.directory = directory
        self.me = me
        self._install = install
        self._voters = voters
        self._cluster_id = cluster_id
        self._heap_mb = heap_mb
        self._overrides = dict(overrides or {})
        self._outlive_parent = outlive_parent
        self._java_options = java_options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:port` of this node's client listener."""
        return f"127.0.0.1:{self.me.port}"

    @property
    def pid(self) -> int:
        """Process id; raises BrokerError when the node is not running."""
        if self._process is None:
            raise BrokerError(f"kafka node {self.me.node_id} is not running; call start() first")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_path(self) -> Path:
        """The file that holds what the node printed."""
        return self.directory / "broker.log"

    def format(self) -> subprocess.Popen[bytes] | None:
        """Write server.properties and begin formatting the storage; None when it is formatted already."""
        self.directory.mkdir(parents=True, exist_ok=True)
        properties = self.directory / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in self.properties().items()), encoding="utf-8")
        if (self.directory / "data" / "meta.properties").exists():
            return None
        shutil.rmtree(self.directory / "data", ignore_errors=True)  # a format that was killed half-way
        return self._spawn(
            self._install.command(
                MAIN_STORAGE, "format", "--cluster-id", self._cluster_id, "--config", str(properties), heap_mb=256
            )
        )

    def finish_format(self, formatting: subprocess.Popen[bytes] | None) -> None:
        """Wait for what `format` began. Raises BrokerError with the end of its output."""
        if formatting is not None and formatting.wait(START_DEADLINE_S) != 0:
            raise BrokerError(f"kafka storage could not be formatted in {self.directory}:\n{self.log_tail()}")

    def launch(self) -> None:
        """Start the process; `wait_ready` says when it serves."""
        if self.alive:
            raise BrokerError(f"kafka node {self.me.node_id} is running already; stop it first")
        command = self._install.command(
            MAIN_BROKER,
            str(self.directory / "server.properties"),
            heap_mb=self._heap_mb,
            options=self._java_options,
        )
        self._process = self._spawn(command)
        if self._outlive_parent:
            _OUTLIVING.append(self._process)

    def wait_ready(self, needed: frozenset[int], deadline_s: float = START_DEADLINE_S) -> None:
        """Return once this node's own metadata lists every broker of `needed`.

        Raises BrokerUnavailable, with the end of the log, when the process ends or the deadline passes.
        """
        limit = time.monotonic() + deadline_s
        seen: frozenset[int] = frozenset()
        while not needed <= seen:
            if not self.alive:
                raise BrokerUnavailable(f"kafka node {self.me.node_id} ended while starting:\n{self.log_tail()}")
            if time.monotonic() > limit:
                raise BrokerUnavailable(
                    f"kafka node {self.me.node_id} did not serve within {deadline_s:g} s (brokers seen: "
                    f"{sorted(seen)}, needed: {sorted(needed)}):\n{self.log_tail()}"
                )
            time.sleep(0.05)
            seen = broker_ids(self.me.port, timeout_s=2.0) or frozenset()

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Orderly shutdown (SIGTERM); SIGKILL when it takes longer than `deadline_s`. Fine when not running."""
        self.request_stop()
        self.finish_stop(deadline_s)

    def request_stop(self) -> None:
        """Send SIGTERM without waiting; a paused node is continued so that it can obey."""
        if self.alive:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)

    def finish_stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Wait for the process to end, at most `deadline_s`, then SIGKILL."""
        if self._process is not None:
            try:
                self._process.wait(deadline_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL: what a power cut does to the process. The data stay."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._process = None

    def pause(self) -> None:
        """SIGSTOP: the process hangs, its sockets stay open."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT after `pause`."""
        self._signal(signal.SIGCONT)

    def log_tail(self, lines: int = 25) -> str:
        """The last lines the node printed."""
        try:
            text = self.log_path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def properties(self) -> dict[str, str]:
        """The node's server.properties: suited to development on one machine, durable enough to test promises on."""
        size = len(self._voters)
        replicas, in_sync = (3, 2) if size >= 3 else (1, 1)
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(self.me.node_id),
            "controller.quorum.voters": ",".join(f"{v.node_id}@127.0.0.1:{v.controller_port}" for v in self._voters),
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self.me.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.directory / "data"),
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            "default.replication.factor": str(replicas),
            "min.insync.replicas": str(in_sync),
            "offsets.topic.num.partitions": "3",
            "offsets.topic.replication.factor": str(replicas),
            "transaction.state.log.num.partitions": "3",
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": str(in_sync),
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": str(replicas),
            "share.coordinator.state.topic.min.isr": str(in_sync),
            "transaction.max.timeout.ms": "900000",
            # An abandoned transaction holds back read_committed readers for its own timeout plus this interval.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "group.max.session.timeout.ms": "1800000",
            "message.max.bytes": str(8 << 20),
            "replica.fetch.max.bytes": str(8 << 20),
            "socket.request.max.bytes": str(104_857_600),
            "num.network.threads": "2",
            "num.io.threads": "4",
            "num.recovery.threads.per.data.dir": "2",
            "log.cleaner.dedupe.buffer.size": str(16 << 20),
            "log.cleaner.threads": "1",
            "log.cleaner.backoff.ms": "2000",
            "log.initial.task.delay.ms": "500",
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",
            "controller.quorum.election.timeout.ms": "500",
            "controller.quorum.election.backoff.max.ms": "200",
            "controller.quorum.fetch.timeout.ms": "1500",
            "initial.broker.registration.timeout.ms": "60000",
            "controlled.shutdown.enable": "true" if size > 1 else "false",
        }
        return settings | self._overrides

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
                preexec_fn=None if self._outlive_parent else _die_with_parent(),
            )


def _die_with_parent() -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return in_child

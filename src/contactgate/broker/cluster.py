"""The embedded cluster: one node or several on loopback, started and stopped together.

`DevCluster(nodes=3)` is a real three-node Kafka (each node broker and controller); `DevKafka` is the same with one.
Used as a context manager it removes the directory it made itself. It must never touch a directory it was given beyond
the node directories inside it, nor start a node from another thread (see `node`).
"""

import base64
import contextlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from contactgate.broker.install import KafkaInstall, ensure_jars, locked
from contactgate.broker.node import START_DEADLINE_S, Node, Voter, free_ports, port_is_free
from contactgate.errors import BrokerError, ContactgateError

__all__ = ["DevCluster", "DevKafka"]


class DevCluster:
    """`nodes` Kafka nodes on 127.0.0.1. `directory` None: a temporary one, removed by `close`."""

    def __init__(
        self,
        nodes: int = 1,
        directory: Path | None = None,
        *,
        heap_mb: int = 512,
        overrides: Mapping[str, str] | None = None,
        outlive_parent: bool = False,
        install: KafkaInstall | None = None,
    ) -> None:
        if not 1 <= nodes <= 9:
            raise BrokerError(f"an embedded cluster has 1 to 9 nodes, not {nodes}")
        self._install = install or ready_install()
        self._temporary = directory is None
        self.directory = (directory or Path(tempfile.mkdtemp(prefix="contactgate-kafka-"))).resolve()
        cluster_id, voters = _identity(self.directory, nodes)
        self.nodes = tuple(
            Node(
                self._install,
                self.directory / f"node-{voter.node_id}",
                voter,
                voters,
                cluster_id,
                heap_mb=heap_mb,
                overrides=overrides,
                outlive_parent=outlive_parent,
            )
            for voter in voters
        )

    @property
    def bootstrap(self) -> str:
        """`host:port` of every node, comma-separated: what a client's bootstrap setting takes."""
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self, deadline_s: float = START_DEADLINE_S) -> Self:
        """Start every node and return when all of them serve; on failure none is left running."""
        try:
            formatting = [(node, node.format()) for node in self.nodes]
            for node, child in formatting:
                node.finish_format(child)
            for node in self.nodes:
                node.launch()
            everyone = frozenset(node.me.node_id for node in self.nodes)
            for node in self.nodes:
                node.wait_ready(everyone, deadline_s)
        except ContactgateError:
            self.kill()
            raise
        return self

    def start_node(self, index: int, deadline_s: float = START_DEADLINE_S) -> None:
        """Start one stopped or killed node and return when it serves again."""
        node = self.nodes[index]
        node.finish_format(node.format())
        node.launch()
        node.wait_ready(frozenset({node.me.node_id}), deadline_s)

    def stop(self) -> None:
        """Orderly shutdown of every node; the data stay and `start` continues with them."""
        for node in self.nodes:
            node.request_stop()
        for node in self.nodes:
            node.finish_stop()

    def kill(self) -> None:
        """SIGKILL to every node; the data stay."""
        for node in self.nodes:
            node.kill()

    def restart(self) -> None:
        """Stop in order, start again on the same ports with the same data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Kill the nodes and remove the directory if it was a temporary one."""
        if self._temporary:
            self.kill()
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            self.stop()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


class DevKafka(DevCluster):
    """A single real Kafka node: `with DevKafka() as kafka: ... kafka.bootstrap`."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        heap_mb: int = 512,
        overrides: Mapping[str, str] | None = None,
        outlive_parent: bool = False,
        install: KafkaInstall | None = None,
    ) -> None:
        super().__init__(
            1, directory, heap_mb=heap_mb, overrides=overrides, outlive_parent=outlive_parent, install=install
        )

    @property
    def node(self) -> Node:
        """The only node."""
        return self.nodes[0]

    def pause(self) -> None:
        """SIGSTOP: the broker hangs, connections stay open."""
        self.node.pause()

    def cont(self) -> None:
        """SIGCONT after `pause`."""
        self.node.cont()


def ready_install() -> KafkaInstall:
    """The installed Kafka with its class data archive, both made now if they are missing (once a machine)."""
    install = ensure_jars()
    if not install.archive.exists():
        with locked(install.archive.with_suffix(".lock")):
            # Without an archive everything works, only slower; a failed training run is therefore no error.
            if not install.archive.exists():
                with contextlib.suppress(ContactgateError, OSError):
                    _train(install)
    return install


def _train(install: KafkaInstall) -> None:
    """Run a throw-away broker once and let Java archive the classes it loaded."""
    fresh = install.archive.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="contactgate-kafka-") as name:
        port, controller_port = free_ports(2)
        me = Voter(1, port, controller_port)
        options = (f"-XX:ArchiveClassesAtExit={fresh}",)
        node = Node(install, Path(name), me, (me,), _new_cluster_id(), java_options=options)
        try:
            node.finish_format(node.format())
            node.launch()
            node.wait_ready(frozenset({1}))
        finally:
            node.stop()
    fresh.rename(install.archive)


def _identity(directory: Path, nodes: int) -> tuple[str, tuple[Voter, ...]]:
    """Cluster id and ports: those of the last run in `directory` where they are still free, else new ones."""
    earlier = [_last_run(directory / f"node-{node_id}") for node_id in range(1, nodes + 1)]
    if (directory / f"node-{nodes + 1}").exists() or (any(earlier) and not all(earlier)):
        raise BrokerError(
            f"{directory} holds a cluster of another size than {nodes}: name another directory or clear it"
        )
    fresh = iter(free_ports(2 * nodes))
    voters = []
    for node_id, last in enumerate(earlier, start=1):
        mine, control = (last[1], last[2]) if last else (0, 0)
        voters.append(
            Voter(
                node_id,
                mine if mine and port_is_free(mine) else next(fresh),
                control if control and port_is_free(control) else next(fresh),
            )
        )
    return (earlier[0][0] if earlier[0] else _new_cluster_id()), tuple(voters)


def _last_run(directory: Path) -> tuple[str, int, int] | None:
    """Cluster id and the two ports that the node in `directory` had, or None when it never got so far."""
    meta, properties = directory / "data" / "meta.properties", directory / "server.properties"
    if not meta.exists() or not properties.exists():
        return None
    cluster = re.search(r"^cluster\.id=(\S+)$", meta.read_text(encoding="utf-8"), re.MULTILINE)
    ports = re.search(
        r"^listeners=PLAINTEXT://127\.0\.0\.1:(\d+),CONTROLLER://127\.0\.0\.1:(\d+)$",
        properties.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    if cluster is None or ports is None:
        raise BrokerError(f"{directory} does not look like a node of an embedded cluster: name another directory")
    return cluster[1], int(ports[1]), int(ports[2])


def _new_cluster_id() -> str:
    """A Kafka uuid: 16 random bytes in URL-safe base64, the first character not a dash."""
    return base64.urlsafe_b64encode(b"\x4d" + secrets.token_bytes(15)).rstrip(b"=").decode()

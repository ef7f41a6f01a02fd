"""`contactgate dev kafka up|down|status`: an embedded cluster that outlives the command that started it.

What runs is written to `$XDG_STATE_HOME/contactgate/kafka.json` (default `~/.local/state/contactgate`):

    {"bootstrap": "127.0.0.1:29092", "directory": "…", "keep": true,
     "nodes": [{"node_id": 1, "pid": 4711, "port": 29092}]}

A process id counts only while its command line still names the node's own server.properties, so a number that the
system gave to somebody else is never signalled. Changes happen under a file lock.
"""

import json
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contactgate.broker.cluster import DevCluster
from contactgate.broker.install import locked
from contactgate.broker.probe import broker_ids
from contactgate.errors import BrokerError

__all__ = ["BrokerStatus", "NodeStatus", "down", "state_root", "status", "up"]

_STOP_DEADLINE_S = 20.0


@dataclass(frozen=True)
class NodeStatus:
    """One node of the background cluster: its process, whether it lives, and whether it answers."""

    node_id: int
    pid: int
    address: str
    alive: bool
    serving: bool


@dataclass(frozen=True)
class BrokerStatus:
    """The background cluster as `up`, `down` or `status` found or left it; `nodes` is empty when there is none."""

    bootstrap: str
    directory: Path | None
    keep: bool
    nodes: tuple[NodeStatus, ...]
    started: bool = False
    """Whether this call started it."""

    @property
    def running(self) -> bool:
        """Whether every node serves."""
        return bool(self.nodes) and all(node.serving for node in self.nodes)


_NOTHING = BrokerStatus("", None, keep=True, nodes=())


def state_root() -> Path:
    """`$XDG_STATE_HOME/contactgate`, by default `~/.local/state/contactgate`."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "contactgate"


def up(nodes: int = 1, data_dir: Path | None = None, *, keep: bool = True) -> BrokerStatus:
    """Start the background cluster; the running one is returned when it has as many nodes.

    `keep` False: `down` removes the data. Raises BrokerError when a cluster of another size runs, or it cannot start.
    """
    with locked(_lock_path()):
        now = _read_status()
        if now.running and len(now.nodes) == nodes and data_dir in {None, now.directory}:
            return now
        if any(node.alive for node in now.nodes):
            raise BrokerError(
                f"another cluster of {len(now.nodes)} node(s) runs or hangs in {now.directory}; "
                "stop it first: contactgate dev kafka down"
            )
        directory = (data_dir or state_root() / "kafka" / f"nodes-{nodes}").absolute()
        directory.mkdir(parents=True, exist_ok=True)
        cluster = DevCluster(nodes, directory, outlive_parent=True).start()
        state = {
            "bootstrap": cluster.bootstrap,
            "directory": str(cluster.directory),
            "keep": keep,
            "nodes": [{"node_id": node.me.node_id, "pid": node.pid, "port": node.me.port} for node in cluster.nodes],
        }
        fresh = _state_path().with_suffix(".new")
        fresh.write_text(json.dumps(state, indent=1), encoding="utf-8")
        fresh.replace(_state_path())
        found = _read_status()
        return BrokerStatus(found.bootstrap, found.directory, found.keep, found.nodes, started=True)


def down() -> BrokerStatus:
    """Stop the background cluster in order (SIGKILL after 20 s) and say what was stopped; fine when nothing runs."""
    with locked(_lock_path()):
        found = _read_status()
        living = [node.pid for node in found.nodes if node.alive]
        for pid in living:
            _send(pid, signal.SIGCONT)
            _send(pid, signal.SIGTERM)
        limit = time.monotonic() + _STOP_DEADLINE_S
        while any(_exists(pid) for pid in living):
            if time.monotonic() > limit:
                for pid in living:
                    _send(pid, signal.SIGKILL)
                limit += _STOP_DEADLINE_S
            time.sleep(0.05)
        _state_path().unlink(missing_ok=True)
        if found.directory is not None and not found.keep:
            for node in found.directory.glob("node-*"):  # the directory itself may be somebody's
                shutil.rmtree(node, ignore_errors=True)
        return found


def status() -> BrokerStatus:
    """The background cluster as it is now."""
    return _read_status()


def _state_path() -> Path:
    return state_root() / "kafka.json"


def _lock_path() -> Path:
    return state_root() / "kafka.lock"


def _read_status() -> BrokerStatus:
    try:
        state: dict[str, Any] = json.loads(_state_path().read_text(encoding="utf-8"))
        directory = Path(state["directory"])
        nodes = tuple(_node_status(directory, int(n["node_id"]), int(n["pid"]), int(n["port"])) for n in state["nodes"])
        return BrokerStatus(str(state["bootstrap"]), directory, bool(state["keep"]), nodes)
    except FileNotFoundError:
        return _NOTHING
    except (ValueError, KeyError, TypeError) as bad:
        raise BrokerError(f"{_state_path()} is damaged ({bad}); stop the broker by hand and remove the file") from bad


def _node_status(directory: Path, node_id: int, pid: int, port: int) -> NodeStatus:
    alive = _is_node(pid, directory / f"node-{node_id}" / "server.properties")
    serving = alive and node_id in (broker_ids(port, timeout_s=2.0) or ())
    return NodeStatus(node_id, pid, f"127.0.0.1:{port}", alive, serving)


def _is_node(pid: int, properties: Path) -> bool:
    try:
        return os.fsencode(properties) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _exists(pid: int) -> bool:
    """Whether the process still runs; one that ended but was not reaped by its parent yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return

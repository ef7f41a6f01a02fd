"""What a chaos run runs on: a real Kafka of one or three nodes, workers, disks of their own, proxies in the path.

A worker is `python -m tests.chaos.worker` with its own state directory (on a small file system of its own where one
may be mounted, so that its disk can be filled) and its own proxy. Nothing outlives the process that made it: children
die with their parent, mounts are taken down by `close`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from tests.chaos.watch import Orders

from contactgate.broker.cluster import DevCluster
from contactgate.broker.node import free_ports

ROOT = Path(__file__).parents[2]
HEAP_MB = 384
SESSION_S = 6.0
TRANSACTION_S = 8.0
_DISK = "1g"
_YOUNG_S = 60.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def brokers(nodes: int, directory: Path) -> DevCluster:
    """A cluster that settles abandoned transactions and dead members fast."""
    return DevCluster(nodes, directory, heap_mb=HEAP_MB)


class Disk:
    """A file system of its own for one worker's state, if this process may mount one; else a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=700", "tmpfs", str(path)]
        self.mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Leave no room: every further write fails with "no space left on device"."""
        if not self.mounted:
            return
        found = os.statvfs(self.path)
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize)
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def close(self, kept: Path | None = None) -> None:
        """Unmount; `kept`: copy what was on it there first."""
        self.free()
        if kept is not None and self.mounted:
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(self.path, kept, dirs_exist_ok=True)
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.path)], check=False)
            self.mounted = False


class Proxy:
    """The proxy process of one worker."""

    def __init__(self, ports: dict[int, int]) -> None:
        self.ports = ports
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.proxy", json.dumps(ports)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=_die_with_parent,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._process.stdout.readline()
        os.set_blocking(self._process.stdout.fileno(), False)

    def order(self, do: str, **details: Any) -> None:
        """One order, carried out at once."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
        self._process.stdin.flush()

    def told(self) -> list[dict[str, Any]]:
        """What it lost or held since it was asked last."""
        assert self._process.stdout is not None
        return [json.loads(line) for line in self._process.stdout.readlines()]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class Fleet:
    """The workers of one run. They keep state directory, log and proxy over restarts."""

    def __init__(
        self,
        cluster: DevCluster,
        prefix: str,
        directory: Path,
        names: tuple[str, ...],
        *,
        environment: dict[str, str],
        options: tuple[str, ...] = (),
        bug: str = "",
        proxied: bool = True,
        slow_s: float = 0.0,
    ) -> None:
        self.names = names
        self.directory = directory  # of the history
        self.watched = directory / "workers"
        self.watched.mkdir(parents=True, exist_ok=True)
        self.disks = {name: Disk(self.watched / "state" / name) for name in names}
        self.frozen: set[str] = set()
        self.ended: list[tuple[str, int]] = []  # who ended though nobody told it to
        self._cluster, self._prefix, self._bug, self._slow_s = cluster, prefix, bug, slow_s
        self._environment, self._options = environment, options
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._orders = {name: Orders(self.watched / f"{name}.orders") for name in names}
        self.proxies: dict[str, Proxy] = {}
        if proxied:
            own = [node.me.port for node in cluster.nodes]
            ports = iter(free_ports(len(own) * len(names)))
            self.proxies = {name: Proxy({port: next(ports) for port in own}) for name in names}

    def state(self, name: str) -> Path:
        """Where the worker keeps its stores."""
        return self.disks[name].path / "state"

    def log(self, name: str) -> Path:
        """Where the worker logs."""
        return self.directory / "logs" / f"{name}.log"

    def order(self, name: str, **given: Any) -> None:
        """Replace the worker's orders (see `Orders.write`)."""
        self._orders[name].write(**given)

    def obeyed(self, name: str) -> bool:
        """Whether the worker has died or frozen at the point it was told."""
        return not self.alive(name) or self._state_of(name) == "T"

    def start(self, name: str) -> None:
        """Start or restart a worker."""
        (self.watched / f"{name}.owned").unlink(missing_ok=True)
        given = {
            "directory": str(self.watched),
            "name": name,
            "ports": self.proxies[name].ports if name in self.proxies else {},
            "bug": self._bug,
            # Of two workers one reads its facts late.
            "slow_s": self._slow_s if self.names.index(name) % 2 == 0 else 0.0,
            "transaction_ms": int(TRANSACTION_S * 1000),
        }
        command = [
            sys.executable, "-m", "tests.chaos.worker", "worker", "--bootstrap", self._cluster.bootstrap,
            "--prefix", self._prefix, "--worker-id", name, "--state-dir", str(self.state(name)), "--pages-port", "0",
            "--session-timeout", str(SESSION_S), *self._options,
        ]  # fmt: skip
        self._started[name] = time.monotonic()
        with self.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent,
                env={**os.environ, **self._environment, "CHAOS_WORKER": json.dumps(given)},
            )  # fmt: skip

    def alive(self, name: str) -> bool:
        """Whether the process exists (a frozen one does)."""
        process = self._processes.get(name)
        return process is not None and process.poll() is None

    def free(self) -> list[str]:
        """Workers that run and are not frozen."""
        return [name for name in self.names if self.alive(name) and name not in self.frozen]

    def deciding(self) -> list[str]:
        """Those of them that decide at least one partition."""
        return [name for name in self.free() if self.owned(name)]

    def owned(self, name: str) -> list[int]:
        """The partitions the worker decides now."""
        try:
            found: list[int] = json.loads((self.watched / f"{name}.owned").read_text())
        except (FileNotFoundError, ValueError):
            return []
        return found

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to one worker."""
        process = self._processes[name]
        if process.poll() is None:
            process.send_signal(number)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.frozen.discard(name)
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        self.frozen.add(name)
        self.send(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self.frozen.discard(name)
        self.send(name, signal.SIGCONT)

    def revive(self, skip: set[str]) -> list[str]:
        """Start again every worker that ended by itself and is not to be skipped, and remember its exit code."""
        again = []
        for name, process in list(self._processes.items()):
            code = process.poll()
            if code is not None and name not in skip:
                # One that finds no broker while it starts ends with 1, and its supervisor starts it again.
                young = time.monotonic() - self._started[name] < _YOUNG_S
                alone = young and b"KafkaConnectionError" in self.log(name).read_bytes()[-4_000:]
                self.ended.append((name, 0 if code == 1 and alone else code))
                self.start(name)
                again.append(name)
        return again

    def _end_of(self, name: str, deadline_s: float) -> int:
        """The exit code of a worker that was told to end; SIGKILL past the deadline."""
        process = self._processes.pop(name)
        try:
            code = process.wait(deadline_s)
            # A process that has not got as far as its signal handlers yet ends by the signal itself.
            young = time.monotonic() - self._started[name] < _YOUNG_S
            return 0 if code == -signal.SIGTERM and young else code
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return -9

    def stop(self) -> dict[str, int]:
        """All of them end in order; their exit codes."""
        for process in self._processes.values():
            process.terminate()
        return {name: self._end_of(name, 30.0) for name in list(self._processes)}

    def _state_of(self, name: str) -> str:
        """The state letter of a process: T when it is stopped."""
        try:
            return Path(f"/proc/{self._processes[name].pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (OSError, KeyError):
            return ""

    def close(self, keep: bool = False) -> None:
        """End everything; `keep`: the state directories are copied into the history."""
        for name in list(self._processes):
            self.send(name, signal.SIGCONT)
            self.kill(name)
        for proxy in self.proxies.values():
            proxy.close()
        for name, disk in self.disks.items():
            disk.close(self.directory / "states" / name if keep else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for(condition: Any, what: str, timeout_s: float) -> None:
    """Until it holds. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.1)

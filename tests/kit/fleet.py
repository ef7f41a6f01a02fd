"""`contactgate worker` processes for tests: started, asked, killed, frozen, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from contactgate.broker.node import free_ports

SECRETS = {
    "CONTACTGATE_TOKEN_KEY": "canary-token-key-" + "t" * 20,
    "CONTACTGATE_SEAL_KEY": "canary-seal-key-" + "s" * 16,
}
SESSION_S = 6
PATIENCE_S = 90.0  # how long anything may take on a machine that is busy with other work


def wait_until(condition: Callable[[], bool], what: Callable[[], str], timeout_s: float = PATIENCE_S) -> None:
    """Return as soon as the condition holds; `what` says what was waited for and how things stand."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what()}"
        time.sleep(0.1)


class WorkerProcess:
    """One worker; its state and its log stay in its directory over restarts."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.state = directory / "state"
        self.log = directory / "worker.log"
        self.secrets = SECRETS
        self.process: subprocess.Popen[bytes] | None = None
        (self.port,) = free_ports(1)

    def __repr__(self) -> str:
        ended = self.process.poll() if self.process is not None else "not started"
        return f"<{self.get('/readyz')} status {ended}; its log ends: {self.log.read_text()[-3_000:]}>"

    def start(self, *options: str) -> None:
        """Start it, again if it ended."""
        command = [
            sys.executable, "-c", "from contactgate.cli.main import app; app()", "worker",
            "--state-dir", str(self.state), "--pages-port", str(self.port), "--session-timeout", str(SESSION_S),
            *options,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **self.secrets}, stdout=log, stderr=log)

    def signal(self, number: int) -> None:
        """SIGSTOP, SIGCONT, SIGTERM."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, if it lives."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self, timeout_s: float = PATIENCE_S) -> int:
        """Its exit code."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        """SIGTERM and its exit code."""
        self.signal(signal.SIGTERM)
        return self.end()

    def get(self, page: str) -> tuple[int, str]:
        """Status and body of a page; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{page}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def running(self) -> set[int]:
        """The partitions that it decides now."""
        status, body = self.get("/readyz")
        partitions = json.loads(body)["partitions"] if status else {}
        return {int(partition) for partition, state in partitions.items() if state == "running"}


class Fleet(dict[str, WorkerProcess]):
    """Workers by name on the same topics; a context manager that kills whatever is left."""

    def __init__(self, root: Path, names: Iterable[str], *options: str) -> None:
        super().__init__({name: WorkerProcess(root / name) for name in names})
        self._options = options

    def start(self, *names: str) -> None:
        """Start these workers, or all."""
        for name in names or self:
            self[name].start(*self._options, "--worker-id", name)

    def stop(self) -> None:
        """SIGTERM to all once they live (one that starts just dies of it); every one of them must end with 0."""
        wait_until(lambda: all(worker.get("/livez")[0] == 200 for worker in self.values()), lambda: f"all live: {self}")
        for worker in self.values():
            worker.signal(signal.SIGTERM)
        for name, worker in self.items():
            assert worker.end() == 0, f"{name} did not end well: {worker.log.read_text()[-2_000:]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        for worker in self.values():
            worker.kill()

"""Worker processes of the demonstration, the load generator and replays: started, watched, stopped, killed.

Each is a real `contactgate worker` in a process of its own with its own state directory and log file. Must never leave
one behind: the code that starts them stops them, and a worker whose parent died is stopped by the system (Linux).
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from contactgate.errors import ContactgateError

_STOP_S = 15.0
_TAIL = 15


class Workers:
    """Some workers on one set of topics, as a context manager that ends them all."""

    def __init__(self, bootstrap: str, prefix: str, directory: Path, *, event_time: bool = False) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._directory = directory
        self._event_time = event_time
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._killed: set[int] = set()
        directory.mkdir(parents=True, exist_ok=True)
        self._keys = {name: directory / name for name in ("token.key", "seal.key")}
        for path in self._keys.values():
            if not path.exists():
                path.write_text(secrets.token_hex(16), encoding="ascii")
                path.chmod(0o600)

    def start(self, number: int) -> None:
        """Start worker `number`; its log is worker-N.log in the directory."""
        command = [
            sys.executable, "-c", "from contactgate.cli.main import app; app()", "worker",
            "--bootstrap", self._bootstrap, "--prefix", self._prefix, "--worker-id", f"worker-{number}",
            "--state-dir", str(self._directory / f"state-{number}"), "--pages-port", "0",
        ]  # fmt: skip
        if self._event_time:
            command.append("--event-time")
        environment = {
            **os.environ,
            "CONTACTGATE_TOKEN_KEY_FILE": str(self._keys["token.key"]),
            "CONTACTGATE_SEAL_KEY_FILE": str(self._keys["seal.key"]),
        }
        with self.log(number).open("ab") as log:
            self._processes[number] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def log(self, number: int) -> Path:
        """Where worker `number` logs."""
        return self._directory / f"worker-{number}.log"

    def key(self, name: str) -> Path:
        """The file of the key "token" or "seal"."""
        return self._keys[f"{name}.key"]

    def check(self) -> None:
        """Raise ContactgateError with the end of its log when a worker died that nobody killed."""
        for number, process in self._processes.items():
            code = process.poll()
            if code is not None and number not in self._killed:
                lines = self.log(number).read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
                raise ContactgateError("\n".join([f"worker-{number} ended with status {code}; its log ends:", *lines]))

    def kill(self, number: int) -> int:
        """SIGKILL one worker: no clean-up of its own. Returns its process id."""
        process = self._processes[number]
        self._killed.add(number)
        process.send_signal(signal.SIGKILL)
        process.wait(_STOP_S)
        return process.pid

    def stop(self) -> None:
        """Ask all of them to end, and make those that do not."""
        living = [process for process in self._processes.values() if process.poll() is None]
        for process in living:
            process.terminate()
        deadline = time.monotonic() + _STOP_S
        for process in living:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

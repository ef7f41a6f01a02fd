"""The contenders: how each is started, and what it promises. All get the same topics, input, registry and cores.

`everyone()` names them in the order in which a run takes them in turn. Each is one process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from contactgate.codec.tokens import Tokens

PEERS = Path(__file__).parent / "peers"
TOKEN_KEY = "benchmark-token-key-of-32-bytes-"
SEAL_KEY = "benchmark-seal-key-of-32-bytes--"
_QUIET = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",)
# With it every start compiles every module again: seconds that no installation spends.
_NOT_PASSED = frozenset({"PYTHONDONTWRITEBYTECODE"})
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_JARS = PEERS / "kafka-streams" / "target"


class Place(NamedTuple):
    """What a contender is given when it starts."""

    bootstrap: str
    prefix: str
    state: Path
    registry: Path  # its directory: numbers.txt and numbers.snapshot
    partitions: int
    peers_python: str


class Contender(NamedTuple):
    """One way to do the job."""

    name: str
    kind: str  # contactgate, streams, python
    arguments: tuple[str, ...] = ()
    group: str = ""  # its consumer group without the prefix
    decides: bool = True  # False: a floor; it copies
    guarantee: str = "exactly once"
    restores: bool = True  # its state can be had back without its own files
    share: float = 1.0  # of the backlog that it is given: a slow one would take all day
    title: str = ""

    @property
    def exact(self) -> bool:
        """Whether a second decision of a request is a fault; at least once, it is what was promised."""
        return self.guarantee == "exactly once"

    def command(self, place: Place) -> list[str]:
        """The command line."""
        if self.kind == "contactgate":
            return [
                sys.executable, "-c", "from contactgate.cli.main import app; app()", "worker",
                "--bootstrap", place.bootstrap, "--prefix", place.prefix, "--worker-id", f"bench-{place.state.name}",
                "--state-dir", str(place.state), "--pages-port", "0", "--event-time",
            ]  # fmt: skip
        listed = str(place.registry / "numbers.txt")
        if self.kind == "streams":
            path = os.pathsep.join([str(_JARS / "bench-kafka-streams.jar"), str(_JARS / "lib" / "*")])
            return [
                "java", "-Xmx1g", *_QUIET, "-cp", path, "bench.Gate", place.bootstrap, place.prefix, str(place.state),
                listed, *self.arguments,
            ]  # fmt: skip
        script, *rest = self.arguments
        given = [] if script == "floor.py" else [str(place.state), listed]
        counted = [str(place.partitions)] if script == "faust_gate.py" else []
        return [place.peers_python, str(PEERS / script), place.bootstrap, place.prefix, *given, *counted, *rest]

    def start(self, place: Place, log: Path) -> subprocess.Popen[bytes]:
        """Start its process; the caller stops it."""
        environment = {
            **{name: value for name, value in os.environ.items() if name not in _NOT_PASSED},
            "CONTACTGATE_TOKEN_KEY": TOKEN_KEY,
            "CONTACTGATE_SEAL_KEY": SEAL_KEY,
            "CONTACTGATE_REGISTRY_DIR": str(place.registry),
        }
        with log.open("ab") as file:
            return subprocess.Popen(
                self.command(place), env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                preexec_fn=_die_with_parent,
            )  # fmt: skip


def _die_with_parent() -> None:
    """In the child: no contender outlives a harness that was killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def stop(process: subprocess.Popen[bytes], timeout_s: float = 30) -> None:
    """Ask a contender to end in order, and make it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def tokens() -> Tokens:
    """What contactgate's registry snapshot is built with."""
    return Tokens(TOKEN_KEY.encode())


def everyone() -> tuple[Contender, ...]:
    """All of them, contactgate first."""
    return (
        Contender("contactgate", "contactgate", group="contactgate", title="contactgate"),
        Contender(
            "streams-100", "streams", ("100", "1"), "kafka-streams", title="Kafka Streams, 100 ms commits (default)"
        ),
        Contender("streams-20", "streams", ("20", "1"), "kafka-streams", title="Kafka Streams, 20 ms commits"),
        Contender(
            "streams-100-2", "streams", ("100", "2"), "kafka-streams", title="Kafka Streams, 100 ms commits, 2 threads"
        ),
        Contender("quix", "python", ("quix_gate.py", "0.1"), "quix", share=0.2, title="quixstreams, 100 ms commits"),
        Contender(
            "bytewax", "python", ("bytewax_gate.py",), "bytewax", guarantee="at least once", restores=False,
            title="bytewax, snapshots once a second",
        ),
        Contender(
            "faust", "python", ("faust_gate.py",), "faust", guarantee="at least once", share=0.05,
            title="Faust, agent and Table",
        ),
        Contender(
            "floor", "python", ("floor.py",), "floor", decides=False, guarantee="at least once",
            title="confluent-kafka pass-through (decides nothing)",
        ),
        Contender(
            "floor-transactions", "python", ("floor.py", "--transactions"), "floor", decides=False,
            title="the same in transactions",
        ),
    )  # fmt: skip

"""The jars of the embedded broker: resolved once by Maven from the pinned POM into a cache outside the source tree.

Layout of the cache directory, `$XDG_CACHE_HOME/contactgate/kafka-4.1.1-<hash of pom.xml and log4j2.properties>/`:

    jars/*.jar             what `mvn dependency:copy-dependencies` gave
    log4j2.properties      copied from the package
    classes-<java>.jsa     class data archive made by one throw-away run with this Java; absent when that run failed

The directory appears by one rename, under a file lock, so a killed download leaves nothing that looks complete and two
processes do not download twice. The archive halves the start-up time (measured on two cores: format and start 6.3 s
without, 2.8 s with) and is optional: Java ignores one that does not fit.

This module must never start a broker that outlives it or write inside the source tree.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from contactgate.errors import BrokerError

__all__ = ["KAFKA_VERSION", "KafkaInstall", "archive_path", "cache_root", "ensure_jars", "locked"]

KAFKA_VERSION = "4.1.1"
MAIN_BROKER = "kafka.Kafka"
MAIN_STORAGE = "kafka.tools.StorageTool"

_RESOURCES = ("pom.xml", "log4j2.properties")
_MINIMUM_JAVA = 17
_MAVEN_DEADLINE_S = 600


@dataclass(frozen=True)
class KafkaInstall:
    """A resolved Kafka: where it lies and which Java runs it."""

    root: Path
    java: str
    java_id: str
    """Short hash of `java -version`; a class data archive belongs to exactly one Java."""

    @property
    def archive(self) -> Path:
        """Where the class data archive for this Java lies or would lie."""
        return archive_path(self.root, self.java_id)

    def command(self, main: str, *args: str, heap_mb: int = 512, options: tuple[str, ...] = ()) -> list[str]:
        """The command line that runs `main`. Serial collector and first-tier compilation: fast start on two cores."""
        jars = sorted(str(jar) for jar in (self.root / "jars").glob("*.jar"))
        shared = (f"-XX:SharedArchiveFile={self.archive}",) if self.archive.exists() and not options else ()
        return [
            self.java,
            f"-Xmx{heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xshare:auto",
            "-Xlog:disable",
            "-Xlog:all=error:stderr",
            *shared,
            *options,
            f"-Dlog4j2.configurationFile={self.root / 'log4j2.properties'}",
            "-Djava.net.preferIPv4Stack=true",
            "-cp",
            os.pathsep.join(jars),
            main,
            *args,
        ]


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/contactgate`, by default `~/.cache/contactgate`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "contactgate"


def archive_path(root: Path, java_id: str) -> Path:
    """Where the class data archive of `java_id` lies inside the install at `root`."""
    return root / f"classes-{java_id}.jsa"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`; waits for another process that holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def ensure_jars() -> KafkaInstall:
    """The installed Kafka, resolved through Maven when it is not in the cache yet.

    Raises BrokerError when Java or Maven is missing, Java is too old, or Maven fails (with the end of its output).
    """
    java, java_id = _java()
    resources = {name: files(__package__).joinpath(name).read_bytes() for name in _RESOURCES}
    digest = hashlib.sha256(b"\0".join(resources.values())).hexdigest()[:12]
    root = cache_root() / f"kafka-{KAFKA_VERSION}-{digest}"
    if not root.is_dir():
        with locked(root.with_name(root.name + ".lock")):
            if not root.is_dir():
                _download(root, resources)
    return KafkaInstall(root, java, java_id)


def _download(root: Path, resources: dict[str, bytes]) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise BrokerError(
            "maven (mvn) is not on the path and the embedded broker's jars are not in the cache yet: install it "
            "(debian: apt-get install maven), or set KAFKA_BOOTSTRAP to a running cluster"
        )
    building = root.with_name(f"{root.name}.building-{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        for name, content in resources.items():
            (building / name).write_bytes(content)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={building / 'jars'}", "-DincludeScope=runtime"]
        done = subprocess.run(
            [mvn, "-B", "-q", "-f", str(building / "pom.xml"), *goal],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_MAVEN_DEADLINE_S,
        )
        if done.returncode != 0 or not any((building / "jars").glob("kafka_*.jar")):
            raise BrokerError(
                "maven could not resolve the embedded broker's jars; check the network and maven's settings, "
                f"or set KAFKA_BOOTSTRAP to a running cluster. its last output:\n{_tail(done.stdout)}"
            )
        building.rename(root)
    except subprocess.TimeoutExpired as late:
        raise BrokerError(f"maven did not resolve the broker's jars within {_MAVEN_DEADLINE_S} s; try again") from late
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _java() -> tuple[str, str]:
    home = os.environ.get("JAVA_HOME")
    in_home = shutil.which(str(Path(home) / "bin" / "java")) if home else None
    java = in_home or shutil.which("java")
    if java is None:
        raise BrokerError(
            f"java {_MINIMUM_JAVA} or newer is needed by the embedded broker and there is none: install it "
            "(debian: apt-get install openjdk-17-jre-headless), or set KAFKA_BOOTSTRAP to a running cluster"
        )
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    banner = said.stderr + said.stdout
    match = re.search(r'version "(\d+)', banner)
    if match is None or int(match[1]) < _MINIMUM_JAVA:
        raise BrokerError(
            f"java {_MINIMUM_JAVA} or newer is needed by the embedded broker, {java} is "
            f"{match[1] if match else 'unreadable'}: install a newer one or point JAVA_HOME at it"
        )
    return java, hashlib.sha256(banner.encode()).hexdigest()[:12]


def _tail(text: str, lines: int = 20) -> str:
    return "\n".join(text.splitlines()[-lines:])

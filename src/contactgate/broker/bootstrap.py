"""Which cluster a command or test talks to: the one KAFKA_BOOTSTRAP names, or an embedded one of its own.

It must never fall back from a named cluster to an embedded one: naming a cluster is a choice.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contactgate.broker.cluster import DevCluster
from contactgate.broker.probe import broker_ids
from contactgate.errors import BrokerUnavailable

__all__ = ["ENVIRONMENT", "Bootstrap", "bootstrap_or_start"]

ENVIRONMENT = "KAFKA_BOOTSTRAP"


@dataclass(frozen=True)
class Bootstrap:
    """Where to connect, and the cluster itself when it is ours to stop."""

    address: str
    cluster: DevCluster | None

    @property
    def ours(self) -> bool:
        """Whether this process started the cluster."""
        return self.cluster is not None


@contextlib.contextmanager
def bootstrap_or_start(nodes: int = 1, directory: Path | None = None, *, wait_s: float = 10.0) -> Iterator[Bootstrap]:
    """The cluster to use inside the `with` block; an embedded one is stopped at its end.

    Raises BrokerUnavailable when the cluster that KAFKA_BOOTSTRAP names does not answer within `wait_s`.
    """
    named = os.environ.get(ENVIRONMENT, "").strip()
    if named:
        _require(named, wait_s)
        yield Bootstrap(named, None)
        return
    with DevCluster(nodes, directory) as cluster:
        yield Bootstrap(cluster.bootstrap, cluster)


def _require(addresses: str, wait_s: float) -> None:
    pairs = []
    for address in addresses.split(","):
        host, colon, port = address.strip().rpartition(":")
        if not (host and colon and port.isdigit()):
            raise BrokerUnavailable(f"{ENVIRONMENT} is {addresses!r}; it must be host:port, several joined by commas")
        pairs.append((host.strip("[]"), int(port)))
    limit = time.monotonic() + wait_s
    while not any(broker_ids(port, host=host, timeout_s=2.0) for host, port in pairs):
        if time.monotonic() > limit:
            raise BrokerUnavailable(
                f"no broker of {ENVIRONMENT}={addresses} answered within {wait_s:g} s: start it, correct the address, "
                f"or unset {ENVIRONMENT} to use the embedded broker"
            )
        time.sleep(0.2)

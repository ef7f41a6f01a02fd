"""Which topics contactgate needs, how they must be configured, and the administration of exactly that.

`topic_specs` says what must be; `create` adds what is missing and never changes what exists; `check` says how what
exists differs and what to do. Everything keyed by the subject has one partition count: a subject's consent, requests,
outcomes, decisions and state meet in the partition of the same number. The reasons for the settings are in
docs/decisions/0003-topic-settings.md.

The only module that talks to kafka-python's admin client; its exceptions end here. It must never delete a topic, alter
one that exists, or read a record.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, for_code

from contactgate.errors import BrokerError, BrokerUnavailable, TopicsDiffer
from contactgate.model.instants import DAY_MS
from contactgate.names import (
    ADDRESS_SUPPRESSIONS,
    APPROVALS,
    CONSENT_EVENTS,
    CONTACT_DECISIONS,
    CONTACT_OUTCOMES,
    CONTACT_REQUESTS,
    CONTROL_EVENTS,
    DEAD_LETTERS,
    OPS_ALERTS,
    OPS_METRICS,
    RELAY,
    SUBJECTS_CHANGELOG,
    TASKS,
    approvals_topic,
)

__all__ = [
    "DEFAULT_PARTITIONS",
    "Created",
    "Difference",
    "Layout",
    "TopicAdmin",
    "TopicSpec",
    "TopicState",
    "check_requester",
    "topic_specs",
]

DEFAULT_PARTITIONS = 8

_TEN_YEARS_MS = 3653 * DAY_MS
_FOREVER = -1
_MIB = 1 << 20

_LEGAL = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST = 249

# What a larger (smaller) value than ours does no harm to; -1 stands for "without limit". All others must be equal.
_AT_LEAST = frozenset(
    {"delete.retention.ms", "max.message.bytes", "min.insync.replicas", "retention.bytes", "retention.ms"}
)
_AT_MOST = frozenset({"max.compaction.lag.ms", "min.cleanable.dirty.ratio", "segment.ms"})

_EXISTS = 36
_UNKNOWN_TOPIC = 3
_LAG_S = 20.0  # how long a broker may not have heard of a topic that another one created


@dataclass(frozen=True)
class TopicSpec:
    """One topic as it must be. `configs` holds every setting that the design relies on, as Kafka writes it."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]


@dataclass(frozen=True)
class TopicState:
    """One topic as the cluster has it; `configs` holds all effective settings.

    `topic_id` is Kafka's own id of this very topic: a topic that was deleted and made again has another.
    """

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]
    topic_id: str


@dataclass(frozen=True)
class Difference:
    """One way in which a topic is not as it must be. `setting`: `partitions`, `replication`, `missing` or a config."""

    topic: str
    setting: str
    found: str
    needed: str
    advice: str

    def __str__(self) -> str:
        if self.setting == "missing":
            return f"topic {self.topic} does not exist: {self.advice}"
        return f"topic {self.topic} has {self.setting}={self.found}, needs {self.needed}: {self.advice}"


@dataclass(frozen=True)
class Created:
    """What `create` did: names it created, names that existed, and how existing ones differ (they were left alone)."""

    created: tuple[str, ...]
    existed: tuple[str, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Layout:
    """The choices an installation makes; everything else about its topics follows from them."""

    prefix: str = ""
    partitions: int = DEFAULT_PARTITIONS
    requesters: tuple[str, ...] = field(default=())
    replication: int = 1
    event_time: bool = False
    """Record timestamps are those of the producer (replays of old data) instead of the broker's arrival time."""


def check_requester(requester: str, prefix: str = "") -> None:
    """Raise BrokerError when `requester` cannot be part of a Kafka topic name."""
    _check_name(approvals_topic(prefix, requester), f"requester {requester!r}")
    if not requester:
        raise BrokerError("a requester's name is empty: give it the party_id that its requests carry")


def topic_specs(layout: Layout) -> tuple[TopicSpec, ...]:
    """Every topic of an installation, inputs first. Raises BrokerError when a name or count cannot be."""
    if layout.partitions < 1:
        raise BrokerError(f"a topic has at least one partition, not {layout.partitions}")
    if layout.replication < 1:
        raise BrokerError(f"a partition has at least one replica, not {layout.replication}")
    for requester in layout.requesters:
        check_requester(requester, layout.prefix)
    _check_collisions(layout.requesters)

    durable = {"min.insync.replicas": "2" if layout.replication >= 3 else "1"}
    arrival = {"message.timestamp.type": "CreateTime" if layout.event_time else "LogAppendTime"}
    # Kafka unpacks what a producer compressed before it measures it, so a record is never larger than this.
    small = {"max.message.bytes": str(_MIB), "compression.type": "uncompressed"}

    def kept(days: int) -> dict[str, str]:
        # Old event times would make fresh records of a replay older than any limit.
        keep_ms = _FOREVER if layout.event_time else days * DAY_MS
        return {"cleanup.policy": "delete", "retention.ms": str(keep_ms)}

    def spec(name: str, partitions: int, *parts: Mapping[str, str]) -> TopicSpec:
        configs = {key: value for part in (durable, *parts) for key, value in part.items()}
        full = layout.prefix + name
        _check_name(full, f"prefix {layout.prefix!r}")
        return TopicSpec(full, partitions, layout.replication, configs)

    many = layout.partitions
    ten_years = _TEN_YEARS_MS // DAY_MS
    # Read from the beginning by every worker: what is in force follows from all of it, in order.
    whole = {"cleanup.policy": "delete", "retention.ms": str(_FOREVER), "retention.bytes": str(_FOREVER)}
    return (
        spec(CONSENT_EVENTS, many, kept(ten_years), arrival, small),
        spec(CONTACT_REQUESTS, many, kept(30), arrival, small),
        spec(CONTACT_OUTCOMES, many, kept(30), arrival, small),
        spec(CONTROL_EVENTS, 1, whole, arrival, small),
        spec(ADDRESS_SUPPRESSIONS, 1, whole, arrival, small),
        spec(CONTACT_DECISIONS, many, kept(ten_years)),
        *(spec(APPROVALS + requester, many, kept(30)) for requester in layout.requesters),
        spec(
            SUBJECTS_CHANGELOG,
            many,
            {
                "cleanup.policy": "compact",
                "min.cleanable.dirty.ratio": "0.1",
                "segment.ms": str(DAY_MS // 4),
                "max.message.bytes": str(4 * _MIB),
                # An erased subject leaves the log within about a day however little else is written …
                "max.compaction.lag.ms": str(DAY_MS),
                # … and its tombstone stays long enough for a worker that was away to see it.
                "delete.retention.ms": str(30 * DAY_MS),
            },
        ),
        # Read within moments; kept as long as inputs, so that a stall of any length that those survive loses nothing.
        spec(RELAY, many, kept(30)),
        spec(DEAD_LETTERS, many, kept(90), {"max.message.bytes": str(8 * _MIB)}),
        spec(OPS_METRICS, 1, {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)}),
        spec(OPS_ALERTS, 1, {"cleanup.policy": "delete", "retention.ms": str(90 * DAY_MS)}),
        # Carries Faust's partition assignment and never a record.
        spec(TASKS, many, {"cleanup.policy": "delete"}),
    )


class TopicAdmin:
    """Administration of one cluster's topics; a context manager. Raises BrokerUnavailable when no broker is there.

    `client_config`: kafka-python's options for a protected cluster (protocol, credentials, TLS context); never shown.
    """

    def __init__(
        self, bootstrap: str, *, timeout_s: float = 15.0, client_config: Mapping[str, Any] | None = None
    ) -> None:
        self._bootstrap = bootstrap
        self._created: set[str] = set()
        servers = _servers(bootstrap)
        with self._translated("connect"):
            # Asked here because the client, when nobody answers, fails in its constructor with its sockets open.
            _reach(servers, timeout_s)
        try:
            self._client: Any = KafkaAdminClient(
                bootstrap_servers=servers,
                client_id="contactgate-topics",
                bootstrap_timeout_ms=int(timeout_s * 1000),
                request_timeout_ms=int(timeout_s * 1000),
                **(client_config or {}),
            )
        except (KafkaConnectionError, KafkaTimeoutError) as error:
            # kafka-python does not say which it was, a refused password and a refused certificate included. For that
            # nobody shall wait, and lock an account meanwhile.
            raise BrokerError(
                f"could not connect: {bootstrap} accepts connections but answers no client ({type(error).__name__}); "
                "check security_protocol, user and password (sasl_*) and certificates (tls_*), "
                "and that the broker does not hang"
            ) from error
        except (KafkaError, ValueError, OSError) as error:
            raise BrokerError(f"could not connect at {bootstrap}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def create(self, specs: Sequence[TopicSpec]) -> Created:
        """Create those of `specs` that are missing; existing ones are compared and left as they are."""
        states = self._states(spec.name for spec in specs)
        missing = {
            spec.name: {
                "num_partitions": spec.partitions,
                "replication_factor": spec.replication,
                "configs": dict(spec.configs),
            }
            for spec in specs
            if spec.name not in states
        }
        lost_race: set[str] = set()
        if missing:
            with self._translated("create topics"):
                answer = self._client.create_topics(missing, raise_errors=False)
            refused = []
            for topic in answer["topics"]:
                if topic["error_code"] == _EXISTS:
                    lost_race.add(topic["name"])
                elif topic["error_code"]:
                    why = topic.get("error_message") or for_code(topic["error_code"]).__name__
                    refused.append(f"{topic['name']}: {why}")
            if refused:
                raise BrokerError("kafka refused to create topics, correct the cause and repeat; " + "; ".join(refused))
            with self._translated("wait for the new topics"):
                self._client.wait_for_topics(list(missing))
            self._created.update(missing)
        before = [spec for spec in specs if spec.name in states or spec.name in lost_race]
        return Created(
            created=tuple(name for name in missing if name not in lost_race),
            existed=tuple(spec.name for spec in before),
            differences=self.check(before),
        )

    def check(self, specs: Sequence[TopicSpec]) -> tuple[Difference, ...]:
        """How the cluster differs from `specs`; empty when it does not."""
        states = self._states(spec.name for spec in specs)
        return tuple(
            difference for spec in specs for difference in _differences(spec, states.get(spec.name), self._bootstrap)
        )

    def require(self, specs: Sequence[TopicSpec]) -> None:
        """Raise TopicsDiffer, naming every difference, unless the cluster is as `specs` say."""
        differences = self.check(specs)
        if differences:
            raise TopicsDiffer("\n".join(["the topics are not as they must be:", *(f"  {d}" for d in differences)]))

    def describe(self, prefix: str = "") -> tuple[TopicState, ...]:
        """Every topic of the installation with this prefix that exists, in the order of `topic_specs`."""
        requesters = self._requesters(prefix)
        names = [spec.name for spec in topic_specs(Layout(prefix=prefix, requesters=requesters))]
        states = self._states(names)
        return tuple(states[name] for name in names if name in states)

    def observed(self, prefix: str = "") -> Layout | None:
        """The layout that the existing installation was created with; None when there is none.

        Read from contact-requests: partition count, replication and kind of timestamp; the requesters are those that
        have an approvals topic.
        """
        requests = f"{prefix}contact-requests"
        state = self._states([requests]).get(requests)
        if state is None:
            return None
        return Layout(
            prefix=prefix,
            partitions=state.partitions,
            requesters=self._requesters(prefix),
            replication=state.replication,
            event_time=state.configs.get("message.timestamp.type") == "CreateTime",
        )

    def brokers(self) -> int:
        """How many brokers are alive."""
        with self._translated("describe the cluster"):
            return len(self._client.describe_cluster()["brokers"])

    def cluster_id(self) -> str:
        """Kafka's id of the cluster."""
        with self._translated("describe the cluster"):
            return str(self._client.describe_cluster()["cluster_id"])

    def identity(self, topic: str) -> tuple[str, str]:
        """The cluster's id and the topic's; local state names both, so that it is never used for another one."""
        with self._translated("identify the cluster"):
            cluster = str(self._client.describe_cluster()["cluster_id"])
            topics = self._client.describe_topics([topic])
        return cluster, str(topics[0].get("topic_id") or "") if topics else ""

    def _requesters(self, prefix: str) -> tuple[str, ...]:
        start = prefix + APPROVALS
        with self._translated("list topics"):
            names: list[str] = self._client.list_topics()
        return tuple(sorted(name[len(start) :] for name in names if name.startswith(start) and name != start))

    def _states(self, names: Iterable[str]) -> dict[str, TopicState]:
        wanted = list(names)
        if not wanted:
            return {}
        until = time.monotonic() + _LAG_S
        while True:
            with self._translated("describe topics"):
                topics = self._client.describe_topics(wanted)
            unknown = {topic["name"] for topic in topics if topic["error_code"] == _UNKNOWN_TOPIC}
            # The broker that answers may not know yet what another one created a moment ago.
            if unknown.isdisjoint(self._created) or time.monotonic() > until:
                break
            time.sleep(0.1)
        found: dict[str, list[dict[str, Any]]] = {}
        ids: dict[str, str] = {}
        for topic in topics:
            if topic["error_code"] == _UNKNOWN_TOPIC:
                continue
            if topic["error_code"]:
                raise BrokerError(f"kafka cannot describe {topic['name']}: {for_code(topic['error_code']).__name__}")
            found[topic["name"]] = topic["partitions"]
            ids[topic["name"]] = str(topic.get("topic_id", ""))
        if not found:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in found]
        with self._translated("describe topic settings"):
            described = self._client.describe_configs(resources, config_filter="all")
        configs: dict[str, dict[str, Any]] = next(iter(described.values()), {})
        return {
            name: TopicState(
                name=name,
                partitions=len(partitions),
                replication=min((len(part["replica_nodes"]) for part in partitions), default=0),
                configs={key: str(entry["value"]) for key, entry in configs.get(name, {}).items()},
                topic_id=ids[name],
            )
            for name, partitions in found.items()
        }

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except (KafkaConnectionError, KafkaTimeoutError, OSError) as error:
            raise BrokerUnavailable(
                f"could not {what}: no broker at {self._bootstrap} answered ({type(error).__name__}); "
                "check the address and that the broker runs"
            ) from error
        except (KafkaError, ValueError) as error:
            raise BrokerError(f"could not {what} at {self._bootstrap}: {error}") from error


def _reach(servers: list[str], timeout_s: float) -> None:
    """Return when one of `servers` accepts a connection; raise the last one's OSError at the deadline."""
    limit = time.monotonic() + timeout_s
    while True:
        for server in servers:
            host, _, port = server.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=min(timeout_s, 3.0)).close()
                return
            except OSError:
                if server == servers[-1] and time.monotonic() > limit:
                    raise
        time.sleep(0.1)


def _servers(bootstrap: str) -> list[str]:
    servers = [address.strip() for address in bootstrap.split(",")]
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BrokerError(f"{bootstrap!r} is not a broker address: write host:port, several joined by commas")
    return servers


def _differences(spec: TopicSpec, state: TopicState | None, bootstrap: str) -> Iterator[Difference]:
    if state is None:
        yield Difference(spec.name, "missing", "nothing", "the topic", "create it with `contactgate topics create`")
        return
    if state.partitions != spec.partitions:
        yield Difference(
            spec.name,
            "partitions",
            str(state.partitions),
            str(spec.partitions),
            "run with that partition count, or create a new set of topics under another prefix and move over; adding "
            "partitions would separate subjects from their state",
        )
    if state.replication < spec.replication:
        yield Difference(
            spec.name,
            "replication",
            str(state.replication),
            str(spec.replication),
            "add replicas with kafka-reassign-partitions.sh",
        )
    found = {key: state.configs.get(key, "unset") for key in spec.configs}
    differing = {key: needed for key, needed in spec.configs.items() if not _satisfies(key, found[key], needed)}
    # A topic that deletes before its retention is set loses what it should keep: all of it in one command.
    joined = ",".join(f"{key}={needed}" for key, needed in differing.items())
    for key, needed in differing.items():
        change = joined if "cleanup.policy" in differing else f"{key}={needed}"
        yield Difference(
            spec.name,
            key,
            found[key],
            needed,
            f"kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics "
            f"--entity-name {spec.name} --add-config {change}",
        )


def _satisfies(key: str, found: str, needed: str) -> bool:
    if found == needed:
        return True
    if key not in _AT_LEAST | _AT_MOST:
        return False
    try:
        have, want = float(found), float(needed)
    except ValueError:
        return False
    if have == want:
        return True
    if _FOREVER in (have, want):
        return key in _AT_LEAST and have == _FOREVER
    return have >= want if key in _AT_LEAST else have <= want


def _check_name(topic: str, cause: str) -> None:
    if not _LEGAL.fullmatch(topic) or len(topic) > _LONGEST or topic in {".", ".."}:
        raise BrokerError(
            f"{cause} does not make a legal topic name: letters, digits, '.', '_' and '-' are allowed, "
            f"{_LONGEST} in all with what is added"
        )


def _check_collisions(requesters: tuple[str, ...]) -> None:
    seen: dict[str, str] = {}
    for requester in requesters:
        other = seen.setdefault(requester.replace(".", "_"), requester)
        if other != requester:
            raise BrokerError(
                f"requesters {other!r} and {requester!r} differ only in '.' and '_', which kafka's metrics cannot "
                "tell apart: rename one"
            )
    if len(set(requesters)) != len(requesters):
        twice = sorted({name for name in requesters if requesters.count(name) > 1})
        raise BrokerError(f"requesters are named twice: {', '.join(twice)}")

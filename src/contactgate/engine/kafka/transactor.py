"""One partition's transactional writer: Kafka's transaction protocol, as far as the task needs it.

INVARIANT (all acknowledged): the acknowledgements of all batches and of the input positions come before the commit.
INVARIANT (never used again): after any exception the writer is thrown away (`drop`), never aborted, never used again.
INVARIANT (unknown commit): a failure of `commit` leaves its result unknown; the caller opens again and the changelog
tells.
INVARIANT (no blind repeat): only answers that say that nothing was done are followed by the same question: a cut
connection, a timeout or any other error ends this writer.

What makes it quick: one request adds all partitions to the transaction (v1; none is needed in v2), one produce request
a node and round carries a batch of every partition, and the input positions go along behind it on the same connection;
a coordinator that still writes the last transaction's markers is retried after a few milliseconds; each writer has
its own connections, opened in parallel. The transaction timeout is short, and an expired transactional id fails like
anything else and is re-created. Rotation is the task's, record sizes are the consumers'.

`init` makes the next writer, which fences this one and settles what it left. It must never decide whether to try again
after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import aiokafka.errors as kafka_errors
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from contactgate.engine.kafka import protocol as wire
from contactgate.engine.kafka.clients import transactional_client, translate
from contactgate.engine.settings import EngineSettings
from contactgate.errors import BrokerError, BrokerUnavailable, ContactgateError, Fenced
from contactgate.model.log import Out, Positions
from contactgate.names import Kind, approvals_topic

log = logging.getLogger(__name__)
T = TypeVar("T")

Batches = dict[TopicPartition, tuple[int, bytearray]]
"""One record batch of each partition: how many records, and its bytes."""

_BATCH_BYTES = 1_000_000  # below the default max.message.bytes of 1,048,588
_CODECS = {None: 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_SEQUENCES = 1 << 31

_CONCURRENT = 51
_NOT_ATTEMPTED = 55
_NOT_APPENDED = {3, 6, 19, _CONCURRENT}  # unknown topic, another leader, too few replicas: refused, not half done
_FENCED = {47, 90}
_COORDINATOR_NOT_AVAILABLE = 15
_COORDINATOR_AWAY = {14, _COORDINATOR_NOT_AVAILABLE, 16}
_NEWER = {90: "ProducerFenced", 120: "TransactionAbortable"}  # unknown to aiokafka
_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.003, 0.1


class _Session:
    """One identity of the writer: its client, where its coordinators are, and how they are spoken to."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self.client = client
        self.coordinator = -1
        self.group_coordinator = -1
        self.who = wire.Producer("", -1, -1)
        self.v2 = False
        self.sequences: dict[TopicPartition, int] = {}
        self.failed = False  # a transaction was begun on the broker and did not end: unusable


class Transactor:
    """The writer of one partition. After any exception call `drop`, then `init` for a new one."""

    def __init__(self, settings: EngineSettings, partition: int) -> None:
        self.partition = partition
        self.inits = 0
        self._settings = settings
        self._timeout_s = settings.transaction_timeout_ms / 1000
        self._session: _Session | None = None
        self._rounds: list[Batches] = []  # batch i of each partition
        self._settled = False
        self._counts: dict[str, int] = {}
        self._closing: set[asyncio.Task[None]] = set()

    # --- life -----------------------------------------------------------------------------------------------------

    async def init(self) -> None:
        """A new identity: fences the previous owner and returns when its transaction is settled."""
        self.drop()
        session = _Session(transactional_client(self._settings, self.partition))
        try:
            async with asyncio.timeout(self._timeout_s + 10):
                await self._connect(session)
        except BaseException as error:
            self._dispose(session)
            if isinstance(error, Exception):
                raise translate(error, "starting the transactional producer") from error
            raise
        self._session = session
        self.inits += 1

    async def _connect(self, session: _Session) -> None:
        client, settings = session.client, self._settings
        name = settings.transactional_id(self.partition)
        await client.bootstrap()
        pause_s = _FIRST_PAUSE_S
        while True:
            code, number, epoch = _COORDINATOR_NOT_AVAILABLE, -1, -1
            try:
                if session.coordinator < 0:
                    session.coordinator = await client.coordinator_lookup(CoordinationType.TRANSACTION, name)
                    session.group_coordinator = await client.coordinator_lookup(
                        CoordinationType.GROUP, settings.group_id
                    )
                    features = await client.send(session.coordinator, wire.api_versions("contactgate", "1"))
                    session.v2 = self._speaks_v2(features)
                code, number, epoch = await client.send(
                    session.coordinator, wire.init_producer(name, settings.transaction_timeout_ms)
                )
            except (
                kafka_errors.CoordinatorNotAvailableError,
                kafka_errors.CoordinatorLoadInProgressError,
                kafka_errors.NodeNotReadyError,
            ) as error:
                log.info("partition %d: the coordinator is away: %s", self.partition, type(error).__name__)
            if not code:
                session.who = wire.Producer(name, number, epoch)
                return
            if code in _COORDINATOR_AWAY:
                session.coordinator, pause_s = -1, _MOST_PAUSE_S
                client.force_metadata_update()
            elif code != _CONCURRENT:
                raise _fault(code, "starting the transactional producer")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)

    def _speaks_v2(self, features: Mapping[str, int]) -> bool:
        """Whether the cluster has turned on the second version of the transaction protocol."""
        return features.get("transaction.version", 0) >= 2

    def drop(self) -> None:
        """End this identity, see INVARIANT (never used again); its connections are closed in the background."""
        session, self._session = self._session, None
        self._rounds, self._settled = [], False
        if session is not None:
            self._dispose(session)

    def _dispose(self, session: _Session) -> None:
        task = asyncio.create_task(_close(session.client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Drop and wait until the connections are closed."""
        self.drop()
        if self._closing:
            await asyncio.wait(self._closing, timeout=5)

    # --- a transaction --------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Begin a transaction: here alone, for the coordinator learns of it with its first partition."""
        if self._need().failed:
            raise BrokerError("this producer has failed; it has to be thrown away")
        self._rounds, self._settled = [], False

    async def produce(self, outs: list[Out], changelog: list[tuple[bytes, bytes | None]], timestamp_ms: int) -> None:
        """Put everything into record batches; `settle` sends them."""
        session = self._need()
        codec, who, sequences = _CODECS[self._settings.compression], session.who, session.sequences
        building: dict[TopicPartition, tuple[list[DefaultRecordBatchBuilder], list[int]]] = {}
        for tp, key, value, headers in self._routed(outs, changelog):
            found = building.get(tp)
            if found is None:
                found = building[tp] = ([_builder(codec)], [0])
            batches, counts = found
            if batches[-1].append(counts[-1], timestamp_ms, key, value, headers) is None:
                batches.append(_builder(codec))
                counts.append(0)
                batches[-1].append(0, timestamp_ms, key, value, headers)
            counts[-1] += 1
        rounds: list[Batches] = []
        for tp, (batches, counts) in building.items():
            sequence = sequences.get(tp, 0)
            for number, (batch, count) in enumerate(zip(batches, counts, strict=True)):
                batch.set_producer_state(who.id, who.epoch, sequence)
                if number == len(rounds):
                    rounds.append({})
                rounds[number][tp] = count, batch.build()
                sequence = (sequence + count) % _SEQUENCES
            sequences[tp] = sequence
        self._rounds = rounds

    def _routed(
        self, outs: list[Out], changelog: list[tuple[bytes, bytes | None]]
    ) -> Iterable[tuple[TopicPartition, bytes | None, bytes | None, list[tuple[str, bytes]]]]:
        settings, partition = self._settings, self.partition
        decision = TopicPartition(settings.topic(Kind.DECISION), partition)
        dead_name = settings.topic(Kind.DEAD)
        log = TopicPartition(settings.topic(Kind.CHANGELOG), partition)
        relay = TopicPartition(settings.topic(Kind.RELAY), partition)
        approvals: dict[str, TopicPartition] = {}
        for out in outs:
            if out.kind == Kind.DECISION:
                yield decision, out.key, out.value, out.headers
            elif out.kind == Kind.APPROVAL:
                requester = out.requester or ""
                if requester not in approvals:
                    approvals[requester] = self._approval(requester)
                yield approvals[requester], out.key, out.value, out.headers
            elif out.kind == Kind.RELAY:
                yield relay, out.key, out.value, out.headers
            else:
                yield TopicPartition(dead_name, partition % self._count(dead_name)), out.key, out.value, out.headers
        for key, value in changelog:
            yield log, key, value, []

    def _approval(self, requester: str) -> TopicPartition:
        # The task's own partition, not the token's hash: a subject's approvals stay together and in order either way,
        # and a transaction touches one partition a requester instead of all of them (decision 0009).
        name = approvals_topic(self._settings.prefix, requester)
        return TopicPartition(name, self.partition % self._count(name))

    def _count(self, name: str) -> int:
        count = self._counts.get(name)
        if count is None:
            known = self._need().client.cluster.partitions_for_topic(name)
            if not known:
                raise BrokerError(f"topic {name} does not exist; create it with `contactgate topics create`")
            count = self._counts[name] = len(known)
        return count

    async def learn(self, names: Iterable[str]) -> None:
        """Make the partition counts and leaders of these topics known."""
        client = self._need().client
        for name in names:
            await self._call(client._wait_on_metadata(name), f"asking for the partitions of {name}")

    async def settle(self, positions: Positions) -> int:
        """Send everything and the input positions, wait for every acknowledgement; the next changelog offset."""
        session = self._need()
        session.failed = True
        following: int = await self._call(self._send(session, positions), "sending a transaction")
        self._settled = True
        return following

    async def _send(self, session: _Session, positions: Positions) -> int:
        settings, who, v2 = self._settings, session.who, session.v2
        kinds = zip((Kind.CONSENT, Kind.OUTCOME, Kind.REQUEST), positions, strict=True)
        offsets = [(settings.topic(kind), self.partition, offset) for kind, offset in kinds]
        commit = _Question(
            session.group_coordinator,
            lambda: wire.commit_offsets(who, settings.group_id, offsets, v2=v2),
            lambda codes: max((code for _, _, code in codes), default=0),
        )
        if not v2:
            topics = _by_topic({tp: [tp.partition] for batches in self._rounds for tp in batches})
            partitions = _Question(
                session.coordinator,
                lambda: wire.add_partitions(who, topics),
                # The first partition that is refused says why; the others were not attempted then (55).
                lambda codes: next((code for _, _, code in codes if code not in (0, _NOT_ATTEMPTED)), 0),
            )
            group = _Question(session.coordinator, lambda: wire.add_offsets(who, settings.group_id), int)
            await self._ask(session, [partitions, group])
        following = 0
        for number, batches in enumerate(self._rounds):
            stored = await self._store(session, batches, None if number else commit)
            last = stored.get(TopicPartition(settings.topic(Kind.CHANGELOG), self.partition))
            if last is not None:
                following = last
        if not commit.done:
            await self._ask(session, [commit])
        return following

    async def _store(self, session: _Session, batches: Batches, commit: _Question | None) -> dict[TopicPartition, int]:
        """Produce a batch of each partition, and commit the positions behind them -> the offset after each batch."""
        left, after, pause_s = batches, {}, _FIRST_PAUSE_S
        while True:
            questions = [self._question(session, node, part) for node, part in self._by_node(session, left).items()]
            # Two requests of one transaction that both add partitions meet as concurrent ones in v2: one by one there.
            # Behind one another on the same connection they do not meet.
            steps = [[question] for question in questions] if session.v2 else [list(questions)]
            if commit is not None and not commit.done and (not session.v2 or questions[-1].node == commit.node):
                steps[-1].append(commit)
            for step in steps:
                await self._ask(session, step, again=False)
            refused: Batches = {}
            for question in questions:
                for topic, partition, code, offset in question.answer:
                    tp = TopicPartition(topic, partition)
                    if not code:
                        after[tp] = offset + left[tp][0]
                    elif code in _NOT_APPENDED:
                        refused[tp] = left[tp]
                    else:
                        raise _fault(code, f"producing to {topic}")
            if len(after) + len(refused) != len(batches):
                raise BrokerError("a produce answer leaves out a batch")
            if not refused:
                return after
            left = refused
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)
            session.client.force_metadata_update()

    def _question(self, session: _Session, node: int, batches: Batches) -> _Question:
        topics = _by_topic({tp: [(tp.partition, data)] for tp, (_, data) in batches.items()})
        call = wire.produce(session.who, topics, self._settings.request_timeout_ms, v2=session.v2)
        return _Question(node, lambda: call, lambda _: 0)

    @staticmethod
    def _by_node(session: _Session, batches: Batches) -> dict[int, Batches]:
        """The batches by their partitions' leaders, the group's coordinator last."""
        nodes: dict[int, Batches] = {}
        for tp, batch in batches.items():
            node = session.client.cluster.leader_for_partition(tp)
            if node is None or node < 0:
                raise BrokerUnavailable(f"topic {tp.topic} has no leader for partition {tp.partition}")
            nodes.setdefault(node, {})[tp] = batch
        return dict(sorted(nodes.items(), key=lambda item: item[0] == session.group_coordinator))

    async def _ask(self, session: _Session, questions: list[_Question], *, again: bool = True) -> None:
        """Send all, in this order where they go to the same node; retry while a coordinator is still busy."""
        client, pause_s = session.client, _FIRST_PAUSE_S
        while True:
            for question in questions:
                if not await client.ready(question.node):
                    raise BrokerUnavailable(f"no connection to Kafka node {question.node}")
            answers = await asyncio.gather(
                *(client.send(question.node, question.make()) for question in questions), return_exceptions=True
            )
            for question, answer in zip(questions, answers, strict=True):
                if isinstance(answer, BaseException):
                    raise answer
                question.answer = answer
                code = question.judge(answer)
                question.done = not code
                if code and code != _CONCURRENT:
                    raise _fault(code, "sending a transaction")
            questions = [question for question in questions if not question.done]
            if not questions or not again:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)

    async def commit(self) -> None:
        """End the transaction. Any exception leaves the result unknown."""
        session = self._need()
        if not self._settled:
            raise BrokerError("a transaction is committed before everything in it is acknowledged")
        self._settled = False
        what = "committing a transaction"
        code, who = await self._call(
            session.client.send(session.coordinator, wire.end(session.who, v2=session.v2)), what
        )
        if code:
            raise _fault(code, what)
        if who != session.who:  # v2: an epoch for each transaction, and sequence numbers from the beginning
            session.who = who
            session.sequences.clear()
        session.failed = False
        self._rounds = []

    def _need(self) -> _Session:
        if self._session is None:
            raise BrokerError("there is no producer; the previous one was thrown away")
        return self._session

    async def _call(self, awaitable: Awaitable[T], what: str) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await awaitable
        except TimeoutError as error:
            raise BrokerUnavailable(f"no answer from Kafka within {self._timeout_s:g} s while {what}") from error
        except Exception as error:
            raise translate(error, what) from error


class _Question:
    """One request of a transaction: whom it goes to, how it is made, its answer, and what the answer's error is."""

    __slots__ = ("answer", "done", "judge", "make", "node")

    def __init__(self, node: int, make: Callable[[], wire.Call], judge: Callable[[Any], int]) -> None:
        self.node, self.make, self.judge = node, make, judge
        self.answer: Any = None
        self.done = False


def _builder(codec: int) -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(2, codec, 1, -1, -1, -1, _BATCH_BYTES)


def _by_topic(items: Mapping[TopicPartition, list[T]]) -> dict[str, list[T]]:
    topics: dict[str, list[T]] = {}
    for tp, item in items.items():
        topics.setdefault(tp.topic, []).extend(item)
    return topics


def _fault(code: int, what: str) -> ContactgateError:
    if code in _FENCED:
        return Fenced("another worker has taken over this partition's transactional id")
    name = _NEWER.get(code) or kafka_errors.for_code(code).__name__
    return BrokerError(f"{name} ({code}) while {what}")


async def _close(client: AIOKafkaClient) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(3):
            await client.close()

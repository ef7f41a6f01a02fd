"""The order barrier's questions: the ends of everything a decision depends on, asked after the requests came in.

Why this is right: a ticket's request for end offsets is sent after the requests it covers were fetched, each of which
was appended before it was fetched. A consent acknowledged (acks=all) before a request was produced lies below the high
watermark then, which never falls on a leader, so it lies below the offset the ticket answers; and the task decides
only when its inputs have been read up to there. The question goes over a connection of its own (behind a long poll it
would wait for it), and asks the high watermark, not the last stable offset: a committed consent may lie
above an older open transaction.

One round asks for all partitions of a worker that wait; rounds follow each other: at most one per round trip. A round
is one small request a leader; whatever is unusual about it (a leader that moved, an error, a cut connection) is left to
aiokafka's own way of asking, which finds the leaders and tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition

from contactgate.engine.kafka import protocol as wire
from contactgate.engine.kafka.clients import MIB, consumer, translate
from contactgate.engine.settings import EngineSettings
from contactgate.names import Kind

Ends = dict[TopicPartition, int]
Ticket = asyncio.Future[Ends]


class Barrier:
    """Rounds of end offsets. A ticket is a future of the ends, asked for after the ticket was drawn."""

    def __init__(self, settings: EngineSettings) -> None:
        self.rounds = 0
        self._settings = settings
        self._always = [TopicPartition(settings.topic(kind), 0) for kind in (Kind.CONTROL, Kind.SUPPRESSION)]
        self._wanted: set[TopicPartition] = set()
        self._next: Ticket | None = None
        self._kick = asyncio.Event()
        self._meta: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect."""
        self._meta = consumer(self._settings, max_bytes=MIB, committed=False)
        try:
            await self._meta.start()
        except Exception as error:
            await self._meta.stop()
            raise translate(error, "connecting the barrier's client") from error
        self._task = asyncio.create_task(self._run(), name="barrier")

    async def stop(self) -> None:
        """Disconnect; open tickets fail."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._next is not None and not self._next.done():
            self._next.cancel()
        if self._meta is not None:
            await self._meta.stop()

    def ticket(self, partitions: Iterable[int]) -> Ticket:
        """Ask, in the next round, for the ends of these partitions' facts and of the broadcast topics."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._next.add_done_callback(_retrieved)
        for partition in partitions:
            self._wanted.add(TopicPartition(self._settings.topic(Kind.CONSENT), partition))
            self._wanted.add(TopicPartition(self._settings.topic(Kind.OUTCOME), partition))
        self._kick.set()
        return self._next

    async def ends(self, tps: Iterable[TopicPartition]) -> Ends:
        """High watermarks, outside of any round."""
        assert self._meta is not None
        try:
            found: Ends = await self._meta.end_offsets(list(tps))
        except Exception as error:
            raise translate(error, "asking for end offsets") from error
        return found

    async def _quick_ends(self, tps: list[TopicPartition]) -> Ends | None:
        """High watermarks in one question to each known leader; None when not every answer is plain."""
        assert self._meta is not None
        client = self._meta._client
        nodes: dict[int, dict[str, list[int]]] = {}
        for tp in tps:
            leader = client.cluster.leader_for_partition(tp)
            if leader is None or leader < 0:
                return None
            nodes.setdefault(leader, {}).setdefault(tp.topic, []).append(tp.partition)
        answers = await asyncio.gather(
            *(client.send(node, wire.high_watermarks(topics)) for node, topics in nodes.items()), return_exceptions=True
        )
        ends: Ends = {}
        for answer in answers:
            if isinstance(answer, BaseException):
                return None
            for topic, partition, code, offset in answer:
                if code or offset < 0:
                    return None
                ends[TopicPartition(topic, partition)] = offset
        return ends if len(ends) == len(tps) else None

    async def begins(self, tps: Iterable[TopicPartition]) -> Ends:
        """First offsets that are still held."""
        assert self._meta is not None
        try:
            found: Ends = await self._meta.beginning_offsets(list(tps))
        except Exception as error:
            raise translate(error, "asking for first offsets") from error
        return found

    async def _run(self) -> None:
        while True:
            await self._kick.wait()
            self._kick.clear()
            ticket, wanted = self._next, self._wanted
            self._next, self._wanted = None, set()
            if ticket is None:
                continue
            try:
                tps = [*wanted, *self._always]
                ends = await self._quick_ends(tps) or await self.ends(tps)
            except asyncio.CancelledError:
                ticket.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - belongs to those who wait; the rounds go on
                if not ticket.done():
                    ticket.set_exception(error)
                await asyncio.sleep(0.05)
                continue
            self.rounds += 1
            if not ticket.done():
                ticket.set_result(ends)


def _retrieved(ticket: Ticket) -> None:
    """A ticket that nobody needed any more may fail unseen."""
    if not ticket.cancelled():
        ticket.exception()

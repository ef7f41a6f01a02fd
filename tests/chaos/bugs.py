"""Seeded bugs of the engine, put into a worker process from outside, and the list of all with the faults they need.

`install(name)` is called by tests.chaos.worker when the harness names a bug; the product knows no switch. Bugs of the
task are the classes that the simulation seeds as well; bugs of what surrounds it are patches of one function. Those of
the gate are in `bugs_gate` and `bugs_again`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.chaos import bugs_again, bugs_gate, faults
from tests.chaos.faults import Fault
from tests.simulation import bugs as simulated

from contactgate.engine import barrier, driver, worker
from contactgate.engine import compose as live
from contactgate.engine.kafka import clients, transactor
from contactgate.partition import effects as fx
from contactgate.partition.task import PartitionTask


@dataclass(frozen=True)
class Bug:
    """One way to be wrong, how to put it in, and which faults bring it to light."""

    name: str
    what: str
    install: Callable[[], None]
    faults: tuple[Fault, ...] = ()
    rate: float = 1.0  # how many times the usual rate it takes for rare messages to come


def install(name: str) -> None:
    """Put one bug into this process."""
    {bug.name: bug for bug in BUGS}[name].install()


def _task(bug: type[PartitionTask]) -> Callable[[], None]:
    def put() -> None:
        worker.PartitionTask = bug  # type: ignore[misc]

    return put


def _kill_at(*points: str) -> Fault:
    def kill(scene: faults.Scene, rng: Any) -> faults.Waits:
        return faults.kill_at_point(scene, rng, points)

    kill.__name__ = f"kill_at_{points[0].replace('-', '_')}"
    return kill


# --- what surrounds the task --------------------------------------------------------------------------------------


class _OutputsApart(simulated._OwnTransact):
    """Outputs and positions in one transaction, states in a second."""

    def _send(self, batch: Any, outs: list[Any], changelog: list[Any]) -> Any:
        yield from super()._send(batch, outs, [])
        yield from super()._send(batch, [], changelog)


def _stale_standby() -> None:
    """A standby that follows slowly is promoted, and does not read what came last."""
    worker.PartitionTask = simulated.PromotesStale  # type: ignore[misc]
    carry = driver.Driver._fetch_changelog

    async def slow(self: driver.Driver, effect: fx.FetchChangelog) -> fx.Tail:
        if effect.until is None and getattr(self, "_followed", False):
            told = [asyncio.create_task(event.wait()) for event in (self.promoted, self.stopping)]
            await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
            if self.stopping.is_set():
                raise fx.StopAsked
            return fx.Tail([], effect.start, True)
        self._followed = True  # type: ignore[attr-defined]
        return await carry(self, effect)

    driver.Driver._fetch_changelog = slow  # type: ignore[method-assign]


def _offsets_unanswered() -> None:
    """The positions are not part of the transaction: the meta record says where it began, as a restart finds out."""
    worker.PartitionTask = simulated.StalePositions  # type: ignore[misc]


def _id_per_worker() -> None:
    """The transactional id names the worker, so nobody fences anybody."""

    def own_id(self: clients.EngineSettings, partition: int) -> str:
        return f"{self.prefix}{self.app_id}-{self.worker_id}-{partition}"

    clients.EngineSettings.transactional_id = own_id  # type: ignore[method-assign]


def _restore_uncommitted() -> None:
    """The changelog is restored with what aborted transactions left in it."""
    make = driver.consumer

    def uncommitted(settings: Any, **options: Any) -> Any:
        return make(settings, **{**options, "committed": False})

    driver.consumer = uncommitted


def _inputs_uncommitted() -> None:
    """Inputs of aborted transactions are taken for real."""
    from contactgate.engine import intake

    make = intake.consumer

    def uncommitted(settings: Any, **options: Any) -> Any:
        return make(settings, **{**options, "committed": False})

    intake.consumer = uncommitted


def _barrier_without_world() -> None:
    """The barrier does not wait for control events and suppressions."""
    ask = barrier.Barrier._quick_ends

    async def forgetful(self: barrier.Barrier, tps: Any) -> Any:
        found = await ask(self, tps) or await self.ends(tps)
        return {tp: 0 if tp in self._always else end for tp, end in found.items()}

    barrier.Barrier._quick_ends = forgetful  # type: ignore[method-assign]


def _ticket_before_fetch() -> None:
    """The barrier's ends are asked before the requests are fetched: a ticket is used for two batches."""
    carry = driver.Driver._barrier

    async def stale(self: driver.Driver, effect: fx.Barrier) -> Any:
        if self._ticket is not None and self._ticket.done() and not effect.attempt:
            self._covered = 1 << 62
        return await carry(self, effect)

    driver.Driver._barrier = stale  # type: ignore[method-assign]

    def keep(self: driver.Driver, ticket: Any, upto: int) -> None:
        if self._ticket is None or not self._ticket.done():
            self._ticket, self._covered = ticket, upto

    driver.Driver.cover = keep  # type: ignore[method-assign]


def _dead_letters_outside() -> None:
    """Dead letters are sent by a plain producer before the transaction."""
    produce = driver.Driver._produce

    async def apart(self: driver.Driver, effect: fx.Produce) -> None:
        plain = getattr(self, "_plain", None)
        letters = [out for out in effect.outs if out.kind == "dead"]
        if letters and plain is None:
            plain = clients.plain_producer(self._settings)
            await plain.start()
            self._plain = plain  # type: ignore[attr-defined]
        for out in letters:
            await plain.send_and_wait(self._settings.topic("dead"), out.value, key=out.key, headers=out.headers)
        effect.outs = [out for out in effect.outs if out.kind != "dead"]
        await produce(self, effect)

    driver.Driver._produce = apart  # type: ignore[method-assign]


def _decisions_outside() -> None:
    """Decisions are sent by a plain producer before the transaction."""
    produce = driver.Driver._produce

    async def apart(self: driver.Driver, effect: fx.Produce) -> None:
        plain = getattr(self, "_plain", None)
        if plain is None:
            plain = clients.plain_producer(self._settings)
            await plain.start()
            self._plain = plain  # type: ignore[attr-defined]
        for out in effect.outs:
            if out.kind == "decision":
                await plain.send(self._settings.topic("decision"), out.value, key=out.key, partition=self.partition)
        await plain.flush()
        effect.outs = [out for out in effect.outs if out.kind != "decision"]
        await produce(self, effect)

    driver.Driver._produce = apart  # type: ignore[method-assign]


def _chain_from_the_start() -> None:
    """A partition that is opened begins its audit chain again."""
    build = live.build_worker

    def forgetful(*arguments: Any, **options: Any) -> Any:
        made = build(*arguments, **options)
        make_gate = made._make_gate
        made._make_gate = lambda partition, seq, prev: make_gate(partition, 0, "")
        return made

    live.build_worker = forgetful


def _changelog_loses() -> None:
    """One state in fifty is not written to the changelog."""
    produce = transactor.Transactor.produce

    async def lossy(self: Any, outs: Any, changelog: Any, timestamp_ms: int) -> None:
        kept = [pair for pair in changelog if pair[0] == b"\0meta" or hash(pair[1]) % 50]
        await produce(self, outs, kept, timestamp_ms)

    transactor.Transactor.produce = lossy  # type: ignore[method-assign]


def _starts_at_the_end() -> None:
    """A partition that is opened goes on at the end of its consents: what came while nobody owned it is lost."""
    carry = driver.Driver._start_inputs

    async def late(self: driver.Driver, effect: fx.StartInputs) -> None:
        ends = await self._shared.barrier.ends([self._tp("consent")])
        effect.positions = effect.positions._replace(consent=max(ends.values()))
        await carry(self, effect)

    driver.Driver._start_inputs = late  # type: ignore[method-assign]


def _head_without_data() -> None:
    """The store's head moves on, its states do not: as if data and head were written apart and only one arrived."""
    carry = driver.Driver._store_write

    async def torn(self: driver.Driver, effect: fx.StoreWrite) -> None:
        await carry(self, fx.StoreWrite(effect.states[1:], effect.opened, effect.head, effect.purge_before_ms))

    driver.Driver._store_write = torn  # type: ignore[method-assign]


_KILLS = (faults.kill, _kill_at("after-offsets", "after-produce", "in-commit"))

BUGS: tuple[Bug, ...] = (
    Bug("store-before-commit", "RocksDB is written before the commit", _task(simulated.StoreBeforeCommit),
        (_kill_at("after-offsets"), _kill_at("after-offsets"))),
    Bug("no-barrier", "requests are decided with whatever was read so far", _task(simulated.NoBarrier)),
    Bug("two-transactions", "states in another transaction than outputs and offsets", _task(_OutputsApart),
        (_kill_at("between-commits"),)),
    Bug("stale-positions", "a restart goes on from the positions before the last batch", _offsets_unanswered, _KILLS),
    Bug("unknown-is-done", "an unknown commit result is taken for a success", _task(simulated.TakesUnknownForDone),
        (faults.lost_commit, faults.late_commit)),
    Bug("unknown-is-failed", "an unknown commit result is taken for a failure",
        _task(simulated.TakesUnknownForFailed), (faults.lost_commit,)),
    Bug("drops-batch", "a batch whose transaction fails is left out", _task(simulated.DropsBatch),
        (faults.lost_commit, faults.broken)),
    Bug("keeps-cache", "after a failure the half-done changes stay in the cache", _task(simulated.KeepsCache),
        (faults.broken, faults.lost_commit)),
    Bug("skips-restore", "a store that has a head is taken as complete", _task(simulated.SkipsRestoreTail),
        (_kill_at("after-commit"), faults.stale, _kill_at("after-commit"))),
    Bug("stale-standby", "a promoted standby does not read what came last", _stale_standby, (faults.takeover,)),
    Bug("adopts-early", "the audit chain moves on before the commit", _task(simulated.AdoptsBeforeCommit),
        (faults.broken, faults.lost_commit)),
    Bug("id-per-worker", "nobody is fenced", _id_per_worker, (faults.zombie, faults.cut)),
    Bug("restores-aborted", "the changelog is restored with aborted records", _restore_uncommitted,
        (_kill_at("after-offsets", "after-produce"), _kill_at("after-offsets"))),
    Bug("reads-aborted", "inputs of aborted transactions count", _inputs_uncommitted),
    Bug("barrier-without-world", "the barrier does not wait for pauses and suppressions", _barrier_without_world),
    Bug("ends-before-fetch", "the barrier's ends are asked before the fetch", _ticket_before_fetch),
    Bug("letters-outside", "dead letters outside the transaction", _dead_letters_outside,
        (_kill_at("after-offsets", "after-produce"), faults.broken), 6.0),
    Bug("decisions-outside", "decisions outside the transaction", _decisions_outside, _KILLS),
    Bug("chain-restarts", "the audit chain begins again at a restart", _chain_from_the_start, (faults.kill,)),
    Bug("changelog-loses", "one state in fifty is missing in the changelog", _changelog_loses),
    Bug("starts-at-the-end", "consents that came while nobody owned the partition are lost", _starts_at_the_end,
        (faults.kill,)),
    Bug("torn-store", "a store write loses a state and keeps its head", _head_without_data, (faults.kill,)),
    *(
        Bug(name, what, put, needed, 6.0 if name in bugs_gate.RARE else 1.0)
        for name, (what, put, needed) in bugs_again.BUGS.items()
    ),
)  # fmt: skip

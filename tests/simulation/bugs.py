"""Seeded bugs: ways to get the engine wrong, each a subclass that only tests know. Every one must be caught.

A bug of the task or the fold subclasses the product's `PartitionTask`; a bug of what surrounds it (driver, client,
broker settings) subclasses the simulated `Host` or `Worker`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.bugs_relay import BUGS_OF_THE_RELAY
from tests.simulation.bugs_rules import BUGS_OF_THE_RULES
from tests.simulation.host import Host, NotYet
from tests.simulation.log import Part
from tests.simulation.run import Make
from tests.simulation.shelf import Disk

from contactgate.errors import BrokerError
from contactgate.model.alerts import AlertKind
from contactgate.model.log import Bounds, Head
from contactgate.partition import effects as fx
from contactgate.partition.fold import Batch, Fold
from contactgate.partition.task import PartitionTask

# --- the task -----------------------------------------------------------------------------------------------------


class StoreBeforeCommit(PartitionTask):
    """The local store is written before the transaction is committed."""

    def _transact(self, fold: Fold, batch: Batch, now_ms: int) -> Any:
        yield fx.Begin()
        yield fx.Produce(batch.outs, batch.changelog, batch.meta.now_ms)
        changelog_next = yield fx.SendOffsets(batch.meta.positions)
        yield fx.StoreWrite(batch.states, batch.opened, Head(changelog_next, batch.meta_bytes))
        yield fx.Commit()
        self._done(fold, batch, now_ms)

    def _done(self, fold: Fold, batch: Batch, now_ms: int) -> None:
        fold.adopt(batch)
        self._sent += len(batch.outs) + len(batch.changelog)
        self._last_commit_ms = now_ms
        self._failures = 0


class NoBarrier(PartitionTask):
    """Requests are decided with whatever was read so far."""

    def _pass(self, hold: bool) -> Any:
        return super()._pass(False)


class DecidesAfterTimeout(PartitionTask):
    """After a barrier timeout the batch is decided all the same."""

    def _pass(self, hold: bool) -> Any:
        try:
            passed = yield fx.Barrier(hold, 0)
        except BrokerError:
            passed = yield fx.Barrier(False, 1)
        return passed


class TakesPartForWhole(PartitionTask):
    """What was read before memory was full is taken for all that lies below the barrier."""

    def _pass(self, hold: bool) -> Any:
        passed = yield from super()._pass(hold)
        return passed._replace(whole=True)


class _OwnTransact(StoreBeforeCommit):
    """The right order, with a place to differ."""

    def _transact(self, fold: Fold, batch: Batch, now_ms: int) -> Any:
        yield from self._send(batch, batch.outs, batch.changelog)
        yield fx.StoreWrite(batch.states, batch.opened, Head(self._next, batch.meta_bytes))
        self._done(fold, batch, now_ms)

    def _send(self, batch: Batch, outs: list[Any], changelog: list[Any]) -> Any:
        yield fx.Begin()
        yield fx.Produce(outs, changelog, batch.meta.now_ms)
        self._next = yield fx.SendOffsets(batch.meta.positions)
        yield fx.Commit()


class PositionsInAnotherTransaction(_OwnTransact):
    """Outputs in one transaction, states and input positions in a second."""

    def _send(self, batch: Batch, outs: list[Any], changelog: list[Any]) -> Any:
        yield fx.Begin()
        yield fx.Produce(outs, [], batch.meta.now_ms)
        yield fx.Commit()
        yield from super()._send(batch, [], changelog)


class StalePositions(_OwnTransact):
    """The meta record holds the input positions from before the batch."""

    def _transact(self, fold: Fold, batch: Batch, now_ms: int) -> Any:
        stale = fold.heartbeat().meta_bytes
        yield from super()._transact(fold, batch._replace(meta_bytes=stale), now_ms)


class ReusesProducer(_OwnTransact):
    """After an unknown commit the same producer sends the same batch again."""

    def _send(self, batch: Batch, outs: list[Any], changelog: list[Any]) -> Any:
        while True:
            yield fx.Begin()
            yield fx.Produce(outs, changelog, batch.meta.now_ms)
            self._next = yield fx.SendOffsets(batch.meta.positions)
            try:
                yield fx.Commit()
                return
            except BrokerError:
                continue


class TakesUnknownForDone(_OwnTransact):
    """An unknown commit is taken for a success."""

    def _send(self, batch: Batch, outs: list[Any], changelog: list[Any]) -> Any:
        yield fx.Begin()
        yield fx.Produce(outs, changelog, batch.meta.now_ms)
        self._next = yield fx.SendOffsets(batch.meta.positions)
        try:
            yield fx.Commit()
        except BrokerError:
            yield fx.Alert(AlertKind.TASK_RESTART, "ignored")


class TakesUnknownForFailed(_OwnTransact):
    """An unknown commit is taken for a failure: a new producer sends the batch again, without asking the changelog."""

    def _send(self, batch: Batch, outs: list[Any], changelog: list[Any]) -> Any:
        try:
            yield from super()._send(batch, outs, changelog)
        except BrokerError:
            yield fx.InitProducer()
            yield from super()._send(batch, outs, changelog)


class DropsBatch(_OwnTransact):
    """A batch whose transaction fails is adopted nevertheless, and the next one goes on from there."""

    def _send(self, batch: Batch, outs: list[Any], changelog: list[Any]) -> Any:
        try:
            yield from super()._send(batch, outs, changelog)
        except BrokerError:
            yield fx.InitProducer()
            self._next = 0


class DeadLetterOutside(_OwnTransact):
    """Dead letters are sent by a plain producer before the transaction."""

    def _send(self, batch: Batch, outs: list[Any], changelog: list[Any]) -> Any:
        letters = [out for out in outs if out.kind == "dead"]
        if letters:
            yield fx.Alert("plain", letters)  # type: ignore[arg-type]
        yield from super()._send(batch, [out for out in outs if out.kind != "dead"], changelog)


class NoMetaWithoutStates(_OwnTransact):
    """A batch that changes no state writes no meta record."""

    def _send(self, batch: Batch, outs: list[Any], changelog: list[Any]) -> Any:
        return super()._send(batch, outs, changelog if batch.states else [])


class ForgetsTombstones(_OwnTransact):
    """States that became empty are not written to the changelog."""

    def _send(self, batch: Batch, outs: list[Any], changelog: list[Any]) -> Any:
        return super()._send(batch, outs, [(key, value) for key, value in changelog if value is not None])


class KeepsCache(PartitionTask):
    """After a failure the old fold, with its cache and half-done changes, is used again."""

    def _drop(self) -> None:
        self.ready = False

    def _open(self, standby: bool) -> Any:
        kept = self.fold
        fold = yield from super()._open(standby)
        if kept is not None:
            fold._overlay._young = {**kept._overlay._young, **kept._overlay._encoded}
        return fold


class ReadsBeforeFencing(PartitionTask):
    """The end of the changelog is asked before the previous owner is fenced."""

    def _open(self, standby: bool) -> Any:
        steps = super()._open(standby)
        result: Any = None
        try:
            effect = next(steps)
            while True:
                if type(effect) is fx.InitProducer:
                    bounds = yield fx.ReadEnd("changelog")
                    yield effect
                    effect = steps.send(None)  # Now
                    result = yield effect
                    effect = steps.send(result)  # ReadEnd
                    effect = steps.send(bounds)
                    continue
                try:
                    result = yield effect
                except Exception as error:  # noqa: BLE001
                    effect = steps.throw(error)
                else:
                    effect = steps.send(result)
        except StopIteration as stop:
            return stop.value


class SkipsRestoreTail(PartitionTask):
    """A store that has a head is taken as complete."""

    def _start(self, shelf: Any, bounds: Bounds, now_ms: int) -> Any:
        shelf, position, meta = yield from super()._start(shelf, bounds, now_ms)
        return shelf, bounds.end if shelf.head() is not None else position, meta


class PromotesStale(PartitionTask):
    """A promoted standby does not read what came after it last looked."""

    def _open(self, standby: bool) -> Any:
        self._was_standby = standby
        return super()._open(standby)

    def _start(self, shelf: Any, bounds: Bounds, now_ms: int) -> Any:
        shelf, position, meta = yield from super()._start(shelf, bounds, now_ms)
        if self._was_standby and self.standby_next and shelf.head() is not None:
            position = bounds.end
        return shelf, position, meta


class IgnoresAge(PartitionTask):
    """A store that missed compacted tombstones is continued."""

    def _too_old(self, meta: bytes, now_ms: int) -> bool:
        return False


class NoReviewAfterRestart(PartitionTask):
    """What the world changed while nobody watched is not reviewed."""

    def _open(self, standby: bool) -> Any:
        fold = yield from super()._open(standby)
        fold.pending.full = False
        return fold


class NoOpenIndex(PartitionTask):
    """The index of open approvals is not loaded from the store."""

    def _open(self, standby: bool) -> Any:
        fold = yield from super()._open(standby)
        fold.open.clear()
        return fold


class AdoptsBeforeCommit(PartitionTask):
    """Positions and cache follow before the commit; a failure opens again but keeps the chain where it was."""

    def _transact(self, fold: Fold, batch: Batch, now_ms: int) -> Any:
        fold.adopt(batch)
        self._kept = batch.meta
        yield from super()._transact(fold, batch, now_ms)

    def _open(self, standby: bool) -> Any:
        fold = yield from super()._open(standby)
        kept = getattr(self, "_kept", None)
        if kept is not None:
            fold.gate.seq, fold.gate.prev = kept.seq, kept.prev
        return fold


class GroupPositions(PartitionTask):
    """A restart goes on from the end of the inputs when the changelog has no positions for it in its last stretch."""

    def _absorb(self, position: int, until: int | None, meta: bytes) -> Any:
        after, found = yield from super()._absorb(position, until, meta)
        return after, found if found != meta or not meta else b""


class HeartbeatGoesBack(PartitionTask):
    """A heartbeat writes the positions the run began with."""

    def _open(self, standby: bool) -> Any:
        fold = yield from super()._open(standby)
        first = fold.heartbeat()
        fold.heartbeat = lambda: first  # type: ignore[method-assign]
        return fold


# --- what surrounds it --------------------------------------------------------------------------------------------


class IdPerWorker(Host):
    """The transactional id names the worker, so nobody fences anybody."""

    @property
    def transactional_id(self) -> str:
        """One per worker."""
        return f"gate-{self.partition}-{self.worker.number}"


class AsksStable(Host):
    """The barrier asks the last stable offset instead of the high watermark."""

    def ask_ends(self) -> tuple[int, int, int, int]:
        """LSO."""
        part = self.sim.cluster.part
        return (part("consent", self.partition).lso, part("outcome", self.partition).lso, part("control", 0).lso,
                part("suppression", 0).lso)  # fmt: skip


class AsksBeforeFetch(Host):
    """The barrier's ends are asked before the requests are fetched."""

    def next_input(self, effect: fx.NextInput) -> fx.Input:
        """An answer from the step before."""
        early = getattr(self, "_early", None)
        self._early = self.ask_ends()
        taken = super().next_input(effect)
        self.ends = early or self._early
        self._early = None
        return taken


class IgnoresWorld(Host):
    """The barrier does not wait for control events and suppressions."""

    def ask_ends(self) -> tuple[int, int, int, int]:
        """Only the partition's own."""
        return (*super().ask_ends()[:2], 0, 0)


class IgnoresAcknowledgements(Host):
    """The transaction is committed although a batch was not acknowledged."""

    def partial(self) -> None:
        """Nothing."""


class ReadsUncommitted(Host):
    """The changelog is restored with read_uncommitted."""

    def read_changelog(self, start: int, limit: int) -> tuple[list[Any], int]:
        """Aborted states and all."""
        return self.sim.cluster.part("changelog", self.partition).read(start, limit, committed=False)


class KeepsDamaged(Host):
    """A damaged store is opened again as it is, with its newest batch lost."""

    def store_open(self, effect: fx.StoreOpen) -> Disk:
        """The head stays, the data of the last batch do not."""
        disk = self.disk
        if disk.damaged:
            disk.damaged = False
            head = disk.head()
            disk.rewind(max(0, len(disk.journal) - 1))
            disk._head = head
            return disk
        return super().store_open(effect)


class HeadApart(Host):
    """The store's head is written before its data, not in one batch."""

    def store_write(self, effect: fx.StoreWrite) -> None:
        """A crash may come between."""
        self.disk.write([], [], effect.head)
        if self.rng.random() < self.sim.crash_rate + self.sim.error_rate / 2:
            self.sim.note("the second half of a store write was lost")
            raise BrokerError("stands for a crash between the two writes")
        super().store_write(effect)


class LettersByPlainProducer(Host):
    """Carries out what DeadLetterOutside asks."""

    def alert(self, effect: fx.Alert) -> None:
        """Dead letters without a transaction."""
        if effect.kind == "plain":
            part: Part = self.sim.cluster.part("dead", 0)
            for out in effect.detail:
                part.append(self.sim.cluster.now, out.key, out.value)  # type: ignore[attr-defined]
        else:
            super().alert(effect)


class StopsInTransaction(Host):
    """A partition that moves away drops its producer and goes on reading where it was."""

    def start_inputs(self, effect: fx.StartInputs) -> None:
        """From the end of the inputs: what came while nobody owned the partition is lost."""
        super().start_inputs(effect)
        lane = self.lanes["consent"]
        if self.worker.now_ms() % 2:
            lane.next = lane.taken = lane.part.lso


class SkipsOpenTransactions(Host):
    """The barrier's wait ends at the deadline as if it had been passed."""

    def barrier(self, effect: fx.Barrier) -> fx.Passed:
        """No timeout."""
        try:
            return super().barrier(effect)
        except NotYet:
            if self.waits < 2:
                raise
            return super().barrier(fx.Barrier(False))


BUGS: dict[str, Callable[[], Make]] = {
    "store written before the commit": lambda: Make(task=StoreBeforeCommit),
    "no barrier": lambda: Make(task=NoBarrier),
    "decides after a barrier timeout": lambda: Make(task=DecidesAfterTimeout),
    "barrier passed in part": lambda: Make(task=TakesPartForWhole),
    "barrier passed at its deadline": lambda: Make(host=SkipsOpenTransactions),
    "barrier asks the last stable offset": lambda: Make(host=AsksStable),
    "barrier asked before the fetch": lambda: Make(host=AsksBeforeFetch),
    "barrier leaves out control events": lambda: Make(host=IgnoresWorld),
    "input positions in another transaction": lambda: Make(task=PositionsInAnotherTransaction),
    "meta record with stale positions": lambda: Make(task=StalePositions),
    "meta record only when states change": lambda: Make(task=NoMetaWithoutStates),
    "heartbeat with old positions": lambda: Make(task=HeartbeatGoesBack),
    "producer reused after an unknown commit": lambda: Make(task=ReusesProducer),
    "unknown commit taken for done": lambda: Make(task=TakesUnknownForDone),
    "unknown commit taken for failed": lambda: Make(task=TakesUnknownForFailed),
    "failed batch dropped": lambda: Make(task=DropsBatch),
    "commit without acknowledgements": lambda: Make(host=IgnoresAcknowledgements),
    "dead letters outside the transaction": lambda: Make(task=DeadLetterOutside, host=LettersByPlainProducer),
    "tombstones not in the changelog": lambda: Make(task=ForgetsTombstones),
    "cache kept after a failure": lambda: Make(task=KeepsCache),
    "adopted before the commit": lambda: Make(task=AdoptsBeforeCommit),
    "changelog's end read before fencing": lambda: Make(task=ReadsBeforeFencing),
    "transactional id per worker": lambda: Make(host=IdPerWorker),
    "restore skips the tail": lambda: Make(task=SkipsRestoreTail),
    "stale standby promoted": lambda: Make(task=PromotesStale),
    "restore reads uncommitted": lambda: Make(host=ReadsUncommitted),
    "old store without its tombstones": lambda: Make(task=IgnoresAge),
    "positions lost in a restore": lambda: Make(task=GroupPositions),
    "inputs resumed at their end": lambda: Make(host=StopsInTransaction),
    "no review after a restart": lambda: Make(task=NoReviewAfterRestart),
    "open approvals not loaded": lambda: Make(task=NoOpenIndex),
    "damaged store kept": lambda: Make(host=KeepsDamaged),
    "store head apart from its data": lambda: Make(host=HeadApart),
    **BUGS_OF_THE_RELAY,
    **BUGS_OF_THE_RULES,
}

"""The injectors: each fault is a generator that does something to the scene, yields how long to wait, and heals it.

`run` plays a schedule of them side by side in one thread (children of the run must be started from a lasting thread).
A fault draws from its own seeded generator, so a seed gives the same schedule and the same choices as far as the same
workers are alive. Every fault is recorded with begin and end. Whatever a fault did is healed when its generator ends,
also when it is closed early. Must never look at what the workers decide.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import shutil
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

from tests.chaos.cluster import SESSION_S, TRANSACTION_S
from tests.chaos.damage import DAMAGES
from tests.chaos.scene import Scene
from tests.chaos.watch import LIVE_POINTS, START_POINTS

from contactgate.broker.probe import broker_ids

END_TXN = 26
TXN_OFFSET_COMMIT = 28
Waits = Generator[float, None, None]
_PATIENCE_S = 4.0
_RARE_PATIENCE_S = 60.0  # of faults that come seldom and that a run must have seen


Fault = Callable[[Scene, random.Random], Waits]


def _victim(
    scene: Scene, rng: random.Random, *, deciding: bool = True, patience_s: float = 9.0
) -> Generator[float, None, str | None]:
    """A worker to hit, one that decides something if there is one; None if nobody is free for long."""
    for _ in range(round(patience_s / 0.3)):
        fleet = scene.fleet
        names = [name for name in (fleet.deciding() if deciding else fleet.free()) if name not in scene.busy]
        if names:
            return rng.choice(names)
        yield 0.3
    return None


def _while(so: Callable[[], bool], most_s: float, every_s: float) -> Waits:
    """Wait while something is so, but not forever."""
    waited = 0.0
    while so() and waited < most_s:
        yield every_s
        waited += every_s


# --- a worker dies ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _killed(scene: Scene, name: str, owned: list[int] | None = None, point: str = "any") -> Iterator[None]:
    """SIGKILL, what happens meanwhile, and the worker is started again."""
    partitions = scene.fleet.owned(name) if owned is None else owned
    number = scene.begin("worker.kill", name, partitions=partitions, point=point)
    scene.fleet.kill(name)
    yield
    scene.fleet.start(name)
    scene.end(number, "worker.kill", name)


def kill(scene: Scene, rng: random.Random) -> Waits:
    """SIGKILL at any moment; back at once, or only when others have taken over."""
    name = yield from _victim(scene, rng)
    if name is None:
        return
    with scene.held(name), _killed(scene, name):
        yield rng.choice((0.0, 0.0, 0.0, SESSION_S + 2))


def takeover(scene: Scene, rng: random.Random) -> Waits:
    """SIGKILL, and back only when the standby has been promoted."""
    for _ in range(100):
        if len([name for name in scene.fleet.deciding() if name not in scene.busy]) > 1:
            break  # somebody else is there to take over
        yield 0.3
    name = yield from _victim(scene, rng)
    if name is None:
        return
    with scene.held(name), _killed(scene, name):
        yield SESSION_S + 4


def kill_at_point(scene: Scene, rng: random.Random, points: tuple[str, ...] = LIVE_POINTS) -> Waits:
    """SIGKILL exactly between two steps of a transaction."""
    name = yield from _victim(scene, rng)
    if name is None:
        return
    with scene.held(name):
        point = scene.rarest(points, rng)
        scene.fleet.order(name, point=point, nth=rng.randint(1, 12))
        owned = scene.fleet.owned(name)
        yield from _while(lambda: not scene.fleet.obeyed(name), _PATIENCE_S, 0.02)
        reached = not scene.fleet.alive(name)
        with _killed(scene, name, owned, point if reached else "any"):
            scene.fleet.order(name)
            yield rng.choice((0.0, 0.0, SESSION_S + 2))


def kill_while_opening(scene: Scene, rng: random.Random) -> Waits:
    """SIGKILL, and again while the worker fences, restores or begins to read; sometimes with its state gone."""
    name = yield from _victim(scene, rng)
    if name is None:
        return
    with scene.held(name):
        with _killed(scene, name):
            point = scene.rarest(START_POINTS, rng)
            if point == "in-restore":
                shutil.rmtree(scene.fleet.state(name), ignore_errors=True)
            scene.fleet.order(name, point=point, nth=rng.randint(1, 3))
        yield from _while(lambda: not scene.fleet.obeyed(name), 3 * SESSION_S, 0.1)
        if not scene.fleet.alive(name):
            with _killed(scene, name, [], point):
                scene.fleet.order(name)
        scene.fleet.order(name)


def damage(scene: Scene, rng: random.Random) -> Waits:
    """SIGKILL, and the worker finds its state deleted, flipped, truncated or garbled."""
    name = yield from _victim(scene, rng)
    if name is None:
        return
    with scene.held(name):
        with _killed(scene, name):
            for _ in range(rng.randint(1, 3)):
                what = rng.choice(DAMAGES)(scene.fleet.state(name), rng)
                if what:
                    scene.instant("state.damage", name, what=what)
        yield 0.0


def stale(scene: Scene, rng: random.Random) -> Waits:
    """SIGKILL, and the worker finds an old copy of its state."""
    name = yield from _victim(scene, rng)
    if name is None:
        return
    with scene.held(name):
        state = scene.fleet.state(name)
        copy = state.with_name("copy")
        with _killed(scene, name):
            shutil.rmtree(copy, ignore_errors=True)
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(state, copy)
        yield 3.0 + 3 * rng.random()
        with _killed(scene, name):
            if copy.exists():
                shutil.rmtree(state, ignore_errors=True)
                copy.rename(state)
                scene.instant("state.damage", name, what="an old copy")


# --- a worker hangs -----------------------------------------------------------------------------------------------


def zombie(scene: Scene, rng: random.Random) -> Waits:
    """SIGSTOP until another has taken over, then SIGCONT; half of them between the last record and the commit."""
    name = yield from _victim(scene, rng)
    if name is None:
        return
    with scene.held(name):
        fleet = scene.fleet
        owned, point = fleet.owned(name), "any"
        if rng.random() < 0.5:
            point = rng.choice(("after-offsets", "after-produce", "after-commit"))
            fleet.order(name, point=point, nth=rng.randint(1, 5), action="stop")
            yield from _while(lambda: not fleet.obeyed(name), _PATIENCE_S, 0.02)
            fleet.order(name)
        number = scene.begin("worker.stop", name, partitions=owned, point=point, zombie=True)
        fleet.freeze(name)
        try:
            yield SESSION_S * 1.5 + 2 * rng.random()
        finally:
            fleet.thaw(name)
            scene.end(number, "worker.stop", name)


def pause(scene: Scene, rng: random.Random) -> Waits:
    """SIGSTOP for less than the session timeout."""
    name = yield from _victim(scene, rng)
    if name is None:
        return
    with scene.held(name):
        number = scene.begin("worker.stop", name, partitions=scene.fleet.owned(name), point="any", zombie=False)
        scene.fleet.freeze(name)
        try:
            yield 0.5 + (SESSION_S - 2) * rng.random()
        finally:
            scene.fleet.thaw(name)
            scene.end(number, "worker.stop", name)


def clock_jump(scene: Scene, rng: random.Random) -> Waits:
    """The worker's wall clock is wrong by up to half a minute, in either direction, for a while."""
    name = yield from _victim(scene, rng, patience_s=_RARE_PATIENCE_S)
    if name is None:
        return
    with scene.held(name):
        by_ms = rng.choice((-1, 1)) * rng.randint(500, 25_000)
        number = scene.begin("worker.clock", name, by_ms=by_ms)
        scene.fleet.order(name, clock_ms=by_ms)
        try:
            yield 2 + 6 * rng.random()
        finally:
            scene.fleet.order(name)
            scene.end(number, "worker.clock", name)


def storm(scene: Scene, rng: random.Random) -> Waits:
    """Workers come and go every second or two: some in order, some killed while the group still settles."""
    extras = [name for name in scene.fleet.names if name.startswith("extra") and not scene.fleet.alive(name)]
    if not extras:
        return
    name = extras[0]
    with scene.held(name):
        number = scene.begin("rebalance.storm", name)
        try:
            for _ in range(rng.randint(2, 3)):
                scene.fleet.start(name)
                yield 3.0 + 2 * rng.random()
                if rng.random() < 0.5:
                    owned = scene.fleet.owned(name)
                    again = scene.begin("worker.kill", name, partitions=owned, point="any")
                    scene.fleet.kill(name)
                    scene.end(again, "worker.kill", name)
                else:
                    scene.fleet.send(name, signal.SIGTERM)
                    yield from _while(lambda: scene.fleet.alive(name), 15, 0.1)
                    scene.fleet.kill(name)
        finally:
            scene.fleet.kill(name)
            scene.end(number, "rebalance.storm", name)


# --- its disk and its network -------------------------------------------------------------------------------------


def disk_full(scene: Scene, rng: random.Random) -> Waits:
    """No room for RocksDB."""
    name = yield from _victim(scene, rng, patience_s=_RARE_PATIENCE_S)
    if name is None or not scene.fleet.disks[name].mounted:
        return
    with scene.held(name):
        number = scene.begin("disk.full", name)
        scene.fleet.disks[name].fill()
        try:
            yield 2 + 4 * rng.random()
        finally:
            scene.fleet.disks[name].free()
            scene.end(number, "disk.full", name)


def network(scene: Scene, rng: random.Random) -> Waits:
    """The worker is cut off for a moment or one way, slow, or broken off; for less and for more than its session."""
    name = yield from _victim(scene, rng)
    if name is None or name not in scene.fleet.proxies:
        return
    with scene.held(name):
        proxy = scene.fleet.proxies[name]
        what = rng.choice(("cut", "cut", "mute-up", "mute-down", "delay", "reset"))
        number = scene.begin(f"network.{what}", name)
        proxy.order(what, ms=rng.randint(20, 200))
        try:
            if what != "reset":
                yield rng.choice((1.0, 3.0, SESSION_S * 1.5))
        finally:
            proxy.order("pass")
            if rng.random() < 0.3:
                proxy.order("reset")
            scene.end(number, f"network.{what}", name)


def cut(scene: Scene, rng: random.Random) -> Waits:
    """Nothing gets through for longer than the session; another takes over, and then everything arrives late."""
    name = yield from _victim(scene, rng)
    if name is None or name not in scene.fleet.proxies:
        return
    with scene.held(name):
        number = scene.begin("network.cut", name)
        scene.fleet.proxies[name].order("cut")
        try:
            yield SESSION_S * 1.5
        finally:
            scene.fleet.proxies[name].order("pass")
            scene.end(number, "network.cut", name)


def lost_commit(scene: Scene, rng: random.Random) -> Waits:
    """The broker ends transactions, but its answers never come, until the worker gives up."""
    yield from _end_txn(scene, "network.lost-commit", "lose", 1_000, 0)


def late_commit(scene: Scene, rng: random.Random) -> Waits:
    """The end of a transaction reaches the broker late, maybe after its sender has given up (KAFKA-17754)."""
    late_ms = rng.choice((1_500, 6_000, 12_000))
    yield from _end_txn(scene, "network.late-commit", "hold", rng.randint(1, 3), late_ms)


def _end_txn(scene: Scene, kind: str, do: str, times: int, ms: int) -> Waits:
    name = yield from _victim(scene, random.Random(times + ms))
    if name is None or name not in scene.fleet.proxies:
        return
    with scene.held(name):
        proxy = scene.fleet.proxies[name]
        proxy.told()
        number = scene.begin(kind, name)
        proxy.order(do, api=END_TXN, times=times, ms=ms)
        try:
            yield TRANSACTION_S + 1.5
        finally:
            proxy.order("pass")
            scene.end(number, kind, name, hits=sum("obeyed" not in told for told in proxy.told()))


def broken(scene: Scene, rng: random.Random) -> Waits:
    """The ends of transactions do not reach the broker for so long that it aborts them and the worker gives up."""
    name = yield from _victim(scene, rng)
    if name is None or name not in scene.fleet.proxies:
        return
    with scene.held(name):
        proxy = scene.fleet.proxies[name]
        number = scene.begin("network.no-offsets", name)
        proxy.order("hold", api=TXN_OFFSET_COMMIT, times=1_000, ms=60_000)
        try:
            yield TRANSACTION_S + 1.5
        finally:
            proxy.order("pass")
            proxy.order("reset")
            scene.end(number, "network.no-offsets", name)


# --- the brokers --------------------------------------------------------------------------------------------------


def broker_kill(scene: Scene, rng: random.Random) -> Waits:
    """SIGKILL of one node; it comes back with its data after a while."""
    yield from _broker_kill(scene, rng, 1)


def two_brokers_kill(scene: Scene, rng: random.Random) -> Waits:
    """SIGKILL of two nodes of three: nothing can be committed until one is back."""
    yield from _broker_kill(scene, rng, 2)


def _broker_kill(scene: Scene, rng: random.Random, count: int) -> Waits:
    nodes = [node for node in scene.cluster.nodes if node.alive]
    if scene.broker_busy or len(nodes) < len(scene.cluster.nodes):
        return
    scene.broker_busy = True
    dead = rng.sample(nodes, min(count, len(nodes)))
    numbers = []
    try:
        for node in dead:
            numbers.append(scene.begin("broker.kill", f"broker-{node.me.node_id}"))
            node.kill()
        yield rng.choice((0.0, 1.0, 3.0))
    finally:
        for node in dead:
            node.launch()
    deadline = time.monotonic() + 60
    for node, number in zip(dead, numbers, strict=True):
        while node.me.node_id not in (broker_ids(node.me.port, timeout_s=1.0) or ()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"broker {node.me.node_id} does not come back: {node.log_tail(5)}")
            yield 0.25
        scene.end(number, "broker.kill", f"broker-{node.me.node_id}")
    yield 3.0  # replicas catch up before the next one dies
    scene.broker_busy = False


def broker_pause(scene: Scene, rng: random.Random) -> Waits:
    """SIGSTOP of one node: its sockets stay open and nobody answers."""
    nodes = [node for node in scene.cluster.nodes if node.alive]
    if scene.broker_busy or len(nodes) < len(scene.cluster.nodes):
        return
    scene.broker_busy = True
    node = rng.choice(nodes)
    number = scene.begin("broker.stop", f"broker-{node.me.node_id}")
    node.pause()
    try:
        yield rng.choice((1.0, 3.0, 8.0))
    finally:
        node.cont()
        scene.end(number, "broker.stop", f"broker-{node.me.node_id}")
        scene.broker_busy = False


# --- playing them -------------------------------------------------------------------------------------------------


class Stream(NamedTuple):
    """Faults that come again and again, one of `kinds` about every `every_s` seconds."""

    every_s: float
    kinds: tuple[Fault, ...]


class Planned(NamedTuple):
    """One fault of a schedule."""

    at_s: float
    fault: Fault
    seed: int


def schedule(seed: int, seconds: float, streams: Iterable[Stream]) -> list[Planned]:
    """The same for the same seed. A stream goes round its kinds, shuffled again each time, so that none is missed."""
    planned = []
    for index, stream in enumerate(streams):
        rng = random.Random(seed * 1_000 + index)
        round_: list[Fault] = []
        at_s = stream.every_s * rng.random()
        while at_s < seconds:
            if not round_:
                round_ = list(stream.kinds)
                rng.shuffle(round_)
            planned.append(Planned(at_s, round_.pop(), rng.randrange(1 << 30)))
            at_s += stream.every_s * (0.5 + rng.random())
    return sorted(planned, key=lambda each: each.at_s)


def run(scene: Scene, planned: list[Planned], tick: Callable[[], None]) -> None:
    """Play a schedule to its end: every fault healed, every worker up. `tick` is called about four times a second."""
    began = time.monotonic()
    waiting: list[tuple[float, int, Waits]] = []
    order = itertools.count()
    for each in planned:
        heapq.heappush(waiting, (began + each.at_s, next(order), each.fault(scene, random.Random(each.seed))))
    ticked = 0.0
    try:
        while waiting:
            at, _, fault = waiting[0]
            now = time.monotonic()
            if now - ticked > 0.25:
                ticked = now
                for name in scene.fleet.revive(scene.busy):
                    scene.instant("worker.ended", name)
                tick()
            if at > now:
                time.sleep(min(at - now, 0.25))
                continue
            heapq.heappop(waiting)
            with contextlib.suppress(StopIteration):
                heapq.heappush(waiting, (time.monotonic() + next(fault), next(order), fault))
    finally:
        for _, _, fault in waiting:
            fault.close()

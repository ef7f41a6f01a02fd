"""A consumer in a process of its own: what it has seen, and that nothing of it is left."""

from __future__ import annotations

from typing import Any

from contactgate.load.watching import Watcher


def _three(first: str, second: str, count: Any, ready: Any, stop: Any, pipe: Any) -> None:
    count.value = 3
    ready.set()
    stop.wait(60)
    pipe.send([first, second, "third"])


def _gone(count: Any, ready: Any, stop: Any, pipe: Any) -> None:
    ready.set()


def test_it_counts_while_it_runs_and_tells_all_when_it_is_stopped() -> None:
    """In order, and then its process is over."""
    watcher: Watcher[str] = Watcher(_three, "first", "second")
    assert watcher.alive
    assert watcher.count == 3
    assert watcher.stop() == ["first", "second", "third"]
    assert not watcher.alive


def test_one_that_is_ended_tells_nothing_more() -> None:
    """An owner that gives up leaves no process behind."""
    watcher: Watcher[str] = Watcher(_three, "first", "second")
    watcher.end()
    assert not watcher.alive
    assert watcher.stop() == []
    watcher.end()


def test_one_that_ends_of_itself_has_seen_nothing() -> None:
    """Its owner does not wait for what can never come."""
    watcher: Watcher[str] = Watcher(_gone)
    watcher._process.join(60)
    assert watcher.stop() == []

"""The tally behind the demonstration's screen, and the screen without a terminal. No broker."""

import io
import time

from rich.console import Console

from contactgate.demo.audit import Finding
from contactgate.demo.screen import Screen, summary
from contactgate.demo.tally import Tally, quantile


def test_verdicts_reasons_and_latency_are_counted():
    """A block counts once, each of its reasons once; latency is from sending to seeing."""
    tally = Tally()
    for number in range(100):
        tally.sent(f"r{number}", 1_000)
        tally.decided(f"r{number}", ["a", "b"] if number % 2 else [], 1_000 + number)
    tally.dead()
    now = tally.snapshot()
    assert (now.sent, now.decided, now.passed, now.dead) == (100, 100, 50, 1)
    assert now.reasons == [("a", 50), ("b", 50)]
    assert (now.p50_ms, now.p99_ms) == (50.0, 99.0)


def test_what_was_sent_before_a_moment_and_is_undecided_is_known():
    """The demonstration waits for what was asked before the kill, not for what came later."""
    tally = Tally()
    tally.sent("old", 10)
    tally.sent("new", 20)
    assert tally.undecided(15) == 1
    tally.decided("old", [], 30)
    assert (tally.undecided(15), tally.undecided(100)) == (0, 1)


def test_a_decision_on_something_sent_by_another_has_no_latency():
    """Unknown requests count as decided and do not spoil the latency."""
    tally = Tally()
    tally.decided("foreign", [], 5)
    assert tally.snapshot().p50_ms is None
    assert quantile([], 0.5) is None


def test_without_a_terminal_there_are_plain_lines(monkeypatch):
    """In a log file every line of the story and the running counts are lines of their own, without control codes."""
    monkeypatch.setattr("contactgate.demo.screen._LINE_EVERY_S", 0.05)
    out = io.StringIO()
    tally = Tally()
    with Screen(Console(file=out, width=200), tally, time.monotonic()) as screen:
        screen.say("one [worker] died")
        tally.sent("r", 0)
        tally.decided("r", ["cap.daily"], 7)
        deadline = time.monotonic() + 60
        while "sent 1" not in out.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert "one [worker] died" in out.getvalue()
    assert "decided 1  pass 0  block 1" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_there_is_a_live_table():
    """With a terminal the table is drawn with verdicts, reasons and the story below."""
    out = io.StringIO()
    tally = Tally()
    tally.decided("r", ["cap.daily"], 7)
    with Screen(Console(file=out, width=120, force_terminal=True), tally, time.monotonic()) as screen:
        screen.say("hello")
    assert "cap.daily" in out.getvalue()
    assert "hello" in out.getvalue()


def test_the_summary_names_every_promise():
    """Held and broken promises are both shown, with their evidence."""
    out = io.StringIO()
    summary(Console(file=out, width=200), Tally().snapshot(), [Finding("a", True, "x"), Finding("b", False, "y")])
    assert "held   a: x" in out.getvalue()
    assert "BROKEN b: y" in out.getvalue()

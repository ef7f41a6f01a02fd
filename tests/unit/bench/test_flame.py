"""The flame graphs: stacks of both profilers, shares, and what a page shows of a name."""

from __future__ import annotations

import pytest
from bench.flame import collapsed, recorded, svg

SPIED = "run (/a/b/driver.py:12);step (task.py:3);decide (/a/b/decide.py:9) 6\nrun (/a/c/driver.py:14);wait (x.py) 2\n"
RECORDING = """jdk.ExecutionSample {
  sampledThread = "data-plane-3" (javaThreadId = 7)
  stackTrace = [
    kafka.server.KafkaApis.$anonfun$handle$3(int) line: 5
    java.lang.Thread.run() line: 1
    ...
  ]
}
jdk.ExecutionSample {
  sampledThread = "scheduler-0" (javaThreadId = 8)
  stackTrace = [
    java.lang.Thread.run() line: 1
  ]
}
"""


def test_stacks_of_a_worker_have_neither_directories_nor_lines() -> None:
    """The same function in the same file is one frame, wherever it was sampled."""
    assert collapsed(SPIED) == {
        ("run (driver.py)", "step (task.py)", "decide (decide.py)"): 6,
        ("run (driver.py)", "wait (x.py)"): 2,
    }


def test_stacks_of_the_broker_begin_with_their_thread() -> None:
    """Classes without packages, lambdas as what they belong to, threads of a pool as one."""
    assert recorded(RECORDING) == {
        ("data-plane", "Thread.run", "KafkaApis.handle"): 1,
        ("scheduler", "Thread.run"): 1,
    }
    assert list(recorded(RECORDING, "scheduler")) == [("scheduler", "Thread.run")]


def test_a_picture_shows_shares_and_leaves_out_the_narrowest() -> None:
    """A frame is as wide as its share; markup in a name is text."""
    stacks = collapsed(SPIED + "<b> (y.py) 1\n" + "rare (z.py) 0\n")
    picture = svg(stacks, "a & b")
    assert "a &amp; b; 9 samples" in picture
    assert "decide (decide.py) 66.7%" in picture
    assert "&lt;b&gt; (y.py) 11.1%" in picture
    assert "rare" not in picture
    with pytest.raises(ValueError, match="no sample"):
        svg(collapsed(""), "nothing")

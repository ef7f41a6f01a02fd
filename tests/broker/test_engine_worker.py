"""The engine on a real broker with the counting gate: decisions, restarts, order, recalls, broadcast topics."""

from __future__ import annotations

from pathlib import Path

from tests.kit.enginelab import Bench, make_topics, running, settings_for

from contactgate.broker import Bootstrap


async def test_every_request_gets_one_decision_and_a_restart_goes_on(
    kafka: Bootstrap, topic_prefix: str, tmp_path: Path
) -> None:
    """Requests are decided once each, counters and chains continue over a restart with the local state kept."""
    make_topics(kafka.address, topic_prefix)
    settings = settings_for(kafka.address, topic_prefix, tmp_path)
    async with Bench(kafka.address, topic_prefix, 2) as bench:
        async with running(settings):
            ids = await bench.decided(100)
        async with running(settings):
            ids += await bench.requests(100)
            decisions = await bench.exactly_once(ids)
        approvals = await bench.read("approvals.dialer")
        assert len(approvals) == sum(d["verdict"] == "pass" for d in decisions)

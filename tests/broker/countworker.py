"""A worker process of the counting gate: `python -m tests.broker.countworker JSON`, killed and frozen by the tests."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from tests.broker.enginelab import count_worker, settings_for

from contactgate.engine.app import run


def main() -> None:
    """One worker as the JSON argument says."""
    given = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = settings_for(
        given["address"],
        given["prefix"],
        Path(given["state"]),
        given["partitions"],
        worker_id=given["worker"],
        linger_ms=given.get("linger", 15),
        session_timeout_s=6.0,
        heartbeat_s=1.0,
        rebalance_timeout_s=6.0,
        transaction_timeout_ms=10_000,
    )
    run(settings, lambda: count_worker(settings))


if __name__ == "__main__":
    main()

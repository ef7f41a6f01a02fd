"""What tests of the engine on a real broker share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.kit.enginelab import Bench, make_topics

from contactgate.broker import Bootstrap


@pytest.fixture
async def bench(kafka: Bootstrap, topic_prefix: str) -> AsyncIterator[Bench]:
    """Topics of two partitions and a client."""
    make_topics(kafka.address, topic_prefix)
    async with Bench(kafka.address, topic_prefix, 2) as client:
        yield client

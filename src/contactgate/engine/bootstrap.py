"""A broker that is just starting knows of no brokers: every aiokafka client of this process asks again until it does.

aiokafka takes such an answer for a cluster and asks again after `metadata_max_age_ms`, five minutes; until then every
lookup of a coordinator fails (aiokafka issues 460 and 551). A worker that came up while its brokers did had partitions
that stood still for that long. Must never change how a client connects to a cluster that is up.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import KafkaConnectionError

_PAUSE_S: Final = 0.2
_FIRST: Final = ("bootstrap", ConnectionGroup.DEFAULT)
_bootstrap: Final = AIOKafkaClient.bootstrap


async def _until_brokers_are_known(client: AIOKafkaClient) -> None:
    """AIOKafkaClient.bootstrap. Raises KafkaConnectionError when no broker is known within the request timeout."""
    deadline = time.monotonic() + client._request_timeout_ms / 1000
    await _bootstrap(client)
    while not client.cluster.brokers():
        first = client._conns.pop(_FIRST, None)
        if first is not None:
            await first.close()
        if time.monotonic() > deadline:
            await client.close()
            raise KafkaConnectionError("the cluster names no brokers yet; try again when they have started")
        await asyncio.sleep(_PAUSE_S)
        await _bootstrap(client)


def wait_for_brokers() -> None:
    """Make every aiokafka client of this process wait, Faust's as well."""
    AIOKafkaClient.bootstrap = _until_brokers_are_known

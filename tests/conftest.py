"""Fixtures that need a real Kafka: one broker a session, one topic prefix a test, a foreign client.

With KAFKA_BOOTSTRAP set the tests use that cluster. Without a broker a test fails; it must never be skipped.
Hypothesis tries the same examples every time, so that an unlucky draw never fails somebody else's change; the long
mode (`CONTACTGATE_LONG=1`) draws new ones.
"""

import os
import re
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.kit.wire import Wire

from contactgate.broker import Bootstrap, bootstrap_or_start

settings.register_profile("same-every-time", derandomize=True, deadline=None)
if os.environ.get("CONTACTGATE_LONG") != "1":
    settings.load_profile("same-every-time")


@pytest.fixture(scope="session")
def kafka() -> Iterator[Bootstrap]:
    """The session's broker: `kafka.address`; `kafka.cluster` is None when it is not ours to kill."""
    with bootstrap_or_start() as bootstrap:
        yield bootstrap


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix no other test uses, with the test's name in it."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[:60].strip("-")
    return f"{name}-{secrets.token_hex(4)}-"


@pytest.fixture
def wire(kafka: Bootstrap) -> Iterator[Wire]:
    """A foreign client of the session's broker: `wire.produce(...)`, `wire.consume(...)`."""
    with Wire(kafka.address) as client:
        yield client

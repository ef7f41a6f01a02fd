"""What of aiokafka and kafka-python is replaced or leaned on is still what the patches were written against."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import aiokafka.consumer.fetcher as kafka_fetcher
import kafka.record.memory_records as kafka_records
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.record.memory_records import _MemoryRecordsPy

from contactgate.client import patch_headers
from contactgate.engine.kafka import patches


class Part(NamedTuple):
    """A class or function of an installed package: where it is, the digest of its text, and what to check."""

    module: str
    name: str
    digest: str
    check: str


# fmt: off
PARTS = [
    Part("aiokafka.client", "AIOKafkaClient.bootstrap", "c38bf4ebbff02da1", "patches.wait_for_brokers, which calls it"),
    Part("aiokafka.client", "ConnectionGroup", "b2b78fe8c3a20a70", "patches.wait_for_brokers: its first key"),
    Part("aiokafka.consumer.fetcher", "Fetcher._proc_fetch_request", "4ecd0c76ab78bf8b", "patches: looks both up"),
    Part("aiokafka.consumer.fetcher", "PartitionRecords", "2e01cf205ff8f32c", "patches.Unwrapped: subclassed"),
    Part("aiokafka.record.memory_records", "_MemoryRecordsPy", "654ae38613e15cbb", "patches.Records, its stand-in"),
    Part("aiokafka.record.default_records", "_DefaultRecordBatchPy", "cc209ce39207ba7c", "patches._records"),
    Part("aiokafka.record.default_records", "_DefaultRecordPy", "2e7f4fd97c704780", "patches._records"),
    Part("aiokafka.conn", "AIOKafkaConnection.send", "aded3351f8e65f72", "protocol.Call, a request"),
    Part("aiokafka.conn", "AIOKafkaConnection._handle_frame", "beab1f79480e0ece", "protocol.Call, an answer"),
    Part("kafka.record.memory_records", "MemoryRecords.next_batch", "24f053dd71c6722b", "patch_headers: looks it up"),
    Part("kafka.record.default_records", "DefaultRecordBatch", "ac238a28b9a9f0ef", "patch_headers: subclassed"),
    Part("kafka.record.default_records", "DefaultRecord", "f09d6d528cd4c154", "patch_headers"),
]
# fmt: on


def digest(module: str, name: str) -> str:
    """Of the text of a class or function in the installed file, spaces aside; what tests patched is not in it."""
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    text = Path(found.origin).read_text(encoding="utf-8")
    node: Any = ast.parse(text)
    for part in name.split("."):
        node = next(each for each in node.body if getattr(each, "name", None) == part)
    source = ast.get_source_segment(text, node)
    assert source is not None
    return hashlib.sha256("".join(source.split()).encode()).hexdigest()[:16]


@pytest.mark.parametrize("part", PARTS, ids=[part.name for part in PARTS])
def test_what_the_patches_were_written_against_is_installed(part: Part) -> None:
    """A new version of a client that changed any of it is looked at by a person before it decides about anybody."""
    package = {"aiokafka": "aiokafka", "kafka": "kafka-python"}[part.module.partition(".")[0]]
    found = digest(part.module, part.name)
    assert found == part.digest, (
        f"{part.module}.{part.name} of {package} {version(package)} is not the one that was read: read what changed, "
        f"check {part.check}, run tests/broker, then set its digest here to {found}"
    )


@pytest.mark.parametrize(("module", "package"), [(patches, "aiokafka"), (patch_headers, "kafka-python")])
def test_a_patch_names_the_version_it_was_seen_with(module: Any, package: str) -> None:
    """The docstring of each patch says the version of the client that is installed and locked."""
    assert f"{package} {version(package)}" in " ".join((module.__doc__ or "").split())


def test_what_is_put_in_takes_the_same_arguments() -> None:
    """Who calls the replaced function or class calls ours with what it has."""
    pairs = [
        (patches._bootstrap, patches._until_brokers_are_known),
        (_MemoryRecordsPy, patches.Records),
        (_MemoryRecordsPy.size_in_bytes, patches.Records.size_in_bytes),
        (_MemoryRecordsPy.has_next, patches.Records.has_next),
    ]
    for theirs, ours in pairs:
        assert len(inspect.signature(ours).parameters) == len(inspect.signature(theirs).parameters)


def test_every_name_that_is_replaced_exists_where_it_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Assigning to a module a name that it does not look up would change nothing, and nobody would notice."""
    places = [
        (kafka_fetcher, "MemoryRecords", patches.read_any_headers, patches.Records),
        (kafka_fetcher, "PartitionRecords", patches.unwrap_records, patches.Unwrapped),
        (AIOKafkaClient, "bootstrap", patches.wait_for_brokers, patches._until_brokers_are_known),
        (kafka_records, "DefaultRecordBatch", patch_headers.read_any_headers, patch_headers._AnyHeaders),
    ]
    for place, name, patch, ours in places:
        before = {key: value for key, value in vars(place).items() if not key.startswith("__")}
        monkeypatch.setattr(place, name, before[name])  # put back afterwards
        patch()
        assert vars(place).keys() >= before.keys()
        assert vars(place)[name] is ours
        changed = {key for key, value in before.items() if vars(place)[key] is not value}
        assert changed <= {name}

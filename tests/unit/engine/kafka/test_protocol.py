"""The bytes of the transaction's requests, against an independent implementation of Kafka's message schemas."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from kafka.protocol.producer import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    ProduceRequest,
    ProduceResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)

from contactgate.engine.kafka import protocol as wire
from contactgate.errors import BrokerError

WHO = wire.Producer("app-7", 1 << 40, 321)
RECORDS = bytes(range(200))


def _same(call: wire.Call, request: Any) -> None:
    """Both encode to the same bytes."""
    assert call.encode() == bytes(request.encode(version=call.API_VERSION))


def _answer(call: wire.Call, response: Any) -> Any:
    return call.decode(BytesIO(bytes(response.encode(version=call.API_VERSION))))


@pytest.mark.parametrize("v2", [False, True])
def test_produce_is_encoded_as_the_schema_says(v2: bool) -> None:
    """Several topics and partitions, one batch in each, in the old and the flexible form."""
    topic, part = ProduceRequest.TopicProduceData, ProduceRequest.TopicProduceData.PartitionProduceData
    request = ProduceRequest(
        transactional_id="app-7", acks=-1, timeout_ms=9_000,
        topic_data=[
            topic(name="a", partition_data=[part(index=0, records=RECORDS), part(index=3, records=b"x")]),
            topic(name="b" * 130, partition_data=[part(index=1, records=RECORDS * 900)]),
        ],
    )  # fmt: skip
    topics: dict[str, Any] = {"a": [(0, RECORDS), (3, b"x")], "b" * 130: [(1, bytearray(RECORDS * 900))]}
    _same(wire.produce(WHO, topics, 9_000, v2=v2), request)


@pytest.mark.parametrize("v2", [False, True])
def test_produce_answers_are_read(v2: bool) -> None:
    """Offsets and error codes of every partition, past error texts and tags."""
    topic = ProduceResponse.TopicProduceResponse
    part = topic.PartitionProduceResponse
    response = ProduceResponse(
        throttle_time_ms=0,
        responses=[
            topic(name="a", partition_responses=[
                part(index=0, error_code=0, base_offset=1 << 33, log_append_time_ms=-1, log_start_offset=0,
                     record_errors=[part.BatchIndexAndErrorMessage(batch_index=4, batch_index_error_message="no")],
                     error_message="a sentence"),
                part(index=1, error_code=10, base_offset=-1, log_append_time_ms=-1, log_start_offset=-1),
            ]),
            topic(name="b", partition_responses=[
                part(index=5, error_code=0, base_offset=7, log_append_time_ms=-1, log_start_offset=0),
            ]),
        ],
    )  # fmt: skip
    found = _answer(wire.produce(WHO, {}, 1, v2=v2), response)
    assert found == [("a", 0, 0, 1 << 33), ("a", 1, 10, -1), ("b", 5, 0, 7)]


@pytest.mark.parametrize("v2", [False, True])
def test_positions_are_encoded_as_the_schema_says_and_answers_are_read(v2: bool) -> None:
    """Three topics' offsets of one partition, without a generation; the error of each is reported."""
    topic = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic
    part = topic.TxnOffsetCommitRequestPartition
    request = TxnOffsetCommitRequest(
        transactional_id="app-7", group_id="app", producer_id=WHO.id, producer_epoch=WHO.epoch,
        generation_id=-1, member_id="", group_instance_id=None,
        topics=[
            topic(name=name, partitions=[
                part(partition_index=7, committed_offset=offset, committed_leader_epoch=-1, committed_metadata="")
            ])
            for name, offset in (("c", 0), ("o", 1 << 35), ("r", 5))
        ],
    )  # fmt: skip
    call = wire.commit_offsets(WHO, "app", [("c", 7, 0), ("o", 7, 1 << 35), ("r", 7, 5)], v2=v2)
    _same(call, request)
    answered = TxnOffsetCommitResponse.TxnOffsetCommitResponseTopic
    parts = answered.TxnOffsetCommitResponsePartition
    response = TxnOffsetCommitResponse(
        throttle_time_ms=0,
        topics=[answered(name="c", partitions=[parts(partition_index=7, error_code=0)]),
                answered(name="o", partitions=[parts(partition_index=7, error_code=51)])],
    )  # fmt: skip
    assert _answer(call, response) == [("c", 7, 0), ("o", 7, 51)]


def test_adding_to_a_transaction_is_encoded_as_the_schema_says() -> None:
    """The two requests that only the old way needs, and the answer that tells of every partition."""
    topic = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic
    request = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id="app-7", v3_and_below_producer_id=WHO.id, v3_and_below_producer_epoch=WHO.epoch,
        v3_and_below_topics=[topic(name="a", partitions=[0, 3]), topic(name="b", partitions=[1])],
    )  # fmt: skip
    call = wire.add_partitions(WHO, {"a": [0, 3], "b": [1]})
    _same(call, request)
    result = AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult
    part = result.AddPartitionsToTxnPartitionResult
    response = AddPartitionsToTxnResponse(
        throttle_time_ms=0,
        results_by_topic_v3_and_below=[
            result(name="a", results_by_partition=[part(partition_index=0, partition_error_code=51)])
        ],
    )
    assert _answer(call, response) == [("a", 0, 51)]
    group = AddOffsetsToTxnRequest(
        transactional_id="app-7", producer_id=WHO.id, producer_epoch=WHO.epoch, group_id="app"
    )
    _same(wire.add_offsets(WHO, "app"), group)


@pytest.mark.parametrize("v2", [False, True])
def test_the_end_is_encoded_as_the_schema_says_and_tells_the_next_identity(v2: bool) -> None:
    """The old way keeps the identity; the new one is given an epoch, or another producer id when they run out."""
    request = EndTxnRequest(transactional_id="app-7", producer_id=WHO.id, producer_epoch=WHO.epoch, committed=True)
    call = wire.end(WHO, v2=v2)
    _same(call, request)
    response = EndTxnResponse(throttle_time_ms=0, error_code=0, producer_id=77, producer_epoch=1)
    assert _answer(call, response) == (0, wire.Producer("app-7", 77, 1) if v2 else WHO)


def test_a_new_identity_is_asked_for_and_read() -> None:
    """Error code, producer id and epoch."""
    call = wire.init_producer("app-7", 20_000)
    request = InitProducerIdRequest(transactional_id="app-7", transaction_timeout_ms=20_000)
    _same(call, request)
    response = InitProducerIdResponse(throttle_time_ms=0, error_code=51, producer_id=-1, producer_epoch=-1)
    assert _answer(call, response) == (51, -1, -1)


def test_what_a_broker_does_not_speak_is_refused_with_words() -> None:
    """The versions given at connecting decide; nothing is sent that would be misread."""
    call = wire.end(WHO, v2=True)
    assert call.prepare({wire.END: (0, 5)}) is call
    with pytest.raises(BrokerError, match=r"Kafka 3\.7\.1 or newer"):
        call.prepare({wire.END: (0, 4)})


def test_a_request_shows_nothing_of_what_it_carries() -> None:
    """The connection logs requests at debug level; records are personal data."""
    assert "secret" not in repr(wire.produce(WHO, {"secret": [(0, b"secret")]}, 1, v2=True))

"""Topic administration against a real broker: what is created, what is compared, what is never changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.kit.wire import Wire

from contactgate.broker import Bootstrap
from contactgate.errors import BrokerError, BrokerUnavailable, TopicsDiffer
from contactgate.topics import Layout, TopicAdmin, topic_specs

CO_PARTITIONED = (
    "consent-events", "contact-requests", "contact-outcomes", "contact-decisions", "subjects-changelog", "relay",
    "dead-letters", "tasks", "approvals.dialer-1",
)  # fmt: skip


def test_second_creation_changes_nothing(kafka: Bootstrap, topic_prefix: str) -> None:
    """Creating the topics twice creates each once, and the second time everything is as it must be."""
    specs = topic_specs(Layout(prefix=topic_prefix, partitions=4, requesters=("dialer-1",)))
    with TopicAdmin(kafka.address) as admin:
        first = admin.create(specs)
        second = admin.create(specs)
        assert set(first.created) == {spec.name for spec in specs}
        assert first.differences == second.differences == ()
        assert second.created == ()
        assert set(second.existed) == {spec.name for spec in specs}
        assert admin.check(specs) == ()
        admin.require(specs)


def test_subject_keyed_topics_share_one_partition_count(kafka: Bootstrap, topic_prefix: str) -> None:
    """Everything keyed by the subject has the chosen partition count, the broadcast topics have one partition."""
    layout = Layout(prefix=topic_prefix, partitions=3, requesters=("dialer-1",))
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(layout))
        found = {state.name.removeprefix(topic_prefix): state for state in admin.describe(topic_prefix)}
        assert {name: found[name].partitions for name in CO_PARTITIONED} == dict.fromkeys(CO_PARTITIONED, 3)
        assert found["control-events"].partitions == found["address-suppressions"].partitions == 1
        assert found["control-events"].configs["cleanup.policy"] == "delete"
        assert found["consent-events"].configs["message.timestamp.type"] == "LogAppendTime"
        assert admin.observed(topic_prefix) == layout
        assert len({state.topic_id for state in found.values()}) == len(found)
        assert admin.cluster_id()


def test_existing_topics_that_differ_are_reported_and_left_alone(kafka: Bootstrap, topic_prefix: str) -> None:
    """Another partition count or time stamp kind is named with what to do, and creation does not touch it."""
    made = Layout(prefix=topic_prefix, partitions=2, event_time=True)
    wanted = topic_specs(replace(made, partitions=4, event_time=False))
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(made))
        before = admin.describe(topic_prefix)
        done = admin.create(wanted)
        assert done.created == ()
        told = {(d.topic.removeprefix(topic_prefix), d.setting): str(d) for d in done.differences}
        assert "has partitions=2, needs 4: run with that partition count" in told["contact-requests", "partitions"]
        assert "message.timestamp.type=LogAppendTime" in told["contact-requests", "message.timestamp.type"]
        assert "kafka-configs.sh --bootstrap-server" in told["contact-requests", "message.timestamp.type"]
        assert ("control-events", "partitions") not in told
        # Kept forever is longer than kept for 30 days: no difference.
        assert ("contact-requests", "retention.ms") not in told
        assert admin.describe(topic_prefix) == before
        with pytest.raises(TopicsDiffer, match="contact-requests has partitions=2"):
            admin.require(wanted)


def test_missing_topics_are_differences(kafka: Bootstrap, topic_prefix: str) -> None:
    """Checking an installation that is not there reports every topic as missing and says how to create it."""
    specs = topic_specs(Layout(prefix=topic_prefix))
    with TopicAdmin(kafka.address) as admin:
        assert admin.observed(topic_prefix) is None
        differences = admin.check(specs)
    assert [d.topic for d in differences] == [spec.name for spec in specs]
    assert all("contactgate topics create" in str(d) for d in differences)


def test_a_requester_added_later_gets_its_topic(kafka: Bootstrap, topic_prefix: str) -> None:
    """A requester added to an existing installation makes exactly one new topic of the same partition count."""
    layout = Layout(prefix=topic_prefix, partitions=2, requesters=("a",))
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(layout))
        done = admin.create(topic_specs(replace(layout, requesters=("a", "b"))))
        assert done.created == (f"{topic_prefix}approvals.b",)
        seen = admin.observed(topic_prefix)
        assert seen is not None
        assert seen.requesters == ("a", "b")


def test_arrival_time_is_the_brokers_unless_event_time_is_chosen(
    kafka: Bootstrap, topic_prefix: str, wire: Wire
) -> None:
    """A producer cannot backdate its request, except in an installation made for replays, where old records stay."""
    old = 1_000_000_000_000
    live, replay = f"{topic_prefix}live-", f"{topic_prefix}replay-"
    with TopicAdmin(kafka.address) as admin:
        admin.create(topic_specs(Layout(prefix=live, partitions=1)))
        admin.create(topic_specs(Layout(prefix=replay, partitions=1, event_time=True)))
    for prefix in (live, replay):
        wire.produce(f"{prefix}contact-requests", [(b"s", b"{}")], timestamp_ms=old)
    assert wire.consume(f"{live}contact-requests", count=1)[0].timestamp_ms > old
    assert wire.consume(f"{replay}contact-requests", count=1)[0].timestamp_ms == old


@pytest.mark.parametrize("requester", ["", "call centre", "a/b", "ü", "x" * 240])
def test_a_requester_that_cannot_be_a_topic_is_refused(requester: str) -> None:
    """A requester's name that Kafka cannot take in a topic name is refused before anything is created."""
    with pytest.raises(BrokerError):
        topic_specs(Layout(requesters=(requester,)))


def test_requesters_that_kafka_confuses_are_refused() -> None:
    """Two requesters that differ only in '.' and '_' are refused with both names."""
    with pytest.raises(BrokerError, match=r"'a\.b' and 'a_b'"):
        topic_specs(Layout(requesters=("a.b", "a_b")))


def test_three_replicas_need_two_in_sync() -> None:
    """With three replicas an acknowledged record is on two of them."""
    assert {spec.configs["min.insync.replicas"] for spec in topic_specs(Layout(replication=3))} == {"2"}


def test_more_replicas_than_brokers_is_told(kafka: Bootstrap, topic_prefix: str) -> None:
    """Kafka's refusal reaches the operator as one error of ours that names the topic and the reason."""
    too_many = 99 if kafka.cluster is None else len(kafka.cluster.nodes) + 1
    specs = topic_specs(Layout(prefix=topic_prefix, replication=too_many))
    with TopicAdmin(kafka.address) as admin, pytest.raises(BrokerError, match=r"contact-requests: .*replication"):
        admin.create(specs)


def test_no_broker_is_one_clear_error() -> None:
    """A dead address is BrokerUnavailable with the address and what to check, never a client library's exception."""
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1 answered"):
        TopicAdmin("127.0.0.1:1", timeout_s=1.0)


@pytest.mark.parametrize("address", ["nonsense:port", "not an address", "localhost:99999", ""])
def test_a_bad_address_is_one_clear_error(address: str) -> None:
    """An address that cannot be one ends in our own error, too."""
    with pytest.raises(BrokerError):
        TopicAdmin(address, timeout_s=1.0)

"""Rows 31-46: what Kafka carries besides a message's bytes. Most need a broker; the rest are records with odd metadata."""

from __future__ import annotations

from tests.hostile.shots import (
    Row,
    ask,
    asked,
    opt_out,
    with_field,
    withdrawal,
)
from tests.kit.gatekit import NOW_MS

BROKER = "tests/broker/test_hostile_records.py::"
FAULTS = "tests/broker/test_engine_faults.py::"
SEQUENCES = "tests/unit/gate/test_hostile_sequences.py::"
LIMIT = 65_536


def _long(length: int) -> bytes:
    short = with_field(withdrawal(), b'"said":""')
    return short[:-2] + b"x" * (length - len(short)) + b'"}'


YEAR_MS = 31_536_000_000
ROWS = [
    Row(31, "a record of exactly the limit, one byte more, ten times as much",
        "64 KiB are read; more is a dead letter, and an opt-out binds; more than 1 MiB Kafka refuses.", (
        opt_out("exactly", _long(LIMIT), "applied"),
        opt_out("one more", _long(LIMIT + 1), "message.too_large"),
        opt_out("ten times", _long(10 * LIMIT), "message.too_large"),
        ask("a request of one byte more", with_field(asked(), b'"said":"' + b"x" * LIMIT + b'"'), "message.too_large"),
    ), (BROKER + "test_records_too_large_for_the_topic_are_refused_by_kafka",)),
    Row(32, "a dead letter that embeds the largest input", "It fits: the dead letters' topic takes eight times as much as an input's.",
        runs=(BROKER + "test_the_largest_record_there_can_be_becomes_a_letter_that_holds_it",)),
    Row(33, "compression bombs: gzip, zstd, lz4, snappy",
        "Kafka unpacks before it measures, and refuses them. Where a topic lets one in, it is a dead letter with its SHA-256; an opt-out binds.",
        runs=(BROKER + "test_a_compression_bomb_is_refused_by_kafka",
              BROKER + "test_a_compression_bomb_that_a_topic_let_in_is_a_letter_and_stops_nobody")),
    Row(34, "a batch of 100,000 empty records", "A dead letter each; the others are decided.",
        runs=(BROKER + "test_a_flood_of_poison_is_all_letters_and_stops_nobody",)),
    Row(35, "headers: 10,000, huge, doubled, forged, names that are no text", "Headers are never read.",
        runs=(BROKER + "test_headers_of_any_kind_are_never_followed",)),
    Row(36, "record timestamps 0, -1, 2^63-1, ahead by 59 minutes and by a year",
        "On our topics Kafka's clock counts. Where the sender's is kept, an event that lies a day ahead of it is refused; an opt-out binds.", (
        opt_out("0", withdrawal(), "time.absurd", timestamp_ms=0, after="pass"),
        opt_out("-1", withdrawal(), "time.absurd", timestamp_ms=-1, after="pass"),
        opt_out("2^63-1", withdrawal(), "applied", timestamp_ms=2**63 - 1),
        opt_out("in 59 minutes", withdrawal(), "applied", timestamp_ms=NOW_MS + 3_540_000),
        opt_out("in a year", withdrawal(), "applied", timestamp_ms=NOW_MS + YEAR_MS),
    ), (BROKER + "test_timestamps_of_the_sender_count_for_nothing",)),
    Row(37, "an aborted transaction full of opt-ins", "Never seen.",
        runs=(FAULTS + "test_aborted_consents_of_a_transactional_producer_count_for_nothing",)),
    Row(38, "a transaction left hanging in the input", "Requests behind it wait until it ends; none passes meanwhile.",
        runs=(FAULTS + "test_a_batch_behind_a_hanging_transaction_is_held_until_it_ends",)),
    Row(39, "another partitioner, an explicit wrong partition",
        "Carried to the partition that owns its key, once; decided and in force there, and there alone.",
        runs=(BROKER + "test_records_on_a_wrong_partition_are_carried_to_their_own",
              "tests/unit/gate/test_live.py::test_a_misplaced_opt_out_and_a_misplaced_request_are_carried")),
    Row(40, "duplicates: the same record, the same id with another body, after 30 days",
        "The first decision is repeated and marked `duplicate`; beyond the de-duplication horizon it is a new request.",
        runs=(SEQUENCES + "test_a_request_id_is_decided_once",)),
    Row(41, "a record of a principal who may not write",
        "Does not apply to us: Kafka checks ACLs at produce and stores no principal in a record batch, so no reader can tell.",
        why_not="Kafka's record batch has producer id and epoch, no principal (KIP-98, message format v2)"),
    Row(42, "a corrupted batch in the log file", "The reader's CRC check refuses it: nothing behind it on that partition is decided, and an operator is alerted.",
        runs=("tests/unit/engine/kafka/test_header_names.py::test_a_batch_with_a_wrong_checksum_is_never_read_as_something_else",)),
    Row(43, "look-alike topics; a request that names its own reply topic", "Topics are taken by exact name; fields that name one are ignored.", (
        ask("reply topic", with_field(asked(), b'"reply_topic":"approvals.evil","reply_to":"x"'), "decided pass"),
        ask("another requester", asked(requester="../approvals"), "decided consent.recipient"),
    ), (BROKER + "test_topics_that_look_alike_are_not_ours",)),
    Row(44, "10,000 poison messages a second on one partition", "A dead letter each; the others are decided.",
        runs=(BROKER + "test_a_flood_of_poison_is_all_letters_and_stops_nobody",)),
    Row(45, "one subject with half of the traffic", "Decided like any other, in order, under its caps.",
        runs=(BROKER + "test_one_subject_with_half_of_the_traffic_holds_up_nobody",)),
    Row(46, "the consumer group's name or a transactional id used by somebody else",
        "The older producer is fenced and decides nothing more; positions in the changelog win over the group's.",
        runs=(FAULTS + "test_a_fenced_worker_stops_deciding_and_the_new_owner_goes_on",
              FAULTS + "test_the_changelog_wins_over_moved_group_positions")),
]  # fmt: skip

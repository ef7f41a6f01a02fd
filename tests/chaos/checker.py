"""`check(history) -> Verdict`: a pure function that believes the topics and the producer's journal, and nobody else.

It shares no code with contactgate (a test enforces that): the rules, the readings and the hashes are written again from
the documents. Partitions are walked in processes of their own when there is much to do. The numbers of the promises are
those of `tests.chaos.verdict.PROMISES`. Must never change a history.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from base64 import b64encode
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import msgspec
import yaml
from tests.chaos.history import (
    ALERTS,
    APPROVALS,
    CHANGELOG,
    CONSENT,
    CONTROL,
    DEAD,
    DECISIONS,
    INPUTS,
    METRICS,
    OUTCOMES,
    RELAY,
    REQUESTS,
    SUPPRESSIONS,
    History,
    load,
)
from tests.chaos.journal import Journal
from tests.chaos.letters import Letters
from tests.chaos.outputs import META
from tests.chaos.reading import read_world, read_worlds
from tests.chaos.relayed import KINDS, Relayed, origin_of
from tests.chaos.rules import Policy, unknown_scope
from tests.chaos.verdict import Findings, Verdict, conclude
from tests.chaos.walk import Walk

_MANY = 100_000
_decode = msgspec.json.Decoder().decode
_PROCESSES = 2
_EMAIL = b"canary.example"
_TAIL = len(',"hash":"sha256:') + 64 + len('"}')


def check(history: History) -> Verdict:
    """Everything that can be said of a history."""
    found = Findings()
    journal = Journal(history.workload)
    partitions = list(range(history.meta["partitions"]))
    _world(history, found)
    for topic in (CONTROL, SUPPRESSIONS):
        _inputs(history, topic, 0, journal, found)
    for findings in _walks(history, partitions):
        found.merge(findings)
    _settled(history, found)
    for topic in history.topics():
        for partition in set(history.partitions(topic)).difference(partitions):
            _canaries(history, topic, partition, found)
    _logs(history, found)
    for state in journal.transactions.values():
        found.seen["aborted_transactions"] += state == "aborted"
    found.seen["hanging_transactions"] = journal.seen["txn.hanging"]
    found.seen["unknown_sends"] = journal.seen["batch.unknown"]
    return conclude(found, history.counters, tuple(history.meta.get("required", ())))


def _policy(history: History) -> Policy:
    return Policy.of(yaml.safe_load((history.directory / "policy.yaml").read_bytes()))


def _walks(history: History, partitions: list[int]) -> list[Findings]:
    rows = history.index["topics"].values()
    total = sum(row.get("records", 0) for topic in rows for row in topic.values())
    if total < _MANY or history.in_memory:
        return [_walk(history, partition) for partition in partitions]
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_walk_from, [history.directory] * len(partitions), partitions))


def _walk_from(directory: Path, partition: int) -> Findings:
    return _walk(load(directory), partition)


def _walk(history: History, partition: int) -> Findings:
    found = Findings()
    letters = Letters(history, found, partition)
    journal = Journal(history.workload)
    for topic in (CONSENT, REQUESTS, OUTCOMES):
        _inputs(history, topic, partition, journal, found)
    found.merge(Walk(history, partition, _policy(history), journal, letters).run())
    _chain(history, partition, found)
    for topic in history.topics():
        _canaries(history, topic, partition, found)
    for place in letters.rest(("consent", "outcome", "request")):
        found.bad("I5", f"a dead letter of {place}, where no such record is")
    return found


def _inputs(history: History, topic: str, partition: int, journal: Journal, found: Findings) -> None:
    """The log against the journal: what was acknowledged is there, what is there was sent."""
    records = history.records(topic, partition)
    if topic in KINDS:
        relayed = Relayed(history)
        copies = [record for record in records if origin_of(record) is not None]
        records = [record for record in records if origin_of(record) is None]
        for record in copies:
            if not relayed.came(topic, record):
                found.bad("I5", f"{topic}/{partition}/{record.offset} says that it was carried, and was not")
        if missing := relayed.missing(topic, partition, copies):
            found.bad("I4", f"{missing} records were given to the relay and are not on {topic}/{partition}")
    lost, surplus = journal.compare(topic, partition, records)
    found.looked["I4"] += len(records)
    for text in lost:
        found.bad("I4", text)
    for text in surplus:
        found.bad("I5", text)


def _world(history: History, found: Findings) -> None:
    """Control events and suppressions: counted, and a dead letter for each that cannot be read."""
    read_worlds(history, found, _policy(history).skew_ms)
    letters = Letters(history, Findings())
    for topic, kind in ((CONTROL, "control"), (SUPPRESSIONS, "suppression")):
        for record in history.records(topic, 0):
            found.looked["I6"] += 1
            read = read_world(kind, record)
            reason = read.reason or ("scope.unknown_word" if unknown_scope(read.message) else None)
            letter = letters.take(kind, 0, record)
            if (reason is None) != (letter is None):
                found.bad("I6", f"{kind}/0/{record.offset}: {reason or 'good'}, and its dead letter says {letter}")
    for place in letters.rest(("control", "suppression")):
        found.bad("I5", f"a dead letter of {place}, where no such record is")


def _chain(history: History, partition: int, found: Findings) -> None:
    """Each decision names the hash of the one before; the changelog's head is the last of them."""
    seq, prev = -1, "sha256:" + 64 * "0"
    for record in history.records(DECISIONS, partition):
        found.looked["I11"] += 1
        value = record.value or b""
        body = value[:-_TAIL] + b"}"
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        where = f"decision {partition}/{record.offset}"
        if value[-_TAIL:] != b',"hash":"%b"}' % digest.encode():
            found.bad("I11", f"{where} was edited")
            continue
        decision = _decode(body)
        if decision["seq"] != seq + 1 or decision["prev"] != prev:
            found.bad("I11", f"{where} has seq {decision['seq']} after {seq}, or does not follow it")
        if decision["position"]["partition"] != partition:
            found.bad("I11", f"{where} belongs to partition {decision['position']['partition']}")
        seq, prev = decision["seq"], digest
    metas = [record for record in history.records(CHANGELOG, partition) if record.key == META]
    found.looked["I14"] += 1
    head = json.loads(metas[-1].value or b"{}") if metas else {}
    if head.get("seq", 0) != seq + 1 or (seq >= 0 and head.get("prev") != prev):
        found.bad("I14", f"partition {partition}: the changelog's head is {head.get('seq', 0)}, the chain's {seq + 1}")


def _settled(history: History, found: Findings) -> None:
    """No transaction is open in the end, and the dump is complete."""
    for topic in (DECISIONS, CHANGELOG, DEAD, *(t for t in history.topics() if t.startswith(APPROVALS))):
        for partition, row in history.index["topics"].get(topic, {}).items():
            found.looked["I7"] += 1
            if row.get("last_stable") != row.get("end"):
                found.bad(
                    "I7", f"{topic}/{partition} ends at {row.get('end')} and is stable to {row.get('last_stable')}"
                )


def _canaries(history: History, topic: str, partition: int, found: Findings) -> None:
    """No address of the population in anything that contactgate wrote, and no subject where none belongs."""
    if topic in INPUTS or topic == RELAY:  # what is carried is an input on its way
        return
    nameless = topic in (METRICS, ALERTS) or topic.startswith(APPROVALS)
    for record in history.records(topic, partition):
        found.looked["I16"] += 1
        whole = b"\n".join((record.key or b"", record.value or b"", *(value for _, value in record.headers)))
        if _address(whole):
            found.bad("I16", f"an address stands in {topic}/{partition}/{record.offset}")
        if nameless and b"subject-" in whole:
            found.bad("I16", f"a subject is named in {topic}/{partition}/{record.offset}")


def _logs(history: History, found: Findings) -> None:
    for path in history.logs():
        if "broker" in path.name or "workload" in path.name:
            continue
        found.looked["I16"] += 1
        if _address(path.read_bytes()):
            found.bad("I16", f"an address stands in the log {path.name}")


def _address(text: bytes) -> bool:
    """An address of the population: the domain in any spelling, or a telephone number that is a word of its own."""
    if _DOMAIN.search(text):
        return True
    for match in _NUMBERS.finditer(text):
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if match[0][:1] == b"+" or not (before.isalnum() or after.isalnum()):
            return True
    return False


def _spellings(word: bytes) -> tuple[bytes, ...]:
    """As it is, backwards, in hexadecimal, in base64 at each of its three offsets, in capitals, URL encoded."""
    middles = []
    for shift in range(3):
        coded = b64encode(b"x" * shift + word)
        middles.append(coded[(shift * 8 + 5) // 6 : len(coded) - 4])
    return (word, word[::-1], word.hex().encode(), word.upper(), word.replace(b".", b"%2E"), *middles)


_NUMBERS = re.compile(rb"\+?1(?:202[2-9]\d{6}|[ .(-]{1,2}202[ .)-]{1,2}[2-9]\d\d[ .-]\d{4})(?!\d)")
_DOMAIN = re.compile(b"|".join(map(re.escape, _spellings(_EMAIL))))


def main() -> None:
    """`python -m tests.chaos.checker DIRECTORY`: the verdict in words; status 1 unless it is green."""
    reader = argparse.ArgumentParser()
    reader.add_argument("directory", type=Path)
    verdict = check(load(reader.parse_args().directory))
    for each in verdict.findings:
        mark = "held  " if each.held else "BROKEN"
        print(
            f"{mark} {each.name:<10} {each.promise} ({each.checked:,} cases){': ' + each.detail if each.detail else ''}"
        )
    print("counters:", ", ".join(f"{name} {count:,}" for name, count in sorted(verdict.counters.items())))
    print("never seen:", ", ".join(verdict.unreached) or "nothing")
    print(verdict.state)
    raise SystemExit(verdict.state != "green")


if __name__ == "__main__":
    main()

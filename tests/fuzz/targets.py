"""One fuzz target a decoder: any bytes in, an answer or the one declared exception out; anything else is a finding.

`tests/property/test_fuzz_targets.py` runs them over seeds, old findings and mutations in `make test`; `make fuzz` runs
them under atheris, guided by coverage. A target is a pure function of its bytes: a finding can be replayed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.kit.gatekit import COMPILED, NOW_MS, POLICY, TOKENS, live

from contactgate.backtest.cases import read_cases, run_cases
from contactgate.calls import requests
from contactgate.calls.list import calls_in_order, read_calls
from contactgate.cli.tail import as_line, in_words
from contactgate.client import letters
from contactgate.client.history import Found
from contactgate.client.routing import Misrouted, loose_key, loose_kind, route
from contactgate.codec import control, messages, state, strict
from contactgate.codec.seal import Sealer
from contactgate.core import chain
from contactgate.core.chain import GENESIS
from contactgate.core.review import open_until
from contactgate.core.world import World
from contactgate.errors import (
    ChainBroken,
    DocumentError,
    MalformedMessage,
    PolicyError,
    SettingsError,
    StoreCorrupt,
    StoreForeign,
)
from contactgate.gate import Gate, WorldFeed
from contactgate.model.address import AddressError, normalise
from contactgate.model.control import RegistryPublished
from contactgate.model.instants import to_ms
from contactgate.model.log import Position, Record
from contactgate.offline import Fold, MemoryStates
from contactgate.partition.fold import Meta, decode_meta, encode_meta
from contactgate.policy.load import load_policy
from contactgate.proof import decided
from contactgate.proof.walk import Walk, read_heads, write_heads
from contactgate.registry import Snapshot, opener
from contactgate.settings import load_settings

_KINDS: Final = ("consent", "request", "outcome", "suppression")
_SEALER: Final = Sealer(b"s" * 32)
_FOLDER: Final = tempfile.TemporaryDirectory(prefix="contactgate-fuzz-")
_SCRATCH: Final = Path(_FOLDER.name)


def _known(fault: MalformedMessage, raw: bytes) -> None:
    assert fault.reason in strict.REASONS, fault.reason
    assert fault.reason != "processing.failed", fault.detail
    assert fault.detail.isprintable(), "a detail must fit on one line"


def _message(kind: str) -> Callable[[bytes], None]:
    def run(raw: bytes) -> None:
        try:
            found = strict.decode(kind, raw)
        except MalformedMessage as fault:
            _known(fault, raw)
            return
        # INVARIANT (one reading): the exact reader finds the same object, without any refusal.
        exact = strict.load(raw)
        assert strict.topic_of(exact) == kind
        at_ms = to_ms(found.time)
        try:
            if kind == "request":
                messages.request(found, at_ms, TOKENS)
            elif kind == "suppression":
                if exact["type"] == "address.suppressed":
                    messages.suppressions(found, at_ms)
            elif kind == "outcome" and exact["type"] == "contact.outcome":
                messages.outcome(found, at_ms, at_ms, None, proven=True)
            else:
                messages.event(found, at_ms, at_ms, TOKENS)
        except MalformedMessage as fault:
            _known(fault, raw)

    return run


def _control(raw: bytes) -> None:
    try:
        found = control.decode(raw)
    except MalformedMessage as fault:
        _known(fault, raw)
        return
    for key in control.key_of(found):
        key.encode()


def _fates(out: list[Any]) -> list[dict[str, Any]]:
    made = [json.loads(each.value) for each in out if each.kind != "relay"]
    for each in made:
        assert each.get("reason") != "processing.failed", each["detail"]
    return [each for each in made if each["type"] in {"contact.decided", "dead.letter"}]


def _gate(raw: bytes) -> None:
    """The first byte chooses the topic, the second the key; the rest is the value, as the live engine would give it."""
    kind = (*_KINDS, "control")[raw[0] % 5] if raw else "consent"
    key = (b"s-1", None, b"", b"party:bank", TOKENS.address("voice", "+12125550199").encode(), raw[2:18], b"\xff")[
        raw[1] % 7 if len(raw) > 1 else 0
    ]
    rec = Record(kind, 0, 7, NOW_MS, key, raw[2:])
    if kind in {"control", "suppression"}:
        world = World()
        feed = WorldFeed(TOKENS, world, source="/fuzz", sealer=_SEALER)
        feed.control(rec) if kind == "control" else feed.suppression(rec)
        assert len(_fates(feed.out)) <= 1
        return
    gate, states, _ = live(strict_partition=7)  # of which the first owns s-1
    if kind == "request":
        gate.request(rec, states, NOW_MS, Position(0, 7, 0, 0, 0, 0))
        carried = [each for each in gate.out if each.kind == "relay"]
        assert len(_fates(gate.out)) == 1 or (len(carried) == 1 and not _fates(gate.out))
    else:
        gate.consent(rec, states) if kind == "consent" else gate.outcome(rec, states)
        assert len(_fates(gate.out)) <= 1
    for subject, known in states.subjects.items():
        subject.decode()
        assert state.decode(state.encode(known, open_until(known, NOW_MS))) == known


def _offline(raw: bytes) -> None:
    """Lines of a file, as `contactgate decide` reads them."""
    fold = Fold(COMPILED, TOKENS)
    for line in raw.split(b"\n")[:20]:
        made = [json.loads(out) for out in fold.line(line)]
        assert sum(each["type"] in {"contact.decided", "dead.letter"} for each in made) <= 1 or b"registry" in line
        assert all(each.get("reason") != "processing.failed" for each in made), made


def _state(raw: bytes) -> None:
    try:
        found = state.decode(raw)
    except StoreCorrupt:
        return
    state.open_until_ms(raw)
    assert found is not None


def _meta(raw: bytes) -> None:
    try:
        found = decode_meta(raw)
    except StoreCorrupt:
        return
    assert decode_meta(encode_meta(found)) == found
    assert isinstance(found, Meta)


def _faults(error: DocumentError) -> None:
    assert error.faults
    assert all(fault.message for fault in error.faults)


def _policy(raw: bytes) -> None:
    try:
        found = load_policy(raw)
    except PolicyError as error:
        _faults(error)
        return
    assert load_policy(raw).hash == found.hash


def _control_policy(raw: bytes) -> None:
    """A policy inside `policy.activated`, through the feed."""
    value = b'{"type":"policy.activated","event_id":"e","time":"2026-06-01T08:00:00Z","document":' + raw + b"}"
    feed = WorldFeed(TOKENS, World(), source="/fuzz", sealer=None)
    feed.control(Record("control", 0, 0, NOW_MS, b"policy:active", value))
    assert len(_fates(feed.out)) <= 1


def _settings(raw: bytes) -> None:
    if b"_file" in raw and b"/" in raw:
        return  # would read whatever file the fuzzer names
    file = _SCRATCH / "settings.yaml"
    file.write_bytes(raw)
    try:
        load_settings(file, {})
    except SettingsError as error:
        _faults(error)


def _cases(raw: bytes) -> None:
    try:
        found = read_cases(raw)
    except PolicyError as error:
        _faults(error)
        return
    run_cases(found, COMPILED, TOKENS)


def _calls(raw: bytes) -> None:
    file = _SCRATCH / "calls.csv"
    file.write_bytes(raw)
    try:
        found = read_calls(file)
    except DocumentError as error:
        _faults(error)
        return
    if sum(client.calls for client in found) < 1_000:
        for call in calls_in_order(found):
            strict.decode("request", requests.request(call))


def _snapshot(raw: bytes) -> None:
    file = _SCRATCH / "list.registry"
    file.write_bytes(raw)
    try:
        found = Snapshot(file, TOKENS)
    except (StoreCorrupt, StoreForeign):
        return
    listed = [TOKENS.address("voice", f"+1212555{number:04d}") for number in range(40)]
    try:
        found.verify()
    except StoreCorrupt:
        for token in listed:
            try:
                found.since(token)
            except StoreCorrupt:
                continue
        return
    for token in listed:
        found.since(token)


_PUBLISHED: Final = {
    "type": "registry.published", "event_id": "e", "time": "2026-06-01T08:00:00Z", "registry": "us-ndnc",
    "version": "1", "as_of": "2026-06-01T08:00:00Z", "kind": "snapshot",
}  # fmt: skip


def _registry_lines(raw: bytes) -> None:
    """A plain list that `registry.published` points to; the first line is its name."""
    name, _, content = raw.partition(b"\n")
    lists = _SCRATCH / "lists"
    lists.mkdir(exist_ok=True)
    (lists / "plain.txt").write_bytes(content)
    uri = f"file://{lists}/plain.txt" if not name else name.decode("utf-8", "replace")
    source = {"uri": uri, "format": "e164-lines"}
    try:
        event = control.decode(json.dumps({**_PUBLISHED, "source": source}).encode())
        assert isinstance(event, RegistryPublished)
        opener(lists, TOKENS, _SCRATCH / "cache")(event)
    except MalformedMessage as fault:
        _known(fault, raw)
    finally:
        for made in (_SCRATCH / "cache").glob("*"):
            made.unlink()


def _letter(raw: bytes) -> None:
    for letter in letters.read_letters([Found(0, 0, NOW_MS, None, raw, [])]):
        try:
            _SEALER.open(letter.place, letter.sealed)
        except MalformedMessage as fault:
            assert fault.reason == "seal.broken"


def _proof(raw: bytes) -> None:
    """Lines are the decisions of a partition, as a verifier finds them on a topic somebody may have edited."""
    walk = Walk(0)
    for offset, line in enumerate(raw.split(b"\n")[:8]):
        if not walk.take(offset, b"s-1", line):
            break
    walk.finish()
    with suppress(ChainBroken):
        chain.verify(raw.split(b"\n")[:8])
    with suppress(ChainBroken):
        found = decided.decode(raw)
        decided.instant_ms(found.decided_at)
        decided.differences(found, found)


class _Consumed(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def _tail(raw: bytes) -> None:
    """A record on an operator's terminal: timestamp, key up to a zero byte, value."""
    key, _, value = raw[8:].partition(b"\0")
    at = int.from_bytes(raw[:8], "big", signed=True)
    record = _Consumed("consent-events", 0, 1, at, key or None, value or None)
    line = in_words(record).plain
    assert line.isprintable(), "nothing may reach the terminal that it could take for a command"
    json.loads(as_line(record))


def _heads(raw: bytes) -> None:
    try:
        heads = read_heads(raw, "contact-decisions")
    except DocumentError as error:
        _faults(error)
        return
    heads.link(0)
    write_heads(heads.topic, heads.checked_at, {}, heads)


def _route(raw: bytes) -> None:
    """What a publisher makes of a line."""
    loose_key(raw)
    loose_kind(raw)
    try:
        found = route(raw, TOKENS.suppressed)
    except Misrouted:
        return
    assert found
    for routed in found:
        assert routed.kind in {*_KINDS, "control"}


def _address(raw: bytes) -> None:
    text = raw[1:].decode("utf-8", "surrogatepass" if raw[:1] < b"\x80" else "replace")
    channel = ("voice", "sms", "email", "mail", "push")[raw[0] % 5]
    try:
        plain = normalise(channel, text)
    except AddressError as error:
        assert len(text) < 4 or text not in str(error)
        return
    assert normalise(channel, plain) == plain, "a canonical address is its own canonical form"


def _address_or_nothing(raw: bytes) -> None:
    if raw:
        try:
            _address(raw)
        except UnicodeDecodeError:
            return


class Target(NamedTuple):
    """A decoder under test and how long its inputs may grow."""

    run: Callable[[bytes], None]
    max_len: int = 4096


TARGETS: Final[dict[str, Target]] = {
    **{f"message-{kind}": Target(_message(kind)) for kind in _KINDS},
    "message-control": Target(_control),
    "gate": Target(_gate),
    "offline-lines": Target(_offline),
    "state": Target(_state),
    "meta": Target(_meta, 1024),
    "policy": Target(_policy),
    "policy-activated": Target(_control_policy),
    "settings": Target(_settings),
    "cases": Target(_cases),
    "call-list": Target(_calls),
    "registry-snapshot": Target(_snapshot, 16_384),
    "registry-lines": Target(_registry_lines),
    "dead-letter": Target(_letter),
    "proof": Target(_proof),
    "chain-heads": Target(_heads),
    "tail": Target(_tail),
    "routing": Target(_route),
    "address": Target(_address_or_nothing, 600),
}

__all__ = ["GENESIS", "POLICY", "TARGETS", "Gate", "MemoryStates", "Target"]

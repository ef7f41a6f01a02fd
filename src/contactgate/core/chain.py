"""The audit chain: every decision names the hash of the one before it, so an edit, a gap or a reorder is found.

Layout this module owns: `body` is the decision as JSON bytes, an object with `seq` and `prev` and without `hash`; its
hash is "sha256:" and the hex digest of exactly these bytes; the record on the wire is the body with one more member
`"hash"` at its end. A checker cuts that member off again and hashes what is left. Never re-encodes a record.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

import msgspec

from contactgate.errors import ChainBroken

GENESIS = "sha256:" + "0" * 64
"""`prev` of the first decision of a partition."""

_TAIL = len(b',"hash":"') + len(GENESIS) + len(b'"}')


class Link(NamedTuple):
    """Where a chain stands: the sequence number and hash of its last decision."""

    seq: int
    hash: str


class _Head(msgspec.Struct):
    seq: int
    prev: str
    hash: str


_decoder = msgspec.json.Decoder(_Head)


def link(prev: str, body: bytes) -> str:
    """The hash of a decision. `prev` must be the one the body names; it is part of the bytes that are hashed."""
    if body.rfind(prev.encode()) < 0:  # it stands at the end; from the front the search takes eight times as long
        raise ChainBroken("the body of a decision does not name the hash of the one before it: encode prev first")
    return "sha256:" + sha256(body).hexdigest()


def seal(body: bytes, own_hash: str) -> bytes:
    """The record on the wire: the body with its hash as the last member."""
    return b'%b,"hash":"%b"}' % (body[:-1], own_hash.encode())


def verify(records: Iterable[bytes], start: Link | None = None) -> Link:
    """Checks the records of one partition, in order; returns where the chain stands after them.

    `start` is where it stood before the first of them; None: the first record begins the chain (GENESIS), or, if it
    does not, its own `prev` is taken on trust. Raises ChainBroken naming the first bad position.
    """
    last = start
    for place, record in enumerate(records):
        last = follow(last, record, place)
    if last is None:
        raise ChainBroken("there is no record to check: read the whole partition")
    return last


def follow(last: Link | None, record: bytes, place: int | str) -> Link:
    """Checks one record after the link `last` (None: its own `prev` is taken on trust); `place` names it in the fault.

    Raises ChainBroken.
    """
    try:
        head = _decoder.decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ChainBroken(f"record {place} is not a decision: {error}") from error
    body = record[:-_TAIL] + b"}"
    if record[-_TAIL:] != b',"hash":"%b"}' % head.hash.encode():
        raise ChainBroken(f"record {place} (seq {head.seq}) does not end with its hash: it was re-encoded")
    if "sha256:" + sha256(body).hexdigest() != head.hash:
        raise ChainBroken(f"record {place} (seq {head.seq}) was edited: its hash does not fit its bytes")
    if last is not None:
        if head.seq <= last.seq:
            raise ChainBroken(f"record {place} has seq {head.seq} after {last.seq}: it is repeated or out of order")
        if head.seq > last.seq + 1:
            raise ChainBroken(f"record {place} has seq {head.seq} after {last.seq}: one is missing or out of order")
        if head.prev != last.hash:
            raise ChainBroken(f"record {place} (seq {head.seq}) does not follow the record before it")
    return Link(head.seq, head.hash)

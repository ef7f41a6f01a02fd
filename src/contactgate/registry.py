"""National do-not-call lists as local files: built once, verified, looked up in memory-mapped form.

The file holds no clear number: every entry is the keyed token of a number (codec.tokens), cut to 64 bits. 250 million
entries take 1.3 GB, 1.8 GB with days of listing, and are shared by all processes of a machine through the page cache.

    bytes 0-7      b"CGREG\\x02\\r\\n" (a \\x01 does not say how many lines were left out, and is refused)
    bytes 8-11     length of the header, little-endian
    header         JSON (`Header`), padded with spaces so that what follows begins at a multiple of 4096
    index          2**bits + 1 little-endian uint32: where each bucket begins; the bucket of an entry is its top bits
    remainders     5 bytes an entry, the 40 bits below the bucket's, sorted within a bucket
    days           only with `dated`: 2 bytes an entry, days since 1970-01-01, 0 = not given

`sha256` of the header covers everything after the header. A file is written next to its place and renamed: it is there
whole or not at all, and only its owner may read it. A wrong hit needs 40 equal bits within a bucket of 16 (about
1e-11), and blocks rather than calls.
Must never hold, log or name a clear number.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import tempfile
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import IO, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from contactgate.codec.listing import PLACES, entry_tokens
from contactgate.codec.tokens import Tokens
from contactgate.errors import DocumentError, Fault, MalformedMessage, StoreCorrupt, StoreForeign
from contactgate.model.address import AddressError
from contactgate.model.control import RegistryPublished
from contactgate.model.forms import FORMS
from contactgate.model.instants import EPOCH_ORDINAL
from contactgate.model.world import Opened

MAGIC: Final = b"CGREG\x02\r\n"
_PAGE: Final = 4096
_SHARDS: Final = 256
_RECORD: Final = 11  # 8 bytes of token, 2 bytes of day, 1 if it is another form; big-endian: sorts as bytes
_PER_BUCKET: Final = 16
_MOST_BITS: Final = 24
INLINE_BYTES: Final = 4 << 20
"""A plain list larger than this is not turned into a snapshot while events wait; build it beforehand."""


class Header(msgspec.Struct, frozen=True):
    """What a snapshot says about itself."""

    registry: str
    version: str
    count: int
    bits: int
    dated: bool
    key: str  # fingerprint of the token key it was built with
    sha256: str
    unreadable: int  # lines that could not be read, and were accepted when it was built
    lines: tuple[int, ...]  # the first of them, counted from 1
    forms: str = ""  # the set of written forms of a number that its tokens were made with
    others: int = 0  # entries beyond `count`: other written forms of the same numbers


class Built(NamedTuple):
    """What came of a list."""

    header: Header
    repeated: int


class Snapshot:
    """One list, memory-mapped. Satisfies `model.world.Listing`."""

    def __init__(self, path: Path, tokens: Tokens | None = None) -> None:
        """Raises StoreCorrupt for a damaged file and StoreForeign for one built with another key than `tokens`'."""
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise StoreCorrupt("the snapshot cannot be opened; build it again") from error
        self.header, self._index = _read_header(self._map)
        if tokens is not None and tokens.fingerprint != self.header.key:
            raise StoreForeign("the snapshot was built with another token key; build it again with this one")
        if tokens is not None and self.header.forms != FORMS:
            raise StoreForeign("the snapshot was built with other written forms of numbers; build it again")
        self._shift = 64 - self.header.bits
        self._remainders = self._index + 4 * ((1 << self.header.bits) + 1)
        entries = self.header.count + self.header.others
        self._days = self._remainders + 5 * entries
        if len(self._map) != self._days + (2 * entries if self.header.dated else 0):
            raise StoreCorrupt("the snapshot is cut short; build it again")

    def since(self, token: str) -> int | None:
        """Ordinal of the day of listing (0 when the list gives none); None when not listed."""
        whole = int.from_bytes(urlsafe_b64decode(token[3:14] + "A")[:8], "big")
        bucket = whole >> self._shift
        first, end = _TWO.unpack_from(self._map, self._index + 4 * bucket)
        wanted = ((whole >> (self._shift - 40)) & 0xFF_FFFF_FFFF).to_bytes(5, "big")
        held = self._map[self._remainders + 5 * first : self._remainders + 5 * end]
        at = held.find(wanted)
        while at >= 0 and at % 5:
            at = held.find(wanted, at + 1)
        if at < 0:
            return None
        if not self.header.dated:
            return 0
        (day,) = _DAY.unpack_from(self._map, self._days + 2 * (first + at // 5))
        return day + EPOCH_ORDINAL if day else 0

    def verify(self) -> None:
        """Read all of it. Raises StoreCorrupt when it is not what was built."""
        digest = hashlib.sha256()
        for start in range(self._index, len(self._map), 1 << 20):
            digest.update(self._map[start : start + (1 << 20)])
        if digest.hexdigest() != self.header.sha256:
            raise StoreCorrupt("the snapshot is damaged: its SHA-256 differs; build it again")


_TWO: Final = struct.Struct("<II")
_DAY: Final = struct.Struct(">H")


def _read_header(raw: mmap.mmap) -> tuple[Header, int]:
    if raw[:8] != MAGIC:
        raise StoreCorrupt("the file is no registry snapshot, or one of another version")
    size = int.from_bytes(raw[8:12], "little")
    if not 0 < size <= 1 << 16:
        raise StoreCorrupt("the snapshot's header is damaged; build it again")
    try:
        header = msgspec.json.decode(raw[12 : 12 + size], type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreCorrupt("the snapshot's header is damaged; build it again") from error
    if not 0 < header.bits <= _MOST_BITS or header.count < 0 or header.others < 0:
        raise StoreCorrupt("the snapshot's header is damaged; build it again")
    return header, 12 + size


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a plain list. Bytes that are no UTF-8 make their line unreadable and no other."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        yield from lines


def build(
    lines: Iterable[str],
    tokens: Tokens,
    target: Path,
    *,
    registry: str,
    version: str,
    unreadable: int | None = 0,
    at_least: int = 0,
) -> Built:
    """A snapshot of a list: one number a line, optionally `,` and its day of listing (YYYY-MM-DD).

    Memory for one of 256 shards at a time. Lines that repeat a number keep its earliest day; blank ones are nothing.
    `target` appears whole at the end, or stays as it was. Raises DocumentError, naming the lines, when more than
    `unreadable` cannot be read (None: any number) or nothing can, and when fewer than `at_least` numbers are left.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".registry-") as folder:
        shards = [(Path(folder) / f"{number:02x}").open("w+b", buffering=1 << 16) for number in range(_SHARDS)]
        try:
            found = _scatter(lines, tokens, shards)
            if unreadable is not None and found.unreadable and (found.unreadable > unreadable or not found.whole):
                raise _refused(found)
            with (Path(folder) / "whole").open("w+b") as file:
                header = _write(file, shards, found, tokens, registry, version)
                if header.count < at_least:
                    words = f"{header.count} numbers, less than half of those in the file that it would replace"
                    raise DocumentError("the list shrinks; nothing is written", (Fault("", words),))
                file.flush()
                os.fchmod(file.fileno(), 0o600)
                os.fsync(file.fileno())
        finally:
            for shard in shards:
                shard.close()
        (Path(folder) / "whole").replace(target)
    parent = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
    return Built(header, found.tokens - header.count)


class _Scattered(NamedTuple):
    tokens: int  # in the shards
    whole: int  # lines that could be read whole
    unreadable: int
    lines: tuple[int, ...]
    dated: bool


def _refused(found: _Scattered) -> DocumentError:
    faults = [Fault(f"line {line}", "no number with country code, or no day YYYY-MM-DD") for line in found.lines]
    if found.unreadable > len(found.lines):
        faults.append(Fault("", f"and {found.unreadable - len(found.lines)} more"))
    if not found.whole:
        words = "nothing of the list can be read (is it compressed, or not UTF-8?); nothing is written"
    else:
        words = f"{found.unreadable} of {found.unreadable + found.whole} lines cannot be read; nothing is written"
    return DocumentError(words, tuple(faults))


def _scatter(lines: Iterable[str], tokens: Tokens, shards: Sequence[IO[bytes]]) -> _Scattered:
    """Every number's token and day into the shard of its first byte; a number without a readable day as if undated."""
    count = whole = unreadable = 0
    bad: list[int] = []
    dated = False
    for at, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        number, comma, day = text.partition(",")
        listed = _day(day.strip()) if comma else 0
        try:
            found = entry_tokens(tokens, number)
        except AddressError:
            found = ()
        if not found or listed is None:
            unreadable += 1
            if len(bad) < PLACES:
                bad.append(at)
        else:
            whole += 1
        dated = dated or bool(listed)
        for other, token in enumerate(found):
            raw = urlsafe_b64decode(token[3:14] + "A")[:8]
            shards[raw[0]].write(raw + (listed or 0).to_bytes(2, "big") + bytes((other > 0,)))
        count += bool(found)
    return _Scattered(count, whole, unreadable, tuple(bad), dated)


def _day(text: str) -> int | None:
    """Days since 1970, 0 for earlier ones; None when it is no day."""
    try:
        day = max(date.fromisoformat(text).toordinal() - EPOCH_ORDINAL, 0)
    except ValueError:
        return None
    return day if day < 1 << 16 else None


def _sort(shard: IO[bytes]) -> list[bytes]:
    """The records of one shard in order, each token once (the earliest day is kept); the shard holds them then."""
    shard.seek(0)
    data = shard.read()
    kept = []
    last = b""
    for record in sorted(data[at : at + _RECORD] for at in range(0, len(data), _RECORD)):
        if record[:8] != last:
            last = record[:8]
            kept.append(record)
    shard.seek(0)
    shard.truncate()
    shard.write(b"".join(kept))
    return kept


def _records(shard: IO[bytes]) -> list[bytes]:
    shard.seek(0)
    data = shard.read()
    return [data[at : at + _RECORD] for at in range(0, len(data), _RECORD)]


def _write(
    file: IO[bytes], shards: Sequence[IO[bytes]], found: _Scattered, tokens: Tokens, registry: str, version: str
) -> Header:
    bits = min(_MOST_BITS, max(1, (found.tokens // _PER_BUCKET).bit_length()))
    shift = 64 - bits
    starts = [0] * ((1 << bits) + 1)
    kept = others = 0
    for shard in shards:
        for record in _sort(shard):
            starts[(int.from_bytes(record[:8], "big") >> shift) + 1] += 1
            kept += 1
            others += record[10]
    total = 0
    for at, number in enumerate(starts):
        total += number
        starts[at] = total
    header = Header(
        registry=registry,
        version=version,
        count=kept - others,
        bits=bits,
        dated=found.dated,
        key=tokens.fingerprint,
        sha256="0" * 64,
        unreadable=found.unreadable,
        lines=found.lines,
        forms=FORMS,
        others=others,
    )
    size = len(msgspec.json.encode(header))
    padded = (12 + size + _PAGE - 1) // _PAGE * _PAGE - 12
    file.seek(12 + padded)
    digest = hashlib.sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    for at in range(0, len(starts), 1 << 16):
        part = starts[at : at + (1 << 16)]
        put(struct.pack(f"<{len(part)}I", *part))
    mask = 0xFF_FFFF_FFFF
    for shard in shards:
        put(
            b"".join(
                ((int.from_bytes(record[:8], "big") >> (shift - 40)) & mask).to_bytes(5, "big")
                for record in _records(shard)
            )
        )
    if found.dated:
        for shard in shards:
            put(b"".join(record[8:10] for record in _records(shard)))
    header = msgspec.structs.replace(header, sha256=digest.hexdigest())
    file.seek(0)
    file.write(MAGIC + padded.to_bytes(4, "little") + msgspec.json.encode(header).ljust(padded))
    return header


def entries_of(path: Path, registry: str) -> int:
    """How many numbers the snapshot at a place has; 0 when there is none of this registry."""
    try:
        header = Snapshot(path).header
    except StoreCorrupt:
        return 0
    return header.count if header.registry == registry else 0


def opener(directory: Path | None, tokens: Tokens, cache: Path) -> Callable[[RegistryPublished], Opened]:
    """What opens the list a `registry.published` points to. Raises MalformedMessage when it cannot.

    `directory`: the only place lists may lie in; None: nowhere. Plain lists become snapshots in `cache`.
    """

    def open_list(message: RegistryPublished) -> Opened:
        source = message.source
        assert source is not None
        path = _path(source.uri, directory)
        try:
            if source.format == "snapshot":
                found = Snapshot(path, tokens)
                header = found.header
                if (header.registry, header.version) != (message.registry, message.version):
                    raise _unavailable("the snapshot is of another registry or version")
                if source.sha256 not in {None, header.sha256}:
                    raise _unavailable("the snapshot has another SHA-256 than the event says")
                # What could not be read of it was accepted when it was built.
                opened = Opened(found, header.count)
            else:
                found = _of_lines(path, message, tokens, cache)
                header = found.header
                opened = Opened(found, header.count, header.unreadable, header.lines)
        except (StoreCorrupt, StoreForeign, OSError) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            raise _unavailable(said or "the list cannot be read") from None
        if source.count is not None and source.count != header.count:
            said = f"the list has {header.count} numbers and the event says {source.count}"
            return opened._replace(differs=said)
        return opened

    return open_list


def _unavailable(words: str) -> MalformedMessage:
    return MalformedMessage("registry.source_unavailable", words)


def _path(uri: str, directory: Path | None) -> Path:
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or "\x00" in unquote(parts.path):
        raise _unavailable("`source.uri` must be a file of this machine: file:///…")
    if directory is None:
        raise _unavailable("no registry_dir is set")
    path = Path(unquote(parts.path)).resolve()
    if not path.is_relative_to(directory.resolve()):
        raise _unavailable("the file lies outside of registry_dir")
    return path


def _of_lines(path: Path, message: RegistryPublished, tokens: Tokens, cache: Path) -> Snapshot:
    if path.stat().st_size > INLINE_BYTES:
        raise _unavailable("the list is large; make a snapshot of it with `contactgate registry build` first")
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    if message.source is not None and message.source.sha256 not in {None, digest}:
        raise _unavailable("the list has another SHA-256 than the event says")
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / f"{digest[:32]}-{tokens.fingerprint}-{FORMS}.v2.registry"
    if not target.exists():
        lines = TextIOWrapper(BytesIO(raw), encoding="utf-8-sig", errors="replace")
        build(lines, tokens, target, registry=message.registry, version=message.version, unreadable=None)
    return Snapshot(target, tokens)

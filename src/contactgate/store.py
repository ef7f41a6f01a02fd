"""One partition's local state: a RocksDB directory that caches the committed changelog, nothing else.

Column families and byte layout (this module owns it):

    default  subject_id -> state bytes as the codec wrote them
    open     6-byte big-endian open_until_ms + subject_id -> empty; subjects that may hold an open approval until then
    meta     b"owner" -> JSON of Owner; b"head" -> 8-byte big-endian next changelog offset + the last meta record

INVARIANT (one batch): states, open entries and the head they stand for are written in one WriteBatch, after the Kafka
transaction that carries them committed. A crash therefore leaves an older consistent pair (data, changelog offset) and
the changelog refills the rest. The write-ahead log is on and never synced: a power loss only rewinds to such a pair.

It must never write what Kafka has not committed, and never open a directory of another application, cluster or
partition. Exceptions of rocksdict are translated here and nowhere else.
"""

from __future__ import annotations

import contextlib
import gc
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, Self, cast

import msgspec
from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
)

from contactgate.errors import StoreCorrupt, StoreError, StoreForeign
from contactgate.model.log import Head

_MIB = 1 << 20
_FAMILIES = ("default", "open", "meta")
_COPIES = 2  # of unusable directories kept a partition: a disk must not fill up with them
_OWNER = b"owner"
_HEAD = b"head"


class Owner(msgspec.Struct, frozen=True):
    """Whose state a directory holds; `topic_id` is Kafka's id of the changelog topic, "" where none is known."""

    app: str
    cluster: str
    topic: str
    partition: int
    topic_id: str = ""


def shared_cache(capacity: int = 256 * _MIB) -> Cache:
    """One block cache for all partitions of a worker."""
    return Cache(capacity)


def _options(cache: Cache | None) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_write_buffer_size(16 * _MIB)
    options.set_max_write_buffer_number(3)
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_max_background_jobs(2)
    options.set_max_open_files(512)
    options.set_keep_log_file_num(5)
    # The small families' memtables would hold logs back for long: they are space, and time to replay after a kill.
    options.set_max_total_wal_size(48 * _MIB)
    options.set_compression_type(DBCompressionType.lz4())
    table = BlockBasedOptions()
    table.set_bloom_filter(10, False)
    table.set_format_version(5)
    table.set_block_size(4096)
    if cache is not None:
        table.set_block_cache(cache)
    options.set_block_based_table_factory(table)
    return options


def _translate(error: BaseException, what: str) -> NoReturn:
    """Raise rocksdict's error as ours. RocksDB states the kind at the start of the text (`Corruption: ...`)."""
    text = str(error)
    low = text.lower()
    if "corruption" in low or "checksum mismatch" in low or "missing files" in low:
        raise StoreCorrupt(f"local state is damaged while {what}: {text}") from error
    if "lock" in low and "no locks available" not in low:
        raise StoreError(
            f"local state is in use by another process while {what}; give each worker its own directory"
        ) from error
    raise StoreError(f"local state failed while {what}: {text}") from error


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - rocksdict raises bare Exception for everything
        _translate(error, what)


class PartitionStore:
    """An open directory. Not safe for use by two threads; a write holds the GIL, so batches stay at 2,000 keys."""

    def __init__(self, path: Path, db: Rdict, owner: Owner) -> None:
        self.path = path
        self.owner = owner
        self._db = db
        self._open_cf = db.get_column_family("open")
        self._meta_cf = db.get_column_family("meta")
        self._h_open = db.get_column_family_handle("open")
        self._h_meta = db.get_column_family_handle("meta")
        self._closed = False

    @classmethod
    def open(cls, path: Path, owner: Owner, cache: Cache | None = None) -> Self:
        """Open or create. Raises StoreForeign, StoreCorrupt, or StoreError when another process holds it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Every column family is named with its options: reopening with plain options silently drops the table
            # options of an existing database (no bloom filter, an 8 MiB cache).
            families = {name: _options(cache) for name in _FAMILIES}
            db = Rdict(str(path), _options(cache), column_families=families, access_type=AccessType.read_write())
        except Exception as error:
            # An existing directory that cannot be listed or parsed as a database is damage, not a programming fault.
            if "No such file" in str(error) and path.exists():
                raise StoreCorrupt(f"local state is damaged while opening: {error}") from error
            _translate(error, "opening")
        store: Self | None = None
        try:
            store = cls(path, db, owner)
            store._claim()
        except BaseException:
            if store is not None:
                store.close()
            else:
                db.close()
            raise
        return store

    def _claim(self) -> None:
        with _translated("reading the owner"):
            raw = self._meta_cf.get(_OWNER)
        if raw is None:
            if self.head() is not None:
                raise StoreCorrupt("local state has data but no owner record")
            batch = WriteBatch(raw_mode=True)
            batch.put(_OWNER, msgspec.json.encode(self.owner), self._h_meta)
            self._write(batch, "claiming the directory")
            return
        try:
            found = msgspec.json.decode(raw, type=Owner)
        except msgspec.MsgspecError as error:
            raise StoreCorrupt(f"local state has an unreadable owner record: {error}") from error
        if found != self.owner:
            raise StoreForeign(
                f"the directory belongs to {found.app!r} partition {found.partition} of {found.topic!r} "
                f"(topic id {found.topic_id or 'unknown'}) in cluster {found.cluster!r}, not to {self.owner.app!r} "
                f"partition {self.owner.partition} of {self.owner.topic!r} (topic id "
                f"{self.owner.topic_id or 'unknown'}) in cluster {self.owner.cluster!r}; point the worker at another "
                "directory or move this one away"
            )

    def _write(self, batch: WriteBatch, what: str) -> None:
        with _translated(what):
            self._db.write(batch)

    def head(self) -> Head | None:
        """What the data stands for; None for a new directory."""
        with _translated("reading the head"):
            raw = self._meta_cf.get(_HEAD)
        if raw is None:
            return None
        if len(raw) < 8:
            raise StoreCorrupt("local state has a truncated head record")
        return Head(int.from_bytes(raw[:8], "big"), bytes(raw[8:]))

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """State bytes of each subject, None for an unknown one, in the order asked."""
        if not keys:
            return []
        with _translated("reading states"):
            found: Any = self._db.get(keys, None)  # type: ignore[arg-type]  # list is invariant in its stub
        return cast("list[bytes | None]", found)

    def get(self, key: bytes) -> bytes | None:
        """State bytes of one subject."""
        return self.get_many([key])[0]

    def commit(
        self, states: Iterable[tuple[bytes, bytes | None]], opened: Iterable[tuple[int, bytes]], head: Head
    ) -> None:
        """Write states (None deletes), open entries (until_ms, subject) and the head they stand for, all or nothing."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in states:
            if value is None:
                delete(key)
            else:
                put(key, value)
        for until_ms, subject in opened:
            put(until_ms.to_bytes(6, "big") + subject, b"", self._h_open)
        batch.put(_HEAD, head.changelog.to_bytes(8, "big") + head.meta, self._h_meta)
        self._write(batch, "writing a committed batch")

    def purge_open(self, before_ms: int) -> None:
        """Drop open entries that lapsed before the instant."""
        batch = WriteBatch(raw_mode=True)
        batch.delete_range(bytes(6), max(0, before_ms).to_bytes(6, "big"), self._h_open)
        self._write(batch, "dropping lapsed approvals")

    def open_since(self, now_ms: int) -> Iterator[tuple[int, bytes]]:
        """(until_ms, subject) of approvals that may be open after the instant; a subject may come more than once."""
        for key, _ in self._scan(self._open_cf, max(0, now_ms + 1).to_bytes(6, "big"), "scanning open approvals"):
            yield int.from_bytes(key[:6], "big"), key[6:]

    def scan(self) -> Iterator[tuple[bytes, bytes]]:
        """Every subject and its state bytes, in key order."""
        yield from self._scan(self._db, b"", "scanning states")

    @staticmethod
    def _scan(family: Rdict, start: bytes, what: str) -> Iterator[tuple[bytes, bytes]]:
        # An iterator that meets a damaged block just turns invalid: only its status tells the end from damage.
        iterator = family.iter(ReadOptions())
        with _translated(what):
            iterator.seek(start)
            while iterator.valid():
                yield bytes(iterator.key()), bytes(iterator.value())
                iterator.next()
            iterator.status()

    def flush(self) -> None:
        """Force memtables to disk (tests and clean shutdown)."""
        with _translated("flushing"):
            self._db.flush()

    def backup(self, path: Path) -> None:
        """A consistent copy by hard links."""
        with _translated("making a backup"):
            Checkpoint(self._db).create_checkpoint(str(path))

    def close(self) -> None:
        """Release the directory. Handles must go before the database, or its lock stays."""
        if self._closed:
            return
        self._closed = True
        db = self._db
        del self._db, self._open_cf, self._meta_cf, self._h_open, self._h_meta
        gc.collect(0)
        with contextlib.suppress(Exception):
            db.close()


def move_aside(path: Path, reason: str) -> Path | None:
    """Rename a directory that cannot be used, keeping it to look at. The oldest such copies make room for it."""
    if not path.exists():
        return None
    numbered = ((copy.name.rpartition("-")[2], copy) for copy in path.parent.glob(f"{path.name}.*-*"))
    copies = sorted((int(number), copy) for number, copy in numbered if number.isdecimal())
    target = path.with_name(f"{path.name}.{reason}-{1 + copies[-1][0] if copies else 1}")
    path.rename(target)
    for _, copy in copies[: 1 - _COPIES]:
        shutil.rmtree(copy, ignore_errors=True)
    return target

"""The local store: atomic batches, owners, damage, scans."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contactgate.errors import StoreCorrupt, StoreError, StoreForeign
from contactgate.model.log import Head
from contactgate.store import Owner, PartitionStore, move_aside, shared_cache

OWNER = Owner("app", "cluster-1", "subjects-changelog", 3, "t1")


def test_a_committed_batch_is_read_back_after_reopening(tmp_path: Path) -> None:
    """States, tombstones, open entries and the head survive a close."""
    store = PartitionStore.open(tmp_path / "p", OWNER, shared_cache(1 << 20))
    store.commit([(b"a", b"1"), (b"b", b"2")], [(1_000, b"a"), (2_000, b"b")], Head(7, b"m1"))
    store.commit([(b"a", None), (b"c", b"3")], [], Head(9, b"m2"))
    store.close()
    store = PartitionStore.open(tmp_path / "p", OWNER)
    assert store.get_many([b"a", b"b", b"c", b"d"]) == [None, b"2", b"3", None]
    assert store.head() == Head(9, b"m2")
    assert list(store.open_since(1_000)) == [(2_000, b"b")]
    assert list(store.open_since(999)) == [(1_000, b"a"), (2_000, b"b")]
    assert list(store.scan()) == [(b"b", b"2"), (b"c", b"3")]
    store.purge_open(1_500)
    assert list(store.open_since(0)) == [(2_000, b"b")]
    store.close()


def test_a_new_directory_has_no_head(tmp_path: Path) -> None:
    """Nothing was applied yet, so nothing is claimed."""
    store = PartitionStore.open(tmp_path / "p", OWNER)
    assert store.head() is None
    assert store.get(b"x") is None
    assert store.get_many([]) == []
    store.close()
    store.close()


@pytest.mark.parametrize(
    "other",
    [
        Owner("other", "cluster-1", "subjects-changelog", 3, "t1"),
        Owner("app", "cluster-2", "subjects-changelog", 3, "t1"),
        Owner("app", "cluster-1", "x-changelog", 3, "t1"),
        Owner("app", "cluster-1", "subjects-changelog", 4, "t1"),
        Owner("app", "cluster-1", "subjects-changelog", 3, "t2"),
    ],
)
def test_a_foreign_directory_is_refused_and_left_alone(tmp_path: Path, other: Owner) -> None:
    """State of another application, cluster, topic or partition is never used and never overwritten."""
    store = PartitionStore.open(tmp_path / "p", OWNER)
    store.commit([(b"a", b"1")], [], Head(1, b""))
    store.close()
    with pytest.raises(StoreForeign, match="belongs to"):
        PartitionStore.open(tmp_path / "p", other)
    store = PartitionStore.open(tmp_path / "p", OWNER)
    assert store.get(b"a") == b"1"
    store.close()


def test_a_second_owner_of_the_directory_is_told_that_it_is_in_use(tmp_path: Path) -> None:
    """Two workers on one directory: the second gets a clear error, the first goes on."""
    store = PartitionStore.open(tmp_path / "p", OWNER)
    code = (
        "import sys; from pathlib import Path\n"
        "from contactgate.store import *; from contactgate.errors import StoreError\n"
        "try: PartitionStore.open(Path(sys.argv[1]), Owner('app','cluster-1','subjects-changelog',3,'t1'))\n"
        "except StoreError as e: print(type(e).__name__, e)"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path / "p")], capture_output=True, text=True, check=True)
    assert out.stdout.startswith("StoreError local state is in use by another process")
    store.close()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for position in range(0, min(len(data), 4096), 3):
        data[position] ^= 0xFF
    path.write_bytes(bytes(data))


def test_a_damaged_table_file_is_reported_as_corrupt(tmp_path: Path) -> None:
    """A flipped block is never returned as data, whether met by a get or by a scan."""
    store = PartitionStore.open(tmp_path / "p", OWNER)
    store.commit([(b"k%05d" % n, b"v" * 200) for n in range(2_000)], [], Head(1, b""))
    store.flush()
    store.close()
    largest = max((tmp_path / "p").glob("*.sst"), key=lambda file: file.stat().st_size)
    _flip(largest)
    with pytest.raises(StoreCorrupt):  # noqa: PT012 - damage may show at the open, at the get or at the scan
        store = PartitionStore.open(tmp_path / "p", OWNER)
        try:
            store.get_many([b"k00001", b"k00000"])
            list(store.scan())
        finally:
            store.close()


def test_a_truncated_manifest_is_reported_as_a_store_error_and_can_be_moved_aside(tmp_path: Path) -> None:
    """Whatever the damage, the directory can be moved aside and a new one opened."""
    store = PartitionStore.open(tmp_path / "p", OWNER)
    store.commit([(b"a", b"1")], [], Head(1, b""))
    store.close()
    for manifest in (tmp_path / "p").glob("MANIFEST-*"):
        manifest.write_bytes(manifest.read_bytes()[:10])
    with pytest.raises(StoreError):
        PartitionStore.open(tmp_path / "p", OWNER)
    moved = move_aside(tmp_path / "p", "corrupt")
    assert moved is not None
    assert moved.name == "p.corrupt-1"
    store = PartitionStore.open(tmp_path / "p", OWNER)
    assert store.head() is None
    store.close()
    assert move_aside(tmp_path / "nothing", "corrupt") is None


def test_only_the_newest_unusable_directories_are_kept(tmp_path: Path) -> None:
    """A disk does not fill up with them, whatever the reason; those of other partitions stay."""
    (tmp_path / "p2.corrupt-1").mkdir()
    for number, reason in enumerate(("corrupt", "outdated", "corrupt", "corrupt", "outdated")):
        (tmp_path / "p").mkdir()
        (tmp_path / "p" / "content").write_text(str(number))
        move_aside(tmp_path / "p", reason)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.corrupt-4", "p.outdated-5", "p2.corrupt-1"]
    assert (tmp_path / "p.corrupt-4" / "content").read_text() == "3"


@pytest.mark.slow
def test_logs_are_let_go_while_the_small_families_change_little(tmp_path: Path) -> None:
    """What a restart has to replay, and the disk to hold, stays bounded however much is written."""
    store = PartitionStore.open(tmp_path / "p", OWNER)
    largest = 0
    for number in range(150):
        states = [(b"s%d-%d" % (number, each), os.urandom(10_000)) for each in range(100)]
        store.commit(states, [(number, b"s")], Head(number, b"m"))
        largest = max(largest, sum(path.stat().st_size for path in (tmp_path / "p").glob("*.log")))
    store.close()
    assert 16 << 20 < largest < 80 << 20


def test_a_backup_is_a_store_of_its_own(tmp_path: Path) -> None:
    """A backup opens like the original and later writes do not reach it."""
    store = PartitionStore.open(tmp_path / "p", OWNER)
    store.commit([(b"a", b"1")], [], Head(1, b"m"))
    store.backup(tmp_path / "copy")
    store.commit([(b"a", b"2")], [], Head(2, b"m"))
    copy = PartitionStore.open(tmp_path / "copy", OWNER)
    assert copy.get(b"a") == b"1"
    assert copy.head() == Head(1, b"m")
    copy.close()
    store.close()


def test_a_killed_process_leaves_data_and_head_that_belong_together(tmp_path: Path) -> None:
    """SIGKILL in the middle of a stream of batches: every key tells the same batch number as the head."""
    code = (
        "import sys; from pathlib import Path; from contactgate.store import *\n"
        "s = PartitionStore.open(Path(sys.argv[1]), Owner('app','cluster-1','subjects-changelog',3,'t1'))\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    s.commit([(b'k%d' % k, b'%d' % n) for k in range(50)], [(n, b'k1')], Head(n, b'%d' % n))\n"
        "    if n == 20: print('go', flush=True)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "p")], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    worker.stdout.readline()
    worker.kill()
    worker.wait()
    worker.stdout.close()
    store = PartitionStore.open(tmp_path / "p", OWNER)
    head = store.head()
    assert head is not None
    assert {value for _, value in store.scan()} == {b"%d" % head.changelog}
    assert head.meta == b"%d" % head.changelog
    store.close()

"""Counting what lies in a blob store, again and again."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from reference_registry.digest import Digest, digest_of
from reference_registry.proxy.policy.disk_usage import Changes, DiskUsage

LONG_AGO = time.time() - 3600


def put(blobs: Path, content: bytes, used: float = LONG_AGO) -> Digest:
    digest = digest_of(content)
    directory = where(blobs, digest)
    directory.mkdir(parents=True)
    (directory / "data").write_bytes(content)
    os.utime(directory, (used, used))
    return digest


def where(blobs: Path, digest: Digest) -> Path:
    algorithm, _, encoded = digest.partition(":")
    return blobs / algorithm / encoded[:2] / encoded


def age(blobs: Path) -> None:
    """Let every directory look as if it had not been touched for an hour."""
    for directory in (*blobs.glob("*/*"), *blobs.glob("*")):
        os.utime(directory, (LONG_AGO, LONG_AGO))


def held(changes: Changes) -> dict[Digest, int]:
    return {holding.digest: holding.size for holding in changes.held}


def test_no_store_holds_nothing(tmp_path: Path) -> None:
    assert DiskUsage(tmp_path / "blobs").look() == Changes()


def test_all_is_found_once_with_size_and_last_use(tmp_path: Path) -> None:
    digest = put(tmp_path, b"twelve bytes")
    usage = DiskUsage(tmp_path)
    (found,) = usage.look().held
    assert (found.digest, found.size) == (digest, 12)
    assert found.used == pytest.approx(LONG_AGO, abs=0.001)
    assert usage.look() == Changes()


@pytest.mark.parametrize("is_old", [True, False], ids=["long ago", "just now"])
def test_what_comes_and_goes_is_noticed(tmp_path: Path, is_old: bool) -> None:
    first = put(tmp_path, b"first")
    if is_old:
        age(tmp_path)
    usage = DiskUsage(tmp_path)
    usage.look()
    second = put(tmp_path, b"second")
    assert held(usage.look()) == {second: 6}
    shutil.rmtree(where(tmp_path, first))
    assert usage.look() == Changes(gone=[first])
    assert usage.look() == Changes()


def test_two_changes_in_one_tick_of_the_clock_are_both_noticed(tmp_path: Path) -> None:
    """The second leaves the time of the directory as the first has set it."""
    usage = DiskUsage(tmp_path)
    first = put(tmp_path, b"first")
    assert held(usage.look()) == {first: 5}
    directory = where(tmp_path, first).parent
    stamp = directory.stat().st_mtime_ns
    beside = directory / (directory.name + "f" * 62)
    beside.mkdir()
    (beside / "data").write_bytes(b"beside")
    os.utime(directory, ns=(stamp, stamp))
    assert list(held(usage.look()).values()) == [6]


def test_a_directory_that_nothing_happened_in_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        put(tmp_path, str(number).encode())
    age(tmp_path)
    usage = DiskUsage(tmp_path)
    usage.look()
    monkeypatch.setattr(usage, "_look_into", lambda *_: pytest.fail("read again"))
    assert usage.look() == Changes()


def test_bytes_that_come_later_than_their_directory_are_noticed(tmp_path: Path) -> None:
    digest = digest_of(b"slow")
    directory = where(tmp_path, digest)
    directory.mkdir(parents=True)
    age(tmp_path)
    usage = DiskUsage(tmp_path)
    assert usage.look() == Changes()
    (directory / "data").write_bytes(b"slow")
    age(tmp_path)
    assert held(usage.look()) == {digest: 4}


def test_a_store_that_is_taken_away_is_noticed(tmp_path: Path) -> None:
    digest = put(tmp_path / "blobs", b"content")
    usage = DiskUsage(tmp_path / "blobs")
    usage.look()
    shutil.rmtree(tmp_path / "blobs")
    assert usage.look() == Changes(gone=[digest])


def test_what_is_no_blob_is_left_out(tmp_path: Path) -> None:
    odd = tmp_path / "sha256" / "zz" / "no-digest"
    odd.mkdir(parents=True)
    (odd / "data").write_bytes(b"odd")
    (tmp_path / "sha256" / "note.txt").write_text("not a directory")
    assert DiskUsage(tmp_path).look() == Changes()


def test_the_last_use_outlives_the_usage_and_never_goes_back(tmp_path: Path) -> None:
    digest, gone = put(tmp_path, b"content"), digest_of(b"gone")
    data = where(tmp_path, digest) / "data"
    before = data.stat()
    DiskUsage(tmp_path).note_use({digest: LONG_AGO + 60, gone: LONG_AGO})
    DiskUsage(tmp_path).note_use({digest: LONG_AGO + 30})
    (found,) = DiskUsage(tmp_path).look().held
    assert found.digest == digest
    assert found.used == pytest.approx(LONG_AGO + 60, abs=0.001)
    after = data.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)

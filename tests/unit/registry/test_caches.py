"""Files, directories and manifests in memory: never older than the storage, never above a bound."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reference_registry.digest import digest_of
from reference_registry.manifest import OCI_INDEX
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.filesystem import (
    DirectoryMemory,
    FileMemory,
    FilesystemDriver,
    LruCache,
)

SECOND = 1_000_000_000


def later() -> int:
    """A clock that is an hour ahead: every change is old."""
    return time.time_ns() + 3600 * SECOND


# -- files ------------------------------------------------------------------------------------
@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(b"before")
    return path


def test_an_unchanged_file_is_read_once(file: Path) -> None:
    memory = FileMemory(now=later)
    first = memory.read(str(file))
    assert first == b"before"
    assert memory.read(str(file)) is first


@pytest.mark.parametrize("how", ["replaced", "in place"])
def test_a_change_is_seen_although_size_and_time_stay(file: Path, how: str) -> None:
    memory = FileMemory(now=later)
    memory.read(str(file))
    before = file.stat()
    other = file.with_name("other") if how == "replaced" else file
    while True:  # Until the file system's clock has ticked.
        other.write_bytes(b"behind")
        if other.stat().st_ctime_ns != before.st_ctime_ns:
            break
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert memory.read(str(file)) == b"behind"


def test_a_file_that_is_gone_and_comes_back(file: Path) -> None:
    memory = FileMemory(now=later)
    memory.read(str(file))
    file.unlink()
    with pytest.raises(FileNotFoundError):
        memory.read(str(file))
    file.write_bytes(b"again")
    assert memory.read(str(file)) == b"again"


@pytest.mark.parametrize(("unit", "settled"), [(1, SECOND // 5), (SECOND, 3 * SECOND)])
def test_a_recent_change_is_not_remembered(
    file: Path, unit: int, settled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one in the same tick leaves the same times. Some file systems keep whole seconds."""
    found = file.stat()
    times = {
        name: getattr(found, name) // unit * unit + (unit == 1)
        for name in ("st_mtime_ns", "st_ctime_ns")
    }
    stat = os.stat_result(list(found), times)
    monkeypatch.setattr(os, "fstat", lambda descriptor: stat)
    monkeypatch.setattr(os, "stat", lambda path: stat)
    now = max(stat.st_mtime_ns, stat.st_ctime_ns) + settled // 4
    memory = FileMemory(now=lambda: now)
    assert memory.read(str(file)) is not memory.read(str(file))
    now += settled
    assert memory.read(str(file)) is memory.read(str(file))


# -- directories ------------------------------------------------------------------------------
@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the directories that were listed."""
    listed: list[str] = []
    real = os.listdir

    def listdir(path: str) -> list[str]:
        listed.append(path)
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    return listed


def _directory(path: Path, count: int = 600) -> str:
    path.mkdir()
    for number in range(count):
        (path / f"v{number:04}").mkdir()
    return str(path)


def test_an_unchanged_large_directory_is_listed_once(tmp_path: Path, listings: list[str]) -> None:
    memory = DirectoryMemory(now=later)
    large, small = _directory(tmp_path / "large"), _directory(tmp_path / "small", 10)
    for path in (large, large, small, small):
        names = memory.names(path)
        assert names == tuple(f"v{number:04}" for number in range(len(names)))
    assert listings == [large, small, small]


def test_a_directory_that_just_changed_is_not_remembered(
    tmp_path: Path, listings: list[str]
) -> None:
    path = _directory(tmp_path / "tags")
    changed = Path(path).stat().st_mtime_ns
    memory = DirectoryMemory(now=lambda: changed + SECOND // 20)
    memory.names(path)
    memory.names(path)
    assert listings == [path, path]


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "replaced", "gone"])
def test_a_change_to_a_directory_is_seen(tmp_path: Path, change: str) -> None:
    memory, path = DirectoryMemory(now=later), _directory(tmp_path / "tags")
    before = memory.names(path)
    assert memory.names(path) is before
    tags = Path(path)
    match change:
        case "added":
            (tags / "v0000a").mkdir()
        case "removed":
            (tags / "v0000").rmdir()
        case "renamed":
            (tags / "v0000").rename(tags / "w")
        case _:
            tags.rename(tmp_path / "old")
    if change == "gone":
        with pytest.raises(FileNotFoundError):
            memory.names(path)
        return
    if change == "replaced":
        _directory(tags, 700)
    assert memory.names(path) == tuple(sorted(entry.name for entry in tags.iterdir())) != before


def test_names_are_bounded(tmp_path: Path, listings: list[str]) -> None:
    memory = DirectoryMemory(bound=1300, now=later)
    one, two, three = (_directory(tmp_path / name) for name in "abc")
    huge = _directory(tmp_path / "huge", 1400)
    for path in (one, two, one, three, one, two, huge, huge):
        memory.names(path)
    # Two fit: `two` was the least recently used when `three` came; `huge` is above the bound.
    assert listings == [one, two, three, two, huge, huge]


# -- the bound --------------------------------------------------------------------------------
def test_the_least_recently_used_go() -> None:
    cache: LruCache[str, str] = LruCache(16_000)
    for number in range(16):
        cache.keep(str(number), "value", 400)
    assert cache.get("0") == "value"
    for number in range(16, 20):
        cache.keep(str(number), "value", 400)
    assert cache.size <= 16_000
    assert (cache.get("0"), cache.get("1")) == ("value", None)


def test_a_value_that_is_kept_again_counts_once() -> None:
    cache: LruCache[str, str] = LruCache(16_000)
    cache.keep("a", "value", 400)
    size = cache.size
    cache.keep("a", "other", 400)
    assert (cache.size, cache.get("a")) == (size, "other")
    cache.forget("a")
    cache.forget("a")
    assert (cache.size, cache.get("a")) == (0, None)


def test_a_large_value_does_not_evict_small_ones() -> None:
    cache: LruCache[str, str] = LruCache(16_000)
    cache.keep("small", "value", 100)
    cache.keep("large", "value", 1000)
    assert (cache.get("large"), cache.get("small")) == (None, "value")


def test_a_manifest_is_parsed_once_for_each_object_that_was_read() -> None:
    content, other = (b'{"schemaVersion": 2, "manifests": %s}' % each for each in (b"[]", b"{}"))
    digest = digest_of(content)
    driver = _Contents(content, content, other)
    blobs = BlobStore(driver)
    manifest = blobs.manifest(digest)
    assert (manifest.media_type, manifest.is_intact) == (OCI_INDEX, True)
    assert blobs.manifest(digest) is manifest
    replaced = blobs.manifest(digest)
    assert (replaced.content, replaced.is_intact) == (other, False)


class _Contents(FilesystemDriver):
    """Every file has these contents, one after the other."""

    def __init__(self, *contents: bytes) -> None:
        self._contents = iter(contents)

    def read(self, path: str) -> bytes:
        return next(self._contents)

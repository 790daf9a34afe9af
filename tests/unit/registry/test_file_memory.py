"""What is remembered of files: only what they still hold, and no more than allowed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reference_registry.digest import digest_of
from reference_registry.manifest import OCI_INDEX
from reference_registry.storage.file_memory import FileMemory
from reference_registry.storage.manifest_memory import ManifestMemory
from reference_registry.storage.recent import Recent

SECOND = 1_000_000_000


def later() -> int:
    """A clock that is an hour ahead: every file was changed long ago."""
    return time.time_ns() + 3600 * SECOND


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


def test_a_file_that_another_one_took_the_place_of(file: Path) -> None:
    memory = FileMemory(now=later)
    memory.read(str(file))
    other = file.with_name("other")
    other.write_bytes(b"behind")
    stamps = file.stat()
    os.utime(other, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    other.replace(file)
    assert memory.read(str(file)) == b"behind"


def test_a_file_that_was_written_to_in_place_and_dated_back(file: Path) -> None:
    memory = FileMemory(now=later)
    stamps = file.stat()
    memory.read(str(file))
    while True:  # until the file system's clock has ticked: two changes in one tick look alike
        file.write_bytes(b"behind")
        if file.stat().st_ctime_ns != stamps.st_ctime_ns:
            break
    os.utime(file, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    assert memory.read(str(file)) == b"behind"


def test_a_file_that_is_gone_and_comes_back(file: Path) -> None:
    memory = FileMemory(now=later)
    memory.read(str(file))
    file.unlink()
    with pytest.raises(FileNotFoundError):
        memory.read(str(file))
    file.write_bytes(b"again")
    assert memory.read(str(file)) == b"again"


def test_a_file_that_was_just_changed_is_not_trusted(file: Path) -> None:
    """A further change in the same tick of the file system's clock would leave no trace."""
    changed = file.stat().st_ctime_ns
    memory = FileMemory(now=lambda: changed + SECOND // 20)
    assert memory.read(str(file)) is not memory.read(str(file))


def test_a_file_of_a_file_system_with_whole_seconds_has_to_lie_longer(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = file.stat()
    fields = list(found)
    coarse = os.stat_result(
        fields, {"st_mtime_ns": fields[8] * SECOND, "st_ctime_ns": fields[9] * SECOND}
    )
    monkeypatch.setattr(os, "fstat", lambda descriptor: coarse)
    monkeypatch.setattr(os, "stat", lambda path: coarse)
    now = coarse.st_ctime_ns + SECOND
    memory = FileMemory(now=lambda: now)
    assert memory.read(str(file)) is not memory.read(str(file))
    now += 2 * SECOND
    assert memory.read(str(file)) is memory.read(str(file))


def test_what_was_used_last_stays() -> None:
    recent: Recent[str, str] = Recent(16_000)
    for number in range(16):
        recent.keep(str(number), "value", 400)
    assert recent.get("0") == "value"
    for number in range(16, 20):
        recent.keep(str(number), "value", 400)
    assert recent.size <= 16_000
    assert recent.get("0") == "value"
    assert recent.get("1") is None


def test_a_value_that_is_kept_again_counts_once() -> None:
    recent: Recent[str, str] = Recent(16_000)
    recent.keep("a", "value", 400)
    size = recent.size
    recent.keep("a", "other", 400)
    assert (recent.size, recent.get("a")) == (size, "other")
    recent.forget("a")
    recent.forget("a")
    assert (recent.size, recent.get("a")) == (0, None)


def test_large_values_do_not_drive_out_the_small_ones() -> None:
    recent: Recent[str, str] = Recent(16_000)
    recent.keep("small", "value", 100)
    recent.keep("large", "value", 1000)
    assert recent.get("large") is None
    assert recent.get("small") == "value"


def test_a_manifest_is_parsed_once_for_each_object_that_was_read() -> None:
    content = b'{"schemaVersion": 2, "manifests": []}'
    digest = digest_of(content)
    memory = ManifestMemory()
    manifest = memory.manifest(digest, content)
    assert (manifest.media_type, manifest.is_intact) == (OCI_INDEX, True)
    assert memory.manifest(digest, content) is manifest
    other = b'{"schemaVersion": 2, "manifests": {}}'
    replaced = memory.manifest(digest, other)
    assert (replaced.content, replaced.is_intact) == (other, False)

"""The memory of what large directories hold: what others do is seen, and what may be old is not
believed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from reference_registry.storage.directory_memory import DirectoryMemory
from reference_registry.storage.file_memory import tick_of

_LATER = 10**10  # ns; enough for every tick to have passed


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


def _large(path: Path, count: int = 600) -> str:
    path.mkdir()
    for number in range(count):
        (path / f"v{number:04}").mkdir()
    return str(path)


def _later() -> int:
    return time.time_ns() + _LATER


def test_a_directory_that_rests_is_listed_once(tmp_path: Path, listings: list[str]) -> None:
    memory, path = DirectoryMemory(now=_later), _large(tmp_path / "tags")

    first, second = memory.names(path), memory.names(path)

    assert first == second == tuple(f"v{number:04}" for number in range(600))
    assert listings == [path]


def test_what_changed_just_now_is_not_remembered(tmp_path: Path, listings: list[str]) -> None:
    """Within one tick of the kernel's clock another change leaves the same times."""
    path = _large(tmp_path / "tags")
    changed = Path(path).stat().st_mtime_ns
    memory = DirectoryMemory(now=lambda: changed + 50_000_000)

    memory.names(path)
    memory.names(path)

    assert listings == [path, path]


def test_whole_seconds_are_given_two_seconds() -> None:
    """Where both times are whole seconds the file system may keep no more."""
    second = 10**9
    assert tick_of(second, 3 * second) > 2 * second
    assert tick_of(second + 1, 3 * second) < second


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "replaced"])
def test_what_another_process_did_is_seen(tmp_path: Path, change: str) -> None:
    memory, path = DirectoryMemory(now=_later), _large(tmp_path / "tags")
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
        case "replaced":
            tags.rename(tmp_path / "old")
            _large(tags, 700)

    assert memory.names(path) == tuple(sorted(entry.name for entry in tags.iterdir())) != before


def test_a_missing_directory_is_forgotten(tmp_path: Path) -> None:
    memory, path = DirectoryMemory(now=_later), _large(tmp_path / "tags")
    memory.names(path)
    Path(path).rename(tmp_path / "elsewhere")

    with pytest.raises(FileNotFoundError):
        memory.names(path)


def test_memory_is_bounded(tmp_path: Path, listings: list[str]) -> None:
    memory = DirectoryMemory(bound=1300, now=_later)
    one, two, three = (_large(tmp_path / name) for name in "abc")
    huge = _large(tmp_path / "huge", 1400)

    for path in (one, two, one, three, one, two, huge, huge):
        memory.names(path)

    # Two fit: `two` was asked for longest ago when `three` came; `huge` alone is too much.
    assert listings == [one, two, three, two, huge, huge]


def test_a_small_directory_is_not_worth_it(tmp_path: Path, listings: list[str]) -> None:
    memory, path = DirectoryMemory(now=_later), _large(tmp_path / "tags", 10)

    memory.names(path)
    memory.names(path)

    assert listings == [path, path]

"""The lock that processes which share a storage agree by."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from reference_registry.storage.file_lock import FileLock


def taken(path: Path) -> FileLock:
    lock = FileLock.take(path)
    assert lock is not None
    return lock


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "made/when/missing.lock"
    lock = taken(path)
    assert FileLock.take(path) is None
    lock.release()
    assert path.exists()
    taken(path).release(remove=True)
    assert not path.exists()


def test_what_the_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = taken(path)
    lock.write(b"a longer text")
    lock.write(b"short")
    assert path.read_bytes() == lock.read() == b"short"
    lock.release()
    again = taken(path)
    assert again.read() == b"short"
    again.release()


def test_a_file_that_was_removed_is_not_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder removed it after we had opened it: a third one would make and lock a new file."""
    path = tmp_path / "lock"
    holder = taken(path)
    flock = fcntl.flock

    def after_the_holder(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        holder.release(remove=True)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", after_the_holder)
    ours = taken(path)
    assert FileLock.take(path) is None
    ours.release(remove=True)


def test_a_file_that_was_replaced_is_not_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    holder = taken(path)
    third: list[FileLock] = []
    flock = fcntl.flock

    def after_the_third(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        holder.release(remove=True)
        third.append(taken(path))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", after_the_third)
    assert FileLock.take(path) is None
    third[0].release()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from reference_registry.storage.file_lock import FileLock\n"
        "lock = FileLock.take(Path(sys.argv[1]))\n"
        "lock.write(b'its words')\n"
        "print('taken', flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"taken\n"
        assert FileLock.take(path) is None
        process.kill()
    lock = taken(path)
    assert lock.read() == b"its words"
    lock.release()


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        FileLock.take(tmp_path / "file" / "lock")

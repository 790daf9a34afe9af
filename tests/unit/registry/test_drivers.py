"""The contract of storage drivers, for each driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.system.crashes import SmallDisk
from reference_registry.storage.driver import MemoryDriver, PathNotFound, StorageDriver
from reference_registry.storage.filesystem import FilesystemDriver


@pytest.fixture(params=["filesystem", "inmemory"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> StorageDriver:
    return MemoryDriver() if request.param == "inmemory" else FilesystemDriver(tmp_path / "root")


def test_write_creates_parents_and_replaces(driver: StorageDriver) -> None:
    driver.write("/a/b/c", b"one")
    driver.write("/a/b/c", b"other")

    assert driver.read("/a/b/c") == b"other"
    assert driver.size("/a/b/c") == 5
    assert driver.children("/a/b") == ["/a/b/c"]


def test_what_is_missing_says_its_path(driver: StorageDriver) -> None:
    driver.write("/a/file", b"x")

    for path in ("/nothing", "/a/nothing", "/a/file/below"):
        for method in ("read", "size", "open_read", "children", "names"):
            with pytest.raises(PathNotFound) as error:
                getattr(driver, method)(path)
            assert error.value.path == path
            assert str(error.value) == f"{driver.name}: Path not found: {path}"
        with pytest.raises(PathNotFound):
            driver.move(path, "/elsewhere")
        assert not driver.delete(path)
        assert not driver.exists(path)
        assert not driver.is_file(path)


def test_a_directory_is_not_a_file(driver: StorageDriver) -> None:
    driver.write("/a/b/c", b"x")

    assert driver.exists("/a/b")
    assert not driver.is_file("/a/b")
    with pytest.raises(PathNotFound):
        driver.read("/a/b")
    with pytest.raises(PathNotFound):
        driver.open_read("/a/b")


def test_open_read_from_an_offset(driver: StorageDriver) -> None:
    driver.write("/a", b"0123456789")

    with driver.open_read("/a", 4) as file:
        assert file.read(3) == b"456"
        assert file.read() == b"789"
    with driver.open_read("/a", 99) as file:
        assert file.read() == b""


def test_appended_bytes_are_there_at_once(driver: StorageDriver) -> None:
    with driver.open_append("/up/load/data") as file:
        file.write(b"one")
        assert driver.read("/up/load/data") == b"one"
        file.write(b"two")
    with driver.open_append("/up/load/data") as file:
        file.write(b"three")

    assert driver.read("/up/load/data") == b"onetwothree"


def test_a_reader_keeps_what_it_opened(driver: StorageDriver) -> None:
    driver.write("/a", b"old")
    with driver.open_read("/a") as file:
        driver.write("/a", b"new!")
        driver.delete("/a")
        assert file.read() == b"old"


def test_children_are_sorted_and_whole_paths(driver: StorageDriver) -> None:
    for name in ("b", "a-b", "a", "a.b"):
        driver.write(f"/dir/{name}/file", b"")

    assert driver.children("/dir") == ["/dir/a", "/dir/a-b", "/dir/a.b", "/dir/b"]
    assert driver.children("/dir/") == driver.children("/dir")
    assert sorted(driver.names("/dir")) == ["a", "a-b", "a.b", "b"]


def test_move_a_file_over_another(driver: StorageDriver) -> None:
    driver.write("/from/data", b"moved")
    driver.write("/to/here/data", b"old")

    driver.move("/from/data", "/to/here/data")

    assert driver.read("/to/here/data") == b"moved"
    assert not driver.exists("/from/data")
    assert driver.exists("/from")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    driver = FilesystemDriver(tmp_path)
    driver.write("/a/b", b"a directory is in the way of /a")

    with pytest.raises(OSError):
        driver.write("/a", b"x")

    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("method", ["write", "replace"])
def test_a_full_disk_leaves_what_was_there(method: str, small_disk: SmallDisk) -> None:
    """The last write that finds room is a short write."""
    driver = FilesystemDriver(small_disk.root)
    driver.write("/file", b"old")
    small_disk.fill(leave=20_000)
    aside = {"replace": ("/file.part",), "write": ()}[method]

    with pytest.raises(OSError, match="No space left"):
        getattr(driver, method)("/file", bytes(100_000), *aside)

    assert driver.read("/file") == b"old"
    assert driver.children("/") == ["/file"]
    small_disk.free()
    getattr(driver, method)("/file", bytes(100_000), *aside)
    assert driver.size("/file") == 100_000

"""Upload sessions on disk, and the writers that fill them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from reference_registry.clock import ManualClock
from reference_registry.digest import Digest, digest_of
from reference_registry.storage import layout
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.driver import StorageDriver
from reference_registry.storage.filesystem import FilesystemDriver
from reference_registry.storage.uploads import Uploads, is_upload_id

_START = datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)


@pytest.fixture
def driver(tmp_path: Path) -> StorageDriver:
    return FilesystemDriver(tmp_path)


@pytest.fixture
def uploads(driver: StorageDriver) -> Uploads:
    return Uploads(driver, ManualClock(_START))


def test_uuids_can_be_ordered_by_time(driver: StorageDriver) -> None:
    clock = ManualClock(_START)
    uploads = Uploads(driver, clock, uuid_version=7)
    names = []
    for _ in range(5):
        names.append(uploads.start("a"))
        clock.advance(timedelta(milliseconds=1))

    assert names == sorted(names)
    first = UUID(names[0])
    assert (first.version, first.variant) == (7, "specified in RFC 4122")
    assert first.int >> 80 == int(_START.timestamp() * 1000)


def test_continued_after_a_restart(driver: StorageDriver, uploads: Uploads) -> None:
    upload = uploads.start("a")
    writer = uploads.resume("a", upload)
    writer.append(b"hel")
    writer.close()

    writer = Uploads(driver, ManualClock()).resume("a", upload)
    assert writer.offset == 3
    writer.append(b"lo")
    assert writer.digest() == digest_of(b"hello")
    assert writer.digest("sha512") == digest_of(b"hello", "sha512")
    writer.close()


def test_data_written_by_another_process_is_hashed(driver: StorageDriver, uploads: Uploads) -> None:
    upload = uploads.start("a")
    writer = uploads.resume("a", upload)
    writer.append(b"hel")
    writer.close()
    with driver.open_append(f"{layout.upload_directory('a', upload)}/data") as file:
        file.write(b"lo")

    writer = uploads.resume("a", upload)
    writer.close()

    assert (writer.offset, writer.digest()) == (5, digest_of(b"hello"))


def test_one_writer_at_a_time(uploads: Uploads) -> None:
    upload = uploads.start("a")
    writer = uploads.resume("a", upload)

    with pytest.raises(BlockingIOError, match=upload):
        uploads.resume("a", upload)
    writer.close()
    writer.close()
    uploads.resume("a", upload).close()


def test_commit_does_not_touch_bytes_that_are_there(
    driver: StorageDriver, uploads: Uploads, tmp_path: Path
) -> None:
    blobs, digest = BlobStore(driver), digest_of(b"hello")
    blobs.put(digest, b"hello")
    path = blobs.local_path(digest)
    assert path is not None
    before = path.stat()
    upload = uploads.start("a")
    writer = uploads.resume("a", upload)
    writer.append(b"hello")

    writer.commit(blobs, digest)

    assert path.stat().st_ino == before.st_ino
    assert not driver.exists(layout.upload_directory("a", upload))
    assert tmp_path in path.parents


def test_hash_state_of_distribution(driver: StorageDriver, uploads: Uploads) -> None:
    """108 bytes that Go's crypto/sha256 reads as a hash that saw nothing."""
    upload = uploads.start("a")
    uploads.forget("a", upload)

    uploads.leave_hash_state("a", upload)

    directory = f"{layout.upload_directory('a', upload)}/hashstates/sha256"
    state = driver.read(f"{directory}/0")
    # FIPS 180-4: the first 32 bits of the fractional parts of the square roots of the first primes.
    roots = [int(prime**0.5 % 1 * 2**32) for prime in (2, 3, 5, 7, 11, 13, 17, 19)]
    assert state == b"sha\x03" + b"".join(r.to_bytes(4, "big") for r in roots) + bytes(72)
    assert len(state) == 108


# -- purging -----------------------------------------------------------------------------------
@pytest.fixture
def abandoned(driver: StorageDriver) -> tuple[Uploads, dict[str, str]]:
    clock = ManualClock(_START)
    uploads = Uploads(driver, clock)
    names = {"old": uploads.start("a"), "nested": uploads.start("a/b")}
    clock.advance(timedelta(hours=1))
    names["new"] = uploads.start("a")
    names["undated"] = uploads.start("c")
    driver.write(f"{layout.upload_directory('c', names['undated'])}/startedat", b"yesterday")
    return uploads, names


def test_purge_by_age(driver: StorageDriver, abandoned: tuple[Uploads, dict[str, str]]) -> None:
    uploads, names = abandoned

    purged = uploads.purge(_START + timedelta(minutes=1))

    assert purged == [
        layout.upload_directory("a", names["old"]),
        layout.upload_directory("a/b", names["nested"]),
    ]
    assert not any(driver.exists(path) for path in purged)
    assert uploads.size("a", names["new"]) == uploads.size("c", names["undated"]) == 0


def test_purge_skips_open_uploads(
    abandoned: tuple[Uploads, dict[str, str]],
) -> None:
    uploads, names = abandoned
    writer = uploads.resume("a", names["old"])

    assert len(uploads.purge(_START + timedelta(days=1))) == 2
    writer.append(b"still here")
    writer.close()
    assert uploads.purge(_START + timedelta(days=1)) == [layout.upload_directory("a", names["old"])]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("a0482b14-5c66-4635-bcaa-19a802d55c15", True),
        ("A_b=1.2", True),
        ("", False),
        (".", False),
        ("..", False),
        (".hidden", False),
        ("a..b", False),
        ("a/b", False),
        ("a\n", False),
        ("a%2f", False),
    ],
)
def test_upload_ids(text: str, valid: bool) -> None:
    assert is_upload_id(text) is valid


def test_hashing_again_reads_large_data_in_pieces(driver: StorageDriver, uploads: Uploads) -> None:
    content = bytes(range(256)) * 10_000  # more than two pieces
    upload = uploads.start("a")
    writer = uploads.resume("a", upload)
    writer.append(content)
    writer.close()

    assert writer.digest("sha512") == Digest(f"sha512:{hashlib.sha512(content).hexdigest()}")

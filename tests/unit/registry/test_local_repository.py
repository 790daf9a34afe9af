"""The local repository as a cache uses it: links, bytes and tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.content import an_artifact, an_image
from reference_registry.clock import SystemClock
from reference_registry.config import CacheConfig, StorageConfig
from reference_registry.digest import Digest, digest_of
from reference_registry.profiles import DEFAULT_PROFILE, profile_named
from reference_registry.repository import Descriptor
from reference_registry.storage import layout
from reference_registry.storage.descriptor_cache import MemoryDescriptorCache
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.layout import repository_names
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.store import Storage, open_storage
from reference_registry.storage.uploads import DigestMismatch

_HELLO = digest_of(b"hello")
_DESCRIPTOR = Descriptor(_HELLO, 5, "application/octet-stream")


@pytest.fixture(params=["filesystem", "inmemory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    config = StorageConfig(driver=request.param, rootdirectory=tmp_path)
    return open_storage(config, DEFAULT_PROFILE, SystemClock())


@pytest.fixture
def repository(storage: Storage) -> LocalRepository:
    return LocalRepository("team/app", storage)


def _put_blob(repository: LocalRepository, content: bytes, digest: Digest | None = None) -> None:
    writer = repository.blob_writer()
    writer.append(content)
    repository.commit_blob(writer, digest or digest_of(content))


# -- blobs -------------------------------------------------------------------------------------


def test_a_blob_of_another_repository_is_unknown(
    storage: Storage, repository: LocalRepository
) -> None:
    _put_blob(repository, b"hello")
    other = LocalRepository("team/other", storage)

    assert not other.has_blob(_HELLO)
    assert other.link_blob(_HELLO) == _DESCRIPTOR
    assert other.has_blob(_HELLO)


def test_linking_bytes_that_are_not_there(repository: LocalRepository) -> None:
    with pytest.raises(PathNotFound):
        repository.link_blob(_HELLO)
    assert not repository.links.exists()


def test_commit_of_wrong_bytes(storage: Storage, repository: LocalRepository) -> None:
    writer = repository.blob_writer()
    writer.append(b"other")

    with pytest.raises(DigestMismatch):
        repository.commit_blob(writer, _HELLO)

    assert storage.driver.exists(writer.data_path)
    writer.discard()
    assert not storage.driver.exists(writer.data_path)
    assert not storage.blobs.has(_HELLO)
    assert not repository.links.exists()


def test_releases_keep_sha512_as_sha256(tmp_path: Path) -> None:
    config = StorageConfig(rootdirectory=tmp_path)
    repository = LocalRepository("a", open_storage(config, profile_named("2.8"), SystemClock()))
    digest = digest_of(b"hello", "sha512")

    _put_blob(repository, b"hello", digest)

    assert repository.stat_blob(digest) == repository.stat_blob(_HELLO) == _DESCRIPTOR
    # Opened by ideal, it is still found.
    ours = LocalRepository("a", open_storage(config, DEFAULT_PROFILE, SystemClock()))
    assert ours.stat_blob(digest) == _DESCRIPTOR


def test_links_in_other_repositories(storage: Storage, repository: LocalRepository) -> None:
    _put_blob(repository, b"hello")
    assert repository.links_elsewhere(_HELLO) == []

    LocalRepository("b", storage).link_blob(_HELLO)
    LocalRepository("a/deep/one", storage).put_cached_manifest(_HELLO, b"hello")

    assert repository.links_elsewhere(_HELLO) == ["a/deep/one", "b"]


# -- manifests and tags ------------------------------------------------------------------------


def test_a_damaged_link_counts_as_missing(storage: Storage, repository: LocalRepository) -> None:
    for content in (b"", b"sha256:", b"\xff", b"../../etc"):
        storage.driver.write(layout.revision_link("team/app", _HELLO), content)
        assert repository.manifest_or_none(_HELLO) is None


def test_referrer_whose_bytes_come_back(repository: LocalRepository) -> None:
    image = an_image("signed")
    signature = an_artifact("signature", subject=image)
    repository.put_cached_manifest(Digest(signature.digest), signature.content)
    repository.delete_bytes(Digest(signature.digest))
    assert list(repository.referrers_of(Digest(image.digest))) == []

    repository.put_cached_manifest(Digest(signature.digest), signature.content)

    assert len(list(repository.referrers_of(Digest(image.digest)))) == 1


# -- all repositories --------------------------------------------------------------------------
def test_repositories_by_evidence(storage: Storage) -> None:
    with pytest.raises(PathNotFound):
        list(repository_names(storage.driver))
    _put_blob(LocalRepository("blobs/only", storage), b"hello")
    LocalRepository("manifests/only", storage).put_cached_manifest(_HELLO, b"hello")
    LocalRepository("both", storage).put_cached_manifest(_HELLO, b"hello")
    LocalRepository("both", storage).link_blob(_HELLO)
    storage.uploads.start("uploads/only")

    assert list(repository_names(storage.driver, "_layers")) == ["blobs/only", "both"]
    assert list(repository_names(storage.driver, "_manifests")) == ["both", "manifests/only"]
    assert list(repository_names(storage.driver)) == ["blobs/only", "both", "manifests/only"]


# -- descriptor cache --------------------------------------------------------------------------
def test_least_recently_used_descriptors_go_first() -> None:
    cache = MemoryDescriptorCache(2)
    for name in ("a", "b"):
        cache.remember(name, _HELLO, _DESCRIPTOR)
    assert cache.find("a", _HELLO) == _DESCRIPTOR

    cache.remember("c", _HELLO, _DESCRIPTOR)

    assert cache.find("b", _HELLO) is None
    assert cache.find("a", _HELLO) == cache.find("c", _HELLO) == _DESCRIPTOR
    cache.forget("a", _HELLO)
    cache.forget("a", _HELLO)
    assert cache.find("a", _HELLO) is None


def test_descriptor_cache_without_a_bound() -> None:
    cache = MemoryDescriptorCache(0)
    for n in range(20):
        cache.remember(str(n), _HELLO, _DESCRIPTOR)

    assert all(cache.find(str(n), _HELLO) for n in range(20))


def test_descriptor_cache_replaces_reading_the_link(tmp_path: Path) -> None:
    config = StorageConfig(rootdirectory=tmp_path, cache=CacheConfig(blobdescriptor="inmemory"))
    storage = open_storage(config, DEFAULT_PROFILE, SystemClock())
    LocalRepository("b", storage)  # none is shared by name alone
    repository = LocalRepository("a", storage)
    _put_blob(repository, b"hello")

    assert not LocalRepository("b", storage).has_blob(_HELLO)
    assert repository.unlink_blob(_HELLO)
    assert not repository.has_blob(_HELLO)

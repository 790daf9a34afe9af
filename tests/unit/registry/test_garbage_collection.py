"""Garbage collection: what ``ideal`` keeps, and what releases after 2.8 print and do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.content import an_artifact, an_image
from harness.targets.readings import GcRun
from reference_registry.clock import SystemClock
from reference_registry.config import StorageConfig
from reference_registry.digest import Digest, digest_of
from reference_registry.garbage.collect import Options
from reference_registry.garbage.online import collect
from reference_registry.manifest import parse_manifest
from reference_registry.profiles import profile_named
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.layout import repository_names
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.store import Storage, open_storage
from tests.unit.registry.trees import TREES, put


@dataclass
class Yard:
    """A storage and its collector."""

    root: Path
    storage: Storage

    def collect(self, *, dry_run: bool = False, delete_untagged: bool = False) -> GcRun:
        lines: list[str] = []
        config = StorageConfig(rootdirectory=self.root)
        options = Options(dry_run=dry_run, delete_untagged=delete_untagged)
        error = collect(config, self.storage.profile, options, lines.append)["error"]
        return GcRun(bool(error), "".join(f"{line}\n" for line in lines), str(error or ""))

    def repository(self, name: str) -> LocalRepository:
        return LocalRepository(name, self.storage)

    def files(self) -> set[str]:
        return {str(path) for path in self.root.rglob("*") if path.is_file()}


def _yard(root: Path, profile: str, tree: str | None = None) -> Yard:
    config = StorageConfig(rootdirectory=root)
    storage = open_storage(config, profile_named(profile), SystemClock())
    if tree is not None:
        TREES[tree](storage)
    return Yard(root, storage)


@pytest.fixture
def ideal(tmp_path: Path) -> Yard:
    return _yard(tmp_path, "ideal")


# -- ideal: nothing in use is lost ------------------------------------------------------------
@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("delete_untagged", [False, True])
def test_manifests_that_stay_are_as_complete_as_before(
    tree: str, delete_untagged: bool, tmp_path: Path
) -> None:
    yard = _yard(tmp_path, "ideal", tree)
    complete = _complete_manifests(yard)

    run = yard.collect(delete_untagged=delete_untagged)

    assert (run.exit_code, run.stderr) == (0, "")
    stay = {
        (name, digest)
        for name, digest in complete
        if not delete_untagged or yard.repository(name).has_manifest(digest)
    }
    assert _complete_manifests(yard) == stay


def _complete_manifests(yard: Yard) -> set[tuple[str, Digest]]:
    """The manifests of which every blob that they name is linked and there."""
    return {
        (name, manifest.digest)
        for name in _repositories(yard)
        for manifest in map(
            yard.repository(name).manifest_or_none, yard.repository(name).links.revisions()
        )
        if manifest is not None
        and all(
            yard.repository(name).has_blob(blob.digest)
            for blob in parse_manifest(manifest.content).blobs
        )
    }


def _repositories(yard: Yard) -> list[str]:
    try:
        return list(repository_names(yard.storage.driver))
    except PathNotFound:
        return []


def test_referrers_stay_with_their_subject(ideal: Yard) -> None:
    image = an_image("signed")
    signature = an_artifact("signature", subject=image)
    countersignature = an_artifact("countersignature", subject=signature)
    put(ideal.storage, "app", image, "v1")
    put(ideal.storage, "app", signature)
    put(ideal.storage, "app", countersignature)

    assert ideal.collect(delete_untagged=True).eligible_manifests == set()

    ideal.repository("app").links.unlink_tag("v1")
    run = ideal.collect(delete_untagged=True)
    assert run.eligible_manifests == {
        image.digest,
        signature.digest,
        countersignature.digest,
    }


def test_tag_history_goes_with_the_manifest(tmp_path: Path) -> None:
    yard = _yard(tmp_path, "ideal", "moved tag")
    old, new = an_image("old").digest, an_image("new").digest

    yard.collect(delete_untagged=True)

    remembered = {path.rpartition("index/sha256/")[2] for path in yard.files() if "/index/" in path}
    assert remembered == {f"{new.removeprefix('sha256:')}/link"}
    assert yard.repository("app").links.tag("latest") == new
    assert not yard.storage.blobs.has(Digest(old))


def test_an_unreadable_manifest_stays_with_a_warning(
    ideal: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    put(ideal.storage, "app", an_image("fine"), "v1")
    broken = digest_of(b"not a manifest")
    ideal.repository("app").put_cached_manifest(broken, b"not a manifest")

    run = ideal.collect()

    assert run.exit_code == 0
    assert ideal.storage.blobs.has(broken)
    assert str(broken) in caplog.text


def test_layer_pushed_as_sha512_to_a_release_stays(tmp_path: Path) -> None:
    """Releases keep it as sha256 and sweep it, for it is referred to by another digest."""
    pushed = _yard(tmp_path, "2.8")
    layer = digest_of(b"layer", "sha512")
    writer = pushed.repository("app").blob_writer()
    writer.append(b"layer")
    stored_as = pushed.repository("app").commit_blob(writer, layer).digest
    manifest = (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        b'"config":{"digest":"%s","size":5,"mediaType":"x"},"layers":[]}' % layer.encode()
    )
    pushed.repository("app").put_cached_manifest(digest_of(manifest), manifest)

    assert _yard(tmp_path, "ideal").collect().eligible_blobs == set()
    assert pushed.collect().eligible_blobs == {stored_as}


# -- releases after 2.8 -----------------------------------------------------------------------
@pytest.mark.parametrize("profile", ["3.0", "3.1"])
def test_3_0_prints_a_digest_once(profile: str, tmp_path: Path) -> None:
    yard = _yard(tmp_path, profile)
    image = an_image("shared")
    put(yard.storage, "a", image, "v1")
    put(yard.storage, "b", image, "v1")

    lines = yard.collect().stdout.splitlines()

    assert sum("marking blob" in line for line in lines) == len(image.blobs)
    assert sum("marking manifest" in line for line in lines) == 2

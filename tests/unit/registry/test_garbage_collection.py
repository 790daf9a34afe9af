"""Garbage collection: what ``ideal`` keeps, and what releases after 2.8 print and do."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.content import an_artifact, an_image, an_index
from harness.targets.garbage import GcRun
from reference_registry.clock import SystemClock
from reference_registry.config import Config, StorageConfig
from reference_registry.digest import Digest, digest_of
from reference_registry.garbage.collect import collect
from reference_registry.manifest import parse_manifest
from reference_registry.profiles import profile_named
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.enumeration import repository_names
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.store import Storage, open_storage
from tests.unit.registry.trees import TREES, put, put_blob


@dataclass
class Yard:
    """A storage and its collector."""

    root: Path
    storage: Storage

    def collect(self, *, dry_run: bool = False, delete_untagged: bool = False) -> GcRun:
        out, err = io.StringIO(), io.StringIO()
        config = Config(storage=StorageConfig(rootdirectory=self.root))
        code = collect(
            config,
            self.storage.profile,
            dry_run=dry_run,
            delete_untagged=delete_untagged,
            out=out,
            err=err,
        )
        return GcRun(code, out.getvalue(), err.getvalue())

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


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("delete_untagged", [False, True])
def test_dry_run_names_what_the_real_run_deletes(
    tree: str, delete_untagged: bool, tmp_path: Path
) -> None:
    yard = _yard(tmp_path, "ideal", tree)
    before, stored = yard.files(), set(_blobs(yard))

    dry = yard.collect(dry_run=True, delete_untagged=delete_untagged)
    assert yard.files() == before
    real = yard.collect(delete_untagged=delete_untagged)

    assert real.stdout == dry.stdout
    assert dry.eligible_blobs == stored - set(_blobs(yard))


def _blobs(yard: Yard) -> list[str]:
    try:
        return list(yard.storage.blobs.all())
    except PathNotFound:
        return []


def test_orphans_go_with_their_links(ideal: Yard) -> None:
    put(ideal.storage, "app", an_image("kept"), "v1")
    put_blob(ideal.storage, "app", b"orphan")
    orphan = digest_of(b"orphan")

    run = ideal.collect()

    assert run.eligible_blobs == {orphan}
    assert not ideal.storage.blobs.has(orphan)
    assert ideal.repository("app").links.layer(orphan) is None


def test_empty_storage_is_nothing_to_collect(ideal: Yard) -> None:
    run = ideal.collect()

    assert run.exit_code == 0
    assert run.stdout == "\n0 blobs marked, 0 blobs and 0 manifests eligible for deletion\n"
    assert not list(ideal.root.iterdir())


def test_children_of_a_tagged_index_stay(ideal: Yard) -> None:
    """#3178: releases up to 3.0.0-alpha.1 delete them."""
    index = an_index(an_index(an_image("deep")))
    put(ideal.storage, "app", index, "v1")

    run = ideal.collect(delete_untagged=True)

    assert run.eligible_manifests == run.eligible_blobs == set()
    assert f"app: marking manifest {index.children[0].children[0].digest} \n" in run.stdout


def test_referrers_stay_with_their_subject(ideal: Yard) -> None:
    image = an_image("signed")
    signature = an_artifact("signature", subject=image)
    countersignature = an_artifact("countersignature", subject=signature)
    put(ideal.storage, "app", image, "v1")
    put(ideal.storage, "app", signature)
    put(ideal.storage, "app", countersignature)

    assert ideal.collect(delete_untagged=True).eligible_manifests == set()

    ideal.repository("app").unlink_tag("v1")
    run = ideal.collect(delete_untagged=True)
    assert run.eligible_manifests == {
        image.digest,
        signature.digest,
        countersignature.digest,
    }


def test_untagged_here_but_a_child_elsewhere(tmp_path: Path) -> None:
    yard = _yard(tmp_path, "ideal", "child elsewhere")
    child = Digest(an_image("child").digest)

    yard.collect(delete_untagged=True)

    assert yard.repository("a").links.revision(child) is None
    assert yard.repository("z").has_manifest(child)
    assert all(yard.repository("z").has_blob(Digest(b.digest)) for b in an_image("child").blobs)


def test_tag_history_goes_with_the_manifest(tmp_path: Path) -> None:
    yard = _yard(tmp_path, "ideal", "moved tag")
    old, new = an_image("old").digest, an_image("new").digest

    yard.collect(delete_untagged=True)

    remembered = {path.rpartition("index/sha256/")[2] for path in yard.files() if "/index/" in path}
    assert remembered == {f"{new.removeprefix('sha256:')}/link"}
    assert yard.repository("app").tag_digest("latest") == new
    assert not yard.storage.blobs.has(Digest(old))


def test_unreadable_manifest_is_kept_and_told(
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
def test_3_0_removes_layer_links(profile: str, tmp_path: Path) -> None:
    yard = _yard(tmp_path, profile, "blob without manifest")
    orphan = digest_of(b"an orphan")

    run = yard.collect()

    assert run.eligible_layer_links == {("team/app", orphan)}
    assert run.stdout.endswith(f"team/app: layer link eligible for deletion: {orphan}\n")
    assert yard.repository("team/app").links.layer(orphan) is None


@pytest.mark.parametrize("profile", ["3.0", "3.1"])
def test_3_0_keeps_children_and_names_manifests_as_a_struct(profile: str, tmp_path: Path) -> None:
    yard = _yard(tmp_path, profile, "tagged index")
    alone = an_image("alone").digest

    run = yard.collect(delete_untagged=True)

    lines = run.stdout.splitlines()
    assert run.eligible_manifests == {alone}
    # After the marks and before the summary.
    assert lines.index(f"manifest eligible for deletion: {{multi {alone} [v1]}}") == (
        lines.index(run.summary or "") - 2
    )


@pytest.mark.parametrize("profile", ["3.0", "3.1"])
def test_3_0_prints_a_digest_once(profile: str, tmp_path: Path) -> None:
    yard = _yard(tmp_path, profile)
    image = an_image("shared")
    put(yard.storage, "a", image, "v1")
    put(yard.storage, "b", image, "v1")

    lines = yard.collect().stdout.splitlines()

    assert sum("marking blob" in line for line in lines) == len(image.blobs)
    assert sum("marking manifest" in line for line in lines) == 2


@pytest.mark.parametrize("profile", ["3.0", "3.1"])
def test_3_0_fails_on_a_repository_without_layers(profile: str, tmp_path: Path) -> None:
    yard = _yard(tmp_path, profile, "manifest only")
    before = yard.files()

    run = yard.collect()

    assert run.exit_code == 1
    assert run.stderr == (
        "failed to garbage collect: failed to mark: filesystem: Path not found: "
        "/docker/registry/v2/repositories/cache/app/_layers"
    )
    assert yard.files() == before


@pytest.mark.parametrize("profile", ["3.0", "3.1"])
def test_3_0_passes_over_what_was_never_tagged(profile: str, tmp_path: Path) -> None:
    yard = _yard(tmp_path, profile, "never tagged")
    image = an_image("app")

    run = yard.collect(delete_untagged=True)

    assert run.exit_code == 0
    assert "manifest tags path of repository untagged does not exist" in run.stdout
    assert run.eligible_manifests == set()
    assert run.eligible_blobs == {image.digest, *(blob.digest for blob in image.blobs)}


@pytest.mark.parametrize("profile", ["3.0", "3.1"])
def test_3_0_loses_layer_links_of_a_child_of_a_later_repository(
    profile: str, tmp_path: Path
) -> None:
    yard = _yard(tmp_path, profile, "child elsewhere")
    child = an_image("child")

    run = yard.collect(delete_untagged=True)

    assert run.eligible_manifests == set()
    assert yard.repository("a").has_manifest(Digest(child.digest))
    assert not any(yard.repository("a").has_blob(Digest(blob.digest)) for blob in child.blobs)
    assert all(yard.repository("z").has_blob(Digest(blob.digest)) for blob in child.blobs)


def test_alpha_1_sees_manifest_only_repositories(tmp_path: Path) -> None:
    yard = _yard(tmp_path, "3.0.0-alpha.1", "manifest only")

    run = yard.collect()

    assert run.repositories == {"cache/app", "cache/full"}
    assert run.eligible_blobs == set()


# -- the command ------------------------------------------------------------------------------
def test_deletions_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    yard = _yard(tmp_path, "3.0", "tagged")
    put_blob(yard.storage, "team/app", b"an orphan")
    config = Config(storage=StorageConfig(rootdirectory=tmp_path))
    orphan = digest_of(b"an orphan").removeprefix("sha256:")
    log = logging.getLogger("collector")

    with caplog.at_level(logging.INFO, logger="collector"):
        code = collect(
            config,
            yard.storage.profile,
            dry_run=False,
            delete_untagged=False,
            out=io.StringIO(),
            err=io.StringIO(),
            log=log,
        )

    assert code == 0
    base = "/docker/registry/v2"
    assert caplog.messages == [
        f"Deleting blob: {base}/blobs/sha256/{orphan[:2]}/{orphan}",
        f"Deleting layer link path: {base}/repositories/team/app/_layers/sha256/{orphan}/link",
    ]

"""Storage trees of the kinds that garbage collection meets, written by our own storage."""

from __future__ import annotations

from collections.abc import Callable

from harness.content import Manifest, an_artifact, an_image, an_index
from reference_registry.digest import Digest, digest_of
from reference_registry.storage import layout
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.store import Storage

Tree = Callable[[Storage], None]


def put(storage: Storage, name: str, manifest: Manifest, *tags: str, blobs: bool = True) -> None:
    """Store *manifest* with its children and, if *blobs*, its blobs."""
    repository = LocalRepository(name, storage)
    for child in manifest.children:
        put(storage, name, child, blobs=blobs)
    for blob in manifest.blobs if blobs else ():
        put_blob(storage, name, blob.content)
    repository.put_cached_manifest(Digest(manifest.digest), manifest.content)
    for tag in tags:
        repository.link_tag(tag, Digest(manifest.digest))


def put_blob(storage: Storage, name: str, content: bytes) -> None:
    repository = LocalRepository(name, storage)
    writer = repository.blob_writer()
    writer.append(content)
    repository.commit_blob(writer, digest_of(content))


def _tagged(storage: Storage) -> None:
    put(storage, "team/app", an_image("app"), "v1", "v2")
    put(storage, "team/other", an_image("other"), "v1")


def _blob_without_manifest(storage: Storage) -> None:
    _tagged(storage)
    put_blob(storage, "team/app", b"an orphan")
    put_blob(storage, "only/blobs", b"another")


def _moved_tag(storage: Storage) -> None:
    put(storage, "app", an_image("old"), "latest")
    put(storage, "app", an_image("new"), "latest")


def _shared_layers(storage: Storage) -> None:
    image = an_image("shared")
    put(storage, "a", image, "v1")
    put(storage, "b", image)
    put(storage, "b", an_image("own"), "v1")
    LocalRepository("b", storage).unlink_manifest(Digest(image.digest))


def _tagged_index(storage: Storage) -> None:
    put(storage, "multi", an_index(an_image("amd64"), an_image("arm64")), "v1")
    put(storage, "multi", an_image("alone"))


def _nested_index(storage: Storage) -> None:
    put(storage, "nested", an_index(an_index(an_image("deep"))), "v1")


def _docker_list(storage: Storage) -> None:
    put(storage, "list", an_index(an_image("d", oci=False), oci=False), "v1")


def _child_elsewhere(storage: Storage) -> None:
    child = an_image("child")
    put(storage, "a", child)
    put(storage, "a", an_image("other"), "v1")
    put(storage, "z", an_index(child), "v1")


def _never_tagged(storage: Storage) -> None:
    put(storage, "untagged", an_image("app"))
    put(storage, "tagged", an_image("app2"), "v1")


def _manifest_only(storage: Storage) -> None:
    put(storage, "cache/app", an_image("app"), "v1", blobs=False)
    put(storage, "cache/full", an_image("full"), "v1")


def _manifest_without_bytes(storage: Storage) -> None:
    image = an_image("lost")
    put(storage, "app", image, "v1")
    put(storage, "app", an_image("kept"), "v2")
    storage.blobs.delete(Digest(image.digest))


def _all_deleted(storage: Storage) -> None:
    image = an_image("gone")
    put(storage, "app", image, "v1")
    repository = LocalRepository("app", storage)
    repository.unlink_manifest(Digest(image.digest))
    repository.links.unlink_tag("v1")


def _referrers(storage: Storage) -> None:
    image = an_image("signed")
    put(storage, "app", image, "v1")
    put(storage, "app", an_artifact("application/vnd.test.signature", subject=image))


def _uploads(storage: Storage) -> None:
    _tagged(storage)
    storage.uploads.start("team/app")


def _names_that_sort_oddly(storage: Storage) -> None:
    for name in ("a-b", "a/b", "a", "a.b"):
        put(storage, name, an_image(name), "v1")


def _no_blobs_directory(storage: Storage) -> None:
    put(storage, "app", an_image("app"), "v1")
    storage.driver.delete(layout.BLOBS)


def _broken_revision_link(storage: Storage) -> None:
    _tagged(storage)
    revision = layout.revision_link("team/app", Digest(an_image("app").digest))
    storage.driver.write(revision, b"")


def _broken_tag_link(storage: Storage) -> None:
    _moved_tag(storage)
    storage.driver.write(layout.tag_current_link("app", "latest"), b"")


def _links_that_went(storage: Storage) -> None:
    _blob_without_manifest(storage)
    repository = LocalRepository("team/app", storage)
    repository.unlink_blob(digest_of(b"an orphan"))
    repository.unlink_manifest(Digest(an_image("app").digest))


def _foreign_files(storage: Storage) -> None:
    _blob_without_manifest(storage)
    for place in (
        layout.REPOSITORIES,
        layout.BLOBS,
        f"{layout.BLOBS}/sha256",
        f"{layout.BLOBS}/sha256/00",
        layout.layers("team/app"),
        f"{layout.layers('team/app')}/sha256",
        f"{layout.revisions('team/app')}/sha256",
    ):
        storage.driver.write(f"{place}/README", b"made by hand")


TREES: dict[str, Tree] = {
    "empty": lambda _: None,
    "tagged": _tagged,
    "blob without manifest": _blob_without_manifest,
    "moved tag": _moved_tag,
    "shared layers": _shared_layers,
    "tagged index": _tagged_index,
    "nested index": _nested_index,
    "docker list": _docker_list,
    "child elsewhere": _child_elsewhere,
    "never tagged": _never_tagged,
    "manifest only": _manifest_only,
    "manifest without bytes": _manifest_without_bytes,
    "all deleted": _all_deleted,
    "referrers": _referrers,
    "uploads": _uploads,
    "names that sort oddly": _names_that_sort_oddly,
    "no blobs directory": _no_blobs_directory,
    "broken revision link": _broken_revision_link,
    "broken tag link": _broken_tag_link,
    "links that went": _links_that_went,
    "foreign files": _foreign_files,
}

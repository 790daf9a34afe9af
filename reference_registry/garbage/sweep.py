"""Garbage collection, second half: delete what nothing refers to.

A release deletes everything that marking left over. ``ideal`` checks leases (``storage.leases``)
right before each deletion, because the registry may serve and accept pushes meanwhile. It moves
bytes out of the store under the lock and deletes them afterwards, so that no client waits for the
deletion of a large file.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field

from reference_registry.digest import Digest
from reference_registry.garbage.mark import LayerLink, Marker, UntaggedManifest
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.local_content import RepositoryLinks
from reference_registry.storage.store import Storage

TRASH = "/.pullproof/trash"
"""Storage path of the directory from which blobs are deleted. A collector that is killed leaves
some there; the next one deletes them."""


@dataclass
class SweepResult:
    """What was deleted or, in a dry run, would be."""

    manifests: list[UntaggedManifest] = field(default_factory=list)
    tag_links: list[tuple[str, str, Digest]] = field(default_factory=list)
    """Repository, tag, and the digest that was removed from the history of the tag."""
    blobs: dict[Digest, int] = field(default_factory=dict)
    """With their sizes in bytes."""
    layer_links: list[LayerLink] = field(default_factory=list)
    skipped: list[Digest] = field(default_factory=list)
    """Nothing refers to them, but they are leased."""


class Sweep:
    """Deletes, unless it is a *dry_run*, what *marking* left over. Content leased at or after
    *since* (ns since 1970) stays."""

    def __init__(
        self,
        storage: Storage,
        marking: Marker,
        since: int,
        dry_run: bool,
        emit: Callable[[str], None],
        log: logging.Logger,
    ) -> None:
        self.swept = SweepResult()
        self._storage = storage
        self._driver = storage.driver
        self._leases = storage.leases
        self._profile = storage.profile
        self._marking = marking
        self._since = since
        self._moves_away = storage.leases.are_kept and not dry_run
        self._dry_run = dry_run
        self._emit = emit
        self._log = log
        self._links: dict[Digest, list[LayerLink]] = defaultdict(list)
        for link in marking.layer_links:
            self._links[link.stored_as].append(link)
        self._untagged = {_key(manifest): manifest for manifest in marking.untagged}
        self._referrers: dict[tuple[str, Digest], list[UntaggedManifest]] = defaultdict(list)
        for manifest in marking.untagged:
            if manifest.parsed.subject is not None:
                self._referrers[manifest.repository, manifest.parsed.subject].append(manifest)
        self._kept: set[tuple[str, Digest]] = set()

    def steps(self) -> Iterator[tuple[int, int]]:
        """Delete step by step; each step yields how many of how many blobs are done. Anything may
        happen to the storage between steps. ``PathNotFound`` without a blob store, in a release."""
        yield from self._manifests()
        marked = self._marking.marked
        found = [digest for digest in self._directories() if digest not in marked]
        yield 0, len(found)
        with_bytes = [digest for digest in found if self._storage.blobs.has(digest)]
        sizes = ((digest, self._unleased_size(digest)) for digest in with_bytes)
        garbage = {digest: size for digest, size in sizes if size is not None}
        self._emit(
            f"\n{len(marked)} blobs marked, {len(garbage)} blobs and "
            f"{len(self.swept.manifests)} manifests eligible for deletion"
        )
        for done, (digest, size) in enumerate(garbage.items()):
            yield done, len(garbage)
            self._emit(f"blob eligible for deletion: {digest}")
            self._blob(digest, size)
        yield len(garbage), len(garbage)
        self._layer_links(garbage.keys())
        for digest in found if len(found) > len(with_bytes) else ():
            self._remains(digest)

    def _directories(self) -> list[Digest]:
        try:
            return self._storage.blobs.directories()
        except PathNotFound:
            if self._profile.gc_fails_on_empty_storage:
                raise
            return []

    # -- manifests --------------------------------------------------------------------------------
    def _manifests(self) -> Iterator[tuple[int, int]]:
        for manifest in self._marking.untagged:
            if self._is_in_use(manifest):
                self._keep(manifest)
        histories: dict[str, dict[Digest, list[str]]] = {}
        for manifest in self._marking.untagged:
            yield 0, 0
            with self._leases.alone():
                if _key(manifest) in self._kept:
                    continue
                if self._is_in_use(manifest):
                    self._keep(manifest)
                    continue
                if manifest.repository not in histories:
                    histories[manifest.repository] = self._tag_histories(manifest)
                self._manifest(manifest, histories[manifest.repository])
        if self._kept:
            marked = self._marking.marked
            marked.update(x.stored_as for x in self._marking.layer_links if x.digest in marked)

    def _is_in_use(self, manifest: UntaggedManifest) -> bool:
        name, digest = manifest.repository, manifest.digest
        if self._leases.is_leased(digest, self._since):
            return True
        subject = manifest.parsed.subject
        # If its subject was not there when this was marked, it may have been pushed since.
        return (
            self._leases.are_kept
            and subject is not None
            and (name, subject) not in self._untagged
            and self._driver.is_file(layout.revision_link(name, subject))
        )

    def _keep(self, manifest: UntaggedManifest) -> None:
        """Mark *manifest*, with its children and what refers to it."""
        pending = [manifest]
        while pending:
            one = pending.pop()
            if _key(one) in self._kept:
                continue
            self._kept.add(_key(one))
            self.swept.skipped.append(one.digest)
            self._marking.marked.update((one.digest, *one.parsed.references))
            keys = [(one.repository, child.digest) for child in one.parsed.children]
            pending += [self._untagged[key] for key in keys if key in self._untagged]
            pending += self._referrers[_key(one)]

    def _tag_histories(self, manifest: UntaggedManifest) -> dict[Digest, list[str]]:
        """The tags of its repository by what they once pointed at."""
        links = RepositoryLinks(self._driver, manifest.repository)
        found: dict[Digest, list[str]] = defaultdict(list)
        for tag in manifest.tags:
            for digest in links.history(tag):
                found[digest].append(tag)
        return found

    def _manifest(self, manifest: UntaggedManifest, history: dict[Digest, list[str]]) -> None:
        name, digest = manifest.repository, manifest.digest
        self.swept.manifests.append(manifest)
        for tag in history.get(digest, ()):
            self.swept.tag_links.append((name, tag, digest))
            path = layout.tag_index_link(name, tag, digest).removesuffix("/link")
            self._delete("deleting manifest tag reference: %s", path)
        path = layout.revision_link(name, digest).removesuffix("/link")
        self._delete("deleting manifest: %s", path)

    # -- blobs ------------------------------------------------------------------------------------
    def _unleased_size(self, digest: Digest) -> int | None:
        """In bytes; None if it is leased or already gone."""
        try:
            size = self._storage.blobs.size(digest)
        except PathNotFound:
            return None
        if self._leases.is_leased(digest, self._since):
            self.swept.skipped.append(digest)
            return None
        return size

    def _blob(self, digest: Digest, size: int) -> None:
        if not self._moves_away:
            self._delete("Deleting blob: %s", layout.blob_directory(digest))
        elif not self._move_away_unless_leased(digest):
            self.swept.skipped.append(digest)
            return
        self.swept.blobs[digest] = size

    def _move_away_unless_leased(self, digest: Digest) -> bool:
        trash = f"{TRASH}/{uuid.uuid4().hex}"
        with self._leases.alone():
            if self._leases.is_leased(digest, self._since):
                return False
            # Links first: if the process is killed here, no link is left without bytes.
            for link in self._links[digest]:
                self._layer_link(link)
            path = layout.blob_directory(digest)
            self._log.info("Deleting blob: %s", path)
            with contextlib.suppress(PathNotFound):
                self._driver.move(path, trash)
        self._driver.delete(trash)
        return True

    def _remains(self, digest: Digest) -> None:
        """Remove a directory without bytes, which a killed process left."""
        if not self._moves_away:
            return
        with self._leases.alone():
            if not self._storage.blobs.has(digest):
                self._delete("Deleting remains: %s", layout.blob_directory(digest))

    # -- layer links ------------------------------------------------------------------------------
    def _layer_links(self, garbage: Set[Digest]) -> None:
        """The remaining links. Releases remove those of all blobs here; ``ideal`` removes those
        without bytes."""
        if self._profile.gc_lists_layer_links:
            for link in self._marking.layer_links:
                if self._driver.is_file(layout.layer_link(link.repository, link.digest)):
                    self._emit(
                        f"{link.repository}: layer link eligible for deletion: {link.digest}"
                    )
                    self._layer_link(link)
            return
        for stored_as, links in self._links.items():
            if self._moves_away and stored_as in garbage:
                continue  # They were deleted, or kept, with the blob.
            with self._leases.alone():
                if stored_as in garbage or not self._storage.blobs.has(stored_as):
                    for link in links:
                        self._layer_link(link)

    def _layer_link(self, link: LayerLink) -> None:
        path = layout.layer_link(link.repository, link.digest)
        if not self._driver.is_file(path):
            return
        self.swept.layer_links.append(link)
        # A release leaves the directory.
        kept = self._profile.gc_lists_layer_links
        self._delete("Deleting layer link path: %s", path if kept else path.removesuffix("/link"))

    def _delete(self, message: str, path: str) -> None:
        if self._dry_run:
            return
        self._log.info(message, path)
        if not self._driver.delete(path):
            self._log.warning("%s is already gone", path)


def _key(manifest: UntaggedManifest) -> tuple[str, Digest]:
    return manifest.repository, manifest.digest

"""Garbage collection, second half: taking away what nothing refers to.

A release deletes what it found unmarked. ``ideal`` checks once more right before, since a registry
may serve and take pushes meanwhile: leased blobs (``storage.leases``) stay. A blob is moved out of
the store first and deleted then, so that nobody waits for the deletion of a large file.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from reference_registry.digest import Digest
from reference_registry.garbage.mark import LayerLink, Marking, UntaggedManifest, references
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.links import RepositoryLinks
from reference_registry.storage.store import Storage

__all__ = ["TRASH", "Garbage", "Sweep", "SweepResult"]

TRASH = "/.pullproof/trash"
"""Storage path of the directory in which blobs wait for their deletion, at most until the next
run."""


@dataclass(frozen=True)
class Garbage:
    """A blob to delete. ``size`` is in bytes."""

    digest: Digest
    size: int


@dataclass
class SweepResult:
    """What has gone or, in a dry run, would go."""

    manifests: list[UntaggedManifest] = field(default_factory=list)
    tag_links: list[tuple[str, str, Digest]] = field(default_factory=list)
    """Repository, tag, and the digest of a manifest that the tag no longer remembers."""
    blobs: list[Garbage] = field(default_factory=list)
    layer_links: list[LayerLink] = field(default_factory=list)
    spared: list[Digest] = field(default_factory=list)
    """Nothing refers to them, but they are in use."""


class Sweep:
    """Deletes, unless it is a *dry_run*, what *marking* left over.

    *cutoff* (ns since 1970): what was leased at that moment or later stays; None: leases are not
    looked at. *online*: a registry may serve and write meanwhile; not in a release or a dry run.
    """

    def __init__(
        self,
        storage: Storage,
        marking: Marking,
        *,
        cutoff: int | None,
        online: bool,
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
        self._online = online
        self._cutoff = cutoff
        self._dry_run = dry_run
        self._emit = emit
        self._log = log
        self._links: dict[Digest, list[LayerLink]] = defaultdict(list)
        for link in marking.layer_links:
            self._links[link.stored_as].append(link)
        self._untagged = {_key(manifest): manifest for manifest in marking.untagged}
        self._referrers: dict[tuple[str, Digest], list[UntaggedManifest]] = defaultdict(list)
        for manifest in marking.untagged:
            if manifest.parsed is not None and manifest.parsed.subject is not None:
                self._referrers[manifest.repository, manifest.parsed.subject].append(manifest)
        self._kept: set[tuple[str, Digest]] = set()

    def steps(self) -> Iterator[tuple[int, int]]:
        """Do it, a step at a time: how many of how many blobs are done. Between two steps anybody
        may do anything to the storage. ``PathNotFound`` where there is no blob store, in a
        release."""
        yield from self._manifests()
        marked = self._marking.marked
        found = [digest for digest in self._directories() if digest not in marked]
        yield 0, len(found)
        with_bytes = [digest for digest in found if self._storage.blobs.has(digest)]
        garbage = [one for digest in with_bytes if (one := self._as_garbage(digest)) is not None]
        self._emit(
            f"\n{len(marked)} blobs marked, {len(garbage)} blobs and "
            f"{len(self.swept.manifests)} manifests eligible for deletion"
        )
        for done, one in enumerate(garbage):
            yield done, len(garbage)
            self._emit(f"blob eligible for deletion: {one.digest}")
            self._blob(one)
        yield len(garbage), len(garbage)
        self._layer_links({one.digest for one in garbage})
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
            with self._alone():
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
        if self._is_leased(digest, layout.revision_link(name, digest)):
            return True
        subject = None if manifest.parsed is None else manifest.parsed.subject
        # Its subject was not there when it was marked, and has been pushed since.
        return (
            self._cutoff is not None
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
            self.swept.spared.append(one.digest)
            self._marking.marked.update((one.digest, *references(one.parsed)))
            children = one.parsed.children if one.parsed is not None else ()
            keys = [(one.repository, child.digest) for child in children]
            pending += [self._untagged[key] for key in keys if key in self._untagged]
            pending += self._referrers[_key(one)]

    def _tag_histories(self, manifest: UntaggedManifest) -> dict[Digest, list[str]]:
        """The tags of its repository by what they once pointed at."""
        links = RepositoryLinks(self._driver, manifest.repository)
        found: dict[Digest, list[str]] = defaultdict(list)
        for tag in manifest.tags:
            for digest in links.remembered_by(tag):
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
    def _as_garbage(self, digest: Digest) -> Garbage | None:
        """None where it is leased, or has gone meanwhile."""
        try:
            size = self._storage.blobs.size(digest)
        except PathNotFound:
            return None
        if self._blob_is_leased(digest):
            self.swept.spared.append(digest)
            return None
        return Garbage(digest, size)

    def _blob_is_leased(self, digest: Digest) -> bool:
        links = (layout.layer_link(one.repository, one.digest) for one in self._links[digest])
        return self._is_leased(digest, *links)

    def _blob(self, garbage: Garbage) -> None:
        if not self._online:
            self._delete("Deleting blob: %s", layout.blob_directory(garbage.digest))
        elif not self._take_away_unless_used(garbage.digest):
            self.swept.spared.append(garbage.digest)
            return
        self.swept.blobs.append(garbage)

    def _take_away_unless_used(self, digest: Digest) -> bool:
        """False if the blob has been leased since it was found to be garbage."""
        trash = f"{TRASH}/{uuid.uuid4().hex}"
        with self._alone():
            if self._blob_is_leased(digest):
                return False
            # First the links: where this is cut short no link is left without bytes.
            for link in self._links[digest]:
                self._layer_link(link)
            path = layout.blob_directory(digest)
            self._log.info("Deleting blob: %s", path)
            with contextlib.suppress(PathNotFound):
                self._driver.move(path, trash)
        with contextlib.suppress(PathNotFound):
            self._driver.delete(trash)
        return True

    def _remains(self, digest: Digest) -> None:
        """Remove a directory without bytes, which a killed process left."""
        if not self._online:
            return
        with self._alone():
            renewed = self._leases.renewed_at(digest)
            if self._cutoff is None or renewed is None or renewed >= self._cutoff:
                return
            if not self._storage.blobs.has(digest):
                self._delete("Deleting remains: %s", layout.blob_directory(digest))

    # -- layer links ------------------------------------------------------------------------------
    def _layer_links(self, garbage: set[Digest]) -> None:
        """The links that are left. In a release those of all blobs, and at last; else, those that
        lead to nothing."""
        if self._profile.gc_lists_layer_links:
            for link in self._marking.layer_links:
                if self._driver.is_file(layout.layer_link(link.repository, link.digest)):
                    self._emit(
                        f"{link.repository}: layer link eligible for deletion: {link.digest}"
                    )
                    self._layer_link(link)
            return
        for stored_as, links in self._links.items():
            if self._online and stored_as in garbage:
                continue  # They went with the blob, or stayed with it.
            with self._alone():
                if stored_as in garbage or not self._storage.blobs.has(stored_as):
                    for link in links:
                        path = layout.layer_link(link.repository, link.digest)
                        if not self._is_recent(path):
                            self._layer_link(link)

    def _layer_link(self, link: LayerLink) -> None:
        path = layout.layer_link(link.repository, link.digest)
        if not self._driver.is_file(path):
            return
        self.swept.layer_links.append(link)
        # A release leaves the directory.
        kept = self._profile.gc_lists_layer_links
        self._delete("Deleting layer link path: %s", path if kept else path.removesuffix("/link"))

    # -- leases -----------------------------------------------------------------------------------
    def _is_leased(self, digest: Digest, *links: str) -> bool:
        """Whether anybody relies on *digest*, or has just written one of its *links*."""
        if self._cutoff is None:
            return False
        renewed = self._leases.renewed_at(digest)
        return (renewed is not None and renewed >= self._cutoff) or any(map(self._is_recent, links))

    def _is_recent(self, path: str) -> bool:
        changed = None if self._cutoff is None else self._leases.changed_at(path)
        return changed is not None and self._cutoff is not None and changed >= self._cutoff

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return self._leases.alone() if self._online else contextlib.nullcontext()

    def _delete(self, message: str, path: str) -> None:
        if self._dry_run:
            return
        self._log.info(message, path)
        try:
            self._driver.delete(path)
        except PathNotFound:
            self._log.warning("%s is gone already", path)


def _key(manifest: UntaggedManifest) -> tuple[str, Digest]:
    return manifest.repository, manifest.digest

"""The content of one repository: manifests, tags and blobs, by links into the shared blob store.

:class:`RepositoryLinks` reads and writes the link files, :class:`LocalContent` links and bytes
together. Neither checks what a client may do: see ``storage.repository``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from reference_registry.digest import Digest, parse_digest
from reference_registry.manifest import ManifestInvalid, parse_manifest
from reference_registry.repository import Descriptor, FoundManifest
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.layout import digests_named_in, repository_names
from reference_registry.storage.store import Storage
from reference_registry.storage.uploads import BlobWriter

_BLOB_TYPE = "application/octet-stream"
"""The media type of a blob is known to the manifests that refer to it only."""


class RepositoryLinks:
    """Reads and writes links, and does not check that the bytes exist.

    In releases the digest in a link may differ from the one in its path: they store a blob that is
    pushed as sha512 under sha256.
    """

    def __init__(self, driver: StorageDriver, name: str) -> None:
        self._driver = driver
        self._name = name

    def exists(self) -> bool:
        """Whether the repository has, or once had, a manifest or a layer."""
        return self._driver.exists(layout.manifests(self._name)) or self._driver.exists(
            layout.layers(self._name)
        )

    def has_content(self) -> bool:
        """Whether the repository has a manifest or a layer now."""
        return next(self.revisions(), None) is not None or next(self.layers(), None) is not None

    # -- layers ---------------------------------------------------------------------------------
    def layer(self, digest: Digest) -> Digest | None:
        """The digest that the bytes of the layer *digest* are stored under."""
        return self._read(layout.layer_link(self._name, digest), digest)

    def has_layer(self, digest: Digest) -> bool:
        """Whether the layer *digest* is linked, whatever the link says."""
        return self._driver.is_file(layout.layer_link(self._name, digest))

    def link_layer(self, digest: Digest, stored_as: Digest) -> None:
        self._write(layout.layer_link(self._name, digest), stored_as)

    def unlink_layer(self, digest: Digest) -> bool:
        """False if there was no link. The directory stays, as in distribution."""
        return self._driver.delete(layout.layer_link(self._name, digest))

    def layers(self) -> Iterator[Digest]:
        return self._linked(layout.layers(self._name))

    # -- manifests ------------------------------------------------------------------------------
    def revision(self, digest: Digest) -> Digest | None:
        """The digest that the bytes of the manifest *digest* are stored under."""
        return self._read(layout.revision_link(self._name, digest), digest)

    def link_revision(self, digest: Digest) -> None:
        self._write(layout.revision_link(self._name, digest), digest)

    def unlink_revision(self, digest: Digest) -> bool:
        """False if there was no link."""
        return self._driver.delete(layout.revision_link(self._name, digest))

    def revisions(self) -> Iterator[Digest]:
        return self._linked(layout.revisions(self._name))

    # -- tags -----------------------------------------------------------------------------------
    def tag(self, tag: str) -> Digest | None:
        """What *tag* points at."""
        return self._read(layout.tag_current_link(self._name, tag))

    def link_tag(self, tag: str, digest: Digest) -> None:
        self._write(layout.tag_index_link(self._name, tag, digest), digest)
        self._write(layout.tag_current_link(self._name, tag), digest)

    def unlink_tag(self, tag: str) -> bool:
        """Remove the tag with its history; False if there was none."""
        return self._driver.delete(layout.tag_directory(self._name, tag))

    def tag_names(self, *, in_order: bool = True) -> Sequence[str] | None:
        """In bytewise order, or in that of the file system; None if there never was a tag."""
        path = layout.tags(self._name)
        try:
            return self._driver.sorted_names(path) if in_order else self._driver.names(path)
        except PathNotFound:
            return None

    def tags_pointing_at(self, digest: Digest) -> list[str]:
        return [tag for tag in self.tag_names() or () if self.tag(tag) == digest]

    def tags_with_history(self, digest: Digest) -> list[str]:
        """The tags that point at *digest* or once did, in bytewise order."""
        return [
            tag
            for tag in self.tag_names() or ()
            if self._driver.is_file(layout.tag_index_link(self._name, tag, digest))
            or self.tag(tag) == digest
        ]

    def history(self, tag: str) -> Iterator[Digest]:
        """What *tag* points at or once did."""
        return self._linked(f"{layout.tag_directory(self._name, tag)}/index")

    # -- files ----------------------------------------------------------------------------------
    def _read(self, path: str, likely: Digest | None = None) -> Digest | None:
        """The digest in the link at *path*, which is nearly always the *likely* digest."""
        try:
            text = self._driver.read(path).decode("ascii", "replace")
        except PathNotFound:
            return None
        return likely if text == likely else parse_digest(text)

    def _write(self, path: str, digest: Digest) -> None:
        """A directory in the link's place, which can only be there by mistake, is deleted."""
        content = digest.encode("ascii")
        try:
            self._driver.write(path, content)
        except IsADirectoryError:
            self._driver.delete(path)
            self._driver.write(path, content)

    def _linked(self, directory: str) -> Iterator[Digest]:
        """The digests in the paths of the link files below *directory*."""
        try:
            named = digests_named_in(self._driver, directory)
        except PathNotFound:
            return
        for digest in named:
            if self._driver.is_file(f"{directory}/{digest.replace(':', '/')}/link"):
                yield digest


class LocalContent:
    """The content of repository *name* in *storage*. Creating one neither reads nor writes."""

    def __init__(self, name: str, storage: Storage) -> None:
        self.name = name
        self.links = RepositoryLinks(storage.driver, name)
        self._storage = storage
        self._profile = storage.profile

    # -- manifests and tags ----------------------------------------------------------------------
    def has_manifest(self, digest: Digest) -> bool:
        """Whether *digest* is linked as a manifest and its bytes are there."""
        stored_as = self.links.revision(digest)
        return stored_as is not None and self._storage.blobs.has(stored_as)

    def manifest_or_none(self, digest: Digest) -> FoundManifest | None:
        """The manifest, or None if the link or the bytes are missing."""
        stored_as = self.links.revision(digest)
        if stored_as is None:
            return None
        try:
            manifest = self._storage.blobs.manifest(stored_as)
        except PathNotFound:
            return None
        self._remember_manifest(stored_as, len(manifest.content), was_read=True)
        return manifest

    def put_cached_manifest(self, digest: Digest, content: bytes) -> None:
        """Store and link *content*, which must have *digest*. Its media type is not stored: readers
        find it in the content, as in distribution. Stored content that it refers to is leased."""
        leases = self._storage.leases
        with leases.held():
            self._storage.blobs.put(digest, content)
            self.links.link_revision(digest)
            if leases.are_kept:
                with suppress(ManifestInvalid):
                    leases.renew(parse_manifest(content).references)
                leases.renew([digest])
        self._remember_manifest(digest, len(content), was_read=False)

    def unlink_manifest(self, digest: Digest) -> bool:
        """Remove the link; bytes and tags stay. False if there was no link."""
        if self._profile.remembers_manifests == "as-blobs":
            self._storage.descriptors.forget(self.name, digest)
        return self.links.unlink_revision(digest)

    def link_tag(self, tag: str, digest: Digest) -> None:
        """Point *tag* at *digest*."""
        with self._storage.leases.held():
            self._storage.leases.renew([digest])
            self.links.link_tag(tag, digest)

    def forget_in_tag(self, tag: str, digest: Digest) -> None:
        """Remove *tag* if it points at *digest*, otherwise *digest* from its history."""
        if self.links.tag(tag) == digest:
            self.links.unlink_tag(tag)
        else:
            link = layout.tag_index_link(self.name, tag, digest)
            self._storage.driver.delete(link.removesuffix("/link"))

    def referrers_of(self, digest: Digest) -> Iterator[FoundManifest]:
        """The stored manifests whose ``subject`` is *digest*."""
        for revision in self.links.revisions():
            if self._storage.blobs.subject(revision) == digest:
                manifest = self.manifest_or_none(revision)
                if manifest is not None:
                    yield manifest

    # -- blobs -----------------------------------------------------------------------------------
    def stat_blob(self, digest: Digest) -> Descriptor | None:
        """The blob *digest* if it is linked here and its bytes are there.

        Releases trust a descriptor cache in both (profile ``trusts_descriptor_cache``). Otherwise
        it only saves reading the link, since the blob may have been removed.
        """
        descriptors = self._storage.descriptors
        remembered = descriptors.find(self.name, digest)
        if remembered is not None and self._profile.trusts_descriptor_cache:
            return remembered
        descriptor = self._stat_stored(digest, remembered)
        if descriptor is None and remembered is not None:
            descriptors.forget(self.name, digest)
        elif descriptor is not None and descriptor != remembered:
            descriptors.remember(self.name, digest, descriptor)
        return descriptor

    def _stat_stored(self, digest: Digest, remembered: Descriptor | None) -> Descriptor | None:
        """The blob in the storage; the link is not read if the blob is *remembered*."""
        known = remembered is not None and remembered.digest == digest
        stored_as = digest if known and self.links.has_layer(digest) else self.links.layer(digest)
        if stored_as is None:
            return None
        try:
            return Descriptor(stored_as, self._storage.blobs.size(stored_as), _BLOB_TYPE)
        except PathNotFound:
            return None

    def has_blob(self, digest: Digest) -> bool:
        """Whether :meth:`stat_blob` finds the blob."""
        return self.stat_blob(digest) is not None

    def link_blob(self, digest: Digest, stored_as: Digest | None = None) -> Descriptor:
        """Link bytes that are in the blob store under *stored_as*, by default *digest*.
        ``PathNotFound`` if they are not."""
        stored_as = stored_as or digest
        with self._storage.leases.held():
            descriptor = Descriptor(stored_as, self._storage.blobs.size(stored_as), _BLOB_TYPE)
            self._storage.leases.renew([stored_as])
            self.links.link_layer(digest, stored_as)
        self._storage.descriptors.remember(self.name, digest, descriptor)
        return descriptor

    def unlink_blob(self, digest: Digest) -> bool:
        """Remove the link; the bytes stay. False if there was no link."""
        self._storage.descriptors.forget(self.name, digest)
        return self.links.unlink_layer(digest)

    def put_cached_blob(self, digest: Digest, content: bytes) -> Descriptor:
        """Store and link a small blob, whose *digest* the caller has verified."""
        with self._storage.leases.held():
            self._storage.blobs.put(digest, content)
            return self.link_blob(digest)

    def blob_writer(self, upload: str | None = None) -> BlobWriter:
        """A writer of a new blob, under ``_uploads/<uuid>`` until :meth:`commit_blob`. Closing it
        leaves the upload on disk; :meth:`BlobWriter.discard` removes it. *upload* is its id, by
        default a new one (:meth:`Uploads.new_id`)."""
        uploads = self._storage.uploads
        return uploads.resume(self.name, uploads.start(self.name, upload))

    def commit_blob(self, writer: BlobWriter, digest: Digest, *, synced: bool = True) -> Descriptor:
        """Verify what *writer* wrote, move it into the blob store and link it here.

        :class:`DigestMismatch` leaves the upload as it is: to discard, or to keep.
        """
        writer.verify(digest)
        stored_as = digest if self._profile.sha512 else writer.digest("sha256")
        with self._storage.leases.held():
            writer.commit(self._storage.blobs, stored_as, synced=synced)
            if digest != stored_as:
                self.links.link_layer(digest, stored_as)
            return self.link_blob(stored_as)

    def links_elsewhere(self, digest: Digest) -> list[str]:
        """The other repositories that link *digest*, as a layer or as a manifest. Walks the
        storage: call it rarely, and in a worker thread."""
        return [
            name
            for name in repository_names(self._storage.driver)
            if name != self.name
            and (
                self._storage.driver.is_file(layout.layer_link(name, digest))
                or self._storage.driver.is_file(layout.revision_link(name, digest))
            )
        ]

    def delete_bytes(self, digest: Digest) -> bool:
        """Free the bytes for all repositories; False if there were none."""
        return self._storage.blobs.delete(digest)

    def _remember_manifest(self, digest: Digest, size: int, *, was_read: bool) -> None:
        """As in releases, for which a manifest is a blob like any other."""
        how, descriptors = self._profile.remembers_manifests, self._storage.descriptors
        if how == "as-blobs":
            descriptors.remember(self.name, digest, Descriptor(digest, size, _BLOB_TYPE))
        elif how == "bytes" and was_read:
            descriptors.remember_bytes(Descriptor(digest, size, _BLOB_TYPE))

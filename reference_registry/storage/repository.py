"""A repository whose content is stored here: the standard registry's, and a proxy's cache.

It answers clients (:class:`reference_registry.repository.Repository`).
:class:`reference_registry.storage.local_content.LocalContent` says what is stored, and how.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from reference_registry.digest import Digest
from reference_registry.http.errors import (
    BLOB_UNKNOWN,
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_UNKNOWN,
    NAME_UNKNOWN,
    RANGE_INVALID,
    UNKNOWN,
    UNSUPPORTED,
    RegistryError,
    detail,
    unknown_revision,
    unknown_tag,
)
from reference_registry.http.messages import Request, Response, StreamBody
from reference_registry.http.pagination import TagPage, tag_page
from reference_registry.manifest import (
    ContentReference,
    ParsedManifest,
    parse_manifest,
    referrer_descriptor,
)
from reference_registry.profiles import Profile
from reference_registry.repository import Descriptor, FoundManifest, Referrers, UploadSession
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.local_content import LocalContent
from reference_registry.storage.serving import StoredContent, blob_headers, serve_content
from reference_registry.storage.uploads import BlobWriter, DigestMismatch


class LocalRepository(LocalContent):
    """The repository *name* in *storage*."""

    # -- pull -------------------------------------------------------------------------------------
    async def resolve(self, tag: str, *, revalidate: bool = False) -> Digest:
        digest = self.links.tag(tag)
        if digest is None:
            raise unknown_tag(self._profile, tag)
        return digest

    async def manifest(self, digest: Digest, *, tag: str | None = None) -> FoundManifest:
        self._storage.leases.use(digest)
        manifest = self.manifest_or_none(digest)
        if manifest is not None:
            return manifest
        if self._profile.finds_manifests_among_layers and self.has_blob(digest):
            raise UNKNOWN(detail(self._profile, "not a manifest"))
        raise unknown_revision(self._profile, self.name, digest)

    def still_valid(self, manifest: FoundManifest, tag: str | None) -> Callable[[], bool]:
        def is_same() -> bool:
            if tag is not None and self.links.tag(tag) != manifest.digest:
                return False
            self._storage.leases.use(manifest.digest)
            stored = self.manifest_or_none(manifest.digest)
            return stored is not None and stored.content == manifest.content

        return is_same

    async def serve_blob(self, digest: Digest, request: Request) -> Response:
        descriptor = self._stat_for_use(digest)
        if descriptor is None:
            raise BLOB_UNKNOWN(digest)
        blobs = self._storage.blobs
        stored_as = descriptor.digest
        if self._profile.trusts_descriptor_cache and not blobs.has(stored_as):
            return _promise_without_bytes(descriptor)
        return serve_content(request, descriptor, StoredContent(blobs, descriptor), self._profile)

    def _stat_for_use(self, digest: Digest) -> Descriptor | None:
        """As :meth:`stat_blob`, for a client: what is found is leased."""
        leases = self._storage.leases
        leases.use(digest)
        found = self.stat_blob(digest)
        if found is None or found.digest == digest:
            return found
        leases.use(found.digest)
        return self.stat_blob(digest)

    async def read_blob(self, digest: Digest, limit: int) -> bytes:
        descriptor = self.stat_blob(digest)
        if descriptor is None:
            raise BLOB_UNKNOWN(digest)
        if descriptor.size > limit:
            raise ValueError(f"{digest} is larger than {limit} bytes")
        try:
            return self._storage.blobs.read(descriptor.digest)
        except PathNotFound:  # The descriptor cache was believed.
            raise BLOB_UNKNOWN(digest) from None

    async def tags(self, *, n: int | None, last: str | None) -> TagPage:
        names = self.links.tag_names(in_order=self._profile.paginates_tags)
        if names is None:
            if not (last and self._profile.tags_after_last_need_no_repository) and (
                self._profile.repository_needs_tags or not self.links.exists()
            ):
                raise NAME_UNKNOWN({"name": self.name})
            names = []
        return tag_page(names, n, last, self._profile)

    async def referrers(self, digest: Digest) -> Referrers:
        return Referrers(await asyncio.to_thread(self._referrers, digest))

    def _referrers(self, digest: Digest) -> list[dict[str, object]]:
        return [
            referrer_descriptor(parse_manifest(m.content), m.digest, len(m.content))
            for m in self.referrers_of(digest)
        ]

    # -- push -------------------------------------------------------------------------------------
    async def put_manifest(
        self, digest: Digest, media_type: str, content: bytes, tags: Sequence[str]
    ) -> Digest | None:
        parsed = parse_manifest(content, media_type)
        # In a thread, since it is synced to the disk.
        await asyncio.to_thread(self._put_manifest, parsed, digest, content, tags)
        return parsed.subject

    def _put_manifest(
        self, parsed: ParsedManifest, digest: Digest, content: bytes, tags: Sequence[str]
    ) -> None:
        with self._storage.leases.held():  # What it was checked for is there when it is stored.
            check_references(
                parsed, self._profile, has_blob=self.has_blob, has_manifest=self.has_manifest
            )
            self.put_cached_manifest(digest, content)
            for tag in tags:
                self.link_tag(tag, digest)

    async def delete_manifest(self, digest: Digest) -> None:
        self._require_delete()
        if not self.unlink_manifest(digest):
            raise MANIFEST_UNKNOWN()
        for tag in self.links.tags_pointing_at(digest):
            self.links.unlink_tag(tag)

    async def delete_tag(self, tag: str) -> None:
        if self._profile.delete_tag != "even-if-disabled":
            self._require_delete()
        if self._profile.delete_tag == "digest-invalid":
            raise DIGEST_INVALID()
        if not self.links.unlink_tag(tag):
            raise MANIFEST_UNKNOWN()

    async def delete_blob(self, digest: Digest) -> None:
        self._require_delete()
        if not self.unlink_blob(digest):
            raise BLOB_UNKNOWN()

    async def mount_blob(self, digest: Digest, source: str | None) -> bool:
        if source is None:
            if not self._profile.mounts_from_anywhere:
                return False
            try:
                self.link_blob(digest)
            except PathNotFound:
                return False
            return True
        with self._storage.leases.held():
            found = LocalRepository(source, self._storage).stat_blob(digest)
            if found is None:
                return False
            self._storage.leases.renew([found.digest])
            self.links.link_layer(digest, found.digest)
        return True

    async def start_upload(self) -> UploadSession:
        return UploadSession(await asyncio.to_thread(self._start_upload), 0)

    def _start_upload(self) -> str:
        upload = self._storage.uploads.start(self.name)
        if self._profile.keeps_hash_states:
            self._storage.uploads.leave_hash_state(self.name, upload)
        return upload

    async def upload(self, uuid: str) -> UploadSession:
        try:
            return UploadSession(uuid, self._storage.uploads.size(self.name, uuid))
        except PathNotFound:
            raise BLOB_UPLOAD_UNKNOWN(detail(self._profile, "blob upload unknown")) from None

    async def append_upload(
        self, session: UploadSession, chunks: AsyncIterator[bytes]
    ) -> UploadSession:
        writer = await self._resume(session)
        try:
            async for chunk in chunks:
                writer.append(chunk)
        finally:
            writer.close()
        return UploadSession(session.uuid, writer.offset)

    async def commit_upload(self, session: UploadSession, digest: Digest) -> Descriptor:
        writer = await self._resume(session)
        try:
            return await asyncio.to_thread(self.commit_blob, writer, digest)
        except DigestMismatch as mismatch:
            if not self._profile.keeps_upload_on_mismatch:
                writer.discard()
            struct = {"Digest": mismatch.expected, "Reason": {}}
            raise DIGEST_INVALID(detail(self._profile, str(mismatch), struct)) from None
        finally:
            writer.close()

    async def cancel_upload(self, session: UploadSession) -> None:
        if not self._storage.uploads.forget(self.name, session.uuid):
            raise BLOB_UPLOAD_UNKNOWN()
        if self._profile.cancel_leaves_hash_state:
            self._storage.uploads.leave_hash_state(self.name, session.uuid)

    async def _resume(self, session: UploadSession) -> BlobWriter:
        """A writer of *session*, in a thread because the data may have to be hashed again."""
        try:
            writer = await asyncio.to_thread(self._storage.uploads.resume, self.name, session.uuid)
        except PathNotFound:
            raise BLOB_UPLOAD_UNKNOWN() from None
        except BlockingIOError as error:
            raise RANGE_INVALID(str(error)) from None
        if writer.offset != session.offset:
            writer.close()
            raise RANGE_INVALID(f"{writer.offset} bytes are stored, and not {session.offset}")
        return writer

    def _require_delete(self) -> None:
        if not self._storage.delete_enabled:
            raise UNSUPPORTED()


def _promise_without_bytes(descriptor: Descriptor) -> Response:
    """What releases answer when the descriptor cache knows a blob whose bytes are gone: 200, the
    full length, and no body (#2367)."""

    async def nothing() -> AsyncIterator[bytes]:
        raise EOFError(f"{descriptor.digest} has no bytes")
        yield b""

    headers = (
        ("Accept-Ranges", "bytes"),
        *blob_headers(descriptor),
        ("Content-Length", str(descriptor.size)),
    )
    return Response(200, headers, StreamBody(nothing()))


_DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign."


def check_references(
    parsed: ParsedManifest,
    profile: Profile,
    *,
    has_blob: Callable[[Digest], bool],
    has_manifest: Callable[[Digest], bool],
) -> None:
    """Raise one MANIFEST_BLOB_UNKNOWN entry for each blob or child manifest that is missing.

    A ``subject`` may be pushed later (OCI distribution-spec, "Pushing Manifests with Subject").
    For ``ideal`` so may layers and the children of an index (profile ``sparse_manifests``), but
    not the config: an image is useless without it.
    """
    entries: list[dict[str, Any]] = []
    missing = [blob for blob in parsed.blobs if not has_blob(blob.digest)]
    if profile.sparse_manifests:
        if parsed.config not in missing:
            return
    else:
        missing = [blob for blob in parsed.blobs if blob in missing or _is_refused(blob)]
        missing += [child for child in parsed.children if not has_manifest(child.digest)]
    for reference in missing:
        if not profile.sparse_manifests and _is_refused(reference):
            entries += UNKNOWN().entries + UNKNOWN(detail(profile, "invalid URL on layer")).entries
        entries += MANIFEST_BLOB_UNKNOWN(reference.digest).entries
    if entries:
        first = UNKNOWN if entries[0]["code"] == UNKNOWN.code else MANIFEST_BLOB_UNKNOWN
        raise RegistryError(first.status, tuple(entries))


def _is_refused(blob: ContentReference) -> bool:
    """Releases allow no ``urls`` at all unless ``validation.manifests.urls`` names them, and no
    foreign layer of Docker's without."""
    return bool(blob.urls) or blob.media_type.startswith(_DOCKER_FOREIGN)

"""The repository protocol: what the API needs from a repository, stored here or pulled through.

``storage.repository.LocalRepository`` implements it for the standard registry and for the cache of
a proxy, ``proxy.repository.ProxyRepository`` for a proxy, which refuses writes. Every method raises
:class:`reference_registry.http.errors.RegistryError` for an error response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from reference_registry.digest import Digest, algorithm_of, digest_of
from reference_registry.http.messages import Request, Response
from reference_registry.http.pagination import TagPage


@dataclass(frozen=True)
class Descriptor:
    """OCI image-spec descriptor.md, the three required properties. ``size`` is in bytes."""

    digest: Digest
    size: int
    media_type: str


@dataclass(frozen=True)
class FoundManifest:
    """A manifest's exact bytes and the media type it is served under."""

    digest: Digest
    media_type: str
    content: bytes
    headers: tuple[tuple[str, str], ...] = ()
    """More response headers, such as ``Warning`` on stale content."""

    @cached_property
    def is_intact(self) -> bool:
        """Whether the bytes have the digest."""
        return digest_of(self.content, algorithm_of(self.digest)) == self.digest


@dataclass(frozen=True)
class Referrers:
    """The referrers of a manifest: OCI descriptors, each with a valid ``digest``."""

    descriptors: Sequence[dict[str, object]]
    headers: tuple[tuple[str, str], ...] = ()
    """More response headers, such as ``Warning`` on a stale list."""


@dataclass(frozen=True)
class UploadSession:
    """A blob upload in progress. ``offset`` is the number of bytes stored so far."""

    uuid: str
    offset: int


@dataclass(frozen=True)
class RepositoryAddress:
    """The repository that a client means by a name and ``ns``."""

    name: str
    """The name that storage, schedule and permissions use. A cache of several upstreams stores some
    repositories under other names than clients use."""
    namespace: str | None = None
    """The ``ns`` of the request, if it was honoured (distribution-spec, "Registry Proxying")."""


class Repository(Protocol):
    """One repository by name."""

    @property
    def name(self) -> str: ...

    # -- pull -----------------------------------------------------------------------------------
    async def resolve(self, tag: str, *, revalidate: bool = False) -> Digest:
        """The digest of *tag* now. MANIFEST_UNKNOWN if there is no such tag. *revalidate*: do not
        answer from memory, however fresh."""
        ...

    async def manifest(self, digest: Digest, *, tag: str | None = None) -> FoundManifest:
        """The manifest *digest*. *tag* is the tag that was just resolved to it, if any: releases
        then ask their upstream by tag (profile ``fetches_tagged_manifest_by``)."""
        ...

    def still_valid(self, manifest: FoundManifest, tag: str | None) -> Callable[[], bool] | None:
        """Says whether *manifest*, just served by its digest or by *tag*, would be served again
        (:attr:`Response.still_valid`)."""
        ...

    async def serve_blob(self, digest: Digest, request: Request) -> Response:
        """The response to GET or HEAD of the blob *digest*, with ranges and conditions."""
        ...

    async def read_blob(self, digest: Digest, limit: int) -> bytes:
        """The bytes of a small blob, such as an image's configuration. BLOB_UNKNOWN if it does
        not exist, ``ValueError`` for more than *limit* bytes."""
        ...

    async def tags(self, *, n: int | None, last: str | None) -> TagPage:
        """A page of tags in the order that the profile gives. NAME_UNKNOWN for no such repository.
        ``n`` and ``last`` have been validated by the caller."""
        ...

    async def referrers(self, digest: Digest) -> Referrers:
        """The manifests whose ``subject`` is *digest*; may be empty."""
        ...

    # -- push -----------------------------------------------------------------------------------
    async def put_manifest(
        self, digest: Digest, media_type: str, content: bytes, tags: Sequence[str]
    ) -> Digest | None:
        """Store *content*, already parsed and verified, under *digest* and point *tags* at it.
        Returns the digest of the manifest's ``subject``, for ``OCI-Subject``, or None."""
        ...

    async def delete_manifest(self, digest: Digest) -> None: ...

    async def delete_tag(self, tag: str) -> None: ...

    async def delete_blob(self, digest: Digest) -> None: ...

    async def mount_blob(self, digest: Digest, source: str | None) -> bool:
        """Link *digest* from repository *source* (None: from any). False if it is absent."""
        ...

    async def start_upload(self) -> UploadSession: ...

    async def upload(self, uuid: str) -> UploadSession:
        """The session *uuid*. BLOB_UPLOAD_UNKNOWN if it does not exist."""
        ...

    async def append_upload(
        self, session: UploadSession, chunks: AsyncIterator[bytes]
    ) -> UploadSession: ...

    async def commit_upload(self, session: UploadSession, digest: Digest) -> Descriptor:
        """Verify, move into place, link. DIGEST_INVALID if the bytes have another digest."""
        ...

    async def cancel_upload(self, session: UploadSession) -> None: ...


class Registry(Protocol):
    """All repositories of one registry."""

    def locate(self, name: str, namespace: str | None) -> RepositoryAddress:
        """The repository that the client calls *name*, with ``ns=`` *namespace* if it sent one;
        *name* is empty if the request is not about one. NAME_UNKNOWN if *namespace* is unknown."""
        ...

    def repository(self, name: str) -> Repository:
        """The repository *name* (already validated), whether or not anything is stored in it."""
        ...

    def catalog(self, namespace: str | None = None) -> Sequence[str]:
        """The names of the repositories stored locally, sorted; or those of the honoured
        *namespace*, as its registry calls them."""
        ...

    async def start(self) -> None:
        """Begin background work: expiry schedule, upload purging, upstream check."""
        ...

    async def stop(self) -> None:
        """End background work and save what has to survive."""
        ...

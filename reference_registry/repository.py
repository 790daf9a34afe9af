"""What the API asks of a repository, whether it is stored here or pulled through from upstream.

Two classes stand behind this protocol: ``storage.repository.LocalRepository`` (the standard
registry, and the cache side of a proxy) and ``proxy.repository.ProxyRepository`` (which holds a
local one and an upstream). The API layer never knows which of the two it talks to; that a proxy
refuses writes is said by ``ProxyRepository`` and nowhere else.

Every method raises :class:`reference_registry.http.errors.RegistryError` for an answer that is not
a success.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from reference_registry.digest import Digest, algorithm_of, digest_of
from reference_registry.http.messages import Request, Response

__all__ = [
    "Descriptor",
    "Manifest",
    "Place",
    "Referrers",
    "Registry",
    "Repository",
    "TagPage",
    "UploadSession",
]


@dataclass(frozen=True)
class Descriptor:
    """OCI image-spec descriptor.md, the three required properties. ``size`` is in bytes."""

    digest: Digest
    size: int
    media_type: str


@dataclass(frozen=True)
class Manifest:
    """A manifest's exact bytes and the media type it is served under."""

    digest: Digest
    media_type: str
    content: bytes
    headers: tuple[tuple[str, str], ...] = ()
    """More answer headers, such as ``Warning`` and ``Age`` on stale content."""

    @cached_property
    def is_intact(self) -> bool:
        """Whether the bytes have the digest."""
        return digest_of(self.content, algorithm_of(self.digest)) == self.digest


@dataclass(frozen=True)
class TagPage:
    """One page of ``tags/list``. ``next`` is the ``last=`` of the following page, or None."""

    tags: tuple[str, ...] | None
    """None is sent as JSON ``null``, as distribution does for some empty lists."""
    next: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """More answer headers, such as ``Warning`` on a stale list."""


@dataclass(frozen=True)
class Referrers:
    """What refers to a manifest: OCI descriptors, each with a valid ``digest``."""

    descriptors: Sequence[dict[str, object]]
    headers: tuple[tuple[str, str], ...] = ()
    """More answer headers, such as ``Warning`` on a stale list."""


@dataclass(frozen=True)
class UploadSession:
    """A blob upload in progress. ``offset`` is the number of bytes stored so far."""

    uuid: str
    offset: int


@dataclass(frozen=True)
class Place:
    """Where a registry keeps what a client asks for."""

    name: str
    """Of the repository: what it is stored, scheduled and permitted as. A cache of several
    upstreams keeps some under other names than clients may use."""
    namespace: str | None = None
    """The ``ns`` of the request, if it was heeded (distribution-spec, "Registry Proxying")."""


class Repository(Protocol):
    """One repository by name."""

    @property
    def name(self) -> str: ...

    # -- pull -----------------------------------------------------------------------------------
    async def resolve(self, tag: str, *, anew: bool = False) -> Digest:
        """The digest that *tag* stands for now. MANIFEST_UNKNOWN where there is no such tag.
        *anew*: what is remembered will not do, however fresh it is."""
        ...

    async def manifest(self, digest: Digest, *, tag: str | None = None) -> Manifest:
        """The manifest *digest*. *tag* is the tag it was just resolved from, if any: releases of
        distribution ask their upstream by tag then (see profile ``fetches_tagged_manifest_by``)."""
        ...

    def again(self, manifest: Manifest, tag: str | None) -> Callable[[], bool] | None:
        """Whether *manifest*, which was just served to who asked for its digest, or for *tag*, is
        still what they get (:attr:`Response.again`)."""
        ...

    async def serve_blob(self, digest: Digest, request: Request) -> Response:
        """The answer to GET or HEAD of the blob *digest*, Range and conditions included."""
        ...

    async def read_blob(self, digest: Digest, limit: int) -> bytes:
        """The bytes of a small blob, such as an image's configuration. BLOB_UNKNOWN where there is
        none, ``ValueError`` for more than *limit* bytes."""
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
        """Link *digest* from repository *source* (or from anywhere: None). False where absent."""
        ...

    async def start_upload(self) -> UploadSession: ...

    async def upload(self, uuid: str) -> UploadSession:
        """The session *uuid*. BLOB_UPLOAD_UNKNOWN where there is none."""
        ...

    async def append_upload(
        self, session: UploadSession, chunks: AsyncIterator[bytes]
    ) -> UploadSession: ...

    async def commit_upload(self, session: UploadSession, digest: Digest) -> Descriptor:
        """Verify, move into place, link. DIGEST_INVALID where the bytes have another digest."""
        ...

    async def cancel_upload(self, session: UploadSession) -> None: ...


class Registry(Protocol):
    """All repositories of one registry."""

    def locate(self, name: str, namespace: str | None) -> Place:
        """The place of the repository that the client calls *name*, with ``ns=`` *namespace* if it
        sent one; *name* is empty for no particular one. NAME_UNKNOWN where *namespace* means
        nothing here."""
        ...

    def repository(self, name: str) -> Repository:
        """The repository *name* (already validated), whether or not anything is stored in it."""
        ...

    def catalog(self, namespace: str | None = None) -> Sequence[str]:
        """The names of the repositories stored locally, sorted (profile ``catalog_lists``); or
        those of the heeded *namespace*, as its registry calls them."""
        ...

    async def start(self) -> None:
        """Begin background work: expiry schedule, upload purging, upstream check."""
        ...

    async def stop(self) -> None:
        """End background work and save what must survive."""
        ...

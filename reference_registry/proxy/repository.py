"""A repository that is pulled through: what is cached answers, and upstream fills the cache.

What happens when upstream fails is the same everywhere: what is cached is served (``ideal`` marks
it as stale), and otherwise ``proxy.answers`` says what the client is told.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NoReturn

from reference_registry.digest import Digest, algorithm_of, digest_of
from reference_registry.http.details import unsupported
from reference_registry.http.errors import RegistryError
from reference_registry.http.go_json import unreadable
from reference_registry.http.hooks import Panic
from reference_registry.http.messages import Request, Response
from reference_registry.http.pagination import tag_page
from reference_registry.manifest import ManifestInvalid, media_type_of, parse_manifest
from reference_registry.proxy.blobs.coalesced import CoalescedFetch
from reference_registry.proxy.blobs.stream_through import StreamThrough
from reference_registry.proxy.blobs.two_fetches import TwoFetches
from reference_registry.proxy.errors import (
    blob_error,
    manifest_error,
    stale_mark,
    tag_error,
    tags_error,
    upload_error,
)
from reference_registry.proxy.referrers import list_referrers
from reference_registry.proxy.services import Services
from reference_registry.proxy.upstream.client import UpstreamManifest, UpstreamRepository
from reference_registry.proxy.upstream.errors import (
    UpstreamBroken,
    UpstreamFailure,
    UpstreamOffline,
)
from reference_registry.repository import Descriptor, Manifest, Referrers, TagPage, UploadSession

__all__ = ["ProxyRepository"]

_log = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]

_MISSES: dict[str, type[TwoFetches] | type[StreamThrough] | type[CoalescedFetch]] = {
    "double": TwoFetches,
    "tee": StreamThrough,
    "shared": CoalescedFetch,
}


class ProxyRepository:
    """The repository *name* for one client request.

    It remembers which tags it had to resolve without upstream, so that the manifests they lead to
    are marked as stale.
    """

    def __init__(self, name: str, services: Services) -> None:
        self.name = name
        self._services = services
        self._profile = services.profile
        self._local = services.local.repository(name)
        self._stale_tags: dict[str, Headers] = {}

    @cached_property
    def _upstream(self) -> UpstreamRepository:
        # Most requests are answered without it.
        return self._services.upstreams.repository(self.name)

    # -- tags and manifests -----------------------------------------------------------------------
    async def resolve(self, tag: str, *, anew: bool = False) -> Digest:
        retention = self._services.retention
        if not anew and (fresh := retention.freshness.fresh(self.name, tag)) is not None:
            return fresh
        try:
            with retention.absences.minded(self.name, tag, anew=anew):
                digest, manifest = await self._ask_for_tag(tag)
        except UpstreamFailure as failure:
            return self._resolve_without_upstream(tag, failure)
        if manifest is not None and self._profile.verifies_manifests:
            self._store(digest, manifest)
        self._point(tag, digest)
        retention.freshness.confirm(self.name, tag, digest)
        return digest

    async def _ask_for_tag(self, tag: str) -> tuple[Digest, UpstreamManifest | None]:
        """What *tag* stands for upstream. Who asks while upstream is being asked gets that answer
        (collapsed requests: RFC 9111, 4), which may be older than the question by the time that
        one exchange with upstream takes, and by no more."""
        if not self._profile.joins_upstream_requests:
            return await self._upstream.resolve(tag)
        is_cached = self._local.tag_digest(tag) is not None
        return await self._services.joined_tags.run(
            (self.name, tag), lambda: self._upstream.resolve(tag, is_cached=is_cached)
        )

    def _resolve_without_upstream(self, tag: str, failure: UpstreamFailure) -> Digest:
        digest = self._local.tag_digest(tag)
        if digest is None:
            raise tag_error(failure, tag, self._profile) from failure
        if self._profile.marks_stale:
            if not self._local.has_manifest(digest):
                raise tag_error(failure, tag, self._profile) from failure
            level = logging.DEBUG if isinstance(failure, UpstreamOffline) else logging.WARNING
            _log.log(level, "%s:%s is served as it was cached: %s", self.name, tag, failure)
            self._stale_tags[tag] = stale_mark(failure)
        return digest

    def _point(self, tag: str, digest: Digest) -> None:
        """Let the cached *tag* point at *digest*. Releases write this link although the manifest
        may never come (#4477); ``ideal`` writes it when it is there, and only if it is new."""
        is_new = self._local.tag_digest(tag) != digest
        if self._profile.not_modified_skips_caching or (
            is_new and self._local.has_manifest(digest)
        ):
            try:
                self._local.link_tag(tag, digest)
            except OSError as error:
                self._not_stored(tag, error)

    def _not_stored(self, what: str, error: OSError) -> None:
        """What was pulled is served although it cannot be cached; by a release it is not."""
        if not self._profile.serves_what_it_cannot_store:
            raise error
        _log.error("%s: %s was not cached: %s", self.name, what, error)

    async def manifest(self, digest: Digest, *, tag: str | None = None) -> Manifest:
        manifest = self._undamaged(digest)
        hit = manifest is not None
        if manifest is None:
            manifest = await self._pull_manifest(digest, tag)
            if tag is not None:
                self._point(tag, digest)
        self._served(manifest, hit=hit)
        if tag is None or tag not in self._stale_tags:
            return manifest
        return replace(manifest, headers=manifest.headers + self._stale_tags[tag])

    def again(self, manifest: Manifest, tag: str | None) -> Callable[[], bool] | None:
        freshness = self._services.retention.freshness
        if tag is not None and (not freshness.is_on or tag in self._stale_tags):
            return None  # Upstream has to be asked.
        digest, content = manifest.digest, manifest.content

        def is_same() -> bool:
            if tag is not None and freshness.fresh(self.name, tag) != digest:
                return False
            stored = self._undamaged(digest)
            if stored is None or stored.content != content:
                return False
            self._served(manifest, hit=True)
            return True

        return is_same

    def _served(self, manifest: Manifest, *, hit: bool) -> None:
        self._services.counters.manifest.pushed(len(manifest.content), hit=hit)
        self._services.retention.uses.note(self.name, manifest.digest)

    def _undamaged(self, digest: Digest) -> Manifest | None:
        """What is cached for *digest*. ``ideal`` looks whether it is that whenever it has been read
        from the disk, since a manifest is small; what is damaged goes. Releases fetch what is no
        manifest at all, each time, since they keep the bytes that are there."""
        manifest = self._local.manifest_or_none(digest)
        if manifest is None:
            return None
        if not self._profile.notices_damage:
            return manifest if _is_manifest(manifest.content) else None
        if not manifest.is_intact:
            _log.warning("%s@%s is damaged: fetched again", self.name, digest)
            self._local.delete_bytes(manifest.digest)
            return None
        if self._services.sizes.get(digest) is None:
            self._services.sizes.learn_manifest(digest, manifest.content)
        return manifest

    async def _pull_manifest(self, digest: Digest, tag: str | None) -> Manifest:
        by_tag = tag is not None and self._profile.fetches_tagged_manifest_by == "tag"
        reference = tag if tag is not None and by_tag else str(digest)
        try:
            with self._services.retention.absences.minded(self.name, reference):
                pulled = await self._ask_for_manifest(digest, reference)
            return self._store(digest, pulled)
        except UpstreamFailure as failure:
            if tag is not None:
                self._services.retention.freshness.forget(self.name, tag)
            raise manifest_error(failure, self.name, digest, self._profile) from failure

    async def _ask_for_manifest(self, digest: Digest, reference: str) -> UpstreamManifest:
        if not self._profile.joins_upstream_requests:
            return await self._upstream.manifest(reference)
        return await self._services.joined_manifests.run(
            (self.name, digest), lambda: self._upstream.manifest(reference)
        )

    def _store(self, digest: Digest, pulled: UpstreamManifest) -> Manifest:
        """Cache what upstream sent for *digest*; :class:`UpstreamBroken` where it is wrong.

        Releases do not verify: they store the bytes under the digest that these have, schedule the
        one that was asked for, and serve the one as the other.
        """
        content = pulled.content
        true_digest = digest_of(content, algorithm_of(digest))
        if self._profile.verifies_manifests:
            if true_digest != digest:
                raise UpstreamBroken(f"{self.name}@{digest}: upstream sent {true_digest}")
            if self._local.has_manifest(digest):  # Somebody who asked at the same time stored it.
                return Manifest(digest, media_type_of(content), content)
        else:
            try:
                parse_manifest(content, pulled.media_type.partition(";")[0].strip())
            except ManifestInvalid as invalid:
                raise UpstreamBroken(str(invalid), struct=unreadable(content)) from invalid
        self._services.counters.manifest.pulled(len(content))
        try:
            self._local.put_cached_manifest(true_digest, content)
        except OSError as error:
            self._not_stored(digest, error)
            return Manifest(digest, media_type_of(content), content)
        if self._profile.notices_damage:
            self._services.sizes.learn_manifest(true_digest, content)
        self._services.cached_manifest(self.name, digest)
        return Manifest(digest, media_type_of(content), content)

    async def tags(self, *, n: int | None, last: str | None) -> TagPage:
        try:
            return await self._tags_of_upstream(n, last)
        except UpstreamFailure as failure:
            try:
                page = await self._local.tags(n=n, last=last)
            except RegistryError:
                raise tags_error(failure, self.name, self._profile) from failure
            if not self._profile.marks_stale:
                return page
            level = logging.DEBUG if isinstance(failure, UpstreamOffline) else logging.WARNING
            _log.log(level, "%s: the cached tags are listed: %s", self.name, failure)
            return replace(page, headers=stale_mark(failure))

    async def _tags_of_upstream(self, n: int | None, last: str | None) -> TagPage:
        pagination = self._profile.proxy_tags_pagination
        if pagination == "upstream" and n is not None:
            return await self._page_of_upstream(n, last)
        names = await self._upstream.tags()
        if pagination == "sorted":
            return tag_page(sorted(names), n, last, self._profile)
        if pagination == "as-sent" and (names or last):
            return tag_page(names, n, last, self._profile)
        return TagPage(tuple(names) or None)

    async def _page_of_upstream(self, n: int, last: str | None) -> TagPage:
        """There is a next page if upstream says so."""
        if not n:
            return TagPage(())
        names, more = await self._upstream.page_of_tags(n, last)
        if more and not names:
            raise Panic("runtime error: index out of range [-1]")
        return TagPage(tuple(names), names[-1] if more else None)

    async def referrers(self, digest: Digest) -> Referrers:
        return await list_referrers(digest, self, self._local, self._upstream)

    # -- blobs ------------------------------------------------------------------------------------
    async def serve_blob(self, digest: Digest, request: Request) -> Response:
        cached = self._local.stat_blob(digest)
        if cached is not None and await self._services.may_serve(cached):
            self._services.counters.blob.pushed(cached.size, hit=True)
            self._services.retention.uses.note(self.name, digest)
            return await self._local.serve_blob(digest, request)
        miss = _MISSES[self._profile.blob_miss](self._local, self._upstream, self._services)
        return await miss.serve(digest, request)

    async def read_blob(self, digest: Digest, limit: int) -> bytes:
        if self._local.has_blob(digest):
            return await self._local.read_blob(digest, limit)
        try:
            content = await self._upstream.read_blob(digest, limit)
        except UpstreamFailure as failure:
            raise blob_error(failure, digest, self._profile) from failure
        try:
            self._local.put_cached_blob(digest, content)
        except OSError as error:
            self._not_stored(digest, error)
            return content
        if not self._profile.fills_config_unscheduled:
            self._services.cached_blob(self.name, digest)
        return content

    # -- push and delete: a mirror shows what upstream has ----------------------------------------
    async def put_manifest(
        self, digest: Digest, media_type: str, content: bytes, tags: Sequence[str]
    ) -> NoReturn:
        raise unsupported()

    async def delete_manifest(self, digest: Digest) -> NoReturn:
        raise unsupported()

    async def delete_tag(self, tag: str) -> NoReturn:
        raise unsupported()

    async def delete_blob(self, digest: Digest) -> NoReturn:
        raise unsupported()

    async def mount_blob(self, digest: Digest, source: str | None) -> NoReturn:
        raise unsupported()

    async def start_upload(self) -> NoReturn:
        raise unsupported()

    async def upload(self, uuid: str) -> NoReturn:
        raise upload_error(self._profile)

    async def append_upload(
        self, session: UploadSession, chunks: AsyncIterator[bytes]
    ) -> UploadSession:
        raise upload_error(self._profile)

    async def commit_upload(self, session: UploadSession, digest: Digest) -> Descriptor:
        raise upload_error(self._profile)

    async def cancel_upload(self, session: UploadSession) -> None:
        raise upload_error(self._profile)


def _is_manifest(content: bytes) -> bool:
    try:
        parse_manifest(content)
    except ManifestInvalid:
        return False
    return True

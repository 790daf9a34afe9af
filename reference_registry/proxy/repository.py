"""A pull-through repository: cached content is served, and upstream fills the cache.

If upstream fails, cached content is served (``ideal`` marks it as stale); without any,
``proxy.errors`` decides what the client receives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any, NoReturn

from reference_registry.clock import Clock
from reference_registry.digest import Digest, algorithm_of, digest_of
from reference_registry.http.errors import (
    NAME_UNKNOWN,
    UNSUPPORTED,
    RegistryError,
    unknown_revision,
    unknown_tag,
)
from reference_registry.http.go_json import unreadable
from reference_registry.http.hooks import Panic
from reference_registry.http.messages import Request, Response
from reference_registry.http.pagination import TagPage, tag_page
from reference_registry.manifest import ManifestInvalid, media_type_of, parse_manifest
from reference_registry.proxy.blobs.coalesced_fetch import CoalescedFetch
from reference_registry.proxy.blobs.release_fetch import StreamThrough, TwoFetches
from reference_registry.proxy.errors import blob_error, client_error, stale_mark, upload_error
from reference_registry.proxy.expiry.schedule import BLOB, MANIFEST
from reference_registry.proxy.referrers import list_referrers
from reference_registry.proxy.services import Services
from reference_registry.proxy.upstream.client import UpstreamManifest, UpstreamRepository
from reference_registry.proxy.upstream.errors import (
    UpstreamBroken,
    UpstreamFailure,
    UpstreamOffline,
)
from reference_registry.repository import FoundManifest, Referrers
from reference_registry.storage.repository import LocalRepository

_log = logging.getLogger(__name__)

_MOST = 100_000
"""Fresh tags, some 30 MB; beyond that the one that was confirmed the longest time ago goes."""

Headers = tuple[tuple[str, str], ...]

_FETCHES: dict[str, type[TwoFetches] | type[StreamThrough] | type[CoalescedFetch]] = {
    "double": TwoFetches,
    "tee": StreamThrough,
    "shared": CoalescedFetch,
}


class TagFreshness:
    """The tags that upstream confirmed less than *interval* ago: a cached tag is served that long
    without revalidating it (``proxy.x-tag-freshness``).

    Releases ask upstream at each pull by tag, and Docker Hub counts these requests (d#3407).
    Nothing survives the process: after a start each tag is revalidated once.
    """

    def __init__(self, interval: timedelta, clock: Clock, most: int = _MOST) -> None:
        self._interval = interval
        self._clock = clock
        self._most = most
        self._confirmed: dict[tuple[str, str], tuple[float, Digest]] = {}

    def fresh(self, repository: str, tag: str) -> Digest | None:
        """The digest of *tag* if it is fresh; None if upstream has to be asked."""
        known = self._confirmed.get((repository, tag))
        if known is None:
            return None
        confirmed, digest = known
        # A clock that was set back must not extend anything.
        if 0 <= self._now() - confirmed < self._interval.total_seconds():
            return digest
        return None

    def confirm(self, repository: str, tag: str, digest: Digest) -> None:
        """Upstream has just said that *tag* points at *digest*."""
        self._confirmed.pop((repository, tag), None)
        self._confirmed[repository, tag] = self._now(), digest
        if len(self._confirmed) > self._most:
            del self._confirmed[next(iter(self._confirmed))]

    def forget(self, repository: str, tag: str) -> None:
        """The manifest of *tag* is unavailable: ask upstream the next time."""
        self._confirmed.pop((repository, tag), None)

    def _now(self) -> float:
        return self._clock.now().timestamp()


class ProxyRepository:
    """The repository *name* for one client request.

    Between :meth:`resolve` and :meth:`manifest` it remembers what a tag was, and whether it was
    resolved without upstream, so that its manifest is marked as stale.
    """

    def __init__(self, name: str, services: Services, freshness: TagFreshness | None) -> None:
        self.name = name
        self._services = services
        self._freshness = freshness
        self._profile = services.profile
        self._local = LocalRepository(name, services.local.storage)
        self._cached_tags: dict[str, Digest | None] = {}
        self._stale_tags: dict[str, Headers] = {}

    @cached_property
    def _upstream(self) -> UpstreamRepository:
        # Most requests do not need it.
        return self._services.upstream_of(self.name)

    # -- tags and manifests -----------------------------------------------------------------------
    async def resolve(self, tag: str, *, revalidate: bool = False) -> Digest:
        if self._freshness is not None and not revalidate:
            fresh = self._freshness.fresh(self.name, tag)
            if fresh is not None:
                return fresh
        cached = self._cached_tags[tag] = self._local.links.tag(tag)
        try:
            with self._services.asking(self.name, tag, revalidate=revalidate):
                digest, manifest = await self._ask_for_tag(tag, is_cached=cached is not None)
        except UpstreamFailure as failure:
            return self._resolve_without_upstream(tag, cached, failure)
        if manifest is not None and self._profile.verifies_manifests:
            self._store(digest, manifest)
        if self._profile.not_modified_skips_caching:
            self._point(tag, digest)  # Although the manifest may never come (#4477).
        if self._freshness is not None:
            self._freshness.confirm(self.name, tag, digest)
        return digest

    async def _ask_for_tag(
        self, tag: str, *, is_cached: bool
    ) -> tuple[Digest, UpstreamManifest | None]:
        """The digest of *tag* upstream. Requests that arrive while upstream is being asked share
        its answer (collapsed requests, RFC 9111, 4)."""
        if not self._profile.joins_upstream_requests:
            return await self._upstream.resolve(tag)
        return await self._services.joined_tags.run(
            (self.name, tag), lambda: self._upstream.resolve(tag, is_cached=is_cached)
        )

    def _resolve_without_upstream(
        self, tag: str, digest: Digest | None, failure: UpstreamFailure
    ) -> Digest:
        marks_stale = self._profile.marks_stale
        if digest is None or (marks_stale and not self._local.has_manifest(digest)):
            absent = unknown_tag(self._profile, tag)
            raise client_error(failure, self._profile, absent, released=absent) from failure
        if marks_stale:
            self._stale_tags[tag] = self._stale(f"{self.name}:{tag}", failure)
        return digest

    def _stale(self, what: str, failure: UpstreamFailure) -> Headers:
        """The headers of stale content; logs why it is served."""
        level = logging.DEBUG if isinstance(failure, UpstreamOffline) else logging.WARNING
        _log.log(level, "%s: serving stale content: %s", what, failure)
        return stale_mark(failure)

    def _point(self, tag: str, digest: Digest) -> None:
        """Let the cached *tag* point at *digest*."""
        try:
            self._local.link_tag(tag, digest)
        except OSError as error:
            self._not_stored(tag, error)

    def _not_stored(self, what: str, error: OSError) -> None:
        """``ideal`` serves what it cannot cache; releases do not."""
        if not self._profile.serves_what_it_cannot_store:
            raise error
        _log.error("%s: %s was not cached: %s", self.name, what, error)

    async def manifest(self, digest: Digest, *, tag: str | None = None) -> FoundManifest:
        manifest = self._intact(digest)
        hit = manifest is not None
        if manifest is None:
            manifest = await self._pull_manifest(digest, tag)
        if tag is None:
            self._served(manifest, hit=hit)
            return manifest
        if self._cached_tags.get(tag, digest if hit else None) != digest:
            self._point(tag, digest)
        self._served(manifest, hit=hit)
        stale = self._stale_tags.get(tag)
        return manifest if stale is None else replace(manifest, headers=manifest.headers + stale)

    def still_valid(self, manifest: FoundManifest, tag: str | None) -> Callable[[], bool] | None:
        freshness = self._freshness
        if tag is not None and (freshness is None or tag in self._stale_tags):
            return None  # Upstream has to be asked.
        digest, content = manifest.digest, manifest.content

        def is_same() -> bool:
            if tag and freshness and freshness.fresh(self.name, tag) != digest:
                return False
            stored = self._intact(digest)
            if stored is None or stored.content != content:
                return False
            self._served(manifest, hit=True)
            return True

        return is_same

    def _served(self, manifest: FoundManifest, *, hit: bool) -> None:
        self._services.counters.manifest.pushed(len(manifest.content), hit=hit)
        if self._services.uses is not None:
            self._services.uses.note(self.name, manifest.digest)

    def _intact(self, digest: Digest) -> FoundManifest | None:
        """The cached manifest, or None. ``ideal`` verifies a manifest whenever it was read from
        disk, since it is small, and removes a damaged one. Releases keep the bytes, and fetch them
        each time if they are not a manifest at all."""
        manifest = self._local.manifest_or_none(digest)
        if manifest is None:
            return None
        if not self._profile.notices_damage:
            return manifest if _is_manifest(manifest.content) else None
        if not manifest.is_intact:
            _log.warning("%s@%s is damaged: fetching it again", self.name, digest)
            self._local.delete_bytes(manifest.digest)
            return None
        sizes = self._services.integrity.sizes
        if digest not in sizes:
            sizes.learn_manifest(digest, manifest.content)
        return manifest

    async def _pull_manifest(self, digest: Digest, tag: str | None) -> FoundManifest:
        by_tag = tag is not None and self._profile.fetches_tagged_manifest_by == "tag"
        reference = tag if tag is not None and by_tag else str(digest)

        async def pull() -> FoundManifest:
            return self._store(digest, await self._upstream.manifest(reference))

        try:
            with self._services.asking(self.name, reference):
                if not self._profile.joins_upstream_requests:
                    return await pull()
                return await self._services.joined_manifests.run((self.name, digest), pull)
        except UpstreamFailure as failure:
            if tag is not None and self._freshness is not None:
                self._freshness.forget(self.name, tag)
            absent = unknown_revision(self._profile, self.name, digest)
            raise client_error(failure, self._profile, absent) from failure

    def _store(self, digest: Digest, pulled: UpstreamManifest) -> FoundManifest:
        """Cache what upstream sent for *digest*; :class:`UpstreamBroken` if it is wrong.

        Releases do not verify: they store the bytes under their own digest, schedule the digest
        that was asked for, and serve the bytes under that.
        """
        content = pulled.content
        true_digest = digest_of(content, algorithm_of(digest))
        if self._profile.verifies_manifests:
            if true_digest != digest:
                raise UpstreamBroken(f"{self.name}@{digest}: upstream sent {true_digest}")
        else:
            try:
                parse_manifest(content, pulled.media_type.partition(";")[0].strip())
            except ManifestInvalid as invalid:
                raise UpstreamBroken(str(invalid), struct=unreadable(content)) from invalid
        self._services.counters.manifest.pulled(len(content))
        manifest = FoundManifest(digest, media_type_of(content), content)
        try:
            self._local.put_cached_manifest(true_digest, content)
        except OSError as error:
            self._not_stored(digest, error)
            return manifest
        if self._profile.notices_damage:
            self._services.integrity.sizes.learn_manifest(true_digest, content)
        self._services.cached(self.name, digest, MANIFEST)
        return manifest

    async def tags(self, *, n: int | None, last: str | None) -> TagPage:
        try:
            return await self._tags_of_upstream(n, last)
        except UpstreamFailure as failure:
            try:
                page = await self._local.tags(n=n, last=last)
            except RegistryError:
                absent = NAME_UNKNOWN({"name": self.name})
                raise client_error(failure, self._profile, absent, released=absent) from failure
            if not self._profile.marks_stale:
                return page
            return replace(page, headers=self._stale(f"tags of {self.name}", failure))

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
        """There is a next page if upstream links to one."""
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
        services = self._services
        if cached is not None and (
            not self._profile.notices_damage or await services.integrity.may_serve(cached)
        ):
            services.counters.blob.pushed(cached.size, hit=True)
            if services.uses is not None:
                services.uses.note(self.name, digest)
            return await self._local.serve_blob(digest, request)
        fetch = _FETCHES[self._profile.blob_miss](self._local, self._upstream, services)
        return await fetch.serve(digest, request)

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
            self._services.cached(self.name, digest, BLOB)
        return content

    # -- push and delete: a mirror shows what upstream has ----------------------------------------
    async def _refuse(self, *_: Any) -> NoReturn:
        raise UNSUPPORTED()

    async def _refuse_upload(self, *_: Any) -> NoReturn:
        raise upload_error(self._profile)

    put_manifest = delete_manifest = delete_tag = delete_blob = _refuse
    mount_blob = start_upload = _refuse
    upload = append_upload = commit_upload = cancel_upload = _refuse_upload


def _is_manifest(content: bytes) -> bool:
    try:
        parse_manifest(content)
    except ManifestInvalid:
        return False
    return True

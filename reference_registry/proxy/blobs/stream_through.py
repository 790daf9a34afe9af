"""How 3.x fetches a blob that is not cached: one stream feeds the client and the cache. Clients
that ask meanwhile are served from upstream, past the cache."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from reference_registry.digest import Digest
from reference_registry.http.messages import Request, Response
from reference_registry.proxy.blobs.go_copy import answer_from, copy_blob
from reference_registry.proxy.blobs.services import BlobServices
from reference_registry.proxy.errors import blob_error, unknown_error
from reference_registry.proxy.upstream.client import UpstreamRepository
from reference_registry.proxy.upstream.errors import UpstreamBroken, UpstreamFailure
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.uploads import DigestMismatch

__all__ = ["StreamThrough"]


class StreamThrough:
    """Serves blobs of one repository. If the client leaves, caching ends too."""

    def __init__(
        self, local: LocalRepository, upstream: UpstreamRepository, services: BlobServices
    ) -> None:
        self._local = local
        self._upstream = upstream
        self._services = services
        self._profile = services.profile

    async def serve(self, digest: Digest, request: Request) -> Response:
        """The response to GET or HEAD, which cost the same."""
        profile = self._profile
        try:
            info = await self._upstream.stat_blob(digest)
        except UpstreamFailure as failure:
            raise blob_error(failure, digest, profile) from failure
        try:
            await self._upstream.establish_challenge()
        except UpstreamFailure as failure:
            raise unknown_error(failure, profile) from failure
        size = info.size or 0
        if digest in self._services.storing:
            source = self._to_client(digest, size)
            return await answer_from(source, request, digest, info, profile)
        source = self._to_both(digest, size)
        return await answer_from(
            source, request, digest, info, profile, with_headers=profile.blob_miss_headers
        )

    async def _to_client(self, digest: Digest, size: int) -> AsyncGenerator[bytes, None]:
        async with aclosing(copy_blob(self._upstream, digest, size)) as chunks:
            async for chunk in chunks:
                yield chunk
        self._count(size)

    async def _to_both(self, digest: Digest, size: int) -> AsyncGenerator[bytes, None]:
        self._services.storing.add(digest)
        keep_upload = self._profile.fill_leaves_upload_on_abort
        writer = self._local.blob_writer()
        try:
            async with aclosing(copy_blob(self._upstream, digest, size)) as chunks:
                async for chunk in chunks:
                    yield chunk
                    writer.append(chunk)
            self._count(size)
            try:
                self._local.commit_blob(writer, digest)
            except DigestMismatch as mismatch:
                keep_upload = self._profile.fill_leaves_upload_on_mismatch
                raise UpstreamBroken(str(mismatch)) from mismatch
            self._services.cached(self._local.name, digest)
        finally:
            writer.close()
            if not keep_upload:
                writer.discard()
            self._services.storing.discard(digest)

    def _count(self, size: int) -> None:
        self._services.counters.pulled(size)
        self._services.counters.pushed(size, hit=False)

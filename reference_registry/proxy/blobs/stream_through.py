"""How 3.x fetches a blob that is not cached: one stream feeds the client and the cache. Clients
that ask meanwhile are served from upstream, past the cache."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from reference_registry.digest import Digest
from reference_registry.http.messages import Request, Response
from reference_registry.proxy.blobs.go_copy import ReleaseFetch, answer_from, copy_blob
from reference_registry.proxy.upstream.errors import UpstreamBroken
from reference_registry.storage.uploads import DigestMismatch

__all__ = ["StreamThrough"]


class StreamThrough(ReleaseFetch):
    """Serves blobs of one repository. If the client leaves, caching ends too."""

    async def serve(self, digest: Digest, request: Request) -> Response:
        """The response to GET or HEAD, which cost the same."""
        info = await self._stat(digest)
        size = info.size or 0
        if digest in self._services.storing:
            source = self._to_client(digest, size)
            return await answer_from(source, request, digest, info, self._profile)
        source = self._to_both(digest, size)
        return await answer_from(
            source,
            request,
            digest,
            info,
            self._profile,
            with_headers=self._profile.blob_miss_headers,
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

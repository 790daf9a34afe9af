"""How 2.8 fetches a blob that is not cached: once for the client and once more for the cache."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from reference_registry.digest import Digest
from reference_registry.http.messages import Request, Response
from reference_registry.proxy.blobs.go_copy import ReleaseFetch, answer_from, copy_blob
from reference_registry.proxy.upstream.errors import UpstreamFailure
from reference_registry.storage.uploads import DigestMismatch

__all__ = ["TwoFetches"]

_log = logging.getLogger(__name__)


class TwoFetches(ReleaseFetch):
    """Serves blobs of one repository. The blob is scheduled to expire whether it was stored or not,
    and a failed upload stays on disk."""

    async def serve(self, digest: Digest, request: Request) -> Response:
        """The response to GET or HEAD, which cost the same."""
        info = await self._stat(digest)
        size = info.size or 0
        stores = digest not in self._services.storing
        self._services.storing.add(digest)
        source = self._to_client(digest, size, stores=stores)
        try:
            return await answer_from(source, request, digest, info, self._profile)
        finally:
            if stores:
                self._services.background.start(self._store(digest, size))

    async def _to_client(
        self, digest: Digest, size: int, *, stores: bool
    ) -> AsyncGenerator[bytes, None]:
        async with aclosing(copy_blob(self._upstream, digest, size)) as chunks:
            async for chunk in chunks:
                yield chunk
        self._count(size)
        # The release then looks the blob up for its notifications, upstream if it has to. Its own
        # copy is stored later, since it is synced.
        if stores or not self._local.has_blob(digest):
            try:
                await self._upstream.establish_challenge()
            except UpstreamFailure as failure:
                _log.error("error dispatching blob pull to listener: %s", failure)

    async def _store(self, digest: Digest, size: int) -> None:
        try:
            writer = self._local.blob_writer()
            try:
                async with aclosing(copy_blob(self._upstream, digest, size)) as chunks:
                    async for chunk in chunks:
                        writer.append(chunk)
                self._count(size)
                self._local.commit_blob(writer, digest)
            finally:
                writer.close()
        except (UpstreamFailure, DigestMismatch, OSError) as error:
            _log.error("Error committing to storage: %s", error)
        finally:
            self._services.storing.discard(digest)
        self._services.cached(self._local.name, digest)

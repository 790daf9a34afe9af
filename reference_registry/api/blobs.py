"""``/v2/<name>/blobs/<digest>``."""

from __future__ import annotations

from reference_registry.api.context import Context, Resource
from reference_registry.http.messages import Response

__all__ = ["BLOB"]


async def _serve(context: Context) -> Response:
    """OCI distribution-spec, "Pulling blobs"; ranges and conditions are the repository's work."""
    return await context.repository.serve_blob(context.digest(), context.request)


async def _delete(context: Context) -> Response:
    """OCI distribution-spec, "Deleting Blobs"."""
    await context.repository.delete_blob(context.digest())
    return Response(202)


BLOB = Resource(reads={"GET": _serve, "HEAD": _serve}, writes={"DELETE": _delete})

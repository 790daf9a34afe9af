"""The resources of the API: which methods each has, and the handlers of the smallest two."""

from __future__ import annotations

from collections.abc import Mapping

from reference_registry.api.catalog import CATALOG
from reference_registry.api.context import Context, Resource
from reference_registry.api.manifests import MANIFEST
from reference_registry.api.referrers import REFERRERS
from reference_registry.api.tags import TAGS
from reference_registry.api.uploads import UPLOAD, UPLOADS
from reference_registry.http.messages import BytesBody, Response

__all__ = ["RESOURCES"]


async def _base(context: Context) -> Response:
    """``/v2/`` (OCI distribution-spec, "Determining Support"), for any method as in
    distribution."""
    return Response(200, (("Content-Type", context.profile.json_content_type),), BytesBody(b"{}"))


async def _serve_blob(context: Context) -> Response:
    """OCI distribution-spec, "Pulling blobs". The repository handles ranges and conditions."""
    return await context.repository.serve_blob(context.digest(), context.request)


async def _delete_blob(context: Context) -> Response:
    """OCI distribution-spec, "Deleting Blobs"."""
    await context.repository.delete_blob(context.digest())
    return Response(202)


RESOURCES: Mapping[str, Resource] = {
    "base": Resource(reads={}, writes={}, every_method=_base),
    "catalog": CATALOG,
    "tags": TAGS,
    "manifest": MANIFEST,
    "referrers": REFERRERS,
    "blob_upload": UPLOADS,
    "blob_upload_chunk": UPLOAD,
    "blob": Resource(
        reads={"GET": _serve_blob, "HEAD": _serve_blob}, writes={"DELETE": _delete_blob}
    ),
}
"""By the names that ``routing`` uses."""

"""Which methods each resource has."""

from __future__ import annotations

from collections.abc import Mapping

from reference_registry.api.base import BASE
from reference_registry.api.blobs import BLOB
from reference_registry.api.catalog import CATALOG
from reference_registry.api.context import Context, Resource
from reference_registry.api.manifests import MANIFEST
from reference_registry.api.referrers import REFERRERS
from reference_registry.api.tags import TAGS
from reference_registry.api.uploads import UPLOAD, UPLOADS
from reference_registry.http.messages import BytesBody, Response

__all__ = ["RESOURCES", "dispatch", "plain_text"]

RESOURCES: Mapping[str, Resource] = {
    "base": BASE,
    "catalog": CATALOG,
    "tags": TAGS,
    "manifest": MANIFEST,
    "referrers": REFERRERS,
    "blob_upload": UPLOADS,
    "blob_upload_chunk": UPLOAD,
    "blob": BLOB,
}
"""By the names that ``routing`` gives them."""


async def dispatch(resource: Resource, context: Context) -> Response:
    """Have *resource* answer, or say which methods it has: 200 to OPTIONS, else 405.

    Read-only maintenance takes the writing methods away.
    """
    if resource.every_method is not None:
        return await resource.every_method(context)
    method = context.request.method
    readonly = context.config.storage.readonly
    handler = resource.reads.get(method) or (None if readonly else resource.writes.get(method))
    if handler is not None:
        return await handler(context)
    methods = resource.reads if readonly else {**resource.reads, **resource.writes}
    if resource.admit is not None:
        await resource.admit(context)
    allow = ("Allow", ", ".join(sorted(methods)))
    if method == "OPTIONS":
        return Response(200, (allow,))
    return plain_text(405, "Method not allowed\n", allow)


def plain_text(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """An answer as Go's ``http.Error`` makes it, without an OCI error body."""
    return Response(
        status,
        (
            ("Content-Type", "text/plain; charset=utf-8"),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
        ),
        BytesBody(text.encode()),
    )

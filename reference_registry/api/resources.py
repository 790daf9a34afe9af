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

__all__ = ["RESOURCES", "dispatch", "plain_text"]


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


async def dispatch(resource: Resource, context: Context) -> Response:
    """Call the handler of *resource* for the request's method. Without one, the response lists the
    methods: 200 for OPTIONS, otherwise 405. Read-only maintenance disables the writing methods.
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
    """A response as Go's ``http.Error`` makes it, without an OCI error body."""
    return Response(
        status,
        (
            ("Content-Type", "text/plain; charset=utf-8"),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
        ),
        BytesBody(text.encode()),
    )

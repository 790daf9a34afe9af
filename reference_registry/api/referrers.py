"""``/v2/<name>/referrers/<digest>``, of OCI 1.1."""

from __future__ import annotations

from reference_registry.api.context import Context, Resource
from reference_registry.api.http import BytesBody, Response, json_bytes
from reference_registry.manifest import OCI_INDEX

__all__ = ["REFERRERS"]


async def _list(context: Context) -> Response:
    """OCI distribution-spec, "Listing Referrers": an index, empty where nothing refers."""
    descriptors = await context.repository.referrers(context.digest())
    wanted = context.request.query("artifactType")
    headers: list[tuple[str, str]] = [("Content-Type", OCI_INDEX)]
    if wanted:
        descriptors = [d for d in descriptors if d.get("artifactType") == wanted]
        headers.append(("OCI-Filters-Applied", "artifactType"))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(descriptors)}
    return Response(200, tuple(headers), BytesBody(json_bytes(index)))


REFERRERS = Resource(reads={"GET": _list, "HEAD": _list}, writes={})

"""``/v2/<name>/referrers/<digest>``, of OCI 1.1."""

from __future__ import annotations

from reference_registry.api.context import Context, Resource
from reference_registry.api.manifests import MAX_MANIFEST_SIZE
from reference_registry.api.urls import prefixed
from reference_registry.http.messages import BytesBody, Response, json_bytes
from reference_registry.http.pagination import first_fitting, next_link
from reference_registry.manifest import OCI_INDEX

__all__ = ["REFERRERS"]

_FRAME = 1024
"""Bytes of the index around its descriptors, generously."""


async def _list(context: Context) -> Response:
    """OCI distribution-spec, "Listing Referrers": an index, empty where nothing refers.

    What does not fit into one manifest comes in pages, in the order of digests.
    """
    referrers = await context.repository.referrers(context.digest())
    descriptors = referrers.descriptors
    headers = [("Content-Type", OCI_INDEX), *referrers.headers]
    wanted = context.request.query("artifactType") or None
    if wanted is not None:
        descriptors = [d for d in descriptors if d.get("artifactType") == wanted]
        headers.append(("OCI-Filters-Applied", "artifactType"))
    last = context.request.query("last") or ""
    descriptors = sorted(
        (d for d in descriptors if str(d["digest"]) > last), key=lambda d: str(d["digest"])
    )
    fitting = first_fitting([json_bytes(d) for d in descriptors], MAX_MANIFEST_SIZE - _FRAME)
    chosen = descriptors[:fitting]
    if fitting < len(descriptors):
        path = prefixed(context.request.path, context.config.http)
        following = str(chosen[-1]["digest"])
        namespace = context.place.namespace
        headers.append(next_link(path, artifactType=wanted, last=following, ns=namespace))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": chosen}
    return Response(200, tuple(headers), BytesBody(json_bytes(index)))


REFERRERS = Resource(reads={"GET": _list, "HEAD": _list}, writes={})

"""``/v2/``: that this is a registry, and whether the client may speak to it."""

from __future__ import annotations

from reference_registry.api.context import Context, Resource
from reference_registry.http.messages import BytesBody, Response

__all__ = ["BASE"]


async def _answer(context: Context) -> Response:
    """OCI distribution-spec, "Determining Support". Any method will do, as in distribution."""
    return Response(200, (("Content-Type", context.profile.json_content_type),), BytesBody(b"{}"))


BASE = Resource(reads={}, writes={}, every_method=_answer)

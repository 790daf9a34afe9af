"""Uploading step by step, for scenarios about the steps.

OCI distribution-spec, sections "Pushing blobs" and "Pushing Manifests".
"""

from __future__ import annotations

from harness.content import Content
from harness.http.client import Answer
from harness.targets.registry import RunningRegistry
from reference_registry.digest import Digest


def open_upload(registry: RunningRegistry, repository: str, query: str = "") -> Answer:
    """POST that begins an upload; *query* is what stands behind ``?``."""
    suffix = f"?{query}" if query else ""
    return registry.post(f"/v2/{repository}/blobs/uploads/{suffix}", content=b"")


def send_part(registry: RunningRegistry, before: Answer, content: bytes, *, start: int) -> Answer:
    """PATCH to the Location of the answer *before*, saying where *content* belongs."""
    headers = {"Content-Range": f"{start}-{start + len(content) - 1}"}
    return registry.patch(before.headers["Location"], content=content, headers=headers)


def close_upload(
    registry: RunningRegistry, before: Answer, digest: Digest, content: bytes = b""
) -> Answer:
    """PUT to the Location of the answer *before*, with what is left of the blob."""
    location = before.headers["Location"]
    separator = "&" if "?" in location else "?"
    return registry.put(f"{location}{separator}digest={digest}", content=content)


def reported_range(answer: Answer) -> str | None:
    """The ``Range`` header of an upload: the bytes it has."""
    found: str | None = answer.headers.get("Range")
    return found


def offer_manifest(
    registry: RunningRegistry, repository: str, reference: str, manifest: Content
) -> Answer:
    """PUT of *manifest*, whatever is answered."""
    return registry.put(
        f"/v2/{repository}/manifests/{reference}",
        content=manifest.content,
        headers={"Content-Type": manifest.media_type},
    )

"""``skopeo copy`` to a registry as the requests that it makes; podman and buildah push likewise.

As seen of skopeo 1.9.3 (containers/image, ``docker/docker_image_dest.go``): ``GET /v2/``, then
for each layer HEAD to see whether it can be reused, HEAD again before it is uploaded, and the
upload; the configuration is asked for only once; the manifest comes last. skopeo copies six layers
at a time; here one after the other, so that a run is the same each time. Nothing is tried twice.
"""

from __future__ import annotations

from harness.clients.push import Push, Refused, ask_for_blob, put_manifest, upload_blob
from harness.content import Blob, Image
from harness.http.client import RegistryClient

__all__ = ["skopeo_push"]


def skopeo_push(client: RegistryClient, repository: str, tag: str, image: Image) -> Push:
    """Push *image* and tell how it went."""
    push = Push()
    try:
        client.get("/v2/")
        for layer in image.layers:
            _copy(client, repository, layer, push, questions=2)
        _copy(client, repository, image.config, push, questions=1)
        put_manifest(client, repository, tag, image)
    except Refused as refused:
        push.refused_step, push.refusal = refused.step, refused.answer
    return push


def _copy(
    client: RegistryClient, repository: str, blob: Blob, push: Push, *, questions: int
) -> None:
    if any(ask_for_blob(client, repository, blob) for _ in range(questions)):
        push.already_there.append(blob.digest)
        return
    upload_blob(client, repository, blob)
    push.uploaded.append(blob.digest)

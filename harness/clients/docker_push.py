"""``docker push`` as the requests that the daemon makes (moby, ``distribution/push_v2.go``).

The daemon asks ``GET /v2/``, then handles the layers from the top down, five at a time; here one
after the other, so that a run is the same each time. It asks with HEAD for layers whose compressed
digest it knows, which is so for an image that was pulled or pushed before, and uploads the others
unasked. The configuration is asked for in any case. A manifest that is refused ends the push at
once. A layer that is refused makes the daemon begin it again, five tries in all, with growing
pauses; docker 20.10.24 does so even where the answer is 405 ``UNSUPPORTED`` (seen of the real
daemon in scenario ``docker.push-of-what-is-new``). Here one refusal ends the push.
"""

from __future__ import annotations

from harness.clients.push import Push, Refused, ask_for_blob, put_manifest, upload_blob
from harness.content import Image
from harness.http.client import RegistryClient

__all__ = ["docker_push"]


def docker_push(
    client: RegistryClient, repository: str, tag: str, image: Image, *, knows_layers: bool = True
) -> Push:
    """Push *image* and tell how it went.

    *knows_layers* is whether the daemon had pulled or pushed the image before.
    """
    push = Push()
    try:
        client.get("/v2/")
        for layer in reversed(image.layers):
            if knows_layers and ask_for_blob(client, repository, layer):
                push.already_there.append(layer.digest)
                continue
            upload_blob(client, repository, layer)
            push.uploaded.append(layer.digest)
        if ask_for_blob(client, repository, image.config):
            push.already_there.append(image.config.digest)
        else:
            upload_blob(client, repository, image.config)
            push.uploaded.append(image.config.digest)
        put_manifest(client, repository, tag, image)
    except Refused as refused:
        push.refused_step, push.refusal = refused.step, refused.answer
    return push

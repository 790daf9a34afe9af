"""Pushes of docker and skopeo as the requests that they send.

OCI distribution-spec, sections "Pushing a blob in chunks" and "Pushing Manifests".

docker (moby, ``distribution/push_v2.go``): ``GET /v2/``, then the layers from the top down, five at
a time: HEAD first if it has pulled or pushed the layer before, else the upload. HEAD for the
configuration in any case. A refused manifest ends the push at once; after a refused layer, even
with 405, the daemon makes five attempts (docker 20.10.24). Here one refusal ends the push.

skopeo 1.9.3 (containers/image, ``docker/docker_image_dest.go``), podman and buildah: ``GET /v2/``,
then for each layer HEAD to see whether it can be reused, HEAD again before the upload, and the
upload, six at a time; one HEAD for the configuration; the manifest last. Nothing is retried.

Here layers are pushed one after the other, so that every run has the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.content import Blob, Content, Image
from harness.http.client import Answer, RegistryClient
from reference_registry.digest import Digest


@dataclass
class Push:
    """The progress of a push."""

    already_there: list[Digest] = field(default_factory=list)
    """Blobs that the registry has ("Layer already exists"), in order of the requests."""
    uploaded: list[Digest] = field(default_factory=list)
    refused_step: str | None = None
    """``upload`` or ``manifest``: the step that the registry refused; None after success."""
    refusal: Answer | None = None


class Refused(Exception):
    """The registry refused a step, which ends the push. The arguments are step and response."""


def _has_blob(client: RegistryClient, repository: str, blob: Blob) -> bool:
    """HEAD of *blob*. Raises :class:`Refused` for any status except 200 and 404."""
    answer = client.head(f"/v2/{repository}/blobs/{blob.digest}")
    if answer.status not in {200, 404}:
        raise Refused("question", answer)
    return answer.status == 200


def upload_blob(client: RegistryClient, repository: str, blob: Blob) -> None:
    """POST, PATCH with a chunked body, PUT, like docker, skopeo and podman. Raises
    :class:`Refused`."""
    opened = _wanting(202, "upload", client.post(f"/v2/{repository}/blobs/uploads/", content=b""))
    sent = client.patch(
        opened.headers["Location"],
        content=(bytes(piece) for piece in blob.chunks(0, blob.size)),
        headers={"Content-Type": "application/octet-stream"},
    )
    location = _wanting(202, "upload", sent).headers["Location"]
    separator = "&" if "?" in location else "?"
    closed = client.put(f"{location}{separator}digest={blob.digest}", content=b"")
    _wanting(201, "upload", closed)


def put_manifest(
    client: RegistryClient, repository: str, reference: str, manifest: Content
) -> Answer:
    """PUT of *manifest* under *reference*, a tag or a digest. Raises :class:`Refused`."""
    answer = client.put(
        f"/v2/{repository}/manifests/{reference}",
        content=manifest.content,
        headers={"Content-Type": manifest.media_type},
    )
    return _wanting(201, "manifest", answer)


def _wanting(status: int, step: str, answer: Answer) -> Answer:
    if answer.status != status:
        raise Refused(step, answer)
    return answer


def docker_push(
    client: RegistryClient, repository: str, tag: str, image: Image, *, knows_layers: bool = True
) -> Push:
    """Push *image*; *knows_layers* if the daemon has pulled or pushed it before."""
    layers = tuple(reversed(image.layers))
    return _push(client, repository, tag, image, layers, questions=int(knows_layers))


def skopeo_push(client: RegistryClient, repository: str, tag: str, image: Image) -> Push:
    """Push *image*."""
    return _push(client, repository, tag, image, image.layers, questions=2)


def _push(
    client: RegistryClient,
    repository: str,
    tag: str,
    image: Image,
    layers: Sequence[Blob],
    *,
    questions: int,
) -> Push:
    """Push *layers* with *questions* HEAD requests for each, the configuration, the manifest."""
    push = Push()
    try:
        client.get("/v2/")
        for blob, number in (*((layer, questions) for layer in layers), (image.config, 1)):
            if any(_has_blob(client, repository, blob) for _ in range(number)):
                push.already_there.append(blob.digest)
            else:
                upload_blob(client, repository, blob)
                push.uploaded.append(blob.digest)
        put_manifest(client, repository, tag, image)
    except Refused as refused:
        push.refused_step, push.refusal = refused.args
    return push

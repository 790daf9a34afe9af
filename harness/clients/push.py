"""Pushes of docker and skopeo as the requests that they send.

OCI distribution-spec, sections "Pushing a blob in chunks" and "Pushing Manifests".

docker (moby, ``distribution/push_v2.go``): ``GET /v2/``, then the layers from the top down, five at
a time. It sends HEAD for layers whose compressed digest it knows, that is of images pulled or
pushed before, and uploads the others directly. It always sends HEAD for the configuration. A
refused manifest ends the push at once; after a refused layer the daemon makes five attempts with
growing pauses, even after 405 ``UNSUPPORTED`` (docker 20.10.24, scenario
``docker.push-of-what-is-new``). Here one refusal ends the push.

skopeo 1.9.3 (containers/image, ``docker/docker_image_dest.go``), and podman and buildah: ``GET
/v2/``, then for each layer HEAD to see whether it can be reused, HEAD again before the upload, and
the upload; one HEAD for the configuration; the manifest last. Six layers are copied at a time;
nothing is retried.

Both copy layers one after the other here, so that every run has the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.content import Blob, Content, Image
from harness.http.client import Answer, RegistryClient
from reference_registry.digest import Digest

__all__ = [
    "Push",
    "Refused",
    "ask_for_blob",
    "docker_push",
    "put_manifest",
    "skopeo_push",
    "upload_blob",
]


@dataclass
class Push:
    """The progress of a push."""

    already_there: list[Digest] = field(default_factory=list)
    """Blobs that the registry said it has ("Layer already exists"), in order of the requests."""
    uploaded: list[Digest] = field(default_factory=list)
    refused_step: str | None = None
    """``upload`` or ``manifest``: the step that the registry refused; None after success."""
    refusal: Answer | None = None


class Refused(Exception):
    """The registry refused a step; ends the push."""

    def __init__(self, step: str, answer: Answer) -> None:
        super().__init__(f"{step}: {answer.status}")
        self.step = step
        self.answer = answer


def ask_for_blob(client: RegistryClient, repository: str, blob: Blob) -> bool:
    """HEAD: whether the registry has *blob*. Raises :class:`Refused` for any status except 200
    and 404."""
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
    """Push *image* and return the result.

    *knows_layers* is whether the daemon had pulled or pushed the image before.
    """
    layers = tuple(reversed(image.layers))
    return _push(client, repository, tag, image, layers, questions=int(knows_layers))


def skopeo_push(client: RegistryClient, repository: str, tag: str, image: Image) -> Push:
    """Push *image* and return the result."""
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
            if any(ask_for_blob(client, repository, blob) for _ in range(number)):
                push.already_there.append(blob.digest)
            else:
                upload_blob(client, repository, blob)
                push.uploaded.append(blob.digest)
        put_manifest(client, repository, tag, image)
    except Refused as refused:
        push.refused_step, push.refusal = refused.step, refused.answer
    return push

"""What pushes have in common: their outcome, and how a blob is uploaded.

OCI distribution-spec, sections "Pushing a blob in chunks" and "Pushing Manifests".
"""

from __future__ import annotations

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
    """How far a push came."""

    already_there: list[Digest] = field(default_factory=list)
    """Blobs that the registry said it has ("Layer already exists"), in the order of asking."""
    uploaded: list[Digest] = field(default_factory=list)
    refused_step: str | None = None
    """``upload`` or ``manifest``: what the registry refused; None where the push succeeded."""
    refusal: Answer | None = None


class Refused(Exception):
    """The registry did not do what it was asked; ends a push."""

    def __init__(self, step: str, answer: Answer) -> None:
        super().__init__(f"{step}: {answer.status}")
        self.step = step
        self.answer = answer


def ask_for_blob(client: RegistryClient, repository: str, blob: Blob) -> bool:
    """HEAD: whether the registry says that it has *blob*. Raises :class:`Refused` for an answer
    that is neither yes nor no."""
    answer = client.head(f"/v2/{repository}/blobs/{blob.digest}")
    if answer.status not in {200, 404}:
        raise Refused("question", answer)
    return answer.status == 200


def upload_blob(client: RegistryClient, repository: str, blob: Blob) -> None:
    """POST, PATCH with a chunked body, PUT: as docker, skopeo and podman upload. Raises
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

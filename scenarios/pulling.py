"""Pulling as clients do, for scenarios about something else."""

from __future__ import annotations

from harness.clients.containerd_pull import ACCEPT, Pull, containerd_pull
from harness.content import Blob, Image, Manifest
from harness.http.client import Answer
from harness.targets.registry import RunningRegistry


def manifest_path(repository: str, reference: str) -> str:
    """The path of a manifest, by tag or digest."""
    return f"/v2/{repository}/manifests/{reference}"


def blob_path(repository: str, blob: Blob) -> str:
    """The path of a blob."""
    return f"/v2/{repository}/blobs/{blob.digest}"


def pull_manifest(
    cache: RunningRegistry, repository: str, manifest: Manifest, reference: str | None = None
) -> Answer:
    """GET *manifest*, by its digest unless *reference* is given, and wait until it is cached, if it
    came."""
    path = manifest_path(repository, reference or manifest.digest)
    answer = cache.get(path, headers=ACCEPT)
    if answer.status == 200:
        cache.await_stored(lambda: manifest.digest in cache.disk.revisions(repository))
    return answer


def pull_blob(cache: RunningRegistry, repository: str, blob: Blob) -> Answer:
    """GET *blob* and wait until it is cached, if it came."""
    answer = cache.get(blob_path(repository, blob))
    if answer.status == 200:
        await_blobs(cache, repository, blob)
    return answer


def pull_image(cache: RunningRegistry, repository: str, image: Image, reference: str) -> Pull:
    """Pull *image* by *reference* as containerd does, and wait until all of it is cached, if it
    came."""
    pull = containerd_pull(cache.client, repository, reference)
    if pull.complete:
        cache.await_stored(lambda: image.digest in cache.disk.revisions(repository))
        await_blobs(cache, repository, *image.blobs)
    return pull


def await_blobs(cache: RunningRegistry, repository: str, *blobs: Blob) -> bool:
    """Wait until *blobs* are cached for *repository*; whether they are.

    2.8 stores a blob after it has answered, links it, and has finished when the upload is gone:
    until then it does not cache the same blob for another repository.
    """
    wanted = {blob.digest for blob in blobs}
    stored = cache.await_stored(
        lambda: (
            wanted <= cache.disk.layer_links(repository) and all(map(cache.disk.has_blob, wanted))
        )
    )
    if stored:
        # Some releases leave upload directories behind.
        cache.await_stored(lambda: not cache.disk.uploads(repository), timeout=0.3)
    return stored

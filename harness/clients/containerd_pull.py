"""An image pull as the requests that containerd sends to one host.

HEAD of the manifest resolves the tag; manifests and blobs are then fetched by digest, an index
first, then the platform's image, its configuration and its layers. Where HEAD is not supported or
has no digest, the manifest is fetched by tag instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from harness.content import (
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Platform,
)
from harness.http.client import Answer, RegistryClient
from reference_registry.digest import digest_of, parse_digest

MANIFEST_TYPES = (DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_MANIFEST, OCI_INDEX)
ACCEPT = {"Accept": ", ".join((*MANIFEST_TYPES, "*/*"))}
"""What containerd accepts when it resolves a tag; docker, skopeo and podman send similar values."""


@dataclass
class Pull:
    """The content received, by digest, and the answer that failed the pull, if one did."""

    digest: str | None = None
    """The digest of the reference."""
    contents: dict[str, bytes] = field(default_factory=dict)
    failure: Answer | None = None

    @property
    def complete(self) -> bool:
        """Whether everything was received with the right bytes."""
        return (
            self.digest is not None
            and self.failure is None
            and all(digest_of(content) == digest for digest, content in self.contents.items())
        )


def containerd_pull(
    client: RegistryClient, repository: str, reference: str, *, platform: str = "linux/amd64"
) -> Pull:
    """Pull ``repository:reference`` (a tag or a digest), and from an index the image for
    *platform*."""
    pull = Pull()
    try:
        digest = pull.digest = _resolve(client, repository, reference)
        document = json.loads(_fetch(client, repository, "manifests", digest, pull))
        if "manifests" in document:
            child = _for_platform(document["manifests"], platform)
            document = json.loads(_fetch(client, repository, "manifests", child, pull))
        for entry in (document["config"], *document["layers"]):
            _fetch(client, repository, "blobs", entry["digest"], pull)
    except _Failed as failed:
        (pull.failure,) = failed.args
    return pull


class _Failed(Exception):
    """The argument is the response that fails the pull."""


def _resolve(client: RegistryClient, repository: str, reference: str) -> str:
    path = f"/v2/{repository}/manifests/{reference}"
    answer = client.head(path, headers=ACCEPT)
    if answer.status == 200 and answer.digest is not None:
        return answer.digest
    if answer.status not in {200, 405}:
        raise _Failed(answer)
    body = _get(client, path)
    return reference if parse_digest(reference) else digest_of(body)


def _fetch(client: RegistryClient, repository: str, kind: str, digest: str, pull: Pull) -> bytes:
    pull.contents[digest] = body = _get(client, f"/v2/{repository}/{kind}/{digest}")
    return body


def _get(client: RegistryClient, path: str) -> bytes:
    answer = client.get(path, headers=ACCEPT)
    if answer.status != 200 or answer.error:
        raise _Failed(answer)
    return answer.body


def _for_platform(entries: list[dict[str, Any]], platform: str) -> str:
    wanted = Platform.parse(platform).document()
    return str(next(e["digest"] for e in entries if e.get("platform") == wanted))

"""What a mock upstream holds: repositories with blobs, manifests and tags.

Changed by the test's thread while the server's thread reads: every method is atomic.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from harness.content import Blob, Manifest, descriptor
from reference_registry.digest import Digest, parse_digest

__all__ = ["Store"]


@dataclass
class _Repository:
    blobs: dict[Digest, Blob] = field(default_factory=dict)
    manifests: dict[Digest, Blob] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)


class Store:
    """Content by repository name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._repositories: dict[str, _Repository] = {}

    # -- changing -------------------------------------------------------------------------------
    def add(self, repository: str, content: Blob | Manifest, tags: Collection[str] = ()) -> None:
        """Put *content*, with everything it names, into *repository* and point *tags* at it.

        ``ValueError`` where a tag would point at a blob, ``TypeError`` where *tags* is one string.
        """
        if isinstance(tags, str):
            raise TypeError(f"tags are a collection: ({tags!r},)")
        if isinstance(content, Blob) and tags:
            raise ValueError("a tag points at a manifest, not at a blob")
        with self._lock:
            target = self._repositories.setdefault(repository, _Repository())
            if isinstance(content, Blob):
                target.blobs[content.digest] = content
                return
            pending = [content]
            while pending:
                manifest = pending.pop()
                target.manifests[manifest.digest] = manifest.manifest
                target.blobs.update({blob.digest: blob for blob in manifest.blobs})
                pending.extend(manifest.children)
            target.tags.update(dict.fromkeys(tags, content.digest))

    def untag(self, repository: str, tag: str) -> None:
        """Forget *tag*; what it pointed at stays. ``KeyError`` where there is no such tag."""
        with self._lock:
            del self._repositories[repository].tags[tag]

    def remove(self, repository: str, digest: str) -> None:
        """Forget a manifest with its tags, or a blob. ``KeyError`` where there is neither."""
        with self._lock:
            target = self._repositories[repository]
            key = Digest(digest)
            if key not in target.manifests and key not in target.blobs:
                raise KeyError(f"{repository} has neither a manifest nor a blob {digest}")
            target.manifests.pop(key, None)
            target.blobs.pop(key, None)
            target.tags = {tag: to for tag, to in target.tags.items() if to != key}

    # -- reading --------------------------------------------------------------------------------
    def manifest(self, repository: str, reference: str) -> Blob | None:
        """The manifest that *reference*, a tag or a digest, stands for."""
        with self._lock:
            found = self._repositories.get(repository)
            if found is None:
                return None
            digest = parse_digest(reference) or found.tags.get(reference)
            return None if digest is None else found.manifests.get(digest)

    def blob(self, repository: str, digest: Digest) -> Blob | None:
        """The blob *digest*. Manifests are blobs too, as in distribution's storage."""
        with self._lock:
            found = self._repositories.get(repository)
            return None if found is None else found.blobs.get(digest) or found.manifests.get(digest)

    def tags(self, repository: str) -> list[str] | None:
        """All tags in lexical order; None where there is no such repository."""
        with self._lock:
            found = self._repositories.get(repository)
            return None if found is None else sorted(found.tags)

    def repositories(self) -> list[str]:
        """All names in lexical order."""
        with self._lock:
            return sorted(self._repositories)

    def paths(self) -> list[str]:
        """Every path that names something held here."""
        found = ["/v2/", "/v2/_catalog"]
        with self._lock:
            for name, held in self._repositories.items():
                found.append(f"/v2/{name}/tags/list")
                found += [f"/v2/{name}/manifests/{ref}" for ref in (*held.tags, *held.manifests)]
                found += [f"/v2/{name}/blobs/{digest}" for digest in held.blobs]
        return found

    def referrers(self, repository: str, subject: Digest) -> list[dict[str, Any]]:
        """Descriptors of the manifests whose subject is *subject*, as OCI distribution-spec,
        section "Listing Referrers", wants them."""
        with self._lock:
            found = self._repositories.get(repository, _Repository())
            manifests = list(found.manifests.values())
        listed = []
        for manifest in manifests:
            document = _document(manifest)
            if (document.get("subject") or {}).get("digest") == subject:
                entry = descriptor(manifest)
                kind = document.get("artifactType") or document.get("config", {}).get("mediaType")
                entry |= {"artifactType": kind} if kind else {}
                entry |= {k: document[k] for k in ("annotations",) if k in document}
                listed.append(entry)
        return listed


def _document(manifest: Blob) -> dict[str, Any]:
    """A manifest made by hand need not be JSON; then it refers to nothing."""
    try:
        document = json.loads(manifest.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}

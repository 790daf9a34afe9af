"""Blobs that upstream has, and what became of them, for scenarios about filling the cache."""

from __future__ import annotations

from itertools import takewhile

from harness.content import Blob
from harness.http.client import Answer, OpenAnswer
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream

__all__ = [
    "LATE",
    "OTHER",
    "REPOSITORY",
    "a_blob",
    "bodies",
    "cached",
    "foreign",
    "is_visible_failure",
    "path",
]

REPOSITORY = "team/app"
OTHER = "team/fork"
LATE = 0.2
"""Seconds by which upstream answers late, so that others ask while a fill is in progress."""


def a_blob(upstream: MockUpstream, *repositories: str, size: int = 20_000) -> Blob:
    """A blob that *upstream* has, in :data:`REPOSITORY` unless told otherwise."""
    blob = Blob.of_size(size)
    for repository in repositories or (REPOSITORY,):
        upstream.add(repository, blob)
    return blob


def path(blob: Blob, repository: str = REPOSITORY) -> str:
    return f"/v2/{repository}/blobs/{blob.digest}"


def cached(cache: RunningRegistry, blob: Blob, repository: str = REPOSITORY) -> bool:
    """Whether *blob* can be served from disk to *repository*, once the cache has finished."""
    return cache.await_stored(
        lambda: (
            blob.digest in cache.disk.layer_links(repository) and cache.disk.has_blob(blob.digest)
        )
    )


def bodies(upstream: MockUpstream) -> int:
    """How many blob bodies *upstream* was asked for."""
    return upstream.ledger.count("GET", kind="blob")


def is_visible_failure(answer: Answer | OpenAnswer) -> bool:
    """Whether the client can tell that it did not get what it asked for: an error status, or a body
    that ends before its end."""
    return answer.error is not None or (answer.status or 0) >= 400


def foreign(answer: Answer, blob: Blob) -> int:
    """How many bytes follow after those of *blob* in a body that pretends to be it."""
    if answer.status not in {200, 206}:
        return 0
    pairs = zip(answer.body, blob.content, strict=False)
    return len(answer.body) - sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

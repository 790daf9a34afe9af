"""Helpers for scenarios about cache fills: blobs that upstream has, and what happened to them."""

from __future__ import annotations

from itertools import takewhile

from harness.content import Blob
from harness.http.client import Answer, OpenAnswer
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.pulling import await_blobs

REPOSITORY = "team/app"
OTHER = "team/fork"
LATE = 0.2
"""Seconds by which upstream delays an answer, so that other clients arrive during the fill."""


def a_blob(upstream: MockUpstream, *repositories: str, size: int = 20_000) -> Blob:
    """A blob that *upstream* has in *repositories*, or in :data:`REPOSITORY`."""
    blob = Blob.of_size(size)
    for repository in repositories or (REPOSITORY,):
        upstream.add(repository, blob)
    return blob


def cached(cache: RunningRegistry, blob: Blob, repository: str = REPOSITORY) -> bool:
    """Whether *blob* can be served from disk to *repository*, once the cache has finished."""
    return await_blobs(cache, repository, blob)


def bodies(upstream: MockUpstream) -> int:
    """How many times *upstream* got GET for a blob."""
    return upstream.ledger.count("GET", kind="blob")


def is_visible_failure(answer: Answer | OpenAnswer) -> bool:
    """Whether the client can see the failure: an error status, or a body that ends early."""
    return answer.error is not None or (answer.status or 0) >= 400


def foreign(answer: Answer, blob: Blob) -> int:
    """How many bytes of a 200 or 206 body do not belong to *blob*."""
    if answer.status not in {200, 206}:
        return 0
    pairs = zip(answer.body, blob.content, strict=False)
    return len(answer.body) - sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

"""Steps that scenarios of several themes take."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.clients.push import put_manifest, upload_blob
from harness.content import Manifest
from harness.suite.scenario import Need
from harness.system.ports import scaled
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream

OBSERVED = frozenset({Need.CONFIG, Need.STORAGE})
"""The needs of a scenario that configures a registry and reads its storage."""

MakeUpstream = Callable[..., MockUpstream]
"""The type of the ``make_upstream`` fixture, which takes the options of ``MockUpstream``."""

_QUIET = 0.2
"""Seconds without a change after which a cache counts as idle."""
_QUIET_AFTER_CACHING = 0.08
"""The same if the cache reports no fill in progress; it may still write its schedule."""
_QUIET_WHILE_UPLOADING = 0.5
"""The same with an upload directory: a slow fill, or what one left."""


def asked(upstream: MockUpstream, kind: str | None = None) -> list[str]:
    """The requests *upstream* got, in order: those of *kind*, or all but ``/v2/`` and tokens."""
    return [
        entry.line
        for entry in upstream.ledger.entries
        if (entry.kind == kind if kind else entry.kind not in {"base", "token"})
    ]


def credentials(upstream: MockUpstream) -> set[str]:
    """The credentials that *upstream* was shown: ``none``, ``basic:USER`` or ``bearer``."""
    return {entry.credential for entry in upstream.ledger.entries}


def settle(cache: RunningRegistry, upstream: MockUpstream) -> None:
    """Wait until upstream has had no request and the disk no change for a moment.

    Call it before an assertion that something did *not* happen: a cache may write after it has
    answered. ``TimeoutError`` if the cache does not come to rest.
    """
    cache.await_served()
    calm_since, seen = time.monotonic(), None

    def calm() -> bool:
        nonlocal calm_since, seen
        upstream.ledger.wait_idle()
        now = (cache.disk.files(), len(upstream.ledger.entries))
        if now != seen:
            calm_since, seen = time.monotonic(), now
        if (caching := cache.caches_now()) is False:
            wanted = _QUIET_AFTER_CACHING
        elif any("/_uploads/" in path for path in now[0]):
            wanted = _QUIET_WHILE_UPLOADING
        else:
            wanted = _QUIET
        return not caching and time.monotonic() - calm_since > scaled(wanted)

    if not cache.eventually(calm):
        raise TimeoutError("the cache did not come to rest")


def push(registry: RunningRegistry, repository: str, manifest: Manifest, *tags: str) -> None:
    """Push *manifest*, with its blobs and children, and point *tags* at it."""
    for child in manifest.children:
        push(registry, repository, child)
    for blob in manifest.blobs:
        upload_blob(registry.client, repository, blob)
    for reference in tags or (manifest.digest,):
        put_manifest(registry.client, repository, reference, manifest)

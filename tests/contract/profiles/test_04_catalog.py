"""Section 4: a cache's list of repositories."""

from __future__ import annotations

from typing import Any

from harness.targets import RunningRegistry
from tests.contract.profiles.bench import (
    IMAGE,
    REPOSITORY,
    Bench,
    pull_blob,
    pull_manifest,
)
from tests.contract.profiles.schedule import Due, reopen
from tests.contract.profiles.table import row

_LAYER = IMAGE.layers[0]
_OTHER = "other/app"


def _catalog(registry: RunningRegistry) -> object:
    answer = registry.get("/v2/_catalog")
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.json()
    return found["repositories"]


@row("4.1", ([], [REPOSITORY], []))
def test_only_what_is_cached(bench: Bench) -> object:
    """Before and after a pull, and what upstream was asked for both."""
    bench.upstream.add(_OTHER, IMAGE, tags=("v1",))
    cache = bench.proxy()
    before = _catalog(cache)
    pull_manifest(cache, IMAGE, "v1")
    pull_blob(cache, _LAYER)
    bench.settle(cache)
    bench.forget()
    return before, _catalog(cache), bench.asked(pings=True)


@row("4.2", ([], [REPOSITORY]), ([REPOSITORY], [REPOSITORY]))
def test_repository_with_a_manifest(bench: Bench) -> object:
    """And then with a blob as well."""
    cache = bench.proxy()
    pull_manifest(cache, IMAGE, "v1")
    seen = _catalog(cache)
    pull_blob(cache, _LAYER)
    return seen, _catalog(cache)


@row("4.2", ([REPOSITORY], [REPOSITORY]), ([], [REPOSITORY]))
def test_repository_with_a_blob(bench: Bench) -> object:
    """And then with a manifest as well."""
    cache = bench.proxy()
    pull_blob(cache, _LAYER)
    seen = _catalog(cache)
    pull_manifest(cache, IMAGE, "v1")
    return seen, _catalog(cache)


@row("4.3", (set(), [REPOSITORY]))
def test_repository_whose_content_has_expired(bench: Bench) -> object:
    """What is left of it, and the catalog."""
    cache = bench.proxy(delete_enabled=True)
    pull_manifest(cache, IMAGE, "v1")
    pull_blob(cache, _LAYER)
    reopen(cache, Due(IMAGE), Due(_LAYER), delete_enabled=True)

    def left() -> set[str]:
        return cache.disk.revisions(REPOSITORY) | cache.disk.layer_links(REPOSITORY)

    cache.eventually(lambda: not left())
    return left(), _catalog(cache)


@row("4.4", (200, b'{"repositories":[]}\n'))
def test_empty_storage(bench: Bench) -> object:
    answer = bench.proxy().get("/v2/_catalog")
    return answer.status, answer.body

"""Section 10: what expiry deletes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from harness.content import Blob, Manifest
from harness.targets import RunningRegistry
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    failure,
    manifest_path,
    pull_blob,
    pull_manifest,
    tree,
)
from tests.contract.profiles.schedule import Due, key, reopen
from tests.contract.profiles.table import row

_LAYER = IMAGE.layers[0]
_OTHER = "other/app"
_CACHED = [
    "<repo>/_layers/sha256/<layer>/link",
    "<repo>/_manifests/revisions/sha256/<manifest>/link",
    "<repo>/_manifests/tags/v1/current/link",
    "<repo>/_manifests/tags/v1/index/sha256/<manifest>/link",
    "blobs/sha256/<layer>/data",
    "blobs/sha256/<manifest>/data",
]


def _filled(bench: Bench, **settings: Any) -> RunningRegistry:
    """A cache that has the manifest by tag, and a layer."""
    cache = bench.proxy(**settings)
    pull_manifest(cache, IMAGE, "v1")
    pull_blob(cache, _LAYER)
    return cache


def _expire(cache: RunningRegistry, *contents: Blob | Manifest, **settings: Any) -> None:
    """Start *cache* anew with *contents* overdue, and wait until they have gone."""
    reopen(cache, *map(Due, contents), **settings)

    def gone() -> bool:
        left = cache.disk.revisions(REPOSITORY) | cache.disk.layer_links(REPOSITORY)
        return left.isdisjoint(content.digest for content in contents)

    assert cache.eventually(gone)


def _files(cache: RunningRegistry) -> list[str]:
    files = tree(cache, manifest=IMAGE, layer=_LAYER)
    return [path for path in files if path != "scheduler-state.json"]


# -- where deletion is not enabled ----------------------------------------------------------------
@row("10.1", (True, _CACHED))
def test_nothing_is_deleted(bench: Bench) -> object:
    """Whether the log tells of it, and the files."""
    cache = _filled(bench)
    reopen(cache, Due(IMAGE), Due(_LAYER))
    told = [f"OnExpire({key(content)}): operation unsupported" for content in (IMAGE, _LAYER)]
    logged = cache.eventually(lambda: all(line in cache.logs() for line in told))
    return logged, _files(cache)


@row("10.1", ({}, _CACHED), slow=True)
def test_entries_are_forgotten_all_the_same(bench: Bench) -> object:
    cache = _filled(bench)
    reopen(cache, Due(IMAGE), Due(_LAYER))
    return cache.await_state(lambda state: not state), _files(cache)


# -- where it is ----------------------------------------------------------------------------------
@row("10.2", [path for path in _CACHED if "<layer>" not in path])
def test_blob(bench: Bench) -> object:
    cache = _filled(bench, delete_enabled=True)
    _expire(cache, _LAYER)
    cache.eventually(lambda: not cache.disk.has_blob(_LAYER.digest))
    return _files(cache)


@row("10.3", [path for path in _CACHED if "revisions" not in path])
def test_manifest(bench: Bench) -> object:
    cache = _filled(bench, delete_enabled=True)
    _expire(cache, IMAGE)
    bench.settle(cache)
    return _files(cache)


@row("10.4", {"bytes": False, "other's link": True, "other's pull": 200, "asked": "GET blob"})
def test_shared_blob(bench: Bench) -> object:
    bench.upstream.add(_OTHER, _LAYER)
    cache = _filled(bench, delete_enabled=True)
    pull_blob(cache, _LAYER, _OTHER)
    _expire(cache, _LAYER)
    cache.eventually(lambda: not cache.disk.has_blob(_LAYER.digest))
    seen: dict[str, object] = {
        "bytes": cache.disk.has_blob(_LAYER.digest),
        "other's link": _LAYER.digest in cache.disk.layer_links(_OTHER),
    }
    bench.forget()
    answer = cache.get(blob_path(_LAYER, _OTHER))
    assert answer.body == _LAYER.content
    return seen | {"other's pull": answer.status, "asked": min(bench.asked())}


@row("10.5", {"status": 200, "length": str(_LAYER.size), "body": b"", "asked": []})
def test_shared_blob_with_a_descriptor_cache(bench: Bench) -> object:
    bench.upstream.add(_OTHER, _LAYER)
    cache = _filled(bench, delete_enabled=True, cache="inmemory")
    pull_blob(cache, _LAYER, _OTHER)
    reopen(cache, Due(_LAYER, timedelta(seconds=1.5)))
    cache.get(blob_path(_LAYER, _OTHER))
    cache.let_pass(timedelta(seconds=1.5))
    assert cache.eventually(lambda: not cache.disk.has_blob(_LAYER.digest))
    bench.forget()
    answer = cache.get(blob_path(_LAYER, _OTHER))
    length = answer.headers.get("Content-Length")
    return {"status": answer.status, "length": length, "body": answer.body, "asked": bench.asked()}


@row("10.6", ([200, 200], _CACHED))
def test_pulled_again(bench: Bench) -> object:
    cache = _filled(bench, delete_enabled=True)
    _expire(cache, IMAGE, _LAYER)
    answers = [pull_manifest(cache, IMAGE, "v1"), pull_blob(cache, _LAYER)]
    return [answer.status for answer in answers], _files(cache)


@row("10.6", [key(IMAGE), key(_LAYER)], slow=True)
def test_entries_of_what_is_pulled_again(bench: Bench) -> object:
    cache = _filled(bench, delete_enabled=True)
    _expire(cache, IMAGE, _LAYER)
    pull_manifest(cache, IMAGE, "v1")
    pull_blob(cache, _LAYER)
    state = cache.await_state(lambda state: len(state) == 2)
    return sorted(state, key=[key(IMAGE), key(_LAYER)].index)


@row("10.7", (["v1"], (500, "UNKNOWN"), 500))
def test_tag_of_an_expired_manifest_while_upstream_is_down(bench: Bench) -> object:
    cache = _filled(bench, delete_enabled=True)
    _expire(cache, IMAGE)
    bench.upstream.down()
    tags = cache.get(f"/v2/{REPOSITORY}/tags/list").json()["tags"]
    answer = cache.get(manifest_path("v1"), headers=ANY)
    return tags, failure(answer), cache.head(manifest_path("v1"), headers=ANY).status


@row("10.8", [True, True, False, True])
def test_empty_directories_are_left(bench: Bench) -> object:
    """Of the layer link, of the revision, of the bytes, and the one above these."""
    cache = _filled(bench, delete_enabled=True)
    _expire(cache, IMAGE, _LAYER)
    bench.settle(cache)
    repository = cache.root / "docker/registry/v2/repositories" / REPOSITORY
    layer, manifest = (content.digest.partition(":")[2] for content in (_LAYER, IMAGE))
    data = cache.disk.blob_path(_LAYER.digest)
    directories = (
        repository / "_layers/sha256" / layer,
        repository / "_manifests/revisions/sha256" / manifest,
        data.parent,
        data.parent.parent,
    )
    return [directory.is_dir() for directory in directories]

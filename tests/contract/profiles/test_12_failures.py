"""Section 12: a cache whose upstream changes or fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.content import an_image
from harness.http.client import Answer
from harness.targets import RunningRegistry
from harness.upstream import MockUpstream
from reference_registry.digest import digest_of
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    detail,
    failure,
    manifest_path,
    pull_blob,
    pull_manifest,
)
from tests.contract.profiles.table import like, row

_LAYER, _CONFIG = IMAGE.layers[0], IMAGE.config
_ABSENT = digest_of(b"absent")
_NO_MANIFEST = (404, "MANIFEST_UNKNOWN")
_UNKNOWN = (500, "UNKNOWN")

_FAILURES = [401, 403, 404, 418, 429, 500, 503, None]
"""What upstream answers; None is a connection that it drops."""


def _fail(upstream: MockUpstream, status: int | None, kind: str) -> None:
    """Answer *status* to all requests for a *kind* from now on."""
    fault = upstream.on(None, where=lambda call: call.kind == kind)
    if status is None:
        fault.truncate()
    else:
        fault.status(status, {"Retry-After": "7"})


def _filled(bench: Bench) -> RunningRegistry:
    """A cache that has the tag, its manifest, and the first layer."""
    cache = bench.proxy()
    pull_manifest(cache, IMAGE, "v1")
    pull_blob(cache, _LAYER)
    return cache


# -- upstream changes -----------------------------------------------------------------------------
@row("12.1", {"served": "new", "tag": "new", "kept": ["new", "old"], "history": ["new", "old"]})
def test_tag_moves(bench: Bench) -> object:
    cache = bench.proxy()
    pull_manifest(cache, IMAGE, "v1")
    new = bench.upstream.add(REPOSITORY, an_image("new"), tags=("v1",))
    answer = pull_manifest(cache, new, "v1")
    names = {str(IMAGE.digest): "old", str(new.digest): "new"}

    def named(digests: set[str]) -> list[str]:
        return sorted(names[digest] for digest in digests)

    return {
        "served": names[answer.digest or ""],
        "tag": names[cache.disk.tags(REPOSITORY)["v1"]],
        "kept": named(cache.disk.revisions(REPOSITORY)),
        "history": named(cache.disk.tag_history(REPOSITORY, "v1")),
    }


@row("12.2", (200, True))
def test_tag_is_deleted(bench: Bench) -> object:
    cache = bench.proxy()
    pull_manifest(cache, IMAGE, "v1")
    bench.upstream.untag(REPOSITORY, "v1")
    answer = cache.get(manifest_path("v1"), headers=ANY)
    return answer.status, answer.body == IMAGE.content


# -- upstream is down -----------------------------------------------------------------------------
@row("12.3", {"tag": 200, "digest": 200, "blob": 200, "base": 200, "catalog": 200})
def test_what_is_cached_while_upstream_is_down(bench: Bench) -> object:
    cache = _filled(bench)
    bench.upstream.down()
    paths = {
        "tag": manifest_path("v1"),
        "digest": manifest_path(IMAGE),
        "blob": blob_path(_LAYER),
        "base": "/v2/",
        "catalog": "/v2/_catalog",
    }
    return {name: cache.get(path, headers=ANY).status for name, path in paths.items()}


@row("12.4", _NO_MANIFEST)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_uncached_tag_while_upstream_is_down(bench: Bench, method: str) -> object:
    cache = bench.proxy()
    bench.upstream.down()
    answer = cache.request(method, manifest_path("v1"), headers=ANY)
    return answer.status, answer.error_code or "MANIFEST_UNKNOWN"


def _told(answer: Answer, address: str) -> tuple[int | None, str | None, str]:
    """Status, code, and the detail with *address* as HOST, if it is text."""
    told = detail(answer)
    if isinstance(told, dict) and "Err" in told:
        told = f"{told['Op']} {told['URL']}: {told['Err']}"
    return *failure(answer), str(told).replace(address, "HOST")


@row(
    "12.5",
    [
        (*_UNKNOWN, like(r"Get http://HOST/v2/: .*'Op': 'dial'.*")),
        (*_UNKNOWN, like(r"Get http://HOST/v2/: .*'Op': 'dial'.*")),
    ],
    [
        (*_UNKNOWN, 'Get "http://HOST/v2/": dial tcp HOST: connect: connection refused'),
        (*_UNKNOWN, 'Get "http://HOST/v2/": dial tcp HOST: connect: connection refused'),
    ],
)
def test_uncached_digests_while_upstream_is_down(bench: Bench) -> object:
    cache = bench.proxy()
    bench.upstream.down()
    paths = (manifest_path(IMAGE), blob_path(_LAYER))
    answers = [cache.get(path, headers=ANY) for path in paths]
    return [_told(answer, bench.upstream.address) for answer in answers]


# -- upstream answers with an error ---------------------------------------------------------------
def _statuses(bench: Bench, kind: str, ask: Callable[[], Answer]) -> list[object]:
    """What is answered under each of the failures."""
    seen: list[object] = []
    for status in _FAILURES:
        _fail(bench.upstream, status, kind)
        seen.append(failure(ask()))
        bench.upstream.clear_faults()
    return seen


@row("12.6", [_NO_MANIFEST] * len(_FAILURES))
def test_uncached_tag(bench: Bench) -> object:
    cache = bench.proxy()
    return _statuses(bench, "manifest", lambda: cache.get(manifest_path("v1"), headers=ANY))


@row("12.6, 12.10", [(200, None)] * len(_FAILURES))
def test_cached_tag(bench: Bench) -> object:
    cache = _filled(bench)
    return _statuses(bench, "manifest", lambda: cache.get(manifest_path("v1"), headers=ANY))


@row("12.7", [_UNKNOWN] * len(_FAILURES))
def test_uncached_digest(bench: Bench) -> object:
    cache = bench.proxy()
    return _statuses(bench, "manifest", lambda: cache.get(manifest_path(IMAGE), headers=ANY))


@row("12.8", [(404, "BLOB_UNKNOWN") if status == 404 else _UNKNOWN for status in _FAILURES])
def test_uncached_blob(bench: Bench) -> object:
    cache = bench.proxy()
    return _statuses(bench, "blob", lambda: cache.get(blob_path(_LAYER)))


@row("12.8", [404 if status == 404 else 500 for status in _FAILURES])
def test_head_of_an_uncached_blob(bench: Bench) -> object:
    cache, seen = bench.proxy(), []
    for status in _FAILURES:
        _fail(bench.upstream, status, "blob")
        seen.append(cache.head(blob_path(_LAYER)).status)
        bench.upstream.clear_faults()
    return seen


_SLOW_DOWN = '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down","detail":null}]}'


@row(
    "12.9",
    [(404, None, None), (500, None, {"errors": ["TOOMANYREQUESTS"]})],
    [(404, None, None), (500, None, "toomanyrequests: slow down")],
)
def test_rate_limit(bench: Bench) -> object:
    """Status, Retry-After and detail, by tag and by digest."""
    cache = bench.proxy()
    bench.upstream.on("GET", kind="manifest").status(429, {"Retry-After": "7"}, _SLOW_DOWN)
    bench.upstream.on("HEAD", kind="manifest").status(429, {"Retry-After": "7"})
    by_tag = cache.get(manifest_path("v1"), headers=ANY)
    by_digest = cache.get(manifest_path(IMAGE), headers=ANY)
    told = detail(by_digest)
    if isinstance(told, dict):
        told = {"errors": [error["code"] for error in told["errors"]]}
    return [
        (by_tag.status, by_tag.headers.get("Retry-After"), None),
        (by_digest.status, by_digest.headers.get("Retry-After"), told),
    ]


@row("12.10", [200, 200, 200])
@pytest.mark.parametrize("status", [401, 403])
def test_refusal_does_not_revoke(bench: Bench, status: int) -> object:
    cache = _filled(bench)
    _fail(bench.upstream, status, "manifest")
    _fail(bench.upstream, status, "blob")
    paths = (manifest_path("v1"), manifest_path(IMAGE), blob_path(_LAYER))
    return [cache.get(path, headers=ANY).status for path in paths]

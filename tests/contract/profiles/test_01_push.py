"""Section 1: what a cache answers to a push."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from harness.content import an_image
from harness.http.client import Answer
from harness.targets import RunningRegistry
from reference_registry.api.upload_state import UploadState, UploadStates
from tests.contract.profiles.bench import (
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    detail,
    failure,
    manifest_path,
    pull_blob,
    pull_manifest,
    put_manifest,
)
from tests.contract.profiles.table import SAME, row

_LAYER = IMAGE.layers[0]
_MINE = an_image("mine")
_UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"
_SECRET = "known to all"
_UNSUPPORTED = (
    405,
    b'{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}\n',
)


# -- a session is not begun -----------------------------------------------------------------------
@row("1.1", (_UNSUPPORTED, [], []))
@pytest.mark.parametrize(
    "path",
    [
        _UPLOADS,
        "/v2/unknown/app/blobs/uploads/",
        f"{_UPLOADS}?digest={_LAYER.digest}",
        f"{_UPLOADS}?mount={_LAYER.digest}&from=other/app",
    ],
)
def test_post(bench: Bench, path: str) -> object:
    """The answer, what upstream was asked, and the files."""
    cache = bench.proxy()
    bench.forget()
    answer = cache.post(path, content=_LAYER.content if "digest=" in path else b"")
    return (answer.status, answer.body), bench.asked(pings=True), cache.disk.files()


@row("1.1", (_UNSUPPORTED, [], False))
def test_mount_of_a_cached_blob(bench: Bench) -> object:
    """The answer, what upstream was asked, and whether a file changed."""
    cache = bench.proxy()
    pull_blob(cache, _LAYER)
    bench.settle(cache)
    bench.forget()
    before = cache.disk.snapshot()
    answer = cache.post(f"/v2/other/app/blobs/uploads/?mount={_LAYER.digest}&from={REPOSITORY}")
    changed = before.diff(cache.disk.snapshot())
    return (answer.status, answer.body), bench.asked(pings=True), bool(changed)


# -- nor continued --------------------------------------------------------------------------------
def _write(registry: RunningRegistry, method: str, query: str, uuid: str) -> Answer:
    if method == "PUT":
        query += f"&digest={_LAYER.digest}"
    content = None if method == "DELETE" else _LAYER.content
    return registry.request(method, f"{_UPLOADS}{uuid}?{query.lstrip('&')}", content=content)


def _signed(uuid: str, secret: str) -> str:
    state = UploadState(REPOSITORY, uuid, 0)
    return f"_state={UploadStates(secret).pack(state, datetime.now(UTC))}"


_INVALID: tuple[Any, ...] = (404, "BLOB_UPLOAD_INVALID")
_UNKNOWN: tuple[Any, ...] = (500, "UNKNOWN")


@row("1.2", 2 * [(*_INVALID, {})], 2 * [(*_INVALID, "invalid secret")])
@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_upload_without_a_valid_state(bench: Bench, method: str) -> object:
    """Without one, and with one that somebody else has signed."""
    cache, uuid = bench.proxy(secret=_SECRET), str(uuid4())
    answers = [_write(cache, method, query, uuid) for query in ("", _signed(uuid, "guessed"))]
    return [(*failure(answer), detail(answer)) for answer in answers]


@row("1.3", (*_UNKNOWN, {}), (*_UNKNOWN, "operation unsupported"))
@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_upload_with_a_valid_state(bench: Bench, method: str) -> object:
    cache, uuid = bench.proxy(secret=_SECRET), str(uuid4())
    answer = _write(cache, method, _signed(uuid, _SECRET), uuid)
    return *failure(answer), detail(answer)


@row("1.4", (*_INVALID, {}, 404), (*_UNKNOWN, "operation unsupported", 500))
def test_status_of_an_upload(bench: Bench) -> object:
    """Of GET, and the status of HEAD."""
    cache, path = bench.proxy(), f"{_UPLOADS}{uuid4()}"
    answer = cache.get(path)
    return *failure(answer), detail(answer), cache.head(path).status


# -- manifests ------------------------------------------------------------------------------------
@row("1.5", (_UNSUPPORTED, []))
@pytest.mark.parametrize("image", [IMAGE, _MINE], ids=["upstream's", "mine"])
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_manifest(bench: Bench, image: Any, by: str) -> object:
    """The answer, and what upstream was asked."""
    cache = bench.proxy()
    bench.forget()
    answer = put_manifest(cache, image, "v1" if by == "tag" else image.digest)
    return (answer.status, answer.body), bench.asked(pings=True)


@row("1.6", ((400, "MANIFEST_INVALID"), []))
@pytest.mark.parametrize("reference", ["v1", IMAGE.digest], ids=["tag", "digest"])
def test_manifest_that_is_none(bench: Bench, reference: str) -> object:
    """The answer, and what upstream was asked."""
    cache = bench.proxy()
    bench.forget()
    headers = {"Content-Type": IMAGE.media_type}
    answer = cache.put(manifest_path(reference), content=b"{", headers=headers)
    return failure(answer), bench.asked(pings=True)


# -- what states are signed with ------------------------------------------------------------------
@row("1.7", {None: _INVALID, _SECRET: _UNKNOWN}, SAME, {None: _UNKNOWN, _SECRET: _UNKNOWN})
def test_state_signed_with_what_a_stranger_would_try(bench: Bench) -> object:
    """With no secret where none is configured, and with the configured one."""
    seen = {}
    for secret in (None, _SECRET):
        cache, uuid = bench.proxy(secret=secret), str(uuid4())
        seen[secret] = failure(_write(cache, "DELETE", _signed(uuid, secret or ""), uuid))
    return seen


@row("1.7", (True, False), SAME, (False, False))
def test_warning_of_a_missing_secret(bench: Bench) -> object:
    """Without a secret, and with one."""

    def warned(secret: str | None) -> bool:
        logs = bench.proxy(secret=secret).logs().splitlines()
        return any("level=warning" in line and "secret" in line for line in logs)

    return warned(None), warned(_SECRET)


# -- read-only ------------------------------------------------------------------------------------
_NOT_ALLOWED = (405, "text/plain; charset=utf-8", {"GET", "HEAD"})


@row("1.8", [_NOT_ALLOWED] * 3)
def test_writes_to_a_cache_that_is_read_only(bench: Bench) -> object:
    """Status, type and allowed methods."""
    cache = bench.proxy(readonly=True)
    answers = [
        put_manifest(cache, IMAGE, "v1"),
        cache.delete(manifest_path(IMAGE)),
        cache.delete(blob_path(_LAYER)),
    ]
    return [_not_allowed(answer) for answer in answers]


def _not_allowed(answer: Answer) -> tuple[int | None, str | None, set[str]]:
    allowed = answer.headers.get("Allow", "")
    return answer.status, answer.headers.get("Content-Type"), set(allowed.split(", "))


@row("1.8", [_INVALID] * 3)
def test_state_is_looked_at_before_the_method(bench: Bench) -> object:
    cache, uuid = bench.proxy(readonly=True), str(uuid4())
    return [failure(_write(cache, method, "", uuid)) for method in ("PATCH", "PUT", "DELETE")]


@row("1.8", {IMAGE.digest, _LAYER.digest})
def test_cache_that_is_read_only_is_filled(bench: Bench) -> object:
    cache = bench.proxy(readonly=True)
    pull_manifest(cache, IMAGE, "v1")
    pull_blob(cache, _LAYER)
    return cache.disk.blobs()

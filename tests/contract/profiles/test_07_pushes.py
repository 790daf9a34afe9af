"""Section 7: pushes to a cache, as skopeo makes them. Its rows are the items of the list."""

from __future__ import annotations

from harness.clients.push import Push, skopeo_push
from harness.content import an_image
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    manifest_path,
    names_of,
    pull_blob,
    pull_manifest,
)
from tests.contract.profiles.table import row

_BASE, _TOP = IMAGE.layers
_UNSUPPORTED = (
    405,
    b'{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}\n',
)


def _refusal(push: Push) -> tuple[str | None, tuple[int | None, bytes]]:
    assert push.refusal is not None
    return push.refused_step, (push.refusal.status, push.refusal.body)


@row("7.1", (3, [], ("manifest", _UNSUPPORTED), ["base", "config", "top"]))
def test_image_that_upstream_has(bench: Bench) -> object:
    """How many blobs are there already, what is uploaded, the refusal, and what is cached."""
    cache = bench.proxy()
    push = skopeo_push(cache.client, REPOSITORY, "v1", IMAGE)
    bench.settle(cache)
    cached = names_of(cache.disk.blobs(), base=_BASE, top=_TOP, config=IMAGE.config)
    return len(push.already_there), push.uploaded, _refusal(push), cached


@row("7.2", ([], ("upload", _UNSUPPORTED), []))
def test_image_that_upstream_lacks(bench: Bench) -> object:
    """What is there already, the refusal, and the files."""
    cache = bench.proxy()
    push = skopeo_push(cache.client, REPOSITORY, "v2", an_image("mine"))
    return push.already_there, _refusal(push), cache.disk.files()


@row("7.3", (_UNSUPPORTED, [200, 200, 200]))
def test_delete_and_pull_again(bench: Bench) -> object:
    """The answer to DELETE, and what is pulled afterwards while upstream is down."""
    cache = bench.proxy()
    pull_manifest(cache, IMAGE, "v1")
    pull_blob(cache, _BASE)
    refused = cache.delete(manifest_path(IMAGE))
    bench.upstream.down()
    paths = (manifest_path("v1"), manifest_path(IMAGE), blob_path(_BASE))
    pulled = [cache.get(path, headers=ANY).status for path in paths]
    return (refused.status, refused.body), pulled

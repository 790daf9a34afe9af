"""Section 2: what a cache answers to a deletion."""

from __future__ import annotations

from typing import Final

import pytest

from tests.contract.profiles.bench import (
    IMAGE,
    Bench,
    blob_path,
    manifest_path,
    pull_blob,
    pull_manifest,
)
from tests.contract.profiles.table import row

_LAYER = IMAGE.layers[0]
_UNSUPPORTED = (
    405,
    b'{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}\n',
)
_NOTHING_DONE: Final[tuple[object, ...]] = (_UNSUPPORTED, [], False)


def _delete(bench: Bench, path: str, *, cached: bool, enabled: bool) -> object:
    """The answer, what upstream was asked, and whether any file changed."""
    cache = bench.proxy(delete_enabled=enabled)
    if cached:
        pull_manifest(cache, IMAGE, "v1")
        pull_blob(cache, _LAYER)
        bench.settle(cache)
    bench.forget()
    before = cache.disk.snapshot()
    answer = cache.delete(path)
    changed = before.diff(cache.disk.snapshot())
    return (answer.status, answer.body), bench.asked(pings=True), bool(changed)


@row("2.1", _NOTHING_DONE)
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_manifest(bench: Bench, cached: bool, enabled: bool) -> object:
    return _delete(bench, manifest_path(IMAGE), cached=cached, enabled=enabled)


@row("2.2", _NOTHING_DONE)
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_tag(bench: Bench, cached: bool, enabled: bool) -> object:
    return _delete(bench, manifest_path("v1"), cached=cached, enabled=enabled)


@row("2.3", _NOTHING_DONE)
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_blob(bench: Bench, cached: bool, enabled: bool) -> object:
    return _delete(bench, blob_path(_LAYER), cached=cached, enabled=enabled)

"""Section 21: the cache of blob descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.clients.push import put_manifest, upload_blob
from harness.content import Blob, an_image
from harness.system.redis_server import RedisServer
from harness.targets import RunningRegistry
from tests.contract.profiles.bench import REPOSITORY, Bench, blob_path, manifest_path
from tests.contract.profiles.table import SAME, row

_IMAGE = an_image("cached", layers=1, oci=False)
_LAYER, _CONFIG = _IMAGE.layers[0], _IMAGE.config
_OCTETS = "application/octet-stream"
_SET = f"repository::{REPOSITORY}::blobs"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def _registry(bench: Bench, redis: RedisServer) -> RunningRegistry:
    return bench.standard(cache="redis", redis_addr=redis.address, delete_enabled=True)


def _push(registry: RunningRegistry) -> None:
    for blob in _IMAGE.blobs:
        upload_blob(registry.client, REPOSITORY, blob)
    put_manifest(registry.client, REPOSITORY, "v1", _IMAGE)


# -- in redis -------------------------------------------------------------------------------------
@row(
    "21.1",
    {
        f"blobs::{_LAYER.digest}": {
            "digest": _LAYER.digest,
            "size": str(_LAYER.size),
            "mediatype": _OCTETS,
        },
        _SET: {_LAYER.digest},
        f"{_SET}::{_LAYER.digest}": {"mediatype": _OCTETS},
    },
)
def test_keys(bench: Bench, redis: RedisServer) -> object:
    registry = _registry(bench, redis)
    upload_blob(registry.client, REPOSITORY, _LAYER)
    registry.head(blob_path(_LAYER))
    return redis.keys()


def _known(redis: RedisServer, digest: str) -> dict[str, bool]:
    keys = redis.keys()
    return {
        "bytes": f"blobs::{digest}" in keys,
        "member": digest in keys.get(_SET, set()),
        "hash": f"{_SET}::{digest}" in keys,
    }


_NOTHING = {"bytes": False, "member": False, "hash": False}
_BYTES = {"bytes": True, "member": False, "hash": False}
_LINK = {"bytes": False, "member": True, "hash": True}
_ALL = {"bytes": True, "member": True, "hash": True}


@row("21.2", [_NOTHING, _BYTES], SAME, [_ALL, _ALL])
def test_manifests(bench: Bench, redis: RedisServer) -> object:
    """What is known of one after its push, and after a pull."""
    registry = _registry(bench, redis)
    _push(registry)
    seen = [_known(redis, _IMAGE.digest)]
    registry.get(manifest_path("v1"), headers={"Accept": _IMAGE.media_type})
    return [*seen, _known(redis, _IMAGE.digest)]


@row("21.3", (202, _LINK), SAME, SAME, (202, _NOTHING))
def test_deleted_blob(bench: Bench, redis: RedisServer) -> object:
    registry = _registry(bench, redis)
    upload_blob(registry.client, REPOSITORY, _CONFIG)
    registry.head(blob_path(_CONFIG))
    return registry.delete(blob_path(_CONFIG)).status, _known(redis, _CONFIG.digest)


@row("21.5", [(201, 200), (201, 200)])
def test_redis_is_down(bench: Bench, redis: RedisServer) -> object:
    """Push and pull, from the start, and after it has gone."""
    redis.stop()
    seen = [_used(_registry(bench, redis))]
    redis.start()
    registry = _registry(bench, redis)
    _used(registry)
    redis.stop()
    return [*seen, _used(registry)]


def _used(registry: RunningRegistry) -> tuple[int | None, int | None]:
    location = registry.post(f"/v2/{REPOSITORY}/blobs/uploads/").headers["Location"]
    pushed = registry.put(
        f"{location}&digest={_LAYER.digest}",
        content=_LAYER.content,
        headers={"Content-Type": _OCTETS},
    )
    return pushed.status, registry.get(blob_path(_LAYER)).status


# -- believing it ---------------------------------------------------------------------------------
def _remove(registry: RunningRegistry, blob: Blob, *, link: bool = False) -> None:
    """Take the bytes of *blob* away, or the *link* of its repository."""
    algorithm, _, digits = blob.digest.partition(":")
    if link:
        layers = f"docker/registry/v2/repositories/{REPOSITORY}/_layers"
        (registry.root / layers / algorithm / digits / "link").unlink()
    else:
        registry.disk.blob_path(blob.digest).unlink()


@row(
    "21.4",
    {
        "HEAD": 200,
        "GET": (200, str(_LAYER.size), b"", False),
        "mount": 201,
        "HEAD without a link": 200,
    },
)
def test_bytes_are_gone(bench: Bench) -> object:
    """GET shows its status, the length that it announces, the body, and whether all came."""
    registry = bench.standard(cache="inmemory")
    upload_blob(registry.client, REPOSITORY, _LAYER)
    _remove(registry, _LAYER)
    head, get = registry.head(blob_path(_LAYER)), registry.get(blob_path(_LAYER))
    query = f"mount={_LAYER.digest}&from={REPOSITORY}"
    mount = registry.post(f"/v2/other/app/blobs/uploads/?{query}")
    _remove(registry, _LAYER, link=True)
    return {
        "HEAD": head.status,
        "GET": (get.status, get.headers.get("Content-Length"), get.body, get.error is None),
        "mount": mount.status,
        "HEAD without a link": registry.head(blob_path(_LAYER)).status,
    }


_SMALL: dict[str, Any] = {
    "extra": {"storage": {"cache": {"blobdescriptor": "inmemory", "blobdescriptorsize": 1}}}
}


@row("21.6", 200, 404)
def test_size_in_memory(bench: Bench) -> object:
    """A blob whose link has gone, after another blob has taken the only place."""
    registry = bench.standard(**_SMALL)
    for blob in (_LAYER, _CONFIG):
        upload_blob(registry.client, REPOSITORY, blob)
    _remove(registry, _LAYER, link=True)
    return registry.head(blob_path(_LAYER)).status

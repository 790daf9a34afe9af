"""Section 24: the storage layout. Its rows are the items of the list."""

from __future__ import annotations

import re

from harness.clients.push import put_manifest, upload_blob
from harness.content import Blob, an_image
from harness.targets import RunningRegistry
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    manifest_path,
    pull_blob,
    pull_manifest,
    tree,
)
from tests.contract.profiles.table import row

_LAYER = IMAGE.layers[0]
_BASE = f"docker/registry/v2/repositories/{REPOSITORY}"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LOCAL = "only/here"


def _push(registry: RunningRegistry, repository: str = REPOSITORY) -> None:
    for blob in IMAGE.blobs:
        upload_blob(registry.client, repository, blob)
    put_manifest(registry.client, repository, "v1", IMAGE)


@row(
    "24.1, 24.2, 24.3, 24.4",
    [
        "<repo>/_layers/sha256/<base>/link",
        "<repo>/_layers/sha256/<config>/link",
        "<repo>/_layers/sha256/<top>/link",
        "<repo>/_manifests/revisions/sha256/<manifest>/link",
        "<repo>/_manifests/tags/v1/current/link",
        "<repo>/_manifests/tags/v1/index/sha256/<manifest>/link",
        "blobs/sha256/<base>/data",
        "blobs/sha256/<config>/data",
        "blobs/sha256/<manifest>/data",
        "blobs/sha256/<top>/data",
    ],
)
def test_pushed_image(bench: Bench) -> object:
    registry = bench.standard()
    _push(registry)
    base, top = IMAGE.layers
    found = tree(registry, manifest=IMAGE, config=IMAGE.config, base=base, top=top)
    assert (registry.root / f"docker/registry/v2/blobs/sha256/{_LAYER.digest[7:9]}").is_dir()
    return found


@row("24.6", {71})
def test_links(bench: Bench) -> object:
    """How long they are; each holds a digest and nothing else."""
    registry = bench.standard()
    _push(registry)
    links = [path.read_text() for path in registry.root.rglob("link")]
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", link) for link in links)
    return {len(link) for link in links}


_STARTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@row("24.5, 24.6", {"data": 1000, "startedat": 20})
def test_upload_in_progress(bench: Bench) -> object:
    """The size of each file, but for the states of distribution's hash."""
    registry = bench.standard()
    opened = registry.post(f"/v2/{REPOSITORY}/blobs/uploads/")
    sent = registry.patch(
        opened.headers["Location"],
        content=_LAYER.content[:1000],
        headers={"Content-Type": "application/octet-stream"},
    )
    assert sent.status == 202
    (upload,) = (registry.root / _BASE / "_uploads").iterdir()
    assert _UUID.fullmatch(upload.name)
    assert _STARTED.fullmatch((upload / "startedat").read_text())
    return {path.name: path.stat().st_size for path in upload.iterdir() if path.is_file()}


@row("24.5", {"data", "startedat"})
def test_download_in_progress(bench: Bench) -> object:
    """What a cache has of a blob that is still coming."""
    big = bench.upstream.add(REPOSITORY, Blob.of_size(4 * 1024 * 1024))
    cache = bench.proxy()
    hung = bench.upstream.on("GET", big).hang(after=1024 * 1024)
    with cache.client.open(blob_path(big)) as answer:
        answer.read(1024)
        uploads = cache.root / _BASE / "_uploads"
        cache.eventually(lambda: list(uploads.glob("*/data")))
        files = {path.name for path in uploads.rglob("*") if path.is_file()}
        hung.release()
        answer.read()
    return files


@row("24.7", (["docker"], ["docker", "scheduler-state.json"]), slow=True)
def test_root(bench: Bench) -> object:
    """Of a standard registry, and of a cache."""
    registry, cache = bench.standard(), bench.proxy()
    _push(registry)
    pull_blob(cache, _LAYER)
    cache.await_state(bool)
    return tuple(
        sorted(path.name for path in root.iterdir()) for root in (registry.root, cache.root)
    )


# -- a standard registry's storage becomes a cache's ----------------------------------------------
@row("24.8", [200, 200, 200])
def test_reopened_as_a_cache(bench: Bench) -> object:
    """Tag, digest and blob of a repository that upstream does not know."""
    registry = bench.standard()
    _push(registry, _LOCAL)
    registry.restart(upstream_url=bench.upstream.url)
    paths = (manifest_path("v1", _LOCAL), manifest_path(IMAGE, _LOCAL), blob_path(_LAYER, _LOCAL))
    return [registry.get(path, headers=ANY).status for path in paths]


@row("24.8", [REPOSITORY], slow=True)
def test_reopened_content_is_not_scheduled(bench: Bench) -> object:
    """The repositories of the schedule."""
    other = bench.upstream.add(REPOSITORY, an_image("other"))
    registry = bench.standard()
    _push(registry, _LOCAL)
    registry.restart(upstream_url=bench.upstream.url)
    registry.get(manifest_path("v1", _LOCAL), headers=ANY)
    registry.get(blob_path(_LAYER, _LOCAL))
    pull_manifest(registry, other)
    state = registry.await_state(bool)
    return sorted({name.partition("@")[0] for name in state})

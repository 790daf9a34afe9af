"""Section 5: manifests through a cache. Sections 20 and 23: indexes, and ``?ns=``."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.content import OCI_MANIFEST, Blob, Index, Manifest, an_image, an_index
from harness.http.client import Call
from harness.upstream import Bearer
from reference_registry.api.schema1 import to_schema1
from reference_registry.api.schema1_signature import SigningKey
from reference_registry.digest import digest_of
from tests.contract.profiles.bench import (
    ANY,
    REPOSITORY,
    Bench,
    detail,
    failure,
    manifest_path,
    names_of,
    pull_manifest,
    tree,
)
from tests.contract.profiles.table import SAME, like, row

_ABSENT = digest_of(b"absent")
_BY_TAG = [
    "<repo>/_manifests/revisions/sha256/<manifest>/link",
    "<repo>/_manifests/tags/v1/current/link",
    "<repo>/_manifests/tags/v1/index/sha256/<manifest>/link",
    "blobs/sha256/<manifest>/data",
]
_BY_DIGEST = [_BY_TAG[0], _BY_TAG[3]]


# -- what a miss and a hit cost ------------------------------------------------------------------
@row("5.1", (200, ["HEAD tag", "GET tag"], _BY_TAG))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_miss_by_tag(bench: Bench, method: str) -> object:
    image, cache = bench.image, bench.proxy()
    answer = cache.request(method, manifest_path("v1"), headers=ANY)
    bench.settle(cache)
    return answer.status, bench.asked(), tree(cache, manifest=image)


@row("5.1", ["manifest"], slow=True)
def test_miss_by_tag_is_one_entry(bench: Bench) -> object:
    image, cache = bench.image, bench.proxy()
    pull_manifest(cache, image, "v1")
    return [entry.kind for entry in cache.await_state(bool).values()]


@row("5.2", (200, ["HEAD tag"], True))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_hit_by_tag(bench: Bench, method: str) -> object:
    image, cache = bench.image, bench.proxy()
    pull_manifest(cache, image, "v1")
    link = next(cache.root.rglob("current/link"))
    written = link.stat().st_mtime_ns
    bench.forget()
    answer = cache.request(method, manifest_path("v1"), headers=ANY)
    rewritten = cache.eventually(lambda: link.stat().st_mtime_ns > written)
    return answer.status, bench.asked(), rewritten


@row("5.3", (200, ["GET digest"], _BY_DIGEST))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_miss_by_digest(bench: Bench, method: str) -> object:
    image, cache = bench.image, bench.proxy()
    answer = cache.request(method, manifest_path(image), headers=ANY)
    bench.settle(cache)
    return answer.status, bench.asked(), tree(cache, manifest=image)


@row("5.4", (200, []))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_hit_by_digest(bench: Bench, method: str) -> object:
    image, cache = bench.image, bench.proxy()
    pull_manifest(cache, image)
    bench.forget()
    answer = cache.request(method, manifest_path(image), headers=ANY)
    return answer.status, bench.asked(pings=True)


# -- pings ---------------------------------------------------------------------------------------
@row("5.5", ["GET base", "HEAD tag", "GET base", "GET tag"] + 2 * ["GET base", "HEAD tag"])
def test_anonymous_upstream_is_pinged_for_ever(bench: Bench) -> object:
    image, cache = bench.image, bench.proxy()
    bench.forget()
    for _ in range(3):
        pull_manifest(cache, image, "v1")
    return bench.asked(pings=True)


@row("5.5", ["GET /v2/"])
def test_challenging_upstream_is_pinged_once(bench: Bench) -> object:
    upstream = bench.lab.upstream(auth=Bearer())
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    cache = bench.proxy(upstream)
    upstream.ledger.clear()
    for _ in range(3):
        pull_manifest(cache, image, "v1")
    return [entry.line for entry in upstream.ledger.select(kind="base")]


@row("5.6", {"asked meanwhile": ["GET base"], "digest": 200, "afterwards": [200, 200]})
def test_hung_ping_stops_everybody(bench: Bench) -> object:
    image, cache = bench.image, bench.proxy()
    pull_manifest(cache, image, "v1")
    bench.forget()
    hung = bench.upstream.on("GET", "/v2/").hang()
    left = cache.get(manifest_path("v1"), headers=ANY, timeout=0.1)
    assert left.status is None
    waiting = cache.get(manifest_path("v1"), headers=ANY, timeout=0.2)
    assert waiting.status is None
    by_digest, asked = cache.get(manifest_path(image), headers=ANY), bench.asked(pings=True)
    hung.release()
    calls = [Call("GET", manifest_path("v1"), headers=ANY)] * 2
    afterwards = [answer.status for answer in cache.client.parallel(calls)]
    return {"asked meanwhile": asked, "digest": by_digest.status, "afterwards": afterwards}


@row("5.7", (4, 4))
def test_first_pulls_are_not_joined(bench: Bench) -> object:
    cache = bench.proxy()
    bench.upstream.on("HEAD", kind="manifest").delay(0.2)
    bench.upstream.on("GET", kind="manifest").delay(0.2)
    cache.client.parallel([Call("GET", manifest_path("v1"), headers=ANY)] * 4)
    asked = bench.asked()
    return asked.count("HEAD tag"), asked.count("GET tag")


# -- odd upstreams -------------------------------------------------------------------------------
@row("5.8", (200, ["HEAD tag", "GET tag", "GET tag"]))
def test_upstream_without_head(bench: Bench) -> object:
    cache = bench.proxy()
    bench.upstream.on("HEAD", kind="manifest").status(405)
    return cache.get(manifest_path("v1"), headers=ANY).status, bench.asked()


@row("5.9", (200, ["HEAD tag", "GET tag", "GET tag"]))
def test_upstream_without_digest_header(bench: Bench) -> object:
    cache = bench.proxy()
    bench.upstream.on(None, kind="manifest").headers({"Docker-Content-Digest": None})
    return cache.get(manifest_path("v1"), headers=ANY).status, bench.asked()


@row("5.10", (500, "UNKNOWN", ["MANIFEST_UNKNOWN"]), (500, "UNKNOWN", like("manifest unknown.*")))
def test_missing_digest(bench: Bench) -> object:
    answer = bench.proxy().get(manifest_path(_ABSENT), headers=ANY)
    told = detail(answer)
    if isinstance(told, dict):
        told = [error["code"] for error in told["errors"]]
    return *failure(answer), told


@row("5.11", (404, "MANIFEST_UNKNOWN", ["HEAD tag", "GET tag"]))
def test_missing_tag(bench: Bench) -> object:
    answer = bench.proxy().get(manifest_path("nothing"), headers=ANY)
    return *failure(answer), bench.asked()


@row(
    "5.12",
    {
        "answer": (200, True, "the other's bytes"),
        "stored": ["<repo>/_manifests/revisions/sha256/<other>/link", "blobs/sha256/<other>/data"],
        "asked again": ["GET digest"],
    },
)
def test_other_bytes_than_asked_for(bench: Bench) -> object:
    image, other = bench.image, an_image("other")
    cache = bench.proxy()
    bench.upstream.on("GET", image).status(
        200, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": image.digest}, other.content
    )
    answer = cache.get(manifest_path(image), headers=ANY)
    stored = tree(cache, other=other, asked=image)
    bench.forget()
    cache.get(manifest_path(image), headers=ANY)
    body = "the other's bytes" if answer.body == other.content else answer.body
    return {
        "answer": (answer.status, answer.digest == image.digest, body),
        "stored": stored,
        "asked again": bench.asked(),
    }


@row("5.12", True, slow=True)
def test_other_bytes_are_scheduled_as_what_was_asked_for(bench: Bench) -> object:
    image, other = bench.image, an_image("other")
    cache = bench.proxy()
    bench.upstream.on("GET", image).status(200, {"Content-Type": OCI_MANIFEST}, other.content)
    cache.get(manifest_path(image), headers=ANY)
    return list(cache.await_state(bool)) == [f"{REPOSITORY}@{image.digest}"]


_NO_PATH = f"/docker/registry/v2/repositories/{REPOSITORY}/_manifests/tags/sha256:abc/current/link"


@row(
    "5.13",
    (500, "UNKNOWN", {"Path": _NO_PATH, "DriverName": "filesystem"}),
    (500, "UNKNOWN", f"filesystem: invalid path: {_NO_PATH}"),
)
def test_malformed_digest(bench: Bench) -> object:
    answer = bench.proxy().get(manifest_path("sha256:abc"), headers=ANY)
    return *failure(answer), detail(answer)


def _schema1() -> Manifest:
    """As Docker 1.9 pushed them."""
    image = an_image(oci=False)
    layers = [layer.digest for layer in image.layers]
    now = datetime(2024, 1, 1, tzinfo=UTC)
    made, _ = to_schema1(REPOSITORY, "v1", image.config.content, layers, SigningKey(1), now)
    return Manifest(Blob(made.content, made.media_type))


_UNSUPPORTED = "unsupported manifest media type and no default available: application/"


@row(
    "5.14",
    3 * [(500, {})],
    [
        (500, f"{_UNSUPPORTED}json"),
        (500, f"{_UNSUPPORTED}vnd.oci.artifact.manifest.v1+json"),
        (500, f"{_UNSUPPORTED}vnd.docker.distribution.manifest.v1+prettyjws"),
    ],
)
def test_unknown_content_type(bench: Bench) -> object:
    cache = bench.proxy()
    manifests = (
        Manifest(Blob(b"{}", "application/json")),
        Manifest(Blob(b"{ }", "application/vnd.oci.artifact.manifest.v1+json")),
        _schema1(),
    )
    for manifest in manifests:
        bench.upstream.add(REPOSITORY, manifest)
    answers = [cache.get(manifest_path(manifest), headers=ANY) for manifest in manifests]
    return [(answer.status, detail(answer)) for answer in answers]


@row("5.15", 200)
def test_content_type_with_parameters(bench: Bench) -> object:
    image = bench.upstream.add(REPOSITORY, an_image(oci=False), tags=("v1",))
    bench.upstream.on("GET", kind="manifest").headers(
        {"Content-Type": f"{image.media_type}; charset=utf-8"}
    )
    return bench.proxy().get(manifest_path("v1"), headers=ANY).status


# -- conditions ----------------------------------------------------------------------------------
@row("5.16", {"answer": 304, "asked": ["HEAD tag"], "stored": _BY_TAG[1:3], "upstream down": 500})
def test_condition_on_the_tag_s_digest(bench: Bench) -> object:
    image, cache = bench.image, bench.proxy()
    headers = ANY | {"If-None-Match": f'"{image.digest}"'}
    answer = cache.get(manifest_path("v1"), headers=headers)
    asked, stored = bench.asked(), tree(cache, manifest=image)
    bench.upstream.down()
    down = cache.get(manifest_path("v1"), headers=ANY)
    return {"answer": answer.status, "asked": asked, "stored": stored, "upstream down": down.status}


@row("5.17", (304, []))
def test_condition_on_the_digest_asked_for(bench: Bench) -> object:
    cache = bench.proxy()
    bench.forget()
    headers = ANY | {"If-None-Match": f'"{_ABSENT}"'}
    answer = cache.get(manifest_path(_ABSENT), headers=headers)
    return answer.status, bench.asked(pings=True)


@row("5.18, 23.1", (200, ["HEAD tag", "GET tag"]))
def test_namespace_of_a_mirror(bench: Bench) -> object:
    answer = bench.proxy().get(f"{manifest_path('v1')}?ns=docker.io", headers=ANY)
    return answer.status, bench.asked()


# -- section 20: indexes -------------------------------------------------------------------------
def _index(bench: Bench, *, oci: bool = True) -> Index:
    return bench.upstream.add(REPOSITORY, an_index(oci=oci), tags=("v1",))


@row("20.1", ["index"], SAME)
@pytest.mark.parametrize("oci", [True, False])
def test_index_comes_without_children(bench: Bench, oci: bool) -> object:
    index, cache = _index(bench, oci=oci), bench.proxy()
    pull_manifest(cache, index, "v1")
    bench.settle(cache)
    return names_of(cache.disk.blobs(), index=index, child=index.children[0])


@row("20.1", (["GET digest"], True))
def test_child_of_an_index_comes_when_asked_for(bench: Bench) -> object:
    index, cache = _index(bench), bench.proxy()
    pull_manifest(cache, index, "v1")
    bench.forget()
    pull_manifest(cache, child := index.children[1])
    return bench.asked(), child.digest in cache.disk.blobs()


@row("20.2", ["child", "list"])
def test_client_without_lists_makes_the_proxy_fetch_a_child(bench: Bench) -> object:
    index, cache = _index(bench, oci=False), bench.proxy()
    cache.get(manifest_path("v1"), headers={"Accept": index.children[0].media_type})
    bench.settle(cache)
    return names_of(cache.disk.blobs(), list=index, child=index.children[0])


_ASKED_FOR = {
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
}
_SCHEMA1 = {
    "application/json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
}


@row("20.3", _ASKED_FOR | _SCHEMA1, _ASKED_FOR)
def test_upstream_sees_the_proxy_s_own_accept(bench: Bench) -> object:
    bench.proxy().get(manifest_path("v1"), headers={"Accept": OCI_MANIFEST})
    entry = bench.upstream.ledger.select("GET", kind="manifest")[0]
    values = [value for name, value in entry.headers if name == "accept"]
    return {part.strip() for value in values for part in value.split(",")}

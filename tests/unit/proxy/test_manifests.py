"""Pulling manifests through: requests to upstream, cached content, responses to the client."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from harness.content import Image, an_image
from tests.support.in_process import Proxy
from tests.support.upstream_double import UpstreamDouble
from tests.unit.proxy.conftest import RELEASES, MakeProxy

pytestmark = pytest.mark.anyio

TAGGED = "/v2/team/app/manifests/v1"
MISSING = "sha256:" + "0" * 64

every_profile = pytest.mark.parametrize("profile", ["ideal", *RELEASES])
every_release = pytest.mark.parametrize("profile", RELEASES)


@pytest.fixture
def image(upstream: UpstreamDouble) -> Image:
    image = an_image()
    upstream.add("team/app", image, "v1")
    return image


def digest_path(image: Image) -> str:
    return f"/v2/team/app/manifests/{image.digest}"


def accept(image: Image) -> dict[str, str]:
    return {"accept": image.media_type}


async def pull(proxy: Proxy, image: Image, path: str = TAGGED, method: str = "GET") -> int:
    answer = await proxy.ask(method, path, **accept(image))
    return answer.status


# -- what upstream is asked ------------------------------------------------------------------------
@every_profile
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_by_tag(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str, method: str
) -> None:
    """5.1, 5.2 of what was measured: HEAD caches exactly as GET does."""
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.ask(method, TAGGED, **accept(image))
        cold, hex_digits = upstream.lines, image.digest.partition(":")[2]
        upstream.clear()
        again = await proxy.ask(method, TAGGED, **accept(image))
        warm = upstream.lines
        kind = proxy.scheduled[f"team/app@{image.digest}"]
    assert answer.status == again.status == 200
    assert answer.headers["docker-content-digest"] == image.digest
    assert answer.body == (image.content if method == "GET" else b"")
    if profile == "ideal":
        assert cold == [f"HEAD {TAGGED}", f"GET {digest_path(image)}"]
        assert warm == [f"HEAD {TAGGED}"]
    else:
        assert cold == ["GET /v2/", f"HEAD {TAGGED}", "GET /v2/", f"GET {TAGGED}"]
        assert warm == ["GET /v2/", f"HEAD {TAGGED}"]
    assert kind == 1
    assert proxy.files() == [
        f"blobs/sha256/{hex_digits[:2]}/{hex_digits}/data",
        f"repositories/team/app/_manifests/revisions/sha256/{hex_digits}/link",
        "repositories/team/app/_manifests/tags/v1/current/link",
        f"repositories/team/app/_manifests/tags/v1/index/sha256/{hex_digits}/link",
    ]


async def test_upstream_is_asked_for_every_type_whatever_the_client_accepts(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image
) -> None:
    for profile in ("ideal", "2.8", "3.1"):
        upstream.clear()
        async with make_proxy(profile).running() as proxy:
            await proxy.get(TAGGED, accept="application/x-mine")
        accepted = upstream.asked("HEAD")[0].headers["accept"]
        assert "application/x-mine" not in accepted
        for media_type in (
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
            "application/vnd.docker.distribution.manifest.v2+json",
        ):
            assert media_type in accepted
        assert ("v1+prettyjws" in accepted) is (profile != "3.1")


async def test_ns_is_not_passed_on(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image
) -> None:
    async with make_proxy().running() as proxy:
        assert await pull(proxy, image, f"{TAGGED}?ns=docker.io") == 200
    assert all("ns" not in line for line in upstream.lines)


# -- upstreams that lack something -----------------------------------------------------------------


@every_profile
async def test_parameters_of_content_type(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    """5.15."""

    def with_charset(request: httpx.Request) -> httpx.Response:
        answer = upstream.stored(request)
        answer.headers["content-type"] += "; charset=utf-8"
        return answer

    upstream.on(f"* {TAGGED}", with_charset)
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(TAGGED, **accept(image))
    assert answer.status == 200
    assert answer.headers["content-type"] == image.media_type


@every_profile
async def test_an_unknown_content_type(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    """5.14: releases give up, ``ideal`` looks at the content."""

    def as_json(request: httpx.Request) -> httpx.Response:
        answer = upstream.stored(request)
        answer.headers["content-type"] = "application/json"
        return answer

    upstream.on(f"* {digest_path(image)}", as_json)
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(digest_path(image), **accept(image))
    if profile == "ideal":
        assert (answer.status, answer.body) == (200, image.content)
        assert answer.headers["content-type"] == image.media_type
    else:
        assert (answer.status, answer.code) == (500, "UNKNOWN")
        if profile != "2.8":
            wording = "unsupported manifest media type and no default available: application/json"
            assert answer.detail == wording


# -- wrong bytes -----------------------------------------------------------------------------------


async def test_a_tag_whose_manifest_is_wrong_is_not_linked(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image
) -> None:
    upstream.on(f"GET {digest_path(image)}", httpx.Response(200, content=b"{}"))
    async with make_proxy().running() as proxy:
        assert await pull(proxy, image) == 502
        assert proxy.files() == []


# -- conditions ------------------------------------------------------------------------------------
async def test_not_modified_by_tag_caches_too(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image
) -> None:
    async with make_proxy().running() as proxy:
        answer = await proxy.get(TAGGED, if_none_match=f'"{image.digest}"', **accept(image))
        assert answer.status == 304
        upstream.down = True
        assert await pull(proxy, image) == 200


# -- upstream fails --------------------------------------------------------------------------------
def dropped(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset", request=request)


def hung(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("", request=request)


FAULTS: dict[str, int | Callable[[httpx.Request], httpx.Response]] = {
    "400": 400,
    "401": 401,
    "403": 403,
    "404": 404,
    "418": 418,
    "429": 429,
    "500": 500,
    "503": 503,
    "dropped": dropped,
    "hung": hung,
}
HONEST = {
    "400": (502, "UNAVAILABLE"),
    "401": (403, "DENIED"),
    "403": (403, "DENIED"),
    "404": (404, "MANIFEST_UNKNOWN"),
    "418": (502, "UNAVAILABLE"),
    "429": (429, "TOOMANYREQUESTS"),
    "500": (502, "UNAVAILABLE"),
    "503": (503, "UNAVAILABLE"),
    "dropped": (502, "UNAVAILABLE"),
    "hung": (504, "UNAVAILABLE"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_failures_are_reported(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, fault: str
) -> None:
    upstream.on(f"* {TAGGED}", FAULTS[fault])
    upstream.on(f"* {digest_path(image)}", FAULTS[fault])
    async with make_proxy().running() as proxy:
        for path in (TAGGED, digest_path(image)):
            answer = await proxy.get(path, **accept(image))
            assert (answer.status, answer.code) == HONEST[fault]
            assert "www-authenticate" not in answer.headers
            assert "registry.example" not in answer.body.decode()


@pytest.mark.parametrize("retry_after", ["7", "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_retry_after_is_kept(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, retry_after: str
) -> None:
    upstream.on(f"* {TAGGED}", httpx.Response(429, headers={"Retry-After": retry_after}))
    async with make_proxy().running() as proxy:
        answer = await proxy.get(TAGGED, **accept(image))
    assert answer.headers["retry-after"] == retry_after


async def test_retry_after_of_nonsense_is_dropped(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image
) -> None:
    upstream.on(f"* {TAGGED}", httpx.Response(503, headers={"Retry-After": "<script>"}))
    async with make_proxy().running() as proxy:
        answer = await proxy.get(TAGGED, **accept(image))
    assert answer.status == 503
    assert "retry-after" not in answer.headers


async def test_an_unknown_digest_is_reported_with_its_name(
    make_proxy: MakeProxy,
) -> None:
    async with make_proxy().running() as proxy:
        answer = await proxy.get(f"/v2/team/app/manifests/{MISSING}")
    assert answer.detail == f"unknown manifest name=team/app revision={MISSING}"


# -- counting --------------------------------------------------------------------------------------
@every_profile
async def test_manifests_are_counted(make_proxy: MakeProxy, image: Image, profile: str) -> None:
    async with make_proxy(profile).running() as proxy:
        await pull(proxy, image)
        await pull(proxy, image)
        counted = proxy.counters.manifest
    size = len(image.content)
    assert (counted.requests, counted.hits, counted.misses) == (2, 1, 1)
    assert (counted.pulled_bytes, counted.pushed_bytes) == (size, 2 * size)

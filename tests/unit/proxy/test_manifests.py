"""Pulling manifests through: what upstream is asked, what is stored, what the client is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from harness.content import Image, an_image, an_index
from reference_registry.digest import digest_of
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


@every_profile
async def test_by_digest(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    """5.3, 5.4."""
    async with make_proxy(profile).running() as proxy:
        assert await pull(proxy, image, digest_path(image)) == 200
        ping = [] if profile == "ideal" else ["GET /v2/"]
        assert upstream.lines == [*ping, f"GET {digest_path(image)}"]
        upstream.clear()
        assert await pull(proxy, image, digest_path(image)) == 200
        assert await pull(proxy, image, digest_path(image), "HEAD") == 200
        assert upstream.lines == []
        assert not proxy.holds("/tags/")


async def test_upstream_is_asked_for_every_type_whoever_asks(
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


@every_profile
async def test_an_index_brings_no_children(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    index = an_index(an_image("a"), an_image("b"))
    upstream.add("team/app", index, "multi")
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get("/v2/team/app/manifests/multi", accept=index.media_type)
        assert answer.body == index.content
        assert list(proxy.scheduled) == [f"team/app@{index.digest}"]


async def test_clients_that_ask_at_once_share_one_request(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image
) -> None:
    async with make_proxy().running() as proxy:
        statuses = await asyncio.gather(*(pull(proxy, image) for _ in range(8)))
        assert statuses == [200] * 8
        assert upstream.lines == [f"HEAD {TAGGED}", f"GET {digest_path(image)}"]
        assert proxy.counters.manifest.pulled_bytes == len(image.content)


async def test_a_client_that_leaves_does_not_end_it_for_the_others(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image
) -> None:
    asked, arrived = asyncio.Event(), asyncio.Event()

    async def late(request: httpx.Request) -> httpx.Response:
        asked.set()
        await arrived.wait()
        return upstream.stored(request)

    upstream.on(f"GET {digest_path(image)}", late)
    async with make_proxy().running() as proxy:
        first = asyncio.ensure_future(pull(proxy, image, digest_path(image)))
        second = asyncio.ensure_future(pull(proxy, image, digest_path(image)))
        await asked.wait()
        first.cancel()
        arrived.set()
        assert await second == 200
    assert len(upstream.asked("GET")) == 1


@every_release
async def test_releases_ask_for_each_client(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    """5.7."""
    async with make_proxy(profile).running() as proxy:
        assert await asyncio.gather(*(pull(proxy, image) for _ in range(4))) == [200] * 4
    assert upstream.count()[f"HEAD {TAGGED}"] == upstream.count()[f"GET {TAGGED}"] == 4


# -- upstreams that lack something -----------------------------------------------------------------
@every_profile
async def test_an_upstream_without_head(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    """5.8: GET instead, and by releases GET again for the body."""
    upstream.on(f"HEAD {TAGGED}", 405)
    async with make_proxy(profile).running() as proxy:
        assert await pull(proxy, image) == 200
    asked = [line for line in upstream.lines if line != "GET /v2/"]
    again = [] if profile == "ideal" else [f"GET {TAGGED}"]
    assert asked == [f"HEAD {TAGGED}", f"GET {TAGGED}", *again]


@every_profile
async def test_an_upstream_that_names_no_digest(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    """5.9."""

    def nameless(request: httpx.Request) -> httpx.Response:
        answer = upstream.stored(request)
        del answer.headers["docker-content-digest"]
        return answer

    upstream.on(f"* {TAGGED}", nameless)
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(TAGGED, **accept(image))
    assert answer.status == 200
    assert answer.headers["docker-content-digest"] == image.digest


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
async def test_wrong_bytes_are_refused(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image
) -> None:
    other = an_image("other")
    upstream.on(
        f"GET {digest_path(image)}",
        httpx.Response(200, headers={"Content-Type": other.media_type}, content=other.content),
    )
    async with make_proxy().running() as proxy:
        answer = await proxy.get(digest_path(image), **accept(image))
        assert (answer.status, answer.code) == (502, "UNAVAILABLE")
        assert proxy.files() == []
        assert proxy.scheduled == {}


@every_release
async def test_releases_serve_wrong_bytes(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    """5.12: stored under the digest that they have, scheduled under the one that was asked for."""
    other = an_image("other")
    upstream.on(
        f"GET {digest_path(image)}",
        httpx.Response(200, headers={"Content-Type": other.media_type}, content=other.content),
    )
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(digest_path(image), **accept(image))
        assert (answer.status, answer.body) == (200, other.content)
        assert answer.headers["docker-content-digest"] == image.digest
        assert proxy.holds(other.digest.partition(":")[2])
        assert not proxy.holds(image.digest.partition(":")[2])
        assert list(proxy.scheduled) == [f"team/app@{image.digest}"]
        upstream.clear()
        await proxy.get(digest_path(image), **accept(image))
        assert f"GET {digest_path(image)}" in upstream.lines


@pytest.mark.parametrize("profile", ["ideal", "2.8", "3.1"])
async def test_bytes_that_are_no_manifest(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    garbage = httpx.Response(200, headers={"Content-Type": image.media_type}, content=b"garbage")
    upstream.on(f"GET {digest_path(image)}", garbage)
    async with make_proxy(profile).running() as proxy:
        assert await pull(proxy, image, digest_path(image)) == (502 if profile == "ideal" else 500)
        assert proxy.files() == []


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


@every_release
async def test_not_modified_leaves_a_tag_without_its_manifest(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    """5.16 (#4477)."""
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(TAGGED, if_none_match=f'"{image.digest}"', **accept(image))
        assert answer.status == 304
        assert proxy.holds("/tags/v1/current/link")
        assert not proxy.holds("blobs/")
        upstream.down = True
        assert await pull(proxy, image) == 500


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
async def test_failures_are_told_honestly(
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


@every_release
@pytest.mark.parametrize("fault", FAULTS)
async def test_failures_by_releases(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str, fault: str
) -> None:
    """12.6, 12.7 (#3842): 404 for every tag, 500 for every digest."""
    upstream.on(f"* {TAGGED}", FAULTS[fault])
    upstream.on(f"* {digest_path(image)}", FAULTS[fault])
    async with make_proxy(profile).running() as proxy:
        by_tag = await proxy.get(TAGGED, **accept(image))
        by_digest = await proxy.get(digest_path(image), **accept(image))
    assert (by_tag.status, by_tag.code) == (404, "MANIFEST_UNKNOWN")
    assert (by_digest.status, by_digest.code) == (500, "UNKNOWN")


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


@every_profile
@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_cached_is_served_whatever_upstream_says(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str, fault: str
) -> None:
    """12.2, 12.3, 12.10; ``ideal`` says that it is stale (RFC 9111, 5.5)."""
    async with make_proxy(profile).running() as proxy:
        assert await pull(proxy, image) == 200
        upstream.on(f"* {TAGGED}", FAULTS[fault])
        stale = await proxy.get(TAGGED, **accept(image))
        by_digest = await proxy.get(digest_path(image), **accept(image))
    assert (stale.status, stale.body) == (200, image.content)
    expected = '110 - "Response is Stale"' if profile == "ideal" else None
    assert stale.headers.get("warning") == expected
    assert by_digest.status == 200
    assert "warning" not in by_digest.headers


@every_profile
async def test_a_moved_tag(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    """12.1: the old revision stays, under the tag's index too."""
    moved = an_image("moved")
    async with make_proxy(profile).running() as proxy:
        await pull(proxy, image)
        upstream.add("team/app", moved, "v1")
        answer = await proxy.get(TAGGED, **accept(image))
        assert answer.headers["docker-content-digest"] == moved.digest
        for each in (image, moved):
            hex_digits = each.digest.partition(":")[2]
            assert proxy.holds(f"/revisions/sha256/{hex_digits}/link")
            assert proxy.holds(f"/tags/v1/index/sha256/{hex_digits}/link")


@every_profile
async def test_a_ping_that_fails(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image, profile: str
) -> None:
    async with make_proxy(profile).running() as proxy:
        await pull(proxy, image)
        upstream.on("GET /v2/", dropped)
        cached = await pull(proxy, image)
        missing = await proxy.get(f"/v2/team/app/manifests/{MISSING}", **accept(image))
    assert cached == 200
    assert missing.status == (404 if profile == "ideal" else 500)


@pytest.mark.parametrize(
    ("profile", "shown"),
    [
        ("2.8", {"errors": [{"code": "TOOMANYREQUESTS", "message": "slow <down>"}]}),
        ("3.1", "toomanyrequests: slow <down>"),
    ],
)
async def test_the_detail_of_releases(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str, shown: object
) -> None:
    """In full, as what Go prints of the error (see test_go_errors)."""
    path = f"/v2/team/app/manifests/{MISSING}"
    refusal = {"errors": [{"code": "TOOMANYREQUESTS", "message": "slow <down>"}]}
    upstream.on(f"GET {path}", httpx.Response(429, json=refusal))
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(path)
    assert answer.detail == shown
    assert b"slow \\u003cdown\\u003e" in answer.body


async def test_the_detail_of_an_unreachable_upstream(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """12.5."""
    upstream.down = False
    for profile in ("2.8", "3.1"):
        async with make_proxy(profile).running() as proxy:
            upstream.down = True
            detail = (await proxy.get(f"/v2/team/app/manifests/{MISSING}")).detail
            upstream.down = False
        url = "http://registry.example/v2/"
        if profile == "2.8":
            assert (detail["Op"], detail["URL"]) == ("Get", url)
        else:
            refused = "dial tcp registry.example:80: connect: connection refused"
            assert detail == f'Get "{url}": {refused}'


async def test_a_digest_upstream_does_not_have_is_told_with_its_name(
    make_proxy: MakeProxy,
) -> None:
    async with make_proxy().running() as proxy:
        answer = await proxy.get(f"/v2/team/app/manifests/{MISSING}")
    assert answer.detail == f"unknown manifest name=team/app revision={MISSING}"


# -- referrers -------------------------------------------------------------------------------------
async def test_referrers_come_from_upstream(
    make_proxy: MakeProxy, upstream: UpstreamDouble, image: Image
) -> None:
    path = f"/v2/team/app/referrers/{image.digest}"
    entry = {"mediaType": image.media_type, "digest": digest_of(b"x"), "size": 1}
    upstream.on(f"GET {path}", httpx.Response(200, json={"schemaVersion": 2, "manifests": [entry]}))
    async with make_proxy().running() as proxy:
        answer = await proxy.get(path)
        assert answer.json()["manifests"] == [entry]
        upstream.down = True
        answer = await proxy.get(path)
        assert (answer.status, answer.code) == (502, "UNAVAILABLE")


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

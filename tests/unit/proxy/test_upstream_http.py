"""One request to upstream: redirects, second tries, failures as values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from reference_registry.clock import ManualClock
from reference_registry.config import ProxyConfig
from reference_registry.config.problem import CannotStart
from reference_registry.digest import Digest, digest_of
from reference_registry.profiles import profile_named
from reference_registry.proxy.upstream.client import UpstreamRepository
from reference_registry.proxy.upstream.errors import (
    UpstreamBroken,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from reference_registry.proxy.upstream.responses import read_body
from reference_registry.proxy.upstream.upstream import Upstream
from tests.support.upstream_double import Pieces, UpstreamDouble, broken

pytestmark = pytest.mark.anyio

BLOB = b"0123456789" * 10
DIGEST = digest_of(BLOB)
PATH = f"/v2/team/app/blobs/{DIGEST}"


def connect(
    double: UpstreamDouble,
    profile: str = "ideal",
    remoteurl: str = "https://registry.example",
    resolve: Callable[[str], list[str]] | None = None,
    timeout: float = 60.0,
    **login: Any,
) -> Upstream:
    async def addresses(host: str) -> list[str]:
        return resolve(host) if resolve is not None else []

    config = ProxyConfig(remoteurl=remoteurl, **login)
    return Upstream(
        config,
        profile_named(profile),
        ManualClock(),
        transport=double.transport,
        resolve=addresses,
        timeout=timeout,
    )


def repository_of(upstream: Upstream, name: str) -> UpstreamRepository:
    return UpstreamRepository(upstream, name)


@pytest.fixture
def double() -> UpstreamDouble:
    double = UpstreamDouble()
    double.add_blob("team/app", BLOB, DIGEST)
    return double


async def pull(upstream: Upstream, digest: Digest = DIGEST) -> bytes:
    body = await repository_of(upstream, "team/app").open_blob(digest)
    return b"".join([chunk async for chunk in body.chunks()])


def to(location: str, status: int = 307) -> httpx.Response:
    return httpx.Response(status, headers={"Location": location})


# -- redirects -------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(double: UpstreamDouble, status: int) -> None:
    double.on(f"GET {PATH}", to("https://cdn.test/x?signature=1", status))
    double.on("GET /x?signature=1", httpx.Response(200, content=BLOB))
    assert await pull(connect(double)) == BLOB
    assert [r.url.host for r in double.requests] == ["registry.example", "cdn.test"]


async def test_head_stays_head_on_the_way(double: UpstreamDouble) -> None:
    double.on(f"HEAD {PATH}", to("/elsewhere", 303))
    double.on("HEAD /elsewhere", httpx.Response(200, headers={"Content-Length": "100"}))
    info = await repository_of(connect(double), "team/app").stat_blob(DIGEST)
    assert info.size == 100


async def test_credentials_stay_with_their_origin(double: UpstreamDouble) -> None:
    double.challenge = 'Basic realm="registry"'
    double.on("GET /x", httpx.Response(200, content=BLOB))
    upstream = connect(double, username="joe", password="s3cret")
    assert await pull(upstream) == BLOB
    double.on(f"GET {PATH}", to("https://cdn.test/x"))
    double.clear()
    assert await pull(upstream) == BLOB
    first, second = double.requests
    assert first.headers["authorization"].startswith("Basic ")
    assert "authorization" not in second.headers


async def test_a_challenge_of_another_host_is_not_answered(double: UpstreamDouble) -> None:
    double.on(f"GET {PATH}", to("https://cdn.test/x"))
    double.on("GET /x", httpx.Response(401, headers={"WWW-Authenticate": "Basic realm=cdn"}))
    with pytest.raises(UpstreamRefused):
        await pull(connect(double, username="joe", password="s3cret"))
    assert all("authorization" not in r.headers for r in double.requests)


async def test_redirects_end_after_five(double: UpstreamDouble) -> None:
    double.on(f"GET {PATH}", to(PATH))
    with pytest.raises(UpstreamUnreachable, match="stopped after 6 redirects"):
        await pull(connect(double))
    assert len(double.requests) == 6


@pytest.mark.parametrize(("redirects", "ends"), [(9, False), (10, True)])
async def test_releases_send_ten_requests(
    double: UpstreamDouble, redirects: int, ends: bool
) -> None:
    found = [to(f"{PATH}?sig=s3cret")] * redirects
    double.on(f"GET {PATH}", found[0], httpx.Response(200, content=BLOB))
    double.on(f"GET {PATH}?sig=s3cret", *found[1:], httpx.Response(200, content=BLOB))
    if not ends:
        await pull(connect(double, "2.8"))
        return
    with pytest.raises(UpstreamUnreachable) as failed:
        await pull(connect(double, "2.8"))
    assert str(failed.value) == f"GET {PATH}: stopped after 10 redirects"
    assert len(double.requests) == 10


@pytest.mark.parametrize(
    "location",
    [
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/x",
        "http://cdn.test/x",
        "https://joe:pw@cdn.test/x",
    ],
)
async def test_redirects_to_where_we_do_not_go(double: UpstreamDouble, location: str) -> None:
    double.on(f"GET {PATH}", to(location))
    with pytest.raises(UpstreamBroken, match="refused to go there"):
        await pull(connect(double))
    assert {r.url.host for r in double.requests} == {"registry.example"}


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("file:///etc/passwd", 'GET file:///etc/passwd: unsupported protocol scheme "file"'),
        (
            "ftp://joe:pw@cdn.test/x?sig=1",
            'GET ftp://cdn.test/x: unsupported protocol scheme "ftp"',
        ),
        (
            "https://cdn.test:0/x",
            f"GET https://registry.example{PATH}: "
            'failed to parse Location header "https://cdn.test:0/x"',
        ),
    ],
)
async def test_redirects_to_nowhere(double: UpstreamDouble, location: str, said: str) -> None:
    double.on(f"GET {PATH}", to(location))
    with pytest.raises(UpstreamUnreachable) as failed:
        await pull(connect(double))
    assert str(failed.value) == said
    assert len(double.requests) == 1


async def test_a_redirect_without_a_location(double: UpstreamDouble) -> None:
    """It is an answer; for releases one of success."""
    double.on(f"GET {PATH}", httpx.Response(307, content=BLOB))
    with pytest.raises(UpstreamRefused):
        await pull(connect(double))
    assert len(double.requests) == 1
    await pull(connect(double, "2.8"))


async def test_a_name_for_a_local_address_is_refused(double: UpstreamDouble) -> None:
    double.on(f"GET {PATH}", to("https://metadata.test/x"))
    upstream = connect(double, resolve=lambda host: ["192.0.2.1", "169.254.169.254"])
    with pytest.raises(UpstreamBroken, match=r"metadata\.test is local"):
        await pull(upstream)


async def test_releases_follow_everywhere(double: UpstreamDouble) -> None:
    double.on(f"GET {PATH}", to("http://127.0.0.1:9/x"))
    double.on("GET /x", httpx.Response(200, content=BLOB))
    assert await pull(connect(double, "2.8")) == BLOB


# -- requests --------------------------------------------------------------------------------------


async def test_cookies_are_not_kept(double: UpstreamDouble) -> None:
    answer = httpx.Response(200, headers={"Set-Cookie": "track=1"}, content=BLOB)
    double.on(f"GET {PATH}", answer, httpx.Response(200, content=BLOB))
    upstream = connect(double)
    await pull(upstream)
    await pull(upstream)
    assert all("cookie" not in r.headers for r in double.requests)


@pytest.mark.parametrize(
    ("profile", "remoteurl", "path"),
    [
        ("ideal", "https://registry.example/sub", "/sub/v2/team/app/tags/list"),
        ("ideal", "https://registry.example/sub/", "/sub/v2/team/app/tags/list"),
        ("ideal", "https://registry.example", "/v2/team/app/tags/list"),
        ("2.8", "https://registry.example/sub", "/v2/team/app/tags/list"),
    ],
)
async def test_a_path_in_remoteurl(
    double: UpstreamDouble, profile: str, remoteurl: str, path: str
) -> None:
    double.on(f"GET {path}", httpx.Response(200, json={"tags": ["v1"]}))
    tags = await repository_of(connect(double, profile, remoteurl), "team/app").tags()
    assert tags == ["v1"]
    assert double.requests[-1].url.path == path


@pytest.mark.parametrize("remoteurl", ["registry.example", "ftp://x", "http://", "http://[", ""])
def test_remoteurl_that_is_none(double: UpstreamDouble, remoteurl: str) -> None:
    with pytest.raises(CannotStart) as caught:
        connect(double, remoteurl=remoteurl)
    assert caught.value.released_exit_code == 2


# -- failures --------------------------------------------------------------------------------------
async def test_a_refusal_keeps_what_was_said(double: UpstreamDouble) -> None:
    refusal = httpx.Response(429, headers={"Retry-After": "7"}, content=b"slow down")
    double.on(f"GET {PATH}", refusal)
    with pytest.raises(UpstreamRefused) as caught:
        await pull(connect(double))
    assert caught.value.refusal.retry_after == "7"
    assert caught.value.refusal.body == b"slow down"
    assert (
        str(caught.value)
        == f"GET https://registry.example{PATH}: upstream answered 429 Too Many Requests"
    )


async def test_no_connection_is_tried_once_more(double: UpstreamDouble) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request) from ConnectionRefusedError(111, "refused")

    double.on(f"GET {PATH}", refuse, httpx.Response(200, content=BLOB))
    assert await pull(connect(double)) == BLOB
    double.on(f"GET {PATH}", refuse)
    with pytest.raises(UpstreamUnreachable) as caught:
        await pull(connect(double))
    assert caught.value.cause == "dial tcp registry.example:443: connect: connection refused"


async def test_releases_try_once(double: UpstreamDouble) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("reset", request=request)

    double.on(f"GET {PATH}", refuse, httpx.Response(200, content=BLOB))
    with pytest.raises(UpstreamUnreachable):
        await pull(connect(double, "2.8"))


async def test_a_timeout_is_not_tried_again(double: UpstreamDouble) -> None:
    def hang(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    double.on(f"GET {PATH}", hang, httpx.Response(200, content=BLOB))
    with pytest.raises(UpstreamTimedOut):
        await pull(connect(double))


async def test_time_limits(double: UpstreamDouble) -> None:
    for profile in ("ideal", "2.8"):
        with suppress(UpstreamFailure):
            await pull(connect(double, profile))
    ideal, released = (r.extensions["timeout"] for r in double.requests)
    assert (ideal["connect"], ideal["read"]) == (10.0, 60.0)
    assert released["read"] is None


@pytest.mark.parametrize(("seconds", "connect_seconds"), [(3.0, 3.0), (30.0, 10.0)])
async def test_time_limits_that_are_set(
    double: UpstreamDouble, seconds: float, connect_seconds: float
) -> None:
    await pull(connect(double, timeout=seconds))
    (limits,) = (request.extensions["timeout"] for request in double.requests)
    assert (limits["connect"], limits["read"]) == (connect_seconds, seconds)


async def test_a_cached_tag_waits_less_long(double: UpstreamDouble) -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("not reached")

    double.on("HEAD /v2/team/app/manifests/v1", never)
    upstream = connect(double)
    assert upstream.resolve_timeout == 10.0
    assert connect(double, "2.8").resolve_timeout is None
    upstream.resolve_timeout = 0.0
    with pytest.raises(UpstreamTimedOut, match=r"HEAD .*/manifests/v1: timeout awaiting"):
        await repository_of(upstream, "team/app").resolve("v1", is_cached=True)


async def test_a_body_that_ends_early(double: UpstreamDouble) -> None:
    body = Pieces(BLOB[:40], broken())
    double.on(f"GET {PATH}", httpx.Response(200, stream=body))
    with pytest.raises(UpstreamBroken, match=f"GET https://registry.example{PATH}: ") as failed:
        await pull(connect(double))
    assert failed.value.cause == "unexpected EOF"
    assert body.closed


async def test_a_stalled_body(double: UpstreamDouble) -> None:
    body = Pieces(BLOB[:40], httpx.ReadTimeout(""))
    double.on(f"GET {PATH}", httpx.Response(200, stream=body))
    with pytest.raises(UpstreamTimedOut):
        await pull(connect(double))


async def test_a_body_that_is_too_large(double: UpstreamDouble) -> None:
    body = Pieces(*[b"x" * 1000] * 100)
    double.on("GET /big", httpx.Response(200, stream=body))
    upstream = connect(double)
    response = await upstream.send(
        "GET", httpx.URL("https://registry.example/big"), session=upstream.session("team/app")
    )
    with pytest.raises(UpstreamBroken, match="larger than 2500 bytes"):
        await read_body(response, 2500)
    assert body.taken < 5
    assert body.closed


async def test_a_manifest_larger_than_four_mebibytes_is_not_read(double: UpstreamDouble) -> None:
    body = Pieces(*[b"x" * 65536] * 1000)
    double.on("GET /v2/team/app/manifests/v1", httpx.Response(200, stream=body))
    with pytest.raises(UpstreamBroken, match="larger"):
        await repository_of(connect(double), "team/app").manifest("v1")
    assert body.taken <= 65


@pytest.mark.parametrize(
    "content_range", ["", "bytes 0-99/100", "bytes 51-99/100", "bytes x-y/z", "bytes 50-99/*"]
)
async def test_a_range_that_was_not_asked_for(double: UpstreamDouble, content_range: str) -> None:
    headers = {"Content-Range": content_range} if content_range else {}
    double.on(f"GET {PATH}", httpx.Response(206, headers=headers, content=BLOB[50:]))
    with pytest.raises(UpstreamBroken, match="not the range"):
        await repository_of(connect(double), "team/app").open_blob(DIGEST, 50)


@pytest.mark.parametrize("length", ["", "-5", "1e3", "9" * 30, "12, 13"])
async def test_a_blob_without_a_length(double: UpstreamDouble, length: str) -> None:
    headers = {"Content-Length": length} if length else {}
    double.on(f"HEAD {PATH}", httpx.Response(200, headers=headers))
    with pytest.raises(UpstreamBroken, match="missing content-length"):
        await stat(connect(double, "3.1"))
    assert await stat(connect(double)) == len(BLOB)


# -- tags ------------------------------------------------------------------------------------------
TAGS = "/v2/team/app/tags/list"


def page(tags: object, link: str | None = None) -> httpx.Response:
    headers = {"Link": f'<{link}>; rel="next"'} if link is not None else {}
    return httpx.Response(200, headers=headers, json={"name": "team/app", "tags": tags})


async def test_one_page_of_tags(double: UpstreamDouble) -> None:
    double.on(f"GET {TAGS}?last=a&n=1", page(["b"], f"{TAGS}?last=b"))
    double.on(f"GET {TAGS}?n=2", page(["a", "b"]))
    repository = repository_of(connect(double), "team/app")
    assert await repository.page_of_tags(1, "a") == (["b"], True)
    assert await repository.page_of_tags(2, None) == (["a", "b"], False)
    assert len(double.requests) == 2


@pytest.mark.parametrize(
    "link", ["https://evil.test/v2/x/tags/list", "http://registry.example/x", TAGS, "ftp://x"]
)
async def test_a_next_page_elsewhere_is_not_fetched(double: UpstreamDouble, link: str) -> None:
    double.on(f"GET {TAGS}", page(["a"], link))
    with pytest.raises(UpstreamBroken, match="the next page is"):
        await repository_of(connect(double), "team/app").tags()
    assert len(double.requests) == 1


async def test_pages_without_end(double: UpstreamDouble) -> None:
    def next_page(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("last", "0"))
        return page([f"t{number}"], f"{TAGS}?last={number + 1}")

    double.on(f"* {TAGS}", next_page)
    with pytest.raises(UpstreamBroken, match="more than 1000 pages"):
        await repository_of(connect(double), "team/app").tags()


@pytest.mark.parametrize("body", [b"", b"nope", b"[]x", b'{"tags": "v1"}', b'{"tags": [1]}'])
async def test_documents_that_are_not_tag_lists(double: UpstreamDouble, body: bytes) -> None:
    double.on(f"GET {TAGS}", httpx.Response(200, content=body))
    with pytest.raises(UpstreamBroken):
        await repository_of(connect(double), "team/app").tags()


# -- an upstream that has no HEAD for blobs --------------------------------------------------------
async def stat(upstream: Upstream) -> int | None:
    return (await repository_of(upstream, "team/app").stat_blob(DIGEST)).size


@pytest.mark.parametrize("head", [httpx.Response(405), httpx.Response(501), httpx.Response(200)])
async def test_a_blob_is_asked_about_by_its_first_byte(
    double: UpstreamDouble, head: httpx.Response
) -> None:
    head.headers.pop("content-length", None)
    double.on(f"HEAD {PATH}", head)
    assert await stat(connect(double)) == len(BLOB)
    (get,) = double.asked("GET")
    assert get.headers["range"] == "bytes=0-0"


@pytest.mark.parametrize("size", [len(BLOB), None])
async def test_a_whole_body_is_not_read_for_a_question(
    double: UpstreamDouble, size: int | None
) -> None:
    body = Pieces(BLOB[:10], BLOB[10:])
    headers = {} if size is None else {"Content-Length": str(size)}
    double.on(f"HEAD {PATH}", 405)
    double.on(f"GET {PATH}", httpx.Response(200, headers=headers, stream=body))
    assert await stat(connect(double)) == size
    assert body.closed
    assert body.taken == 0


@pytest.mark.parametrize(("status", "size"), [(416, 0), (404, None)])
async def test_the_first_byte_is_refused(
    double: UpstreamDouble, status: int, size: int | None
) -> None:
    double.on(f"HEAD {PATH}", 405)
    double.on(f"GET {PATH}", status)
    if size is not None:
        assert await stat(connect(double)) == size
        return
    with pytest.raises(UpstreamRefused, match=f"GET .*: upstream answered {status}"):
        await stat(connect(double))


@pytest.mark.parametrize("profile", ["2.8", "3.1"])
async def test_releases_know_no_other_way(double: UpstreamDouble, profile: str) -> None:
    head = httpx.Response(200)
    head.headers.pop("content-length", None)
    double.on(f"HEAD {PATH}", head)
    with pytest.raises(UpstreamBroken, match="missing content-length header"):
        await stat(connect(double, profile))
    double.on(f"HEAD {PATH}", 405)
    with pytest.raises(UpstreamRefused):
        await stat(connect(double, profile))
    assert not double.asked("GET", "/blobs/")

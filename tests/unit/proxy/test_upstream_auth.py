"""Getting into upstream: Basic, Bearer, token lifetime, and whom the password is shown to."""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import timedelta
from typing import Any

import httpx
import pytest

from reference_registry.clock import ManualClock
from reference_registry.config import ProxyConfig
from reference_registry.digest import digest_of
from reference_registry.profiles import profile_named
from reference_registry.proxy.errors import blob_error
from reference_registry.proxy.upstream.client import UpstreamRepository
from reference_registry.proxy.upstream.errors import (
    NoToken,
    UpstreamBroken,
    UpstreamFailure,
    UpstreamRefused,
)
from reference_registry.proxy.upstream.upstream import Upstream
from tests.support.upstream_double import UpstreamDouble

pytestmark = pytest.mark.anyio

BLOB = b"content"
PATH = f"/v2/team/app/blobs/{digest_of(BLOB)}"
JOE = "Basic " + base64.b64encode(b"joe:pa:ss").decode()


class Guarded(UpstreamDouble):
    """Gives a new token for each token request and takes only the last one."""

    def __init__(self, realm: str = "http://registry.example/token") -> None:
        super().__init__()
        self.add_blob("team/app", BLOB, digest_of(BLOB))
        self.challenge = f'Bearer realm="{realm}",service="reg"'
        self.issued = 0
        self.lifetime = 300
        for path in (PATH, "/v2/"):
            self.on(f"* {path}", self._check)
        self.on("* /token", self._issue)

    def _issue(self, request: httpx.Request) -> httpx.Response:
        self.issued += 1
        return httpx.Response(200, json={"token": f"t{self.issued}", "expires_in": self.lifetime})

    def _check(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != f"Bearer t{self.issued}" or not self.issued:
            assert self.challenge is not None
            return httpx.Response(401, headers={"WWW-Authenticate": self.challenge})
        return self.stored(request)

    @property
    def token_requests(self) -> list[httpx.Request]:
        return self.asked("GET", "/token")


def connect(
    double: UpstreamDouble,
    profile: str = "ideal",
    clock: ManualClock | None = None,
    remoteurl: str = "http://registry.example",
    **login: Any,
) -> Upstream:
    config = ProxyConfig(remoteurl=remoteurl, **login)
    return Upstream(
        config, profile_named(profile), clock or ManualClock(), transport=double.transport
    )


def repository_of(upstream: Upstream, name: str) -> UpstreamRepository:
    return UpstreamRepository(upstream, name)


LOGIN: dict[str, Any] = {"username": "joe", "password": "pa:ss"}


async def stat(upstream: Upstream) -> int | None:
    return (await repository_of(upstream, "team/app").stat_blob(digest_of(BLOB))).size


async def test_a_token_request_carries_the_user() -> None:
    double = Guarded()
    await stat(connect(double, **LOGIN))
    (request,) = double.token_requests
    assert request.headers["authorization"] == JOE
    assert request.url.params["account"] == "joe"


async def test_an_expired_token_is_replaced() -> None:
    double, clock = Guarded(), ManualClock()
    upstream = connect(double, clock=clock)
    await stat(upstream)
    clock.advance(timedelta(seconds=299))
    await stat(upstream)
    assert double.issued == 1
    clock.advance(timedelta(seconds=1))
    await stat(upstream)
    assert double.issued == 2


async def test_a_token_refused_in_its_life_is_replaced_once() -> None:
    double = Guarded()
    upstream = connect(double)
    await stat(upstream)
    double.issued += 1  # so that the token that is out is not the last one
    double.clear()
    assert await stat(upstream) == len(BLOB)
    assert len(double.token_requests) == 1


async def test_a_refusal_of_the_new_token_too_is_raised() -> None:
    double = Guarded()
    double.on(
        f"HEAD {PATH}", httpx.Response(401, headers={"WWW-Authenticate": str(double.challenge)})
    )
    with pytest.raises(UpstreamRefused) as caught:
        await stat(connect(double))
    assert caught.value.status == 401
    assert len(double.asked("HEAD")) == 2


async def test_tokens_are_for_one_repository() -> None:
    double = Guarded()
    upstream = connect(double)
    await stat(upstream)
    with pytest.raises(UpstreamFailure):
        await repository_of(upstream, "other/app").tags()
    scopes = [r.url.params["scope"] for r in double.token_requests]
    assert scopes == ["repository:team/app:pull", "repository:other/app:pull"]


async def test_basic() -> None:
    double = Guarded()
    double.challenge = 'Basic realm="it"'
    double.on(
        f"* {PATH}",
        lambda r: double.stored(r) if r.headers.get("authorization") == JOE else _basic(),
    )
    upstream = connect(double, **LOGIN)
    assert await stat(upstream) == await stat(upstream) == len(BLOB)
    assert len(double.requests) == 3  # refused once, then known


def _basic() -> httpx.Response:
    return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="it"'})


async def test_a_wrong_password_is_tried_once() -> None:
    double = UpstreamDouble()
    double.on(f"HEAD {PATH}", _basic())
    with pytest.raises(UpstreamRefused):
        await stat(connect(double, **LOGIN))
    assert len(double.requests) == 2


async def test_basic_without_a_user_is_refused() -> None:
    double = UpstreamDouble()
    double.on(f"HEAD {PATH}", _basic())
    with pytest.raises(UpstreamRefused):
        await stat(connect(double))
    assert len(double.requests) == 1


# -- realms ----------------------------------------------------------------------------------------
async def test_a_hostile_realm_is_not_even_asked(caplog: pytest.LogCaptureFixture) -> None:
    """CVE-2026-33540."""
    double = Guarded("http://evil.test/token")
    caplog.set_level(logging.WARNING)
    upstream = connect(double, **LOGIN)
    for _ in range(2):
        with pytest.raises(UpstreamRefused):
            await stat(upstream)
    assert {r.url.host for r in double.requests} == {"registry.example"}
    assert all("authorization" not in r.headers for r in double.requests)
    assert [r.getMessage() for r in caplog.records] == [
        "upstream names a token server on another site, evil.test: not used"
    ]


async def test_an_anonymous_token_may_come_from_anywhere() -> None:
    double = Guarded("http://tokens.test/token")
    assert await stat(connect(double)) == len(BLOB)
    assert double.token_requests[0].url.host == "tokens.test"


@pytest.mark.parametrize("realm", ["http://169.254.169.254/token", "http://localhost/token"])
async def test_no_token_is_fetched_from_a_local_address(realm: str) -> None:
    double = Guarded(realm)
    with pytest.raises(UpstreamBroken, match="local"):
        await stat(connect(double))
    assert double.issued == 0


@pytest.mark.parametrize("realm", ["", "ftp://registry.example/token", "::", "http://"])
async def test_a_realm_that_is_not_a_url(realm: str) -> None:
    double = Guarded(realm)
    with pytest.raises((UpstreamBroken, UpstreamRefused)):
        await stat(connect(double, **LOGIN))
    assert double.issued == 0


async def test_a_token_server_that_redirects_does_not_pass_the_password_on() -> None:
    double = Guarded()
    moved = httpx.Response(302, headers={"Location": "http://evil.test/token2"})
    double.on("* /token", moved)
    double.on("* /token2", httpx.Response(200, json={"token": "t0"}))
    with pytest.raises(UpstreamRefused):
        await stat(connect(double, **LOGIN))
    (hostile,) = [r for r in double.requests if r.url.host == "evil.test"]
    assert "authorization" not in hostile.headers


@pytest.mark.parametrize(
    ("profile", "used"), [("2.8", True), ("3.0", True), ("3.1", False), ("ideal", True)]
)
async def test_a_token_server_on_another_port_of_this_machine(profile: str, used: bool) -> None:
    double = Guarded("http://127.0.0.1:5001/token")
    upstream = connect(double, profile, remoteurl="http://127.0.0.1:5000", **LOGIN)
    if used:
        assert await stat(upstream) == len(BLOB)
    else:
        with pytest.raises(UpstreamRefused):
            await stat(upstream)
    assert bool(double.issued) is used


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, text="hello"), httpx.Response(200, json={})]
)
async def test_a_token_server_that_gives_no_token(answer: httpx.Response) -> None:
    double = Guarded()
    double.on("* /token", answer)
    with pytest.raises(UpstreamBroken, match="token server"):
        await stat(connect(double))


async def test_a_token_server_that_refuses() -> None:
    double = Guarded()
    double.on("* /token", 403)
    with pytest.raises(UpstreamRefused) as caught:
        await stat(connect(double, **LOGIN))
    assert caught.value.status == 403
    assert "joe" not in str(caught.value)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_token_server_that_is_not_there_says_nothing_of_the_image(status: int) -> None:
    double = Guarded()
    double.on("* /token", status)
    with pytest.raises(UpstreamBroken, match=f"/token: upstream answered {status}"):
        await stat(connect(double, **LOGIN))


# -- releases --------------------------------------------------------------------------------------
@pytest.mark.parametrize("profile", ["2.8", "3.1"])
async def test_a_token_server_that_is_not_there_is_an_error_of_a_blob(profile: str) -> None:
    """500, and not 404 as for a blob that is not there; measured on 2.8.2 and 3.1.1."""
    double = Guarded()
    double.on("* /token", 404)
    with pytest.raises(NoToken) as caught:
        await stat(connect(double, profile, **LOGIN))
    assert blob_error(caught.value, digest_of(BLOB), profile_named(profile)).status == 500


async def test_a_hung_ping_holds_up_all_others_though_its_client_left() -> None:
    """5.6 of what was measured."""
    double, hung = UpstreamDouble(), asyncio.Event()
    double.add_blob("team/app", BLOB, digest_of(BLOB))

    async def hang(request: httpx.Request) -> httpx.Response:
        await hung.wait()
        return httpx.Response(200)

    double.on("GET /v2/", hang)
    upstream = connect(double, "2.8")
    first = asyncio.ensure_future(stat(upstream))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.ensure_future(stat(upstream))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert double.lines == ["GET /v2/"]
    assert not second.done()
    hung.set()
    assert await second == len(BLOB)
    assert double.lines == ["GET /v2/", "GET /v2/", f"HEAD {PATH}"]
    await upstream.aclose()

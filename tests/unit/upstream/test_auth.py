"""Authentication as a client meets it: challenges, tokens, scopes, and who is trusted with what."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from harness.content import Image, an_image
from harness.upstream import Basic, Bearer, MockUpstream
from reference_registry.clock import ManualClock

TAG = "/v2/team/app/manifests/v1"
Make = Callable[..., MockUpstream]


def challenge_of(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """The scheme and the parameters of a 401."""
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
    scheme, _, rest = answer.headers["www-authenticate"].partition(" ")
    return scheme, dict(re.findall(r'(\w+)="([^"]*)"', rest))


def token_for(
    http: httpx.Client, answer: httpx.Response, login: tuple[str, str] | None = None
) -> str:
    """The token that the challenge of *answer* leads to."""
    _, parameters = challenge_of(answer)
    query = {name: value for name, value in parameters.items() if name in {"service", "scope"}}
    given = http.get(parameters["realm"], params=query, auth=login)
    given.raise_for_status()
    assert given.json()["token"] == given.json()["access_token"]
    return str(given.json()["token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def with_image(upstream: MockUpstream) -> tuple[MockUpstream, Image]:
    return upstream, upstream.add("team/app", an_image(), tags=("v1",))


# -- Basic --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "Basic dXNlcjp3cm9uZw==",  # user:wrong
        "Basic b3RoZXI6c2VjcmV0",  # other:secret
        "Basic dXNlcg==",  # user
        "Basic !!!",
        "Basic",
        "Bearer secret",
        "",
    ],
)
def test_basic_refuses_what_is_wrong(http: httpx.Client, make_upstream: Make, header: str) -> None:
    upstream, _ = with_image(make_upstream(Basic("user", "secret")))
    answer = http.get(upstream.url + TAG, headers={"Authorization": header})
    assert answer.status_code == 401


# -- Bearer -------------------------------------------------------------------------------------


def test_a_token_is_good_for_its_scope_only(http: httpx.Client, make_upstream: Make) -> None:
    upstream, _ = with_image(make_upstream(Bearer()))
    upstream.add("other", an_image(), tags=("v1",))
    headers = bearer(token_for(http, http.get(upstream.url + TAG)))
    for path, scope in [
        ("/v2/other/manifests/v1", "repository:other:pull"),
        ("/v2/_catalog", "registry:catalog:*"),
    ]:
        _, parameters = challenge_of(http.get(upstream.url + path, headers=headers))
        assert (parameters["error"], parameters["scope"]) == ("insufficient_scope", scope)
        more = bearer(token_for(http, http.get(upstream.url + path)))
        assert http.get(upstream.url + path, headers=more).status_code == 200
    written = http.put(upstream.url + TAG, headers=headers)
    assert challenge_of(written)[1]["scope"] == "repository:team/app:push"


@pytest.mark.parametrize(
    "query",
    [
        "scope=repository:team/app:pull&scope=repository:other:pull",
        "scope=repository:team/app:pull%20repository:other:pull",
        "scope=repository:team/app:push,pull&scope=repository:other:pull,push",
    ],
)
def test_several_scopes_in_one_token(http: httpx.Client, make_upstream: Make, query: str) -> None:
    upstream, _ = with_image(make_upstream(Bearer()))
    upstream.add("other", an_image(), tags=("v1",))
    token = http.get(f"{upstream.token_url}?service=mock-upstream&{query}").json()["token"]
    for path in (TAG, "/v2/other/manifests/v1"):
        assert http.get(upstream.url + path, headers=bearer(token)).status_code == 200


def test_tokens_expire(http: httpx.Client, make_upstream: Make) -> None:
    clock = ManualClock()
    upstream, _ = with_image(make_upstream(Bearer(lifetime=timedelta(minutes=1)), clock=clock))
    headers = bearer(token_for(http, http.get(upstream.url + TAG)))
    clock.advance(timedelta(seconds=59))
    assert http.get(upstream.url + TAG, headers=headers).status_code == 200
    clock.advance(timedelta(seconds=1))
    refused = http.get(upstream.url + TAG, headers=headers)
    assert challenge_of(refused)[1]["error"] == "invalid_token"
    assert upstream.ledger.entries[-1].token_known is True


def test_the_token_server_can_refuse(http: httpx.Client, make_upstream: Make) -> None:
    upstream = make_upstream(Bearer())
    upstream.token_server.refuse(503)
    assert http.get(upstream.token_url).status_code == 503
    upstream.token_server.refuse(None)
    assert http.get(upstream.token_url).status_code == 200
    upstream.on(kind="token", times=1).status(429)
    assert http.get(upstream.token_url).status_code == 429
    assert [entry.kind for entry in upstream.ledger.entries] == ["token"] * 3


def test_a_token_asked_for_by_post(http: httpx.Client, make_upstream: Make) -> None:
    upstream, _ = with_image(make_upstream(Bearer("user", "secret")))
    form = {
        "grant_type": "password",
        "service": "mock-upstream",
        "scope": "repository:team/app:pull",
        "username": "user",
        "password": "secret",
    }
    token = http.post(upstream.token_url, data=form).json()["access_token"]
    assert http.get(upstream.url + TAG, headers=bearer(token)).status_code == 200
    refused = http.post(upstream.token_url, data=form | {"password": "wrong"})
    assert refused.status_code == 401
    assert upstream.ledger.entries[0].credential == "form:user"
    assert http.delete(upstream.token_url).status_code == 405


def test_a_token_server_on_another_port(http: httpx.Client, make_upstream: Make) -> None:
    upstream, _ = with_image(make_upstream(Bearer(own_port=True)))
    assert not upstream.token_url.startswith(upstream.url)
    headers = bearer(token_for(http, http.get(upstream.url + TAG)))
    assert http.get(upstream.url + TAG, headers=headers).status_code == 200
    own = upstream.token_url.removesuffix("/token")
    assert http.get(own + TAG, headers=headers).status_code == 404
    assert http.get(f"{upstream.url}/token").status_code == 404
    upstream.down()
    with pytest.raises(httpx.ConnectError):
        http.get(upstream.token_url)
    upstream.up()
    assert http.get(upstream.token_url).status_code == 200


def test_no_secret_is_kept(http: httpx.Client, make_upstream: Make) -> None:
    upstream, _ = with_image(make_upstream(Bearer("user", "hunter2")))
    token = token_for(http, http.get(upstream.url + TAG), ("user", "hunter2"))
    http.get(upstream.url + TAG, headers=bearer(token) | {"Cookie": "session=hunter2"})
    http.post(upstream.token_url, data={"username": "user", "password": "hunter2"})
    kept = repr(upstream.ledger.entries) + upstream.ledger.describe() + repr(upstream.faults)
    kept += repr(Bearer("user", "hunter2")) + repr(Basic("user", "hunter2"))
    for secret in ("hunter2", token, "dXNlcjpodW50ZXIy"):
        assert secret not in kept
    assert upstream.token_server.tokens[0] == token
    assert (upstream.ledger.entries[1].header("authorization") or "").startswith("Basic ")

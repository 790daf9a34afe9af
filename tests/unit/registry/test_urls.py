"""Under which name the registry is reached, and the URLs it hands out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reference_registry.api import manifests
from reference_registry.api.context import base_url, location, prefixed
from reference_registry.app import Application, create_app
from reference_registry.config import Config, HttpConfig, StorageConfig
from reference_registry.profiles import profile_named
from tests.support.requests import a_request


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({}, "http://own:5000"),
        ({"x_forwarded_proto": "https"}, "https://own:5000"),
        ({"x_forwarded_host": "outer.example"}, "http://outer.example"),
        ({"x_forwarded_host": "outer.example , inner"}, "http://outer.example"),
        ({"x_forwarded_port": "444"}, "http://own:5000"),
        ({"forwarded": "proto = https;host=outer;"}, "https://outer"),
        ({"forwarded": "proto=https;host=outer:8"}, "http://own:5000"),  # not in quotes
        ({"forwarded": "host=outer;host=other"}, "http://own:5000"),
        ({"forwarded": 'for=1.2.3.4;proto=https;host="outer:8", host=inner'}, "https://outer:8"),
        ({"forwarded": "PROTO=https"}, "https://own:5000"),
        ({"forwarded": r'host="out\"er"'}, 'http://out"er'),
        ({"forwarded": "proto=https", "x_forwarded_host": "not.looked.at"}, "https://own:5000"),
        ({"forwarded": "no pairs", "x_forwarded_host": "not.looked.at"}, "http://own:5000"),
    ],
)
def test_base_url(headers: dict[str, str], base: str) -> None:
    assert base_url(a_request(host="own:5000", **headers), HttpConfig()) == base


def test_tls_is_seen() -> None:
    assert base_url(a_request(scheme="https", host="own"), HttpConfig()) == "https://own"


@pytest.mark.parametrize(
    ("http", "base"),
    [
        (HttpConfig(host="https://configured:1"), "https://configured:1"),
        (HttpConfig(host="https://configured", relativeurls=True), "https://configured"),
        (HttpConfig(host="configured"), "http://forwarded"),  # without a scheme
        (HttpConfig(relativeurls=True), ""),
    ],
)
def test_configured_host(http: HttpConfig, base: str) -> None:
    assert base_url(a_request(host="own", x_forwarded_host="forwarded"), http) == base


def test_location() -> None:
    request = a_request(host="own")

    assert location(request, HttpConfig(), "/v2/a/blobs/sha256:1", {}) == (
        "http://own/v2/a/blobs/sha256:1"
    )
    assert location(request, HttpConfig(prefix="/pre/"), "/v2/a", {"_state": "a=="}) == (
        "http://own/pre/v2/a?_state=a%3D%3D"
    )
    assert location(request, HttpConfig(relativeurls=True), "/v2/a\r\nX: y", {}) == (
        "/v2/a%0D%0AX:%20y"
    )


@pytest.mark.parametrize(("prefix", "path"), [("/", "/v2/"), ("/p", "/p/v2/"), ("/p/", "/p/v2/")])
def test_prefix(prefix: str, path: str) -> None:
    assert prefixed("/v2/", HttpConfig(prefix=prefix)) == path


def _ask(
    app: Application,
    method: str,
    path: str,
    *headers: tuple[bytes, bytes],
    body: bytes = b"",
    client: str = "10.0.0.5",
) -> dict[str, Any]:
    """The status and headers of the response."""
    seen: dict[str, Any] = {}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen["status"] = message["status"]
            seen.update(
                (name.decode().lower(), value.decode()) for name, value in message["headers"]
            )

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"own"), *headers],
        "client": (client, 1),
    }
    asyncio.run(app(scope, receive, send))
    return seen


def _app(profile: str, http: HttpConfig | None = None) -> Application:
    config = Config(storage=StorageConfig(driver="inmemory"), http=http or HttpConfig())
    return create_app(config, profile=profile_named(profile))


@pytest.mark.parametrize(
    ("profile", "path", "location"),
    [
        ("ideal", "/v2/../\\evil.com", None),
        ("ideal", "/v2/..//evil.com", None),
        ("ideal", "/v2//\r\nX", "/v2/%0D%0AX"),
        ("ideal", "/v2/x/../\\evil", "/v2/%5Cevil"),
        ("3.1", "/v2/../\\evil.com", "/%5Cevil.com"),
    ],
)
def test_a_redirect_stays_on_this_host(profile: str, path: str, location: str | None) -> None:
    seen = _ask(_app(profile), "GET", path)
    assert (seen["status"], seen.get("location")) == (301 if location else 404, location)


@pytest.mark.parametrize(
    ("profile", "trusted", "name", "value", "base"),
    [
        ("ideal", (), b"x-forwarded-host", b"outer", "http://own"),
        ("ideal", (), b"forwarded", b"host=outer", "http://own"),
        ("ideal", ("10.0.0.6",), b"x-forwarded-proto", b"https", "http://own"),
        ("ideal", ("10.0.0.0/24",), b"x-forwarded-proto", b"https", "https://own"),
        ("ideal", ("10.0.0.0/24",), b"x-forwarded-host", b"outer:5, x", "http://outer:5"),
        ("ideal", ("10.0.0.0/24",), b"x-forwarded-proto", b"javascript", "http://own"),
        ("ideal", ("10.0.0.0/24",), b"x-forwarded-host", b"a@b/c", "http://own"),
        ("ideal", ("10.0.0.0/24",), b"forwarded", b'host="a/b"', "http://own"),
        ("3.1", (), b"x-forwarded-host", b"outer", "http://outer"),
    ],
)
def test_forwarded_headers_of_trusted_proxies(
    profile: str, trusted: tuple[str, ...], name: bytes, value: bytes, base: str
) -> None:
    app = _app(profile, HttpConfig(trusted_proxies=trusted))
    seen = _ask(app, "POST", "/v2/a/blobs/uploads/", (name, value))
    assert seen["location"].startswith(f"{base}/v2/a/")


@pytest.mark.parametrize(
    ("client", "base"),
    [
        ("::ffff:10.0.0.5", "https://own"),
        ("fd00::5", "https://own"),
        ("::ffff:10.0.1.5", "http://own"),
        ("fd01::5", "http://own"),
    ],
)
def test_a_proxy_on_a_socket_for_both_families_is_trusted(client: str, base: str) -> None:
    """``addr: :5000``, the usual one, is such a socket."""
    app = _app("ideal", HttpConfig(trusted_proxies=("10.0.0.0/24", "fd00::/64")))
    header = (b"x-forwarded-proto", b"https")
    seen = _ask(app, "POST", "/v2/a/blobs/uploads/", header, client=client)
    assert seen["location"].startswith(f"{base}/v2/a/")


@pytest.mark.parametrize(("size", "status"), [(70_000, 503), (60_000, 400)])
def test_half_sent_manifests_have_a_budget(
    size: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small manifest is taken even if the budget is used up; here it is refused as no JSON."""
    monkeypatch.setattr(manifests, "_MAX_HELD", 1000)
    app = _app("ideal")
    for _ in range(2):
        seen = _ask(app, "PUT", "/v2/a/manifests/v1", body=b"x" * size)
        assert (seen["status"], seen.get("retry-after")) == (status, "5" if status == 503 else None)
    assert manifests._held.bytes == 0

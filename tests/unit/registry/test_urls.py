"""Under which name the registry is reached, and the URLs it hands out."""

from __future__ import annotations

import pytest

from reference_registry.api.context import base_url, location, prefixed
from reference_registry.config import HttpConfig
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

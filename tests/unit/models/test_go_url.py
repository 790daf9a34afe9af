"""URLs, paths and addresses as Go reads them (net/url, path, net)."""

from __future__ import annotations

import pytest

from harness.nodes.models.go_url import (
    InvalidURL,
    parse_url,
)


@pytest.mark.parametrize(
    ("text", "scheme", "host", "path"),
    [
        ("https://m.example", "https", "m.example", ""),
        ("HTTP://M.example:5001/v2", "http", "M.example:5001", "/v2"),
        ("https://u:p@m.example/v2?foo=bar#top", "https", "m.example", "/v2"),
        ("https://[::1]:5000/x", "https", "[::1]:5000", "/x"),
        ("https://m.example/a%20b", "https", "m.example", "/a b"),
        ("up.test:5000", "up.test", "", ""),
        ("httpmirror:5001/x", "httpmirror", "", ""),
        ("m.example/v2", "", "", "m.example/v2"),
        ("//m.example/v2", "", "m.example", "/v2"),
        ("https://m.example:", "https", "m.example:", ""),
        ("", "", "", ""),
    ],
)
def test_url_parse(text: str, scheme: str, host: str, path: str) -> None:
    url = parse_url(text)
    assert (url.scheme, url.host, url.path) == (scheme, host, path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("127.0.0.1:5000", "first path segment in URL cannot contain colon"),
        ("https://m.example:port", "invalid port"),
        ("https://m.exa mple", "invalid character"),
        ("https://m.example/%zz", "invalid URL escape"),
        ("https://[::1", "missing ']' in host"),
        ("https://[::1]x", "invalid port"),
        (":5000", "missing protocol scheme"),
        ("https://m.example/\n", "invalid control character"),
    ],
)
def test_url_parse_errors(text: str, reason: str) -> None:
    with pytest.raises(InvalidURL, match=reason):
        parse_url(text)

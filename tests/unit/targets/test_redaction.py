"""What is shown carries no credential, and stays readable."""

from __future__ import annotations

import httpx
import pytest

from harness.http.redaction import redact_headers, redact_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [redacted]"),
        ("auth=bearer eyJhbGciOi.J9-_x.abcdef", "auth=bearer [redacted]"),
        ("get http://user:pw@host/v2/ failed", "get http://[redacted]@host/v2/ failed"),
        ("password=hunter22 for hunter22", "password=[redacted] for [redacted]"),
        ('Www-Authenticate: Basic realm="registry.example.test"', None),
        ('Bearer realm="http://127.0.0.1:1/token",service="s"', None),
        ("no basic auth credentials", None),
        ("mail a@b.test about http://host/v2/a@sha256:00", None),
    ],
)
def test_text(text: str, shown: str | None) -> None:
    assert redact_text(text, ["hunter22"]) == (text if shown is None else shown)


def test_a_longer_secret_is_hidden_before_a_part_of_it() -> None:
    assert redact_text("hunter22", ["hunt", "hunter22"]) == "[redacted]"


def test_short_secret_is_not_replaced() -> None:
    assert redact_text("http/1.1 p", ["p"]) == "http/1.1 p"


def test_headers() -> None:
    headers = httpx.Headers(
        [
            ("Authorization", "Bearer short"),
            ("Proxy-Authorization", "opaque"),
            ("Set-Cookie", "a=b; Path=/"),
            ("Location", "http://u:p@h/x"),
            ("ETag", "tag"),
        ]
    )
    assert [value for _, value in redact_headers(headers)] == [
        "Bearer [redacted]",
        "[redacted]",
        "[redacted]",
        "http://[redacted]@h/x",
        "tag",
    ]

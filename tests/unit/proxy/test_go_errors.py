"""How releases tell their clients of upstream's failures; measured on 2.8.3 to 3.1.1."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from reference_registry.profiles import profile_named
from reference_registry.proxy.errors import GoError, go_error
from reference_registry.proxy.upstream.challenge import parse_challenges
from reference_registry.proxy.upstream.errors import (
    Refusal,
    UpstreamBroken,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamUnreachable,
)

_JSON = "application/json"


def _of(failure: UpstreamFailure, profile: str = "3.1") -> GoError:
    return go_error(failure, profile_named(profile))


def _refused(
    status: int,
    body: bytes = b"",
    *,
    media_type: str = _JSON,
    challenge: str = "",
    profile: str = "3.1",
) -> GoError:
    refusal = Refusal(
        status,
        "Reason",
        body,
        media_type,
        challenges=parse_challenges([challenge] * bool(challenge)),
    )
    return _of(UpstreamRefused("GET x", refusal), profile)


def _entry(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "message": message, **more}


@pytest.mark.parametrize(
    ("status", "body", "text", "struct"),
    [
        (
            404,
            b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}',
            "manifest unknown",
            {"errors": [_entry("MANIFEST_UNKNOWN", "manifest unknown")]},
        ),
        (
            429,
            b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}',
            "toomanyrequests: slow down",
            {"errors": [_entry("TOOMANYREQUESTS", "slow down")]},
        ),
        (
            403,
            b'{"errors":[{"code":"DENIED"},{"code":"NEW","message":"m","detail":{"a":1}}]}',
            "errors:\ndenied\nunknown: m\n",
            {
                "errors": [
                    _entry("DENIED", "requested access to the resource is denied"),
                    _entry("UNKNOWN", "m", detail={"a": 1}),
                ]
            },
        ),
        (403, b'{"details":"limit"}', "denied: limit", _entry("DENIED", "limit")),
        (418, b'{"details":"limit"}', "unknown: limit", _entry("UNKNOWN", "limit")),
        (
            500,
            b'{"errors":[{"code":"DENIED","message":"no"}]}',
            "received unexpected HTTP status: 500 Reason",
            {"Status": "500 Reason"},
        ),
    ],
)
def test_what_upstream_says(status: int, body: bytes, text: str, struct: object) -> None:
    assert _refused(status, body) == (text, struct)


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "UNAUTHORIZED"), (403, "DENIED"), (429, "TOOMANYREQUESTS"), (404, "UNKNOWN")],
)
def test_a_text_that_is_not_json_is_the_message(status: int, code: str) -> None:
    expected = (f"{code.lower()}: <b>no</b>", _entry(code, "<b>no</b>"))
    assert _refused(status, b"<b>no</b>", media_type="text/html") == expected
    assert _refused(status, media_type="") == (f"{code.lower()}: ", _entry(code, ""))


@pytest.mark.parametrize(
    ("body", "problem", "struct"),
    [
        (b"plain", "invalid character 'p' looking for beginning of value", {"Offset": 1}),
        (b" <html>", "invalid character '<' looking for beginning of value", {"Offset": 2}),
        (b'{"errors"', "unexpected end of JSON input", {"Offset": 9}),
        (b"{}", "no error details found in HTTP response body", {}),
        (b'{"errors":[]}', "no error details found in HTTP response body", {}),
        (b"null", "no error details found in HTTP response body", {}),
        (
            b'"str"',
            "json: cannot unmarshal string into Go value of type struct { Errors []errcode.Error }",
            {"Value": "string", "Type": {}, "Offset": 5, "Struct": "", "Field": ""},
        ),
        (
            b"[1]",
            "json: cannot unmarshal array into Go value of type struct { Errors []errcode.Error }",
            {"Value": "array", "Type": {}, "Offset": 1, "Struct": "", "Field": ""},
        ),
    ],
)
def test_json_that_is_not_an_error_document(
    body: bytes, problem: str, struct: dict[str, object]
) -> None:
    text, shown = _refused(403, body)
    encoded = base64.b64encode(body).decode()
    assert text.startswith(f"error parsing HTTP 403 response body: {problem}: ")
    assert shown == {"ParseErr": struct, "StatusCode": 403, "Response": encoded}
    assert _refused(401, body) == (
        "unauthorized: authentication required",
        _entry("UNAUTHORIZED", "authentication required", detail=encoded),
    )


@pytest.mark.parametrize("profile", ["2.8", "3.0.0-alpha.1", "3.0", "3.1"])
def test_json_without_a_body(profile: str) -> None:
    """As HEAD gets it."""
    shown = _refused(429, profile=profile)
    if profile in {"3.0", "3.1"}:
        assert shown == ("toomanyrequests: ", _entry("TOOMANYREQUESTS", ""))
        return
    assert shown == (
        'error parsing HTTP 429 response body: unexpected end of JSON input: ""',
        {"ParseErr": {"Offset": 0}, "StatusCode": 429, "Response": ""},
    )


@pytest.mark.parametrize(
    ("challenge", "code", "said"),
    [
        ('Bearer realm="r",error="invalid_token"', "UNAUTHORIZED", "authentication required"),
        (
            'Bearer realm="r",error="insufficient_scope",error_description="ask more"',
            "DENIED",
            "ask more",
        ),
    ],
)
def test_an_error_of_the_token_comes_first(challenge: str, code: str, said: str) -> None:
    """RFC 6750, 3.1."""
    first = _entry(code, said)
    text, struct = _refused(401, b"plain", media_type="", challenge=challenge)
    assert text == f"errors:\n{code.lower()}: {said}\nunauthorized: plain\n"
    assert struct == {"errors": [first, _entry("UNAUTHORIZED", "plain")]}
    # Within a list, an empty message is made up for.
    assert _refused(401, media_type="", challenge=challenge).struct == {
        "errors": [first, _entry("UNAUTHORIZED", "authentication required")]
    }
    listed = b'{"errors":[{"code":"DENIED","message":"no"}]}'
    assert _refused(403, listed, challenge=challenge).struct == {
        "errors": [first, _entry("DENIED", "no")]
    }
    unread = _refused(403, b"{}", challenge=challenge).struct["errors"][1]
    assert (unread["code"], unread["detail"]["Response"]) == ("UNKNOWN", "e30=")


def test_other_challenges_say_nothing() -> None:
    challenge = 'Bearer realm="r",error="invalid_request", Basic error="invalid_token"'
    assert _refused(401, b"no", media_type="", challenge=challenge).text == "unauthorized: no"


def test_a_connection_that_is_refused() -> None:
    cause = "dial tcp [::1]:5000: connect: connection refused"
    assert _of(UpstreamUnreachable("HEAD", "http://[::1]:5000/v2/", cause)) == (
        f'Head "http://[::1]:5000/v2/": {cause}',
        {
            "Op": "Head",
            "URL": "http://[::1]:5000/v2/",
            "Err": {
                "Op": "dial",
                "Net": "tcp",
                "Source": None,
                "Addr": {"IP": "::1", "Port": 5000, "Zone": ""},
                "Err": {"Syscall": "connect", "Err": 111},
            },
        },
    )


def test_a_connection_that_is_reset() -> None:
    cause = "read tcp 10.0.0.1:40000->10.0.0.2:443: read: connection reset by peer"
    assert _of(UpstreamBroken(f"GET x: {cause}", cause)) == (
        cause,
        {
            "Op": "read",
            "Net": "tcp",
            "Source": {"IP": "10.0.0.1", "Port": 40000, "Zone": ""},
            "Addr": {"IP": "10.0.0.2", "Port": 443, "Zone": ""},
            "Err": {"Syscall": "read", "Err": 104},
        },
    )


def test_everything_else_is_a_text_without_a_struct() -> None:
    assert _of(UpstreamUnreachable("GET", "http://u/", "EOF")).struct["Err"] == {}
    assert _of(UpstreamBroken("GET x: unexpected EOF", "unexpected EOF")) == ("unexpected EOF", {})
    assert _of(UpstreamBroken("not a manifest")) == ("not a manifest", {})


def test_a_refusal_that_breaks_off_is_an_error_of_its_body() -> None:
    """Go reads the body first, and says no more than that this failed; measured on 2.8.2 (found by
    the stateful differential)."""
    refusal = Refusal(
        404, "Not Found", b'{"errors":[{"co', "application/json", broken="unexpected EOF"
    )
    said = go_error(UpstreamRefused("GET http://upstream/", refusal), profile_named("2.8"))
    assert said == ("unexpected EOF", {})

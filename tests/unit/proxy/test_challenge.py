"""Reading ``WWW-Authenticate`` and token answers, of honest and of hostile servers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_registry.proxy.upstream.challenge import (
    Challenge,
    TokenUnusable,
    parse_challenges,
    parse_token,
    token_query,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def challenge(scheme: str, **parameters: str) -> Challenge:
    return Challenge(scheme, parameters)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
            'scope="repository:library/nginx:pull"',
            [
                challenge(
                    "bearer",
                    realm="https://auth.docker.io/token",
                    service="registry.docker.io",
                    scope="repository:library/nginx:pull",
                )
            ],
            id="docker-hub",
        ),
        pytest.param('Basic realm="it"', [challenge("basic", realm="it")], id="basic"),
        pytest.param("BASIC", [challenge("basic")], id="no-parameters"),
        pytest.param(
            'Basic realm="a, Bearer realm=\\"b\\"", Bearer realm=c',
            [challenge("basic", realm='a, Bearer realm="b"'), challenge("bearer", realm="c")],
            id="a-challenge-inside-a-string",
        ),
        pytest.param(
            "Negotiate dG9rZW4=, Basic realm=x",
            [challenge("negotiate"), challenge("basic", realm="x")],
            id="token68",
        ),
        pytest.param(
            'Bearer realm = "r" , , service="s"',
            [challenge("bearer", realm="r", service="s")],
            id="spaces-and-empty-elements",
        ),
        pytest.param(
            "Bearer realm=first, realm=second",
            [challenge("bearer", realm="first")],
            id="the-first-of-two",
        ),
        pytest.param('Bearer REALM="r"', [challenge("bearer", realm="r")], id="names-have-no-case"),
        pytest.param('Bearer realm="open', [challenge("bearer")], id="unclosed-string"),
        pytest.param('realm="no scheme"', [], id="no-scheme"),
        pytest.param("", [], id="empty"),
        pytest.param("\x00\x01", [], id="garbage"),
        pytest.param('Bearer realm="' + "x" * 20_000 + '"', [], id="too-long"),
    ],
)
def test_one_line(line: str, expected: list[Challenge]) -> None:
    assert list(parse_challenges([line])) == expected


def test_several_lines_keep_their_order() -> None:
    challenges = parse_challenges(["Basic realm=a", "Bearer realm=b, Digest realm=c"])
    assert [c.scheme for c in challenges] == ["basic", "bearer", "digest"]


@given(st.lists(st.text(max_size=200), max_size=3))
def test_any_text_is_read_without_an_error(lines: list[str]) -> None:
    for found in parse_challenges(lines):
        assert found.scheme
        assert found.scheme == found.scheme.lower()


@given(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80),
)
def test_quoted_strings_are_read_back(realm: str, service: str) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    line = f"Bearer realm={quoted(realm)}, service={quoted(service)}"
    assert parse_challenges([line]) == (challenge("bearer", realm=realm, service=service),)


def test_token_request_has_its_parameters_sorted() -> None:
    query = token_query("", scope="repository:a/b:pull", service="reg", account="joe")
    assert query == "account=joe&scope=repository%3Aa%2Fb%3Apull&service=reg"


def test_token_request_keeps_what_the_realm_asks_for() -> None:
    query = token_query("tenant=7", scope="s", service="", account=None)
    assert parse_qsl(query) == [("tenant", "7"), ("scope", "s")]


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"token": "t"}, 60),
        ({"access_token": "t", "expires_in": 300}, 300),
        ({"token": "t", "access_token": "other", "expires_in": 0.5}, 0.5),
        ({"token": "t", "expires_in": -5}, 60),
        ({"token": "t", "expires_in": "soon"}, 60),
        ({"token": "t", "expires_in": 1e300}, 30 * 86_400),
    ],
)
def test_token_lifetime_counts_from_the_answer(answer: object, seconds: float) -> None:
    token = parse_token(json.dumps(answer).encode(), NOW)
    assert token.value == "t"
    assert token.expires == NOW + timedelta(seconds=seconds)


def test_a_lifetime_must_be_a_number() -> None:
    assert parse_token(b'{"token":"t","expires_in":NaN}', NOW).expires == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"token": 7}',
        b'{"token": "two\\r\\nlines"}',
        b'{"token": "caf\\u00e9"}',
        b"[" * 100_000,
    ],
)
def test_unusable_answers(body: bytes) -> None:
    with pytest.raises(TokenUnusable):
        parse_token(body, NOW)


def test_tokens_are_not_shown() -> None:
    assert "s3cret" not in repr(parse_token(b'{"token":"s3cret"}', NOW))

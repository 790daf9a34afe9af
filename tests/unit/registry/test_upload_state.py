"""The signed ``_state`` of upload URLs."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_registry.api.context import UploadState, UploadStates

_STATE = UploadState("team/app", "some-uuid", 42)
_NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def _signed(document: bytes, secret: bytes = b"s3cret") -> str:
    return base64.urlsafe_b64encode(hmac.digest(secret, document, "sha256") + document).decode()


def test_token_is_mac_and_json() -> None:
    raw = base64.urlsafe_b64decode(UploadStates("s3cret").pack(_STATE, _NOW))

    assert json.loads(raw[32:]) == {
        "Name": "team/app",
        "UUID": "some-uuid",
        "Offset": 42,
        "StartedAt": "2024-01-02T03:04:05Z",
    }
    assert raw[:32] == hmac.digest(b"s3cret", raw[32:], "sha256")


def test_token_comes_back() -> None:
    states = UploadStates("s3cret")
    assert states.unpack(states.pack(_STATE, _NOW)) == _STATE


def test_token_of_docker_registry_2_8_2_is_read() -> None:
    """Handed out by the real registry with ``http.secret: s3cret``."""
    token = (
        "DDVNOsyeYabzELZ23zJlQmjjybDDBfvP5khwo5KQjTF7Ik5hbWUiOiJhIiwiVVVJRCI6ImEwNDgyYjE0LTVjNjYt"
        "NDYzNS1iY2FhLTE5YTgwMmQ1NWMxNSIsIk9mZnNldCI6MCwiU3RhcnRlZEF0IjoiMjAyNi0xMS0yNFQwNDowMzow"
        "NS4wNjExMDk0NjJaIn0="
    )
    expected = UploadState("a", "a0482b14-5c66-4635-bcaa-19a802d55c15", 0)
    assert UploadStates("s3cret").unpack(token) == expected


@pytest.mark.parametrize(
    "token",
    [
        "",
        "?",
        "é",
        UploadStates("other").pack(_STATE, _NOW),
        _signed(b"not json"),
        _signed(b"[]"),
        _signed(b'{"Name":"a"}'),
        _signed(b'{"Name":"a","UUID":"b","Offset":"x"}'),
        _signed(b'{"Name":"a","UUID":"b","Offset":null}'),
        _signed(b'{"Name":"a","UUID":"b","Offset":1e999}'),
        _signed(b'{"Name":"a","UUID":"b","Offset":%s}' % (b"9" * 5000)),
        _signed(b"[" * 20_000),
    ],
)
def test_anything_else_is_refused(token: str) -> None:
    assert UploadStates("s3cret").unpack(token) is None


@given(st.binary(min_size=1, max_size=3), st.integers(0, 100))
def test_a_changed_token_is_refused(change: bytes, position: int) -> None:
    states = UploadStates("s3cret")
    token = states.pack(_STATE, _NOW)
    raw = bytearray(base64.urlsafe_b64decode(token))
    raw[position : position + len(change)] = change
    changed = base64.urlsafe_b64encode(raw).decode()

    assert states.unpack(changed) == (_STATE if changed == token else None)

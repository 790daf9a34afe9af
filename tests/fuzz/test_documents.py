"""What comes from clients, upstreams and disk: tokens, manifests, the state file, recordings."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import strategies as st

from harness.suite.recording import Recording, RecordingError
from reference_registry.auth.token import _parse_claims, _UnreadableClaims
from reference_registry.auth.token_keys import TrustedKeys, Untrusted, keys_in
from reference_registry.manifest import ManifestInvalid, media_type_of, parse_manifest
from reference_registry.profiles import IDEAL
from reference_registry.proxy.expiry.schedule import StateUnreadable, parse_state, render_state
from reference_registry.proxy.upstream.challenge import TokenUnusable, parse_token
from tests.support.fuzzing import Target, contents, examples, json_values

_NOW = datetime(2026, 11, 25, tzinfo=UTC)
_DIGEST = "sha256:" + "a" * 64
_KEY = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "k", "n": "AQAB", "e": "AQAB"}
_CLAIMS = {
    "iss": "i",
    "sub": "s",
    "aud": ["a"],
    "exp": 1,
    "nbf": 0,
    "access": [{"type": "repository", "name": "a/b", "actions": ["pull"]}],
}
_DESCRIPTOR = {"mediaType": "m", "digest": _DIGEST, "size": 1, "platform": {"os": "linux"}}
_MANIFESTS = [
    json.dumps({"schemaVersion": 2, **parts})
    for parts in (
        {"config": _DESCRIPTOR, "layers": [_DESCRIPTOR], "annotations": {"a": "b"}},
        {"manifests": [_DESCRIPTOR], "subject": _DESCRIPTOR, "artifactType": "t"},
        {"schemaVersion": 1, "fsLayers": [{"blobSum": _DIGEST}], "signatures": []},
    )
]
_RECORDINGS = [
    '{"schema": 2, "headers": {}, "scenarios": {}, "target": "t", "implementation": "i",'
    ' "version": "2.8", "release": "2.8.2", "date": "2026-11-25"}',
    '{"schema": 2, "headers": {"h": {}}, "scenarios": {"s": {"fingerprint": "f", "result": {},'
    ' "observation": {"steps": [{"sent": "h", "headers": "h"}]}}}}',
]


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def _json_contents(given: list[str]) -> st.SearchStrategy[bytes]:
    return contents(given) | json_values().map(_dumped)


def _manifest(content: bytes) -> None:
    media_type_of(content)
    assert all(":" in digest for digest in parse_manifest(content).references)


def _state(content: bytes) -> None:
    schedule = parse_state(content)
    if schedule is not None:
        written = render_state(schedule.snapshot())
        again = parse_state(written)
        assert again is not None
        assert render_state(again.snapshot()) == written
        schedule.tidied()
        for entry in schedule:
            entry.moment.as_datetime()


def _header(content: bytes) -> None:
    header = json.loads(content)
    if isinstance(header, dict):
        TrustedKeys.of([], {}, IDEAL).signer(header, _NOW)


def _recording(given: tuple[Path, bytes]) -> None:
    path, content = given
    path.write_bytes(content)
    Recording.read(path)


_HEADERS = [json.dumps({"alg": "RS256", **more}) for more in ({"jwk": _KEY}, {"x5c": ["AA"]}, _KEY)]
TARGETS = [
    Target(
        "token headers",
        _json_contents(_HEADERS),
        _header,
        (Untrusted, ValueError, RecursionError),  # the last two are those of json.loads
    ),
    Target(
        "token claims",
        _json_contents([json.dumps(_CLAIMS)]),
        lambda content: _parse_claims(content, audience_list=True),
        (_UnreadableClaims,),
    ),
    Target(
        "token answers",
        _json_contents(['{"token": "t", "expires_in": 300}', '{"access_token": "t"}']),
        lambda content: parse_token(content, _NOW),
        (TokenUnusable,),
    ),
    Target(
        "key sets",
        _json_contents([json.dumps({"keys": [_KEY]})]),
        keys_in,
        (ValueError, RecursionError),
    ),
    Target("manifests", _json_contents(_MANIFESTS), _manifest, (ManifestInvalid,)),
    Target(
        "state file",
        _json_contents(examples("scheduler-state.json")),
        _state,
        (StateUnreadable,),
    ),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_documents(target: Target, fuzz: Callable[[Target], None]) -> None:
    fuzz(target)


def test_recordings(tmp_path: Path, fuzz: Callable[[Target], None]) -> None:
    file = st.just(tmp_path / "recording.json")
    inputs = st.tuples(file, _json_contents(_RECORDINGS))
    fuzz(Target("recordings", inputs, _recording, (RecordingError,)))

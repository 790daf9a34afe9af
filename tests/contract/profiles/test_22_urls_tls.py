"""Section 22: TLS, and the URLs of answers."""

from __future__ import annotations

import base64
import hmac
import json
import re
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.http.client import Answer
from harness.targets import RunningRegistry
from tests.contract.profiles.bench import REPOSITORY, Bench, starts
from tests.contract.profiles.table import SAME, row
from tests.unit.server.certificates import make_authority, make_certificate

_UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"
_UUID = "[0-9a-f-]{36}"


def _http(**keys: object) -> dict[str, Any]:
    return {"extra": {"http": keys}}


# -- URLs -----------------------------------------------------------------------------------------
def _base(answer: Answer) -> str:
    """What stands before the path of ``Location``."""
    return answer.headers["Location"].partition("/v2/")[0]


_HEADERS: dict[str, tuple[dict[str, str], str]] = {
    "host": ({}, "http://own:5000"),
    "proto": ({"X-Forwarded-Proto": "https"}, "https://own:5000"),
    "outer host": ({"X-Forwarded-Host": "outer.example"}, "http://outer.example"),
    "port": ({"X-Forwarded-Port": "444"}, "http://own:5000"),
    "forwarded": ({"Forwarded": 'proto=https;host="outer:8"'}, "https://outer:8"),
    "no quotes": ({"Forwarded": "proto=https;host=outer:8"}, "http://own:5000"),
    "both": (
        {"Forwarded": "proto=https;host=outer", "X-Forwarded-Host": "other"},
        "https://outer",
    ),
}


@row("22.1", {name: base for name, (_, base) in _HEADERS.items()})
def test_base(bench: Bench) -> object:
    registry = bench.standard()
    return {
        name: _base(registry.post(_UPLOADS, headers={"Host": "own:5000"} | headers))
        for name, (headers, _) in _HEADERS.items()
    }


_FORWARDED = {"Host": "own", "X-Forwarded-Host": "forwarded"}


@row("22.2", ["https://set:1", "https://set:1", "http://forwarded"])
def test_host(bench: Bench) -> object:
    """Of a URL, of a URL beside ``relativeurls``, and of something else."""
    settings = (
        {"host": "https://set:1"},
        {"host": "https://set:1", "relativeurls": True},
        {"host": "set:1"},
    )
    return [
        _base(bench.standard(**_http(**keys)).post(_UPLOADS, headers=_FORWARDED))
        for keys in settings
    ]


@row("22.2", 2)
def test_host_that_is_no_url(bench: Bench) -> object:
    return starts(bench, **_http(host="https://a{b}"))


@row("22.3", "")
def test_relative(bench: Bench) -> object:
    return _base(bench.standard(**_http(relativeurls=True)).post(_UPLOADS, headers=_FORWARDED))


@row("22.4", (True, {"Name": REPOSITORY, "UUID": True, "Offset": 0, "StartedAt": True}))
def test_state(bench: Bench) -> object:
    """Whether the signature is right, and the document."""
    registry = bench.standard(secret="s3cret")
    location = httpx.URL(registry.post(_UPLOADS).headers["Location"])
    raw = base64.urlsafe_b64decode(location.params["_state"])
    document = json.loads(raw[32:])
    document["UUID"] = document["UUID"] == location.path.rpartition("/")[2]
    document["StartedAt"] = bool(re.match(r"\d{4}-\d\d-\d\dT", document["StartedAt"]))
    return raw[:32] == hmac.digest(b"s3cret", raw[32:], "sha256"), document


@row("22.4", (404, "BLOB_UPLOAD_INVALID"))
def test_state_of_another_secret(bench: Bench) -> object:
    registry = bench.standard(secret="s3cret")
    location = registry.post(_UPLOADS).headers["Location"]
    registry.restart(secret="other")
    path = httpx.URL(location).raw_path.decode()
    answer = registry.patch(
        path, content=b"x", headers={"Content-Type": "application/octet-stream"}
    )
    return answer.status, answer.error_code


@row("22.5", {"/": None, "/v2/": "1", "/v2/_catalog": "1", f"/v2/{REPOSITORY}/tags/list": "1"})
def test_headers(bench: Bench) -> object:
    registry = bench.standard(headers={"X-Extra": ["1"]})
    paths = ("/", "/v2/", "/v2/_catalog", f"/v2/{REPOSITORY}/tags/list")
    return {path: registry.get(path).headers.get("X-Extra") for path in paths}


# -- TLS ------------------------------------------------------------------------------------------
Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Pair) -> Pair:
    return make_certificate(authority[0].parent, "server", authority)


def _tls(pair: Pair, **keys: object) -> dict[str, Any]:
    return _http(tls={"certificate": str(pair[0]), "key": str(pair[1]), **keys})


_VERSIONS = ("tls1.0", "tls1.1", "tls1.2", "tls1.3", "ssl3")


@row("22.6", ["starts"] * 4 + [1], [1, 1, "starts", "starts", 1])
def test_minimum_versions(bench: Bench, pair: Pair) -> object:
    return [starts(bench, **_tls(pair, minimumtls=version)) for version in _VERSIONS]


def _asked(
    registry: RunningRegistry,
    authority: Pair,
    *,
    client: Pair | None = None,
    highest: ssl.TLSVersion | None = None,
) -> int | str:
    """The status of ``GET /v2/`` over TLS, or that there is none."""
    context = ssl.create_default_context(cafile=str(authority[0]))
    if client is not None:
        context.load_cert_chain(*client)
    if highest is not None:
        context.maximum_version = highest
    url = f"https://{httpx.URL(registry.url).netloc.decode()}/v2/"
    try:
        with httpx.Client(verify=context, trust_env=False) as http:
            return http.get(url).status_code
    except (httpx.TransportError, ssl.SSLError):
        return "refused"


@row("22.6", [200, "refused"])
def test_default_and_minimum(bench: Bench, authority: Pair, pair: Pair) -> object:
    """TLS 1.2 by default, and where 1.3 is the least."""
    registries = [bench.standard(**_tls(pair)), bench.standard(**_tls(pair, minimumtls="tls1.3"))]
    old = ssl.TLSVersion.TLSv1_2
    return [_asked(registry, authority, highest=old) for registry in registries]


@row("22.8", (200, 1))
def test_half_a_pair(bench: Bench, pair: Pair) -> object:
    """Plain HTTP with the key alone, and the exit code with the certificate alone."""
    key = bench.standard(**_http(tls={"key": str(pair[1])}))
    certificate = starts(bench, **_http(tls={"certificate": str(pair[0])}))
    return key.get("/v2/").status, certificate


@row("22.9", ["refused", 200])
def test_client_certificates(bench: Bench, authority: Pair, pair: Pair) -> object:
    """Without one, and with one."""
    client = make_certificate(bench.workdir, "client", authority)
    registry = bench.standard(**_tls(pair, clientcas=[str(authority[0])]))
    return [_asked(registry, authority), _asked(registry, authority, client=client)]


@row("22.9", ["starts", "starts"], SAME, ["starts", 1])
def test_forms_of_clientauth(bench: Bench, authority: Pair, pair: Pair) -> object:
    """The default by its name, and a word that is none of the four."""
    forms = ("require-and-verify-client-cert", "perhaps")
    cas = [str(authority[0])]
    return [starts(bench, **_tls(pair, clientcas=cas, clientauth=form)) for form in forms]

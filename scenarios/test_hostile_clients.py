"""Hostile clients: requests inside requests, and mounts across tenants."""

from __future__ import annotations

import socket
import ssl
import time
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import pytest

from harness.clients.authority import Authority
from harness.content import a_layer
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, Need, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.steps import settle

REPOSITORY = "team/app"
scenario = theme("security")

SMUGGLED = "GET /v2/smuggled/request/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = "Connection: Upgrade\r\nUpgrade: {}\r\nContent-Length: {{length}}\r\n\r\n"
WRAPPERS = {
    "upgrade-websocket": UPGRADE.format("websocket"),
    "upgrade-h2c": UPGRADE.format("h2c"),
    "upgrade-chunked": (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n"
        "{length:x}\r\n"
    ),
    "length-and-chunks": ("Content-Length: {all}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two-lengths": "Content-Length: 0\r\nContent-Length: {length}\r\n\r\n",
    "obscured-chunks": ("Content-Length: {length}\r\nTransfer-Encoding: xchunked\r\n\r\n"),
}
"""Rests of a head, before the smuggled request, by which a front proxy and the cache could disagree
about where the first request ends."""


@scenario(
    "smuggled-request",
    "The body of a request is not parsed as another request",
    level=MUST,
    refs=("RFC 9112, 6.3 and 11.2", "CWE-444: HTTP Request Smuggling"),
)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("wrapper", list(WRAPPERS))
def test_smuggled_request(
    wrapper: str,
    method: str,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Behind a load balancer, a request that only the cache sees passes by every access rule, and
    its answer reaches another client."""
    cache = target.proxy(upstream)
    rest = WRAPPERS[wrapper].format(length=len(SMUGGLED), all=len(SMUGGLED) + 5)
    end = "\r\n0\r\n\r\n" if wrapper == "upgrade-chunked" else ""

    received = _exchange_bytes(
        cache,
        f"{method} /v2/{REPOSITORY}/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n{rest}{SMUGGLED}{end}",
    )
    settle(cache, upstream)

    expect.client("more than one answer", received.count(b"HTTP/1.1 ") > 1, False)


@scenario(
    "mount-across-tenants",
    "A mount gives no access to a blob of a repository that the client may not pull",
    level=MUST,
    refs=("OCI distribution-spec: Mounting a blob from another repository", "CWE-863"),
    needs={Need.CONFIG},
)
@pytest.mark.parametrize("source", ["named", "not-named"])
def test_mount_across_tenants(
    source: str, target: TargetUnderTest, expect: Expectations, tmp_path: Path
) -> None:
    """A digest is no secret: it stands in logs, in manifests and in deployments. One who may push
    to one repository must not read all others by it."""
    tokens = Authority(tmp_path, ["tokens.test"])
    settings = {
        "realm": "http://tokens.test/token",
        "service": "registry",
        "issuer": "issuer",
        "rootcertbundle": str(tokens.certificate),
    }
    registry = target.standard(extra={"auth": {"token": settings}})
    blob = a_layer("of the victim")
    owner = {"Authorization": f"Bearer {_token(tokens, 'victim/app')}"}
    thief = {"Authorization": f"Bearer {_token(tokens, 'thief/app')}"}
    started = registry.post("/v2/victim/app/blobs/uploads/", headers=owner)
    separator = "&" if "?" in started.headers["Location"] else "?"
    stored = registry.put(
        f"{started.headers['Location']}{separator}digest={blob.digest}",
        headers=owner,
        content=blob.content,
    )
    expect.client("stored by its owner", stored.status, 201)
    query = f"mount={blob.digest}" + ("&from=victim/app" if source == "named" else "")

    mounted = registry.post(f"/v2/thief/app/blobs/uploads/?{query}", headers=thief)
    read = registry.get(f"/v2/thief/app/blobs/{blob.digest}", headers=thief)

    expect.client("status of the mount", mounted.status, any_of(202, 401, 403))
    expect.client("read by the other tenant", read.body == blob.content, False)


def _exchange_bytes(cache: RunningRegistry, text: str) -> bytes:
    """Everything that comes back for *text* until the registry hangs up or is silent."""
    url = urlsplit(cache.url)
    received = b""
    with socket.create_connection((url.hostname or "", url.port or 80), timeout=30) as plain:
        plain.sendall(text.encode())
        plain.shutdown(socket.SHUT_WR)
        while piece := plain.recv(65536):
            received += piece
    return received


def _token(authority: Authority, repository: str) -> str:
    """A token to pull from and push to *repository*."""
    now = int(time.time())
    claims = {
        "iss": "issuer",
        "aud": "registry",
        "sub": "tenant",
        "iat": now,
        "nbf": now - 60,
        "exp": now + 600,
        "access": [{"type": "repository", "name": repository, "actions": ["pull", "push"]}],
    }
    der = ssl.PEM_cert_to_DER_cert(authority.certificate.read_text())
    headers = {"x5c": [b64encode(der).decode()]}
    return jwt.encode(claims, authority.key_path.read_text(), "ES256", headers)

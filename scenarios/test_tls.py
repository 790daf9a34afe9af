"""TLS to clients and to the upstream, and HTTP/2."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from harness.clients.authority import Authority
from harness.clients.containerd_pull import containerd_pull
from harness.content import an_image
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, Need, theme
from harness.targets import DidNotStart
from harness.targets.registry import RunningRegistry
from scenarios.steps import MakeUpstream

CONFIGURATION = "distribution docs: Configuring a registry"
MEASURED = "measured on 2.8.2 to 3.1.1"
LOOPBACK = "127.0.0.1"
TIMEOUT = 20.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""The client's connection preface with an empty SETTINGS frame (RFC 9113, 3.4)."""
SETTINGS = 4
"""The frame type of the server's answer (RFC 9113, 6.5)."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate for 127.0.0.1 that no system trusts."""
    return Authority(tmp_path, [LOOPBACK])


scenario = theme("tls")


@scenario(
    "lowest-version",
    "The registry accepts TLS 1.2 by default; http.tls.minimumtls raises the minimum",
    refs=(f"{CONFIGURATION}, http, tls", "RFC 8996", MEASURED),
)
@pytest.mark.parametrize(
    ("minimum", "served"),
    [
        pytest.param({}, {"TLS 1.2": True, "TLS 1.3": True}, id="default"),
        pytest.param(
            {"minimumtls": "tls1.3"},
            {"TLS 1.2": False, "TLS 1.3": True},
            id="raised",
        ),
    ],
)
def test_lowest_version(
    minimum: dict[str, str],
    served: dict[str, bool],
    authority: Authority,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Auditors ask which versions are off; clients of last year's distributions need 1.2."""
    registry = target.standard(extra={"http": _tls(authority, **minimum)})
    versions = {
        "TLS 1.2": ssl.TLSVersion.TLSv1_2,
        "TLS 1.3": ssl.TLSVersion.TLSv1_3,
    }

    for name, version in versions.items():
        context = _trusting(authority)
        context.minimum_version = context.maximum_version = version
        expect.client(f"{name} is accepted", _status(registry, context) == 200, served[name])


@scenario(
    "client-certificate",
    "With http.tls.clientcas a client without a certificate is refused",
    refs=(f"{CONFIGURATION}, http, tls, clientcas", MEASURED),
)
def test_client_certificate(
    authority: Authority, target: TargetUnderTest, expect: Expectations
) -> None:
    """Mutual TLS in place of passwords: it must not be optional by accident."""
    cas = [str(authority.certificate)]
    registry = target.standard(extra={"http": _tls(authority, clientcas=cas)})
    stranger, known = _trusting(authority), _trusting(authority)
    known.load_cert_chain(*authority.issue("client"))

    expect.client("without a certificate", _status(registry, stranger), None)
    expect.client("with a certificate", _status(registry, known), 200)


@scenario(
    "upstream-is-verified",
    "An upstream whose certificate is not trusted is not used; SSL_CERT_FILE makes it trusted",
    level=MUST,
    refs=("RFC 9110, 4.3.4 https certificate verification", MEASURED),
    needs={Need.CONFIG, Need.PROCESS},
)
def test_upstream_is_verified(
    authority: Authority,
    make_upstream: MakeUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Anybody on the path could otherwise read the cache's password and choose what tags mean."""
    upstream = make_upstream(ssl_context=authority.server_context)
    upstream.add("team/app", an_image(), tags=("v1",))

    try:
        unsure = target.proxy(upstream)
    except DidNotStart:
        pulled = False
    else:
        pulled = containerd_pull(unsure.client, "team/app", "v1").complete
    expect.client("pull through an unknown certificate", pulled, False)
    expect.upstream("requests", upstream.ledger.lines(), [])

    trusting = {"SSL_CERT_FILE": str(authority.certificate)}
    sure = target.proxy(upstream, environment=trusting)
    pull = containerd_pull(sure.client, "team/app", "v1")
    expect.client("pull through a trusted certificate", pull.complete, True)


@scenario(
    "http2",
    "HTTP/2 is offered over TLS unless http.http2.disabled is set",
    refs=(f"{CONFIGURATION}, http, http2", "RFC 9113, 3.2", MEASURED),
)
@pytest.mark.parametrize("disabled", [False, True], ids=["default", "disabled"])
def test_http2(
    disabled: bool, authority: Authority, target: TargetUnderTest, expect: Expectations
) -> None:
    """A node pulls several layers over one connection. The switch is for balancers that break."""
    http = _tls(authority) | ({"http2": {"disabled": True}} if disabled else {})
    registry = target.standard(extra={"http": http})

    context = _trusting(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        _connection(registry) as plain,
        context.wrap_socket(plain, server_hostname=LOOPBACK) as tls,
    ):
        chosen = tls.selected_alpn_protocol()

    expect.client("negotiated protocol", chosen, "http/1.1" if disabled else "h2")


@scenario(
    "http2-without-tls",
    "http.h2c.enabled serves HTTP/2 without TLS",
    refs=(f"{CONFIGURATION}, http, h2c (3.0)", MEASURED),
)
def test_http2_without_tls(target: TargetUnderTest, expect: Expectations) -> None:
    """A service mesh ends TLS itself and speaks HTTP/2 to the pod."""
    registry = target.standard(extra={"http": {"h2c": {"enabled": True}}})

    with _connection(registry) as connection:
        connection.sendall(PREFACE)
        try:
            frame = connection.recv(9)
        except ConnectionResetError:
            frame = b""

    expect.client("the answer is a SETTINGS frame", frame[3:4] == bytes([SETTINGS]), True)


def _tls(authority: Authority, **keys: Any) -> dict[str, Any]:
    """The ``http`` section that serves TLS with the certificate of *authority*."""
    files = {"certificate": str(authority.certificate), "key": str(authority.key_path)}
    return {"tls": files | keys}


def _trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.certificate))


def _address(registry: RunningRegistry) -> tuple[str, int]:
    url = urlsplit(registry.url)
    return LOOPBACK, url.port or 0


def _connection(registry: RunningRegistry) -> socket.socket:
    return socket.create_connection(_address(registry), timeout=TIMEOUT)


def _status(registry: RunningRegistry, context: ssl.SSLContext) -> int | None:
    """The status of ``GET /v2/`` over TLS; None where the handshake or the request fails."""
    host, port = _address(registry)
    connection = HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()

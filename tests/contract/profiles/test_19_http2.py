"""Section 19: HTTP/2, over TLS and without."""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from harness.targets import RunningRegistry
from tests.contract.profiles.bench import Bench
from tests.contract.profiles.table import SAME, row
from tests.unit.server.certificates import make_authority, make_certificate

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_NO_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""An empty SETTINGS frame (RFC 9113, 6.5)."""
_SETTINGS = 4
"""The type of the frame that a server answers with, the fourth byte of it."""


def _connected(registry: RunningRegistry) -> socket.socket:
    url = urlsplit(registry.url)
    return socket.create_connection((url.hostname, url.port or 0), timeout=10)


def _negotiated(registry: RunningRegistry) -> str | None:
    """What is agreed on with a client that knows both (RFC 7301)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with _connected(registry) as plain, context.wrap_socket(plain) as secured:
        return secured.selected_alpn_protocol()


@row("19.32", ["h2", "http/1.1"])
def test_over_tls(bench: Bench) -> object:
    """By default, and where it is disabled."""
    authority = make_authority(bench.workdir)
    certificate, key = make_certificate(bench.workdir, "server", authority)
    tls: dict[str, Any] = {"tls": {"certificate": str(certificate), "key": str(key)}}
    off = tls | {"http2": {"disabled": True}}
    return [_negotiated(bench.standard(extra={"http": http})) for http in (tls, off)]


def _speaks_http2(registry: RunningRegistry) -> bool:
    """Whether the answer to the preface of HTTP/2 is a frame of it."""
    with _connected(registry) as connection:
        connection.sendall(_PREFACE + _NO_SETTINGS)
        try:
            head = connection.recv(9)
        except ConnectionResetError:
            return False
    return head[3:4] == bytes([_SETTINGS])


@row("19.32", [False, False], SAME, [False, True])
def test_without_tls(bench: Bench) -> object:
    """By default, and where it is enabled."""
    enabled = {"http": {"h2c": {"enabled": True}}}
    return [_speaks_http2(bench.standard(extra=extra)) for extra in ({}, enabled)]

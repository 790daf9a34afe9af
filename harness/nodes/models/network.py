"""Requests and answers between a modelled client and its registries, as values.

A model passes a :class:`ClientRequest` to a :class:`Network` and gets a :class:`ClientResponse` or
:class:`ConnectionFailed`. Nothing here opens a socket.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol
from urllib.parse import parse_qsl

from harness.nodes.models.go_url import GoURL, port_of

__all__ = [
    "ClientRequest",
    "ClientResponse",
    "ConnectionFailed",
    "Failure",
    "Network",
    "Trust",
    "basic_authorization",
    "token_request",
    "with_port",
]


class Failure(Enum):
    """How a request can fail without an answer."""

    UNRESOLVED = auto()
    """The name does not resolve."""
    REFUSED = auto()
    UNREACHABLE = auto()
    """The connection attempt is never answered."""
    HANDSHAKE_TIMEOUT = auto()
    """TCP is accepted, the TLS handshake is never answered."""
    UNTRUSTED = auto()
    """The server's certificate is signed by an authority that the client does not know."""
    CLIENT_CERTIFICATE_REQUIRED = auto()
    NOT_TLS = auto()
    """The client uses TLS, the server plain HTTP."""
    NOT_HTTP = auto()
    """The client uses plain HTTP, the server TLS."""
    RESET = auto()
    """The server read the request and closed the connection without an answer."""
    SILENT = auto()
    """The server accepts the connection and reads nothing."""
    NO_ANSWER = auto()
    """The server reads the request and sends nothing."""
    UNSUPPORTED_SCHEME = auto()
    TOO_MANY_REDIRECTS = auto()

    @property
    def reaches_server(self) -> bool:
        """Whether the server received the request."""
        return self in {Failure.RESET, Failure.NO_ANSWER}

    @property
    def is_timeout(self) -> bool:
        """Whether the client gave up waiting."""
        return self in _TIMEOUTS

    @property
    def has_no_limit(self) -> bool:
        """Whether only a timeout for the answer's headers ends the wait."""
        return self in {Failure.SILENT, Failure.NO_ANSWER}


_TIMEOUTS = {
    Failure.UNREACHABLE,
    Failure.HANDSHAKE_TIMEOUT,
    Failure.SILENT,
    Failure.NO_ANSWER,
}


class ConnectionFailed(Exception):
    """A request that got no answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


@dataclass(frozen=True)
class Trust:
    """How a client checks a server's certificate, and its own certificate."""

    verify: bool = True
    system_roots: bool = True
    authorities: frozenset[bytes] = frozenset()
    """Certificates (DER) trusted in addition to, or instead of, the system's."""
    client_certificate: str | None = None
    """The file of the client certificate, sent if the server requests one."""


@dataclass(frozen=True)
class ClientRequest:
    """One HTTP request. Header names are kept as written; ``Host`` is implied."""

    method: str
    scheme: str
    host: str
    """With its port if the URL names one."""
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    form: tuple[tuple[str, str], ...] = ()
    """The urlencoded body of a token request."""

    def header(self, name: str) -> str | None:
        """The first value of *name*, in any letter case."""
        lower = name.lower()
        return next((v[0] for k, v in self.headers.items() if k.lower() == lower and v), None)

    @property
    def offset(self) -> int:
        """N of ``Range: bytes=N-``; 0 without a range."""
        asked = self.header("Range")
        return int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0


@dataclass(frozen=True)
class ClientResponse:
    """One HTTP answer. ``content_length`` is None without that header."""

    status: int
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    """The bytes received."""
    content_length: int | None = None
    cut: bool = False
    """The connection ends before the stated length."""
    client_certificate: str | None = None
    """The client certificate that the server accepted, if it requested one."""

    def header(self, name: str) -> str | None:
        """The first value of *name*, in any letter case."""
        return next(iter(self.header_lines(name)), None)

    @property
    def media_type(self) -> str:
        """Content-Type without parameters, empty without that header."""
        return (self.header("Content-Type") or "").partition(";")[0]

    def header_lines(self, name: str) -> tuple[str, ...]:
        """All values of *name*, one for each header line."""
        lower = name.lower()
        return tuple(v for k, values in self.headers.items() if k.lower() == lower for v in values)


def token_request(
    realm: GoURL, service: str | None, repository: str, user: str, secret: str
) -> ClientRequest:
    """The GET of a pull token from *realm*, with Basic credentials if there are any
    (https://distribution.github.io/distribution/spec/auth/token/)."""
    query = [*parse_qsl(realm.query, keep_blank_values=True)]
    query.append(("scope", f"repository:{repository}:pull"))
    headers: dict[str, tuple[str, ...]] = {}
    if service:
        query.append(("service", service))
    if user:
        query.append(("account", user))
    if user and secret:
        headers["Authorization"] = (basic_authorization(f"{user}:{secret}"),)
    return ClientRequest(
        "GET", realm.scheme, realm.host, realm.path or "/", tuple(sorted(query)), headers
    )


class Network(Protocol):
    """Sends requests. An implementation may keep state between them."""

    def exchange(self, request: ClientRequest, trust: Trust) -> ClientResponse:
        """The answer to *request*. Raises :class:`ConnectionFailed`."""


def with_port(host: str, scheme: str) -> str:
    """*host* with the port that *scheme* implies, if it has none."""
    return host if port_of(host) else f"{host}:{443 if scheme == 'https' else 80}"


def basic_authorization(user_and_secret: str) -> str:
    """The Authorization header for ``user:secret`` (RFC 7617)."""
    return "Basic " + base64.b64encode(user_and_secret.encode()).decode()

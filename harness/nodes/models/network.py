"""The wire between a modelled client and its registries, as values.

A model hands a :class:`Request` to a :class:`Network` and gets a :class:`Response`, or a
:class:`ConnectionFailed` with what a client would have seen. Nothing here opens a socket.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from harness.nodes.models.go_url import port_of

__all__ = [
    "ConnectionFailed",
    "Failure",
    "Network",
    "Request",
    "Response",
    "Trust",
    "basic_authorization",
    "with_port",
]


class Failure(Enum):
    """How a request can fail without an answer."""

    UNRESOLVED = auto()
    """The name has no address."""
    REFUSED = auto()
    UNREACHABLE = auto()
    """The connection attempt is never answered."""
    HANDSHAKE_TIMEOUT = auto()
    """TCP is accepted, the TLS handshake is never answered."""
    UNTRUSTED = auto()
    """The server's certificate is signed by an authority that the client does not know."""
    CLIENT_CERTIFICATE_REQUIRED = auto()
    NOT_TLS = auto()
    """TLS was spoken to a server that speaks plain HTTP."""
    NOT_HTTP = auto()
    """Plain HTTP was spoken to a server that speaks TLS."""
    RESET = auto()
    """The server read the request and closed the connection without an answer."""
    SILENT = auto()
    """The server accepted the connection and reads nothing."""
    NO_ANSWER = auto()
    """The server read the request and says nothing."""
    UNSUPPORTED_SCHEME = auto()
    TOO_MANY_REDIRECTS = auto()

    @property
    def reaches_server(self) -> bool:
        """Whether the server got to read the request."""
        return self in {Failure.RESET, Failure.NO_ANSWER}

    @property
    def is_timeout(self) -> bool:
        """Whether the client gave up waiting."""
        return self in _TIMEOUTS

    @property
    def has_no_limit(self) -> bool:
        """Whether only a limit on the time until the answer's headers ends the waiting."""
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
    """What a client checks a server's certificate with, and shows of its own."""

    verify: bool = True
    system_roots: bool = True
    authorities: frozenset[bytes] = frozenset()
    """Certificates (DER) trusted besides, or instead of, the system's."""
    client_certificate: str | None = None
    """The file whose certificate is shown if the server asks for one."""


@dataclass(frozen=True)
class Request:
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
        """The first byte that a ``Range: bytes=N-`` asks for; 0 without one."""
        asked = self.header("Range")
        return int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0


@dataclass(frozen=True)
class Response:
    """One HTTP answer. ``content_length`` is None where none is stated."""

    status: int
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    """The bytes that arrive."""
    content_length: int | None = None
    cut: bool = False
    """The connection ends before the stated length."""
    client_certificate: str | None = None
    """The client certificate that the server accepted, if it asked for one."""

    def header(self, name: str) -> str | None:
        """The first value of *name*, in any letter case."""
        return next(iter(self.header_lines(name)), None)

    def header_lines(self, name: str) -> tuple[str, ...]:
        """All values of *name*, one for each header line."""
        lower = name.lower()
        return tuple(v for k, values in self.headers.items() if k.lower() == lower for v in values)


class Network(Protocol):
    """Carries requests. An implementation may remember what it answered before."""

    def exchange(self, request: Request, trust: Trust) -> Response:
        """The answer to *request*. Raises :class:`ConnectionFailed`."""


def with_port(host: str, scheme: str) -> str:
    """*host* with the port that *scheme* implies, if it has none."""
    return host if port_of(host) else f"{host}:{443 if scheme == 'https' else 80}"


def basic_authorization(user_and_secret: str) -> str:
    """The Authorization header for ``user:secret`` (RFC 7617)."""
    return "Basic " + base64.b64encode(user_and_secret.encode()).decode()

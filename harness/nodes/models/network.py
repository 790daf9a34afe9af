"""Requests, answers and the record of a modelled client, as values.

A model passes a :class:`ClientRequest` to a :class:`Network` and gets a :class:`ClientResponse` or
a :class:`Failure`; each becomes an :class:`Attempt`. Nothing here opens a socket.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal, Protocol
from urllib.parse import parse_qsl

from harness.nodes.models.go_url import GoURL, parse_url, port_of


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
    def is_timeout(self) -> bool:
        """Whether the client gave up waiting."""
        return self.has_no_limit or self in {Failure.UNREACHABLE, Failure.HANDSHAKE_TIMEOUT}

    @property
    def has_no_limit(self) -> bool:
        """Whether only a timeout for the answer's headers ends the wait."""
        return self in {Failure.SILENT, Failure.NO_ANSWER}


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
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    form: tuple[tuple[str, str], ...] = field(default=(), repr=False)
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


MOST_REQUESTS = 10
"""Go's HTTP client gives up after so many requests in a chain of redirects."""


def redirected(
    first: ClientRequest, request: ClientRequest, response: ClientResponse
) -> ClientRequest | None:
    """The request that Go's HTTP client sends after the *response* to *request*, in a chain that
    began with *first*; None if it is not a redirect. Raises ``InvalidURL``.

    Credentials are kept for the same host and its subdomains only.
    """
    status, location = response.status, response.header("Location")
    if status not in {301, 302, 303, 307, 308} or location is None:
        return None
    target = parse_url(location)
    scheme, host, path = target.scheme or request.scheme, target.host, target.path
    if not host and not target.scheme:
        host = request.host
        path = path if path.startswith("/") else f"{request.path.rpartition('/')[0]}/{path}"
    method, form = first.method, first.form
    if status < 307 and method not in {"GET", "HEAD"}:
        method, form = "GET", ()
    headers = dict(first.headers)
    name, origin = (GoURL("", one).hostname for one in (host, first.host))
    if name != origin and not name.endswith(f".{origin}"):
        headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
    query = tuple(parse_qsl(target.query, keep_blank_values=True))
    return ClientRequest(method, scheme, host, path, query, headers, form)


class Network(Protocol):
    """Sends requests. An implementation may keep state between them."""

    def exchange(self, request: ClientRequest, trust: Trust) -> ClientResponse | Failure:
        """The answer to *request*, or why there is none."""


def with_port(host: str, scheme: str) -> str:
    """*host* with the port that *scheme* implies, if it has none."""
    return host if port_of(host) else f"{host}:{443 if scheme == 'https' else 80}"


def basic_authorization(user_and_secret: str) -> str:
    """The Authorization header for ``user:secret`` (RFC 7617)."""
    return "Basic " + base64.b64encode(user_and_secret.encode()).decode()


# -- the record ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Login:
    """A user and a secret. An identity token is a secret without a user."""

    user: str = ""
    secret: str = field(default="", repr=False)
    origin: str = "no login"
    """Where it comes from, for users."""


ANONYMOUS = Login()


PullStep = Literal["resolve", "fetch", "push", "token", "ping"]


@dataclass(frozen=True)
class SentCredential:
    """The content of an Authorization header. Its repr hides the secret."""

    kind: Literal["none", "basic", "bearer", "other"] = "none"
    user: str = ""
    secret: str = field(default="", repr=False)
    """Password, token, or the whole header of an unknown kind."""

    def __str__(self) -> str:
        return f"basic:{self.user}" if self.kind == "basic" else self.kind


@dataclass(frozen=True, kw_only=True)
class Attempt(ClientRequest):
    """One request or connection attempt, with its reason and result."""

    step: PullStep
    because: str
    ns: str | None = None
    """The query's ``ns``, which ``query`` does not repeat."""
    status: int | None = None
    """None if there was no answer or its body was truncated."""
    failure: Failure | None = None
    cut: bool = False
    """The body ended before its stated length."""
    lane: str = ""
    """Requests of different lanes (one for each blob) run concurrently, in any order; requests
    without a lane run alone."""
    client_certificate: str | None = None
    """The file whose certificate the server accepted."""
    seconds: float = 0.0
    """Time that the client waits for an answer that never comes, or before a retry."""

    @classmethod
    def at(
        cls,
        step: PullStep,
        request: ClientRequest,
        result: ClientResponse | Failure,
        because: str,
        lane: str,
        seconds: float,
    ) -> Attempt:
        """The attempt for *request*, which ended in *result*."""
        values = vars(request) | {"step": step, "because": because}
        values |= {"lane": lane, "seconds": seconds}
        if step != "token":
            values["ns"] = dict(request.query).get("ns")
            values["query"] = tuple(pair for pair in request.query if pair[0] != "ns")
        if isinstance(result, Failure):
            return cls(**values, failure=result)
        return cls(
            **values,
            status=None if result.cut else result.status,
            cut=result.cut,
            client_certificate=result.client_certificate,
        )

    @property
    def credential(self) -> SentCredential:
        """The content of the Authorization header."""
        return credential_of(self.header("Authorization"))

    @property
    def received(self) -> bool:
        """Whether the server received the request."""
        return self.failure in {None, Failure.RESET, Failure.NO_ANSWER}


@dataclass(frozen=True)
class ClientRun:
    """Everything a modelled client did, from first request to end."""

    attempts: tuple[Attempt, ...] = ()
    error: object | None = None

    @property
    def message(self) -> str | None:
        """The error as the user sees it; None if there is none."""
        return None if self.error is None else str(self.error)

    @property
    def seconds_lost(self) -> float:
        """Time spent waiting for hosts that never answer, and before retries."""
        return sum(attempt.seconds for attempt in self.attempts)

    @property
    def outcome(self) -> Literal["ok", "error"]:
        """Whether the run succeeded."""
        return "ok" if self.error is None else "error"

    @property
    def received(self) -> tuple[Attempt, ...]:
        """The requests that a server received."""
        return tuple(attempt for attempt in self.attempts if attempt.received)


def credential_of(authorization: str | None) -> SentCredential:
    """The credential in an Authorization header."""
    if authorization is None:
        return SentCredential()
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return SentCredential("bearer", secret=rest)
    if scheme.lower() == "basic":
        try:
            user, _, secret = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return SentCredential("other", secret=authorization)
        return SentCredential("basic", user, secret)
    return SentCredential("other", secret=authorization)

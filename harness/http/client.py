"""The client of a registry under test, which records every exchange.

It follows no redirects, uses no proxy and decodes nothing. It does not raise for a broken response:
the :class:`Answer` has what arrived and what failed.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

from harness.http.conversation import next_order
from harness.http.redaction import redact_headers, redact_text

Headers = Mapping[str, str | None]
"""Header names to values; None leaves out a header that is sent by default."""
Content = bytes | Iterable[bytes]
"""A request body: bytes are sent with Content-Length, an iterable is sent chunked."""
Login = tuple[str, str]
"""User and password, for Basic authentication."""

CLIENT_LEFT = "the client left"
"""The beginning of ``error`` if the test did not read the whole response."""

TIMEOUT = 30.0
"""Seconds without progress until a request fails."""

_SHOWN_BODY = 2048
_CHANCE = re.compile(rb'(127\.0\.0\.1):\d{1,5}|("Port":)\d{1,5}|(--)[0-9a-f]{60}')
_AS_WRITTEN = re.compile(r"/[!-~]*")
"""A path that needs no further encoding."""
_DEFAULT_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "pullproof"}


@dataclass(frozen=True)
class Answer:
    """A response. After a transport failure ``error`` is set and ``body`` is the part that arrived;
    ``status`` is None without a status line."""

    status: int | None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""
    error: str | None = None

    def json(self) -> Any:
        """The body as JSON; ``ValueError`` if it is something else."""
        return json.loads(self.body)

    @property
    def error_code(self) -> str | None:
        """``errors[0].code`` of an OCI error body (distribution-spec, "Error Codes"), or None."""
        try:
            code = self.json()["errors"][0]["code"]
        except (ValueError, TypeError, LookupError):
            return None
        return code if isinstance(code, str) else None

    @property
    def digest(self) -> str | None:
        """The ``Docker-Content-Digest`` header, or None."""
        digest: str | None = self.headers.get("Docker-Content-Digest")
        return digest


@dataclass(frozen=True)
class Exchange:
    """A request with its response, as kept for reports: credentials redacted, only the beginning of
    the body. ``order`` and ``ended`` are numbers of :func:`next_order`."""

    order: int
    ended: int
    method: str
    path: str
    request_headers: tuple[tuple[str, str], ...]
    status: int | None
    response_headers: tuple[tuple[str, str], ...]
    body_size: int
    body_start: bytes
    body_sha256: str
    """In hex, of the body as far as it was read, without boundaries and ports."""
    error: str | None
    seconds: float

    def describe(self) -> str:
        """One line of text."""
        status = "no answer" if self.status is None else self.status
        failure = f" [{self.error}]" if self.error else ""
        return f"{self.method} {self.path} -> {status}, {self.body_size} bytes{failure}"


@dataclass(frozen=True)
class Call:
    """A request to make. *path* may be an absolute URL, such as a ``Location``; it is sent as
    written, including dot segments."""

    method: str
    path: str
    headers: Headers | None = None
    content: Content | None = None
    auth: Login | None = None


class OpenAnswer:
    """A response whose body the test reads step by step; see :meth:`RegistryClient.open`."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.received = bytearray()
        """The part of the body that was read from the connection."""
        self.error: str | None = None
        self.complete = False
        self._chunks = response.iter_raw()
        self._handed_out = 0

    def read(self, size: int | None = None) -> bytes:
        """At least *size* further bytes, or the rest; fewer if the body ended (``complete``) or
        broke (``error``)."""
        wanted = None if size is None else self._handed_out + size
        while self.error is None and (wanted is None or len(self.received) < wanted):
            try:
                self.received += next(self._chunks)
            except StopIteration:
                self.complete = True
                break
            except httpx.TransportError as failure:
                self.error = describe(failure)
                break
        fresh = bytes(self.received[self._handed_out :])
        self._handed_out = len(self.received)
        return fresh


def _verb(method: str) -> Callable[..., Answer]:
    def ask(self: Verbs, path: str, **options: Any) -> Answer:
        return self.request(method, path, **options)

    return ask


class Verbs:
    """The methods of HTTP as methods; options are those of :meth:`RegistryClient.request`."""

    request: Callable[..., Answer]
    get = _verb("GET")
    head = _verb("HEAD")
    post = _verb("POST")
    put = _verb("PUT")
    patch = _verb("PATCH")
    delete = _verb("DELETE")


class RegistryClient(Verbs):
    """Sends requests to one registry. Safe from several threads at once."""

    def __init__(
        self,
        url: str,
        *,
        exchanges: list[Exchange] | None = None,
        secrets: Iterable[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Records in *exchanges*, without *secrets*; *tls* has the trusted certificates (default:
        none)."""
        self.exchanges = [] if exchanges is None else exchanges
        self.secrets = tuple(secrets)
        self.on_exchange: Callable[[], None] | None = None
        """Called after each exchange, on the thread that made it."""
        self._tls = tls
        self._http = _http_client(url, tls)

    @property
    def url(self) -> str:
        """Where the registry listens, without a path; can be changed if it has moved."""
        return str(self._http.base_url).rstrip("/")

    @url.setter
    def url(self, url: str) -> None:
        self._http.close()
        self._http = _http_client(url, self._tls)

    def close(self) -> None:
        """Close idle connections. The next request opens new ones."""
        self.url = self.url

    def request(
        self, method: str, path: str, *, timeout: float = TIMEOUT, **options: Any
    ) -> Answer:
        """Send a request and read the whole response; *options* are fields of :class:`Call`.

        *timeout* is in seconds without progress. ``ValueError`` if *auth* or an Authorization
        header is given for a URL of another host.
        """
        return self._whole(Call(method, path, **options), timeout)

    @contextmanager
    def open(
        self, path: str, *, method: str = "GET", timeout: float = TIMEOUT, **options: Any
    ) -> Iterator[OpenAnswer]:
        """Like :meth:`request`, but the caller reads the body. The end of the block closes the
        connection. ``ConnectionError`` without a response."""
        with self._exchange(Call(method, path, **options), timeout) as answer:
            if isinstance(answer, Answer):
                raise ConnectionError(answer.error)
            yield answer

    def _whole(self, call: Call, timeout: float) -> Answer:
        with self._exchange(call, timeout) as answer:
            if isinstance(answer, Answer):
                return answer
            answer.read()
            return Answer(answer.status, *self._seen(answer), answer.error)

    def parallel(self, calls: Sequence[Call], *, timeout: float = TIMEOUT) -> list[Answer]:
        """Make all *calls* at the same moment; the responses have the order of the calls."""
        gate = threading.Barrier(len(calls))

        def make(call: Call) -> Answer:
            gate.wait()
            return self._whole(call, timeout)

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(make, calls))

    def await_served(self) -> None:
        """Wait until the server has finished the requests of the last used connection.

        A server may have work left after the last byte of a response, such as a notification that
        sends another request upstream. It serves a connection in order, so it responds to one more
        request only afterwards. That request is not recorded.
        """
        with suppress(httpx.TransportError):
            self._http.get("/v2/")

    @contextmanager
    def _exchange(self, call: Call, timeout: float) -> Iterator[OpenAnswer | Answer]:
        """One recorded exchange: an :class:`Answer` if there is nothing to read."""
        request = self._build(call, timeout)
        order, begun = next_order(), time.monotonic()
        answer: OpenAnswer | Answer = Answer(None)
        with ExitStack() as cleanup:
            cleanup.callback(lambda: self._record(request, answer, order, time.monotonic() - begun))
            try:
                response = self._http.send(request, stream=True)
                cleanup.callback(response.close)
                answer = OpenAnswer(response)
            except httpx.TransportError as failure:
                answer = Answer(None, error=describe(failure))
            yield answer

    def _build(self, call: Call, timeout: float) -> httpx.Request:
        given = call.headers or {}
        as_written = _AS_WRITTEN.fullmatch(call.path)
        request = self._http.build_request(
            call.method,
            call.path,
            headers={name: value for name, value in given.items() if value is not None},
            content=call.content,
            timeout=timeout,
            extensions={"target": call.path.encode()} if as_written else None,
        )
        for name in (name for name, value in given.items() if value is None):
            request.headers.pop(name, None)
        if call.auth is not None:
            request = next(httpx.BasicAuth(*call.auth).sync_auth_flow(request))
        if "Authorization" in request.headers and not self._owns(request.url):
            raise ValueError(f"credentials for {self.url} are not for {request.url.host}")
        return request

    def _owns(self, url: httpx.URL) -> bool:
        return origin(url) == origin(self._http.base_url)

    # -- overridden by a client that sends something else than the test asks for ------------------
    def _sent(self, request: httpx.Request) -> tuple[str, httpx.Headers]:
        """The path and the headers of the test's request."""
        return request.extensions.get("target", request.url.raw_path).decode(), request.headers

    def _seen(self, answer: OpenAnswer) -> tuple[httpx.Headers, bytes]:
        """The headers and the received body, as the test sees them."""
        return answer.headers, bytes(answer.received)

    def _record(
        self, request: httpx.Request, answer: OpenAnswer | Answer, order: int, seconds: float
    ) -> None:
        headers, body = answer.headers, b""
        if isinstance(answer, OpenAnswer):
            headers, body = self._seen(answer)
        error = answer.error
        if isinstance(answer, OpenAnswer) and not answer.complete and error is None:
            error = f"{CLIENT_LEFT} after {len(body)} bytes"
        target, sent = self._sent(request)
        if not self._owns(request.url):
            target = f"{request.url.scheme}://{request.url.netloc.decode()}{target}"
        self.exchanges.append(
            Exchange(
                order=order,
                ended=next_order(),
                method=request.method,
                path=redact_text(target, self.secrets),
                request_headers=redact_headers(sent, self.secrets),
                status=answer.status,
                response_headers=redact_headers(headers, self.secrets),
                body_size=len(body),
                body_start=body[:_SHOWN_BODY],
                body_sha256=hashlib.sha256(_CHANCE.sub(rb"\1\2\3", body)).hexdigest(),
                error=error,
                seconds=seconds,
            )
        )
        if self.on_exchange is not None:
            self.on_exchange()


def _http_client(url: str, tls: ssl.SSLContext | None) -> httpx.Client:
    client = httpx.Client(
        base_url=url,
        timeout=TIMEOUT,
        follow_redirects=False,
        trust_env=False,
        verify=tls or _no_authorities(),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
    )
    client.headers = httpx.Headers(_DEFAULT_HEADERS)
    return client


@cache
def _no_authorities() -> ssl.SSLContext:
    # Registries under test listen on loopback without TLS, and to load the machine's certificates
    # takes longer than to launch a registry.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port, which identify a server."""
    return url.scheme, url.host, url.port


def describe(failure: httpx.TransportError) -> str:
    """*failure* in one line, such as ``RemoteProtocolError: peer closed connection ...``."""
    return f"{type(failure).__name__}: {failure}".removesuffix(": ")

"""HTTP as containerd's client uses it: fallback from https to http, redirects, and error texts.

A :class:`Conversation` is one step of a pull. It keeps what a client learns (challenges, tokens,
hosts without TLS) until the step is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from harness.nodes.models.attempts import Attempt, PullStep
from harness.nodes.models.containerd.plan import HANDSHAKE_TIMEOUT, HttpClient, PlannedHost
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.go_url import GoURL, InvalidURL, parse_url, port_of
from harness.nodes.models.network import (
    ClientRequest,
    ClientResponse,
    ConnectionFailed,
    Failure,
    Network,
    with_port,
)
from harness.nodes.models.registry_api import registry_errors, status_line

__all__ = [
    "Conversation",
    "Exchange",
    "Hangs",
    "RequestFailed",
    "concurrent_failure",
    "next_host",
    "request_url",
    "transport_failure",
    "unexpected_status",
]


@dataclass(eq=False)
class RequestFailed(Exception):
    """A request, download or authorization failed at one host, with no retry left."""

    text: str
    host: str | None = None
    status: int | None = None
    failure: Failure | None = None
    not_found: bool = False
    denied: bool = False
    """Authorization failed with an error that containerd knows by type."""
    code: str | None = None
    """The gRPC status of this error, if it has a specific one."""
    stands_alone: bool = False
    """The text gets no prefix."""
    others: tuple[RequestFailed, ...] = ()
    """Concurrent failures that may be reported instead."""

    def __str__(self) -> str:
        return self.text

    def within(self, prefix: str) -> RequestFailed:
        """The same failure with *prefix* before its text."""
        return replace(self, text=prefix + self.text)


def concurrent_failure(failures: Sequence[RequestFailed]) -> RequestFailed:
    """The failure of several concurrent requests, of which one is reported."""
    first, *others = failures
    return replace(first, others=tuple(others))


def next_host(host: PlannedHost, failed: RequestFailed) -> str:
    """Why the host after *host* is tried."""
    return f"{host.name} answered {failed.status}" if failed.status else f"{host.name} failed"


def request_url(request: ClientRequest) -> str:
    """The URL of *request* with its query as it is sent."""
    query = f"?{urlencode(request.query)}" if request.query else ""
    return f"{request.scheme}://{request.host}{request.path}{query}"


def unexpected_status(request: ClientRequest, response: ClientResponse, release: Release) -> str:
    """The general text for a status that fails a request."""
    if release.status_wording == "pulling from host":
        return f"unexpected status: {status_line(response.status)}"
    text = (
        f"unexpected status from {request.method} request to {request_url(request)}: "
        f"{status_line(response.status)}"
    )
    errors = registry_errors(response.body) if release.joins_registry_errors else None
    return text if errors is None else f"{text}\n{errors}"


def transport_failure(request: ClientRequest, failure: Failure, release: Release) -> RequestFailed:
    """The failure of a request that got no answer."""
    url = request_url(request)
    if release.redacts_queries and request.query:
        names = urlencode([(name, "[REDACTED]") for name in sorted(dict(request.query))])
        url = f"{url.partition('?')[0]}?{names}"
    reason = _REASONS[failure].format(
        address=with_port(request.host, request.scheme),
        name=request.host.partition(":")[0],
        scheme=request.scheme,
        prefix=release.verification_prefix,
    )
    text = f'failed to do request: {request.method.title()} "{url}": {reason}'
    return RequestFailed(text, host=request.host, failure=failure)


_REASONS = {
    Failure.UNRESOLVED: "dial tcp: lookup {name}: no such host",
    Failure.REFUSED: "dial tcp {address}: connect: connection refused",
    Failure.UNREACHABLE: "dial tcp {address}: i/o timeout",
    Failure.HANDSHAKE_TIMEOUT: "net/http: TLS handshake timeout",
    Failure.UNTRUSTED: "{prefix}x509: certificate signed by unknown authority",
    Failure.CLIENT_CERTIFICATE_REQUIRED: "remote error: tls: certificate required",
    Failure.NOT_TLS: "http: server gave HTTP response to HTTPS client",
    Failure.NOT_HTTP: "net/http: HTTP/1.x transport connection broken: malformed HTTP response",
    Failure.RESET: "read tcp {address}: read: connection reset by peer",
    Failure.SILENT: "net/http: timeout awaiting response headers",
    Failure.NO_ANSWER: "net/http: timeout awaiting response headers",
    Failure.UNSUPPORTED_SCHEME: 'unsupported protocol scheme "{scheme}"',
    Failure.TOO_MANY_REDIRECTS: "stopped after 10 redirects",
}


_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REQUESTS = 10
_PLAIN_HEADERS = frozenset({"authorization", "accept", "range", "content-type"})


class Hangs(Exception):
    """A request that only the caller's deadline ends."""

    def __init__(self, failed: RequestFailed) -> None:
        super().__init__(failed.text)
        self.failed = failed


@dataclass(frozen=True)
class Exchange:
    """An answer and its request, which is the last one after redirects."""

    request: ClientRequest
    response: ClientResponse


class Conversation:
    """Sends requests over *network* and writes each into *record*."""

    def __init__(self, network: Network, release: Release, record: list[Attempt]) -> None:
        self._network = network
        self._release = release
        self._record = record
        self._plain_http: set[tuple[int, str]] = set()
        self.lane = ""
        """The ``lane`` of every recorded attempt."""

    def follow(
        self,
        request: ClientRequest,
        client: HttpClient,
        step: PullStep,
        because: str,
        authorize: Callable[[ClientRequest], ClientRequest],
    ) -> Exchange:
        """The answer to *request* after redirects.

        *authorize* adds the credentials that a redirect's target requires. Raises
        :class:`RequestFailed`, and :class:`Hangs` if no time limit applies.
        """
        first = request
        for _ in range(_MOST_REQUESTS):
            exchange = self._round_trip(request, client, step, because)
            response = exchange.response
            location = response.header("Location")
            if response.status not in _REDIRECTS or location is None:
                return exchange
            because = f"{request.host} redirects here ({response.status})"
            request = self._redirected(first, request, response.status, location)
            try:
                request = authorize(request)
            except RequestFailed as failed:
                doing = f'failed to do request: {request.method.title()} "{request_url(request)}"'
                raise failed.within(f"{doing}: failed to authorize redirect: ") from None
        # Go reports the last Location as received (net/http, client.go).
        circle = transport_failure(request, Failure.TOO_MANY_REDIRECTS, self._release)
        circle.text = circle.text.replace(f'"{request_url(request)}"', f'"{location}"')
        raise circle

    def _redirected(
        self, first: ClientRequest, request: ClientRequest, status: int, location: str
    ) -> ClientRequest:
        try:
            target = _resolved(request, location)
        except InvalidURL as error:
            text = f'failed to do request: failed to parse Location header "{location}": {error}'
            raise RequestFailed(text, host=request.host) from None
        method, form = first.method, first.form
        if status < 307 and method not in {"GET", "HEAD"}:
            method, form = "GET", ()
        headers = dict(first.headers)
        if not _is_same_or_below(target.hostname, parse_url(f"//{first.host}").hostname):
            headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
        return ClientRequest(
            method,
            target.scheme,
            target.host,
            target.path,
            tuple(parse_qsl(target.query, keep_blank_values=True)),
            headers,
            form,
        )

    def _round_trip(
        self, request: ClientRequest, client: HttpClient, step: PullStep, because: str
    ) -> Exchange:
        """One answer; a client that falls back may get it over plain HTTP."""
        known = (client.number, request.host)
        if known not in self._plain_http:
            try:
                return Exchange(request, self._send(request, client, step, because))
            except RequestFailed as failed:
                may_fall_back = client.falls_back and request.scheme == "https"
                if not (may_fall_back and self._allows_plain_http(failed)):
                    raise
            because = f"{because}; plain HTTP because https failed"
            if self._release.remembers_fallback:
                self._plain_http.add(known)
        plain = replace(request, scheme="http")
        try:
            return Exchange(plain, self._send(plain, client, step, because))
        except RequestFailed as failed:
            # Go reports the original URL, not the one of the fallback.
            failed.text = failed.text.replace('"http://', f'"{request.scheme}://', 1)
            raise

    def _allows_plain_http(self, failed: RequestFailed) -> bool:
        match failed.failure:
            case Failure.NOT_TLS:
                return True
            case Failure.HANDSHAKE_TIMEOUT if self._release.remembers_fallback:
                return True
            case Failure.REFUSED | Failure.UNREACHABLE | Failure.HANDSHAKE_TIMEOUT:
                no_port = port_of(failed.host or "") == ""
                return self._release.falls_back_when_refused and no_port
        return False

    def _send(
        self, request: ClientRequest, client: HttpClient, step: PullStep, because: str
    ) -> ClientResponse:
        try:
            response = self._network.exchange(request, client.trust)
        except ConnectionFailed as error:
            self._write(request, step, because, None, error.failure, client)
            failed = transport_failure(request, error.failure, self._release)
            if error.failure.has_no_limit and self._release.response_header_timeout is None:
                raise Hangs(failed) from None
            raise failed from None
        self._write(request, step, because, response, None, client)
        return response

    def _write(
        self,
        request: ClientRequest,
        step: PullStep,
        because: str,
        response: ClientResponse | None,
        failure: Failure | None,
        client: HttpClient,
    ) -> None:
        query = dict(request.query)
        self._record.append(
            Attempt.at(
                step,
                request,
                response,
                failure,
                because,
                ns=query.pop("ns", None),
                lane=self.lane,
                query=tuple(query.items()) if step != "token" else request.query,
                headers=_extra_headers(request.headers),
                seconds=self._seconds(failure, client),
            )
        )

    def _seconds(self, failure: Failure | None, client: HttpClient) -> float:
        match failure:
            case Failure.UNREACHABLE:
                return client.dial_timeout
            case Failure.HANDSHAKE_TIMEOUT:
                return HANDSHAKE_TIMEOUT
            case Failure.SILENT | Failure.NO_ANSWER:
                return self._release.response_header_timeout or float("inf")
        return 0.0


def _resolved(request: ClientRequest, location: str) -> GoURL:
    target = parse_url(location)
    if target.host or target.scheme:
        return GoURL(target.scheme or request.scheme, target.host, target.path, target.query)
    path = target.path
    if not path.startswith("/"):
        path = f"{request.path.rpartition('/')[0]}/{path}"
    return GoURL(request.scheme, request.host, path, target.query)


def _is_same_or_below(name: str, parent: str) -> bool:
    """Go forwards credentials to the same host and its subdomains only."""
    return name == parent or name.endswith(f".{parent}")


def _extra_headers(headers: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {name: v for name, v in headers.items() if name.lower() not in _PLAIN_HEADERS}

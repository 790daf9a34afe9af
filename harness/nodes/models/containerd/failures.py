"""Failures of containerd's requests, with the error texts of each release."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.network import ClientRequest, ClientResponse, Failure, with_port
from harness.nodes.models.registry_api import registry_errors, status_line

__all__ = [
    "Exchange",
    "Hangs",
    "RequestFailed",
    "request_url",
    "transport_failure",
    "unexpected_status",
]


@dataclass(frozen=True)
class Exchange:
    """An answer and its request, which is the last one after redirects."""

    request: ClientRequest
    response: ClientResponse


@dataclass(eq=False)
class RequestFailed(Exception):
    """A request, download or authorization failed at one host, with no retry left."""

    text: str
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

    def next_host(self, name: str) -> str:
        """Why the host after the host *name* is tried."""
        return f"{name} answered {self.status}" if self.status else f"{name} failed"

    def within(self, prefix: str) -> RequestFailed:
        """The same failure with *prefix* before its text."""
        return replace(self, text=prefix + self.text)


class Hangs(Exception):
    """A request that only the caller's deadline ends."""


def request_url(request: ClientRequest) -> str:
    """The URL of *request* with its query as it is sent."""
    query = f"?{urlencode(request.query)}" if request.query else ""
    return f"{request.scheme}://{request.host}{request.path}{query}"


def unexpected_status(request: ClientRequest, response: ClientResponse, release: Release) -> str:
    """The general text for a status that fails a request."""
    if release.wording == "pulling from host":
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
        prefix="" if release.wording == "pulling from host" else _VERIFICATION,
    )
    text = f'failed to do request: {request.method.title()} "{url}": {reason}'
    return RequestFailed(text, failure=failure)


_VERIFICATION = "tls: failed to verify certificate: "
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

"""What containerd says when something fails, release by release.

The texts are containerd's and Go's own; addresses stand for themselves where containerd would show
the number that a name resolved to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from harness.nodes.models.containerd.plan import PlannedHost
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.network import Failure, Request, Response, with_port
from harness.nodes.models.registry_errors import registry_errors, status_line

__all__ = [
    "RequestFailed",
    "at_the_same_time",
    "next_host",
    "request_url",
    "transport_failure",
    "unexpected_status",
]


@dataclass(eq=False)
class RequestFailed(Exception):
    """A request, a download or an authorization failed for good at one host."""

    text: str
    host: str | None = None
    status: int | None = None
    failure: Failure | None = None
    not_found: bool = False
    denied: bool = False
    """Authorization failed in a way that containerd has a name for."""
    code: str | None = None
    """The gRPC status that this error is shown with, if it has one of its own."""
    stands_alone: bool = False
    """Nothing is put before the text that would say what was being done."""
    others: tuple[RequestFailed, ...] = ()
    """What failed at the same time and might be reported instead."""

    def __str__(self) -> str:
        return self.text

    def within(self, prefix: str) -> RequestFailed:
        """The same failure with *prefix* before its text."""
        return replace(self, text=prefix + self.text)


def at_the_same_time(failures: Sequence[RequestFailed]) -> RequestFailed:
    """The failure of several requests that run at once, of which one will be reported."""
    first, *others = failures
    return replace(first, others=tuple(others))


def next_host(host: PlannedHost, failed: RequestFailed) -> str:
    """Why the host after *host* is asked."""
    return f"{host.name} answered {failed.status}" if failed.status else f"{host.name} failed"


def request_url(request: Request) -> str:
    """The URL of *request* with its query as it is sent."""
    query = f"?{urlencode(request.query)}" if request.query else ""
    return f"{request.scheme}://{request.host}{request.path}{query}"


def unexpected_status(request: Request, response: Response, release: Release) -> str:
    """The text for a status that ends a request, wherever it is not a special case."""
    if release.status_wording == "pulling from host":
        return f"unexpected status: {status_line(response.status)}"
    text = (
        f"unexpected status from {request.method} request to {request_url(request)}: "
        f"{status_line(response.status)}"
    )
    errors = registry_errors(response.body) if release.joins_registry_errors else None
    return text if errors is None else f"{text}\n{errors}"


def transport_failure(request: Request, failure: Failure, release: Release) -> RequestFailed:
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

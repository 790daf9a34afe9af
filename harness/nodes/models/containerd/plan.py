"""The plan of a pull (the hosts containerd will contact, in order, each with the line that lists
it) and the ways in which a pull fails, with the error texts of each release.

``planning.resolve_plan`` makes a plan from files alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from harness.nodes.models.containerd.hosts_toml import ALL_CAPABILITIES, Capability
from harness.nodes.models.containerd.pullers import Puller
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.files import FileLine, FileProblem
from harness.nodes.models.network import (
    ClientRequest,
    ClientResponse,
    ClientRun,
    Failure,
    Login,
    Trust,
    with_port,
)
from harness.nodes.models.reference import Reference
from harness.nodes.models.registry_api import registry_errors, status_line

DIAL_TIMEOUT = 30.0
"""Seconds until an unanswered connection attempt fails, unless ``dial_timeout`` is set."""


@dataclass(frozen=True)
class HttpClient:
    """An HTTP client with its credentials. Hosts without their own TLS settings share one client
    and its state: challenges, tokens, and which hosts do not speak TLS."""

    number: int
    trust: Trust
    login_for: Callable[[str], Login]
    """The login for a host (with its port) that sent a challenge. Raises ``CredentialError``."""
    falls_back: bool = False
    """Whether it retries over plain HTTP if the server does not speak TLS."""
    dial_timeout: float = DIAL_TIMEOUT
    token_headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sent to token servers."""


@dataclass(frozen=True)
class PlannedHost:
    """One host that a pull may contact."""

    name: str
    """With its port if the configuration names one."""
    scheme: str
    path: str
    """The API's root, such as ``/v2``."""
    client: HttpClient
    because: str
    source: FileLine | None = None
    capabilities: frozenset[Capability] = ALL_CAPABILITIES
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def may(self, *wanted: Capability) -> bool:
        """Whether the host's capabilities include all of *wanted*."""
        return self.capabilities.issuperset(wanted)

    def namespace_for(self, namespace: str) -> str | None:
        """The ``ns=`` that a request for an image of *namespace* carries to this host.

        None for the registry itself: names are compared exactly, with port, except that
        registry-1.docker.io is docker.io.
        """
        is_hub = namespace == "docker.io" and self.name == "registry-1.docker.io"
        return None if self.name == namespace or is_hub else namespace

    @property
    def url(self) -> str:
        """The API's root as a URL."""
        return f"{self.scheme}://{self.name}{self.path}"


@dataclass(eq=False)
class PullRefused(Exception):
    """No request is sent; the message is containerd's."""

    message: str
    while_resolving: bool = True
    """Whether it is reported as a failure to resolve; otherwise the message has no prefix."""
    code: str | None = "UNKNOWN"
    """The gRPC status."""
    finding: FileProblem | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a pull will do as long as nothing fails."""

    release: Release
    puller: Puller
    reference: Reference
    hosts: tuple[PlannedHost, ...] = ()
    """Every host, in order. Content is requested from all, regardless of capabilities."""
    directory: str | None = None
    """The directory whose hosts.toml or certificates are used."""
    looked_for: tuple[str, ...] = ()
    """The directories checked, best first, up to the one that exists."""
    unordered: int = 0
    """The number of hosts at the front whose order is random, for resolving and for fetching."""
    fetch_order: tuple[PlannedHost, ...] | None = None
    """The order for fetching, if it differs from that for resolving."""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sent to every registry."""
    transfer: bool = False
    """Whether the transfer service pulls."""
    findings: tuple[FileProblem, ...] = ()
    refusal: PullRefused | None = None

    @property
    def wanted(self) -> tuple[Capability, ...]:
        """The capabilities that a host needs to resolve the reference."""
        by_digest = self.reference.digest is not None
        return (Capability.PULL,) if by_digest else (Capability.PULL, Capability.RESOLVE)

    @property
    def resolve(self) -> tuple[PlannedHost, ...]:
        """The hosts that resolve the reference, in order."""
        return tuple(host for host in self.hosts if host.may(*self.wanted))

    @property
    def fetch(self) -> tuple[PlannedHost, ...]:
        """The hosts for each manifest, configuration and layer, in order."""
        return self.hosts if self.fetch_order is None else self.fetch_order

    @property
    def push(self) -> PlannedHost | None:
        """The only host of a push: the first one with that capability."""
        return next((host for host in self.hosts if host.may(Capability.PUSH)), None)


@dataclass(frozen=True)
class PullError:
    """The error of a pull, as its caller sees it."""

    message: str
    code: str | None = "UNKNOWN"
    """The gRPC status; None for ``ctr``, which has none."""

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, kw_only=True)
class ContainerdPull(ClientRun):
    """A pull, or a push, from its first request to its end."""

    plan: Plan
    error: PullError | None = None
    """The error; if several lanes fail, that of the first."""
    possible_errors: tuple[PullError, ...] = ()
    """Every error that may be reported: timing decides between concurrent failures."""


# -- failures -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class ModelExchange:
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

"""The plan of a pull: the hosts containerd will contact, in order, each with the line that lists
it.

``planning.resolve_plan`` makes it from files alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.nodes.models.containerd.hosts_toml import ALL_CAPABILITIES, Capability
from harness.nodes.models.containerd.pullers import Puller
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.files import FileLine, FileProblem
from harness.nodes.models.network import ClientRun, Login, Trust
from harness.nodes.models.reference import Reference

__all__ = [
    "DIAL_TIMEOUT",
    "ContainerdPull",
    "HttpClient",
    "Plan",
    "PlannedHost",
    "PullError",
    "PullRefused",
]


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

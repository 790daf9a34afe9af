"""Which hosts containerd will ask for an image, in which order, and why: from files alone.

:func:`resolve_plan` reads the configuration exactly as one pull does and keeps, for every host, the
place in the files that put it there. Nothing is contacted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

from harness.nodes.models.attempts import Attempt, ClientRun
from harness.nodes.models.containerd.certs_d import Finding
from harness.nodes.models.containerd.config_files import InvalidConfig
from harness.nodes.models.containerd.hosts_toml import ALL_CAPABILITIES, Capability
from harness.nodes.models.containerd.pullers import CredentialSource, Ctr, Puller
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.files import FileLine
from harness.nodes.models.network import Trust
from harness.nodes.models.reference import Reference

__all__ = [
    "Client",
    "Plan",
    "PlannedHost",
    "Pull",
    "PullError",
    "Refusal",
    "Refused",
    "not_started",
    "refuse",
]


DIAL_TIMEOUT = 30.0
"""Seconds until an unanswered connection attempt fails, unless ``dial_timeout`` says otherwise."""
HANDSHAKE_TIMEOUT = 10.0


@dataclass(frozen=True)
class Client:
    """An HTTP client with its credentials. Hosts without TLS settings of their own share one, and
    with it what it learns: challenges, tokens, and that a host speaks no TLS."""

    number: int
    trust: Trust
    credentials: CredentialSource
    falls_back: bool = False
    """Asks again over plain HTTP where https meets a server that does not speak it."""
    dial_timeout: float = DIAL_TIMEOUT
    token_headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sent to token servers."""


@dataclass(frozen=True)
class PlannedHost:
    """One host that a pull may ask."""

    name: str
    """With its port if the configuration names one."""
    scheme: str
    path: str
    """The API's root, such as ``/v2``."""
    client: Client
    because: str
    source: FileLine | None = None
    capabilities: frozenset[Capability] = ALL_CAPABILITIES
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def may(self, *wanted: Capability) -> bool:
        """Whether the host's capabilities include all of *wanted*."""
        return self.capabilities.issuperset(wanted)

    def namespace_for(self, namespace: str) -> str | None:
        """The ``ns=`` that a request for an image of *namespace* carries to this host.

        None for the registry itself: names are compared letter by letter, port included, except
        that registry-1.docker.io is docker.io.
        """
        is_hub = namespace == "docker.io" and self.name == "registry-1.docker.io"
        return None if self.name == namespace or is_hub else namespace

    @property
    def url(self) -> str:
        """The API's root as a URL."""
        return f"{self.scheme}://{self.name}{self.path}"


@dataclass(frozen=True)
class Refusal:
    """Why there is no request at all, in containerd's words."""

    message: str
    while_resolving: bool = True
    """Whether it is shown as a failure to resolve; otherwise the message stands alone."""
    code: str | None = "UNKNOWN"
    """The gRPC status."""
    finding: Finding | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a pull will do before anything has failed."""

    release: Release
    puller: Puller
    reference: Reference
    hosts: tuple[PlannedHost, ...] = ()
    """Every host, in order. Content is asked from all of them, whatever their capabilities."""
    directory: str | None = None
    """The directory whose hosts.toml or certificates are used."""
    looked_for: tuple[str, ...] = ()
    """The directories that would have been used, best first, up to the one that exists."""
    unordered: int = 0
    """The first so many hosts change places at random between resolving and fetching."""
    fetch_order: tuple[PlannedHost, ...] | None = None
    """The order of the second look-up where it differs; see :meth:`reordered`."""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sent to every registry."""
    transfer: bool = False
    """Whether the transfer service pulls."""
    findings: tuple[Finding, ...] = ()
    refusal: Refusal | None = None

    @property
    def wanted(self) -> tuple[Capability, ...]:
        """What a host must be capable of to be asked which image a reference means."""
        by_digest = self.reference.digest is not None
        return (Capability.PULL,) if by_digest else (Capability.PULL, Capability.RESOLVE)

    @property
    def resolve(self) -> tuple[PlannedHost, ...]:
        """The hosts that are asked which digest and size the reference has, in order."""
        return tuple(host for host in self.hosts if host.may(*self.wanted))

    @property
    def fetch(self) -> tuple[PlannedHost, ...]:
        """The hosts that are asked for each manifest, configuration and layer, in order."""
        return self.hosts if self.fetch_order is None else self.fetch_order

    @property
    def push(self) -> PlannedHost | None:
        """The one host that a push goes to: the first that may be pushed to."""
        return next((host for host in self.hosts if host.may(Capability.PUSH)), None)

    def reordered(self, resolve: tuple[int, ...], fetch: tuple[int, ...]) -> Plan:
        """This plan as it would be if the hosts in random order were drawn in these orders.

        Each argument is a permutation of ``range(plan.unordered)``.
        """
        rest = self.hosts[self.unordered :]
        return replace(
            self,
            hosts=(*(self.hosts[i] for i in resolve), *rest),
            fetch_order=(*(self.hosts[i] for i in fetch), *rest),
        )


_SOCKET = "/run/containerd/containerd.sock"


class Refused(Exception):
    """There will be no request; ``refusal`` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refuse(message: str) -> NoReturn:
    """End the pull with containerd's *message* while it resolves the reference."""
    raise Refused(Refusal(message))


def not_started(error: InvalidConfig, puller: Puller) -> Refusal:
    """What *puller* is told where config.toml keeps the CRI plugin, or all of containerd, down."""
    if not error.stops_containerd:
        finding = Finding(f"the CRI plugin does not load: {error.reason}", error.file, error.line)
        return Refusal("unknown service runtime.v1.ImageService", False, "UNIMPLEMENTED", finding)
    finding = Finding(f"containerd does not start: {error.reason}", error.file, error.line)
    if isinstance(puller, Ctr):
        text = f"cannot access socket {_SOCKET}: no such file or directory"
        return Refusal(text, False, None, finding)
    text = f"Error while dialing: dial unix {_SOCKET}: connect: no such file or directory"
    said = f'connection error: desc = "transport: {text}"'
    return Refusal(said, False, "UNAVAILABLE", finding)


@dataclass(frozen=True)
class PullError:
    """How a pull failed, as its caller sees it."""

    message: str
    code: str | None = "UNKNOWN"
    """The gRPC status; None for ``ctr``, which has none."""
    host: str | None = None
    """The host whose failure is reported."""
    status: int | None = None
    """The status that is reported, if it is one."""

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Pull(ClientRun):
    """A pull, or a push, from its first request to its end."""

    plan: Plan
    attempts: tuple[Attempt, ...] = ()
    error: PullError | None = None
    """How it failed. Where lanes fail at the same time, the first of them."""
    possible_errors: tuple[PullError, ...] = ()
    """Every error that may be reported: chance decides between lanes that fail at the same time."""

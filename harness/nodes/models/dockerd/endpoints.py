"""Which endpoints an image may be pulled from, in order: mirrors for Docker Hub's images alone.

moby#18818 and moby#30880; moby's ``registry/service_v2.go`` (lookupV2Endpoints).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.nodes.models.dockerd.daemon_json import DaemonConfig
from harness.nodes.models.reference import Reference, normalised_reference

__all__ = ["DOCKER_HUB", "Endpoint", "endpoints"]

DOCKER_HUB = "registry-1.docker.io"


@dataclass(frozen=True)
class Endpoint:
    """One place to try."""

    scheme: str
    host: str
    is_mirror: bool
    verify: bool
    """Whether certificates are checked."""
    because: str


def endpoints(image: str, config: DaemonConfig) -> tuple[Endpoint, ...]:
    """The endpoints of *image*. Raises ``InvalidReference``."""
    return endpoints_of(normalised_reference(image), config)


def endpoints_of(reference: Reference, config: DaemonConfig) -> tuple[Endpoint, ...]:
    """The endpoints of *reference*; of a registry that is insecure also over plain HTTP."""
    host = reference.namespace
    if host == "docker.io":
        mirrors = [
            Endpoint(
                mirror.scheme,
                mirror.host,
                True,
                not config.is_insecure(mirror.host),
                f"registry-mirrors, number {number}",
            )
            for number, mirror in enumerate(config.mirrors, 1)
        ]
        return (*mirrors, Endpoint("https", DOCKER_HUB, False, True, "Docker Hub, asked last"))
    because = f"{host} itself: mirrors are for Docker Hub's images"
    insecure = config.is_insecure(host)
    secure = Endpoint("https", host, False, not insecure, because)
    if not insecure:
        return (secure,)
    return (secure, Endpoint("http", host, False, True, f"{because}; it is insecure"))

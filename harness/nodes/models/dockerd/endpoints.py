"""daemon.json, and the endpoints of an image in order: mirrors are for images of Docker Hub only.

moby#18818 and moby#30880; moby's ``registry/service_v2.go`` (lookupV2Endpoints).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from harness.nodes.models.go_url import InvalidURL, parse_url, split_host_port
from harness.nodes.models.reference import Reference, normalised_reference

__all__ = [
    "DOCKER_HUB",
    "DaemonConfig",
    "Endpoint",
    "InvalidDaemonJson",
    "MirrorURL",
    "endpoints",
    "read_daemon_json",
]


_LOOPBACK = "127.0.0.0/8"
"""Insecure by default (moby, registry/config.go)."""


class InvalidDaemonJson(ValueError):
    """Why the daemon does not start; ``key`` is the invalid setting, if there is one."""

    def __init__(self, reason: str, key: str | None = None, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key
        self.line = line


@dataclass(frozen=True)
class MirrorURL:
    """One of ``registry-mirrors``."""

    scheme: str
    host: str
    """With its port if the URL names one."""


@dataclass(frozen=True)
class DaemonConfig:
    """Mirrors in order, and hosts whose certificates are not checked."""

    mirrors: tuple[MirrorURL, ...] = ()
    insecure: tuple[str, ...] = ()
    """``insecure-registries``: hosts with their port, or networks in CIDR form."""

    def is_insecure(self, host: str) -> bool:
        """Whether the certificate of *host* (with its port if the URL names one) is not checked."""
        if host in self.insecure:
            return True
        split = split_host_port(host)
        try:
            address = ip_address((split[0] if split else host).strip("[]"))
        except ValueError:
            return False
        return any(address in network for network in map(_network, (*self.insecure, _LOOPBACK)))


def read_daemon_json(text: str) -> DaemonConfig:
    """The settings in *text*. Raises :class:`InvalidDaemonJson`."""
    try:
        document = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError as error:
        raise InvalidDaemonJson(f"invalid JSON: {error.msg}", line=error.lineno) from None
    except RecursionError:
        raise InvalidDaemonJson("invalid JSON: nested too deeply") from None
    if not isinstance(document, dict):
        raise InvalidDaemonJson("must hold one JSON object")
    return DaemonConfig(
        tuple(_mirror(url) for url in _strings(document, "registry-mirrors")),
        tuple(_strings(document, "insecure-registries")),
    )


def _strings(document: Mapping[str, Any], key: str) -> list[str]:
    value = document.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidDaemonJson(f"`{key}` must be a list of strings", key)
    return value


def _mirror(text: str) -> MirrorURL:
    key = "registry-mirrors"
    try:
        url = parse_url(text)
    except InvalidURL as error:
        raise InvalidDaemonJson(f"invalid mirror: {text!r} is not a URL: {error}", key) from None
    if url.scheme not in {"http", "https"}:
        raise InvalidDaemonJson(
            f"invalid mirror: unsupported scheme {url.scheme!r} in {text!r}; "
            "it must begin with http:// or https://",
            key,
        )
    if url.path.strip("/") or url.query or "#" in text:
        raise InvalidDaemonJson(
            f"invalid mirror: path, query, or fragment at end of the URI {text!r}", key
        )
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise InvalidDaemonJson("invalid mirror: username/password not allowed in URI", key)
    return MirrorURL(url.scheme, url.host)


def _network(text: str) -> Any:
    try:
        return ip_network(text, strict=False) if "/" in text else ()
    except ValueError:
        return ()


DOCKER_HUB = "registry-1.docker.io"


@dataclass(frozen=True)
class Endpoint:
    """One endpoint to try."""

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
    """The endpoints of *reference*; an insecure registry has one over plain HTTP too."""
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
        return (*mirrors, Endpoint("https", DOCKER_HUB, False, True, "Docker Hub, tried last"))
    because = f"{host} itself, as mirrors are for Docker Hub only"
    insecure = config.is_insecure(host)
    secure = Endpoint("https", host, False, not insecure, because)
    if not insecure:
        return (secure,)
    return (secure, Endpoint("http", host, False, True, f"{because}; it is insecure"))

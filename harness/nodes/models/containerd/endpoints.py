"""``registry.mirrors`` of config.toml: the endpoints of a registry without a hosts directory.

This is also how the CRI plugin finds the registry itself when ``config_path`` is not set.
"""

from __future__ import annotations

from harness.nodes.models.containerd.config_toml import RegistryConfig
from harness.nodes.models.containerd.hosts_toml import Capability
from harness.nodes.models.containerd.plan import HttpClient, PlannedHost, refuse
from harness.nodes.models.containerd.pullers import (
    AuthConfig,
    CredentialSource,
    NodeCredentials,
    RequestCredentials,
)
from harness.nodes.models.containerd.releases import Release
from harness.nodes.models.containerd.trust import TrustReader
from harness.nodes.models.files import FileLine
from harness.nodes.models.go_url import GoURL, InvalidURL, is_loopback, parse_url
from harness.nodes.models.network import Trust

__all__ = ["planned_endpoints"]


def planned_endpoints(
    namespace: str,
    config: RegistryConfig,
    auth: AuthConfig | None,
    release: Release,
    trust: TrustReader,
) -> tuple[PlannedHost, ...]:
    """The endpoints of *namespace* in their order, and the registry itself unless it is listed.

    Every endpoint has its own client. A path is used unchanged, without ``/v2``.
    """
    listed = namespace if namespace in config.mirrors else "*"
    because = f'registry.mirrors."{listed}"'
    found = [(_endpoint(text), because) for text in config.mirrors.get(listed, ())]
    if all(url.host != namespace for url, _ in found):
        found.append((_default(namespace), "the registry itself, as no endpoint names it"))
    place = config.place("mirrors", listed)
    source = None if place is None else FileLine(*place)
    headers = config.headers if release.node_headers_on_token_requests else {}
    return tuple(
        PlannedHost(
            name=url.host,
            scheme=url.scheme,
            path=url.path or "/v2",
            client=HttpClient(
                number,
                _trust(url, namespace, config, release, trust),
                _credentials(url, config, auth, release),
                token_headers=headers,
            ),
            because=because,
            source=source if because.startswith("registry.") else None,
            capabilities=frozenset({Capability.PULL, Capability.RESOLVE}),
        )
        for number, (url, because) in enumerate(found, 1)
    )


def _endpoint(text: str) -> GoURL:
    try:
        if "://" not in text:
            host = parse_url(f"dummy://{text}").host
            text = f"{'http' if is_loopback(host) else 'https'}://{text}"
        return parse_url(text)
    except InvalidURL as error:
        refuse(f'get registry endpoints: parse endpoint url: parse "{text[:200]}": {error}')


def _default(namespace: str) -> GoURL:
    host = "registry-1.docker.io" if namespace == "docker.io" else namespace
    return GoURL("http" if is_loopback(host) else "https", host, "")


def _trust(
    url: GoURL, namespace: str, config: RegistryConfig, release: Release, trust: TrustReader
) -> Trust:
    if release.legacy_tls and url.host in config.tls:
        return trust.of_endpoint(config.tls[url.host])
    return Trust(verify=not (is_loopback(namespace) and url.scheme == "http"))


def _credentials(
    url: GoURL, config: RegistryConfig, auth: AuthConfig | None, release: Release
) -> CredentialSource:
    if auth is not None:
        return RequestCredentials(auth)
    answers_for_itself = release.endpoint_credentials == "endpoint"
    return NodeCredentials(config.auths, url.host if answers_for_itself else None)

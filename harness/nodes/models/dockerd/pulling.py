"""A pull by dockerd 20.10: endpoint after endpoint, each from the ping to the last layer.

After any failure the next endpoint is tried; the error of the last one is reported. Content that
was stored before is not fetched again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.content import Manifest, Platform, an_image
from harness.nodes.models.attempts import ANONYMOUS, Attempt, ClientRun, Login
from harness.nodes.models.behaviours import HEALTHY, HostBehaviour
from harness.nodes.models.dockerd.client import Client, EndpointFailed
from harness.nodes.models.dockerd.endpoints import DaemonConfig, Endpoint, endpoints_of
from harness.nodes.models.network import ClientResponse, Network
from harness.nodes.models.reference import InvalidReference, Reference, normalised_reference
from harness.nodes.models.registry_api import (
    ContentDescriptor,
    index_entries,
    kind_of,
    manifest_parts,
)
from harness.nodes.models.simulated_network import RegistryContent, SimulatedNetwork
from reference_registry.digest import digest_of

__all__ = ["DockerPull", "run", "simulate"]

_PLATFORM = Platform()
_BLOB_ATTEMPTS = 5
"""Requests for one blob while they fail, except with 404 (measured for configurations)."""
_LAYER_PAUSE = 5.0
"""Seconds before a layer is requested again; grows by as much each time (moby,
distribution/xfer/download.go)."""


@dataclass(frozen=True)
class DockerPull(ClientRun):
    """A pull from its first request to its end."""

    endpoints: tuple[Endpoint, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    error: str | None = None
    """Not docker's words where they are unknown."""


def simulate(
    image: str,
    config: DaemonConfig,
    behaviours: Mapping[str, HostBehaviour] | None = None,
    *,
    login: Login = ANONYMOUS,
    content: Manifest | None = None,
    elsewhere: HostBehaviour = HEALTHY,
) -> DockerPull:
    """``docker pull IMAGE`` with these *behaviours*; see containerd's ``simulate``.

    *login* is the account that ``docker login`` stores for the image's registry.
    """
    network = SimulatedNetwork(
        behaviours or {}, RegistryContent(content or an_image(layers=1)), elsewhere=elsewhere
    )
    return run(image, config, network, login)


def run(image: str, config: DaemonConfig, network: Network, login: Login = ANONYMOUS) -> DockerPull:
    """The pull of *image* over *network*."""
    try:
        reference = normalised_reference(image)
    except InvalidReference as error:
        return DockerPull(error=f"invalid reference format: {error}")
    tried = endpoints_of(reference, config)
    pulling = _Pulling(reference, network, login)
    reason, after = "", ""
    for endpoint in tried:
        try:
            pulling.from_endpoint(endpoint, after)
        except EndpointFailed as failed:
            reason = failed.text
            after = f"{endpoint.host} failed: {failed.text}"
        else:
            return DockerPull(tried, tuple(pulling.record))
    return DockerPull(tried, tuple(pulling.record), reason)


class _Pulling:
    """The state that all endpoints share."""

    def __init__(self, reference: Reference, network: Network, login: Login) -> None:
        self._reference = reference
        self._network = network
        self._login = login
        self._stored: dict[str, ClientResponse] = {}
        self.record: list[Attempt] = []

    def from_endpoint(self, endpoint: Endpoint, after: str) -> None:
        """Pull everything from *endpoint*. Raises :class:`EndpointFailed`."""
        because = f"{endpoint.because}; {after}" if after else endpoint.because
        client = Client(
            endpoint, self._network, self._login, self._reference.repository, self.record, because
        )
        client.ping()
        digest = self._reference.digest or self._resolved(client)
        response = self._manifest(client, digest)
        if kind_of(response.media_type) == "index":
            response = self._manifest(client, self._chosen(response.body))
        if kind_of(response.media_type) != "manifest":
            raise EndpointFailed(f"{response.media_type or 'no type'} is not a manifest")
        config, layers = manifest_parts(response.body)
        self._blobs(client, config, layers)

    def _resolved(self, client: Client) -> str:
        """The digest of the tag, from HEAD, or from GET if HEAD has none."""
        tag = self._reference.tag or "latest"
        response = client.ask("HEAD", ("manifests", tag), "resolves the tag")
        named = response.header("Docker-Content-Digest")
        if response.status == 200 and named:
            return named
        response = client.ask("GET", ("manifests", tag), "HEAD had no digest")
        client.demand(response)
        named = response.header("Docker-Content-Digest")
        if named:
            return named
        raise EndpointFailed(f"{response.media_type} without a digest is not a manifest")

    def _manifest(self, client: Client, digest: str) -> ClientResponse:
        if digest in self._stored:
            return self._stored[digest]
        response = client.ask("GET", ("manifests", digest), "the manifest")
        client.demand(response)
        if digest_of(response.body, digest.partition(":")[0]) != digest:
            raise EndpointFailed(f"manifest verification failed for digest {digest}")
        self._stored[digest] = response
        return response

    def _chosen(self, index: bytes) -> str:
        wanted = _PLATFORM.document()
        for platform, descriptor in index_entries(index):
            if platform == wanted:
                return descriptor.digest
        raise EndpointFailed("no matching manifest in the manifest list entries")

    # -- blobs ----------------------------------------------------------------------------------
    def _blobs(
        self, client: Client, config: ContentDescriptor, layers: list[ContentDescriptor]
    ) -> None:
        """Configuration and layers, concurrently; one of several failures is reported."""
        failures = []
        for descriptor in (config, *layers):
            client.lane = descriptor.digest
            try:
                self._blob(client, descriptor)
            except EndpointFailed as failed:
                failures.append(failed)
        client.lane = ""
        if failures:
            raise failures[0]

    def _blob(self, client: Client, descriptor: ContentDescriptor) -> None:
        because = f"{client.endpoint.host} served the manifest"
        # A missing layer is requested twice, a missing configuration once.
        lacking = 2 if descriptor.kind == "layer" else 1
        problem = ""
        for number in range(1, _BLOB_ATTEMPTS + 1):
            waited = _LAYER_PAUSE * (number - 1) if descriptor.kind == "layer" else 0.0
            response = client.try_blob(descriptor.digest, because, waited)
            if response is not None and response.status == 200 and not response.cut:
                if digest_of(response.body, descriptor.digest.partition(":")[0]) == (
                    descriptor.digest
                ):
                    return
                raise EndpointFailed(f"filesystem layer verification failed: {descriptor.digest}")
            problem = "no answer" if response is None else str(response.status)
            if response is not None and response.status == 404 and number >= lacking:
                raise EndpointFailed(f"{descriptor.digest} not found")
            because = f"retry after {problem} ({number + 1} of {_BLOB_ATTEMPTS})"
        raise EndpointFailed(f"{descriptor.kind} {descriptor.digest}: {problem}")
